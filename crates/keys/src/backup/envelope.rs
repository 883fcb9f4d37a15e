//! The outer shape of a PKCS#12 file (RFC 7292), looked at before the library works on it.
//!
//! The library accepts files without a MAC, decrypts any number of bags, and lets a file demand a gibibyte of memory for scrypt.
//! So only files of the shape that backups have go on: a MAC; secret bags alone, as many as a backup may hold; no scrypt.

use der::{AnyRef, Decode as _, ErrorKind, Reader as _, SliceReader, Tag, Tagged as _};

use super::{BackupError, DOCUMENT_PREFIX, MAX_BACKUP_BYTES, MAX_BACKUP_KEYS};

/// 1.2.840.113549.1.7.1, PKCS#7 data.
const DATA: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01";
/// 1.2.840.113549.1.7.6, PKCS#7 encrypted data.
const ENCRYPTED_DATA: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x07\x06";
/// 1.2.840.113549.1.12.10.1.5, a secret bag.
const SECRET_BAG: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x0c\x0a\x01\x05";
/// 1.2.840.113549.1.9.20, the attribute `friendlyName`.
const FRIENDLY_NAME: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x09\x14";
/// 1.3.6.1.4.1.11591.4.11, scrypt.
const SCRYPT: &[u8] = b"\x2b\x06\x01\x04\x01\xda\x47\x04\x0b";
/// The library writes an encrypted safe for certificates even when there is none. With its parameters an empty one has about 150
/// bytes; a bag of any kind does not fit in what this leaves.
const EMPTY_ENCRYPTED_SAFE_BYTES: usize = 192;

/// How many secret bags the file holds, if it has the shape of a backup.
pub(super) fn secret_bags(file: &[u8]) -> Result<usize, BackupError> {
    let pfx = children(outer(file)?, "its outer structure is damaged")?;
    let [version, auth_safe, rest @ ..] = pfx.as_slice() else {
        return Err(BackupError::Malformed { reason: "its outer structure is incomplete" });
    };
    if version.tag() != Tag::Integer || version.value() != [3] {
        return Err(BackupError::Malformed { reason: "its version is not 3" });
    }
    if rest.is_empty() {
        return Err(foreign("it has no integrity check"));
    }
    if file.windows(SCRYPT.len()).any(|bytes| bytes == SCRYPT) {
        return Err(foreign("it uses scrypt"));
    }
    let bags = bags(*auth_safe)?;
    if bags.len() > MAX_BACKUP_KEYS + 1 {
        return Err(foreign("it has more keys than a backup can"));
    }
    if !bags.iter().any(|name| name.starts_with(DOCUMENT_PREFIX)) {
        return Err(foreign("it does not describe a key provider"));
    }
    Ok(bags.len())
}

/// The outermost SEQUENCE, which must be the whole file.
fn outer(file: &[u8]) -> Result<AnyRef<'_>, BackupError> {
    if file.is_empty() {
        return Err(BackupError::Empty);
    }
    if file.len() > MAX_BACKUP_BYTES {
        return Err(BackupError::TooLarge);
    }
    match AnyRef::from_der(file) {
        Ok(pfx) if pfx.tag() == Tag::Sequence => Ok(pfx),
        Err(error) if file[0] == 0x30 => Err(match error.kind() {
            ErrorKind::Incomplete { expected_len, .. } => BackupError::Truncated {
                len: file.len(),
                expected: usize::try_from(expected_len).unwrap_or(usize::MAX),
            },
            ErrorKind::TrailingData { .. } => BackupError::Malformed { reason: "something follows its end" },
            _ => BackupError::Malformed { reason: "its outer structure is damaged" },
        }),
        _ => Err(BackupError::Malformed { reason: "it does not begin as one" }),
    }
}

/// The friendly names of all bags; empty for a bag without one.
fn bags(auth_safe: AnyRef<'_>) -> Result<Vec<String>, BackupError> {
    let content = content_of(auth_safe, DATA)?.ok_or(foreign("it is signed with a certificate"))?;
    let mut names = Vec::new();
    for safe in children(single(content.value())?, "its list of contents is damaged")? {
        if let Some(content) = content_of(safe, DATA)? {
            for bag in children(single(content.value())?, "one of its contents is damaged")? {
                names.push(secret_bag_name(bag)?);
            }
        } else if content_of(safe, ENCRYPTED_DATA)?.is_none() || safe.value().len() > EMPTY_ENCRYPTED_SAFE_BYTES {
            return Err(foreign("it holds certificates or other encrypted contents"));
        }
    }
    Ok(names)
}

/// The content of a `ContentInfo` of the given type, else `None`.
fn content_of<'a>(info: AnyRef<'a>, content_type: &[u8]) -> Result<Option<AnyRef<'a>>, BackupError> {
    match children(info, "one of its contents is damaged")?.as_slice() {
        [oid, content] if oid.tag() == Tag::ObjectIdentifier && oid.value() == content_type => {
            single(content.value()).map(Some)
        }
        _ => Ok(None),
    }
}

/// The friendly name of a `SafeBag`, which must be a secret bag.
fn secret_bag_name(bag: AnyRef<'_>) -> Result<String, BackupError> {
    let parts = children(bag, "one of its bags is damaged")?;
    match parts.as_slice() {
        [oid, _value, rest @ ..] if oid.tag() == Tag::ObjectIdentifier && oid.value() == SECRET_BAG => {
            rest.first().map_or(Ok(String::new()), |attributes| friendly_name(*attributes))
        }
        _ => Err(foreign("it holds something other than secret keys")),
    }
}

fn friendly_name(attributes: AnyRef<'_>) -> Result<String, BackupError> {
    const DAMAGED: &str = "an attribute of one of its bags is damaged";
    for attribute in children(attributes, DAMAGED)? {
        if let [oid, values] = children(attribute, DAMAGED)?.as_slice()
            && oid.value() == FRIENDLY_NAME
            && let [name] = children(*values, DAMAGED)?.as_slice()
        {
            return Ok(bmp_text(name.value()));
        }
    }
    Ok(String::new())
}

/// A `BMPString`: UTF-16, big-endian.
fn bmp_text(bytes: &[u8]) -> String {
    let (pairs, _) = bytes.as_chunks();
    String::from_utf16_lossy(&pairs.iter().map(|pair| u16::from_be_bytes(*pair)).collect::<Vec<_>>())
}

/// The values inside a constructed value.
fn children<'a>(parent: AnyRef<'a>, damaged: &'static str) -> Result<Vec<AnyRef<'a>>, BackupError> {
    let malformed = |_| BackupError::Malformed { reason: damaged };
    let mut reader = SliceReader::new(parent.value()).map_err(malformed)?;
    let mut found = Vec::new();
    while !reader.is_finished() {
        found.push(AnyRef::decode(&mut reader).map_err(malformed)?);
    }
    Ok(found)
}

/// The one value that these bytes are.
fn single(bytes: &[u8]) -> Result<AnyRef<'_>, BackupError> {
    AnyRef::from_der(bytes).map_err(|_| BackupError::Malformed { reason: "one of its contents is damaged" })
}

fn foreign(reason: &'static str) -> BackupError {
    BackupError::NotCadenas { reason }
}

/// The same file with its MAC cut off.
#[cfg(test)]
pub(super) fn without_mac(file: &[u8]) -> Vec<u8> {
    use der::Encode as _;

    let pfx = outer(file).expect("a PKCS#12 file");
    let parts = children(pfx, "damaged").expect("a PKCS#12 file");
    let kept: Vec<u8> = parts[..2].iter().flat_map(|part| part.to_der().expect("DER")).collect();
    AnyRef::new(Tag::Sequence, &kept).expect("short enough").to_der().expect("DER")
}
