//! Looking for secrets in bytes, in every form in which a program may leave them.

use std::fmt;

use aho_corasick::AhoCorasick;
use base64::{
    Engine,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};

use crate::schedule::round_keys;

/// Any piece of a secret of this length gives it away: 64 bits do not stand anywhere by chance.
const PIECE: usize = 8;

/// Bytes that nobody may find.
pub(crate) struct Secret {
    /// What it is, for people.
    pub(crate) name: String,
    bytes: Vec<u8>,
    kind: Kind,
}

#[derive(PartialEq)]
enum Kind {
    /// A cipher may have expanded it.
    Key,
    Text,
}

/// How a secret may stand somewhere.
struct Form {
    name: &'static str,
    bytes: Vec<u8>,
    /// The length of a piece that gives it away.
    piece: usize,
}

impl Secret {
    pub(crate) fn key(name: impl Into<String>, bytes: &[u8]) -> Self {
        assert!(!bytes.is_empty() && bytes.len().is_multiple_of(32), "keys of 256 bits");
        Self { name: name.into(), bytes: bytes.to_vec(), kind: Kind::Key }
    }

    pub(crate) fn text(name: impl Into<String>, text: &str) -> Self {
        assert!(text.len() >= 2 * PIECE, "long enough to be told from chance");
        Self { name: name.into(), bytes: text.as_bytes().to_vec(), kind: Kind::Text }
    }

    pub(crate) fn is(&self, bytes: &[u8]) -> bool {
        self.bytes == bytes
    }

    fn forms(&self) -> Vec<Form> {
        let bytes = &self.bytes;
        let raw = |name, bytes| Form { name, bytes, piece: PIECE };
        let text = |name, bytes| Form { name, bytes, piece: 2 * PIECE };
        let mut forms = vec![
            raw("as it is", bytes.clone()),
            text("in hex", hex::encode(bytes).into_bytes()),
            text("in upper-case hex", hex::encode_upper(bytes).into_bytes()),
            // HMAC, and with it PBKDF2 and HKDF, makes these blocks of its key (RFC 2104).
            raw("as HMAC's inner block", bytes.iter().map(|byte| byte ^ 0x36).collect()),
            raw("as HMAC's outer block", bytes.iter().map(|byte| byte ^ 0x5c).collect()),
        ];
        // As `Debug` writes bytes: at least eight of them in a piece.
        let list = format!("{bytes:?}");
        forms.push(Form { name: "as a list", bytes: list.trim_matches(['[', ']']).into(), piece: 5 * PIECE });
        for before in 0..3 {
            forms.push(text("in base64", base64(&STANDARD_NO_PAD, bytes, before)));
            forms.push(text("in base64url", base64(&URL_SAFE_NO_PAD, bytes, before)));
        }
        if self.kind == Kind::Key {
            let round_keys = bytes.as_chunks().0.iter().flat_map(round_keys);
            forms.extend(round_keys.map(|keys| raw("as round keys of AES", keys)));
        } else {
            // As PKCS#12 takes passwords.
            forms.push(text("in UTF-16", bytes.iter().flat_map(|&byte| u16::from(byte).to_be_bytes()).collect()));
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
            for form in secret.forms() {
                for piece in form.bytes.chunks_exact(form.piece) {
                    pieces.push(piece.to_vec());
                    patterns.push((secret.name.clone(), form.name));
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
    let bytes: Vec<u8> = (0..32).map(|number| u8::wrapping_mul(number, 37) ^ 0x5a).collect();
    for secret in [Secret::key("a key", &bytes), Secret::text("a text", "correct horse battery staple")] {
        let hunt = Hunt::new([&secret]);
        assert_eq!(hunt.find(&vec![7; 100_000]), []);
        for form in secret.forms() {
            for part in [&form.bytes[..], &form.bytes[form.piece..2 * form.piece]] {
                let found = hunt.find(&[&vec![7; 1001], part, &[7; 99]].concat());
                // Two forms that look alike may be told as each other.
                assert!(found.iter().any(|finding| finding.offset == 1001), "{}: {found:?}", form.name);
            }
        }
    }
}

#[test]
fn base64_is_found_in_the_middle_of_a_longer_text() {
    let secret = Secret::key("the secret", &(100..132).collect::<Vec<u8>>());
    let hunt = Hunt::new([&secret]);
    for before in 0..7 {
        let text = STANDARD_NO_PAD.encode([&vec![1; before], &secret.bytes[..], b"after"].concat());
        assert!(!hunt.find(text.as_bytes()).is_empty(), "{before} bytes before");
    }
}
