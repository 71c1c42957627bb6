//! A body that inflates to a thousand times its size (RFC 1951, RFC 1952), made as it is sent.
//!
//! It is one gzip member whose deflate stream repeats a single compressed block. A full flush ends that block at a byte
//! border and makes it independent of what came before, so the repeated bytes are a valid stream of any length.

use bytes::Bytes;
use flate2::{Compress, Compression, Crc, FlushCompress};
use futures::stream;

use crate::embedded::loopback::Response;

/// Bytes that one block inflates to.
const BLOCK_BYTES: usize = 1 << 20;
/// Room for the compressed block; spaces shrink to about a thousandth.
const COMPRESSED_BYTES_MAX: usize = 16 << 10;
/// A gzip header with no name and no time.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
/// The last block of a deflate stream, empty.
const LAST_BLOCK: [u8; 2] = [3, 0];

/// The body: white space, which a JSON reader goes on skipping, rounded up to whole blocks.
pub(super) fn body(decoded_bytes: u64) -> Response {
    warp::Reply::into_response(warp::reply::stream(stream::iter(pieces(decoded_bytes).map(Ok::<_, std::io::Error>))))
}

fn pieces(decoded_bytes: u64) -> impl Iterator<Item = Bytes> + Send + Sync {
    let block = vec![b' '; BLOCK_BYTES];
    let compressed = Bytes::from(full_flushed(&block));
    let mut block_sum = Crc::new();
    block_sum.update(&block);
    let blocks = decoded_bytes.div_ceil(BLOCK_BYTES as u64);
    let mut sum = Crc::new();
    let mut sent = 0;
    let middle = std::iter::from_fn(move || {
        if sent < blocks {
            sent += 1;
            sum.combine(&block_sum);
            return Some(compressed.clone());
        }
        if sent > blocks {
            return None;
        }
        sent += 1;
        let mut end = LAST_BLOCK.to_vec();
        end.extend_from_slice(&sum.sum().to_le_bytes());
        end.extend_from_slice(&sum.amount().to_le_bytes());
        Some(Bytes::from(end))
    });
    std::iter::once(Bytes::from_static(&HEADER)).chain(middle)
}

fn full_flushed(block: &[u8]) -> Vec<u8> {
    let mut compressed = Vec::with_capacity(COMPRESSED_BYTES_MAX);
    Compress::new(Compression::best(), false)
        .compress_vec(block, &mut compressed, FlushCompress::Full)
        .expect("deflating memory into memory cannot fail");
    compressed
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn the_stream_is_valid_to_its_end() {
        let wire: Vec<u8> = pieces(3 * BLOCK_BYTES as u64).flatten().collect();
        assert!(wire.len() < 8 << 10, "{} bytes on the wire", wire.len());
        let mut decoded = Vec::new();
        flate2::read::GzDecoder::new(wire.as_slice()).read_to_end(&mut decoded).expect("a valid gzip stream");
        assert_eq!(decoded.len(), 3 * BLOCK_BYTES);
    }
}
