//! A KMIP client: keys that live in a key server (OASIS *Key Management Interoperability Protocol*, 1.0 to 1.4 and 2.0).
//!
//! A [`Cluster`] is one or several key servers that hold the same keys. It makes, reads, finds and ends AES-256 keys, asks the
//! next server when one is away, and tells by [`Cluster::probe`] what works with each. Trust is a CA or the fingerprint of a
//! certificate ([`Trust`]); we are known by a client certificate ([`ClientIdentity`]), a user name and password
//! ([`Credential`]), or both.
//!
//! From the top down: `cluster` chooses the server, `requests` are the operations as types, `message` is what stands around
//! each of them, `transport` is TCP and TLS with deadlines, [`ttlv`] is the encoding. Everything blocks; nothing here needs a
//! runtime. Key material comes and goes in [`SecretBytes`](cadenas_secret::SecretBytes), and the buffers that it passes
//! through are wiped. `docs/kmip.md` says what is spoken and what was checked against which server.

mod certificate;
mod cluster;
mod codes;
mod config;
mod endpoint;
mod error;
mod fingerprint;
mod identity;
mod key;
mod kmip_id;
mod message;
mod operation;
mod report;
mod requests;
#[cfg(feature = "testing")]
pub mod testing;
mod text;
mod transport;
pub mod ttlv;
mod version;

pub use certificate::{NotACertificate, ServerCertificate};
pub use cluster::Cluster;
pub use codes::{CryptographicAlgorithm, KeyFormatType, ObjectType, ResultReason};
pub use config::{Config, ConfigError, Credential, Timeouts, Trust};
pub use endpoint::{DEFAULT_PORT, Endpoint, NotAnEndpoint};
pub use error::{KmipError, KmipErrorKind};
pub use fingerprint::{CertificateFingerprint, NotACertificateFingerprint};
pub use identity::{ClientIdentity, IdentityError, IdentityRequest, certificates_from_pem};
pub use key::{FetchedKey, KEY_BYTES, KeyAttributes, KeyState, RevocationReason};
pub use kmip_id::{KmipId, NotAKmipId};
pub use operation::{KmipOperation, Operation};
pub use report::{EndpointReport, OperationsReport, Step, TlsReport, VersionReport};
pub use text::ServerText;
pub use transport::fetch_certificate;
pub use version::Version;
