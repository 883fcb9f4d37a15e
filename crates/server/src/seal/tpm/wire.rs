//! How commands and answers are laid out (TPM 2.0 Library, part 1, section 18). All numbers are big endian.

/// Tag, size and code.
pub(super) const HEADER_BYTES: usize = 10;
const NO_SESSIONS: u16 = 0x8001;
const SESSIONS: u16 = 0x8002;

pub(super) const SUCCESS: u32 = 0;
pub(super) const YIELDED: u32 = 0x908;
pub(super) const TESTING: u32 = 0x90a;
pub(super) const RETRY: u32 = 0x922;

/// Not what the specification says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed;

/// A command: header, and the body with handles, authorisations and parameters.
pub(super) fn command(sessions: bool, code: u32, body: &[u8]) -> Vec<u8> {
    let mut writer = Writer::default();
    let size = u32::try_from(HEADER_BYTES + body.len()).expect("our commands are short");
    writer.u16(if sessions { SESSIONS } else { NO_SESSIONS }).u32(size).u32(code).bytes(body);
    writer.done()
}

/// An answer's size as its header says, once that much of it is there.
pub(super) fn size_of_answer(begun: &[u8]) -> Option<u32> {
    let size = begun.get(2..6)?;
    Some(u32::from_be_bytes(size.try_into().ok()?))
}

/// An answer's code, and what follows its header.
pub(super) fn answer(bytes: &[u8]) -> Result<(u32, &[u8]), Malformed> {
    let mut reader = Reader::new(bytes);
    let (_tag, size, code) = (reader.u16()?, reader.u32()?, reader.u32()?);
    if usize::try_from(size) != Ok(bytes.len()) {
        return Err(Malformed);
    }
    Ok((code, reader.rest()))
}

/// `TPM_RC_BAD_AUTH` and `TPM_RC_AUTH_FAIL`, whichever session they are about (part 2, section 6.6).
pub(super) fn is_bad_authorisation(code: u32) -> bool {
    const FORMAT_ONE: u32 = 0x80;
    matches!(code & 0xbf, 0xa2 | 0x8e) && code & FORMAT_ONE != 0
}

/// Writes the pieces of a command.
#[derive(Default)]
pub(super) struct Writer(Vec<u8>);

impl Writer {
    pub(super) fn u8(&mut self, value: u8) -> &mut Self {
        self.bytes(&[value])
    }

    pub(super) fn u16(&mut self, value: u16) -> &mut Self {
        self.bytes(&value.to_be_bytes())
    }

    pub(super) fn u32(&mut self, value: u32) -> &mut Self {
        self.bytes(&value.to_be_bytes())
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// Bytes with their length (16 bits) in front: `TPM2B_…`.
    pub(super) fn sized(&mut self, bytes: &[u8]) -> &mut Self {
        self.u16(u16::try_from(bytes.len()).expect("our commands are short")).bytes(bytes)
    }

    /// The authorisation area: its length has 32 bits.
    pub(super) fn sized_area(&mut self, write: impl FnOnce(&mut Self)) -> &mut Self {
        let mut area = Self::default();
        write(&mut area);
        self.u32(u32::try_from(area.0.len()).expect("our commands are short")).bytes(&area.0)
    }

    pub(super) fn done(self) -> Vec<u8> {
        self.0
    }
}

/// Reads the pieces of an answer; never past its end.
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    pub(super) fn u8(&mut self) -> Result<u8, Malformed> {
        Ok(self.take(1)?[0])
    }

    pub(super) fn u16(&mut self) -> Result<u16, Malformed> {
        Ok(u16::from_be_bytes(self.take(2)?.try_into().map_err(|_| Malformed)?))
    }

    pub(super) fn u32(&mut self) -> Result<u32, Malformed> {
        Ok(u32::from_be_bytes(self.take(4)?.try_into().map_err(|_| Malformed)?))
    }

    /// Bytes with their length (16 bits) in front.
    pub(super) fn sized(&mut self) -> Result<&'a [u8], Malformed> {
        let count = self.u16()?;
        self.take(count.into())
    }

    pub(super) fn rest(self) -> &'a [u8] {
        self.0
    }

    /// That nothing follows.
    pub(super) fn end(self) -> Result<(), Malformed> {
        if self.0.is_empty() { Ok(()) } else { Err(Malformed) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_laid_out_as_specified() {
        let mut body = Writer::default();
        body.u32(0x4000_0001).sized(b"ab").sized_area(|area| {
            area.u8(1).u16(2);
        });
        let bytes = command(true, 0x131, &body.done());
        let expected = [0x80, 2, 0, 0, 0, 25, 0, 0, 1, 0x31, 0x40, 0, 0, 1, 0, 2, b'a', b'b', 0, 0, 0, 3, 1, 0, 2];
        assert_eq!(bytes, expected);
    }

    #[test]
    fn nothing_is_read_past_the_end() {
        let mut reader = Reader::new(&[0, 9, 1]);
        assert_eq!(reader.sized(), Err(Malformed));
        assert_eq!(answer(&[0x80, 1, 0, 0, 0, 11, 0, 0, 0, 0]), Err(Malformed));
        assert_eq!(answer(&[0x80, 1, 0, 0]), Err(Malformed));
        assert_eq!(answer(&[0x80, 1, 0, 0, 0, 10, 0, 0, 9, 0x22]), Ok((RETRY, &[][..])));
    }

    #[test]
    fn a_wrong_password_is_known_by_its_code() {
        assert!(is_bad_authorisation(0x9a2) && is_bad_authorisation(0x98e));
        assert!(!is_bad_authorisation(0x922) && !is_bad_authorisation(0x1df) && !is_bad_authorisation(0));
    }
}
