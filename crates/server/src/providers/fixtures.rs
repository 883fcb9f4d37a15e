//! Providers for the tests of other modules.

use cadenas_keys::{Kdk, KeyId, ProviderId};
use jiff::Timestamp;

use super::model::{BackupProof, KindRecord, NativeRecord, ProviderRecord, VersionRecord};
use crate::{kms::StandardRecord, rotation::RotationRecord, seal::RootKeySeal};

/// A native provider with one key in no backup.
pub(crate) fn native(name: &str, created: Timestamp) -> ProviderRecord {
    let id = ProviderId::random();
    let version = VersionRecord::seal(&RootKeySeal::generate(), id, KeyId::random(), &Kdk::generate(), created);
    let native = NativeRecord { tpm_required: false, versions: vec![version.expect("a root key always seals")] };
    ProviderRecord::native(id, name.parse().expect("a name"), created, native)
}

/// A native provider that encrypts.
pub(crate) fn active(name: &str, created: Timestamp) -> ProviderRecord {
    let mut record = native(name, created);
    for version in &mut record.as_native_mut().expect("native").versions {
        version.backup = Some(BackupProof { at: created, has_password: true });
    }
    record
}

/// A standard provider whose servers are not trusted yet.
pub(crate) fn standard(name: &str) -> ProviderRecord {
    let standard = StandardRecord::new(vec!["kms1".parse().expect("an address")]);
    let name = name.parse().expect("a name");
    let (id, created) = (ProviderId::random(), Timestamp::now());
    ProviderRecord { id, name, created, kind: KindRecord::Standard(standard), rotation: RotationRecord::default() }
}

#[test]
fn a_provider_of_the_first_form_reads_as_a_native_one() {
    use cadenas_store::{Entry, Revision, Stored};
    let record = native("nkp", "2026-01-01T00:00:00Z".parse().expect("a time"));
    let native = record.as_native().expect("native");
    let value = serde_json::json!({ "version": 1, "value": {
        "id": record.id, "name": record.name, "tpm_required": false, "created": record.created, "versions": native.versions,
    }});
    let (key, value) = ("provider/id/x".parse().expect("a key"), value.to_string().into_bytes());
    let read: Stored<ProviderRecord> =
        Stored::from_entry(Entry { key, value, revision: Revision::new(1) }).expect("it reads");
    assert_eq!(read.value, record);
}
