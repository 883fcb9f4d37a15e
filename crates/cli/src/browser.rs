//! Opens an address in the user's browser.

use std::{
    env,
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{OpenOptionsExt, fchown},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use uuid::Uuid;

const PROGRAM: &str = "xdg-open";
/// What a program needs to reach the desktop; `sudo` drops most of it unless told.
const DESKTOP: &str = "DISPLAY,WAYLAND_DISPLAY,XAUTHORITY,XDG_RUNTIME_DIR,DBUS_SESSION_BUS_ADDRESS";
/// How long a browser has to read the page that leads on.
const READING: Duration = Duration::from_secs(5);

/// The browser of the desktop that this program was started from.
#[derive(Debug)]
pub(crate) struct Browser {
    /// Who sits there, if it is not who this program runs as.
    user: Option<User>,
}

#[derive(Debug)]
struct User {
    name: OsString,
    id: u32,
}

impl Browser {
    /// There is one where a desktop and the program that opens addresses are.
    pub(crate) fn of_this_desktop() -> Option<Self> {
        let desktop = ["DISPLAY", "WAYLAND_DISPLAY"].into_iter().any(|name| env::var_os(name).is_some());
        (desktop && is_installed(PROGRAM)).then(|| Self { user: User::before_sudo() })
    }

    /// Opens an address that lets its holder in: through a page in a private file, since other users can read arguments.
    pub(crate) fn open(&self, address: &str) -> io::Result<()> {
        let page = env::temp_dir().join(format!("cadenas-{}.html", Uuid::new_v4().simple()));
        let opened = self.write(&page, address).and_then(|()| self.start(&page));
        if opened.is_ok() {
            thread::sleep(READING);
        }
        // What the page leads to works once, and not for long.
        let _ = fs::remove_file(&page);
        opened
    }

    fn write(&self, page: &Path, address: &str) -> io::Result<()> {
        let mut file: File = OpenOptions::new().write(true).create_new(true).mode(0o600).open(page)?;
        writeln!(
            file,
            "<!doctype html><title>Cadenas</title><meta http-equiv=\"refresh\" content=\"0;url={address}\">"
        )?;
        self.user.as_ref().map_or(Ok(()), |user| fchown(&file, Some(user.id), None))
    }

    /// Browsers do not run as root, and root's would be another one than the user's.
    fn start(&self, page: &Path) -> io::Result<()> {
        let mut command = match &self.user {
            None => Command::new(PROGRAM),
            Some(user) => {
                let mut command = Command::new("sudo");
                command.args(["-n", "-H", "-u"]).arg(&user.name).arg(format!("--preserve-env={DESKTOP}")).arg(PROGRAM);
                command
            }
        };
        let status = command.arg(page).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status()?;
        if status.success() { Ok(()) } else { Err(io::Error::other(format!("{PROGRAM}: {status}"))) }
    }
}

impl User {
    /// Who ran `sudo`.
    fn before_sudo() -> Option<Self> {
        let id = env::var("SUDO_UID").ok()?.parse().ok()?;
        let name = env::var_os("SUDO_USER")?;
        (id != 0 && rustix::process::geteuid().is_root()).then_some(Self { name, id })
    }
}

fn is_installed(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).map(|folder: PathBuf| folder.join(program)).any(|file| file.is_file())
}
