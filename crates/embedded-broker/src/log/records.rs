//! The records inside a batch: read only where a lookup needs them, never on the way of a produce request.
//!
//! A record is variable-length numbers and byte strings
//! (<https://kafka.apache.org/documentation/#record>): length, attributes, timestamp delta, offset delta, key, value,
//! headers. Batches are checked by length and checksum only when they arrive, so everything here may be nonsense: reading
//! stops at the first byte that makes none.

use std::io::Read;

use bytes::{Buf, Bytes};

use super::batch::{BatchHeader, Codec};

/// A batch that grows beyond this when it is decompressed is not looked into: it is hostile or broken.
const MAX_DECOMPRESSED: u64 = 128 * 1024 * 1024;

/// The bytes in front of every xerial-framed snappy stream, which Java clients write; librdkafka writes raw snappy.
const XERIAL_MAGIC: &[u8] = b"\x82SNAPPY\0";
/// The magic and two version numbers.
const XERIAL_HEADER: usize = 16;

/// Offset and timestamp of each record that can be read.
pub(crate) fn offsets_and_timestamps(batch: &[u8]) -> Vec<(i64, i64)> {
    let Some(header) = BatchHeader::parse(batch) else {
        return Vec::new();
    };
    let codec = header.codec();
    let Some(body) = codec.and_then(|codec| decompress(codec, &batch[BatchHeader::LENGTH..]))
    else {
        return Vec::new();
    };
    let mut body = &body[..];
    // The count is the producer's word; the list grows only with records that are really there.
    (0..header.record_count)
        .map_while(|_| {
            let record = Record::take(&mut body)?;
            let timestamp = match header.has_append_time() {
                true => header.max_timestamp,
                false => header.base_timestamp.saturating_add(record.timestamp_delta),
            };
            Some((
                header.base_offset.saturating_add(record.offset_delta),
                timestamp,
            ))
        })
        .collect()
}

/// One record's fields that the broker looks at.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) timestamp_delta: i64,
    pub(crate) offset_delta: i64,
}

impl Record {
    /// Takes the record that `bytes` begin with.
    fn take(bytes: &mut &[u8]) -> Option<Self> {
        let length = usize::try_from(take_varint(bytes)?).ok()?;
        let mut record = bytes.get(..length)?;
        bytes.advance(length);
        let _attributes = record.try_get_i8().ok()?;
        Some(Self {
            timestamp_delta: take_varint(&mut record)?,
            offset_delta: take_varint(&mut record)?,
        })
    }
}

/// A zigzag variable-length number of at most 64 bits.
fn take_varint(bytes: &mut &[u8]) -> Option<i64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let byte = bytes.try_get_u8().ok()?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some((value >> 1) as i64 ^ -((value & 1) as i64));
        }
    }
    None
}

/// The records of a batch as they were before compression.
fn decompress(codec: Codec, body: &[u8]) -> Option<Bytes> {
    match codec {
        Codec::None => Some(Bytes::copy_from_slice(body)),
        Codec::Gzip => read_bounded(flate2::read::GzDecoder::new(body)),
        Codec::Snappy if body.starts_with(XERIAL_MAGIC) => {
            decompress_xerial(body.get(XERIAL_HEADER..)?)
        }
        Codec::Snappy => decompress_snappy(body),
        Codec::Lz4 => read_bounded(lz4_flex::frame::FrameDecoder::new(body)),
        Codec::Zstd => read_bounded(ruzstd::decoding::StreamingDecoder::new(body).ok()?),
    }
}

fn read_bounded(reader: impl Read) -> Option<Bytes> {
    let mut out = Vec::new();
    reader
        .take(MAX_DECOMPRESSED + 1)
        .read_to_end(&mut out)
        .ok()?;
    (out.len() as u64 <= MAX_DECOMPRESSED).then(|| out.into())
}

fn decompress_snappy(block: &[u8]) -> Option<Bytes> {
    let length = snap::raw::decompress_len(block).ok()?;
    if length as u64 > MAX_DECOMPRESSED {
        return None;
    }
    snap::raw::Decoder::new()
        .decompress_vec(block)
        .ok()
        .map(Bytes::from)
}

/// Blocks of raw snappy, each behind its length.
fn decompress_xerial(mut blocks: &[u8]) -> Option<Bytes> {
    let mut out = Vec::new();
    while !blocks.is_empty() {
        let length = usize::try_from(blocks.try_get_u32().ok()?).ok()?;
        out.extend_from_slice(&decompress_snappy(blocks.get(..length)?)?);
        blocks.advance(length);
        if out.len() as u64 > MAX_DECOMPRESSED {
            return None;
        }
    }
    Some(out.into())
}
