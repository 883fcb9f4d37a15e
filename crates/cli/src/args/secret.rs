//! Where secrets come from. Never from an argument or the environment: other users can see both.

use std::path::PathBuf;

use clap::{Args, ValueHint};

/// The password of a backup file that is read.
#[derive(Debug, Clone, Default, Args)]
pub struct PasswordArgs {
    /// Read the password from a file, or from standard input if FILE is `-`; one newline at its end is dropped
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub password_file: Option<PathBuf>,
    /// The file has no password
    #[arg(long, conflicts_with = "password_file")]
    pub no_password: bool,
}

/// The password of a backup file that is made.
#[derive(Debug, Clone, Default, Args)]
pub struct NewPasswordArgs {
    /// Read the password from a file, or from standard input if FILE is `-`; one newline at its end is dropped
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub password_file: Option<PathBuf>,
    /// Make a file without a password. Whoever has it has the key; the provider shows this from then on
    #[arg(long, conflicts_with = "password_file")]
    pub no_password: bool,
}

/// A disk's passphrase.
#[derive(Debug, Clone, Default, Args)]
pub struct PassphraseArgs {
    /// Read the passphrase from a file, or from standard input if FILE is `-`; one newline at its end is dropped
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub passphrase_file: Option<PathBuf>,
}
