//! Record batches and logs for the tests of this module.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::batch::{BatchHeader, Codec, checksum};
use super::codec;
use super::partition::PartitionLog;
use super::records::{Records, put_varint};
use super::transactions::{Marker, TransactionResult};
use super::upkeep::Upkeep;
use crate::clock::Now;
use crate::config::Configs;
use crate::config::topic::TopicConfig;

/// A batch to be appended.
#[derive(Clone, Debug)]
pub(crate) struct TestBatch {
    header: BatchHeader,
    records: Vec<u8>,
    codec: Codec,
}

/// A record as a reader sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TestRecord {
    pub(crate) offset: i64,
    pub(crate) timestamp: i64,
    pub(crate) key: Option<String>,
    pub(crate) has_value: bool,
}

impl TestBatch {
    pub(crate) fn new() -> Self {
        let header = BatchHeader {
            base_offset: 0,
            batch_length: 0,
            partition_leader_epoch: -1,
            magic: 2,
            crc: 0,
            attributes: 0,
            last_offset_delta: -1,
            base_timestamp: -1,
            max_timestamp: -1,
            producer_id: -1,
            producer_epoch: -1,
            base_sequence: -1,
            record_count: 0,
        };
        Self {
            header,
            records: Vec::new(),
            codec: Codec::None,
        }
    }

    /// One record for each key, with a value, at this time.
    pub(crate) fn keyed(timestamp: i64, keys: &[&str]) -> Self {
        keys.iter().fold(Self::new(), |batch, key| {
            batch.record(timestamp, Some(key.as_bytes()), Some(b"value"))
        })
    }

    /// One tombstone for each key.
    pub(crate) fn tombstones(timestamp: i64, keys: &[&str]) -> Self {
        keys.iter().fold(Self::new(), |batch, key| {
            batch.record(timestamp, Some(key.as_bytes()), None)
        })
    }

    /// One record of `size` bytes.
    pub(crate) fn of_size(timestamp: i64, size: usize) -> Self {
        Self::new().record(timestamp, None, Some(&vec![b'x'; size]))
    }

    pub(crate) fn record(
        mut self,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
    ) -> Self {
        let header = &mut self.header;
        if header.record_count == 0 {
            header.base_timestamp = timestamp;
        }
        header.max_timestamp = header.max_timestamp.max(timestamp);
        header.last_offset_delta += 1;
        header.record_count += 1;
        let mut record = vec![0];
        put_varint(timestamp - header.base_timestamp, &mut record);
        put_varint(header.last_offset_delta.into(), &mut record);
        for bytes in [key, value] {
            match bytes {
                Some(bytes) => {
                    put_varint(bytes.len() as i64, &mut record);
                    record.extend_from_slice(bytes);
                }
                None => put_varint(-1, &mut record),
            }
        }
        put_varint(0, &mut record);
        put_varint(record.len() as i64, &mut self.records);
        self.records.append(&mut record);
        self
    }

    pub(crate) fn codec(mut self, codec: Codec) -> Self {
        self.codec = codec;
        self
    }

    /// With a header that promises this time, whatever the records have.
    pub(crate) fn max_timestamp(mut self, timestamp: i64) -> Self {
        self.header.max_timestamp = timestamp;
        self
    }

    pub(crate) fn producer(mut self, id: i64, epoch: i16, first_sequence: i32) -> Self {
        self.header.producer_id = id;
        self.header.producer_epoch = epoch;
        self.header.base_sequence = first_sequence;
        self
    }

    /// The same inside a transaction of its producer.
    pub(crate) fn transactional(mut self) -> Self {
        self.header.attributes |= 0x10;
        self
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut header = self.header;
        header.set_codec(self.codec);
        header.with_records(&codec::compress(self.codec, self.records.clone()).unwrap())
    }
}

/// A log with a configuration and a clock that only the test moves.
#[derive(Debug)]
pub(crate) struct TestLog {
    pub(crate) log: PartitionLog,
    pub(crate) config: TopicConfig,
    pub(crate) upkeep: Upkeep,
    pub(crate) now: Now,
}

impl TestLog {
    /// The time at which every test begins.
    pub(crate) const START_MS: i64 = 1_000_000;

    pub(crate) fn new(configs: &[(&str, &str)]) -> Self {
        let overrides = configs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let upkeep = Upkeep::default();
        let topic = Configs::default().topic(overrides.collect()).unwrap();
        Self {
            log: PartitionLog::new(upkeep.clone()),
            config: topic.on(0).clone(),
            upkeep,
            now: Now {
                instant: Instant::now(),
                unix_ms: Self::START_MS,
            },
        }
    }

    /// Appends a batch and returns its offset.
    pub(crate) fn append(&mut self, batch: &TestBatch) -> i64 {
        let bytes = batch.bytes();
        let header = BatchHeader::check(&bytes).unwrap();
        self.log
            .append(&bytes, &header, 0, &self.config, self.now)
            .unwrap()
            .base_offset
    }

    /// Ends the transaction of a producer of epoch 0.
    pub(crate) fn end_transaction(&mut self, producer_id: i64, result: TransactionResult) {
        let marker = Marker {
            producer_id,
            producer_epoch: 0,
            coordinator_epoch: 0,
            result,
        };
        let (config, now) = (&self.config, self.now);
        self.log.append_marker(&marker, 0, config, now).unwrap();
    }

    pub(crate) fn wait(&mut self, milliseconds: u64) {
        self.now = self.now.after(Duration::from_millis(milliseconds));
    }

    /// All that a consumer reads that begins at the start of the log, fetch by fetch.
    pub(crate) fn read_all(&self) -> Vec<TestRecord> {
        let batches = self.batches_before(self.log.high_watermark());
        self.records_of(batches.filter(|(_, header, _)| !header.is_control()))
    }

    /// The same with the markers of transactions.
    pub(crate) fn read_with_markers(&self) -> Vec<TestRecord> {
        self.records_of(self.batches_before(self.log.high_watermark()))
    }

    /// What a consumer reads that wants only what is committed: it leaves out the records of a producer from where the broker
    /// says that a transaction was aborted.
    pub(crate) fn read_committed(&self) -> Vec<TestRecord> {
        let batches = self.batches_before(self.log.last_stable_offset());
        self.records_of(batches.filter(|(offset, header, batch)| {
            let mut aborted = self.log.aborted_in(*offset, batch).filter(|aborted| {
                aborted.producer_id == header.producer_id
                    && aborted.first_offset <= header.last_offset()
            });
            !header.is_control() && (!header.is_transactional() || aborted.next().is_none())
        }))
    }

    /// Each batch that a consumer fetches up to `end`, with the offset that it asked for.
    fn batches_before(&self, end: i64) -> impl Iterator<Item = (i64, BatchHeader, Bytes)> {
        let mut offset = self.log.start_offset();
        std::iter::from_fn(move || {
            let asked = offset;
            let batch = self.log.read(asked, end, 1).unwrap();
            let header = BatchHeader::parse(&batch)?;
            offset = header.last_offset() + 1;
            Some((asked, header, batch))
        })
    }

    fn records_of(
        &self,
        batches: impl Iterator<Item = (i64, BatchHeader, Bytes)>,
    ) -> Vec<TestRecord> {
        let records = batches.flat_map(|(_, _, batch)| read_batch(&batch));
        let start = self.log.start_offset();
        records.filter(|record| record.offset >= start).collect()
    }

    /// The offsets that such a consumer sees.
    pub(crate) fn offsets(&self) -> Vec<i64> {
        self.read_all().iter().map(|record| record.offset).collect()
    }
}

/// The records of one batch, whose checksum and counts must hold.
pub(crate) fn read_batch(batch: &[u8]) -> Vec<TestRecord> {
    let header = BatchHeader::parse(batch).expect("a whole header");
    assert_eq!(header.batch_length as usize + 12, batch.len(), "one batch");
    assert_eq!(header.crc, checksum(batch), "checksum");
    let records = Records::of(batch).expect("a codec that is known");
    let all = records.all().expect("as many records as the header counts");
    all.map(|record| TestRecord {
        offset: records.offset(&record),
        timestamp: records.timestamp(&record),
        key: record
            .key
            .map(|key| String::from_utf8_lossy(key).into_owned()),
        has_value: record.has_value,
    })
    .collect()
}
