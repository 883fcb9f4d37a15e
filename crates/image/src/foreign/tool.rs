//! QEMU's programs: started without a shell, with their format named, their output bounded, in a folder of their own.

use std::{
    fs,
    io::{self, Read},
    os::unix::{fs::DirBuilderExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use uuid::Uuid;

use super::nbd::Client;
use crate::ImageError;

/// Where the programs leave their socket and what they complain of; gone when dropped.
pub(super) struct Folder(PathBuf);

impl Folder {
    /// Nobody else may enter it.
    pub(super) fn new() -> io::Result<Self> {
        let path = std::env::temp_dir().join(format!("cadenas-{}", Uuid::new_v4().simple()));
        fs::DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }

    fn complaints(&self) -> io::Result<Stdio> {
        Ok(fs::File::create(self.0.join("stderr"))?.into())
    }

    /// What a program wrote to standard error, made fit to be shown.
    fn complaint(&self) -> String {
        const LONGEST: u64 = 1000;
        let mut bytes = Vec::new();
        // Without the complaint the error is poorer, but still one.
        let _ = fs::File::open(self.0.join("stderr")).and_then(|file| file.take(LONGEST).read_to_end(&mut bytes));
        let text = String::from_utf8_lossy(&bytes);
        let said = text.trim().replace(|c: char| c.is_control(), " ");
        if said.is_empty() { "it says nothing".to_owned() } else { said }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // It holds nothing but a socket and a text.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What `qemu-img` prints; `None` if that is longer than `limit` bytes.
pub(super) fn qemu_img(
    folder: &Folder,
    image: &str,
    arguments: &[&str],
    limit: u64,
) -> Result<Option<Vec<u8>>, ImageError> {
    const TOOL: &str = "qemu-img";
    let failed = |source| failed(TOOL, image, source);
    let mut command = Command::new(TOOL);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(folder.complaints().map_err(failed)?);
    let mut child = Running(command.spawn().map_err(failed)?);
    let mut printed = Vec::new();
    let output = child.0.stdout.take().expect("piped above");
    output.take(limit + 1).read_to_end(&mut printed).map_err(failed)?;
    if u64::try_from(printed.len()).unwrap_or(u64::MAX) > limit {
        return Ok(None);
    }
    let status = child.0.wait().map_err(failed)?;
    if status.success() { Ok(Some(printed)) } else { Err(ended(TOOL, image, folder, status)) }
}

/// A `qemu-nbd` that serves one image read-only to us alone; it ends when dropped, and by itself when we are gone.
pub(super) struct Server {
    client: Client,
    _child: Running,
}

impl Server {
    /// Starts it on a `file` in QEMU's words and connects.
    pub(super) fn start(folder: &Folder, image: &str, file: &str) -> Result<Self, ImageError> {
        const TOOL: &str = "qemu-nbd";
        const CONNECTIONS: usize = 4;
        let failed = |source| failed(TOOL, image, source);
        let socket = folder.0.join("nbd");
        let mut command = Command::new(TOOL);
        command.arg("--read-only").arg(format!("--shared={CONNECTIONS}"));
        command.arg("--socket").arg(&socket).arg(file);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(folder.complaints().map_err(failed)?);
        // Ctrl-C is ours to handle: it must not look like a failing disk.
        command.process_group(0);
        let mut child = Running(command.spawn().map_err(failed)?);
        wait_for(&socket, &mut child, |status| ended(TOOL, image, folder, status)).map_err(|error| match error {
            Waited::Ended(error) => error,
            Waited::Failed(source) => failed(source),
        })?;
        let client = Client::connect(&socket, CONNECTIONS).map_err(failed)?;
        Ok(Self { client, _child: child })
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }
}

enum Waited {
    Ended(ImageError),
    Failed(io::Error),
}

/// Returns when the socket is there.
fn wait_for(socket: &Path, child: &mut Running, ended: impl Fn(ExitStatus) -> ImageError) -> Result<(), Waited> {
    const PATIENCE: Duration = Duration::from_mins(1);
    let start = Instant::now();
    while !socket.exists() {
        if let Some(status) = child.0.try_wait().map_err(Waited::Failed)? {
            return Err(Waited::Ended(ended(status)));
        }
        if start.elapsed() > PATIENCE {
            return Err(Waited::Failed(io::ErrorKind::TimedOut.into()));
        }
        thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// A program that is ended when dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn failed(tool: &'static str, image: &str, source: io::Error) -> ImageError {
    match source.kind() {
        io::ErrorKind::NotFound => ImageError::ToolMissing { tool },
        _ => ImageError::ToolFailed { tool, image: image.to_owned(), source },
    }
}

fn ended(tool: &'static str, image: &str, folder: &Folder, status: ExitStatus) -> ImageError {
    ImageError::ToolRefused { tool, image: image.to_owned(), complaint: format!("{} ({status})", folder.complaint()) }
}
