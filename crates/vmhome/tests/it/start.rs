//! What a start needs: disks as sealed, and one-time keys that are gone afterwards.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Child, Command, Stdio},
};

use cadenas_image::{Access, File, open_source, slots};
use cadenas_vmhome::{NoSteps, OneTimeKey, SlotError};

use crate::common::{Bed, run, text};

#[test]
fn one_time_keys_open_the_disks_until_they_are_erased() {
    let bed = Bed::plain();
    bed.encrypt();
    let unlocked = bed.unlocked();
    unlocked.check_disks().expect("as sealed");
    let keys = unlocked.one_time_keys(&NoSteps).expect("written");
    assert_eq!(keys.iter().map(|key| key.target.as_str()).collect::<Vec<_>>(), ["vda", "vdb", "vdc"]);
    assert!(keys.iter().all(opens));
    unlocked.check_disks().expect("as sealed, with a second slot");
    unlocked.erase_one_time_keys(&keys, &NoSteps).expect("erased");
    unlocked.erase_one_time_keys(&keys, &NoSteps).expect("erased again");
    assert!(!keys.iter().any(opens));
    unlocked.check_disks().expect("the DEK's slot is untouched");
}

#[test]
fn what_a_crash_left_is_erased_by_the_repair_and_by_the_next_start() {
    let bed = Bed::small();
    bed.encrypt();
    let first = bed.unlocked().one_time_keys(&NoSteps).expect("written");
    assert_eq!(bed.unlocked().erase_leftover_slots(&NoSteps).expect("erased"), 2);
    assert!(!first.iter().any(opens));
    let second = bed.unlocked().one_time_keys(&NoSteps).expect("written");
    let third = bed.unlocked().one_time_keys(&NoSteps).expect("written");
    assert!(!second.iter().any(opens));
    assert!(third.iter().all(opens));
}

#[test]
fn a_running_vm_gets_no_second_start_but_its_slot_is_erased_while_it_runs() {
    let bed = Bed::small();
    bed.encrypt();
    let unlocked = bed.unlocked();
    let keys = unlocked.one_time_keys(&NoSteps).expect("written");
    let mut guest = Qemu::open(&bed, &keys[0]);
    assert!(matches!(unlocked.one_time_keys(&NoSteps), Err(SlotError::Lock(_))));
    unlocked.erase_one_time_keys(&keys, &NoSteps).expect("erased");
    assert!(!opens(&keys[0]));
    guest.command("write -P 0x5a 4096 512");
    guest.command("read -P 0x5a 4096 512");
    guest.quit();
    unlocked.check_disks().expect("as sealed");
}

fn opens(key: &OneTimeKey) -> bool {
    let file = File::open(&key.path, Access::Read).expect("opened");
    let opens = open_source(&file, Some(&key.passphrase)).is_ok();
    assert_eq!(opens, slots::find(&file, &key.passphrase).expect("encrypted").is_some());
    opens
}

/// `qemu-io` with the image open for writing, as a running QEMU has it.
pub(crate) struct Qemu(Child, BufReader<std::process::ChildStdout>);

impl Qemu {
    fn open(bed: &Bed, key: &OneTimeKey) -> Self {
        let secret = bed.folder.path().join("secret");
        std::fs::write(&secret, key.passphrase.expose()).expect("written");
        let object = format!("secret,id=key,file={}", text(&secret));
        let image = format!("driver={},encrypt.key-secret=key,file.filename={}", key.format, text(&key.path));
        let image = image.replace("driver=luks,encrypt.", "driver=luks,");
        Self::start(&["--object", &object, "--image-opts", &image])
    }

    /// A plain image.
    pub(crate) fn hold(path: &Path, format: &str) -> Self {
        Self::start(&["-f", format, text(path)])
    }

    fn start(arguments: &[&str]) -> Self {
        run("qemu-io", &["--version"]);
        let mut child = Command::new("qemu-io")
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("qemu-io is installed");
        let output = BufReader::new(child.stdout.take().expect("piped"));
        let mut qemu = Self(child, output);
        // Its answer says that the image is open.
        qemu.command("length");
        qemu
    }

    pub(crate) fn command(&mut self, line: &str) {
        let input = self.0.stdin.as_mut().expect("piped");
        writeln!(input, "{line}").expect("written");
        let mut answer = String::new();
        self.1.read_line(&mut answer).expect("answered");
        assert!(!answer.contains("failed") && !answer.contains("error") && !answer.is_empty(), "{line}: {answer}");
        if !line.starts_with("length") {
            // The second line tells how long it took.
            self.1.read_line(&mut answer).expect("answered");
        }
    }

    pub(crate) fn quit(mut self) {
        drop(self.0.stdin.take());
        assert!(self.0.wait().expect("ended").success());
    }
}
