//! Compressed clusters.

use std::io::{self, Read};

use flate2::{Decompress, FlushDecompress, Status};

use super::header::Compression;

/// QEMU compresses at most a cluster, 2 MiB, at once: no more of a window is ever needed. It bounds the memory.
const ZSTD_WINDOW_LOG: u32 = 21;

/// Fills `cluster` with what `packed` unpacks to; whatever follows in `packed` is padding.
pub(crate) fn unpack(compression: Compression, packed: &[u8], cluster: &mut [u8]) -> io::Result<()> {
    match compression {
        Compression::Deflate => inflate(packed, cluster),
        Compression::Zstd => unpack_zstd(packed, cluster),
    }
}

/// Raw deflate (RFC 1951), without zlib's header.
fn inflate(packed: &[u8], cluster: &mut [u8]) -> io::Result<()> {
    let mut state = Decompress::new(false);
    let status = state.decompress(packed, cluster, FlushDecompress::Finish)?;
    let full = state.total_out() == u64::try_from(cluster.len()).expect("a cluster is small");
    match status {
        Status::Ok | Status::StreamEnd | Status::BufError if full => Ok(()),
        _ => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the compressed data ends before the cluster does")),
    }
}

fn unpack_zstd(packed: &[u8], cluster: &mut [u8]) -> io::Result<()> {
    let mut decoder = zstd::stream::read::Decoder::with_buffer(packed)?;
    decoder.window_log_max(ZSTD_WINDOW_LOG)?;
    decoder.read_exact(cluster)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn padding_is_ignored_and_a_short_cluster_is_an_error() {
        let plain = b"marks ".repeat(700);
        let mut deflated = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
        deflated.write_all(&plain).expect("in memory");
        let packed = [
            (Compression::Deflate, deflated.finish().expect("in memory")),
            (Compression::Zstd, zstd::encode_all(&plain[..], 3).expect("in memory")),
        ];
        for (compression, mut packed) in packed {
            packed.extend_from_slice(&[0xaa; 300]);
            let mut cluster = vec![0; plain.len()];
            unpack(compression, &packed, &mut cluster).expect("unpacked");
            assert_eq!(cluster, plain);
            unpack(compression, &packed, &mut vec![0; plain.len() + 1]).expect_err("too short");
            unpack(compression, &packed[..10], &mut cluster).expect_err("cut");
            unpack(compression, b"", &mut cluster).expect_err("nothing");
        }
    }
}
