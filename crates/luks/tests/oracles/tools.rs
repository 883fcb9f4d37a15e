//! The programs that we are compared with, and an image file for them.

use std::{
    fs::{File, OpenOptions},
    os::unix::fs::FileExt,
    path::PathBuf,
    process::{Command, Output},
};

use cadenas_secret::SecretBytes;
use tempfile::TempDir;

/// The passphrases of all tests, named by number; they are UTF-8, because QEMU wants it.
pub(crate) struct Passphrases([&'static str; 4]);

pub(crate) const PASSPHRASES: Passphrases = Passphrases([
    "3f8a40d0c1f75a2b9e6d3c4b5a69788796a5b4c3d2e1f00112233445566778899",
    "two words",
    "mot de passe à accents",
    "4",
]);

impl Passphrases {
    pub(crate) fn secret(&self, number: usize) -> SecretBytes {
        SecretBytes::take_from(self.0[number].as_bytes().to_vec())
    }
}

/// An image in a folder of its own, beside one file per passphrase.
pub(crate) struct Image {
    folder: TempDir,
}

impl Image {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for (number, words) in PASSPHRASES.0.iter().enumerate() {
            std::fs::write(folder.path().join(format!("passphrase{number}")), words).expect("space for a passphrase");
        }
        let image = Self { folder };
        File::create(image.file("image")).expect("an empty image");
        image
    }

    pub(crate) fn write(&self, offset: u64, bytes: &[u8]) {
        self.open().write_all_at(bytes, offset).expect("space for the image");
    }

    pub(crate) fn resize(&self, len: u64) {
        self.open().set_len(len).expect("space for the image");
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        std::fs::read(self.file("image")).expect("a readable image")
    }

    fn open(&self) -> File {
        OpenOptions::new().write(true).open(self.file("image")).expect("a writable image")
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn path(&self, name: &str) -> String {
        self.file(name).display().to_string()
    }

    fn passphrase(&self, number: usize) -> String {
        self.path(&format!("passphrase{number}"))
    }
}

/// cryptsetup on an image; none of it needs device-mapper.
pub(crate) struct Cryptsetup;

impl Cryptsetup {
    pub(crate) fn format(image: &Image, hash: &str) {
        let cipher =
            ["--pbkdf-force-iterations", "1000", "--cipher", "aes-xts-plain64", "--key-size", "512", "--hash", hash];
        Self::run(
            image,
            &[&["luksFormat", "--type", "luks1", "--key-file", &image.passphrase(0)], &cipher[..]].concat(),
        );
    }

    pub(crate) fn dump(image: &Image) -> String {
        String::from_utf8(Self::run(image, &["luksDump"]).stdout).expect("a dump is text")
    }

    pub(crate) fn opens(image: &Image, slot: u8, passphrase: usize) -> bool {
        let slot = slot.to_string();
        let args = ["open", "--test-passphrase", "--key-slot", &slot, "--key-file", &image.passphrase(passphrase)];
        Self::output(image, &args).status.success()
    }

    pub(crate) fn add_key(image: &Image, existing: usize, slot: u8, new: usize) {
        let new = image.passphrase(new);
        let args = [
            "luksAddKey",
            "--pbkdf-force-iterations",
            "1000",
            "--key-file",
            &image.passphrase(existing),
            "--key-slot",
            &slot.to_string(),
        ];
        succeeded("cryptsetup", Self::command(&args).args([&image.path("image"), &new]).output());
    }

    pub(crate) fn kill_slot(image: &Image, slot: u8, passphrase: usize) {
        let args = ["luksKillSlot", "--key-file", &image.passphrase(passphrase)];
        succeeded("cryptsetup", Self::command(&args).args([&image.path("image"), &slot.to_string()]).output());
    }

    pub(crate) fn volume_key(image: &Image, passphrase: usize) -> Vec<u8> {
        let key = image.path("volume-key");
        let passphrase = image.passphrase(passphrase);
        let args = ["luksDump", "--dump-volume-key", "--volume-key-file", &key, "--key-file", &passphrase];
        Self::run(image, &args);
        std::fs::read(&key).expect("the dumped key")
    }

    fn run(image: &Image, args: &[&str]) -> Output {
        succeeded("cryptsetup", Ok(Self::output(image, args)))
    }

    fn output(image: &Image, args: &[&str]) -> Output {
        Self::command(args).arg(image.path("image")).output().expect("cryptsetup is installed")
    }

    fn command(args: &[&str]) -> Command {
        let mut command = Command::new("cryptsetup");
        command.arg("--batch-mode").args(args);
        command
    }
}

/// QEMU's tools on an image.
pub(crate) mod qemu {
    use super::{Command, Image, Output, succeeded};

    /// Makes an image; tries again when QEMU could not measure its own speed, which happens on virtual machines.
    pub(crate) fn create(image: &Image, format: &str, options: &str, len: u64) {
        let secret = secret(image, 0);
        let (path, len) = (image.path("image"), len.to_string());
        let args = ["create", "-q", "-f", format, "--object", &secret, "-o", options, &path, &len];
        let once = || Command::new("qemu-img").args(args).output();
        let output = (0..20).map(|_| once()).find(|output| !could_not_measure(output));
        succeeded("qemu-img", output.expect("QEMU measures its speed within 20 tries"));
    }

    /// Writes `byte` to `len` bytes from `offset` of the decrypted volume.
    pub(crate) fn write(image: &Image, passphrase: usize, byte: u8, offset: usize, len: usize) {
        let write = format!("write -P {byte} {offset} {len}");
        let args = ["--object", &secret(image, passphrase), "--image-opts", &luks(image), "-c", &write];
        let output = succeeded("qemu-io", Command::new("qemu-io").args(args).output());
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(said.contains(&format!("wrote {len}/{len} bytes")), "qemu-io: {said}");
    }

    /// The decrypted volume.
    pub(crate) fn read_all(image: &Image, passphrase: usize) -> Vec<u8> {
        let plain = image.path("plain");
        let args = ["--object", &secret(image, passphrase), "--image-opts", &luks(image), "-O", "raw", &plain];
        succeeded("qemu-img", Command::new("qemu-img").arg("convert").args(args).output());
        std::fs::read(&plain).expect("the converted image")
    }

    fn secret(image: &Image, passphrase: usize) -> String {
        format!("secret,id=s0,file={}", image.passphrase(passphrase))
    }

    fn luks(image: &Image) -> String {
        format!("driver=luks,key-secret=s0,file.driver=file,file.filename={}", image.path("image"))
    }

    fn could_not_measure(output: &std::io::Result<Output>) -> bool {
        output.as_ref().is_ok_and(|output| String::from_utf8_lossy(&output.stderr).contains("accurate CPU usage"))
    }
}

fn succeeded(program: &str, output: std::io::Result<Output>) -> Output {
    let output = output.unwrap_or_else(|error| panic!("{program} must be installed for this test: {error}"));
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    output
}
