//! `cadenas disk`

use std::{num::NonZeroU64, path::PathBuf, time::Duration};

use clap::{Args, Subcommand, ValueEnum, ValueHint};

use super::{
    secret::PassphraseArgs,
    tuning::{TuningArgs, byte_count},
};

pub(crate) const EXAMPLES: &str = "\
EXAMPLES:
  cadenas disk encrypt disk.qcow2 disk-enc.qcow2
  cadenas disk info disk-enc.qcow2
  cadenas disk decrypt disk-enc.qcow2 disk.raw
  cadenas disk encrypt --in-place disk.qcow2

These commands need no server. qemu-img and cryptsetup open what they write.";
const ENCRYPT: &str = "\
EXAMPLES:
  cadenas disk encrypt disk.raw disk-enc.qcow2                       Asks twice for a passphrase
  cadenas disk encrypt disk.raw disk.luks -O luks --passphrase-file pw.txt
  cadenas disk encrypt --in-place disk.qcow2                         Needs no room for a second copy
  cadenas disk encrypt --flatten overlay.qcow2 disk-enc.qcow2        With the files that it stands on
  cadenas disk encrypt --source-format vmdk disk.vmdk disk-enc.qcow2 Streamed, without a plain copy
  qemu-system-x86_64 --object secret,id=s0,file=pw.txt \\
      --drive file=disk-enc.qcow2,encrypt.format=luks,encrypt.key-secret=s0 ...

SRC stays as it is. In place, a journal DISK.cadenas-journal beside the disk makes every interruption harmless: `cadenas disk
resume` goes on, `cadenas disk cancel` goes back. A raw disk without holes becomes `luks`, one with holes `qcow2`.";
const DECRYPT: &str = "\
EXAMPLES:
  cadenas disk decrypt disk-enc.qcow2 disk.raw
  cadenas disk decrypt disk.luks disk.qcow2 -O qcow2 --passphrase-file pw.txt
  cadenas disk decrypt --in-place disk.qcow2

SRC stays as it is. In place the format stays: qcow2 with LUKS becomes qcow2, `luks` becomes raw.";
const RECRYPT: &str = "\
EXAMPLES:
  cadenas disk recrypt disk.qcow2 disk-new.qcow2
  cadenas disk recrypt --in-place disk.qcow2
  cadenas disk recrypt --in-place disk.luks --passphrase-file old.txt --new-passphrase-file new.txt

Every byte is encrypted anew under a fresh volume key, so that neither the old passphrase nor an old copy of the header opens it.";
const RESUME: &str = "\
EXAMPLES:
  cadenas disk resume disk.qcow2

Asks for a passphrase of the old or of the new image; the journal is authenticated with it.";
const CANCEL: &str = "\
EXAMPLES:
  cadenas disk cancel disk.qcow2

Asks for a passphrase of the old or of the new image; the journal is authenticated with it.";
const INFO: &str = "\
EXAMPLES:
  cadenas disk info disk-enc.qcow2
  cadenas disk info disk-enc.qcow2 -o json";
const CHECK: &str = "\
EXAMPLES:
  cadenas disk check disk-enc.qcow2 --passphrase-file pw.txt

Exit status 0: the image is whole, opens with the passphrase, and what was read of it is ciphertext.";
const BENCH: &str = "\
EXAMPLES:
  cadenas disk bench --folder /var/lib/libvirt/images
  cadenas disk bench --size 4G -o json

Its scratch files are removed, also after Ctrl-C.";

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Encrypt a plain image, into a new file or where it lies
    #[command(after_help = ENCRYPT)]
    Encrypt(Encrypt),
    /// Decrypt an image, into a new file or where it lies
    #[command(after_help = DECRYPT)]
    Decrypt(Decrypt),
    /// Encrypt an encrypted image anew: a fresh volume key, another passphrase
    #[command(after_help = RECRYPT)]
    Recrypt(Recrypt),
    /// Go on with an interrupted change in place
    #[command(after_help = RESUME)]
    Resume(Settle),
    /// Take an interrupted change in place back
    #[command(after_help = CANCEL)]
    Cancel(Settle),
    /// Show what an image is
    #[command(after_help = INFO)]
    Info(Info),
    /// Check that an image is whole, really encrypted, and that a passphrase opens it
    #[command(after_help = CHECK)]
    Check(Check),
    /// Measure how fast this machine encrypts, and what holds it up
    #[command(after_help = BENCH)]
    Bench(Bench),
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

/// What is changed, and where the result goes.
#[derive(Debug, Args)]
pub struct Paths {
    /// The image to read, or with --in-place to change
    #[arg(value_hint = ValueHint::FilePath)]
    pub src: PathBuf,
    /// The new image; it must not exist
    #[arg(value_hint = ValueHint::FilePath, required_unless_present = "in_place")]
    pub dst: Option<PathBuf>,
    /// Change SRC itself: needs no room for a second copy, and can be interrupted, resumed and taken back
    #[arg(long, conflicts_with = "dst")]
    pub in_place: bool,
}

/// How the image to read is read.
#[derive(Debug, Clone, Copy, Args)]
pub struct SourceArgs {
    /// Read the files that SRC stands on too, by the names in it, and make one image of them all; also the parts of a split VMDK disk
    #[arg(long, conflicts_with = "in_place")]
    pub flatten: bool,
    /// SRC's format; without it raw, qcow2 and luks are told by the first bytes, which the guest of a raw disk can choose
    #[arg(long, value_enum, value_name = "FORMAT", conflicts_with = "in_place")]
    pub source_format: Option<SourceFormat>,
}

/// The format of an image to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SourceFormat {
    /// The disk's bytes, one after the other
    Raw,
    /// QEMU's copy-on-write format
    Qcow2,
    /// A raw LUKS1 volume
    Luks,
    /// The format of vSphere; this and those below are read through qemu-nbd
    Vmdk,
    /// The format of Hyper-V
    Vhdx,
    /// The older VHD, of Azure too
    #[value(alias = "vhd")]
    Vpc,
    /// The format of Virtual Box
    Vdi,
    /// The format of Parallels
    Parallels,
    /// The first version of qcow
    Qcow,
    /// QEMU's enhanced disk
    Qed,
    /// Apple's disk image
    Dmg,
    /// The growing image of Bochs
    Bochs,
    /// A compressed loop
    Cloop,
}

/// `cadenas disk encrypt`
#[derive(Debug, Args)]
pub struct Encrypt {
    /// What and where.
    #[command(flatten)]
    pub paths: Paths,
    /// How SRC is read.
    #[command(flatten)]
    pub source: SourceArgs,
    /// The encrypted image's format: qcow2 with LUKS inside, or `luks` [default: qcow2; in place what keeps holes]
    #[arg(short = 'O', long, visible_alias = "format", value_enum, value_name = "FORMAT")]
    pub out_format: Option<DiskFormat>,
    /// The passphrase.
    #[command(flatten)]
    pub passphrase: PassphraseArgs,
    /// How hard the passphrase is to guess.
    #[command(flatten)]
    pub guessing: GuessingArgs,
    /// How much of the machine it may take.
    #[command(flatten)]
    pub tuning: TuningArgs,
}

/// `cadenas disk decrypt`
#[derive(Debug, Args)]
pub struct Decrypt {
    /// What and where.
    #[command(flatten)]
    pub paths: Paths,
    /// How SRC is read.
    #[command(flatten)]
    pub source: SourceArgs,
    /// The new image's format: raw or qcow2 [default: raw; in place the format stays]
    #[arg(short = 'O', long, visible_alias = "format", value_enum, value_name = "FORMAT", conflicts_with = "in_place")]
    pub out_format: Option<DiskFormat>,
    /// The passphrase.
    #[command(flatten)]
    pub passphrase: PassphraseArgs,
    /// How much of the machine it may take.
    #[command(flatten)]
    pub tuning: TuningArgs,
}

/// `cadenas disk recrypt`
#[derive(Debug, Args)]
pub struct Recrypt {
    /// What and where.
    #[command(flatten)]
    pub paths: Paths,
    /// The passphrase.
    #[command(flatten)]
    pub passphrase: PassphraseArgs,
    /// Read the new passphrase from a file; one newline at its end is dropped
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub new_passphrase_file: Option<PathBuf>,
    /// How hard the passphrase is to guess.
    #[command(flatten)]
    pub guessing: GuessingArgs,
    /// How much of the machine it may take.
    #[command(flatten)]
    pub tuning: TuningArgs,
}

/// How hard a new passphrase is to guess.
#[derive(Debug, Clone, Copy, Args)]
pub struct GuessingArgs {
    /// How long one attempt at the passphrase shall take on this machine, in milliseconds
    #[arg(long, value_name = "MS", default_value = "2000", value_parser = milliseconds)]
    pub iter_time: Duration,
}

/// `cadenas disk resume` and `cadenas disk cancel`
#[derive(Debug, Args)]
pub struct Settle {
    /// The image whose change was interrupted
    #[arg(value_hint = ValueHint::FilePath)]
    pub disk: PathBuf,
    /// The passphrase.
    #[command(flatten)]
    pub passphrase: PassphraseArgs,
    /// How much of the machine it may take.
    #[command(flatten)]
    pub tuning: TuningArgs,
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

/// `cadenas disk bench`
#[derive(Debug, Args)]
pub struct Bench {
    /// Where the scratch files go: the folder whose medium is to be measured
    #[arg(long, value_name = "DIR", default_value = ".", value_hint = ValueHint::DirPath)]
    pub folder: PathBuf,
    /// How large the scratch disk is, in bytes or with K, M, G
    #[arg(long, value_name = "SIZE", default_value = "1G", value_parser = byte_count)]
    pub size: NonZeroU64,
    /// Threads [default: enough for the cores and for the disk]
    #[command(flatten)]
    pub tuning: TuningArgs,
}

fn milliseconds(text: &str) -> Result<Duration, String> {
    const LONGEST_MS: u64 = 60_000;
    match text.parse::<u64>() {
        Ok(ms) if (1..=LONGEST_MS).contains(&ms) => Ok(Duration::from_millis(ms)),
        _ => Err(format!("give 1 to {LONGEST_MS} milliseconds")),
    }
}
