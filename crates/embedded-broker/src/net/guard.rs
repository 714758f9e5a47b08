//! A look at a request before it is decoded: does any array claim more elements than there are bytes, and are there more
//! fields than a request needs?
//!
//! The generated decoders reserve memory for the count that an array announces before they read its elements. A frame of
//! 30 bytes can so ask for hundreds of gigabytes, and a failed allocation ends the process. [`check`] decodes the request
//! once from a [`CountGuard`], which gives every number as it is unless it could only be a count that lies; that decoding
//! then runs out of bytes and fails, before the real one reserves anything.
//!
//! What is decoded takes more memory than its bytes: a name of no letters is one byte in the frame, 32 in memory, and a
//! hundred or two in the answer. So the number of fields has a limit beside the number of bytes.

use std::ops::Range;

use anyhow::bail;
use bytes::{Buf, Bytes, TryGetError};
use kafka_protocol::protocol::Decodable;
use kafka_protocol::protocol::buf::ByteBuf;

/// Above this many bytes left, a number beyond them is refused outright instead of clamped, so that the dry run itself
/// never reserves more than this many elements.
const MAX_CLAMPED: usize = 1 << 20;

/// A fetch of 18,000 partitions has as many fields, and nobody fetches that many at once.
pub(super) const MAX_FIELDS: usize = 1 << 17;

/// Fails if `body` is no `T` of this version. Bytes that follow the request are ignored, as Apache Kafka does: librdkafka 2.16
/// sends some after Metadata version 13.
pub(super) fn check<T: Decodable>(body: &Bytes, version: i16) -> anyhow::Result<()> {
    let mut guard = CountGuard {
        bytes: body.clone(),
        high_bytes: Vec::with_capacity(5),
        fields_left: MAX_FIELDS,
    };
    let decoded = T::decode(&mut guard, version);
    if guard.fields_left == 0 {
        bail!("more than {MAX_FIELDS} fields");
    }
    decoded.map(drop)
}

struct CountGuard {
    bytes: Bytes,
    /// Single bytes read in a row that had their high bit set: the start of a variable-length number, as far as read.
    high_bytes: Vec<u8>,
    /// How many may still be read.
    fields_left: usize,
}

impl CountGuard {
    fn not_enough(&self, requested: usize) -> TryGetError {
        TryGetError {
            requested,
            available: self.bytes.len(),
        }
    }

    /// One more field is read; where it is one too many, nothing is left to read.
    fn count_field(&mut self) {
        self.fields_left = self.fields_left.saturating_sub(1);
        if self.fields_left == 0 {
            self.bytes.clear();
        }
    }
}

impl Buf for CountGuard {
    fn remaining(&self) -> usize {
        self.bytes.len()
    }

    fn chunk(&self) -> &[u8] {
        &self.bytes
    }

    fn advance(&mut self, count: usize) {
        self.high_bytes.clear();
        self.bytes.advance(count);
        self.count_field();
    }

    /// A plain array's count comes through here, as do numbers that are no counts: one that exceeds what is left is
    /// answered with one more than what is left, which no array of elements of at least one byte can satisfy.
    fn try_get_i32(&mut self) -> Result<i32, TryGetError> {
        self.high_bytes.clear();
        let value = self.bytes.try_get_i32()?;
        self.count_field();
        let left = self.bytes.len();
        match usize::try_from(value) {
            Ok(count) if count > left && left >= MAX_CLAMPED => Err(self.not_enough(count)),
            Ok(count) if count > left => Ok(i32::try_from(left + 1).unwrap_or(i32::MAX)),
            _ => Ok(value),
        }
    }

    /// A compact array's count comes through here byte by byte. The run of bytes may begin with booleans that are no part
    /// of the number, so every start within it is considered.
    fn try_get_u8(&mut self) -> Result<u8, TryGetError> {
        let byte = self.bytes.try_get_u8()?;
        self.count_field();
        let left = self.bytes.len();
        self.high_bytes.push(byte);
        for start in 0..self.high_bytes.len() {
            let value = self.high_bytes[start..]
                .iter()
                .take(5)
                .enumerate()
                .fold(0_u64, |value, (index, byte)| {
                    value | (u64::from(byte & 0x7f) << (7 * index))
                });
            // Lengths and counts are sent plus one.
            if value > left as u64 + 1 {
                return Err(self.not_enough(usize::try_from(value).unwrap_or(usize::MAX)));
            }
        }
        if byte < 0x80 {
            self.high_bytes.clear();
        } else if self.high_bytes.len() >= 5 {
            self.high_bytes.remove(0);
        }
        Ok(byte)
    }
}

impl ByteBuf for CountGuard {
    fn peek_bytes(&mut self, range: Range<usize>) -> Bytes {
        self.bytes.slice(range)
    }

    fn get_bytes(&mut self, size: usize) -> Bytes {
        self.high_bytes.clear();
        let taken = self.bytes.split_to(size);
        self.count_field();
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::{BufMut, BytesMut};
    use kafka_protocol::messages::{
        FetchRequest, FindCoordinatorRequest, MetadataRequest, ProduceRequest, RequestHeader,
    };

    fn built(write: impl FnOnce(&mut BytesMut)) -> Bytes {
        let mut bytes = BytesMut::new();
        write(&mut bytes);
        bytes.freeze()
    }

    #[test]
    fn a_plain_array_that_announces_two_billion_topics_is_refused() {
        let lying = built(|bytes| bytes.put_i32(i32::MAX));
        assert!(check::<MetadataRequest>(&lying, 1).is_err());
    }

    #[test]
    fn a_count_of_what_is_left_is_refused_when_the_elements_are_not_there() {
        let lying = built(|bytes| {
            bytes.put_i32(300);
            bytes.put_bytes(0, 299);
        });
        assert!(check::<MetadataRequest>(&lying, 1).is_err());
    }

    #[test]
    fn a_compact_array_that_announces_four_billion_topics_is_refused() {
        let lying = built(|bytes| bytes.put_slice(&[0xff, 0xff, 0xff, 0xff, 0x0f]));
        assert!(check::<MetadataRequest>(&lying, 9).is_err());
    }

    #[test]
    fn a_count_behind_a_boolean_with_its_high_bit_set_is_still_seen() {
        // allow_auto_topic_creation as 0x80, include_topic_authorized_operations, then the number of tagged fields.
        let lying =
            built(|bytes| bytes.put_slice(&[0x01, 0x80, 0x80, 0xff, 0xff, 0xff, 0xff, 0x0f]));
        assert!(check::<MetadataRequest>(&lying, 11).is_err());
    }

    #[test]
    fn numbers_that_are_no_counts_may_be_larger_than_the_request() {
        let topics = MetadataRequest::default().with_topics(Some(Vec::new()));
        let fetch = FetchRequest::default()
            .with_max_wait_ms(30_000)
            .with_max_bytes(52_428_800)
            .with_min_bytes(1);
        let produce = ProduceRequest::default()
            .with_timeout_ms(300_000)
            .with_acks(-1);
        for version in [4, 12] {
            assert!(check::<FetchRequest>(&encoded(&fetch, version), version).is_ok());
        }
        assert!(check::<ProduceRequest>(&encoded(&produce, 9), 9).is_ok());
        assert!(check::<MetadataRequest>(&encoded(&topics, 12), 12).is_ok());
    }

    #[test]
    fn many_small_fields_are_refused_however_few_bytes_they_take() {
        // Keys of no letters: a byte each.
        let keys = |count: usize| {
            let request =
                FindCoordinatorRequest::default().with_coordinator_keys(vec!["".into(); count]);
            check::<FindCoordinatorRequest>(&encoded(&request, 4), 4).map_err(|e| e.to_string())
        };
        assert_eq!(keys(60_000), Ok(()));
        assert_eq!(keys(MAX_FIELDS), Err("more than 131072 fields".to_owned()));
    }

    #[test]
    fn a_header_of_many_tagged_fields_is_refused() {
        let header = |count: &[u8], bytes_of_fields| {
            built(|bytes| {
                // Key, version, correlation id, no client id.
                bytes.put_slice(&[0, 0, 0, 9, 0, 0, 0, 1, 0xff, 0xff]);
                bytes.put_slice(count);
                bytes.put_bytes(0, bytes_of_fields);
            })
        };
        assert!(check::<RequestHeader>(&header(&[100], 200), 2).is_ok());
        let million = header(&[0x80, 0x80, 0x40], 2 << 20);
        assert!(check::<RequestHeader>(&million, 2).is_err());
    }

    fn encoded(request: &impl kafka_protocol::protocol::Encodable, version: i16) -> Bytes {
        let mut bytes = BytesMut::new();
        request
            .encode(&mut bytes, version)
            .expect("a request that the crate can express");
        bytes.freeze()
    }
}
