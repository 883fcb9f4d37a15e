//! Encrypt, deep recrypt and decrypt a whole VM.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown},
    path::Path,
};

use cadenas_image::{Access, File, NoProgress, inspect, usage};
use cadenas_secret::SecretBytes;
use cadenas_vmhome::{DiskFormat, DiskProblem, EncryptPlan, Method, NoSteps, VmHome, WhyInPlace, Wipe, encrypt};

use crate::common::{Bed, XML, chain, full_bytes, names, padded, run, text};

#[test]
fn what_is_encrypted_opens_in_qemu_with_every_byte_as_it_was() {
    let bed = Bed::plain();
    bed.encrypt();
    assert!(bed.is_encrypted());
    for guest in &bed.guests {
        let (passphrase, path, format) = bed.passphrase_of(&guest.plain.target);
        assert!(qemu_reads(&bed, &passphrase, &path, format) == padded(&guest.bytes), "{}", guest.plain.target);
    }
}

#[test]
fn holes_stay_holes_and_what_has_none_stays_raw() {
    let bed = Bed::plain();
    let home = bed.encrypt();
    let formats: Vec<_> = home.disks().iter().map(|disk| (disk.path.to_string(), disk.format)).collect();
    let expected = [
        ("vda.qcow2".to_owned(), DiskFormat::Qcow2),
        ("vdb.qcow2".to_owned(), DiskFormat::Qcow2),
        ("vdc.luks".to_owned(), DiskFormat::Luks),
    ];
    assert_eq!(formats, expected);
    let info =
        |name: &str| inspect(&File::open(&bed.home().join(name), Access::Read).expect("opened")).expect("an image");
    assert_eq!(info("vdb.qcow2").cluster_size, Some(32 << 10));
    let file = File::open(&bed.home().join("vda.qcow2"), Access::Read).expect("opened");
    let stored = usage(&file, &info("vda.qcow2")).expect("counted").allocated;
    assert!(stored < 1 << 20, "{stored}");
}

#[test]
fn a_named_format_is_taken() {
    let mut bed = Bed::small();
    bed.guests[0].plain.into = Some(DiskFormat::Luks);
    bed.guests[1].plain.into = Some(DiskFormat::Qcow2);
    let home = bed.encrypt();
    assert_eq!(home.disks()[0].format, DiskFormat::Luks);
    assert_eq!(home.disks()[1].format, DiskFormat::Qcow2);
    assert!(bed.is_encrypted());
}

#[test]
fn no_word_of_guest_or_definition_is_left_in_the_home() {
    let mut bed = Bed::without_disks();
    let mark = b"MARK-of-the-guest-0123456789-abcdefghijklmnopqrstuvwxyz";
    bed.add_raw("vda", &mark.repeat(20_000));
    bed.encrypt();
    for name in names(&bed.home()) {
        let bytes = fs::read(bed.home().join(&name)).expect("read");
        assert!(!bytes.windows(mark.len()).any(|window| window == mark), "{name}");
        for line in XML.lines() {
            assert!(!bytes.windows(line.len()).any(|window| window == line.as_bytes()), "{line} in {name}");
        }
    }
    assert!(names(&bed.folder.path().join("journal")).is_empty());
}

#[test]
fn files_are_private_and_the_home_lets_qemu_through() {
    let bed = Bed::small();
    bed.encrypt();
    let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
    assert_eq!(mode(&bed.home()), 0o711);
    for name in names(&bed.home()) {
        assert_eq!(mode(&bed.home().join(&name)), 0o600, "{name}");
    }
}

#[test]
fn decryption_brings_back_bytes_owners_modes_and_clusters() {
    let bed = Bed::plain();
    let path = |at: usize| bed.guests[at].plain.path.clone();
    fs::set_permissions(path(0), fs::Permissions::from_mode(0o640)).expect("a mode");
    // Only root can give files away.
    let may_chown = chown(path(1), Some(4242), Some(4243)).is_ok();
    let owner = |at| {
        let metadata = fs::metadata(path(at)).expect("there");
        (metadata.uid(), metadata.gid(), metadata.mode(), metadata.len())
    };
    let before = [owner(0), owner(2)];
    let cluster = |at| inspect(&File::open(&path(at), Access::Read).expect("opened")).expect("an image").cluster_size;
    let before_cluster = cluster(1);
    bed.encrypt();
    let done = bed.decrypt_with(&NoSteps).expect("decrypted");
    assert_eq!(done.home_kept, None);
    assert!(bed.is_plain());
    assert_eq!([owner(0), owner(2)], before);
    assert_eq!(cluster(1), before_cluster);
    if may_chown {
        assert_eq!((owner(1).0, owner(1).1), (4242, 4243));
    }
    run("qemu-img", &["check", text(&path(1))]);
}

#[test]
fn files_that_are_not_ours_stay_in_the_home_and_are_told() {
    let bed = Bed::small();
    bed.encrypt();
    fs::write(bed.home().join("notes.txt"), "not ours").expect("written");
    let done = bed.decrypt_with(&NoSteps).expect("decrypted");
    assert_eq!(done.home_kept, Some(bed.home()));
    assert_eq!(names(&bed.home()), ["notes.txt"]);
}

#[test]
fn an_empty_folder_can_become_the_home() {
    let bed = Bed::small();
    fs::create_dir(bed.home()).expect("a folder");
    bed.encrypt();
    assert!(bed.is_encrypted());
}

#[test]
fn a_vm_without_disks_is_encrypted_and_decrypted() {
    let bed = Bed::without_disks();
    bed.encrypt();
    assert!(bed.is_encrypted());
    bed.deep_recrypt_with(&NoSteps).expect("recrypted");
    bed.decrypt_with(&NoSteps).expect("decrypted");
    assert!(bed.is_plain());
}

#[test]
fn a_name_with_spaces_and_accents_works() {
    let bed = Bed::small();
    let mut plan = bed.plan();
    plan.name = "Serveur de données".parse().expect("a name");
    let home = encrypt(&plan, bed.context(&NoSteps, &NoProgress)).expect("encrypted").home;
    assert!(home.descriptor_path().ends_with("Serveur de données.cadenas"));
    assert_eq!(VmHome::open(&home.descriptor_path()).expect("a home").name().as_str(), "Serveur de données");
}

#[test]
fn a_deep_recrypt_makes_new_keys_and_leaves_nothing_old() {
    let bed = Bed::plain();
    let old = bed.encrypt();
    let (old_passphrase, _, _) = bed.passphrase_of("vda");
    bed.unlocked().erase_leftover_slots(&NoSteps).expect("erased");
    let new = bed.deep_recrypt_with(&NoSteps).expect("recrypted");
    assert!(bed.is_encrypted());
    for (old, new) in old.disks().iter().zip(new.disks()) {
        assert_ne!(old.luks_uuid, new.luks_uuid);
        assert_eq!(old.format, new.format);
    }
    assert_eq!(new.disks()[0].path.as_str(), "vda.2.qcow2");
    assert_eq!(new.header().created, "2026-11-25T00:00:00Z");
    let file = File::open(&bed.home().join("vda.2.qcow2"), Access::Read).expect("opened");
    assert!(cadenas_image::open_source(&file, Some(&old_passphrase)).is_err());
    let again = bed.deep_recrypt_with(&NoSteps).expect("recrypted");
    assert_eq!(again.disks()[0].path.as_str(), "vda.qcow2");
    assert!(bed.is_encrypted());
    bed.decrypt_with(&NoSteps).expect("decrypted");
    assert!(bed.is_plain());
}

/// `qemu-img convert` of an encrypted image to raw.
fn qemu_reads(bed: &Bed, passphrase: &SecretBytes, path: &Path, format: DiskFormat) -> Vec<u8> {
    let (secret, raw) = (bed.folder.path().join("secret"), bed.folder.path().join("raw"));
    fs::write(&secret, passphrase.expose()).expect("written");
    let object = format!("secret,id=key,file={}", text(&secret));
    let image = match format {
        DiskFormat::Qcow2 => format!("driver=qcow2,encrypt.key-secret=key,file.filename={}", text(path)),
        DiskFormat::Luks => format!("driver=luks,key-secret=key,file.filename={}", text(path)),
    };
    run("qemu-img", &["convert", "--object", &object, "--image-opts", &image, "-O", "raw", text(&raw)]);
    if format == DiskFormat::Qcow2 {
        run("qemu-img", &["check", "--object", &object, "--image-opts", &image]);
    }
    fs::read(raw).expect("read")
}

#[test]
fn in_place_a_vm_is_encrypted_recrypted_and_decrypted_without_a_copy() {
    let mut bed = Bed::without_disks();
    bed.add_raw("vda", &full_bytes((1 << 20) + 300));
    let inode = |path: &Path| fs::metadata(path).map(|found| found.ino());
    let plain = bed.guests[0].plain.path.clone();
    let before = inode(&plain).expect("there");
    let home = bed.encrypt_in_place_with(&NoSteps, &NoProgress).expect("encrypted");
    assert!(bed.is_encrypted());
    bed.deep_recrypt_by(Method::InPlace, &NoSteps).expect("recrypted");
    assert!(bed.is_encrypted());
    assert_eq!(inode(&home.disk_path(&home.disks()[0])).expect("there"), before);
    let done = bed.decrypt_by(Method::InPlace, &NoSteps).expect("decrypted");
    assert_eq!(done.in_place, Some(WhyInPlace::Asked));
    assert!(bed.is_plain());
    assert_eq!(inode(&plain).expect("there"), before);
}

#[test]
fn what_happens_to_plain_disks_is_what_was_asked() {
    for wipe in [Wipe::None, Wipe::Discard, Wipe::Zero] {
        let bed = Bed::small();
        let held = fs::File::open(&bed.guests[1].plain.path).expect("there");
        let plan = EncryptPlan { wipe, ..bed.plan() };
        encrypt(&plan, bed.context(&NoSteps, &NoProgress)).expect("encrypted");
        // Whoever has the removed file open still sees what it holds.
        let mut left = Vec::new();
        std::io::Read::read_to_end(&mut &held, &mut left).expect("read");
        assert_eq!(left == bed.guests[1].bytes, wipe == Wipe::None, "{wipe}");
        assert_eq!(left.iter().all(|byte| *byte == 0), wipe != Wipe::None, "{wipe}");
        assert!(bed.is_encrypted());
    }
}

#[test]
fn in_place_holes_stay_holes_and_internal_snapshots_come_along() {
    let bed = Bed::plain();
    let qcow2 = bed.guests[1].plain.path.clone();
    run("qemu-img", &["snapshot", "-c", "before", text(&qcow2)]);
    let refused = bed.encrypt_with(&NoSteps).expect_err("a copy would lose it");
    assert!(chain(&refused).contains("--in-place"), "{}", chain(&refused));
    let home = bed.encrypt_in_place_with(&NoSteps, &NoProgress).expect("encrypted");
    let formats: Vec<_> = home.disks().iter().map(|disk| disk.format).collect();
    assert_eq!(formats, [DiskFormat::Qcow2, DiskFormat::Qcow2, DiskFormat::Luks]);
    let sparse = File::open(&home.disk_path(&home.disks()[0]), Access::Read).expect("opened");
    assert!(usage(&sparse, &inspect(&sparse).expect("an image")).expect("counted").has_holes);
    is_whole_with_snapshot(&bed);
    bed.deep_recrypt_by(Method::InPlace, &NoSteps).expect("recrypted");
    is_whole_with_snapshot(&bed);
}

/// Every disk reads as it was, `vdb` with its snapshot, which is sealed too.
fn is_whole_with_snapshot(bed: &Bed) {
    /// Where a qcow2 header counts its snapshots.
    const COUNT: std::ops::Range<usize> = 60..64;
    bed.unlocked().check_disks().expect("as sealed");
    let report = VmHome::open(&bed.home()).expect("a home").verify(&bed.keyring, 64);
    assert!(report.is_sound(), "{report:?}");
    for guest in &bed.guests {
        let (passphrase, path, format) = bed.passphrase_of(&guest.plain.target);
        assert!(qemu_reads(bed, &passphrase, &path, format) == padded(&guest.bytes), "{}", guest.plain.target);
    }
    let (_, path, _) = bed.passphrase_of("vdb");
    let kept = fs::read(&path).expect("read");
    assert_eq!(kept[COUNT], [0, 0, 0, 1]);
    let mut without = kept.clone();
    without[COUNT].fill(0);
    fs::write(&path, without).expect("written");
    let error = bed.unlocked().check_disks().expect_err("a snapshot is missing");
    assert_eq!(error.problem, DiskProblem::Snapshots { expected: 1, found: 0 });
    fs::write(&path, kept).expect("written back");
}
