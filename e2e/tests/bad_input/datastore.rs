//! Datastores that are full or read-only: before a task, and in the middle of it.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
};

use cadenas_e2e::{Guest, World, run, try_run};
use tempfile::TempDir;

use crate::{
    midway::{full_guest, interrupted, large_guest},
    state::{State, assert_plain_and_boots, assert_refusal, refused},
};

/// A file system in the world's datastore. The private libvirt does not see it, so no plain VM runs from it.
struct Mount {
    at: PathBuf,
    /// Where the device's file is, of one that has a device.
    device: Option<TempDir>,
}

impl Mount {
    /// One in memory.
    fn tmpfs(world: &World, size: &str) -> Self {
        let mount = Self { at: world.libvirt.datastore().join("mounted"), device: None };
        mount.mount(&["-t", "tmpfs", "-o", &format!("size={size},mode=755"), "none"]);
        mount
    }

    /// One on a device, which becomes read-only after an error, as a failing disk makes it.
    fn ext4(world: &World) -> Self {
        let mount = Self {
            at: world.libvirt.datastore().join("mounted"),
            device: Some(tempfile::tempdir().expect("a temporary folder")),
        };
        let file = mount.device("device");
        fs::File::create(&file).and_then(|file| file.set_len(512 << 20)).expect("a sparse file");
        run("mkfs.ext4", ["-q".as_ref(), file.as_os_str()]);
        mount.mount_device(&file);
        mount
    }

    fn mount(&self, args: &[&str]) {
        fs::create_dir_all(&self.at).expect("a folder in our own");
        run("mount", args.iter().copied().chain([self.path().as_str()]));
    }

    fn device(&self, name: &str) -> PathBuf {
        self.device.as_ref().expect("it has a device").path().join(name)
    }

    fn mount_device(&self, file: &Path) {
        self.mount(&["-o", "loop,errors=remount-ro", &file.display().to_string()]);
    }

    fn path(&self) -> String {
        self.at.display().to_string()
    }

    fn home(&self) -> String {
        self.at.join("web01").display().to_string()
    }

    /// Writes until nothing more fits; the file that holds it.
    fn fill(&self) -> PathBuf {
        let path = self.at.join("filler");
        let mut file = fs::File::create(&path).expect("a file in our own folder");
        for size in [1 << 20, 4096, 1] {
            while file.write_all(&vec![0xa5; size]).is_ok() {}
        }
        path
    }

    /// Has the kernel find an error, upon which the file system is read-only until it is mounted again.
    fn fail(&self) {
        let device = run("findmnt", ["-no", "SOURCE", &self.path()]);
        let name = Path::new(device.trim()).file_name().expect("a device").to_owned();
        // It answers that the file system is read-only.
        let _ = fs::write(Path::new("/sys/fs/ext4").join(name).join("trigger_fs_error"), "1");
        fs::write(self.at.join("probe"), "").expect_err("it is read-only now");
    }

    /// Mounts a copy of the device. The device itself may stay read-only: what began in a mount namespace of its own
    /// meanwhile, as the libvirt of another test, still holds its file system.
    fn mount_again(&self) {
        run("umount", [self.path()]);
        let copy = self.device("copy");
        run("cp", ["--sparse=always".as_ref(), self.device("device").as_os_str(), copy.as_os_str()]);
        self.mount_device(&copy);
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        try_run("umount", ["--lazy", &self.path()]);
    }
}

#[test]
fn too_little_space_is_told_before_the_first_byte() {
    let world = World::ready();
    full_guest(&world, 32 << 20);
    let small = Mount::tmpfs(&world, "40m");
    let at = small.path();
    let words = [&at, "has 40.0 MiB free", "up to 50.0 MiB are needed", "make room"];
    refused(&world, &["vm", "encrypt", "web01", "--home", &small.home()], &words);
    let no_space = [&at, "has 0 bytes free", "are needed", "make room"];

    // A VM whose disk is to come back to a datastore that is too small by now.
    let guest = Guest::with_one_disk("web02", &small.at);
    world.define(&guest);
    let home = world.libvirt.datastore().join("web02").display().to_string();
    world.cadenas.cadenas(&["vm", "encrypt", "web02", "--home", &home]);
    let filler = small.fill();
    refused(&world, &["vm", "decrypt", "web02"], &no_space);
    fs::remove_file(&filler).expect("our own file");
    world.cadenas.cadenas(&["vm", "decrypt", "web02"]);

    world.cadenas.cadenas(&["vm", "encrypt", "web02"]);
    small.fill();
    refused(&world, &["vm", "recrypt", "--deep", "web02"], &no_space);
}

#[test]
fn a_datastore_that_fills_up_midway() {
    let world = World::ready();
    let guest = large_guest(&world);
    let mount = Mount::tmpfs(&world, "320m");
    let before = State::of(&world);
    let mut filler = None;
    let encrypt = ["vm", "encrypt", "web01", "--home", &mount.home()];
    let ended = interrupted(&world, &encrypt, || filler = Some(mount.fill()));
    assert_refusal(&ended, &["web01", "undone", "vda", "No space left on device", "clear the datastore"]);
    fs::remove_file(filler.expect("it was written")).expect("our own file");
    before.assert_still(&world);
    assert_plain_and_boots(&world, &guest);
}

#[test]
fn a_datastore_that_becomes_read_only_midway() {
    let mut world = World::ready();
    let guest = large_guest(&world);
    let mount = Mount::ext4(&world);
    let before = State::of(&world);
    let encrypt = ["vm", "encrypt", "web01", "--home", &mount.home()];
    let ended = interrupted(&world, &encrypt, || mount.fail());
    // What it made cannot be removed before the datastore can be written again.
    assert_refusal(&ended, &["web01", "vda", "could not be removed yet", "Read-only file system", "every minute"]);
    assert!(!world.vm("web01")["problem"].is_null(), "the VM shows that it waits");
    assert_eq!(world.padlock("web01"), "none");
    mount.mount_again();
    world.cadenas.restart();
    // It listens at once, and answers when it has repaired.
    let problem = world.vm("web01")["problem"].clone();
    assert!(problem.is_null(), "it still waits: {problem}\n{}", world.cadenas.log());
    before.assert_still(&world);
    assert_plain_and_boots(&world, &guest);
}

#[test]
fn a_datastore_that_is_read_only_from_the_beginning() {
    let world = World::ready();
    let guest = full_guest(&world, 16 << 20);
    let mount = Mount::tmpfs(&world, "64m");
    run("mount", ["-o", "remount,ro", &mount.path()]);
    let encrypt = ["vm", "encrypt", "web01", "--home", &mount.home()];
    refused(&world, &encrypt, &[&mount.home(), "Read-only file system"]);
    assert_plain_and_boots(&world, &guest);
}
