//! `cadenas disk`: the engine on image files, without a server.

mod bench;
mod chain;
mod check;
mod direct;
mod error;
mod in_place;
mod show;
mod work;

pub(crate) use error::DiskError;

use std::path::Path;

use cadenas_image::{Access, File, ImageInfo, Locking, NewKey, Source, Target, Tuning, inspect, open_source, usage};
use cadenas_luks::rounds_for;
use cadenas_secret::SecretBytes;
use uuid::Uuid;

use super::{Ended, Result};
use crate::{
    args::{
        disk::{Command, Decrypt, DiskFormat, Encrypt, GuessingArgs, Info, Paths, Recrypt},
        tuning::TuningArgs,
    },
    output::{Printer, warn},
    password::{self, Kind},
};
use chain::Images;
use show::DiskInfo;
use work::Work;

pub(crate) fn run(printer: &Printer, command: Command) -> Result {
    match command {
        Command::Encrypt(args) => match &args.paths.dst {
            Some(dst) => encrypt(printer, &args, dst),
            None => in_place::encrypt(printer, &args),
        },
        Command::Decrypt(args) => match &args.paths.dst {
            Some(dst) => decrypt(printer, &args, dst),
            None => in_place::decrypt(printer, &args),
        },
        Command::Recrypt(args) => match &args.paths.dst {
            Some(dst) => recrypt(printer, &args, dst),
            None => in_place::recrypt(printer, &args),
        },
        Command::Resume(args) => in_place::resume(printer, &args),
        Command::Cancel(args) => in_place::cancel(printer, &args),
        Command::Info(args) => info(printer, &args),
        Command::Check(args) => check::run(printer, &args),
        Command::Bench(args) => bench::run(printer, &args),
    }
}

fn encrypt(printer: &Printer, args: &Encrypt, dst: &Path) -> Result {
    let src = &args.paths.src;
    let target = encrypted_target(args.out_format.unwrap_or(DiskFormat::Qcow2))?;
    work::refuse_taken(src, dst)?;
    let images = Images::open(src, args.source)?;
    if images.info().encryption.is_some() {
        return Err(DiskError::AlreadyEncrypted { path: src.clone() }.into());
    }
    let source = images.source(None)?;
    work::expect_room(&source, &target, dst)?;
    if images.is_raw() {
        warn_of_padding(src, source.info());
    }
    let passphrase = new_passphrase(args.passphrase.passphrase_file.as_deref(), dst)?;
    let key = Some(new_key(&passphrase, args.guessing));
    Copying { printer, verb: "encrypt", paths: &args.paths, dst, tuning: args.tuning }.make(&source, &target, key)
}

fn decrypt(printer: &Printer, args: &Decrypt, dst: &Path) -> Result {
    let src = &args.paths.src;
    let target = plain_target(args.out_format.unwrap_or(DiskFormat::Raw))?;
    work::refuse_taken(src, dst)?;
    let images = Images::open(src, args.source)?;
    if images.info().encryption.is_none() {
        return Err(DiskError::NotEncrypted { path: src.clone() }.into());
    }
    let passphrase = old_passphrase(args.passphrase.passphrase_file.as_deref(), src)?;
    let source = images.source(Some(&passphrase))?;
    work::expect_room(&source, &target, dst)?;
    Copying { printer, verb: "decrypt", paths: &args.paths, dst, tuning: args.tuning }.make(&source, &target, None)
}

fn recrypt(printer: &Printer, args: &Recrypt, dst: &Path) -> Result {
    let src = &args.paths.src;
    work::refuse_taken(src, dst)?;
    let image = opened(src)?;
    let _lock = image.lock(Locking::Shared).map_err(DiskError::from)?;
    expect_encrypted(&image, src)?;
    let old = old_passphrase(args.passphrase.passphrase_file.as_deref(), src)?;
    let source = open_source(&image, Some(&old)).map_err(DiskError::from)?;
    let target = same_format(source.info());
    work::expect_room(&source, &target, dst)?;
    let new = new_passphrase(args.new_passphrase_file.as_deref(), dst)?;
    let key = Some(new_key(&new, args.guessing));
    Copying { printer, verb: "recrypt", paths: &args.paths, dst, tuning: args.tuning }.make(&source, &target, key)
}

/// Takes no lock: it reads headers and tables alone, and may be asked about a disk in use.
fn info(printer: &Printer, args: &Info) -> Result {
    let image = opened(&args.src)?;
    let info = inspect(&image).map_err(DiskError::from)?;
    let usage = usage(&image, &info).map_err(DiskError::from)?;
    printer.show(&DiskInfo::new(&args.src, &info, &usage), DiskInfo::text)?;
    Ok(Ended::Well)
}

/// A copy into a new file.
struct Copying<'a> {
    printer: &'a Printer,
    verb: &'static str,
    paths: &'a Paths,
    dst: &'a Path,
    tuning: TuningArgs,
}

impl Copying<'_> {
    fn make(&self, source: &Source<'_>, target: &Target, key: Option<NewKey<'_>>) -> Result {
        let work = Work::new(self.printer, self.verb, &self.paths.src);
        let made = work.convert(self.dst, source, target, key, &tuning(self.tuning))?;
        let usage = usage(&opened(self.dst)?, &made).map_err(DiskError::from)?;
        let made = DiskInfo::new(self.dst, &made, &usage);
        self.printer.done(&made, |made| format!("{} is made: {}", made.path, made.words()))?;
        Ok(Ended::Well)
    }
}

fn opened(path: &Path) -> Result<File> {
    Ok(File::open(path, Access::Read).map_err(DiskError::from)?)
}

fn expect_encrypted(image: &File, path: &Path) -> Result<ImageInfo, DiskError> {
    let info = inspect(image)?;
    if info.encryption.is_none() {
        return Err(DiskError::NotEncrypted { path: path.to_owned() });
    }
    Ok(info)
}

fn old_passphrase(file: Option<&Path>, of: &Path) -> Result<SecretBytes> {
    Ok(password::existing(Kind::Passphrase, file, &of.display().to_string())?)
}

fn new_passphrase(file: Option<&Path>, of: &Path) -> Result<SecretBytes> {
    Ok(password::new(Kind::Passphrase, file, &of.display().to_string())?)
}

fn new_key(passphrase: &SecretBytes, guessing: GuessingArgs) -> NewKey<'_> {
    NewKey { passphrase, rounds: rounds_for(guessing.iter_time), uuid: Uuid::new_v4() }
}

fn tuning(args: TuningArgs) -> Tuning {
    Tuning { jobs: args.jobs, rate_limit: args.rate_limit }
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

fn same_format(info: &ImageInfo) -> Target {
    match info.cluster_size {
        Some(cluster_size) => Target::Qcow2Luks { cluster_size },
        None => Target::Luks,
    }
}

fn warn_of_padding(path: &Path, info: &ImageInfo) {
    let len = std::fs::metadata(path).map_or(0, |metadata| metadata.len());
    if len < info.virtual_size {
        let (path, missing) = (path.display(), info.virtual_size - len);
        warn(&format!("{path} does not end with a whole sector; {missing} zero bytes are added to the disk"));
    }
}
