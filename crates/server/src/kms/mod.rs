//! Standard key providers: keys that key servers keep, spoken to by KMIP (`docs/kmip.md`).
//!
//! `record` says what a standard provider is; `configure` sets it up; `clusters` has the connections; `keks` makes and fetches
//! the KEK of each VM and gives it to the host, which alone keeps it; `watch` fetches what is missing when servers answer
//! again and sees keys that must not be used any more; `probe` tells what works.

mod clusters;
mod configure;
mod keks;
mod probe;
mod record;
mod watch;

pub(crate) use clusters::Clusters;
pub(crate) use configure::{parse_servers, set_identity, set_servers, set_user, show_certificates, trust};
pub(crate) use keks::{KekRecord, Keks, all, forget, mark_compromised, of, present, wrapping};
pub(crate) use probe::test;
pub(crate) use record::StandardRecord;
pub(crate) use watch::{keep_watching, unlock};
