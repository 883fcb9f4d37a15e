//! `cadenas disk`

use std::{path::PathBuf, time::Duration};

use clap::{Args, Subcommand, ValueEnum, ValueHint};

use super::secret::PassphraseArgs;

pub(crate) const EXAMPLES: &str = "\
EXAMPLES:
  cadenas disk encrypt disk.qcow2 disk-enc.qcow2
  cadenas disk info disk-enc.qcow2
  cadenas disk decrypt disk-enc.qcow2 disk.raw

These commands need no server. qemu-img and cryptsetup open what they write.";
const ENCRYPT: &str = "\
EXAMPLES:
  cadenas disk encrypt disk.raw disk-enc.qcow2                       Asks twice for a passphrase
  cadenas disk encrypt disk.raw disk.luks -O luks --passphrase-file pw.txt
  qemu-system-x86_64 --object secret,id=s0,file=pw.txt \\
      --drive file=disk-enc.qcow2,encrypt.format=luks,encrypt.key-secret=s0 ...

SRC stays as it is.";
const DECRYPT: &str = "\
EXAMPLES:
  cadenas disk decrypt disk-enc.qcow2 disk.raw
  cadenas disk decrypt disk.luks disk.qcow2 -O qcow2 --passphrase-file pw.txt

SRC stays as it is.";
const INFO: &str = "\
EXAMPLES:
  cadenas disk info disk-enc.qcow2
  cadenas disk info disk-enc.qcow2 -o json";
const CHECK: &str = "\
EXAMPLES:
  cadenas disk check disk-enc.qcow2 --passphrase-file pw.txt

Exit status 0: the image is whole and opens with the passphrase.";

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Encrypt a plain image into a new file
    #[command(after_help = ENCRYPT)]
    Encrypt(Encrypt),
    /// Decrypt an image into a new file
    #[command(after_help = DECRYPT)]
    Decrypt(Decrypt),
    /// Show what an image is
    #[command(after_help = INFO)]
    Info(Info),
    /// Check that an image is whole and that a passphrase opens it
    #[command(after_help = CHECK)]
    Check(Check),
}

/// A disk image's format on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DiskFormat {
    /// The disk's bytes, one after the other
    Raw,
    /// QEMU's copy-on-write format
    Qcow2,
    /// A raw LUKS1 volume
    Luks,
}

/// From where to where.
#[derive(Debug, Args)]
pub struct Paths {
    /// The image to read
    #[arg(value_hint = ValueHint::FilePath)]
    pub src: PathBuf,
    /// The new image; it must not exist
    #[arg(value_hint = ValueHint::FilePath)]
    pub dst: PathBuf,
}

/// `cadenas disk encrypt`
#[derive(Debug, Args)]
pub struct Encrypt {
    /// From where to where.
    #[command(flatten)]
    pub paths: Paths,
    /// The new image's format: qcow2 with LUKS inside, or `luks`
    #[arg(short = 'O', long, value_enum, default_value = "qcow2", value_name = "FORMAT")]
    pub out_format: DiskFormat,
    /// The passphrase.
    #[command(flatten)]
    pub passphrase: PassphraseArgs,
    /// How long one attempt at the passphrase shall take on this machine, in milliseconds
    #[arg(long, value_name = "MS", default_value = "2000", value_parser = milliseconds)]
    pub iter_time: Duration,
}

/// `cadenas disk decrypt`
#[derive(Debug, Args)]
pub struct Decrypt {
    /// From where to where.
    #[command(flatten)]
    pub paths: Paths,
    /// The new image's format: raw or qcow2
    #[arg(short = 'O', long, value_enum, default_value = "raw", value_name = "FORMAT")]
    pub out_format: DiskFormat,
    /// The passphrase.
    #[command(flatten)]
    pub passphrase: PassphraseArgs,
}

/// `cadenas disk info`
#[derive(Debug, Args)]
pub struct Info {
    /// The image
    #[arg(value_hint = ValueHint::FilePath)]
    pub src: PathBuf,
}

/// `cadenas disk check`
#[derive(Debug, Args)]
pub struct Check {
    /// The image
    #[arg(value_hint = ValueHint::FilePath)]
    pub src: PathBuf,
    /// The passphrase.
    #[command(flatten)]
    pub passphrase: PassphraseArgs,
}

fn milliseconds(text: &str) -> Result<Duration, String> {
    const LONGEST_MS: u64 = 60_000;
    match text.parse::<u64>() {
        Ok(ms) if (1..=LONGEST_MS).contains(&ms) => Ok(Duration::from_millis(ms)),
        _ => Err(format!("give 1 to {LONGEST_MS} milliseconds")),
    }
}
