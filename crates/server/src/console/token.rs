//! Random tokens, of which only a digest is kept.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use cadenas_secret::{SecretBytes, digest::sha256};

/// 256 random bits.
const TOKEN_BYTES: usize = 32;

/// A token: whoever shows it is let in.
#[derive(Debug)]
pub(crate) struct Token(SecretBytes);

/// What is kept of a token: enough to know it again, not enough to show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct TokenDigest([u8; 32]);

impl Token {
    pub(super) fn random() -> Self {
        Self(SecretBytes::random(TOKEN_BYTES))
    }

    /// As links and cookies have it: base64url (RFC 4648, section 5), without padding.
    pub(crate) fn text(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0.expose())
    }

    pub(super) fn digest(&self) -> TokenDigest {
        TokenDigest::of(&self.text())
    }
}

impl TokenDigest {
    /// Of what somebody shows. The digest is looked up, so how long that takes tells nothing about the token.
    pub(super) fn of(text: &str) -> Self {
        Self(sha256(&[text.as_bytes()]))
    }
}
