//! The descriptor of a VM home.

use std::time::Duration;

use cadenas_fuzz::{edited, edits, in_time};
use cadenas_keys::{Dek, Kdk, KeyId, KeyRing, KeySafe, ObjectName, ProviderId, Sealed, VmId};
use cadenas_vmhome::Descriptor;
use serde::Serialize;
use uuid::Uuid;

#[test]
fn any_bytes() {
    bolero::check!().with_test_time(Duration::from_secs(1)).for_each(|bytes| in_time(|| check(bytes)));
}

#[test]
fn changed_descriptors() {
    let seed = seed();
    bolero::check!()
        .with_generator(edits())
        .with_test_time(Duration::from_secs(5))
        .for_each(|edits| in_time(|| check(&edited(&seed, edits))));
}

#[test]
fn the_seed_is_accepted() {
    Descriptor::parse(&seed()).expect("a descriptor");
}

/// There is one byte form, and its key safe is for the configuration and the disks that it names.
fn check(bytes: &[u8]) {
    let Ok(descriptor) = Descriptor::parse(bytes) else { return };
    assert_eq!(descriptor.to_bytes(), bytes);
    assert_eq!(descriptor.key_safe().entries().len(), descriptor.header().disks.len() + 1);
    for disk in &descriptor.header().disks {
        assert!(descriptor.key_safe().entry(&disk.dek).is_some());
        let path = disk.path.as_str();
        assert!(!path.contains(['/', '\0']) && !["", ".", ".."].contains(&path), "{path:?} leaves the VM home");
    }
}

/// The format as docs/formats.md has it, in the order of its fields.
#[derive(Serialize)]
struct Format {
    cadenas: u64,
    header: Header,
    key_safe: KeySafe,
    configuration: Sealed,
}

#[derive(Serialize)]
struct Header {
    vm: VmId,
    name: &'static str,
    policy: &'static str,
    created: &'static str,
    disks: Vec<Disk>,
}

#[derive(Serialize)]
struct Disk {
    target: &'static str,
    path: String,
    format: &'static str,
    luks_uuid: Uuid,
    dek: ObjectName,
}

fn seed() -> Vec<u8> {
    let vm = VmId::random();
    let disks = [disk("vda", "qcow2"), disk("vdb", "luks")];
    let format = Format {
        cadenas: 1,
        key_safe: key_safe(vm, disks.iter().map(|disk| disk.dek.clone()).chain([ObjectName::configuration()])),
        configuration: Dek::generate().seal(b"", b"<domain/>"),
        header: Header {
            vm,
            name: "web01",
            policy: "VM Encryption Policy",
            created: "2026-01-02T03:04:05Z",
            disks: disks.into(),
        },
    };
    let mut bytes = serde_json::to_vec_pretty(&format).expect("JSON");
    bytes.push(b'\n');
    bytes
}

fn disk(target: &'static str, format: &'static str) -> Disk {
    let dek = ObjectName::disk(target).expect("a target");
    Disk { target, path: format!("{target}.{format}"), format, luks_uuid: Uuid::new_v4(), dek }
}

fn key_safe(vm: VmId, objects: impl Iterator<Item = ObjectName>) -> KeySafe {
    let (ring, provider, key) = (KeyRing::new(), ProviderId::random(), KeyId::random());
    ring.insert(provider, key, Kdk::generate()).expect("the ring is empty");
    let entries =
        objects.map(|object| ring.wrap(provider, key, vm, &object, &Dek::generate()).expect("the key is there"));
    KeySafe::new(entries.collect()).expect("different objects")
}
