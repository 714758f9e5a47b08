//! The header of a record batch, and what makes a batch acceptable.
//!
//! The layout is Kafka's record batch of magic 2 (<https://kafka.apache.org/documentation/#recordbatch>):
//!
//! ```text
//!  0 base offset i64          | 16 magic i8               | 43 producer id i64
//!  8 batch length i32         | 17 CRC-32C u32 of 21..    | 51 producer epoch i16
//! 12 partition leader epoch   | 21 attributes i16         | 53 base sequence i32
//!                             | 23 last offset delta i32  | 57 record count i32
//!                             | 27 base timestamp i64     | 61 the records
//!                             | 35 max timestamp i64      |
//! ```
//! Base offset and leader epoch lie before the checksummed part, so that a broker can set them in place.

use bytes::{Buf, BufMut};
use kafka_protocol::error::ResponseError;

/// The only batch format since Kafka 4.0.
const MAGIC: u8 = 2;
/// Where a batch says which format it has.
const MAGIC_POSITION: usize = 16;
/// The least that a batch's length can say: that of a message of the first format.
const LEAST_LENGTH: usize = 14;
/// Attribute bits.
const CODEC_MASK: i16 = 0x07;
const LOG_APPEND_TIME: i16 = 0x08;
const TRANSACTIONAL: i16 = 0x10;
const CONTROL: i16 = 0x20;
const DELETE_HORIZON: i16 = 0x40;

/// How the records of a batch are compressed, with its number in the attributes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i16)]
pub(crate) enum Codec {
    None = 0,
    Gzip = 1,
    Snappy = 2,
    Lz4 = 3,
    Zstd = 4,
}

/// The fields of a record batch's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BatchHeader {
    pub(crate) base_offset: i64,
    /// Length of all that follows this field, in bytes.
    pub(crate) batch_length: i32,
    pub(crate) partition_leader_epoch: i32,
    pub(crate) magic: i8,
    /// CRC-32C of everything from the attributes on.
    pub(crate) crc: u32,
    pub(crate) attributes: i16,
    pub(crate) last_offset_delta: i32,
    /// Milliseconds since the Unix epoch, as is `max_timestamp`.
    pub(crate) base_timestamp: i64,
    pub(crate) max_timestamp: i64,
    /// -1 for a producer that is not idempotent.
    pub(crate) producer_id: i64,
    pub(crate) producer_epoch: i16,
    pub(crate) base_sequence: i32,
    pub(crate) record_count: i32,
}

impl BatchHeader {
    /// Bytes before the first record.
    pub(crate) const LENGTH: usize = 61;
    /// Where the part begins that `batch_length` counts.
    pub(crate) const LENGTH_PREFIX: usize = 12;
    /// Where the part begins that the checksum covers.
    const CHECKSUMMED: usize = 21;

    /// Reads the header that `bytes` begin with.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let mut header = bytes.get(..Self::LENGTH)?;
        Some(Self {
            base_offset: header.get_i64(),
            batch_length: header.get_i32(),
            partition_leader_epoch: header.get_i32(),
            magic: header.get_i8(),
            crc: header.get_u32(),
            attributes: header.get_i16(),
            last_offset_delta: header.get_i32(),
            base_timestamp: header.get_i64(),
            max_timestamp: header.get_i64(),
            producer_id: header.get_i64(),
            producer_epoch: header.get_i16(),
            base_sequence: header.get_i32(),
            record_count: header.get_i32(),
        })
    }

    /// Reads and checks what a producer sent for one partition: exactly one whole batch, in order and unharmed. Fewer bytes
    /// behind it than a batch begins with are none of it.
    ///
    /// # Errors
    /// What Apache Kafka answers, in the order of its checks, with a reason.
    pub(crate) fn check(bytes: &[u8]) -> Result<Self, (ResponseError, &'static str)> {
        let corrupt = |reason| Err((ResponseError::CorruptMessage, reason));
        let invalid = |reason| Err((ResponseError::InvalidRecord, reason));
        let Some(length) = first_batch(bytes)? else {
            return invalid("a produce request carries a batch for each partition");
        };
        let (batch, rest) = bytes.split_at(length);
        if batch.get(MAGIC_POSITION) != Some(&MAGIC) {
            return invalid("only record batches of magic 2 are accepted since Apache Kafka 4.0");
        }
        let Some(header) = Self::parse(batch) else {
            return corrupt("the batch is shorter than its header");
        };
        if first_batch(rest)?.is_some() {
            return invalid("a produce request carries exactly one batch for each partition");
        }
        if header.base_offset != 0 {
            return invalid("offsets in a batch count from 0: the broker gives them");
        }
        if checksum(batch) != header.crc {
            return corrupt("the checksum does not match the records");
        }
        if header.is_control() {
            return invalid("clients do not write control batches");
        }
        // A negative delta would move the log's end backwards.
        if header.record_count < 1 || header.last_offset_delta != header.record_count - 1 {
            return invalid("the batch's record count and its last offset delta disagree");
        }
        if header.producer_id >= 0 && header.base_sequence < 0 {
            return invalid("a batch with a producer id needs a sequence number");
        }
        if header.codec().is_none() {
            let reason = "the compression codec is unknown";
            return Err((ResponseError::UnknownServerError, reason));
        }
        Ok(header)
    }

    /// Bytes of the whole batch.
    pub(crate) fn length(&self) -> usize {
        Self::LENGTH_PREFIX + usize::try_from(self.batch_length).unwrap_or(0)
    }

    /// None if no codec has the number that the attributes give.
    pub(crate) fn codec(&self) -> Option<Codec> {
        match self.attributes & CODEC_MASK {
            0 => Some(Codec::None),
            1 => Some(Codec::Gzip),
            2 => Some(Codec::Snappy),
            3 => Some(Codec::Lz4),
            4 => Some(Codec::Zstd),
            _ => None,
        }
    }

    /// Whether the records' time is when they were appended; it is then the batch's largest timestamp for all of them.
    pub(crate) fn has_append_time(&self) -> bool {
        self.attributes & LOG_APPEND_TIME != 0
    }

    pub(crate) fn is_transactional(&self) -> bool {
        self.attributes & TRANSACTIONAL != 0
    }

    pub(crate) fn is_control(&self) -> bool {
        self.attributes & CONTROL != 0
    }

    /// When the tombstones in this batch may be removed, in milliseconds since the Unix epoch, or the marker that it is:
    /// set by the first compaction that keeps them, in place of the base timestamp (KIP-534).
    pub(crate) fn delete_horizon(&self) -> Option<i64> {
        (self.attributes & DELETE_HORIZON != 0).then_some(self.base_timestamp)
    }

    /// Sets that time. The records' timestamps count from it then.
    pub(crate) fn set_delete_horizon(&mut self, unix_ms: i64) {
        self.attributes |= DELETE_HORIZON;
        self.base_timestamp = unix_ms;
    }

    /// Says that there are no records any more: no codec, no delete horizon, no base timestamp. The largest timestamp stays
    /// for the segment's age.
    pub(crate) fn set_no_records(&mut self) {
        self.attributes &= LOG_APPEND_TIME | TRANSACTIONAL | CONTROL;
        self.base_timestamp = -1;
        self.record_count = 0;
    }

    #[cfg(test)]
    pub(crate) fn set_codec(&mut self, codec: Codec) {
        self.attributes = self.attributes & !CODEC_MASK | codec as i16;
    }

    pub(crate) fn last_offset(&self) -> i64 {
        self.base_offset
            .saturating_add(self.last_offset_delta.into())
    }

    pub(crate) fn is_idempotent(&self) -> bool {
        self.producer_id >= 0
    }

    /// Sequence number of the batch's last record; the numbers wrap to 0 after `i32::MAX`.
    pub(crate) fn last_sequence(&self) -> i32 {
        let sum = i64::from(self.base_sequence) + i64::from(self.last_offset_delta);
        i32::try_from(sum)
            .or_else(|_| i32::try_from(sum - (1_i64 << 31)))
            .unwrap_or(0)
    }
}

impl BatchHeader {
    /// The batch of these fields and of `records`, which are compressed already. Its length and its checksum are computed.
    pub(crate) fn with_records(&self, records: &[u8]) -> Vec<u8> {
        let length = Self::LENGTH - Self::LENGTH_PREFIX + records.len();
        let mut batch = Vec::with_capacity(Self::LENGTH_PREFIX + length);
        batch.put_i64(self.base_offset);
        // Records come out of a frame, whose length an i32 gives.
        batch.put_i32(i32::try_from(length).unwrap_or(i32::MAX));
        batch.put_i32(self.partition_leader_epoch);
        batch.put_i8(self.magic);
        batch.put_u32(0);
        batch.put_i16(self.attributes);
        batch.put_i32(self.last_offset_delta);
        batch.put_i64(self.base_timestamp);
        batch.put_i64(self.max_timestamp);
        batch.put_i64(self.producer_id);
        batch.put_i16(self.producer_epoch);
        batch.put_i32(self.base_sequence);
        batch.put_i32(self.record_count);
        batch.put_slice(records);
        mend_checksum(&mut batch);
        batch
    }
}

/// How long the batch is that `bytes` begin with. None if there is no whole one.
///
/// # Errors
/// CORRUPT_MESSAGE if its beginning cannot be one of a batch of any format.
fn first_batch(bytes: &[u8]) -> Result<Option<usize>, (ResponseError, &'static str)> {
    let corrupt = |reason| Err((ResponseError::CorruptMessage, reason));
    let Some(mut length) = bytes.get(8..BatchHeader::LENGTH_PREFIX) else {
        return Ok(None);
    };
    let Some(length) = usize::try_from(length.get_i32())
        .ok()
        .filter(|length| *length >= LEAST_LENGTH)
    else {
        return corrupt("the batch's length is less than a batch can have");
    };
    match bytes.get(MAGIC_POSITION) {
        None => return Ok(None),
        Some(magic) if *magic > MAGIC => return corrupt("the batch is of an unknown format"),
        Some(_) => {}
    }
    let length = BatchHeader::LENGTH_PREFIX + length;
    Ok((length <= bytes.len()).then_some(length))
}

/// Writes what the broker decides into a batch: where it stands and under which leader.
pub(crate) fn place(batch: &mut [u8], base_offset: i64, leader_epoch: i32) {
    if batch.len() >= BatchHeader::LENGTH {
        batch[..8].copy_from_slice(&base_offset.to_be_bytes());
        batch[12..16].copy_from_slice(&leader_epoch.to_be_bytes());
    }
}

/// Stamps a batch with the time of its append (`message.timestamp.type=LogAppendTime`) and mends the checksum.
pub(crate) fn stamp(batch: &mut [u8], now_ms: i64) {
    if let Some(header) = BatchHeader::parse(batch) {
        batch[21..23].copy_from_slice(&(header.attributes | LOG_APPEND_TIME).to_be_bytes());
        batch[35..43].copy_from_slice(&now_ms.to_be_bytes());
        mend_checksum(batch);
    }
}

/// Computes the checksum anew. The batch is at least as long as its header.
fn mend_checksum(batch: &mut [u8]) {
    let crc = checksum(batch);
    batch[17..21].copy_from_slice(&crc.to_be_bytes());
}

/// What the checksum of a batch should be. The batch is at least as long as its header.
pub(super) fn checksum(batch: &[u8]) -> u32 {
    crc32c::crc32c(&batch[BatchHeader::CHECKSUMMED..])
}
