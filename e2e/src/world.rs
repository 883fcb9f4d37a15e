//! What most tests begin with: a private libvirt, a server on it, and a provider that can encrypt.

use std::{
    fs,
    path::{Path, PathBuf},
    slice,
    time::Duration,
};

use serde_json::Value;

use crate::{Cadenas, CadenasOptions, Finished, Guest, PrivateLibvirt, PyKmip};

/// How long a guest may take to boot on a busy machine.
pub const BOOT: Duration = Duration::from_secs(90);

/// The password of every backup here.
pub const BACKUP_PASSWORD: &str = "correct horse battery staple";

/// A libvirt and a server on it.
pub struct World {
    /// The server; it goes before its libvirt does.
    pub cadenas: Cadenas,
    /// The libvirt.
    pub libvirt: PrivateLibvirt,
}

impl World {
    /// One without any provider.
    #[must_use]
    pub fn empty() -> Self {
        Self::with(CadenasOptions::default())
    }

    /// One whose server is started in a certain way.
    #[must_use]
    pub fn with(options: CadenasOptions) -> Self {
        let libvirt = PrivateLibvirt::start();
        let cadenas = options.start(&libvirt.uri());
        Self { cadenas, libvirt }
    }

    /// One with the active default provider `nkp`.
    #[must_use]
    pub fn ready() -> Self {
        let world = Self::empty();
        world.active_provider("nkp");
        world
    }

    /// Makes a provider and backs it up; the backup file.
    pub fn active_provider(&self, name: &str) -> PathBuf {
        self.cadenas.cadenas(&["provider", "create", name]);
        self.back_up(name)
    }

    /// Makes a standard provider of these key servers, which trust each other's certificates with it.
    pub fn standard_provider(&self, name: &str, servers: &[&PyKmip]) {
        self.standard_provider_with(name, servers, &[]);
    }

    /// The same, created with more options.
    pub fn standard_provider_with(&self, name: &str, servers: &[&PyKmip], more: &[&str]) {
        let addresses: Vec<String> = servers.iter().map(|server| server.address()).collect();
        let kms = addresses.iter().flat_map(|address| ["--kms", address]);
        let create =
            ["provider", "create", name, "--kind", "standard"].into_iter().chain(kms).chain(more.iter().copied());
        self.cadenas.cadenas(&create.collect::<Vec<_>>());
        let (ca, client) = (servers[0].ca(), servers[0].client("cadenas"));
        let path = |path: &Path| path.display().to_string();
        self.cadenas.cadenas(&["provider", "trust", name, "--ca", &path(&ca)]);
        let (certificate, key) = (path(&client.certificate), path(&client.key));
        self.cadenas.cadenas(&["provider", "identity", name, "--certificate", &certificate, "--key", &key]);
    }

    /// Backs a provider up; the backup file.
    pub fn back_up(&self, name: &str) -> PathBuf {
        let file = self.libvirt.datastore().join(format!("{name}.p12"));
        let out = file.display().to_string();
        let args = ["provider", "backup", name, "--force", "--out", &out, "--password-file", "-"];
        self.cadenas.cadenas_with(&args, BACKUP_PASSWORD.as_bytes());
        file
    }

    /// Restores a provider from its backup file.
    pub fn restore(&self, backup: &Path) -> Finished {
        let file = backup.display().to_string();
        let args = ["provider", "restore", &file, "--password-file", "-"];
        self.cadenas.try_cadenas_with(&args, BACKUP_PASSWORD.as_bytes())
    }

    /// Defines a guest in libvirt.
    pub fn define(&self, guest: &Guest) {
        self.libvirt.virsh(&["define", &guest.xml_file().display().to_string()]);
    }

    /// Defines a guest with one disk that has booted once, written its marks, and is off.
    #[must_use]
    pub fn marked_guest(&self, guest: Guest) -> Guest {
        self.mark(slice::from_ref(&guest));
        guest
    }

    /// Defines guests and boots each once, all at the same time, so that they write their marks; then they are off.
    pub fn mark(&self, guests: &[Guest]) {
        for guest in guests {
            self.define(guest);
            self.libvirt.virsh(&["start", &guest.name]);
        }
        for guest in guests {
            guest.wait_for_console("GUEST-READY", BOOT);
            self.libvirt.virsh(&["destroy", &guest.name]);
        }
    }

    /// What a command says in JSON.
    #[must_use]
    pub fn json(&self, args: &[&str]) -> Value {
        let text = self.cadenas.cadenas(&[args, &["-o", "json"]].concat());
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{args:?} does not print JSON ({error}): {text}"))
    }

    /// One VM as the API shows it.
    #[must_use]
    pub fn vm(&self, name: &str) -> Value {
        self.json(&["vm", "show", name])
    }

    /// Whether a VM is `none`, `encrypted` or `locked`.
    #[must_use]
    pub fn padlock(&self, name: &str) -> String {
        text(&self.vm(name)["padlock"])
    }

    /// The home of an encrypted VM.
    #[must_use]
    pub fn home(&self, name: &str) -> PathBuf {
        PathBuf::from(text(&self.vm(name)["home"]))
    }

    /// Starts a VM and waits until its guest has found all its marks.
    pub fn start_and_read_marks(&self, guest: &Guest) {
        fs::write(guest.console_path(), "").expect("the console's file");
        self.cadenas.cadenas(&["vm", "start", &guest.name]);
        guest.wait_until_marks_are_read(BOOT);
    }

    /// The passphrases that `cadenas recover` writes, and the domain XML, in a new folder.
    #[must_use]
    pub fn recover(&self, backup: &Path, name: &str) -> PathBuf {
        let out = self.libvirt.datastore().join(format!("recovered-{name}"));
        let descriptor = self.home(name).join(format!("{name}.cadenas"));
        let args = [
            "recover",
            "--backup",
            &backup.display().to_string(),
            "--vm",
            &descriptor.display().to_string(),
            "--out",
            &out.display().to_string(),
            "--password-file",
            "-",
        ];
        self.cadenas.cadenas_with(&args, BACKUP_PASSWORD.as_bytes());
        out
    }
}

/// A JSON string.
#[must_use]
pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("not a string: {value}")).to_owned()
}
