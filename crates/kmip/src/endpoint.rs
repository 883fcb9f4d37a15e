//! Where a key server is.

use std::{fmt, net::IpAddr, str::FromStr, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::text::shortened;

/// The port that IANA registered for KMIP.
pub const DEFAULT_PORT: u16 = 5696;

/// A key server's host and port, as `kms1.example`, `192.0.2.7:5697` or `[2001:db8::7]:5696`.
///
/// Its text always has the port, and an IPv6 address stands in brackets.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    host: Arc<str>,
    port: u16,
}

impl Endpoint {
    /// The host name or IP address, without brackets. This is the name that the server's certificate must have.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The TCP port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The address, if the host is one and not a name.
    pub(crate) fn ip(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }
}

/// The text is not the address of a key server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a key server's address: {text:?}; write HOST or HOST:PORT, and an IPv6 address in brackets")]
pub struct NotAnEndpoint {
    text: String,
}

impl FromStr for Endpoint {
    type Err = NotAnEndpoint;

    fn from_str(text: &str) -> Result<Self, NotAnEndpoint> {
        parse(text).ok_or_else(|| NotAnEndpoint { text: shortened(text) })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Endpoint({self})")
    }
}

impl Serialize for Endpoint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Endpoint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

fn parse(text: &str) -> Option<Endpoint> {
    if let Some(bracketed) = text.strip_prefix('[') {
        let (host, rest) = bracketed.split_once(']')?;
        let host: std::net::Ipv6Addr = host.parse().ok()?;
        return Some(Endpoint { host: host.to_string().into(), port: port(rest)? });
    }
    let (host, rest) = text.find(':').map_or((text, ""), |at| text.split_at(at));
    let host = host_name(host)?;
    Some(Endpoint { host: host.into(), port: port(rest)? })
}

/// What follows the host: nothing, or a colon and a port.
fn port(rest: &str) -> Option<u16> {
    let Some(digits) = rest.strip_prefix(':') else {
        return rest.is_empty().then_some(DEFAULT_PORT);
    };
    let canonical = digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.starts_with('0');
    digits.parse().ok().filter(|_| canonical)
}

/// A DNS name (RFC 1123, section 2.1, with underscores as they are in use) or an IPv4 address, in lower case.
fn host_name(host: &str) -> Option<String> {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    let all_digits = host.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let fits = host.len() <= 253 && host.split('.').all(label);
    (fits && (!all_digits || host.parse::<std::net::Ipv4Addr>().is_ok())).then(|| host.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_may_be_left_out() {
        for (text, canonical) in [
            ("kms1.example", "kms1.example:5696"),
            ("KMS1.Example:9998", "kms1.example:9998"),
            ("192.0.2.7", "192.0.2.7:5696"),
            ("192.0.2.7:1", "192.0.2.7:1"),
            ("[2001:DB8::7]", "[2001:db8::7]:5696"),
            ("[::1]:5697", "[::1]:5697"),
            ("my_host-2:65535", "my_host-2:65535"),
        ] {
            let endpoint: Endpoint = text.parse().expect(text);
            assert_eq!(endpoint.to_string(), canonical);
            assert_eq!(canonical.parse::<Endpoint>().expect("its own text"), endpoint);
            let json = serde_json::to_string(&endpoint).expect("JSON");
            assert_eq!(serde_json::from_str::<Endpoint>(&json).expect("the same"), endpoint);
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            ":5696",
            "kms:",
            "kms:0",
            "kms:65536",
            "kms:+1",
            "kms:01",
            "kms:1:2",
            "::1",
            "[::1",
            "[::1]5696",
            "[kms]",
            "[192.0.2.7]",
            "https://kms",
            "kms/",
            "k ms",
            "-kms",
            "kms..example",
            "256.1.1.1",
            "1.2.3",
            "kms\n",
        ] {
            assert!(text.parse::<Endpoint>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn host_and_port_are_told_apart() {
        let endpoint: Endpoint = "[::1]:7".parse().expect("an address");
        assert_eq!((endpoint.host(), endpoint.port()), ("::1", 7));
        assert!(endpoint.ip().is_some());
        assert_eq!("kms".parse::<Endpoint>().expect("a name").ip(), None);
    }
}
