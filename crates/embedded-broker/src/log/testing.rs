//! Record batches and logs for the tests of this module.

use std::time::{Duration, Instant};

use super::batch::{BatchHeader, Codec, checksum};
use super::codec;
use super::partition::PartitionLog;
use super::records::{Records, put_varint};
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

    pub(crate) fn producer(mut self, id: i64, epoch: i16, first_sequence: i32) -> Self {
        self.header.producer_id = id;
        self.header.producer_epoch = epoch;
        self.header.base_sequence = first_sequence;
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

    pub(crate) fn wait(&mut self, milliseconds: u64) {
        self.now = self.now.after(Duration::from_millis(milliseconds));
    }

    /// All that a consumer reads that begins at the start of the log, fetch by fetch.
    pub(crate) fn read_all(&self) -> Vec<TestRecord> {
        let mut records = Vec::new();
        let mut offset = self.log.start_offset();
        while offset < self.log.high_watermark() {
            let end = self.log.high_watermark();
            let batches = self.log.read(offset, end, 1).unwrap();
            let header = BatchHeader::parse(&batches).unwrap();
            records.extend(
                read_batch(&batches)
                    .into_iter()
                    .filter(|record| record.offset >= offset),
            );
            offset = header.last_offset() + 1;
        }
        records
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
    all.iter()
        .map(|record| TestRecord {
            offset: records.offset(record),
            timestamp: records.timestamp(record),
            key: record
                .key
                .map(|key| String::from_utf8_lossy(key).into_owned()),
            has_value: record.has_value,
        })
        .collect()
}
