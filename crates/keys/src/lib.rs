//! The key hierarchy of Cadenas: typed IDs, derivation, wrapping, the key safe and the backup file.
//!
//! A native provider's [`Kdk`] and a VM's ID give a key encryption key ([`Kek`]), which never leaves this crate; a standard
//! provider's key server keeps the KEK of each VM. The KEK wraps the [`Dek`] of each object of that VM into a [`KeySafeEntry`];
//! a VM's [`KeySafe`] holds one entry per object. The [`KeyRing`] is the one owner of KDKs and KEKs in a process: others ask
//! it to wrap, unwrap or rewrap, never for the bytes. A [`Backup`] carries a native provider with all versions of its KDK in a
//! PKCS#12 file.
//!
//! No input or output, no async and no clock here. Every layout is specified in `docs/formats.md`, and
//! `vectors.rs` here checks that page's known answers.

mod backup;
mod context;
mod dek;
mod encoding;
mod fingerprint;
mod ids;
mod kdk;
mod kek;
mod keyring;
mod keysafe;
mod provider_key;
#[cfg(test)]
mod vectors;

pub use backup::{
    Backup, BackupError, BackupKey, Inconsistency, MAX_BACKUP_BYTES, MAX_BACKUP_KEYS, MAX_BACKUP_NAME_BYTES,
    UnusablePassword, WriteBackupError,
};
pub use dek::{Dek, NotAuthentic, Sealed};
pub use ids::{
    Fingerprint, KeyId, KmsKeyId, NotAFingerprint, NotAKmsKeyId, NotAnId, NotAnObjectName, ObjectName, ProviderId,
    VmId, shortened,
};
pub use kdk::{KDK_BYTES, Kdk, NotAKdk};
pub use kek::{KEK_BYTES, Kek, NotAKek};
pub use keyring::{DifferentKey, Inserted, KeyMissing, KeyRing, Removed, UnwrapError};
pub use keysafe::{Algorithm, DuplicateObject, KeySafe, KeySafeEntry, NeededKey, Origin};
pub use provider_key::ProviderKey;
