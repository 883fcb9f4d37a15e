//! The prerequisites on this host, and how to mend each.
//!
//! What is read from `/proc`, `/sys` and `/etc` is read below a root folder, so that tests can give another one.

mod engine;
mod guests;
mod memory;

use std::path::{Path, PathBuf};

use cadenas_api::{Check, Verdict};
use cadenas_hypervisor::Hypervisor;

/// Every check, in the order in which a person would mend them.
#[must_use]
pub fn examine(hypervisor: &dyn Hypervisor) -> Vec<Check> {
    let system = System::here();
    vec![
        engine::libvirt(hypervisor),
        engine::qemu(hypervisor),
        engine::luks_driver(),
        engine::aes(&system),
        memory::tpm(&system),
        memory::locked_memory(&system),
        memory::core_dumps(&system),
        memory::swap(&system),
        guests::saved_at_shutdown(&system),
    ]
}

/// The system's files below a root, which is `/` but in tests.
struct System {
    root: PathBuf,
}

impl System {
    fn here() -> Self {
        Self { root: PathBuf::from("/") }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// The text of a file; empty when it cannot be read.
    fn text(&self, path: &str) -> String {
        std::fs::read_to_string(self.path(path)).unwrap_or_default()
    }

    /// The names in a folder; none when it cannot be read.
    fn names(&self, path: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.path(path)).into_iter().flatten().flatten();
        let mut names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }
}

fn check(name: &str, verdict: Verdict, found: impl Into<String>) -> Check {
    Check { name: name.to_owned(), verdict, found: found.into(), mend: None }
}

fn fine(name: &str, found: impl Into<String>) -> Check {
    check(name, Verdict::Ok, found)
}

fn warning(name: &str, found: impl Into<String>, mend: impl Into<String>) -> Check {
    Check { mend: Some(mend.into()), ..check(name, Verdict::Warning, found) }
}

fn failure(name: &str, found: impl Into<String>, mend: impl Into<String>) -> Check {
    Check { mend: Some(mend.into()), ..check(name, Verdict::Failure, found) }
}

/// The value of `NAME=value` in a shell-style configuration file, without quotes; the last one counts.
fn shell_setting(text: &str, name: &str) -> Option<String> {
    let lines = text.lines().map(str::trim).filter(|line| !line.starts_with('#'));
    let mut values = lines.filter_map(|line| line.strip_prefix(name)?.trim_start().strip_prefix('='));
    values.next_back().map(|value| value.trim().trim_matches(['"', '\'']).to_owned())
}

/// Whether an executable of that name is on the path.
fn on_path(program: &str) -> Option<PathBuf> {
    let folders = std::env::var_os("PATH")?;
    std::env::split_paths(&folders).map(|folder| folder.join(program)).find(|file| Path::is_file(file))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A system whose files are given as path and text.
    pub(super) fn system(files: &[(&str, &str)]) -> (tempfile::TempDir, System) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let system = System { root: folder.path().to_owned() };
        for (path, text) in files {
            let path = system.path(path);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("folders");
            std::fs::write(path, text).expect("a file");
        }
        (folder, system)
    }

    #[test]
    fn shell_settings_are_read_as_a_shell_would() {
        let text = "# A=1\nA=2\n A = \"3\" \nAB=4\n";
        assert_eq!(shell_setting(text, "A").as_deref(), Some("3"));
        assert_eq!(shell_setting(text, "AB").as_deref(), Some("4"));
        assert_eq!(shell_setting(text, "B"), None);
    }
}
