//! The source of a copy: the file that is named, what it stands on, or a disk of another format.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use cadenas_image::{
    Access, File, Format, ImageError, ImageInfo, ImageLock, Locking, MAX_BACKING_FILES, Source, Storage,
    foreign::{Foreign, ForeignFormat, Parts},
    inspect_as, open_chain, probe,
};
use cadenas_secret::SecretBytes;

use super::DiskError;
use crate::{
    args::disk::{SourceArgs, SourceFormat},
    output::warn,
};

/// What a copy is read from, locked against writers.
pub(super) struct Images {
    disk: Disk,
    info: ImageInfo,
}

enum Disk {
    /// An image of a format of ours and the ones that it stands on, from the top down.
    Ours(Vec<Link>),
    Foreign(Foreign),
}

/// One image of a chain.
struct Link {
    file: File,
    format: Format,
    info: ImageInfo,
    _lock: ImageLock,
}

impl Images {
    /// Opens `src` and, if the user agreed, the files that it names; these are told, so that nothing is read unseen.
    pub(super) fn open(src: &Path, args: SourceArgs) -> Result<Self, DiskError> {
        match args.source_format.map(SourceFormat::told) {
            Some(Told::Foreign(format)) => Self::foreign(src, format, args.flatten),
            Some(Told::Ours(format)) => Self::ours(src, Some(format), args.flatten),
            None => Self::ours(src, None, args.flatten),
        }
    }

    /// What the image that was named says of itself.
    pub(super) fn info(&self) -> &ImageInfo {
        &self.info
    }

    /// Whether its length is the disk's.
    pub(super) fn is_raw(&self) -> bool {
        matches!(self.disk, Disk::Ours(_)) && self.info.format == Format::Raw
    }

    /// Opens it, with the passphrase of every encrypted image of the chain.
    pub(super) fn source(&self, passphrase: Option<&SecretBytes>) -> Result<Source<'_>, DiskError> {
        let links = match &self.disk {
            Disk::Foreign(disk) => return Ok(open_chain((disk, Format::Raw), &[], passphrase)?),
            Disk::Ours(links) => links,
        };
        let layers: Vec<(&dyn Storage, Format)> =
            links.iter().map(|link| (&link.file as &dyn Storage, link.format)).collect();
        let (top, below) = layers.split_first().expect("the image that was named");
        Ok(open_chain(*top, below, passphrase)?)
    }

    fn foreign(src: &Path, format: ForeignFormat, flatten: bool) -> Result<Self, DiskError> {
        let disk = Foreign::open(src, format, if flatten { Parts::Opened } else { Parts::Refused })?;
        for part in disk.parts() {
            warn(&format!("{} is read with its part {part:?}", src.display()));
        }
        let info = inspect_as(&disk, Format::Raw)?;
        Ok(Self { disk: Disk::Foreign(disk), info })
    }

    fn ours(src: &Path, format: Option<Format>, flatten: bool) -> Result<Self, DiskError> {
        let file = File::open(src, Access::Read)?;
        let format = match format {
            Some(format) => format,
            None => probed(&file, src)?,
        };
        let mut links = vec![Link::new(file, format)?];
        match &links[0].info.backing_file {
            Some(_) if flatten => follow(&mut links)?,
            Some(backing) => return Err(DiskError::HasBacking { path: src.to_owned(), backing: backing.clone() }),
            None => {}
        }
        Ok(Self { info: links[0].info.clone(), disk: Disk::Ours(links) })
    }
}

/// The format that a file begins with. What begins like a disk of another program's could be one, or a raw disk whose guest
/// made it look so: the user has to say.
fn probed(file: &File, src: &Path) -> Result<Format, DiskError> {
    let format = probe(file)?;
    match ForeignFormat::hint(file)? {
        Some(foreign) if format == Format::Raw || foreign == ForeignFormat::Qcow => {
            Err(DiskError::LooksForeign { path: src.to_owned(), format: foreign })
        }
        _ => Ok(format),
    }
}

impl Link {
    fn new(file: File, format: Format) -> Result<Self, DiskError> {
        let lock = file.lock(Locking::Shared)?;
        let info = inspect_as(&file, format)?;
        Ok(Self { file, format, info, _lock: lock })
    }

    /// What tells one file from another, whatever its name.
    fn identity(&self) -> Result<(u64, u64), DiskError> {
        let metadata = fs::metadata(self.file.path()).map_err(|source| self.unreadable(source))?;
        Ok((metadata.dev(), metadata.ino()))
    }

    fn unreadable(&self, source: io::Error) -> DiskError {
        DiskError::File { operation: "look at", path: self.file.path().to_owned(), source }
    }
}

/// Opens what the last image stands on, and so on to the end of the chain.
fn follow(links: &mut Vec<Link>) -> Result<(), DiskError> {
    let mut known = vec![links[0].identity()?];
    while let Some(below) = below(links.last().expect("one at least"))? {
        let identity = below.identity()?;
        if known.contains(&identity) {
            return Err(DiskError::ChainLoops { path: below.file.path().to_owned() });
        }
        if known.len() > MAX_BACKING_FILES {
            let image = links[0].file.name();
            return Err(ImageError::ChainTooLong { image, count: known.len() }.into());
        }
        let above = links.last().expect("one at least").file.path().display();
        warn(&format!("{above} stands on {} ({}), which is read too", below.file.path().display(), below.format));
        known.push(identity);
        links.push(below);
    }
    Ok(())
}

/// The image that another one stands on.
fn below(above: &Link) -> Result<Option<Link>, DiskError> {
    let Some(name) = above.info.backing_file.as_deref() else { return Ok(None) };
    let path = local_path(above.file.path(), name)?;
    let file = File::open(&path, Access::Read)?;
    let said = above.info.backing_format.as_deref();
    let format = match said {
        Some(said) => match said.parse() {
            Ok(format) => format,
            Err(_) => return Err(DiskError::BackingFormat { path, format: said.to_owned() }),
        },
        // A raw disk's guest chooses what it begins with: what is not said is not guessed, but for what QEMU's older versions left
        // unsaid when they made a qcow2 image upon another.
        None if probe(&file)? == Format::Qcow2 => Format::Qcow2,
        None => return Err(DiskError::BackingFormatUnsaid { path: above.file.path().to_owned(), backing: path }),
    };
    let link = Link::new(file, format)?;
    match &link.info.backing_file {
        // It may be a raw disk after all, and its guest then names any file of the host.
        Some(_) if said.is_none() => {
            Err(DiskError::BackingFormatUnsaid { path: above.file.path().to_owned(), backing: path })
        }
        _ => Ok(Some(link)),
    }
}

/// As QEMU resolves it: from the folder of the image that names it. A name of another protocol is not followed.
fn local_path(above: &Path, name: &str) -> Result<PathBuf, DiskError> {
    let file = name.strip_prefix("file:").unwrap_or(name);
    let first = file.split('/').next().unwrap_or(file);
    if file.is_empty() || first.contains(':') {
        return Err(DiskError::BackingElsewhere { path: above.to_owned(), name: name.to_owned() });
    }
    let folder = above.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Ok(folder.join(file))
}

/// A format as the user names it.
enum Told {
    Ours(Format),
    Foreign(ForeignFormat),
}

impl SourceFormat {
    fn told(self) -> Told {
        match self {
            Self::Raw => Told::Ours(Format::Raw),
            Self::Qcow2 => Told::Ours(Format::Qcow2),
            Self::Luks => Told::Ours(Format::Luks),
            Self::Vmdk => Told::Foreign(ForeignFormat::Vmdk),
            Self::Vhdx => Told::Foreign(ForeignFormat::Vhdx),
            Self::Vpc => Told::Foreign(ForeignFormat::Vpc),
            Self::Vdi => Told::Foreign(ForeignFormat::Vdi),
            Self::Parallels => Told::Foreign(ForeignFormat::Parallels),
            Self::Qcow => Told::Foreign(ForeignFormat::Qcow),
            Self::Qed => Told::Foreign(ForeignFormat::Qed),
            Self::Dmg => Told::Foreign(ForeignFormat::Dmg),
            Self::Bochs => Told::Foreign(ForeignFormat::Bochs),
            Self::Cloop => Told::Foreign(ForeignFormat::Cloop),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_from_the_images_folder_and_protocols_are_not_followed() {
        let resolved = |name| local_path(Path::new("/vms/a/top.qcow2"), name).ok();
        assert_eq!(resolved("base.raw"), Some("/vms/a/base.raw".into()));
        assert_eq!(resolved("../b/ba:se.raw"), Some("/vms/a/../b/ba:se.raw".into()));
        assert_eq!(resolved("/else/base"), Some("/else/base".into()));
        assert_eq!(resolved("file:base.raw"), Some("/vms/a/base.raw".into()));
        for name in ["", "nbd://host/disk", "json:{\"driver\":\"raw\"}", "fd:3", "file:nbd:x", "ssh:host/base"] {
            assert_eq!(resolved(name), None, "{name}");
        }
        assert_eq!(local_path(Path::new("top"), "base").ok(), Some("./base".into()));
    }
}
