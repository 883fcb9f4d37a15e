//! A server's whole life, and every secret that it had to do with.

use std::{
    fs,
    io::{Read, Write},
    os::unix::net::UnixStream,
    path::PathBuf,
    process::{Command, Stdio},
};

use cadenas_api::API_PREFIX;
use cadenas_e2e::{
    BOOT, Cadenas, CadenasOptions, DiskFormat, Finished, Guest, World, eventually, passphrases_in, run, text,
};
use cadenas_keys::{Backup, Kdk, KeyRing, KeySafeEntry, Origin, VmId};
use cadenas_secret::{SecretBytes, hkdf};
use cadenas_vmhome::VmHome;
use tempfile::TempDir;
use uuid::Uuid;

use crate::{hunt::Secret, luks, watch::Watch};

/// A name that is not secret, to be found by a search that works.
pub(crate) const PROVIDER: &str = "nkp-that-is-to-be-found";

/// A server, and what is secret about it.
pub(crate) struct Life {
    pub(crate) world: World,
    /// Keys that the server holds as long as it runs: KDKs and the root key.
    pub(crate) held: Vec<Secret>,
    /// What it needs for a moment: everything else.
    pub(crate) passing: Vec<Secret>,
    /// Everything that any command and the API said.
    pub(crate) said: String,
    pub(crate) watch: Watch,
    /// The last one, opened.
    backup: Option<Backup>,
    password: String,
    wrong_password: String,
    /// What the test itself writes in clear.
    folder: TempDir,
}

impl Life {
    /// A server that logs all it can, as does the libvirt library in it.
    pub(crate) fn begin() -> Self {
        let watch = Watch::start();
        let options = CadenasOptions::default().env("RUST_LOG", "trace").env("LIBVIRT_DEBUG", "1");
        let world = World::with(options);
        log_everything(&world);
        let random = || format!("Pw-{}", Uuid::new_v4());
        let (password, wrong_password) = (random(), random());
        let passing =
            vec![Secret::text("the backup's password", &password), Secret::text("the wrong password", &wrong_password)];
        let folder = tempfile::tempdir().expect("a temporary folder");
        Self {
            world,
            held: Vec::new(),
            passing,
            said: String::new(),
            watch,
            backup: None,
            password,
            wrong_password,
            folder,
        }
    }

    /// Up to a VM that runs.
    pub(crate) fn first_half(&mut self) {
        self.providers();
        let one = self.guest("web01");
        self.ok(&["vm", "encrypt", "web01"]);
        self.note_vm("web01", "as encrypted");
        self.start(&one);
    }

    /// Up to the end of the last VM that needed a key.
    pub(crate) fn second_half(&mut self) {
        self.rotate();
        self.ok(&["vm", "recrypt", "web01"]);
        self.note_vm("web01", "under the new key");
        self.ok(&["vm", "kill", "web01"]);
        self.ok(&["vm", "recrypt", "--deep", "web01"]);
        self.note_vm("web01", "encrypted anew");
        self.ok(&["vm", "verify", "web01"]);
        self.second_vm();
        self.failures();
        self.recover();
        self.ok(&["vm", "start", "web01"]);
        self.note_one_time_passphrases(2);
        self.ok(&["vm", "kill", "web01"]);
    }

    fn providers(&mut self) {
        self.ok(&["provider", "create", PROVIDER]);
        let root_key = fs::read(self.world.cadenas.data_dir().join("root.key")).expect("the KDK is sealed with it");
        self.held.push(Secret::key("the root key", &root_key));
        self.back_up();
        self.rotate();
        let file = self.p12();
        self.ok_with_password(&["provider", "verify-backup", &file]);
        self.ok_with_password(&["provider", "restore", &file]);
    }

    fn rotate(&mut self) {
        self.ok(&["provider", "rotate", PROVIDER]);
        self.back_up();
    }

    fn back_up(&mut self) {
        let file = self.p12();
        self.ok_with_password(&["provider", "backup", PROVIDER, "--force", "--out", &file]);
        let password = SecretBytes::take_from(self.password.clone().into_bytes());
        let backup = Backup::from_p12(&fs::read(&file).expect("our backup"), Some(&password)).expect("our password");
        for (version, key) in (1..).zip(&backup.keys) {
            let name = format!("version {version} of the KDK");
            if self.held.iter().all(|secret| secret.name != name) {
                self.held.push(Secret::key(name, key.kdk.expose().expose()));
            }
        }
        self.backup = Some(backup);
    }

    /// One disk for each way of encrypting: sparse, and without holes.
    fn guest(&self, name: &str) -> Guest {
        let guest = Guest::builder(name, &self.world.libvirt.datastore())
            .disk(DiskFormat::Qcow2, 32 << 20)
            .disk(DiskFormat::Raw, 16 << 20)
            .create();
        let noise: Vec<u8> = (0..16 << 20).map(|number: u32| number.to_le_bytes()[0] | 1).collect();
        fs::write(guest.disk_path("vdb"), noise).expect("the disk's file");
        self.world.define(&guest);
        guest
    }

    fn second_vm(&mut self) {
        self.guest("web02");
        self.ok(&["vm", "encrypt", "web02"]);
        self.note_vm("web02", "as encrypted");
        self.ok(&["vm", "decrypt", "web02"]);
    }

    fn start(&mut self, guest: &Guest) {
        self.ok(&["vm", "start", &guest.name]);
        guest.wait_for_console("GUEST-READY", BOOT);
        self.note_one_time_passphrases(guest.targets().len());
    }

    /// What libvirt's files give while a VM runs: it opens nothing any more, but is nobody's business either.
    fn note_one_time_passphrases(&mut self, count: usize) {
        let copy = self.folder.path().join("libvirt");
        self.world.libvirt.copy_disk_to(&copy);
        let passphrases = passphrases_in(&copy);
        assert_eq!(passphrases.len(), count, "one for each disk");
        for passphrase in passphrases {
            self.note_passphrase("a one-time passphrase", &passphrase);
        }
        fs::remove_dir_all(copy).expect("our copy");
    }

    /// What goes wrong with a secret in hand: in text and in JSON.
    fn failures(&mut self) {
        let (p12, out) = (self.p12(), self.folder.path().join("nothing").display().to_string());
        let home = self.world.home("web01").display().to_string();
        let disk = text(&self.world.vm("web01")["disks"][0]["source"]);
        let cut = self.folder.path().join("cut.p12").display().to_string();
        fs::write(&cut, &fs::read(&p12).expect("our backup")[..500]).expect("our folder");
        let wrong = self.wrong_password.clone();
        for format in ["table", "json"] {
            for args in [
                vec!["provider", "verify-backup", &p12],
                vec!["provider", "restore", &p12],
                vec!["provider", "restore", &cut],
                vec!["recover", "--backup", &p12, "--vm", &home, "--out", &out],
            ] {
                self.fails(&[&args[..], &["--password-file", "-", "-o", format]].concat(), &wrong);
            }
            self.fails(&["disk", "check", &disk, "--passphrase-file", "-", "-o", format], &wrong);
            // No password of a PKCS#12 file.
            let backup = ["provider", "backup", PROVIDER, "--out", &out, "--password-file", "-", "-o", format];
            self.fails(&backup, &format!("{wrong}\u{1f511}"));
        }
        self.ask_badly("/providers:restore", &format!(r#"{{"p12": 5, "password": "{wrong}"}}"#));
        self.ask_badly("/providers:restore", &format!(r#"{{"p12": "", "{wrong}": "", "password": "{wrong}"#));
        self.ask_badly("/providers:verify-backup", &format!(r#"{{"p12": "MAA=", "password": ["{wrong}"]}}"#));
    }

    /// What opens a VM without a server, as `cadenas recover` writes it; it must be what the test found by itself.
    fn recover(&mut self) {
        let out = self.folder.path().join("recovered");
        let (p12, home) = (self.p12(), self.world.home("web01").display().to_string());
        self.ok_with_password(&["recover", "--backup", &p12, "--vm", &home, "--out", &out.display().to_string()]);
        for target in ["vda", "vdb"] {
            let passphrase = fs::read(out.join(format!("{target}.passphrase"))).expect("recovered");
            assert!(self.passing.iter().any(|secret| secret.is(&passphrase)), "the passphrase of {target} is known");
        }
    }

    /// Every key of an encrypted VM as it is now.
    fn note_vm(&mut self, vm: &str, when: &str) {
        let home = VmHome::open(&self.world.home(vm)).expect("an encrypted VM");
        let ring = self.ring();
        let printed = format!("{:?}", home.unlock(&ring).expect("the keys are here"));
        assert!(!printed.contains("<domain"), "the definition may hold passwords: {printed}");
        self.said.push_str(&printed);
        for entry in home.key_safe().entries() {
            let name = format!("{} of {vm} {when}", entry.object);
            self.passing.push(Secret::key(format!("the KEK of {name}"), self.kek(home.vm(), entry).expose()));
            let dek = ring.unwrap(home.vm(), entry).expect("the backup holds its key").luks_passphrase();
            let dek = String::from_utf8(dek.expose().to_vec()).expect("hex");
            self.note_passphrase(&format!("the DEK of {name}"), &dek);
            if let Some(disk) = home.disks().iter().find(|disk| disk.dek == entry.object) {
                let keys = luks::keys(&home.disk_path(disk), &dek, self.folder.path());
                self.passing.push(Secret::key(format!("the volume key of {name}"), &keys.volume));
                self.passing.push(Secret::key(format!("the slot key of {name}"), &keys.slot));
            }
        }
    }

    /// As `docs/formats.md` derives it.
    fn kek(&self, vm: VmId, entry: &KeySafeEntry) -> SecretBytes {
        let kdk = &self.backup().keys.iter().find(|key| key.id == entry.key).expect("the backup holds its key").kdk;
        let ids = [entry.provider.uuid(), entry.key.uuid(), vm.uuid()];
        let mut context = Vec::new();
        for field in [&b"cadenas/kek/v1"[..]].into_iter().chain(ids.iter().map(|id| &id.as_bytes()[..])) {
            context.extend(u32::try_from(field.len()).expect("short").to_be_bytes());
            context.extend(field);
        }
        let Origin::Derived { salt } = &entry.origin else { panic!("the VM has a native provider") };
        hkdf::sha256(kdk.expose(), salt, &context, 32)
    }

    /// 256 bits, and the hex digits that LUKS takes for them.
    fn note_passphrase(&mut self, name: &str, hex_digits: &str) {
        self.passing.push(Secret::key(name, &hex::decode(hex_digits).expect("hex")));
        self.passing.push(Secret::text(format!("{name}, in hex,"), hex_digits));
    }

    fn ring(&self) -> KeyRing {
        let (backup, ring) = (self.backup(), KeyRing::new());
        for key in &backup.keys {
            let bytes = key.kdk.expose().expose();
            let copy = Kdk::from_secret(SecretBytes::new_with(bytes.len(), |out| out.copy_from_slice(bytes)));
            ring.insert(backup.provider, key.id, copy.expect("as long as the first")).expect("a new ID");
        }
        ring
    }

    fn backup(&self) -> &Backup {
        self.backup.as_ref().expect("the provider is backed up first")
    }

    fn p12(&self) -> String {
        self.world.libvirt.datastore().join("nkp.p12").display().to_string()
    }

    fn ok(&mut self, args: &[&str]) {
        let done = self.world.cadenas.try_cadenas(args);
        drop(self.note(done).ok());
    }

    fn ok_with_password(&mut self, args: &[&str]) {
        let args = [args, &["--password-file", "-"]].concat();
        let done = self.with_password(&args, &self.password);
        drop(self.note(done).ok());
    }

    fn fails(&mut self, args: &[&str], input: &str) {
        let done = self.with_password(args, input);
        drop(self.note(done).failed_with(1));
    }

    /// Runs a command that reads a password, and gives it when the command was seen running.
    fn with_password(&self, args: &[&str], password: &str) -> Finished {
        let mut command = Command::new(Cadenas::program());
        command.args(args).env("CADENAS_SOCKET", self.world.cadenas.socket());
        let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = piped.spawn().expect("the program");
        let seen = || self.watch.seen().ran(args);
        let mut seen_or_ended = || (seen() || child.try_wait().expect("our own child").is_some()).then_some(());
        eventually(BOOT, &mut seen_or_ended, || format!("{args:?} was not seen running"));
        let was_seen = seen();
        // One that has ended without it is told below.
        drop(child.stdin.take().expect("it is piped").write_all(password.as_bytes()));
        let output = child.wait_with_output().expect("our own child");
        let words = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let done = Finished {
            line: format!("{command:?}"),
            code: output.status.code(),
            stdout: words(&output.stdout),
            stderr: words(&output.stderr),
        };
        assert!(was_seen, "it did not wait for its password: {done}");
        done
    }

    fn note(&mut self, done: Finished) -> Finished {
        self.said.push_str(&done.stdout);
        self.said.push_str(&done.stderr);
        done
    }

    /// A request that no client of ours makes.
    fn ask_badly(&mut self, path: &str, body: &str) {
        let headers = "Host: cadenas\r\nConnection: close\r\nContent-Type: application/json";
        let len = body.len();
        let request = format!("POST {API_PREFIX}{path} HTTP/1.1\r\n{headers}\r\nContent-Length: {len}\r\n\r\n{body}");
        let mut socket = UnixStream::connect(self.world.cadenas.socket()).expect("the server listens");
        socket.write_all(request.as_bytes()).expect("it reads");
        let mut answer = String::new();
        socket.read_to_string(&mut answer).expect("it answers");
        assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
        self.said.push_str(&answer);
    }

    /// Where nothing secret may lie, with what lies there.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let libvirt = &self.world.libvirt;
        let folders = [
            libvirt.config_dir(),
            libvirt.state_dir(),
            libvirt.log_dir(),
            libvirt.run_dir(),
            libvirt.datastore(),
            self.world.cadenas.data_dir().to_owned(),
        ];
        let files = folders.iter().flat_map(|folder| cadenas_e2e::files_below(folder));
        files.filter(|path| path.file_name().is_none_or(|name| name != "root.key")).collect()
    }
}

/// libvirtd logs what it can of what it does with domains and their secrets.
fn log_everything(world: &World) {
    let socket = world.libvirt.run_dir().join("libvirt-admin-sock");
    let uri = format!("libvirtd:///system?socket={}", socket.display());
    let admin = |args: [&str; 2]| run("virt-admin", [&["-c", &uri], &args[..]].concat());
    admin(["daemon-log-outputs", "1:file:/var/log/libvirt/libvirtd.log"]);
    admin(["daemon-log-filters", "1:qemu 1:secret 1:remote 1:rpc"]);
}
