//! Whoever keeps the datastore can change every byte of a home. Each change is refused.

use std::{
    fs,
    os::unix::fs::{FileExt as _, symlink},
    path::{Path, PathBuf},
};

use cadenas_keys::{Kdk, KeyRing, VmId};
use cadenas_secret::SecretBytes;
use cadenas_vmhome::{Descriptor, DescriptorError, DiskProblem, HomeError, NoSteps, PlainImage, UnlockError, VmHome};

use crate::common::{Bed, chain, run, text};

/// Whether a home with this descriptor opens and unlocks.
fn unlocks(bed: &Bed, descriptor: &[u8]) -> bool {
    fs::write(bed.descriptor(), descriptor).expect("written");
    VmHome::open(&bed.home()).is_ok_and(|home| home.unlock(&bed.keyring).is_ok())
}

#[test]
fn every_byte_of_a_descriptor_counts() {
    let bed = Bed::small();
    bed.encrypt();
    let whole = fs::read(bed.descriptor()).expect("read");
    assert!(unlocks(&bed, &whole));
    for at in 0..whole.len() {
        for bits in [0x01, 0x20, 0x80] {
            let mut changed = whole.clone();
            changed[at] ^= bits;
            assert!(!unlocks(&bed, &changed), "byte {at} with {bits:#x}");
        }
    }
}

#[test]
fn a_descriptor_that_is_cut_or_longer_is_refused() {
    let bed = Bed::small();
    bed.encrypt();
    let whole = fs::read(bed.descriptor()).expect("read");
    for len in 0..whole.len() {
        assert!(Descriptor::parse(&whole[..len]).is_err(), "{len} bytes");
    }
    for more in [&b"\n"[..], b" ", b"\0", b"{}", &whole] {
        assert!(Descriptor::parse(&[&whole, more].concat()).is_err());
    }
    fs::write(bed.descriptor(), vec![b' '; (4 << 20) + 1]).expect("written");
    assert!(matches!(VmHome::open(&bed.home()), Err(HomeError::Read(_))));
}

#[test]
fn another_order_or_spacing_or_a_field_more_is_refused() {
    let bed = Bed::small();
    bed.encrypt();
    let text = fs::read_to_string(bed.descriptor()).expect("read");
    let value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert!(matches!(Descriptor::parse(value.to_string().as_bytes()), Err(DescriptorError::NotCanonical)));
    let more = text.replacen("\"header\": {", "\"header\": {\n    \"more\": 1,", 1);
    assert!(matches!(Descriptor::parse(more.as_bytes()), Err(DescriptorError::Malformed(_))));
    let escaped = text.replacen("web01", "web\\u00301", 1);
    assert!(matches!(Descriptor::parse(escaped.as_bytes()), Err(DescriptorError::NotCanonical)));
}

#[test]
fn a_newer_version_is_told_whatever_else_it_holds() {
    for newer in [r#"{"cadenas": 3}"#, r#"{"new": [], "cadenas": 77, "header": 1}"#] {
        let error = Descriptor::parse(newer.as_bytes()).expect_err("newer");
        assert!(error.to_string().contains("made by a newer Cadenas"), "{error}");
    }
}

/// A descriptor that an earlier build made, under the KDK 00 01 … 1f: every later one of this format version reads it.
#[test]
fn the_kept_descriptor_opens_as_ever() {
    let keyring = KeyRing::new();
    let provider = "11111111-2222-4333-8444-555555555555".parse().expect("an ID");
    let key = "66666666-7777-4888-9999-aaaaaaaaaaaa".parse().expect("an ID");
    let kdk = Kdk::from_secret(SecretBytes::take_from((0..32).collect())).expect("32 bytes");
    keyring.insert(provider, key, kdk).expect("new");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/data/web01.cadenas");
    let unlocked = VmHome::open(&path).expect("a home").unlock(&keyring).expect("unlocked");
    assert_eq!(unlocked.domain_xml(), "<domain type='kvm'>\n  <name>web01</name>\n</domain>\n");
    assert!(unlocked.autostart());
    let (target, original) = unlocked.originals().next().expect("a disk");
    assert_eq!((target, original.path.as_str()), ("vda", "/srv/images/web01.img"));
    assert_eq!(original.image, PlainImage::Raw { len: 65_536 });
}

#[test]
fn key_safe_entries_of_another_vm_or_disk_do_not_open() {
    let (bed, mut other) = (Bed::small(), Bed::small());
    // The other VM is under the same key, so that only the VM's ID differs.
    other.provider = bed.provider;
    other.key = bed.key;
    bed.encrypt();
    let mine = fs::read_to_string(bed.descriptor()).expect("read");
    let home = encrypt_under(&bed, &other);
    let theirs = fs::read_to_string(home).expect("read");
    let swapped = mine.replace(key_safe(&mine), key_safe(&theirs));
    fs::write(bed.descriptor(), &swapped).expect("written");
    let error = VmHome::open(&bed.home()).expect("well formed").unlock(&bed.keyring).expect_err("another VM's");
    assert!(matches!(error, UnlockError::Key { .. }), "{error}");

    let entries: Vec<_> =
        mine.match_indices("\"salt\": ").map(|(at, _)| &mine[at..at + wrap_len(&mine[at..])]).collect();
    let [_, vda, vdb] = entries[..] else { panic!("three entries") };
    let crossed = mine.replace(vda, "HERE").replace(vdb, vda).replace("HERE", vdb);
    assert!(!unlocks(&bed, crossed.as_bytes()));
    assert!(unlocks(&bed, mine.as_bytes()));
}

/// Encrypts `other`'s VM with `bed`'s keys.
fn encrypt_under(bed: &Bed, other: &Bed) -> PathBuf {
    let context =
        cadenas_vmhome::Context { keyring: &bed.keyring, ..other.context(&NoSteps, &cadenas_image::NoProgress) };
    cadenas_vmhome::encrypt(&other.plan(), context).expect("encrypted").home.descriptor_path()
}

fn key_safe(text: &str) -> &str {
    let start = text.find("\"key_safe\"").expect("a field");
    let end = text.find("\"configuration\": {").expect("a field");
    &text[start..end]
}

/// Salt, nonce and wrapped DEK.
fn wrap_len(text: &str) -> usize {
    text.find('}').expect("an end")
}

#[test]
fn a_configuration_or_header_of_another_vm_does_not_open() {
    let bed = Bed::small();
    bed.encrypt();
    let text = fs::read_to_string(bed.descriptor()).expect("read");
    let other_vm = text.replace(&bed.vm.to_string(), &VmId::random().to_string());
    assert!(!unlocks(&bed, other_vm.as_bytes()));
    let other_name = text.replacen("\"name\": \"web01\"", "\"name\": \"web02\"", 1);
    assert!(!unlocks(&bed, other_name.as_bytes()));
    let other_file = text.replacen("vda.qcow2", "vdx.qcow2", 1);
    assert!(!unlocks(&bed, other_file.as_bytes()));
    for path in ["../vda.qcow2", "/etc/passwd", "..", "", "a/b", ".hidden", "web01.cadenas"] {
        let elsewhere = text.replacen("vda.qcow2", path, 1);
        assert!(Descriptor::parse(elsewhere.as_bytes()).is_err(), "{path}");
    }
}

/// What `change` does to the disk with this target, and what the next start says.
fn after_changing(target: &str, change: impl Fn(&Bed, PathBuf)) -> DiskProblem {
    let bed = Bed::plain();
    let home = bed.encrypt();
    let disk = home.disks().iter().find(|disk| disk.target == target).expect("a disk");
    change(&bed, home.disk_path(disk));
    let error = bed.unlocked().check_disks().expect_err("changed");
    assert!(error.to_string().contains(target) && error.path == home.disk_path(disk), "{error}");
    // Nor is such a disk decrypted or copied.
    bed.decrypt_with(&NoSteps).expect_err("changed");
    bed.deep_recrypt_with(&NoSteps).expect_err("changed");
    error.problem
}

fn patch(path: &PathBuf, offset: u64, bytes: &[u8]) {
    let file = fs::OpenOptions::new().write(true).open(path).expect("opened");
    file.write_all_at(bytes, offset).expect("written");
}

fn copy(from: &Path, to: &Path) {
    fs::copy(from, to).expect("copied");
}

#[test]
fn a_disk_of_another_vm() {
    let other = Bed::plain();
    other.encrypt();
    for (target, name) in [("vda", "vda.qcow2"), ("vdc", "vdc.luks")] {
        let swap = |_: &Bed, path: PathBuf| copy(&other.home().join(name), &path);
        assert_eq!(after_changing(target, swap), DiskProblem::AnotherDisk);
    }
    let swap_within = |bed: &Bed, path: PathBuf| copy(&bed.home().join("vdb.qcow2"), &path);
    assert_eq!(after_changing("vda", swap_within), DiskProblem::AnotherDisk);
}

#[test]
fn a_plain_disk() {
    let plain_qcow2 = |_: &Bed, path: PathBuf| {
        fs::remove_file(&path).expect("removed");
        run("qemu-img", &["create", "-q", "-f", "qcow2", text(&path), "3M"]);
    };
    assert_eq!(after_changing("vda", plain_qcow2), DiskProblem::NotEncrypted);
    let raw = |_: &Bed, path: PathBuf| fs::write(path, vec![0; 3 << 20]).expect("written");
    assert_eq!(after_changing("vda", raw), DiskProblem::NotEncrypted);
    // A qcow2 header that says it is plain, over the same data.
    let downgraded = |_: &Bed, path: PathBuf| patch(&path, 32, &0_u32.to_be_bytes());
    let problem = after_changing("vda", downgraded);
    assert!(matches!(problem, DiskProblem::NotEncrypted | DiskProblem::Unreadable), "{problem}");
}

#[test]
fn a_backing_file() {
    let backed = |_: &Bed, path: PathBuf| {
        // Header fields 8..20: where the name is and how long it is (QEMU's docs/interop/qcow2.txt).
        let name = b"/etc/passwd";
        let place = 0x8000_u64 - 64;
        patch(&path, place, name);
        patch(&path, 8, &place.to_be_bytes());
        patch(&path, 16, &u32::try_from(name.len()).expect("short").to_be_bytes());
    };
    assert_eq!(after_changing("vda", backed), DiskProblem::BackingFile);
}

#[test]
fn another_cipher_size_or_volume() {
    // The LUKS header's fields: cipher mode at 40, digest at 112 (LUKS1 specification, section 2.3.1).
    let cipher = |_: &Bed, path: PathBuf| patch(&path, 40, b"cbc-plain64");
    let problem = after_changing("vdc", cipher);
    assert!(matches!(problem, DiskProblem::Cipher { .. }), "{problem}");
    let inside_qcow2 = |_: &Bed, path: PathBuf| {
        let bytes = fs::read(&path).expect("read");
        let header = bytes.windows(6).position(|window| window == b"LUKS\xba\xbe").expect("a LUKS header");
        patch(&path, u64::try_from(header).expect("small") + 40, b"cbc-plain64");
    };
    let problem = after_changing("vda", inside_qcow2);
    assert!(matches!(problem, DiskProblem::Cipher { .. }), "{problem}");
    let digest = |_: &Bed, path: PathBuf| patch(&path, 112, &[7; 20]);
    assert_eq!(after_changing("vdc", digest), DiskProblem::AnotherDisk);
    let longer = |_: &Bed, path: PathBuf| {
        let file = fs::OpenOptions::new().write(true).open(path).expect("opened");
        file.set_len(file.metadata().expect("there").len() + 512).expect("grown");
    };
    assert!(matches!(after_changing("vdc", longer), DiskProblem::Size { .. }));
    let key_material = |_: &Bed, path: PathBuf| patch(&path, 4096, &vec![0; 256_000]);
    assert_eq!(after_changing("vdc", key_material), DiskProblem::DoesNotOpen);
}

#[test]
fn a_link_a_pipe_or_nothing_in_the_place_of_a_disk() {
    let link = |bed: &Bed, path: PathBuf| {
        let away = bed.folder.path().join("away");
        fs::rename(&path, &away).expect("moved");
        symlink(away, path).expect("a link");
    };
    assert_eq!(after_changing("vda", link), DiskProblem::NotAFile("a symbolic link"));
    let pipe = |_: &Bed, path: PathBuf| {
        fs::remove_file(&path).expect("removed");
        run("mkfifo", &[text(&path)]);
    };
    assert_eq!(after_changing("vda", pipe), DiskProblem::NotAFile("a named pipe"));
    let gone = |_: &Bed, path: PathBuf| fs::remove_file(path).expect("removed");
    assert_eq!(after_changing("vda", gone), DiskProblem::Missing);
}

#[test]
fn a_link_or_a_pipe_in_the_place_of_the_descriptor() {
    let bed = Bed::small();
    bed.encrypt();
    let away = bed.folder.path().join("away.cadenas");
    fs::rename(bed.descriptor(), &away).expect("moved");
    symlink(&away, bed.descriptor()).expect("a link");
    let error = VmHome::open(&bed.home()).expect_err("a link");
    assert!(chain(&error).contains("a symbolic link"), "{}", chain(&error));
    assert!(VmHome::open(&bed.descriptor()).is_err());
    fs::remove_file(bed.descriptor()).expect("removed");
    run("mkfifo", &[text(&bed.descriptor())]);
    let error = VmHome::open(&bed.home()).expect_err("a pipe");
    assert!(chain(&error).contains("a named pipe"), "{}", chain(&error));
}

#[test]
fn a_folder_without_or_with_several_descriptors() {
    let bed = Bed::small();
    assert!(matches!(VmHome::open(&bed.home()), Err(HomeError::Missing(_))));
    assert!(matches!(VmHome::open(&bed.image("")), Err(HomeError::NoDescriptor(_))));
    bed.encrypt();
    fs::copy(bed.descriptor(), bed.home().join("copy.cadenas")).expect("copied");
    assert!(matches!(VmHome::open(&bed.home()), Err(HomeError::Several { .. })));
    assert!(VmHome::open(&bed.descriptor()).is_ok());
    assert!(matches!(VmHome::open(&bed.home().join("vda.qcow2")), Err(HomeError::NotADescriptorName(_))));
}
