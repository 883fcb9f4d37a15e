use std::path::{Path, PathBuf};

use proptest::prelude::*;
use uuid::Uuid;

use super::{DeviceKind, DiskSource, DomainXml, DomainXmlError};

const SECRET: Uuid = Uuid::from_u128(0x1111_2222_3333_4444_5555_6666_7777_8888);

/// As libvirt 9 dumps it, with what a person may have put in between.
const WEB01: &str = r#"<domain type='qemu' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <name>web01</name>
  <uuid>0f0c6d5e-8f2b-4e5b-9d43-3c2b1a000001</uuid>
  <!-- a comment with <disk> in it -->
  <metadata><my:note xmlns:my="urn:x"><disk><target dev="fake"/></disk></my:note></metadata>
  <os><type arch='x86_64' machine='q35'>hvm</type></os>
  <devices>
    <disk type='file' device='disk'>
      <driver name='qemu' type='qcow2' discard="unmap"/>
      <source file='/vms/a &amp; b/vda.qcow2' index='1'/>
      <backingStore/>
      <target dev='vda' bus='virtio'/>
      <alias name='ua-first'/>
      <address type='pci' domain='0x0000' bus='0x04' slot='0x00' function='0x0'/>
    </disk>
    <disk type='file' device='cdrom'>
      <target dev='sda' bus='sata'/>
      <readonly/>
    </disk>
    <disk type='file'>
      <source file='/vms/vdb.raw'></source>
      <target dev='vdb'/>
      <shareable/>
    </disk>
    <graphics type='vnc' passwd='hunter2'/>
  </devices>
</domain>
"#;

fn web01() -> DomainXml {
    DomainXml::parse(WEB01).expect("it is valid")
}

/// A domain whose `<devices>` are `devices` and which has `rest` beside them.
fn domain(devices: &str, rest: &str) -> Result<DomainXml, DomainXmlError> {
    DomainXml::parse(&format!(
        "<domain><name>x</name><uuid>0f0c6d5e-8f2b-4e5b-9d43-3c2b1a000002</uuid>{rest}<devices>{devices}</devices></domain>"
    ))
}

fn only_disk(xml: &str) -> super::DiskDevice {
    domain(xml, "").expect("it is valid").disks()[0].clone()
}

#[test]
fn the_disks_are_read_and_nothing_that_only_looks_like_one() {
    let xml = web01();
    assert_eq!((xml.name(), xml.uuid().to_string().as_str()), ("web01", "0f0c6d5e-8f2b-4e5b-9d43-3c2b1a000001"));
    let [vda, sda, vdb] = xml.disks() else { panic!("{:?}", xml.disks()) };
    assert_eq!(vda.source, DiskSource::File(PathBuf::from("/vms/a & b/vda.qcow2")));
    assert_eq!((vda.target.as_str(), vda.driver_format.as_deref()), ("vda", Some("qcow2")));
    assert!(!vda.has_backing_store && !vda.has_encryption && !vda.readonly && !vda.shareable);
    assert_eq!((sda.device, &sda.source, sda.readonly), (DeviceKind::Cdrom, &DiskSource::None, true));
    assert_eq!((vdb.device, vdb.driver_format.as_deref(), vdb.shareable), (DeviceKind::Disk, None, true));
    assert!(!xml.has_uefi_vars() && !xml.has_vtpm());
}

#[test]
fn every_kind_of_source_is_told() {
    let source =
        |kind: &str, source: &str| only_disk(&format!("<disk type='{kind}'>{source}<target dev='vda'/></disk>")).source;
    assert_eq!(source("block", "<source dev='/dev/sdz'/>"), DiskSource::Block(PathBuf::from("/dev/sdz")));
    assert_eq!(
        source("network", "<source protocol='nbd' name='x'><host name='h'/></source>"),
        DiskSource::Network { protocol: "nbd".to_owned() }
    );
    assert_eq!(
        source("volume", "<source pool='p' volume='v'/>"),
        DiskSource::Volume { pool: "p".to_owned(), volume: "v".to_owned() }
    );
    for kind in ["dir", "nvme", "vhostuser", "vhostvdpa"] {
        assert_eq!(source(kind, "<source/>"), DiskSource::Other(kind.to_owned()));
    }
    let slice = "<source file='/a'><slices><slice type='storage' offset='0' size='512'/></slices></source>";
    assert_eq!(source("file", slice), DiskSource::Other("slice".to_owned()));
    assert_eq!(source("file", "<source file='/a' fdgroup='g'/>"), DiskSource::Other("fdgroup".to_owned()));
    assert_eq!(source("file", "<source file='/a&#x62;'/>"), DiskSource::File(PathBuf::from("/ab")));
}

#[test]
fn encryption_and_backing_images_are_seen_where_libvirt_takes_them() {
    let inside = "<disk type='file'><source file='/a'><encryption format='luks'/></source><target dev='vda'/></disk>";
    let beside = "<disk type='file'><source file='/a'/><encryption format='luks'/><target dev='vda'/></disk>";
    assert!(only_disk(inside).has_encryption);
    assert!(only_disk(beside).has_encryption);
    let backed = "<disk type='file'><source file='/a'/><target dev='vda'/>
        <backingStore type='file'><format type='raw'/><source file='/b'/><backingStore/></backingStore></disk>";
    assert!(only_disk(backed).has_backing_store);
}

#[test]
fn uefi_variables_and_a_tpm_are_seen() {
    let uefi = |os: &str| domain("", os).expect("it is valid").has_uefi_vars();
    assert!(uefi("<os firmware='efi'/>"));
    assert!(uefi("<os><nvram>/var/x.fd</nvram></os>"));
    assert!(uefi("<os><loader readonly='yes' type='pflash'>/x</loader></os>"));
    assert!(!uefi("<os><loader type='rom'>/x</loader></os>"));
    assert!(domain("<tpm model='tpm-crb'/>", "").expect("it is valid").has_vtpm());
}

#[test]
fn a_new_source_changes_that_disk_only_and_keeps_every_other_byte() {
    let changed = web01().with_disk_source("vda", Path::new("/home/web01/vda.qcow2"), "qcow2", Some(SECRET)).unwrap();
    let expected = WEB01
        .replace(
            "<source file='/vms/a &amp; b/vda.qcow2' index='1'/>",
            "<source file='/home/web01/vda.qcow2' index='1'><encryption format='luks'>\
             <secret type='passphrase' uuid='11112222-3333-4444-5555-666677778888'/></encryption></source>",
        )
        .replace("\n      <backingStore/>", "")
        .replacen("<disk type='file' device='disk'>", "<disk type='file' device='disk'><backingStore/>", 1);
    assert_eq!(changed.as_str(), expected);
    assert!(changed.disks()[0].has_encryption);
}

#[test]
fn what_the_disk_lacked_is_put_in() {
    let changed = web01().with_disk_source("vdb", Path::new("/new/'<&>.raw"), "raw", Some(SECRET)).unwrap();
    let vdb = &changed.disks()[2];
    assert_eq!(vdb.source, DiskSource::File(PathBuf::from("/new/'<&>.raw")));
    assert_eq!((vdb.driver_format.as_deref(), vdb.has_encryption), (Some("raw"), true));
    let empty = web01().with_disk_source("sda", Path::new("/x.iso"), "raw", None).unwrap();
    assert_eq!(empty.disks()[1].source, DiskSource::File(PathBuf::from("/x.iso")));
}

#[test]
fn a_second_change_replaces_the_first() {
    let once = web01().with_disk_source("vda", Path::new("/a"), "qcow2", Some(SECRET)).unwrap();
    let other = Uuid::from_u128(9);
    let twice = once.with_disk_source("vda", Path::new("/b"), "qcow2", Some(other)).unwrap();
    assert!(!twice.as_str().contains(&SECRET.to_string()) && twice.as_str().contains(&other.to_string()));
    let plain = twice.with_disk_source("vda", Path::new("/vms/a & b/vda.qcow2"), "qcow2", None).unwrap();
    assert_eq!(plain.disks()[0], web01().disks()[0]);
}

#[test]
fn encryption_beside_the_source_and_backing_images_go() {
    let old = domain(
        "<disk type='file'><target dev='vda'/><source file='/a'/><backingStore type='file'><source file='/b'/>\
         </backingStore><encryption format='luks'><secret type='passphrase' uuid='x'/></encryption></disk>",
        "",
    )
    .unwrap();
    let new = old.with_disk_source("vda", Path::new("/c"), "raw", None).unwrap();
    let disk = &new.disks()[0];
    assert!(!disk.has_encryption && !disk.has_backing_store);
    assert!(new.as_str().contains("<backingStore/>"), "the chain ends here, whatever the image says");
}

#[test]
fn impossible_changes_are_refused() {
    let xml = web01();
    let refused = |target, path| xml.with_disk_source(target, path, "raw", None).unwrap_err();
    assert!(matches!(refused("vdz", Path::new("/a")), DomainXmlError::NoSuchDisk { .. }));
    assert!(matches!(refused("vda", Path::new("/a\nb")), DomainXmlError::PathNotText { .. }));
    let block = domain("<disk type='block'><source dev='/d'/><target dev='vda'/></disk>", "").unwrap();
    let error = block.with_disk_source("vda", Path::new("/a"), "raw", None).unwrap_err();
    assert!(matches!(error, DomainXmlError::NotAFile { .. }));
}

#[test]
fn hostile_text_is_refused_by_its_name() {
    let error = |text: &str| {
        let error = DomainXml::parse(text).unwrap_err();
        std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string)
    };
    let bomb = "<!DOCTYPE d [<!ENTITY a 'aaaaaaaa'><!ENTITY b '&a;&a;&a;'>]><domain><name>&b;</name></domain>";
    assert!(error(bomb).contains("document type"));
    assert!(error("<domain><name>&b;</name></domain>").contains("entity"));
    assert!(error(&"<a>".repeat(100_000)).contains("too many levels"));
    assert!(error(&format!("<domain>{}</domain>", "<a/>".repeat(70_000))).contains("too many elements"));
    let attributes = (0..1_000).fold(String::new(), |all, at| all + &format!(" a{at}='1'"));
    assert!(error(&format!("<domain{attributes}/>")).contains("too many attributes"));
    assert!(error(&" ".repeat((4 << 20) + 1)).contains("4194305 bytes"));
    assert!(error("<domain/><domain/>").contains("outermost"));
    assert!(error("<domain>").contains("outermost"));
    assert!(error("").contains("outermost"));
    assert!(error("words<domain/>").contains("outermost"));
    assert!(error("<domain a='1' a='2'/>").contains("well-formed"));
    assert!(error("<domain><name></uuid></domain>").contains("well-formed"));
}

#[test]
fn a_domain_that_lacks_what_we_need_is_refused() {
    let error = |text: &str| DomainXml::parse(text).unwrap_err();
    assert!(matches!(error("<volume/>"), DomainXmlError::NotADomain));
    assert!(matches!(error("<domain><name>x</name></domain>"), DomainXmlError::NoUuid));
    let uuid = "<uuid>0f0c6d5e-8f2b-4e5b-9d43-3c2b1a000002</uuid>";
    assert!(matches!(error(&format!("<domain>{uuid}<name> </name></domain>")), DomainXmlError::NoName));
    assert!(matches!(domain("<disk/>", "").unwrap_err(), DomainXmlError::NoTarget));
    let disk = "<disk><target dev='vda'/></disk>";
    assert!(matches!(domain(&disk.repeat(2), "").unwrap_err(), DomainXmlError::TwoTargets { .. }));
    let tape = "<disk device='tape'><target dev='vda'/></disk>";
    assert!(matches!(domain(tape, "").unwrap_err(), DomainXmlError::UnknownDevice { .. }));
}

#[test]
fn debug_shows_no_password() {
    assert_eq!(format!("{:?}", web01()), "DomainXml(web01 0f0c6d5e-8f2b-4e5b-9d43-3c2b1a000001)");
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "[<>/&;a-z='\" !\\[\\]?-]{0,200}") {
        let _ = DomainXml::parse(&text);
    }

    #[test]
    fn any_damage_is_read_or_refused(at in 0..WEB01.len(), with in any::<char>()) {
        if let (Some(before), Some(after)) = (WEB01.get(..at), WEB01.get(at + 1..))
            && let Ok(xml) = DomainXml::parse(&format!("{before}{with}{after}"))
        {
            for disk in xml.disks() {
                let _ = xml.with_disk_source(&disk.target, Path::new("/x"), "raw", Some(SECRET));
            }
        }
    }

    #[test]
    fn any_path_that_is_text_comes_back(path in "/[^\\p{Cc}]{1,40}") {
        let changed = web01().with_disk_source("vda", Path::new(&path), "qcow2", Some(SECRET)).unwrap();
        prop_assert_eq!(&changed.disks()[0].source, &DiskSource::File(PathBuf::from(&path)));
        let original = web01();
        prop_assert_eq!(&changed.disks()[1..], &original.disks()[1..]);
    }
}
