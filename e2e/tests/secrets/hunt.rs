//! Looking for secrets in bytes, in every form in which a program may leave them.

use std::fmt;

use aho_corasick::AhoCorasick;
use base64::{
    Engine,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};

/// Any piece of a secret of this length gives it away: 64 bits do not stand anywhere by chance.
const PIECE: usize = 8;

/// Bytes that nobody may find.
pub(crate) struct Secret {
    /// What it is, for people.
    pub(crate) name: String,
    bytes: Vec<u8>,
}

impl Secret {
    pub(crate) fn new(name: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        let secret = Self { name: name.into(), bytes: bytes.into() };
        assert!(secret.bytes.len() >= 2 * PIECE, "{} is too short to be told from chance", secret.name);
        secret
    }

    pub(crate) fn is(&self, bytes: &[u8]) -> bool {
        self.bytes == bytes
    }

    /// Each form with the length of a piece that gives it away.
    fn forms(&self) -> Vec<(&'static str, Vec<u8>, usize)> {
        let bytes = &self.bytes;
        let utf16 = |one: fn(u16) -> [u8; 2]| bytes.iter().flat_map(|&byte| one(byte.into())).collect();
        let mut forms = vec![
            ("as it is", bytes.clone(), PIECE),
            ("in hex", hex::encode(bytes).into_bytes(), 2 * PIECE),
            ("in upper-case hex", hex::encode_upper(bytes).into_bytes(), 2 * PIECE),
            // PKCS#12 takes passwords in this form.
            ("in UTF-16BE", utf16(u16::to_be_bytes), 2 * PIECE),
            ("in UTF-16LE", utf16(u16::to_le_bytes), 2 * PIECE),
            // HMAC and with it PBKDF2 and HKDF make these blocks of their key (RFC 2104).
            ("as HMAC's inner block", bytes.iter().map(|byte| byte ^ 0x36).collect(), PIECE),
            ("as HMAC's outer block", bytes.iter().map(|byte| byte ^ 0x5c).collect(), PIECE),
        ];
        for before in 0..3 {
            forms.push(("in base64", base64(&STANDARD_NO_PAD, bytes, before), 2 * PIECE));
            forms.push(("in base64url", base64(&URL_SAFE_NO_PAD, bytes, before), 2 * PIECE));
        }
        forms
    }
}

/// The digits that `bytes` alone decide, when `before` other bytes stand before them in what is encoded.
fn base64(engine: &impl Engine, bytes: &[u8], before: usize) -> Vec<u8> {
    let text = engine.encode([&vec![0; before], bytes].concat()).into_bytes();
    let mixed_with_what_follows = usize::from(!(before + bytes.len()).is_multiple_of(3));
    text[(before * 8).div_ceil(6)..text.len() - mixed_with_what_follows].to_vec()
}

/// A secret that was found. It says which, and not what.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    secret: String,
    form: &'static str,
    /// From the start of what was searched.
    pub(crate) offset: usize,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} at {:#x}", self.secret, self.form, self.offset)
    }
}

/// A search for many secrets at once.
pub(crate) struct Hunt {
    search: AhoCorasick,
    /// Of each pattern: which secret, in which form.
    patterns: Vec<(String, &'static str)>,
}

impl Hunt {
    pub(crate) fn new<'a>(secrets: impl IntoIterator<Item = &'a Secret>) -> Self {
        let (mut pieces, mut patterns) = (Vec::new(), Vec::new());
        for secret in secrets {
            for (form, bytes, piece) in secret.forms() {
                for piece in bytes.chunks_exact(piece) {
                    pieces.push(piece.to_vec());
                    patterns.push((secret.name.clone(), form));
                }
            }
        }
        Self { search: AhoCorasick::new(pieces).expect("a few thousand patterns"), patterns }
    }

    pub(crate) fn find(&self, bytes: &[u8]) -> Vec<Finding> {
        let finding = |hit: aho_corasick::Match| {
            let (secret, form) = self.patterns[hit.pattern().as_usize()].clone();
            Finding { secret, form, offset: hit.start() }
        };
        self.search.find_iter(bytes).map(finding).collect()
    }
}

#[test]
fn every_form_of_a_secret_is_found_wherever_it_stands() {
    let bytes: Vec<u8> = (0..32).map(|number| (number * 37) ^ 0x5a).collect();
    let secret = Secret::new("the secret", bytes);
    let hunt = Hunt::new([&secret]);
    assert_eq!(hunt.find(&vec![7; 100_000]), []);
    for (form, bytes, piece) in secret.forms() {
        for part in [&bytes[..], &bytes[piece..2 * piece]] {
            let found = hunt.find(&[&vec![7; 1001], part, &[7; 99]].concat());
            assert!(found.iter().any(|finding| finding.form == form), "{form}: {found:?}");
        }
    }
}

#[test]
fn base64_is_found_in_the_middle_of_a_longer_text() {
    let secret = Secret::new("the secret", (100..140).collect::<Vec<u8>>());
    let hunt = Hunt::new([&secret]);
    for before in 0..7 {
        let text = STANDARD_NO_PAD.encode([&vec![1; before], &secret.bytes[..], b"after"].concat());
        assert!(!hunt.find(text.as_bytes()).is_empty(), "{before} bytes before");
    }
}
