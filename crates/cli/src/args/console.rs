//! `cadenas console`, and where the server offers the console.

use std::{net::SocketAddr, path::PathBuf, str::FromStr};

use clap::{Args, ValueHint};

pub(crate) const EXAMPLES: &str = "\
EXAMPLES:
  cadenas console
  cadenas console --no-browser
  ssh -L 7780:127.0.0.1:7780 host                  From another machine: open the link there

The link works once and for ten minutes. Whoever opens it acts as you, so give it to nobody.";

/// Where the console listens unless told otherwise.
pub const DEFAULT_ADDRESS: &str = "127.0.0.1:7780";

/// `cadenas console`
#[derive(Debug, Args)]
pub struct Console {
    /// Only print the link
    #[arg(long)]
    pub no_browser: bool,
}

/// How `cadenas serve` offers the console.
#[derive(Debug, Args)]
#[command(next_help_heading = "Web console")]
pub struct ServeConsole {
    /// Where the web console listens: an IP address and port, over TLS unless it is a loopback address; or `none`
    #[arg(long, value_name = "ADDRESS", default_value = DEFAULT_ADDRESS)]
    pub console: Address,
    /// The web console's certificate chain, PEM. Without one it makes its own, which browsers ask about
    #[arg(long, value_name = "FILE", requires = "console_key", value_hint = ValueHint::FilePath)]
    pub console_certificate: Option<PathBuf>,
    /// The private key of that certificate, PEM
    #[arg(long, value_name = "FILE", requires = "console_certificate", value_hint = ValueHint::FilePath)]
    pub console_key: Option<PathBuf>,
}

/// Where the console listens, if it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address(pub Option<SocketAddr>);

/// It is neither.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("neither an IP address with a port, such as {DEFAULT_ADDRESS} or [::1]:7780, nor `none`")]
pub struct BadAddress;

impl FromStr for Address {
    type Err = BadAddress;

    fn from_str(text: &str) -> Result<Self, BadAddress> {
        match text {
            "none" => Ok(Self(None)),
            _ => text.parse().map(|address| Self(Some(address))).map_err(|_| BadAddress),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_console_listens_at_an_address_or_nowhere() {
        assert_eq!("none".parse(), Ok(Address(None)));
        assert_eq!("[::1]:80".parse(), Ok(Address(Some("[::1]:80".parse().expect("an address")))));
        for bad in ["", "7780", "127.0.0.1", "localhost:7780", "NONE"] {
            assert_eq!(bad.parse::<Address>(), Err(BadAddress), "{bad}");
        }
    }
}
