//! Record batches: built for Produce, read from Fetch.

use std::time::{SystemTime, UNIX_EPOCH};

use bytes::{Bytes, BytesMut};
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::records::{
    Compression, NO_PARTITION_LEADER_EPOCH, NO_PRODUCER_EPOCH, NO_PRODUCER_ID, NO_SEQUENCE, Record,
    RecordBatchDecoder, RecordBatchEncoder, RecordEncodeOptions, TimestampType,
};

/// Positions of fields in a record batch of format 2
/// (<https://kafka.apache.org/documentation/#recordbatch>), for tests that damage one.
pub(crate) mod position {
    pub(crate) const BATCH_LENGTH: usize = 8;
    pub(crate) const PARTITION_LEADER_EPOCH: usize = 12;
    pub(crate) const MAGIC: usize = 16;
    pub(crate) const CRC: usize = 17;
    pub(crate) const ATTRIBUTES: usize = 21;
    pub(crate) const LAST_OFFSET_DELTA: usize = 23;
    pub(crate) const BASE_TIMESTAMP: usize = 27;
    pub(crate) const MAX_TIMESTAMP: usize = 35;
    pub(crate) const RECORD_COUNT: usize = 57;
}

/// Milliseconds since the epoch, as records carry them.
pub(crate) fn now() -> i64 {
    let elapsed = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("a clock after 1970");
    i64::try_from(elapsed.as_millis()).expect("a clock before the year 292277026596")
}

/// A record batch to be.
#[derive(Clone)]
pub(crate) struct Batch {
    records: Vec<Record>,
    compression: Compression,
}

impl Batch {
    /// Records with these values, no keys, made now.
    pub(crate) fn of<V: AsRef<[u8]>>(values: impl IntoIterator<Item = V>) -> Self {
        let timestamp = now();
        let records = values
            .into_iter()
            .map(|value| record(None, Some(value.as_ref()), timestamp))
            .collect();
        Self {
            records,
            compression: Compression::None,
        }
        .numbered()
    }

    /// Records with these keys, values and nothing else.
    pub(crate) fn keyed(pairs: &[(Option<&str>, Option<&str>)]) -> Self {
        let timestamp = now();
        let bytes = |text: &Option<&str>| text.map(str::as_bytes).map(<[u8]>::to_vec);
        let records = pairs
            .iter()
            .map(|(key, value)| record(bytes(key).as_deref(), bytes(value).as_deref(), timestamp))
            .collect();
        Self {
            records,
            compression: Compression::None,
        }
        .numbered()
    }

    /// One record for each timestamp.
    pub(crate) fn at(timestamps: &[i64]) -> Self {
        let records = timestamps
            .iter()
            .map(|timestamp| record(None, Some(b"value"), *timestamp))
            .collect();
        Self {
            records,
            compression: Compression::None,
        }
        .numbered()
    }

    /// One record of `size` bytes.
    pub(crate) fn of_size(size: usize) -> Self {
        Self::of([vec![b'x'; size]])
    }

    /// The same records, made at this time.
    pub(crate) fn made_at(mut self, timestamp: i64) -> Self {
        for record in &mut self.records {
            record.timestamp = timestamp;
        }
        self
    }

    /// As an idempotent producer sends it.
    // It says whom the batch comes from, not what it is made of.
    #[allow(clippy::wrong_self_convention)]
    pub(crate) fn from_producer(
        mut self,
        producer_id: i64,
        producer_epoch: i16,
        first_sequence: i32,
    ) -> Self {
        for (delta, record) in (0..).zip(&mut self.records) {
            record.producer_id = producer_id;
            record.producer_epoch = producer_epoch;
            record.sequence = first_sequence.wrapping_add(delta);
        }
        self
    }

    /// Inside the producer's transaction.
    pub(crate) fn transactional(mut self) -> Self {
        for record in &mut self.records {
            record.transactional = true;
        }
        self
    }

    /// As only a broker may write it.
    pub(crate) fn control(mut self) -> Self {
        for record in &mut self.records {
            record.control = true;
        }
        self
    }

    /// Its bytes.
    pub(crate) fn encode(&self) -> Bytes {
        let mut buffer = BytesMut::new();
        let options = RecordEncodeOptions {
            version: 2,
            compression: self.compression,
        };
        RecordBatchEncoder::encode(&mut buffer, &self.records, &options).expect("encode a batch");
        buffer.freeze()
    }

    /// The encoder starts a new batch wherever offset and sequence drift apart: offsets count from 0, sequences from `-1`.
    fn numbered(mut self) -> Self {
        for (offset, record) in (0..).zip(&mut self.records) {
            record.offset = i64::from(offset);
            record.sequence = NO_SEQUENCE.wrapping_add(offset);
        }
        self
    }
}

fn record(key: Option<&[u8]>, value: Option<&[u8]>, timestamp: i64) -> Record {
    Record {
        transactional: false,
        control: false,
        delete_horizon: false,
        partition_leader_epoch: NO_PARTITION_LEADER_EPOCH,
        producer_id: NO_PRODUCER_ID,
        producer_epoch: NO_PRODUCER_EPOCH,
        timestamp_type: TimestampType::Creation,
        offset: 0,
        sequence: NO_SEQUENCE,
        timestamp,
        key: key.map(Bytes::copy_from_slice),
        value: value.map(Bytes::copy_from_slice),
        headers: std::iter::empty::<(StrBytes, Option<Bytes>)>().collect(),
    }
}

/// Writes `bytes` into a copy of `batch` at `position`, and makes its checksum right again.
pub(crate) fn altered(batch: &Bytes, position: usize, bytes: &[u8]) -> Bytes {
    let mut altered = damaged(batch, position, bytes).to_vec();
    let checksum = crc32c::crc32c(&altered[position::ATTRIBUTES..]);
    altered[position::CRC..position::CRC + 4].copy_from_slice(&checksum.to_be_bytes());
    altered.into()
}

/// Writes `bytes` into a copy of `batch` at `position`, and leaves its checksum wrong.
pub(crate) fn damaged(batch: &Bytes, position: usize, bytes: &[u8]) -> Bytes {
    let mut damaged = batch.to_vec();
    damaged[position..position + bytes.len()].copy_from_slice(bytes);
    damaged.into()
}

/// The records in the answer to a fetch. The decoder verifies each batch's checksum.
pub(crate) fn decode(records: Option<Bytes>) -> Vec<Record> {
    let mut bytes = records.expect("records are empty, never null");
    let batches = RecordBatchDecoder::decode_all(&mut bytes).expect("whole record batches");
    batches
        .into_iter()
        .flat_map(|batch| batch.records)
        .collect()
}

/// The values of `records`, as text.
pub(crate) fn values(records: &[Record]) -> Vec<String> {
    let text = |record: &Record| {
        String::from_utf8_lossy(record.value.as_deref().unwrap_or_default()).into_owned()
    };
    records.iter().map(text).collect()
}
