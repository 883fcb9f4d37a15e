//! The server's role: key providers, storage policies, the inventory, tasks and events, served as REST on a Unix socket.
//!
//! The server keeps its state in one data folder and reaches VMs and disks only through [`cadenas_api::Host`]. It holds no
//! key open: a KDK is unsealed to be given to a host, to be written into a backup, and for nothing else; a KEK of a key server
//! is passed on to the host.
//!
//! Where things are: `core` is what every operation works on; `catalog` reads and changes the providers by compare-and-set;
//! `providers` has their rules as functions without I/O and the operations around them; `tasks` and `events` are what
//! lasts; `http` is the REST face; `start` puts it all together. `kms` is what standard providers are about; `bulk` re-encrypts
//! many VMs, which `rotation` has it do by itself; `exposure` and `report` tell which keys are old or known to others. `console`
//! lets people into the web console, for which `summary`, `actions` and `changes` tell how it stands, what can be done, and what happens.

mod actions;
mod bulk;
mod catalog;
mod changes;
mod compromised;
mod console;
mod copies;
mod core;
mod data_folder;
mod doctor;
mod events;
mod exposure;
mod features;
mod http;
mod kms;
mod policies;
mod private_file;
mod providers;
mod repair;
mod report;
mod rotation;
mod seal;
mod settle;
mod socket;
mod start;
mod summary;
mod tasks;
mod templates;
mod text;
mod vms;

pub use console::{CertificateFiles, ConsoleError, ConsoleFile, ConsoleOptions};
pub use data_folder::DataFolderError;
pub use http::openapi_json;
pub use seal::{
    BadTpmAddress, KeyFileError, RootKeySeal, RootSealError, RootTpmError, Seal, SealChoice, SealError, SealedPlace,
    TpmAddress, TpmError,
};
pub use socket::SocketError;
pub use start::{Options, Running, Server, StartError};
