//! Which records of a partition are committed: what is open, what was aborted, and the markers that say so (KIP-98).
//!
//! Records of a transaction lie in the log from the moment they arrive. A control batch in each partition, the marker, says
//! how their transaction ended. Up to the first record of the first open transaction everything is decided: that is the
//! last stable offset, where reading committed records stops. What lies before it and was aborted is listed for the
//! reader, who leaves it out.

use std::collections::{BTreeSet, HashSet, VecDeque};
use std::time::Duration;

use kafka_protocol::error::ResponseError;

use super::aborted::AbortedTransaction;
use super::batch::{self, BatchHeader};
use super::chunk::Placed;
use super::partition::PartitionLog;
use super::producer::ActiveProducer;
use crate::clock::Now;
use crate::config::topic::TopicConfig;

/// How a transaction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TransactionResult {
    Commit,
    Abort,
}

/// What a marker says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Marker {
    pub(crate) producer_id: i64,
    /// The epoch of the transaction, or the next one if the marker fences the producer.
    pub(crate) producer_epoch: i16,
    pub(crate) coordinator_epoch: i32,
    pub(crate) result: TransactionResult,
}

impl Marker {
    /// Attributes of its batch: transactional, control.
    const ATTRIBUTES: i16 = 0x30;

    fn header(&self, now_ms: i64) -> BatchHeader {
        BatchHeader {
            base_offset: 0,
            batch_length: 0,
            partition_leader_epoch: 0,
            magic: 2,
            crc: 0,
            attributes: Self::ATTRIBUTES,
            last_offset_delta: 0,
            base_timestamp: now_ms,
            max_timestamp: now_ms,
            producer_id: self.producer_id,
            producer_epoch: self.producer_epoch,
            base_sequence: -1,
            record_count: 1,
        }
    }

    /// The one record, byte for byte as Apache Kafka writes it (<https://kafka.apache.org/documentation/#controlbatch>).
    /// Lengths are zigzag: twice the number.
    fn record(&self) -> Vec<u8> {
        let kind = match self.result {
            TransactionResult::Abort => 0,
            TransactionResult::Commit => 1,
        };
        let [a, b, c, d] = self.coordinator_epoch.to_be_bytes();
        [
            [2 * 16, 0, 0, 0].as_slice(), // length, attributes, timestamp delta, offset delta
            [2 * 4, 0, 0, 0, kind].as_slice(), // key: version 0, type
            [2 * 6, 0, 0, a, b, c, d].as_slice(), // value: version 0, coordinator epoch
            [0].as_slice(),               // no headers
        ]
        .concat()
    }
}

/// An entry of the index of aborted transactions.
#[derive(Clone, Copy, Debug)]
struct Entry {
    transaction: AbortedTransaction,
    /// The offset of the marker.
    last_offset: i64,
    /// The last stable offset when the marker was written. No transaction that ends later begins before it.
    last_stable_offset: i64,
}

/// The transactions of one partition.
#[derive(Debug, Default)]
pub(crate) struct Transactions {
    /// The first offset of each open transaction.
    open: BTreeSet<i64>,
    /// In the order of their markers. Kept as long as the log holds the marker.
    aborted: VecDeque<Entry>,
}

impl Transactions {
    /// A transaction begins with the record at this offset.
    pub(crate) fn begin(&mut self, first_offset: i64) {
        self.open.insert(first_offset);
    }

    /// The transaction that began at `first_offset` ends with the marker at `last_offset`.
    pub(crate) fn end(
        &mut self,
        producer_id: i64,
        first_offset: i64,
        last_offset: i64,
        result: TransactionResult,
    ) {
        self.open.remove(&first_offset);
        if result == TransactionResult::Abort {
            let last_stable_offset = self.first_open().unwrap_or(last_offset + 1);
            self.aborted.push_back(Entry {
                transaction: AbortedTransaction {
                    producer_id,
                    first_offset,
                },
                last_offset,
                last_stable_offset,
            });
        }
    }

    /// Where the first open transaction begins.
    pub(crate) fn first_open(&self) -> Option<i64> {
        self.open.first().copied()
    }

    /// The aborted transactions that reach into the offsets from `start` to before `end`, in the order of their markers.
    pub(crate) fn aborted(&self, start: i64, end: i64) -> impl Iterator<Item = AbortedTransaction> {
        let first = self
            .aborted
            .partition_point(|entry| entry.last_offset < start);
        // Those behind an entry whose last stable offset lies at the end or later begin there or later.
        let mut complete = false;
        self.aborted
            .range(first..)
            .take_while(move |entry| {
                !std::mem::replace(&mut complete, entry.last_stable_offset >= end)
            })
            .map(|entry| entry.transaction)
            .filter(move |transaction| transaction.first_offset < end)
    }

    /// Takes out aborted transactions of which a compaction left nothing.
    pub(crate) fn forget(&mut self, vanished: &[AbortedTransaction]) {
        let vanished: HashSet<AbortedTransaction> = vanished.iter().copied().collect();
        self.aborted
            .retain(|entry| !vanished.contains(&entry.transaction));
    }

    /// Forgets the aborted transactions whose last record lies before the start of the log.
    pub(crate) fn forget_before(&mut self, start_offset: i64) {
        let gone = self
            .aborted
            .partition_point(|entry| entry.last_offset < start_offset);
        self.aborted.drain(..gone);
    }
}

impl PartitionLog {
    /// Up to where a read_committed consumer may read: before the first open transaction.
    pub(crate) fn last_stable_offset(&self) -> i64 {
        self.transactions
            .first_open()
            // What was deleted is not waited for.
            .map_or(self.end_offset, |first| first.max(self.start_offset))
    }

    /// Ends the producer's transaction in this partition: the marker takes one offset, whether there are records or not.
    ///
    /// # Errors
    /// KAFKA_STORAGE_ERROR if there is no memory for it.
    pub(crate) fn append_marker(
        &mut self,
        marker: &Marker,
        leader_epoch: i32,
        config: &TopicConfig,
        now: Now,
    ) -> Result<(), ResponseError> {
        let header = marker.header(now.unix_ms);
        let placed = Placed {
            base_offset: self.end_offset,
            max_timestamp: now.unix_ms,
            leader_epoch,
            now_ms: now.unix_ms,
        };
        let bytes = header.with_records(&marker.record());
        self.write(&bytes, &header, placed, config, |copy| {
            batch::place(copy, placed.base_offset, leader_epoch);
            if config.log_append_time {
                batch::stamp(copy, now.unix_ms);
            }
        })?;
        let began = self.producers.marked(
            marker.producer_id,
            marker.producer_epoch,
            marker.coordinator_epoch,
            now.unix_ms,
        );
        if let Some(first_offset) = began {
            self.transactions.end(
                marker.producer_id,
                first_offset,
                placed.base_offset,
                marker.result,
            );
        }
        if config.compact {
            // What is stable now may be compacted.
            self.want_sweep();
        }
        Ok(())
    }

    /// Whether the producer of this transactional batch has its transaction open here. If not, its coordinator must know
    /// of this partition.
    ///
    /// # Errors
    /// INVALID_PRODUCER_EPOCH for an epoch that was replaced.
    pub(crate) fn has_open_transaction(&self, batch: &BatchHeader) -> Result<bool, ResponseError> {
        self.producers
            .has_open_transaction(batch.producer_id, batch.producer_epoch)
    }

    /// The aborted transactions that whoever reads `records` from `offset` on must leave out.
    pub(crate) fn aborted_in(
        &self,
        offset: i64,
        records: &[u8],
    ) -> impl Iterator<Item = AbortedTransaction> {
        // Without aborted transactions nobody needs to know where the records end.
        let end = match self.transactions.aborted.is_empty() {
            true => offset,
            false => end_offset(records),
        };
        self.transactions.aborted(offset, end)
    }

    /// The aborted transactions that begin before `offset`.
    pub(super) fn aborted_before(&self, offset: i64) -> Vec<AbortedTransaction> {
        self.transactions
            .aborted(self.start_offset, offset)
            .collect()
    }

    /// Forgets the producers without an open transaction whose last batch is as old as that. Whether any are left.
    pub(crate) fn forget_producers(&mut self, now: Now, expiration: Duration) -> bool {
        let age = i64::try_from(expiration.as_millis()).unwrap_or(i64::MAX);
        self.producers.forget(now.unix_ms.saturating_sub(age))
    }

    /// Who wrote here, in the order of their ids.
    pub(crate) fn active_producers(&self) -> impl Iterator<Item = ActiveProducer> {
        self.producers.iter()
    }
}

/// The offset behind the last of these batches; before all others if there are none.
fn end_offset(mut batches: &[u8]) -> i64 {
    let mut end = i64::MIN;
    while let Some(header) = BatchHeader::parse(batches) {
        end = header.last_offset() + 1;
        let length = usize::try_from(header.batch_length).unwrap_or(usize::MAX);
        let length = length.saturating_add(BatchHeader::LENGTH_PREFIX);
        batches = batches.get(length..).unwrap_or_default();
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_is_a_batch_of_one_control_record() {
        let marker = Marker {
            producer_id: 4_711,
            producer_epoch: 3,
            coordinator_epoch: 9,
            result: TransactionResult::Commit,
        };
        let bytes = marker
            .header(1_700_000_000_000)
            .with_records(&marker.record());
        let header = BatchHeader::parse(&bytes).unwrap();
        assert!(header.is_control() && header.is_transactional());
        assert_eq!(header.crc, crc32c::crc32c(&bytes[21..]));
        assert_eq!(
            bytes[BatchHeader::LENGTH..],
            [32, 0, 0, 0, 8, 0, 0, 0, 1, 12, 0, 0, 0, 0, 0, 9, 0]
        );
        assert_eq!(bytes.len(), 78);
    }

    fn listed(transactions: &Transactions, start: i64, end: i64) -> Vec<i64> {
        transactions
            .aborted(start, end)
            .map(|aborted| aborted.first_offset)
            .collect()
    }

    #[test]
    fn the_first_open_transaction_is_the_one_that_began_first() {
        let mut transactions = Transactions::default();
        transactions.begin(3);
        transactions.begin(5);
        assert_eq!(transactions.first_open(), Some(3));
        transactions.end(1, 3, 8, TransactionResult::Commit);
        assert_eq!(transactions.first_open(), Some(5));
        transactions.end(2, 5, 9, TransactionResult::Abort);
        assert_eq!(transactions.first_open(), None);
        assert_eq!(listed(&transactions, 0, 10), [5]);
    }

    #[test]
    fn only_what_reaches_into_the_range_is_listed() {
        let mut transactions = Transactions::default();
        // [0, 9] lies around [2, 3] and [4, 5].
        for first in [0, 2, 4] {
            transactions.begin(first);
        }
        transactions.end(2, 2, 3, TransactionResult::Abort);
        transactions.end(4, 4, 5, TransactionResult::Abort);
        transactions.end(0, 0, 9, TransactionResult::Abort);
        for (start, end, expected) in [
            (0, 10, &[2, 4, 0][..]),
            (4, 10, &[4, 0]),
            (6, 10, &[0]),
            (10, 20, &[]),
            (0, 2, &[0]),
            (0, 3, &[2, 0]),
        ] {
            assert_eq!(
                listed(&transactions, start, end),
                expected,
                "{start}..{end}"
            );
        }
    }

    #[test]
    fn what_lies_before_the_log_is_forgotten() {
        let mut transactions = Transactions::default();
        for first in [0, 2, 4] {
            transactions.begin(first);
            transactions.end(1, first, first + 1, TransactionResult::Abort);
        }
        transactions.forget_before(3);
        assert_eq!(listed(&transactions, 0, 10), [2, 4], "2's marker is at 3");
        transactions.forget_before(6);
        assert_eq!(transactions.aborted.len(), 0);
    }
}
