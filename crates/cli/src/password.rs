//! Secrets from people: typed on the terminal, or in a file. Never an argument, never the environment.

use std::{
    fs::File,
    io::{self, IsTerminal, Read},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use cadenas_keys::{KEK_BYTES, Kek};
use cadenas_secret::SecretBytes;

use crate::terminal::hidden_line;

/// What is asked for, as the messages name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Of a backup file: `--password-file`, `--no-password`.
    Password,
    /// Of a disk: `--passphrase-file`.
    Passphrase,
    /// Of a user of a key server: `--password-file`.
    UserPassword,
    /// Of a certificate: `--key`.
    PrivateKey,
    /// Of a VM, from its key server: `--key`.
    VmKey,
}

/// No secret could be had.
#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    /// Nothing was given and nobody can be asked.
    #[error("a {kind} is needed, and there is no terminal to ask on")]
    NobodyToAsk {
        /// What is needed.
        kind: Kind,
    },
    /// An empty one.
    #[error("the {kind} {} is empty", origin(.file.as_deref()))]
    Empty {
        /// What is empty.
        kind: Kind,
        /// The file, if it came from one.
        file: Option<PathBuf>,
    },
    /// The two typed ones differ.
    #[error("the two {kind}s differ; nothing was done")]
    Different {
        /// What differs.
        kind: Kind,
    },
    /// Bytes that are no text: no terminal could type them and no other program would read them alike.
    #[error("the {kind} {} is not UTF-8 text", origin(.file.as_deref()))]
    NotText {
        /// What is no text.
        kind: Kind,
        /// The file.
        file: Option<PathBuf>,
    },
    /// Neither the bytes of a key nor its digits.
    #[error("the {} {} is neither 32 bytes nor 64 hex digits", Kind::VmKey, origin(Some(.file)))]
    NotAKey {
        /// The file.
        file: PathBuf,
    },
    /// Beyond every length that makes sense.
    #[error("the {kind} {} is longer than {} bytes", origin(.file.as_deref()), kind.longest())]
    TooLong {
        /// What is too long.
        kind: Kind,
        /// The file.
        file: Option<PathBuf>,
    },
    /// The file cannot be read.
    #[error("cannot read the {kind} {}", origin(Some(.file)))]
    Unreadable {
        /// What should be in it.
        kind: Kind,
        /// The file.
        file: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The terminal cannot be read.
    #[error("cannot ask for the {kind} on the terminal")]
    Terminal {
        /// What was asked for.
        kind: Kind,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl PasswordError {
    pub(crate) fn exit_status(&self) -> u8 {
        match self {
            Self::NobodyToAsk { .. } => 2,
            _ => 1,
        }
    }

    pub(crate) fn next(&self) -> Option<String> {
        match self {
            Self::NobodyToAsk { kind: Kind::Password } => {
                Some("give --password-file FILE (`-` for standard input), or --no-password".to_owned())
            }
            Self::NobodyToAsk { kind: Kind::UserPassword } => {
                Some("give --password-file FILE (`-` for standard input)".to_owned())
            }
            Self::NobodyToAsk { kind: Kind::Passphrase } => {
                Some("give --passphrase-file FILE (`-` for standard input)".to_owned())
            }
            Self::Empty { kind: Kind::Password, .. } => {
                Some("if the file shall really have no password, say --no-password".to_owned())
            }
            Self::NotText { kind: Kind::PrivateKey, .. } => {
                Some("give it in PEM: `openssl pkey -inform der -in FILE` turns DER into it".to_owned())
            }
            _ => None,
        }
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Password | Self::UserPassword => "password",
            Self::Passphrase => "passphrase",
            Self::PrivateKey => "private key",
            Self::VmKey => "key",
        })
    }
}

impl Kind {
    /// In bytes: more than any passphrase or private key, less than what would fill the locked memory.
    fn longest(self) -> usize {
        match self {
            Self::Password | Self::UserPassword | Self::Passphrase | Self::VmKey => 4096,
            Self::PrivateKey => 16_384,
        }
    }
}

/// A secret that exists: from `file` (`-`: standard input), else asked for once.
pub(crate) fn existing(kind: Kind, file: Option<&Path>, of: &str) -> Result<SecretBytes, PasswordError> {
    match file {
        Some(file) => from_file(kind, file),
        None => asked(kind, &format!("{} of {of}: ", capital(kind))),
    }
}

/// A secret that exists and is UTF-8 text.
pub(crate) fn existing_text(kind: Kind, file: Option<&Path>, of: &str) -> Result<SecretBytes, PasswordError> {
    text(kind, file, existing(kind, file, of)?)
}

/// A new secret: from `file` (`-`: standard input), else asked for twice. It is UTF-8 text.
pub(crate) fn new(kind: Kind, file: Option<&Path>, of: &str) -> Result<SecretBytes, PasswordError> {
    let secret = match file {
        Some(file) => from_file(kind, file)?,
        None => asked_twice(kind, of)?,
    };
    text(kind, file, secret)
}

/// A VM's key from `file` (`-`: standard input): its bytes, or their hex digits with spaces or a newline around them.
pub(crate) fn vm_key(file: &Path) -> Result<Kek, PasswordError> {
    let bytes = all_of(Kind::VmKey, file)?;
    let key = if bytes.len() == KEK_BYTES { Some(bytes) } else { from_hex(bytes.expose().trim_ascii()) };
    key.and_then(|key| Kek::from_secret(key).ok()).ok_or_else(|| PasswordError::NotAKey { file: file.to_owned() })
}

fn from_hex(digits: &[u8]) -> Option<SecretBytes> {
    let value = |digit: u8| char::from(digit).to_digit(16);
    if digits.len() != 2 * KEK_BYTES {
        return None;
    }
    let mut key = SecretBytes::zeroed(KEK_BYTES);
    for (byte, pair) in key.expose_mut().iter_mut().zip(digits.chunks_exact(2)) {
        *byte = u8::try_from(16 * value(pair[0])? + value(pair[1])?).ok()?;
    }
    Some(key)
}

fn text(kind: Kind, file: Option<&Path>, secret: SecretBytes) -> Result<SecretBytes, PasswordError> {
    match std::str::from_utf8(secret.expose()) {
        Ok(_) => Ok(secret),
        Err(_) => Err(PasswordError::NotText { kind, file: file.map(Path::to_owned) }),
    }
}

fn asked_twice(kind: Kind, of: &str) -> Result<SecretBytes, PasswordError> {
    let first = asked(kind, &format!("New {kind} of {of}: "))?;
    let second = asked_or_empty(kind, "The same again: ")?;
    if first.equals(second.expose()) { Ok(first) } else { Err(PasswordError::Different { kind }) }
}

fn asked(kind: Kind, prompt: &str) -> Result<SecretBytes, PasswordError> {
    let secret = asked_or_empty(kind, prompt)?;
    if secret.is_empty() { Err(PasswordError::Empty { kind, file: None }) } else { Ok(secret) }
}

/// Standard input decides whether there is somebody to ask; the conversation itself goes over the controlling terminal, so
/// that it does not mix with a redirected output.
fn asked_or_empty(kind: Kind, prompt: &str) -> Result<SecretBytes, PasswordError> {
    if !io::stdin().is_terminal() {
        return Err(PasswordError::NobodyToAsk { kind });
    }
    let typed = hidden_line(prompt, kind.longest()).map_err(|source| PasswordError::Terminal { kind, source })?;
    typed.ok_or(PasswordError::TooLong { kind, file: None })
}

fn from_file(kind: Kind, file: &Path) -> Result<SecretBytes, PasswordError> {
    let secret = without_newline(all_of(kind, file)?.expose());
    if secret.is_empty() { Err(PasswordError::Empty { kind, file: Some(file.to_owned()) }) } else { Ok(secret) }
}

/// Every byte of a file.
fn all_of(kind: Kind, file: &Path) -> Result<SecretBytes, PasswordError> {
    let unreadable = |source| PasswordError::Unreadable { kind, file: file.to_owned(), source };
    let (bytes, len) = if file == Path::new("-") {
        read_all(io::stdin().lock(), kind.longest()).map_err(unreadable)?
    } else {
        read_all(opened(kind, file).map_err(unreadable)?, kind.longest()).map_err(unreadable)?
    };
    if len > kind.longest() {
        return Err(PasswordError::TooLong { kind, file: Some(file.to_owned()) });
    }
    Ok(SecretBytes::new_with(len, |all| all.copy_from_slice(&bytes.expose()[..len])))
}

fn opened(kind: Kind, path: &Path) -> io::Result<File> {
    const OTHERS_READ: u32 = 0o004;
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    if metadata.is_file() && metadata.mode() & OTHERS_READ != 0 {
        crate::output::warn(&format!("every user can read the {kind} in {}; `chmod 600` it", path.display()));
    }
    Ok(file)
}

/// Straight into locked memory; one byte more than allowed tells that there is more.
fn read_all(mut from: impl Read, longest: usize) -> io::Result<(SecretBytes, usize)> {
    let mut bytes = SecretBytes::zeroed(longest + 1);
    let mut len = 0;
    loop {
        match from.read(&mut bytes.expose_mut()[len..]) {
            Ok(0) => return Ok((bytes, len)),
            Ok(more) => len += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Without the one newline that editors and `echo` put at the end.
fn without_newline(bytes: &[u8]) -> SecretBytes {
    let line = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    SecretBytes::new_with(line.len(), |secret| secret.copy_from_slice(line))
}

fn origin(file: Option<&Path>) -> String {
    match file {
        None => "that was typed".to_owned(),
        Some(file) if file == Path::new("-") => "from standard input".to_owned(),
        Some(file) => format!("in {}", file.display()),
    }
}

fn capital(kind: Kind) -> &'static str {
    match kind {
        Kind::Password | Kind::UserPassword => "Password",
        Kind::Passphrase => "Passphrase",
        Kind::PrivateKey => "Private key",
        Kind::VmKey => "Key",
    }
}
