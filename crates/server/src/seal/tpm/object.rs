//! Keys and sealed objects as a TPM describes them (TPM 2.0 Library, part 2, section 12).

use cadenas_secret::{SecretBytes, digest, ecdh::P256Point};

use super::wire::{Malformed, Reader, Writer};

const SHA256: [u8; 2] = [0x00, 0x0b];

/// The public part of a storage root key on P-256 as the TCG's TPM v2.0 Provisioning Guidance has it, up to its point:
/// ECC, SHA-256; fixedTPM, fixedParent, sensitiveDataOrigin, userWithAuth, noDA, restricted, decrypt; no policy; AES-128-CFB, no
/// scheme, P-256, no KDF.
const PRIMARY: [u8; 22] = [
    0x00, 0x23, 0x00, 0x0b, 0x00, 0x03, 0x04, 0x72, 0x00, 0x00, 0x00, 0x06, 0x00, 0x80, 0x00, 0x43, 0x00, 0x10, 0x00,
    0x03, 0x00, 0x10,
];

/// The public part of a sealed object: keyed hash, SHA-256; fixedTPM, fixedParent, userWithAuth, noDA; no policy, no scheme.
///
/// fixedTPM and fixedParent: it opens in this TPM alone, also if somebody asks the TPM to hand it over. noDA: it has no password to
/// guess, so wrong guesses at others must not lock it. No policy, so not bound to what was booted: `SECURITY.md` says why.
pub(super) const SEALED: [u8; 14] =
    [0x00, 0x08, 0x00, 0x0b, 0x00, 0x00, 0x04, 0x52, 0x00, 0x00, 0x00, 0x10, 0x00, 0x00];

/// The public part that asks for a storage root key: its point is 32 zero bytes twice.
pub(super) fn primary_template() -> Vec<u8> {
    let mut public = Writer::default();
    public.bytes(&PRIMARY).sized(&[0; 32]).sized(&[0; 32]);
    public.done()
}

/// The point of a storage root key that is as [`primary_template`] asked.
pub(super) fn primary_point(public: &[u8]) -> Result<P256Point, Malformed> {
    let mut point = Reader::new(public.strip_prefix(&PRIMARY).ok_or(Malformed)?);
    let (x, y) = (coordinate(point.sized()?)?, coordinate(point.sized()?)?);
    point.end()?;
    Ok(P256Point { x, y })
}

/// Some TPMs leave out leading zeros.
fn coordinate(bytes: &[u8]) -> Result<[u8; 32], Malformed> {
    let mut padded = [0; 32];
    let from = padded.len().checked_sub(bytes.len()).ok_or(Malformed)?;
    padded[from..].copy_from_slice(bytes);
    Ok(padded)
}

/// A loaded object, and what authorisations know it by.
pub(super) struct Entity {
    pub(super) handle: u32,
    /// The name: algorithm, and hash of the public part (part 1, section 16).
    pub(super) name: Vec<u8>,
}

impl Entity {
    pub(super) fn of(handle: u32, public: &[u8]) -> Self {
        Self { handle, name: [&SHA256[..], &digest::sha256(&[public])].concat() }
    }
}

/// What a TPM gives for a sealed secret, to keep outside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::seal) struct SealedObject {
    /// `TPMT_PUBLIC`.
    pub(in crate::seal) public: Vec<u8>,
    /// The contents of a `TPM2B_PRIVATE`: encrypted and authenticated by the TPM.
    pub(in crate::seal) private: Vec<u8>,
}

impl SealedObject {
    /// From the parameters that answer `TPM2_Create`: private part, public part, and what tells how it was made.
    pub(super) fn created(parameters: &[u8]) -> Result<Self, Malformed> {
        let mut parts = Reader::new(parameters);
        let (private, public) = (parts.sized()?.to_vec(), parts.sized()?.to_vec());
        Ok(Self { public, private })
    }
}

/// The contents of a `TPM2B_SENSITIVE_CREATE`: no password, and the secret.
pub(super) fn sensitive(secret: &SecretBytes) -> SecretBytes {
    let len = u16::try_from(secret.len()).expect("a root key is short");
    SecretBytes::new_with(4 + secret.len(), |bytes| {
        bytes[2..4].copy_from_slice(&len.to_be_bytes());
        bytes[4..].copy_from_slice(secret.expose());
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_point_of_a_key_is_read_with_or_without_leading_zeros() {
        let mut public = Writer::default();
        public.bytes(&PRIMARY).sized(&[1; 31]).sized(&[2; 32]);
        let point = primary_point(&public.done()).expect("a point");
        assert_eq!((point.x[0], point.x[1], point.y), (0, 1, [2; 32]));
    }

    #[test]
    fn a_key_that_is_not_as_asked_for_is_refused() {
        let template = primary_template();
        assert!(primary_point(&template).is_ok());
        for at in 0..PRIMARY.len() {
            let mut other = template.clone();
            other[at] ^= 1;
            assert_eq!(primary_point(&other), Err(Malformed), "byte {at}");
        }
        assert_eq!(primary_point(&template[..template.len() - 1]), Err(Malformed));
        assert_eq!(primary_point(&[&template[..], &[0]].concat()), Err(Malformed));
    }

    #[test]
    fn a_secret_goes_with_an_empty_password() {
        let bytes = sensitive(&SecretBytes::take_from(vec![7; 32]));
        assert_eq!((&bytes.expose()[..4], bytes.len()), (&[0, 0, 0, 32][..], 36));
    }
}
