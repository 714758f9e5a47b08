//! Records as a test looks at them: straight from the log, past every consumer's settings.

use std::collections::HashMap;

use bytes::Bytes;

use crate::log::{BatchHeader, PartitionLog, Records};

/// As much is taken from the log at once.
const READ_BYTES: usize = 1 << 20;

/// One record of a partition's log; from [`Broker::records`](crate::Broker::records).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecordView {
    /// Its place in the partition.
    pub offset: i64,
    /// Milliseconds since the Unix epoch: set by the producer or, with `message.timestamp.type=LogAppendTime`, the broker.
    pub timestamp: i64,
    /// What decides on its partition, and what compaction keeps the last record of.
    pub key: Option<Vec<u8>>,
    /// What it says. A record with a key and no value is a tombstone.
    pub value: Option<Vec<u8>>,
    /// In the order in which they were written; a name may come twice.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
    /// What became of the transaction that it belongs to.
    pub state: RecordState,
    /// The id of an idempotent or transactional producer, -1 for others.
    pub producer_id: i64,
    /// The epoch of that producer, -1 for others.
    pub producer_epoch: i16,
    /// The leader epoch in which it was written.
    pub leader_epoch: i32,
}

/// What a record is to a consumer with `isolation.level=read_committed`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RecordState {
    /// Written outside any transaction.
    NotTransactional,
    /// Its transaction is open: neither it nor anything behind it is read yet.
    Ongoing,
    /// Its transaction was committed.
    Committed,
    /// Its transaction was aborted: it is skipped.
    Aborted,
    /// No record of a producer but the mark that a transaction was committed. It takes an offset, and no consumer sees it.
    CommitMarker,
    /// The mark that a transaction was aborted.
    AbortMarker,
}

impl RecordView {
    /// The key as text. None if there is none or it is not UTF-8.
    #[must_use]
    pub fn key_str(&self) -> Option<&str> {
        std::str::from_utf8(self.key.as_deref()?).ok()
    }

    /// The value as text. None if there is none or it is not UTF-8.
    #[must_use]
    pub fn value_str(&self) -> Option<&str> {
        std::str::from_utf8(self.value.as_deref()?).ok()
    }

    /// The value of the last header of this name, as consumers of Kafka take it.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        let mut headers = self.headers.iter().rev();
        headers
            .find(|(key, _)| key == name)
            .and_then(|(_, value)| value.as_deref())
    }

    /// Whether consumers with `isolation.level=read_committed` see it.
    #[must_use]
    pub fn is_committed(&self) -> bool {
        matches!(
            self.state,
            RecordState::NotTransactional | RecordState::Committed
        )
    }

    /// Whether it is the mark of a transaction's end, which no consumer sees.
    #[must_use]
    pub fn is_marker(&self) -> bool {
        matches!(
            self.state,
            RecordState::CommitMarker | RecordState::AbortMarker
        )
    }
}

/// All batches of a log, as they are stored. Shares or copies bytes and decodes nothing, so that the log is soon free again.
pub(crate) fn batches(log: &PartitionLog) -> Vec<Bytes> {
    let mut batches = Vec::new();
    let (mut offset, end) = (log.start_offset(), log.high_watermark());
    while offset < end {
        let mut read = log.read(offset, end, READ_BYTES).unwrap_or_default();
        let before = offset;
        while let Some(batch) = take_batch(&mut read) {
            if let Some(header) = BatchHeader::parse(&batch) {
                offset = header.base_offset + i64::from(header.last_offset_delta) + 1;
            }
            batches.push(batch);
        }
        if offset <= before {
            break;
        }
    }
    batches
}

/// Takes the batch that `bytes` begin with.
fn take_batch(bytes: &mut Bytes) -> Option<Bytes> {
    let header = BatchHeader::parse(bytes)?;
    let length = BatchHeader::LENGTH_PREFIX + usize::try_from(header.batch_length).ok()?;
    (length <= bytes.len()).then(|| bytes.split_to(length))
}

/// The records of these batches from `start` on.
///
/// # Errors
/// The base offset of a batch whose records cannot be read: they are not what the batch's header says, or grow beyond all
/// measure when they are decompressed.
pub(crate) fn records(batches: &[Bytes], start: i64) -> Result<Vec<RecordView>, i64> {
    let mut views: Vec<RecordView> = Vec::new();
    // Where the records of each producer's open transaction are in `views`.
    let mut ongoing: HashMap<i64, Vec<usize>> = HashMap::new();
    for batch in batches {
        let unreadable = || BatchHeader::parse(batch).map_or(0, |header| header.base_offset);
        let records = Records::of(batch).ok_or_else(unreadable)?;
        let header = *records.header();
        for record in records.all().ok_or_else(unreadable)? {
            let state = match (header.is_control(), header.is_transactional()) {
                (true, _) => marker(record.key),
                (false, true) => RecordState::Ongoing,
                (false, false) => RecordState::NotTransactional,
            };
            match state {
                RecordState::CommitMarker | RecordState::AbortMarker => {
                    let ended = match state {
                        RecordState::CommitMarker => RecordState::Committed,
                        _ => RecordState::Aborted,
                    };
                    for index in ongoing.remove(&header.producer_id).unwrap_or_default() {
                        views[index].state = ended;
                    }
                }
                RecordState::Ongoing => {
                    ongoing
                        .entry(header.producer_id)
                        .or_default()
                        .push(views.len());
                }
                _ => {}
            }
            let (value, headers) = record.value_and_headers().ok_or_else(unreadable)?;
            views.push(RecordView {
                offset: records.offset(&record),
                timestamp: records.timestamp(&record),
                key: record.key.map(<[u8]>::to_vec),
                value: value.map(<[u8]>::to_vec),
                headers,
                state,
                producer_id: header.producer_id,
                producer_epoch: header.producer_epoch,
                leader_epoch: header.partition_leader_epoch,
            });
        }
    }
    // Records before the log's start are still in its first batch.
    views.retain(|view| view.offset >= start);
    Ok(views)
}

/// What a control record says (<https://kafka.apache.org/documentation/#controlbatch>): a version, and 0 for abort or 1 for
/// commit.
fn marker(key: Option<&[u8]>) -> RecordState {
    match key {
        Some([_, _, 0, 1, ..]) => RecordState::CommitMarker,
        _ => RecordState::AbortMarker,
    }
}
