//! The memory of a process, as gdb writes it.

use std::{fs, path::Path};

use cadenas_e2e::try_run;

use crate::hunt::Hunt;

/// The core file of a process, and its map, both of one instant.
pub(crate) struct Memory {
    core: Vec<u8>,
    /// Where each loaded segment is: offset in the file, address, length.
    segments: Vec<(usize, u64, usize)>,
    maps: String,
}

/// What a process's memory is when it dumps core, and all of it.
pub(crate) struct Memories {
    /// Without what `MADV_DONTDUMP` keeps out.
    pub(crate) dumped: Memory,
    /// With it.
    pub(crate) whole: Memory,
}

impl Memories {
    /// Reads them as root can, though the process forbids it to others.
    pub(crate) fn of(pid: u32) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (dumped, whole) = (folder.path().join("dumped"), folder.path().join("whole"));
        let maps = fs::read_to_string(format!("/proc/{pid}/maps")).expect("a living process");
        let commands = [
            // Symbols are not needed and take seconds to load.
            format!("attach {pid}"),
            format!("gcore {}", dumped.display()),
            "set dump-excluded-mappings on".to_owned(),
            format!("gcore {}", whole.display()),
            "detach".to_owned(),
        ];
        let told = commands.iter().flat_map(|command| ["-ex", command]);
        let said = try_run("gdb", ["-nx", "-batch", "-iex", "set auto-solib-add off"].into_iter().chain(told));
        let read = |path: &Path| Memory::read(path, &maps).unwrap_or_else(|| panic!("no core file: {said}"));
        Self { dumped: read(&dumped), whole: read(&whole) }
    }
}

impl Memory {
    fn read(path: &Path, maps: &str) -> Option<Self> {
        let core = fs::read(path).ok()?;
        Some(Self { segments: segments(&core)?, core, maps: maps.to_owned() })
    }

    /// How often bytes that are no secret occur: a control.
    pub(crate) fn count(&self, text: &str) -> usize {
        aho_corasick::AhoCorasick::new([text]).expect("one pattern").find_iter(&self.core).count()
    }

    /// What was found, and where.
    pub(crate) fn find(&self, hunt: &Hunt) -> Vec<String> {
        hunt.find(&self.core).iter().map(|finding| format!("{finding}, {}", self.place(finding.offset))).collect()
    }

    fn place(&self, offset: usize) -> String {
        let address = self.segments.iter().find_map(|&(start, address, len)| {
            let inside = offset.checked_sub(start).filter(|&inside| inside < len)?;
            Some(address + u64::try_from(inside).expect("a file's length"))
        });
        let Some(address) = address else { return "in the registers".to_owned() };
        format!("address {address:#x} in {}", self.mapping(address).unwrap_or("no mapping"))
    }

    /// The line of `/proc/PID/maps`.
    fn mapping(&self, address: u64) -> Option<&str> {
        self.maps.lines().find(|line| {
            let bounds = line.split([' ', '-']).take(2).map(|bound| u64::from_str_radix(bound, 16));
            matches!(bounds.collect::<Vec<_>>()[..], [Ok(start), Ok(end)] if (start..end).contains(&address))
        })
    }
}

/// The segments of type `PT_LOAD` of a 64-bit little-endian ELF file.
fn segments(core: &[u8]) -> Option<Vec<(usize, u64, usize)>> {
    let number = |at: usize, len: usize| {
        let bytes = core.get(at..at + len)?;
        Some(bytes.iter().rev().fold(0_u64, |number, &byte| number << 8 | u64::from(byte)))
    };
    let size = |at: usize, len: usize| usize::try_from(number(at, len)?).ok();
    if core.get(..4)? != b"\x7fELF" {
        return None;
    }
    let (table, entry_len, count) = (size(0x20, 8)?, size(0x36, 2)?, size(0x38, 2)?);
    let mut segments = Vec::new();
    for entry in (0..count).map(|index| table + index * entry_len) {
        if number(entry, 4)? == 1 {
            segments.push((size(entry + 8, 8)?, number(entry + 16, 8)?, size(entry + 32, 8)?));
        }
    }
    Some(segments)
}
