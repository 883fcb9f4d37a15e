//! What the tests with real programs share: disks with known contents, and calls of QEMU's tools and cryptsetup.

use std::{
    fs,
    num::NonZeroU32,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use cadenas_image::{Access, File, ImageInfo, NewKey, NoProgress, Target, Tuning, convert, open_source};
use cadenas_secret::SecretBytes;
use uuid::Uuid;

pub(crate) const PASSPHRASE: &str = "correct horse battery staple";

/// A folder with a passphrase file and room for images.
pub(crate) struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("passphrase"), PASSPHRASE).expect("written");
        Self { folder }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A raw disk of `len` bytes with some data, some zeros that are written, and holes.
    pub(crate) fn raw_disk(&self, len: u64) -> PathBuf {
        let path = self.path("plain.raw");
        let file = fs::File::create(&path).expect("created");
        file.set_len(len).expect("grown");
        for (start, bytes) in data_of(len) {
            file.write_all_at(&bytes, start).expect("written");
        }
        path
    }

    /// QEMU's way to name the passphrase.
    pub(crate) fn secret(&self) -> String {
        format!("secret,id=s,file={}", self.path("passphrase").display())
    }

    /// QEMU's way to name an encrypted qcow2 image.
    pub(crate) fn qcow2_options(path: &Path) -> String {
        format!("driver=qcow2,encrypt.key-secret=s,file.filename={}", path.display())
    }

    /// QEMU's way to name a raw LUKS image.
    pub(crate) fn luks_options(path: &Path) -> String {
        format!("driver=luks,key-secret=s,file.filename={}", path.display())
    }

    /// Converts with our engine.
    pub(crate) fn ours(from: &Path, to: &Path, target: Target) -> ImageInfo {
        let src = File::open(from, Access::Read).expect("opened");
        let encrypted = cadenas_image::inspect(&src).expect("inspected").encryption.is_some();
        let passphrase = passphrase();
        let src = open_source(&src, encrypted.then_some(&passphrase)).expect("opened");
        let dst = File::create_new(to).expect("created");
        let key = NewKey { passphrase: &passphrase, rounds: rounds(), uuid: Uuid::new_v4() };
        convert(&src, &dst, &target, target.is_encrypted().then_some(key), &Tuning::default(), &NoProgress)
            .expect("converted")
    }

    /// Converts an encrypted image to raw with QEMU and compares it with the disk it was made of.
    pub(crate) fn assert_qemu_reads(&self, image_options: &str, original: &Path) {
        let out = self.path("read-by-qemu.raw");
        run(
            "qemu-img",
            &["convert", "--object", &self.secret(), "--image-opts", image_options, "-O", "raw", text(&out)],
        );
        assert_same(&out, original);
        fs::remove_file(out).expect("removed");
    }
}

pub(crate) fn passphrase() -> SecretBytes {
    SecretBytes::take_from(PASSPHRASE.as_bytes().to_vec())
}

pub(crate) fn rounds() -> NonZeroU32 {
    NonZeroU32::new(1000).expect("not zero")
}

/// What [`Bench::raw_disk`] holds: runs of bytes that follow no pattern, of odd lengths, and a run of zeros.
fn data_of(len: u64) -> Vec<(u64, Vec<u8>)> {
    let wanted = [(0, 70_000), (200_000, 1), (1 << 20, 300_001), ((1 << 20) + 700_000, 512), (3 << 20, 1_200_000)];
    let mut runs: Vec<(u64, Vec<u8>)> = wanted.into_iter().map(|(start, count)| (start, noise(start, count))).collect();
    runs.push((2 << 20, vec![0; 200_000]));
    runs.push((len.saturating_sub(777), noise(len, 777)));
    runs.into_iter()
        .filter(|(start, _)| *start < len)
        .map(|(start, mut bytes)| {
            bytes.truncate(usize::try_from(len - start).expect("small"));
            (start, bytes)
        })
        .collect()
}

/// Bytes that compress badly, but not worse than they are.
pub(crate) fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed ^ 0x9e37_79b9_7f4a_7c15;
    std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        // About every fourth byte is the same, so that compression has its chance.
        if state >> 62 == 0 { b'x' } else { state.to_be_bytes()[1] }
    })
    .take(len)
    .collect()
}

/// Runs a program that must succeed. QEMU now and then fails to measure key derivation on virtual machines: then again.
pub(crate) fn run(program: &str, arguments: &[&str]) -> String {
    for _ in 0..20 {
        let output = try_run(program, arguments);
        let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.success() {
            return String::from_utf8_lossy(&output.stdout).into_owned();
        }
        assert!(complaint.contains("accurate CPU usage"), "{program} {arguments:?}: {complaint}");
    }
    panic!("{program} {arguments:?} never succeeded");
}

pub(crate) fn try_run(program: &str, arguments: &[&str]) -> Output {
    Command::new(program).args(arguments).output().unwrap_or_else(|error| panic!("{program} does not start: {error}"))
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().expect("a path of ours")
}

/// The same bytes; what one lacks at its end, the other has as zeros of less than a sector.
pub(crate) fn assert_same(one: &Path, other: &Path) {
    let (mut one, mut other) = (fs::read(one).expect("read"), fs::read(other).expect("read"));
    assert!(one.len().abs_diff(other.len()) < 512, "{} and {} bytes", one.len(), other.len());
    let len = one.len().max(other.len());
    one.resize(len, 0);
    other.resize(len, 0);
    if let Some(at) = (0..len).find(|at| one[*at] != other[*at]) {
        panic!("they differ at {at} of {len}");
    }
}
