//! The memory of a process, as gdb writes it.

use std::{
    fs::{self, File},
    io::{BufReader, Read},
    path::Path,
};

use aho_corasick::AhoCorasick;
use cadenas_e2e::try_run;

use crate::hunt::Hunt;

const PAGE: usize = 4096;

/// The core file of a process, with its registers.
pub(crate) struct Memory {
    /// Without the pages of zeros, which are most of it.
    core: Vec<u8>,
    /// Where in the file the pages of `core` were.
    pages: Vec<usize>,
    maps: String,
}

/// How much of a process's memory.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Extent {
    /// What a core file has: without what `MADV_DONTDUMP` keeps out.
    AsDumped,
    /// Everything.
    Whole,
}

/// Where something is in a core file, and where it was in memory.
struct Segment {
    offset: usize,
    address: usize,
    len: usize,
}

impl Memory {
    /// Reads it as root can, though the process forbids it to others.
    pub(crate) fn of(pid: u32, extent: Extent) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let core = folder.path().join("core");
        let excluded = if extent == Extent::Whole { "on" } else { "off" };
        let commands = [
            format!("attach {pid}"),
            format!("set dump-excluded-mappings {excluded}"),
            format!("gcore {}", core.display()),
            "detach".to_owned(),
        ];
        let told = commands.iter().flat_map(|command| ["-ex", command]);
        let maps = fs::read_to_string(format!("/proc/{pid}/maps")).expect("a living process");
        // Symbols are not needed and take seconds to load.
        let said = try_run("gdb", ["-nx", "-batch", "-iex", "set auto-solib-add off"].into_iter().chain(told));
        let (pages, core) = filled_pages(&core).unwrap_or_else(|error| panic!("no core file ({error}): {said}"));
        Self { core, pages, maps }
    }

    /// Whether bytes that are no secret occur: a control.
    pub(crate) fn has(&self, text: &str) -> bool {
        AhoCorasick::new([text]).expect("one pattern").is_match(&self.core)
    }

    /// What was found, and where.
    pub(crate) fn find(&self, hunt: &Hunt) -> Vec<String> {
        let segments = self.segments();
        let place = |offset: usize| self.place(self.pages[offset / PAGE] + offset % PAGE, &segments);
        hunt.find(&self.core).iter().map(|finding| format!("{finding}, {}", place(finding.offset))).collect()
    }

    fn place(&self, offset: usize, segments: &[Segment]) -> String {
        let segment = segments.iter().find(|segment| (segment.offset..segment.offset + segment.len).contains(&offset));
        let Some(segment) = segment else { return "in the registers of a thread".to_owned() };
        let address = segment.address + (offset - segment.offset);
        format!("address {address:#x} in {}", self.mapping(address).unwrap_or("no mapping"))
    }

    /// The line of `/proc/PID/maps`.
    fn mapping(&self, address: usize) -> Option<&str> {
        self.maps.lines().find(|line| {
            let bounds = line.split([' ', '-']).take(2).map(|bound| usize::from_str_radix(bound, 16));
            matches!(bounds.collect::<Vec<_>>()[..], [Ok(start), Ok(end)] if (start..end).contains(&address))
        })
    }

    /// What the program headers say (ELF64, little endian), which are the file's first pages and not zeros.
    fn segments(&self) -> Vec<Segment> {
        const PT_LOAD: usize = 1;
        let number = |at: usize, len: usize| {
            self.core[at..at + len].iter().rev().fold(0_usize, |number, &byte| number << 8 | usize::from(byte))
        };
        assert!(self.core.starts_with(b"\x7fELF"), "a core file");
        let (table, entry_len, count) = (number(0x20, 8), number(0x36, 2), number(0x38, 2));
        let entries = (0..count).map(|index| table + index * entry_len);
        let loaded = entries.filter(|&entry| number(entry, 4) == PT_LOAD);
        loaded
            .map(|entry| Segment {
                offset: number(entry + 8, 8),
                address: number(entry + 16, 8),
                len: number(entry + 32, 8),
            })
            .collect()
    }
}

/// The pages of a file that are not all zeros, and where they are.
fn filled_pages(path: &Path) -> std::io::Result<(Vec<usize>, Vec<u8>)> {
    let mut file = BufReader::with_capacity(1 << 20, File::open(path)?);
    let (mut pages, mut filled) = (Vec::new(), Vec::new());
    for offset in (0..).step_by(PAGE) {
        let mut page = Vec::with_capacity(PAGE);
        if file.by_ref().take(PAGE as u64).read_to_end(&mut page)? == 0 {
            break;
        }
        if page != [0; PAGE][..page.len()] {
            pages.push(offset);
            filled.append(&mut page);
        }
    }
    Ok((pages, filled))
}
