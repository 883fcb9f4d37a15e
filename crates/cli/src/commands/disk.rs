//! `cadenas disk`: the engine on image files, without a server.

mod error;
mod work;

pub(crate) use error::DiskError;

use std::path::Path;

use cadenas_image::{
    Access, CheckReport, Encryption, File, Format, ImageInfo, Locking, NewKey, Target, Usage, check, inspect,
    open_source, usage,
};
use cadenas_luks::rounds_for;
use serde::Serialize;
use uuid::Uuid;

use super::{Ended, Result};
use crate::{
    args::disk::{Check, Command, Decrypt, DiskFormat, Encrypt, Info, Paths},
    output::{Look, Printer, human::size, table::Table, warn},
    password::{self, Kind},
};
use work::Work;

pub(crate) fn run(printer: &Printer, command: Command) -> Result {
    match command {
        Command::Encrypt(args) => encrypt(printer, &args),
        Command::Decrypt(args) => decrypt(printer, &args),
        Command::Info(args) => info(printer, &args),
        Command::Check(args) => check_image(printer, &args),
    }
}

fn encrypt(printer: &Printer, args: &Encrypt) -> Result {
    let target = encrypted_target(args.out_format)?;
    work::refuse_taken(&args.paths)?;
    let image = opened(&args.paths.src)?;
    let _lock = image.lock(Locking::Shared).map_err(DiskError::from)?;
    if inspect(&image).map_err(DiskError::from)?.encryption.is_some() {
        return Err(DiskError::AlreadyEncrypted { path: args.paths.src.clone() }.into());
    }
    let source = open_source(&image, None).map_err(DiskError::from)?;
    work::expect_room(&image, source.info(), &target, &args.paths.dst)?;
    warn_of_padding(&args.paths.src, source.info());
    let of = args.paths.dst.display().to_string();
    let passphrase = password::new(Kind::Passphrase, args.passphrase.passphrase_file.as_deref(), &of)?;
    let key = NewKey { passphrase: &passphrase, rounds: rounds_for(args.iter_time), uuid: Uuid::new_v4() };
    let made = Work::new(printer, "encrypt", &args.paths).convert(&source, &target, Some(key))?;
    tell_made(printer, &args.paths, &made)
}

fn decrypt(printer: &Printer, args: &Decrypt) -> Result {
    let target = plain_target(args.out_format)?;
    work::refuse_taken(&args.paths)?;
    let image = opened(&args.paths.src)?;
    let _lock = image.lock(Locking::Shared).map_err(DiskError::from)?;
    if inspect(&image).map_err(DiskError::from)?.encryption.is_none() {
        return Err(DiskError::NotEncrypted { path: args.paths.src.clone() }.into());
    }
    let of = args.paths.src.display().to_string();
    let passphrase = password::existing(Kind::Passphrase, args.passphrase.passphrase_file.as_deref(), &of)?;
    let source = open_source(&image, Some(&passphrase)).map_err(DiskError::from)?;
    work::expect_room(&image, source.info(), &target, &args.paths.dst)?;
    let made = Work::new(printer, "decrypt", &args.paths).convert(&source, &target, None)?;
    tell_made(printer, &args.paths, &made)
}

/// Takes no lock: it reads headers and tables alone, and may be asked about a disk in use.
fn info(printer: &Printer, args: &Info) -> Result {
    let image = opened(&args.src)?;
    let info = inspect(&image).map_err(DiskError::from)?;
    let usage = usage(&image, &info).map_err(DiskError::from)?;
    printer.show(&DiskInfo::new(&args.src, &info, &usage), DiskInfo::text)?;
    Ok(Ended::Well)
}

fn check_image(printer: &Printer, args: &Check) -> Result {
    let image = opened(&args.src)?;
    let _lock = image.lock(Locking::Shared).map_err(DiskError::from)?;
    let encrypted = inspect(&image).map_err(DiskError::from)?.encryption.is_some();
    let file = args.passphrase.passphrase_file.as_deref();
    // A plain image is checked too, but a passphrase that is given for it is a mistake to be told.
    let passphrase = match (encrypted, file) {
        (false, None) => None,
        _ => Some(password::existing(Kind::Passphrase, file, &args.src.display().to_string())?),
    };
    let report = check(&image, passphrase.as_ref()).map_err(DiskError::from)?;
    let checked = Checked::new(&args.src, encrypted, report);
    printer.show(&checked, Checked::text)?;
    Ok(if checked.problem_count == 0 { Ended::Well } else { Ended::Badly })
}

fn opened(path: &Path) -> Result<File> {
    Ok(File::open(path, Access::Read).map_err(DiskError::from)?)
}

fn encrypted_target(format: DiskFormat) -> Result<Target, DiskError> {
    match format {
        DiskFormat::Qcow2 => Ok(Target::Qcow2Luks { cluster_size: Target::DEFAULT_CLUSTER_SIZE }),
        DiskFormat::Luks => Ok(Target::Luks),
        DiskFormat::Raw => Err(DiskError::RawIsPlain),
    }
}

fn plain_target(format: DiskFormat) -> Result<Target, DiskError> {
    match format {
        DiskFormat::Qcow2 => Ok(Target::Qcow2 { cluster_size: Target::DEFAULT_CLUSTER_SIZE }),
        DiskFormat::Raw => Ok(Target::Raw { len: None }),
        DiskFormat::Luks => Err(DiskError::LuksIsEncrypted),
    }
}

fn warn_of_padding(path: &Path, info: &ImageInfo) {
    let len = std::fs::metadata(path).map_or(0, |metadata| metadata.len());
    if info.format == Format::Raw && len < info.virtual_size {
        let (path, missing) = (path.display(), info.virtual_size - len);
        warn(&format!("{path} does not end with a whole sector; {missing} zero bytes are added to the disk"));
    }
}

fn tell_made(printer: &Printer, paths: &Paths, made: &ImageInfo) -> Result {
    let usage = usage(&opened(&paths.dst)?, made).map_err(DiskError::from)?;
    let made = DiskInfo::new(&paths.dst, made, &usage);
    printer.done(&made, |made| {
        let encryption = if made.encryption.is_some() { "encrypted" } else { "plain" };
        format!("{} is made: {}, {encryption}, {}", made.path, made.format, size(made.virtual_size))
    })?;
    Ok(Ended::Well)
}

/// What `disk info` prints as JSON; sizes in bytes.
#[derive(Debug, Serialize)]
struct DiskInfo {
    path: String,
    format: String,
    virtual_size: u64,
    allocated: u64,
    has_holes: bool,
    cluster_size: Option<u64>,
    encryption: Option<EncryptionInfo>,
    backing_file: Option<String>,
    data_file: Option<String>,
    snapshots: u32,
}

#[derive(Debug, Serialize)]
struct EncryptionInfo {
    format: &'static str,
    cipher: String,
    uuid: Uuid,
    active_slots: Vec<u8>,
}

impl DiskInfo {
    fn new(path: &Path, info: &ImageInfo, usage: &Usage) -> Self {
        Self {
            path: path.display().to_string(),
            format: info.format.to_string(),
            virtual_size: info.virtual_size,
            allocated: usage.allocated,
            has_holes: usage.has_holes,
            cluster_size: info.cluster_size,
            encryption: info.encryption.as_ref().map(EncryptionInfo::new),
            backing_file: info.backing_file.clone(),
            data_file: info.data_file.clone(),
            snapshots: info.snapshots,
        }
    }

    fn text(&self, _look: &Look) -> String {
        let mut fields = vec![
            ("Image", self.path.clone()),
            ("Format", self.format.clone()),
            ("Size", format!("{} ({} bytes)", size(self.virtual_size), self.virtual_size)),
            ("Stored", size(self.allocated)),
            ("Encrypted", if self.encryption.is_some() { "yes" } else { "no" }.to_owned()),
        ];
        if let Some(encryption) = &self.encryption {
            let slots = encryption.active_slots.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            fields.push(("Cipher", format!("{} ({})", encryption.cipher, encryption.format)));
            fields.extend([("LUKS UUID", encryption.uuid.to_string()), ("Key slots", slots)]);
        }
        fields.extend(self.backing_file.iter().map(|file| ("Backing file", file.clone())));
        fields.extend(self.data_file.iter().map(|file| ("Data file", file.clone())));
        if self.snapshots > 0 {
            fields.push(("Snapshots", self.snapshots.to_string()));
        }
        Table::fields(fields).text()
    }
}

impl EncryptionInfo {
    fn new(encryption: &Encryption) -> Self {
        Self {
            format: "luks1",
            cipher: encryption.cipher.clone(),
            uuid: encryption.uuid,
            active_slots: encryption.active_slots.clone(),
        }
    }
}

/// What `disk check` prints as JSON.
#[derive(Debug, Serialize)]
struct Checked {
    path: String,
    encrypted: bool,
    opened_slot: Option<u8>,
    problem_count: u64,
    problems: Vec<String>,
    leaked_clusters: u64,
}

impl Checked {
    fn new(path: &Path, encrypted: bool, report: CheckReport) -> Self {
        let CheckReport { opened_slot, problems, problem_count, leaked_clusters, .. } = report;
        Self { path: path.display().to_string(), encrypted, opened_slot, problem_count, problems, leaked_clusters }
    }

    fn text(&self, _look: &Look) -> String {
        let verdict = match (self.problem_count, self.opened_slot) {
            (0, Some(slot)) => format!("{} is whole, and the passphrase opens its key slot {slot}", self.path),
            (0, None) => format!("{} is whole; it is not encrypted", self.path),
            (count, _) => format!("{} has {count} problem(s):", self.path),
        };
        let problems = self.problems.iter().map(|problem| format!("  {problem}"));
        let leaked = (self.leaked_clusters > 0)
            .then(|| format!("  {} clusters are lost room, which harms nothing", self.leaked_clusters));
        [verdict].into_iter().chain(problems).chain(leaked).collect::<Vec<_>>().join("\n")
    }
}
