//! The records inside a batch: read only where a lookup or a compaction needs them, never on the way of a produce request.
//!
//! A record is variable-length numbers and byte strings
//! (<https://kafka.apache.org/documentation/#record>): length, attributes, timestamp delta, offset delta, key, value,
//! headers. Batches are checked by length and checksum only when they arrive, so everything here may be nonsense: reading
//! stops at the first byte that makes none.

use std::borrow::Cow;

use bytes::{Buf, BufMut};

use super::batch::BatchHeader;
use super::codec;

/// The records of one batch, without their compression.
#[derive(Debug)]
pub(crate) struct Records<'a> {
    header: BatchHeader,
    body: Cow<'a, [u8]>,
}

impl<'a> Records<'a> {
    /// Opens a batch. None if its compression cannot be undone.
    pub(crate) fn of(batch: &'a [u8]) -> Option<Self> {
        let header = BatchHeader::parse(batch)?;
        let body = codec::decompress(header.codec()?, &batch[BatchHeader::LENGTH..])?;
        Some(Self { header, body })
    }

    pub(crate) fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// The records that can be read, up to the count that the header gives.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Record<'_>> + Clone {
        let mut rest = &self.body[..];
        (0..self.header.record_count).map_while(move |_| Record::take(&mut rest))
    }

    /// As many records as the header counts, or None. Not a list of them: a kilobyte may decompress to a million records,
    /// and a record takes fifteen times its own bytes in a list.
    pub(crate) fn all(&self) -> Option<impl Iterator<Item = Record<'_>> + Clone> {
        let count = i32::try_from(self.iter().count());
        (count == Ok(self.header.record_count)).then(|| self.iter())
    }

    /// The offset of a record of this batch.
    pub(crate) fn offset(&self, record: &Record<'_>) -> i64 {
        self.header.base_offset.saturating_add(record.offset_delta)
    }

    /// Its time, in milliseconds since the Unix epoch.
    pub(crate) fn timestamp(&self, record: &Record<'_>) -> i64 {
        if self.header.has_append_time() {
            self.header.max_timestamp
        } else {
            self.header
                .base_timestamp
                .saturating_add(record.timestamp_delta)
        }
    }
}

/// A record's value, null or not, and its headers by name.
pub(crate) type ValueAndHeaders<'a> = (Option<&'a [u8]>, Vec<(String, Option<Vec<u8>>)>);

/// One record's fields that the broker looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Record<'a> {
    /// All of it, with its length in front.
    pub(crate) bytes: &'a [u8],
    pub(crate) timestamp_delta: i64,
    pub(crate) offset_delta: i64,
    /// None is null, which is not the same as empty.
    pub(crate) key: Option<&'a [u8]>,
    /// A record without a value is a tombstone: it says that its key was deleted.
    pub(crate) has_value: bool,
    attributes: i8,
    /// What follows the timestamp.
    after_timestamp: &'a [u8],
}

impl<'a> Record<'a> {
    /// Takes the record that `bytes` begin with.
    fn take(bytes: &mut &'a [u8]) -> Option<Self> {
        let start = *bytes;
        let length = usize::try_from(take_varint(bytes)?).ok()?;
        let mut record = bytes.get(..length)?;
        bytes.advance(length);
        let attributes = record.try_get_i8().ok()?;
        let timestamp_delta = take_varint(&mut record)?;
        let after_timestamp = record;
        Some(Self {
            bytes: &start[..start.len() - bytes.len()],
            timestamp_delta,
            offset_delta: take_varint(&mut record)?,
            key: take_nullable(&mut record)?,
            has_value: take_nullable(&mut record)?.is_some(),
            attributes,
            after_timestamp,
        })
    }

    /// The record's value and its headers, in their order. None if these bytes are no record.
    pub(crate) fn value_and_headers(&self) -> Option<ValueAndHeaders<'a>> {
        let mut rest = self.after_timestamp;
        let _offset_delta = take_varint(&mut rest)?;
        let _key = take_nullable(&mut rest)?;
        let value = take_nullable(&mut rest)?;
        let mut headers = Vec::new();
        for _ in 0..take_varint(&mut rest)? {
            let name = String::from_utf8_lossy(take_nullable(&mut rest)??).into_owned();
            headers.push((name, take_nullable(&mut rest)?.map(<[u8]>::to_vec)));
        }
        Some((value, headers))
    }

    /// Writes the record with another timestamp, which the batch's base timestamp is added to.
    pub(crate) fn write_with_timestamp(&self, timestamp_delta: i64, out: &mut Vec<u8>) {
        let mut record = Vec::with_capacity(self.bytes.len() + 10);
        record.put_i8(self.attributes);
        put_varint(timestamp_delta, &mut record);
        record.extend_from_slice(self.after_timestamp);
        // No buffer is longer than an i64 can say.
        put_varint(i64::try_from(record.len()).unwrap_or(i64::MAX), out);
        out.append(&mut record);
    }
}

/// Bytes behind their length; a negative length is null.
fn take_nullable<'a>(bytes: &mut &'a [u8]) -> Option<Option<&'a [u8]>> {
    let length = take_varint(bytes)?;
    if length < 0 {
        return Some(None);
    }
    let taken = bytes.get(..usize::try_from(length).ok()?)?;
    bytes.advance(taken.len());
    Some(Some(taken))
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

/// Appends a number as [`take_varint`] reads it.
pub(super) fn put_varint(value: i64, out: &mut Vec<u8>) {
    let mut zigzag = ((value << 1) ^ (value >> 63)) as u64;
    while zigzag >= 0x80 {
        out.push(zigzag as u8 | 0x80);
        zigzag >>= 7;
    }
    out.push(zigzag as u8);
}

#[cfg(test)]
mod tests {
    use super::super::testing::TestBatch;
    use super::*;

    #[test]
    fn numbers_are_read_as_they_are_written() {
        for number in [0, 1, -1, 63, 64, -64, -65, 300, i64::MAX, i64::MIN] {
            let mut bytes = Vec::new();
            put_varint(number, &mut bytes);
            let mut rest = &bytes[..];
            assert_eq!(take_varint(&mut rest), Some(number));
            assert!(rest.is_empty());
        }
        assert_eq!(take_varint(&mut &[0xff; 10][..]), None, "without an end");
    }

    #[test]
    fn records_that_are_cut_off_are_not_read() {
        let batch = TestBatch::keyed(1_000, &["a", "b"]).bytes();
        let whole = Records::of(&batch).unwrap().all().unwrap().count();
        assert_eq!(whole, 2);
        for length in BatchHeader::LENGTH..batch.len() {
            let records = Records::of(&batch[..length]).unwrap();
            assert!(records.iter().count() < 2);
            assert!(records.all().is_none(), "{length} bytes");
        }
    }

    #[test]
    fn a_count_that_lies_reserves_nothing() {
        let mut batch = TestBatch::keyed(1_000, &["a"]).bytes();
        batch[57..61].copy_from_slice(&i32::MAX.to_be_bytes());
        let records = Records::of(&batch).unwrap();
        assert_eq!(records.iter().count(), 1);
        assert!(records.all().is_none());
    }

    #[test]
    fn arbitrary_bytes_are_read_without_harm() {
        let mut random = fastrand::Rng::with_seed(57);
        for _ in 0..20_000 {
            let mut batch = TestBatch::keyed(random.i64(..), &["a", "bc"]).bytes();
            for _ in 0..random.usize(1..10) {
                let position = random.usize(0..batch.len());
                batch[position] = random.u8(..);
            }
            batch.truncate(random.usize(0..=batch.len()));
            if let Some(records) = Records::of(&batch) {
                for record in records.iter() {
                    let _any = (records.offset(&record), records.timestamp(&record));
                }
            }
        }
    }
}
