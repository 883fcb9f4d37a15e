//! Whether what is stored really is ciphertext.

use cadenas_luks::{SECTOR_BYTES, SectorCipher};
use cadenas_secret::{SecretBytes, random};

use crate::{
    Format, ImageError, Source, Storage,
    plan::{Content, Extent},
};

/// What a look at some stored sectors found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SampleReport {
    /// Sectors of 512 bytes that were read; fewer than were asked for if fewer are stored.
    pub sectors_read: usize,
    /// Those that hold zeros alone: discarded, or never written. They tell nothing.
    pub empty: usize,
    /// Those whose bytes are spread as evenly as ciphertext's.
    pub looks_encrypted: usize,
    /// Those of them that decrypt to something that is not evenly spread: proof that the passphrase is theirs.
    pub proven: usize,
    /// Where in the file, in bytes, those are that do not look like ciphertext. In an encrypted image there are none.
    pub suspicious: Vec<u64>,
}

/// Reads up to `count` sectors, picked at random from all that are stored for the disk, and judges by the spread of their bytes.
///
/// The passphrase of an encrypted image is not needed, but with it sectors are decrypted too. Compressed data that is not
/// encrypted spreads as evenly as ciphertext: a guest's archives cannot be told from it, its text and programs can.
///
/// Works while a VM runs. It changes its tables meanwhile, so that what looks damaged is looked at again.
pub fn sample(
    storage: &dyn Storage,
    passphrase: Option<&SecretBytes>,
    count: usize,
) -> Result<SampleReport, ImageError> {
    const ATTEMPTS: usize = 5;
    let mut report = sample_once(storage, passphrase, count);
    for _ in 1..ATTEMPTS {
        if !matches!(report, Err(ImageError::Damaged { .. })) {
            break;
        }
        report = sample_once(storage, passphrase, count);
    }
    report
}

fn sample_once(
    storage: &dyn Storage,
    passphrase: Option<&SecretBytes>,
    count: usize,
) -> Result<SampleReport, ImageError> {
    let mut source = Source::locked(storage, Format::probe(storage)?)?;
    if passphrase.is_some() {
        source.unlock(passphrase)?;
    }
    let picked = pick(&source, count)?;
    let mut cipher = source.key().map(SectorCipher::new);
    let mut report = SampleReport::default();
    for host in picked {
        report.judge(host, source.raw_sector(host)?, cipher.as_mut().map(|cipher| (cipher, source.sector_at(host))));
    }
    Ok(report)
}

impl SampleReport {
    fn judge(&mut self, host: u64, mut sector: [u8; 512], cipher: Option<(&mut SectorCipher, u64)>) {
        self.sectors_read += 1;
        if sector == [0; 512] {
            self.empty += 1;
        } else if is_evenly_spread(&sector) {
            self.looks_encrypted += 1;
            if let Some((cipher, number)) = cipher {
                cipher.decrypt(number, &mut sector);
                self.proven += usize::from(!is_evenly_spread(&sector));
            }
        } else {
            self.suspicious.push(host);
        }
    }
}

/// Pearson's chi-squared test of 512 bytes against even spread. Over 256 values it has mean 255 and deviation 23: random
/// bytes pass the bound of 9 deviations once in some billion sectors, English text stands at about 8,000.
fn is_evenly_spread(sector: &[u8; 512]) -> bool {
    const BOUND: u32 = 460;
    let mut counts = [0_u32; 256];
    for byte in sector {
        counts[usize::from(*byte)] += 1;
    }
    // Two of each value are expected.
    counts.iter().map(|count| count.abs_diff(2).pow(2)).sum::<u32>() / 2 < BOUND
}

/// Offsets in the file of `count` stored sectors, ascending.
fn pick(source: &Source<'_>, count: usize) -> Result<Vec<u64>, ImageError> {
    let mut total = 0;
    for extent in source.extents() {
        total += sectors(&extent?);
    }
    let mut wanted = draw(total, count).into_iter().peekable();
    let (mut picked, mut passed) = (Vec::new(), 0);
    for extent in source.extents() {
        let extent = extent?;
        let start = match &extent.content {
            Content::Zero => continue,
            Content::Host(host) => *host,
            Content::Packed { host, .. } => host.start,
        };
        let end = passed + sectors(&extent);
        while let Some(number) = wanted.next_if(|number| *number < end) {
            picked.push(start + (number - passed) * SECTOR_BYTES);
        }
        passed = end;
    }
    picked.sort_unstable();
    Ok(picked)
}

/// Sectors that are stored for an extent; one stands for all of a compressed cluster.
fn sectors(extent: &Extent) -> u64 {
    match extent.content {
        Content::Zero => 0,
        Content::Host(_) => extent.len() / SECTOR_BYTES,
        Content::Packed { .. } => 1,
    }
}

/// Up to `count` different numbers below `total`, ascending.
fn draw(total: u64, count: usize) -> Vec<u64> {
    if total <= u64::try_from(count).unwrap_or(u64::MAX) {
        return (0..total).collect();
    }
    let mut numbers: Vec<u64> = (0..count).map(|_| u64::from_le_bytes(random::array()) % total).collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_programs_are_told_from_random_bytes() {
        for _ in 0..2_000 {
            assert!(is_evenly_spread(&random::array()));
        }
        let text = b"The quick brown fox jumps over the lazy dog. ".repeat(12);
        assert!(!is_evenly_spread(text[..512].try_into().expect("512 bytes")));
        assert!(!is_evenly_spread(&[0; 512]));
        let program = std::fs::read("/proc/self/exe").expect("this program");
        let (sectors, _) = program.as_chunks::<512>();
        let even = sectors.iter().filter(|sector| is_evenly_spread(sector)).count();
        assert!(even * 10 < sectors.len(), "{even} of {}", sectors.len());
    }
}
