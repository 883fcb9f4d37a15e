//! `cadenas disk --in-place`, `resume` and `cancel`: the image itself is changed, with a journal beside it.

use std::{
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
};

use cadenas_image::{
    Access, File, Format, ImageError, ImageInfo, ImageLock, Locking, Storage as _,
    in_place::{Change, InPlace, extra_space, is_between},
    inspect, usage,
};
use cadenas_secret::SecretBytes;

use super::{
    DiskError, expect_encrypted, new_key, new_passphrase, old_passphrase,
    show::DiskInfo,
    tuning, warn_of_padding,
    work::{self, Work},
};
use crate::{
    args::{
        disk::{Decrypt, DiskFormat, Encrypt, Recrypt, Settle},
        tuning::TuningArgs,
    },
    commands::{Ended, Result},
    output::{Printer, human::size, warn},
};

pub(super) fn encrypt(printer: &Printer, args: &Encrypt) -> Result {
    let place = Place::unchanged(&args.paths.src)?;
    let info = inspect(&place.image).map_err(DiskError::from)?;
    if info.encryption.is_some() {
        return Err(DiskError::AlreadyEncrypted { path: place.path }.into());
    }
    let format = place.encrypted_format(&info, args.out_format)?;
    if info.format == Format::Raw {
        warn_of_padding(&place.path, &info);
    }
    let passphrase = new_passphrase(args.passphrase.passphrase_file.as_deref(), &place.path)?;
    let change = Change::Encrypt { into: format, key: new_key(&passphrase, args.guessing) };
    place.change(printer, "encrypt", info.format, &change, args.tuning)
}

pub(super) fn decrypt(printer: &Printer, args: &Decrypt) -> Result {
    let place = Place::unchanged(&args.paths.src)?;
    let info = expect_encrypted(&place.image, &place.path)?;
    let passphrase = old_passphrase(args.passphrase.passphrase_file.as_deref(), &place.path)?;
    let change = Change::Decrypt { passphrase: &passphrase, len: None };
    place.change(printer, "decrypt", info.format, &change, args.tuning)
}

pub(super) fn recrypt(printer: &Printer, args: &Recrypt) -> Result {
    let place = Place::unchanged(&args.paths.src)?;
    let info = expect_encrypted(&place.image, &place.path)?;
    let old = old_passphrase(args.passphrase.passphrase_file.as_deref(), &place.path)?;
    let new = new_passphrase(args.new_passphrase_file.as_deref(), &place.path)?;
    let change = Change::Recrypt { passphrase: &old, key: new_key(&new, args.guessing) };
    place.change(printer, "recrypt", info.format, &change, args.tuning)
}

pub(super) fn resume(printer: &Printer, args: &Settle) -> Result {
    settle(printer, args, "resume", |in_place, work| in_place.run(&tuning(args.tuning), work))
}

pub(super) fn cancel(printer: &Printer, args: &Settle) -> Result {
    settle(printer, args, "cancel", |in_place, work| in_place.undo(&tuning(args.tuning), work))
}

fn settle(
    printer: &Printer,
    args: &Settle,
    verb: &str,
    settle: impl FnOnce(&mut InPlace<'_>, &Work) -> Result<(), ImageError>,
) -> Result {
    let place = Place::interrupted(&args.disk)?;
    let journal = File::open(&place.journal, Access::Write).map_err(DiskError::from)?;
    let passphrase = old_passphrase(args.passphrase.passphrase_file.as_deref(), &place.path)?;
    let mut in_place = place.opened(&journal, &passphrase)?;
    let work = Work::new(printer, verb, &place.path);
    let settled = settle(&mut in_place, &work);
    work.clear();
    place.finish(printer, settled)
}

/// An image that nobody else uses, and where its journal is or will be.
struct Place {
    path: PathBuf,
    image: File,
    _lock: ImageLock,
    journal: PathBuf,
}

impl Place {
    /// Of an image that no change in place has half done.
    fn unchanged(path: &Path) -> Result<Self, DiskError> {
        let place = Self::open(path)?;
        if place.journal_is_there() {
            return Err(DiskError::Interrupted { path: place.path, journal: place.journal });
        }
        if is_between(&place.image)? {
            return Err(DiskError::JournalGone { path: place.path, journal: place.journal });
        }
        Ok(place)
    }

    /// Of an image whose change in place was interrupted.
    fn interrupted(path: &Path) -> Result<Self, DiskError> {
        let place = Self::open(path)?;
        match (place.journal_is_there(), is_between(&place.image)?) {
            (true, _) => Ok(place),
            (false, true) => Err(DiskError::JournalGone { path: place.path, journal: place.journal }),
            (false, false) => Err(DiskError::NothingInterrupted { path: place.path, journal: place.journal }),
        }
    }

    fn open(path: &Path) -> Result<Self, DiskError> {
        // Beside the file itself, whatever links lead to it.
        let path =
            fs::canonicalize(path).map_err(|source| ImageError::Open { image: path.display().to_string(), source })?;
        let image = File::open(&path, Access::Write)?;
        let lock = image.lock(Locking::Exclusive)?;
        let mut journal = OsString::from(&path);
        journal.push(".cadenas-journal");
        Ok(Self { path, image, _lock: lock, journal: journal.into() })
    }

    /// A journal that is not whole was never begun with, or ended with: the image tells which of the two it is by itself.
    fn opened<'a>(&'a self, journal: &'a File, passphrase: &SecretBytes) -> Result<InPlace<'a>, DiskError> {
        InPlace::open(&self.image, journal, passphrase).map_err(|error| match error {
            ImageError::JournalDamaged { .. } if matches!(is_between(&self.image), Ok(false)) => {
                DiskError::JournalUseless { path: self.path.clone(), journal: self.journal.clone() }
            }
            error => error.into(),
        })
    }

    fn journal_is_there(&self) -> bool {
        fs::symlink_metadata(&self.journal).is_ok()
    }

    /// As a copy in a VM home decides: what keeps holes. Only qcow2 does.
    fn encrypted_format(&self, info: &ImageInfo, wanted: Option<DiskFormat>) -> Result<Format, DiskError> {
        let has_holes = usage(&self.image, info)?.has_holes;
        match (info.format, wanted) {
            (_, Some(DiskFormat::Raw)) => Err(DiskError::RawIsPlain),
            (Format::Qcow2, Some(DiskFormat::Luks)) => Err(DiskError::StaysQcow2 { path: self.path.clone() }),
            (Format::Raw, Some(DiskFormat::Luks)) => {
                if has_holes {
                    warn(&format!("the holes of {} are filled: a LUKS volume has none", self.path.display()));
                }
                Ok(Format::Luks)
            }
            (Format::Raw, None) if !has_holes => Ok(Format::Luks),
            _ => Ok(Format::Qcow2),
        }
    }

    fn change(self, printer: &Printer, verb: &str, format: Format, change: &Change<'_>, args: TuningArgs) -> Result {
        let extra = extra_space(&self.image, format, change).map_err(DiskError::from)?;
        work::expect_free(&self.path, extra.during)?;
        let journal = self.new_journal()?;
        let mut in_place = self.prepare(&journal, format, change)?;
        let work = Work::new(printer, verb, &self.path);
        let done = in_place.run(&tuning(args), &work);
        work.clear();
        self.finish(printer, done)
    }

    /// A journal gets its name when it is whole, so that none is ever found half written. The lock on the image keeps others away
    /// from the name that it has until then: whatever is there was left by a crash.
    fn new_journal(&self) -> Result<File, DiskError> {
        let unnamed = self.unnamed_journal();
        match fs::remove_file(&unnamed) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                return Err(DiskError::File { operation: "remove", path: unnamed, source });
            }
            _ => {}
        }
        Ok(File::create_new(&unnamed)?)
    }

    fn unnamed_journal(&self) -> PathBuf {
        let mut path = OsString::from(&self.journal);
        path.push(".new");
        path.into()
    }

    /// Until the journal is whole and has its name for good, the image is not touched.
    fn prepare<'a>(&'a self, journal: &'a File, format: Format, change: &Change<'_>) -> Result<InPlace<'a>, DiskError> {
        let prepared = InPlace::prepare(&self.image, journal, format, change).map_err(DiskError::from);
        let named = prepared.and_then(|prepared| {
            fs::rename(journal.path(), &self.journal).map_err(|source| DiskError::File {
                operation: "rename",
                path: journal.path().to_owned(),
                source,
            })?;
            work::flush(work::folder_of(&self.journal))?;
            Ok(prepared)
        });
        // The error that led here matters more than one of removing an unused journal.
        named.inspect_err(|_| {
            drop(fs::remove_file(journal.path()));
            drop(fs::remove_file(&self.journal));
        })
    }

    fn finish(&self, printer: &Printer, done: Result<(), ImageError>) -> Result {
        done.map_err(|source| DiskError::HalfChanged { path: self.path.clone(), source })?;
        fs::remove_file(&self.journal).map_err(|source| DiskError::File {
            operation: "remove",
            path: self.journal.clone(),
            source,
        })?;
        work::flush(work::folder_of(&self.journal))?;
        let info = inspect(&self.image).map_err(DiskError::from)?;
        let usage = usage(&self.image, &info).map_err(DiskError::from)?;
        let len = self.image.len().unwrap_or_default();
        let now = DiskInfo::new(&self.path, &info, &usage);
        printer.done(&now, |now| format!("{} is changed: {}; the file has {}", now.path, now.words(), size(len)))?;
        Ok(Ended::Well)
    }
}
