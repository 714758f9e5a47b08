//! The compression of a batch's records: undone where the broker has to look inside, done again where it rewrites.
//!
//! Batches come from clients, so the compressed bytes may be nonsense or made to grow without end: reading them is
//! bounded.

use std::borrow::Cow;
use std::io::{self, Read, Write};

use bytes::Buf;

use super::batch::Codec;

/// A batch that grows beyond this when it is decompressed is not looked into: it is hostile or broken.
const MAX_DECOMPRESSED: u64 = 128 * 1024 * 1024;

/// The bytes in front of every xerial-framed snappy stream, which Java clients write; librdkafka writes raw snappy.
const XERIAL_MAGIC: &[u8] = b"\x82SNAPPY\0";
/// The magic and two version numbers.
const XERIAL_HEADER: usize = 16;

/// The records as they were before compression. None if they cannot be had.
pub(super) fn decompress(codec: Codec, body: &[u8]) -> Option<Cow<'_, [u8]>> {
    match codec {
        Codec::None => return Some(Cow::Borrowed(body)),
        Codec::Gzip => read_bounded(flate2::read::GzDecoder::new(body)),
        Codec::Snappy if body.starts_with(XERIAL_MAGIC) => {
            decompress_xerial(body.get(XERIAL_HEADER..)?)
        }
        Codec::Snappy => decompress_snappy(body),
        Codec::Lz4 => read_bounded(lz4_flex::frame::FrameDecoder::new(body)),
        Codec::Zstd => read_bounded(ruzstd::decoding::StreamingDecoder::new(body).ok()?),
    }
    .map(Cow::Owned)
}

fn read_bounded(reader: impl Read) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    reader
        .take(MAX_DECOMPRESSED + 1)
        .read_to_end(&mut out)
        .ok()?;
    (out.len() as u64 <= MAX_DECOMPRESSED).then_some(out)
}

fn decompress_snappy(block: &[u8]) -> Option<Vec<u8>> {
    let length = snap::raw::decompress_len(block).ok()?;
    if length as u64 > MAX_DECOMPRESSED {
        return None;
    }
    snap::raw::Decoder::new().decompress_vec(block).ok()
}

/// Blocks of raw snappy, each behind its length.
fn decompress_xerial(mut blocks: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    while !blocks.is_empty() {
        let length = usize::try_from(blocks.try_get_u32().ok()?).ok()?;
        out.extend_from_slice(&decompress_snappy(blocks.get(..length)?)?);
        blocks.advance(length);
        if out.len() as u64 > MAX_DECOMPRESSED {
            return None;
        }
    }
    Some(out)
}

/// Records in compressed form. Snappy is written raw, as librdkafka does and every client reads.
///
/// # Errors
/// If an encoder fails, which none does in memory.
pub(super) fn compress(codec: Codec, records: Vec<u8>) -> io::Result<Vec<u8>> {
    match codec {
        Codec::None => Ok(records),
        Codec::Gzip => {
            let mut encoder =
                flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
            encoder.write_all(&records)?;
            encoder.finish()
        }
        Codec::Snappy => Ok(snap::raw::Encoder::new().compress_vec(&records)?),
        Codec::Lz4 => {
            let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
            encoder.write_all(&records)?;
            Ok(encoder.finish()?)
        }
        Codec::Zstd => Ok(ruzstd::encoding::compress_to_vec(
            &records[..],
            ruzstd::encoding::CompressionLevel::Fastest,
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CODECS: [Codec; 5] = [
        Codec::None,
        Codec::Gzip,
        Codec::Snappy,
        Codec::Lz4,
        Codec::Zstd,
    ];

    /// Larger than the blocks of any codec, and not quite regular.
    fn records() -> Vec<u8> {
        let mut random = fastrand::Rng::with_seed(3);
        let words = ["order", "payment", "shipment", "\u{0}\u{1}", "refund"];
        let mut records = Vec::new();
        while records.len() < 300_000 {
            records.extend_from_slice(words[random.usize(0..words.len())].as_bytes());
            records.push(random.u8(..));
        }
        records
    }

    /// As Java clients frame snappy: a header, then blocks of at most 32 KiB behind their lengths.
    fn xerial(records: &[u8]) -> Vec<u8> {
        let mut framed = [XERIAL_MAGIC, &1_u32.to_be_bytes(), &1_u32.to_be_bytes()].concat();
        for block in records.chunks(32 * 1024) {
            let block = snap::raw::Encoder::new().compress_vec(block).unwrap();
            framed.extend_from_slice(&(block.len() as u32).to_be_bytes());
            framed.extend_from_slice(&block);
        }
        framed
    }

    #[test]
    fn every_codec_is_undone() {
        for codec in CODECS {
            for records in [records(), b"short".to_vec(), Vec::new()] {
                let compressed = compress(codec, records.clone()).unwrap();
                let undone = decompress(codec, &compressed);
                assert_eq!(undone.as_deref(), Some(&records[..]), "{codec:?}");
            }
        }
        let framed = xerial(&records());
        let undone = decompress(Codec::Snappy, &framed);
        assert_eq!(undone.as_deref(), Some(&records()[..]), "framed snappy");
    }

    #[test]
    fn what_is_cut_off_is_not_whole() {
        for codec in CODECS.into_iter().skip(1) {
            let compressed = compress(codec, records()).unwrap();
            for length in [1, 7, 15, 16, 17, compressed.len() / 2] {
                // LZ4 takes the end of the bytes for the end of the frame: the count of records will not be met.
                let cut = decompress(codec, &compressed[..length]).unwrap_or_default();
                assert!(
                    cut.len() < records().len(),
                    "{codec:?} cut to {length} bytes"
                );
            }
        }
        let framed = xerial(&records());
        for length in [XERIAL_MAGIC.len(), 17, 20, framed.len() - 1] {
            assert_eq!(
                decompress(Codec::Snappy, &framed[..length]),
                None,
                "{length}"
            );
        }
    }

    #[test]
    fn what_grows_without_end_is_none() {
        assert_eq!(read_bounded(io::repeat(0)), None);
        // Snappy says how large it will be: 2^32 - 1.
        let bomb = [0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0];
        assert_eq!(decompress(Codec::Snappy, &bomb), None);
        let mut framed = xerial(b"");
        framed.extend_from_slice(&(bomb.len() as u32).to_be_bytes());
        framed.extend_from_slice(&bomb);
        assert_eq!(decompress(Codec::Snappy, &framed), None);
    }
}
