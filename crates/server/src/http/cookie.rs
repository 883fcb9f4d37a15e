//! The cookie that carries a session of the web console (RFC 6265).

use axum::http::{HeaderMap, header};

use crate::console::{Signed, Token};

/// How the cookie is named and protected, which depends on whether TLS is spoken.
#[derive(Debug, Clone, Copy)]
pub(super) struct SessionCookie {
    name: &'static str,
    secure: &'static str,
}

impl SessionCookie {
    /// Under TLS the name's prefix has browsers refuse it from anywhere else.
    pub(super) fn new(tls: bool) -> Self {
        if tls { Self { name: "__Host-cadenas", secure: "; Secure" } } else { Self { name: "cadenas", secure: "" } }
    }

    /// Scripts cannot read it, and no other site's request carries it.
    pub(super) fn set(self, token: &Token, signed: &Signed) -> String {
        let seconds = signed.expires.as_second() - jiff::Timestamp::now().as_second();
        self.with(&token.text(), seconds)
    }

    pub(super) fn unset(self) -> String {
        self.with("", 0)
    }

    fn with(self, value: &str, seconds: i64) -> String {
        let Self { name, secure } = self;
        format!("{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}")
    }

    /// The token among the cookies that a request carries.
    pub(super) fn find(self, headers: &HeaderMap) -> Option<&str> {
        let cookies = headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
        let mut pairs = cookies.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
        pairs.find(|(name, _)| *name == self.name).map(|(_, value)| value)
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn it_is_found_among_others() {
        let headers = |value| HeaderMap::from_iter([(header::COOKIE, HeaderValue::from_static(value))]);
        let cookie = SessionCookie::new(false);
        assert_eq!(cookie.find(&headers("a=b; cadenas=x-_1; c=d")), Some("x-_1"));
        assert_eq!(cookie.find(&headers("notcadenas=x; cadenas2=y")), None);
        assert_eq!(SessionCookie::new(true).find(&headers("cadenas=x")), None);
    }

    #[test]
    fn scripts_and_other_sites_do_not_get_it() {
        for (tls, secure) in [(false, false), (true, true)] {
            let set = SessionCookie::new(tls).unset();
            assert!(set.contains("HttpOnly") && set.contains("SameSite=Strict") && set.contains("Path=/"), "{set}");
            assert_eq!(set.contains("Secure"), secure, "{set}");
        }
    }
}
