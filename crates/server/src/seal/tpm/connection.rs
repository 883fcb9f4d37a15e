//! Bytes to a TPM and back.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    net::TcpStream,
    time::Duration,
};

use super::{
    address::TpmAddress,
    wire::{HEADER_BYTES, size_of_answer},
};

/// The longest answer that a TPM of the PC Client profile gives.
const MOST: usize = 4096;
/// Longer than the slowest command (a TPM may take seconds to derive a key).
const PATIENCE: Duration = Duration::from_mins(1);

/// A way to a TPM.
pub(super) enum Connection {
    Device(File),
    Tcp(TcpStream),
}

impl Connection {
    pub(super) fn open(address: &TpmAddress) -> io::Result<Self> {
        match address {
            TpmAddress::Device(path) => Ok(Self::Device(OpenOptions::new().read(true).write(true).open(path)?)),
            TpmAddress::Swtpm { host, port } => {
                let stream = TcpStream::connect((host.as_str(), *port))?;
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.set_write_timeout(Some(PATIENCE))?;
                stream.set_nodelay(true)?;
                Ok(Self::Tcp(stream))
            }
        }
    }

    /// Sends one command, in one piece as the kernel's driver wants it, and gives its whole answer.
    pub(super) fn exchange(&mut self, command: &[u8]) -> io::Result<Vec<u8>> {
        match self {
            Self::Device(file) => exchange(file, command),
            Self::Tcp(stream) => exchange(stream, command),
        }
    }
}

/// The kernel gives the whole answer to the first read; a stream may give it in pieces.
fn exchange(tpm: &mut (impl Read + Write), command: &[u8]) -> io::Result<Vec<u8>> {
    tpm.write_all(command)?;
    let (mut answer, mut filled, mut wanted) = (vec![0; MOST], 0, HEADER_BYTES);
    while filled < wanted {
        match tpm.read(&mut answer[filled..])? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => filled += count,
        }
        if let Some(size) = size_of_answer(&answer[..filled]) {
            wanted =
                usize::try_from(size).ok().filter(|size| (HEADER_BYTES..=MOST).contains(size)).ok_or_else(no_answer)?;
        }
    }
    answer.truncate(filled);
    Ok(answer)
}

fn no_answer() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "what answers is no TPM 2.0")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives its pieces, one for each read.
    struct Pieces(Vec<Vec<u8>>);

    impl Read for Pieces {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            let piece = if self.0.is_empty() { vec![] } else { self.0.remove(0) };
            out[..piece.len()].copy_from_slice(&piece);
            Ok(piece.len())
        }
    }

    impl Write for Pieces {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn an_answer_in_pieces_is_put_together() {
        let answer = [0x80, 0x01, 0, 0, 0, 12, 0, 0, 0, 0, 7, 8];
        let pieces = answer.chunks(5).map(<[u8]>::to_vec).collect();
        assert_eq!(exchange(&mut Pieces(pieces), b"x").expect("whole"), answer);
    }

    #[test]
    fn an_answer_that_is_cut_or_claims_too_much_is_refused() {
        let cut = Pieces(vec![vec![0x80, 0x01, 0, 0, 0, 12, 0, 0, 0, 0]]);
        let huge = Pieces(vec![vec![0x80, 0x01, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]]);
        let tiny = Pieces(vec![vec![0x80, 0x01, 0, 0, 0, 3]]);
        for mut pieces in [cut, huge, tiny] {
            assert!(exchange(&mut pieces, b"x").is_err());
        }
    }
}
