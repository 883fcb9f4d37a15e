//! Where a TPM answers.

use std::{fmt, path::PathBuf, str::FromStr};

/// Where a TPM answers, written as the TSS libraries write it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TpmAddress {
    /// `device:PATH`: a device of the kernel, best the one with a resource manager, `/dev/tpmrm0`.
    Device(PathBuf),
    /// `swtpm:host=HOST,port=PORT`: the data port of `swtpm socket`, a TPM in software. It holds as well as its state is kept.
    Swtpm {
        /// A name or an address.
        host: String,
        /// Of TCP.
        port: u16,
    },
}

/// Not an address of a TPM.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} names no TPM; write `device:/dev/tpmrm0`, or `swtpm:host=127.0.0.1,port=2321` for a TPM in software")]
pub struct BadTpmAddress {
    text: String,
}

const DEFAULT_HOST: &str = "localhost";
const DEFAULT_PORT: u16 = 2321;

impl FromStr for TpmAddress {
    type Err = BadTpmAddress;

    fn from_str(text: &str) -> Result<Self, BadTpmAddress> {
        let parsed = match text.split_once(':') {
            Some(("device", path)) => device(path),
            Some(("swtpm", places)) => swtpm(places),
            _ => device(text),
        };
        parsed.ok_or_else(|| BadTpmAddress { text: text.to_owned() })
    }
}

impl fmt::Display for TpmAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Device(path) => write!(f, "device:{}", path.display()),
            Self::Swtpm { host, port } => write!(f, "swtpm:host={host},port={port}"),
        }
    }
}

fn device(path: &str) -> Option<TpmAddress> {
    path.starts_with('/').then(|| TpmAddress::Device(path.into()))
}

fn swtpm(places: &str) -> Option<TpmAddress> {
    let (mut host, mut port) = (DEFAULT_HOST.to_owned(), DEFAULT_PORT);
    for place in places.split(',').filter(|place| !place.is_empty()) {
        match place.split_once('=')? {
            ("host", name) if !name.is_empty() => name.clone_into(&mut host),
            ("port", number) => port = number.parse().ok()?,
            _ => return None,
        }
    }
    Some(TpmAddress::Swtpm { host, port })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_as_the_tss_libraries_read_it() {
        for text in ["device:/dev/tpmrm0", "swtpm:host=127.0.0.1,port=2400"] {
            assert_eq!(text.parse::<TpmAddress>().expect("an address").to_string(), text);
        }
        assert_eq!("/dev/tpm1".parse(), Ok(TpmAddress::Device("/dev/tpm1".into())));
        assert_eq!("swtpm:".parse(), Ok(TpmAddress::Swtpm { host: "localhost".to_owned(), port: 2321 }));
        for text in ["", "device:", "tpmrm0", "swtpm:port=70000", "swtpm:host=", "swtpm:path=/x", "mssim:port=1"] {
            assert!(text.parse::<TpmAddress>().expect_err("no address").to_string().contains("device:/dev/tpmrm0"));
        }
    }
}
