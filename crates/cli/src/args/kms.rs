//! `cadenas provider`: what only standard key providers have, their key servers.

use std::path::PathBuf;

use cadenas_api::Sha256;
use clap::{Args, ValueHint};

pub(super) const TRUST: &str = "\
EXAMPLES:
  cadenas provider trust cluster                   Shows each server's certificate, and asks
  cadenas provider trust cluster --show            Only shows
  cadenas provider trust cluster --pin 51:9F:...   In a script, with a fingerprint that you know
  cadenas provider trust cluster --ca ca.pem       What this authority signed, for the server's name

Compare the fingerprint with what the key server itself shows, or what this prints:
  openssl x509 -noout -sha256 -fingerprint -in cert.pem";
pub(super) const IDENTITY: &str = "\
EXAMPLES:
  cadenas provider identity cluster --self-signed --out cadenas.pem
  cadenas provider identity cluster --csr --out cadenas.csr        Have it signed ...
  cadenas provider identity cluster --signed signed.pem            ... and bring the certificate
  cadenas provider identity cluster --certificate c.pem --key k.pem
  pass show kms/key | cadenas provider identity cluster --certificate c.pem --key -

A key that is made here never leaves the server, which keeps it sealed.";
pub(super) const USER: &str = "\
EXAMPLES:
  cadenas provider user cluster --user cadenas                     Asks for the password
  cadenas provider user cluster --user cadenas --password-file pw.txt
  cadenas provider user cluster --none                             No user any more

Name and password go with each request, inside TLS. Many key servers want none: the certificate is
enough.";
pub(super) const SET_KMS: &str = "\
EXAMPLES:
  cadenas provider set-kms cluster --kms kms1 --kms kms2:5697

They are asked in this order: the next one when one does not answer. Each must have every key, as the
members of one cluster have.";
pub(super) const TEST: &str = "\
EXAMPLES:
  cadenas provider test cluster

Exit status 1 if anything does not work with any server.";

/// `cadenas provider trust`
#[derive(Debug, Args)]
pub struct Trust {
    /// The provider's name or ID
    #[arg(value_name = "NAME")]
    pub provider: String,
    /// How.
    #[command(flatten)]
    pub how: TrustHow,
}

/// How servers come to be trusted; none of it: by asking.
#[derive(Debug, Args)]
#[group(multiple = false)]
pub struct TrustHow {
    /// Only show the servers' certificates
    #[arg(long)]
    pub show: bool,
    /// Trust the certificate with this SHA-256 fingerprint, and no other; may be repeated
    #[arg(long, value_name = "SHA256")]
    pub pin: Vec<Sha256>,
    /// Trust what the authorities in this file signed, PEM
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub ca: Option<PathBuf>,
}

/// `cadenas provider identity`
#[derive(Debug, Args)]
pub struct Identity {
    /// The provider's name or ID
    #[arg(value_name = "NAME")]
    pub provider: String,
    /// Where it comes from.
    #[command(flatten)]
    pub source: IdentitySource,
    /// The certificate's private key, PEM, not encrypted; `-` for standard input
    #[arg(long, value_name = "FILE", requires = "certificate", conflicts_with_all = ["self_signed", "csr", "signed"], value_hint = ValueHint::FilePath)]
    pub key: Option<PathBuf>,
    /// Write the new certificate or request to a file [default: standard output]
    #[arg(long, value_name = "FILE", conflicts_with_all = ["signed", "certificate"], value_hint = ValueHint::FilePath)]
    pub out: Option<PathBuf>,
    /// Replace that file if it is there
    #[arg(long, requires = "out")]
    pub force: bool,
}

/// Where an identity comes from: one of these.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct IdentitySource {
    /// Make a key and a certificate, to be uploaded to the key server
    #[arg(long)]
    pub self_signed: bool,
    /// Make a key and a certificate signing request; the present identity stays until `--signed`
    #[arg(long)]
    pub csr: bool,
    /// Take the certificate that was signed for the request, PEM, with its intermediates
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub signed: Option<PathBuf>,
    /// Take a certificate from elsewhere, PEM, with its intermediates
    #[arg(long, value_name = "FILE", requires = "key", value_hint = ValueHint::FilePath)]
    pub certificate: Option<PathBuf>,
}

/// `cadenas provider user`
#[derive(Debug, Args)]
pub struct User {
    /// The provider's name or ID
    #[arg(value_name = "NAME")]
    pub provider: String,
    /// Who.
    #[command(flatten)]
    pub who: Who,
    /// Read the password from a file, or from standard input if FILE is `-`; one newline at its end is dropped
    #[arg(long, value_name = "FILE", conflicts_with = "none", value_hint = ValueHint::FilePath)]
    pub password_file: Option<PathBuf>,
}

/// A user, or none.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct Who {
    /// The user that the key servers know
    #[arg(long, value_name = "USER")]
    pub user: Option<String>,
    /// Send no user and no password any more
    #[arg(long)]
    pub none: bool,
}

/// `cadenas provider set-kms`
#[derive(Debug, Args)]
pub struct SetKms {
    /// The provider's name or ID
    #[arg(value_name = "NAME")]
    pub provider: String,
    /// A key server; may be repeated, in the order in which they shall be asked [default port: 5696]
    #[arg(long, required = true, value_name = "HOST[:PORT]", value_hint = ValueHint::Hostname)]
    pub kms: Vec<String>,
}
