//! HMAC sessions with encrypted parameters (TPM 2.0 Library, part 1, sections 11.4, 19 and 21, and annex C.6).
//!
//! The session's key comes from a salt that we agree on with the storage root key, by ECDH. Each answer is authenticated with it, and
//! the first parameter of a command or answer, where it is a secret, is encrypted with AES-128-CFB. No object has a password here.

use cadenas_secret::{
    SecretBytes, cfb,
    digest::{self, Hash},
    ecdh::{self, NotOnCurve, P256Point},
    hmac, random,
};

use super::{
    object::Entity,
    wire::{Malformed, Reader, Writer},
};

type Nonce = [u8; 32];

const HMAC_SESSION: u8 = 0x00;
/// AES with 128 bits in CFB mode, and SHA-256.
const ALGORITHMS: [u8; 8] = [0x00, 0x06, 0x00, 0x80, 0x00, 0x43, 0x00, 0x0b];

const CONTINUE: u8 = 0x01;
/// The TPM is to decrypt the command's first parameter.
const DECRYPT: u8 = 0x20;
/// The TPM is to encrypt the answer's first parameter.
const ENCRYPT: u8 = 0x40;

/// Our half of a session.
pub(super) struct Begun {
    ephemeral: P256Point,
    salt: SecretBytes,
    nonce: Nonce,
}

impl Begun {
    /// Agrees on a salt with the key that has this point.
    pub(super) fn with(root: &P256Point) -> Result<Self, NotOnCurve> {
        let (ephemeral, shared) = ecdh::agree(root)?;
        let salt = kdf_e(&shared, "SECRET", &ephemeral.x, &root.x);
        Ok(Self { ephemeral, salt, nonce: random::array() })
    }

    /// The parameters of `TPM2_StartAuthSession`.
    pub(super) fn parameters(&self) -> Vec<u8> {
        let mut point = Writer::default();
        point.sized(&self.ephemeral.x).sized(&self.ephemeral.y);
        let mut parameters = Writer::default();
        parameters.sized(&self.nonce).sized(&point.done()).u8(HMAC_SESSION).bytes(&ALGORITHMS);
        parameters.done()
    }

    /// The session, with what the TPM answered.
    pub(super) fn answered(self, handle: u32, nonce: &[u8]) -> Session {
        let key = kdf_a(&self.salt, "ATH", nonce, &self.nonce);
        Session { handle, key, nonce: nonce.to_vec() }
    }
}

/// A session as it stands.
pub(super) struct Session {
    handle: u32,
    key: SecretBytes,
    /// The TPM's newest.
    nonce: Vec<u8>,
}

/// What a command takes.
pub(super) enum Parameters<'a> {
    /// These.
    Plain(&'a [u8]),
    /// A secret with its length in front, and these.
    Secret(SecretBytes, &'a [u8]),
}

/// What a command gives.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Gives {
    /// Parameters.
    Parameters,
    /// A handle, and parameters.
    Handle,
    /// A secret with its length in front.
    Secret,
}

/// A command with its authorisation.
pub(super) struct Call {
    pub(super) body: Vec<u8>,
    code: u32,
    nonce: Nonce,
    gives: Gives,
}

/// The pieces of the answer to a call.
pub(super) struct Answer<'a> {
    /// Four bytes, or none.
    pub(super) handle: &'a [u8],
    pub(super) parameters: &'a [u8],
    nonce: &'a [u8],
    attributes: u8,
    hmac: &'a [u8],
}

impl Session {
    /// A command on `entity`, authorised by this session.
    pub(super) fn call(&self, code: u32, entity: &Entity, parameters: Parameters, gives: Gives) -> Call {
        let nonce: Nonce = random::array();
        let encrypt = if gives == Gives::Secret { ENCRYPT } else { 0 };
        let (parameters, decrypt) = match parameters {
            Parameters::Plain(plain) => (plain.to_vec(), 0),
            Parameters::Secret(secret, rest) => (self.encrypted(&nonce, secret, rest), DECRYPT),
        };
        let attributes = CONTINUE | decrypt | encrypt;
        let hash = digest::sha256(&[&code.to_be_bytes(), &entity.name, &parameters]);
        let hmac = self.hmac(&hash, &nonce, &self.nonce, attributes);
        let mut body = Writer::default();
        body.u32(entity.handle);
        body.sized_area(|area| {
            area.u32(self.handle).sized(&nonce).u8(attributes).sized(hmac.expose());
        });
        body.bytes(&parameters);
        Call { body: body.done(), code, nonce, gives }
    }

    /// Whether the answer comes from the session's other end. If so, the session goes on from it.
    pub(super) fn accepts(&mut self, call: &Call, answer: &Answer) -> bool {
        let success = [0; 4];
        let hash = digest::sha256(&[&success, &call.code.to_be_bytes(), answer.parameters]);
        let accepted = self.hmac(&hash, answer.nonce, &call.nonce, answer.attributes).equals(answer.hmac);
        if accepted {
            answer.nonce.clone_into(&mut self.nonce);
        }
        accepted
    }

    /// The secret that an accepted answer gives, without its length.
    pub(super) fn secret(&self, call: &Call, answer: &Answer) -> Result<SecretBytes, Malformed> {
        let mut parameters = Reader::new(answer.parameters);
        let encrypted = parameters.sized()?;
        parameters.end()?;
        let (key, iv) = self.cipher(&self.nonce, &call.nonce);
        Ok(SecretBytes::new_with(encrypted.len(), |bytes| {
            bytes.copy_from_slice(encrypted);
            cfb::decrypt(&key, iv, bytes);
        }))
    }

    fn encrypted(&self, nonce: &Nonce, mut secret: SecretBytes, rest: &[u8]) -> Vec<u8> {
        let (key, iv) = self.cipher(nonce, &self.nonce);
        cfb::encrypt(&key, iv, secret.expose_mut());
        let mut parameters = Writer::default();
        parameters.sized(secret.expose()).bytes(rest);
        parameters.done()
    }

    fn cipher(&self, newer: &[u8], older: &[u8]) -> (SecretBytes, [u8; cfb::IV_BYTES]) {
        let material = kdf_a(&self.key, "CFB", newer, older);
        let (key, iv) = material.expose().split_at(cfb::KEY_BYTES);
        let key = SecretBytes::new_with(key.len(), |bytes| bytes.copy_from_slice(key));
        (key, iv.try_into().expect("16 of 32 bytes"))
    }

    fn hmac(&self, hash: &[u8; 32], newer: &[u8], older: &[u8], attributes: u8) -> SecretBytes {
        hmac::sha256(&self.key, &[hash, newer, older, &[attributes]])
    }
}

impl<'a> Answer<'a> {
    /// What follows the header of an answer to `call`.
    pub(super) fn of(call: &Call, bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut pieces = Reader::new(bytes);
        let handle = pieces.take(if call.gives == Gives::Handle { 4 } else { 0 })?;
        let size = usize::try_from(pieces.u32()?).map_err(|_| Malformed)?;
        let parameters = pieces.take(size)?;
        let (nonce, attributes, hmac) = (pieces.sized()?, pieces.u8()?, pieces.sized()?);
        pieces.end()?;
        Ok(Self { handle, parameters, nonce, attributes, hmac })
    }
}

/// 256 bits of `KDFa` with SHA-256 (part 1, section 11.4.10.2): one round of NIST SP 800-108 in counter mode.
fn kdf_a(key: &SecretBytes, label: &str, newer: &[u8], older: &[u8]) -> SecretBytes {
    const BITS: u32 = 256;
    hmac::sha256(key, &[&1_u32.to_be_bytes(), label.as_bytes(), &[0], newer, older, &BITS.to_be_bytes()])
}

/// 256 bits of `KDFe` with SHA-256 (part 1, section 11.4.10.3): one round of NIST SP 800-56A's concatenation.
fn kdf_e(shared: &SecretBytes, label: &str, ours: &[u8], theirs: &[u8]) -> SecretBytes {
    let parts = [&1_u32.to_be_bytes(), shared.expose(), label.as_bytes(), &[0], ours, theirs];
    SecretBytes::new_with(Hash::Sha256.output_len(), |out| Hash::Sha256.digest_into(&parts, out))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CODE: u32 = 0x15e;

    #[test]
    fn an_answer_with_any_bit_changed_is_not_accepted() {
        let (ours, theirs) = (session(), session());
        let call = ours.call(CODE, &entity(), Parameters::Plain(&[]), Gives::Secret);
        let bytes = answered(&theirs, &call, b"\x00\x03abc");
        assert!(session().accepts(&call, &Answer::of(&call, &bytes).expect("laid out well")));
        // The size of the parameters is checked by what follows them.
        for at in 4..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            let accepted = Answer::of(&call, &changed).is_ok_and(|answer| session().accepts(&call, &answer));
            assert!(!accepted, "byte {at}");
            assert!(Answer::of(&call, &bytes[..at]).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn an_older_answer_is_not_accepted_again() {
        let mut ours = session();
        let call = ours.call(CODE, &entity(), Parameters::Plain(&[]), Gives::Parameters);
        let bytes = answered(&session(), &call, b"");
        assert!(ours.accepts(&call, &Answer::of(&call, &bytes).expect("laid out well")));
        let next = ours.call(CODE, &entity(), Parameters::Plain(&[]), Gives::Parameters);
        assert!(!ours.accepts(&next, &Answer::of(&next, &bytes).expect("laid out well")));
    }

    #[test]
    fn a_secret_is_not_in_the_command() {
        let call = session().call(
            0x153,
            &entity(),
            Parameters::Secret(SecretBytes::take_from(b"very secret root key".to_vec()), b"plain"),
            Gives::Parameters,
        );
        assert!(!call.body.windows(6).any(|bytes| bytes == b"secret"));
        assert!(call.body.ends_with(b"plain"));
    }

    /// The other end's answer with these parameters.
    fn answered(theirs: &Session, call: &Call, parameters: &[u8]) -> Vec<u8> {
        let (nonce, attributes) = ([9; 32], CONTINUE);
        let hash = digest::sha256(&[&[0; 4], &CODE.to_be_bytes(), parameters]);
        let hmac = theirs.hmac(&hash, &nonce, &call.nonce, attributes);
        let mut bytes = Writer::default();
        bytes.sized_area(|area| {
            area.bytes(parameters);
        });
        bytes.sized(&nonce).u8(attributes).sized(hmac.expose());
        bytes.done()
    }

    fn session() -> Session {
        Session { handle: 0x0200_0000, key: SecretBytes::take_from(vec![5; 32]), nonce: vec![6; 32] }
    }

    fn entity() -> Entity {
        Entity::of(0x8000_0000, b"public")
    }
}
