//! `cadenas disk check`: structure, passphrase, and whether what is stored is ciphertext.

use std::path::Path;

use cadenas_image::{CheckReport, Locking, SampleReport, check, inspect, sample};
use serde::Serialize;

use super::{DiskError, opened};
use crate::{
    args::disk::Check,
    commands::{Ended, Result},
    output::{Look, Printer},
    password::{self, Kind},
};

/// Enough that a disk of which one sector in two hundred is plain is found out in all but one of a hundred checks.
const SAMPLES: usize = 1024;

pub(super) fn run(printer: &Printer, args: &Check) -> Result {
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
    let sampled = match passphrase.as_ref().filter(|_| report.is_whole()) {
        Some(passphrase) => Some(sample(&image, Some(passphrase), SAMPLES).map_err(DiskError::from)?),
        None => None,
    };
    let checked = Checked::new(&args.src, encrypted, report, sampled);
    printer.show(&checked, Checked::text)?;
    Ok(if checked.is_well() { Ended::Well } else { Ended::Badly })
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
    /// Of an encrypted image that is whole.
    sample: Option<Sampled>,
}

/// Sectors of 512 bytes that were read, and where in the file those are that do not look like ciphertext.
#[derive(Debug, Serialize)]
struct Sampled {
    sectors_read: usize,
    empty: usize,
    looks_encrypted: usize,
    proven: usize,
    suspicious: Vec<u64>,
}

impl Checked {
    fn new(path: &Path, encrypted: bool, report: CheckReport, sampled: Option<SampleReport>) -> Self {
        let CheckReport { opened_slot, problems, problem_count, leaked_clusters, .. } = report;
        let sample = sampled.map(Sampled::from);
        let path = path.display().to_string();
        Self { path, encrypted, opened_slot, problem_count, problems, leaked_clusters, sample }
    }

    fn is_well(&self) -> bool {
        self.problem_count == 0 && self.sample.as_ref().is_none_or(|sample| sample.suspicious.is_empty())
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
        let sampled = self.sample.iter().map(Sampled::text);
        [verdict].into_iter().chain(problems).chain(leaked).chain(sampled).collect::<Vec<_>>().join("\n")
    }
}

impl From<SampleReport> for Sampled {
    fn from(report: SampleReport) -> Self {
        let SampleReport { sectors_read, empty, looks_encrypted, proven, suspicious } = report;
        Self { sectors_read, empty, looks_encrypted, proven, suspicious }
    }
}

impl Sampled {
    fn text(&self) -> String {
        let read = format!(
            "  of {} sectors read {} look encrypted, {} of them decrypt to plain data, {} were never written",
            self.sectors_read, self.looks_encrypted, self.proven, self.empty
        );
        match self.suspicious.first() {
            None => read,
            Some(first) => {
                format!("{read}; {} are not encrypted, the first at byte {first} of the file", self.suspicious.len())
            }
        }
    }
}
