//! libvirt's domain XML.

use std::{path::Path, time::Duration};

use cadenas_fuzz::{edited, edits, in_time};
use cadenas_hypervisor::{DiskSource, DomainXml};
use uuid::Uuid;

const SEED: &str = r#"<?xml version='1.0'?>
<domain type='kvm' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <name>web01 &amp; co</name>
  <uuid>6f1c2c7e-8c0a-4b68-9a50-1f8a30cd6bd1</uuid>
  <!-- <disk/> -->
  <devices>
    <disk type='file' device='disk'>
      <driver name='qemu' type='qcow2' cache='none'/>
      <source file='/images/a &lt;b&gt;.qcow2'><encryption format='luks'><secret type='passphrase' uuid='0'/></encryption></source>
      <backingStore type='file'><format type='raw'/><source file='/base'/></backingStore>
      <target dev='vda' bus='virtio'/><readonly/>
    </disk>
    <disk type="file"><target dev="vdb"/></disk>
    <disk type='network' device='disk'><source protocol='nbd' name='x'/><target dev='vdc'/></disk>
    <disk type='block'><source dev='/dev/sdz'/><target dev='vdd'/></disk>
    <tpm model='tpm-crb'/>
  </devices>
  <os firmware='efi'><nvram><![CDATA[/vars.fd]]></nvram></os>
</domain>
"#;

#[test]
fn any_text() {
    bolero::check!().with_test_time(Duration::from_secs(1)).for_each(|bytes| in_time(|| check(bytes)));
}

#[test]
fn changed_domains() {
    bolero::check!()
        .with_generator(edits())
        .with_test_time(Duration::from_secs(5))
        .for_each(|edits| in_time(|| check(&edited(SEED.as_bytes(), edits))));
}

#[test]
fn the_seed_is_accepted() {
    assert_eq!(DomainXml::parse(SEED).expect("a domain").disks().len(), 4);
}

/// What is accepted is kept byte for byte, and one disk is changed without touching another.
fn check(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let Ok(domain) = DomainXml::parse(&text) else { return };
    assert_eq!(domain.as_str(), text);
    for disk in domain.disks() {
        check_change(&domain, &disk.target);
    }
}

fn check_change(domain: &DomainXml, target: &str) {
    let path = Path::new("/vm <home> & 'it'/\"disk\".qcow2");
    let Ok(changed) = domain.with_disk_source(target, path, "qcow2", Some(Uuid::nil())) else { return };
    assert_eq!((changed.uuid(), changed.name()), (domain.uuid(), domain.name()));
    assert_eq!(DomainXml::parse(changed.as_str()).expect("our own XML").disks(), changed.disks());
    for (before, after) in domain.disks().iter().zip(changed.disks()) {
        if before.target == target {
            assert_eq!(after.source, DiskSource::File(path.to_owned()));
            assert_eq!(after.driver_format.as_deref(), Some("qcow2"));
            assert!(after.has_encryption && !after.has_backing_store);
        } else {
            assert_eq!(before, after);
        }
    }
}
