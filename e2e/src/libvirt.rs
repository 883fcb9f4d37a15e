//! A libvirt of a test's own.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::Mutex,
    time::Duration,
};

use tempfile::TempDir;

use crate::command::{Finished, eventually, run, try_run};

const START_TIMEOUT: Duration = Duration::from_mins(1);

/// For a machine without cgroup delegation or `AppArmor`.
const QEMU_CONF: &str = "\
user = \"root\"
group = \"root\"
security_driver = \"none\"
dynamic_ownership = 0
remember_owner = 0
namespaces = []
cgroup_controllers = []
";

/// A libvirtd with folders of its own, in namespaces of its own. It and its guests die with this value, or with the test
/// process, however that ends. Any number of them work side by side, and none touches the machine's own libvirt.
pub struct PrivateLibvirt {
    folder: TempDir,
    holder: Mutex<Holder>,
}

/// The first process of the namespaces (`holder.sh`), and the way to tell it what to do.
struct Holder {
    process: Child,
    commands: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl PrivateLibvirt {
    /// Starts one and waits until it answers.
    #[must_use]
    pub fn start() -> Self {
        assert_eq!(run("id", ["-u"]).trim(), "0", "a private libvirt needs root: run the tests with sudo");
        let folder = tempfile::Builder::new().prefix("cadenas-e2e-").tempdir().expect("a temporary folder");
        write_configuration(folder.path());
        let mut holder = Holder::start(folder.path());
        holder.expect_done("prepare its namespace");
        let libvirt = Self { folder, holder: Mutex::new(holder) };
        libvirt.begin();
        libvirt
    }

    /// The URI under which it answers, from anywhere on the machine.
    #[must_use]
    pub fn uri(&self) -> String {
        format!("qemu+unix:///system?socket={}", self.socket().display())
    }

    /// What it takes for `/etc/libvirt`: definitions of domains, secrets that are not ephemeral.
    #[must_use]
    pub fn config_dir(&self) -> PathBuf {
        self.folder.path().join("etc")
    }

    /// What it takes for `/var/lib/libvirt`: the state of running domains, master keys.
    #[must_use]
    pub fn state_dir(&self) -> PathBuf {
        self.folder.path().join("lib")
    }

    /// What it takes for `/var/log/libvirt`: the command line of each domain.
    #[must_use]
    pub fn log_dir(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    /// What it takes for `/run/libvirt`: gone after a power cut on a real machine.
    #[must_use]
    pub fn run_dir(&self) -> PathBuf {
        self.folder.path().join("run")
    }

    /// A folder beside libvirt's own for the files of guests; it goes with this value.
    #[must_use]
    pub fn datastore(&self) -> PathBuf {
        let path = self.folder.path().join("datastore");
        fs::create_dir_all(&path).expect("a folder in our own");
        path
    }

    /// Kills the daemon. Guests run on.
    pub fn stop(&self) {
        self.tell("stop");
    }

    /// Starts the daemon after [`Self::stop`] and waits until it answers. It finds its guests again.
    pub fn begin(&self) {
        self.tell("start");
        eventually(
            START_TIMEOUT,
            || (self.try_virsh(&["uri"]).code == Some(0)).then_some(()),
            || format!("libvirtd does not answer: {}{}", self.try_virsh(&["uri"]), self.own_words()),
        );
    }

    /// Kills the daemon and starts it again. Guests run on.
    pub fn restart(&self) {
        self.stop();
        self.begin();
    }

    /// `virsh` on it, which must succeed.
    pub fn virsh(&self, args: &[&str]) -> String {
        self.try_virsh(args).ok()
    }

    /// `virsh` on it, which may fail.
    pub fn try_virsh(&self, args: &[&str]) -> Finished {
        try_run("virsh", ["-q", "-c", &self.uri()].into_iter().chain(args.iter().copied()))
    }

    /// Waits until a domain is in a state, as `virsh domstate` names it; `""` means that there is no such domain.
    pub fn wait_for_state(&self, domain: &str, state: &str, timeout: Duration) {
        let now = || self.try_virsh(&["domstate", domain]).stdout.trim().to_owned();
        eventually(timeout, || (now() == state).then_some(()), || format!("domain {domain} is `{}`", now()));
    }

    /// Copies what lies on disk while it runs, as whoever steals the machine finds it: configuration, state, cache and
    /// logs, but not `/run`, which is memory.
    pub fn copy_disk_to(&self, target: &Path) {
        fs::create_dir_all(target).unwrap_or_else(|error| panic!("cannot create {}: {error}", target.display()));
        for name in ["etc", "lib", "cache", "log"] {
            // Sockets cannot be copied by name; everything else is.
            run("cp", ["-a".as_ref(), self.folder.path().join(name).as_os_str(), target.as_os_str()]);
        }
    }

    fn socket(&self) -> PathBuf {
        self.run_dir().join("libvirt-sock")
    }

    fn tell(&self, command: &str) {
        let mut holder = self.holder.lock().expect("no test panics while it tells");
        let commands = holder.commands.as_mut().expect("it is open until drop");
        writeln!(commands, "{command}").expect("the holder lives");
        holder.expect_done(command);
    }

    fn own_words(&self) -> String {
        ["libvirtd.out", "virtlogd.out", "log/libvirtd.log"]
            .map(|name| fs::read_to_string(self.folder.path().join(name)).unwrap_or_default())
            .join("\n")
    }
}

impl Drop for PrivateLibvirt {
    fn drop(&mut self) {
        let Ok(holder) = self.holder.get_mut() else { return };
        // The end of its input ends the holder, and with it everything in its namespace.
        holder.commands = None;
        let _ = holder.process.wait();
    }
}

impl Holder {
    fn start(folder: &Path) -> Self {
        let mut process = Command::new("unshare")
            .args(["--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--mount-proc"])
            .args(["bash", "-c", include_str!("libvirt/holder.sh"), "holder.sh"])
            .arg(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare is part of util-linux");
        let commands = process.stdin.take();
        let answers = BufReader::new(process.stdout.take().expect("it is piped"));
        Self { process, commands, answers }
    }

    fn expect_done(&mut self, what: &str) {
        let mut answer = String::new();
        self.answers.read_line(&mut answer).expect("a pipe can be read");
        assert_eq!(answer, "done\n", "the private libvirt could not {what}");
    }
}

fn write_configuration(folder: &Path) {
    for name in ["etc", "lib", "cache", "log", "run"] {
        fs::create_dir(folder.join(name)).expect("a folder in our own");
    }
    let uuid = uuid::Uuid::new_v4();
    let write = |name, text: &str| fs::write(folder.join("etc").join(name), text).expect("a file in our own");
    write("qemu.conf", QEMU_CONF);
    write(
        "libvirtd.conf",
        &format!(
            "host_uuid = \"{uuid}\"\nauth_unix_rw = \"none\"\nlog_outputs = \"3:file:/var/log/libvirt/libvirtd.log\"\n"
        ),
    );
    write("virtlogd.conf", "log_level = 3\n");
}
