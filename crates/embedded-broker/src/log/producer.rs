//! What a partition remembers of idempotent producers, so that a batch that is sent twice is kept once, and of
//! transactional ones, so that it knows what is open (KIP-98).

use std::collections::{BTreeMap, HashMap, VecDeque};

use kafka_protocol::error::ResponseError;

use super::batch::BatchHeader;

/// A producer has at most 5 requests in flight (`max.in.flight.requests.per.connection`), so a repeated batch is one of
/// the last 5.
const REMEMBERED_BATCHES: usize = 5;

/// The idempotent producers of one partition, by producer id.
#[derive(Debug, Default)]
pub(crate) struct Producers {
    /// Sorted, so that DescribeProducers lists them in the same order each time.
    by_id: BTreeMap<i64, Producer>,
}

#[derive(Debug)]
struct Producer {
    epoch: i16,
    /// The last batches of this epoch, oldest first. Empty after a new epoch began with no batch yet.
    batches: VecDeque<RememberedBatch>,
    /// The largest timestamp of the last batch, markers included.
    last_timestamp: i64,
    /// The epoch of the coordinator that wrote the last marker, -1 before the first.
    coordinator_epoch: i32,
    /// Where the producer's open transaction begins in this partition.
    open_since: Option<i64>,
}

#[derive(Clone, Copy, Debug)]
struct RememberedBatch {
    first_sequence: i32,
    last_sequence: i32,
    base_offset: i64,
    /// What the first answer said, -1 unless the topic uses LogAppendTime.
    append_time: i64,
}

impl RememberedBatch {
    fn last_offset(&self) -> i64 {
        // Sequence numbers wrap to 0 after `i32::MAX`.
        let count = i64::from(self.last_sequence) - i64::from(self.first_sequence);
        self.base_offset + count.rem_euclid(1 << 31)
    }
}

/// A producer as DescribeProducers shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ActiveProducer {
    pub(crate) id: i64,
    pub(crate) epoch: i16,
    /// -1 if its epoch has no batch yet.
    pub(crate) last_sequence: i32,
    /// Milliseconds since the Unix epoch.
    pub(crate) last_timestamp: i64,
    /// -1 before its first marker.
    pub(crate) coordinator_epoch: i32,
    pub(crate) open_since: Option<i64>,
}

/// What a batch is to the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sequence {
    /// The one that follows: append it.
    Next,
    /// One that was already appended: answer as the first time.
    Duplicate { base_offset: i64, append_time: i64 },
}

/// What has to stay of a producer when the log is compacted, so that the log alone tells where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LastBatch {
    /// Its last batch of records, which ends at this offset.
    EndsAt(i64),
    /// The marker that began this epoch: there are no records in it yet.
    NoneIn { epoch: i16 },
}

impl Producers {
    /// The last batch of each producer, by producer id.
    pub(crate) fn last_batches(&self) -> HashMap<i64, LastBatch> {
        let last = |producer: &Producer| match producer.batches.back() {
            Some(batch) => LastBatch::EndsAt(batch.last_offset()),
            None => LastBatch::NoneIn {
                epoch: producer.epoch,
            },
        };
        self.by_id
            .iter()
            .map(|(id, producer)| (*id, last(producer)))
            .collect()
    }

    /// Where the batch stands in its producer's sequence. The epoch is checked first of all, so that a fenced producer
    /// learns that it is fenced and nothing else.
    ///
    /// # Errors
    /// INVALID_PRODUCER_EPOCH for an epoch that was replaced; OUT_OF_ORDER_SEQUENCE_NUMBER for a gap; INVALID_TXN_STATE for
    /// a batch outside the transaction that its producer has open here.
    pub(crate) fn check(&self, batch: &BatchHeader) -> Result<Sequence, ResponseError> {
        // An unknown producer may start anywhere: its earlier batches may have been deleted by retention (KIP-360).
        let Some(producer) = self.by_id.get(&batch.producer_id) else {
            return Ok(Sequence::Next);
        };
        producer.check_epoch(batch.producer_epoch)?;
        if let Some(known) = producer.find(batch) {
            return Ok(Sequence::Duplicate {
                base_offset: known.base_offset,
                append_time: known.append_time,
            });
        }
        if batch.base_sequence != producer.next_sequence(batch.producer_epoch) {
            return Err(ResponseError::OutOfOrderSequenceNumber);
        }
        if producer.open_since.is_some() && !batch.is_transactional() {
            return Err(ResponseError::InvalidTxnState);
        }
        Ok(Sequence::Next)
    }

    /// Whether the producer has a transaction open here in this epoch.
    ///
    /// # Errors
    /// INVALID_PRODUCER_EPOCH for an epoch that was replaced.
    pub(crate) fn has_open_transaction(
        &self,
        producer_id: i64,
        epoch: i16,
    ) -> Result<bool, ResponseError> {
        let Some(producer) = self.by_id.get(&producer_id) else {
            return Ok(false);
        };
        producer.check_epoch(epoch)?;
        Ok(producer.open_since.is_some() && producer.epoch == epoch)
    }

    /// Remembers a batch that was appended. Whether it is the first of a transaction.
    pub(crate) fn appended(
        &mut self,
        batch: &BatchHeader,
        base_offset: i64,
        max_timestamp: i64,
        append_time: i64,
    ) -> bool {
        let producer = self.at_epoch(batch.producer_id, batch.producer_epoch);
        if producer.batches.len() == REMEMBERED_BATCHES {
            producer.batches.pop_front();
        }
        producer.batches.push_back(RememberedBatch {
            first_sequence: batch.base_sequence,
            last_sequence: batch.last_sequence(),
            base_offset,
            append_time,
        });
        producer.last_timestamp = max_timestamp;
        let begins = batch.is_transactional() && producer.open_since.is_none();
        if begins {
            producer.open_since = Some(base_offset);
        }
        begins
    }

    /// Remembers a marker that was appended: the producer's transaction is over, and an epoch that the marker bumped
    /// fences whoever has the one before. Where the transaction began, if it has records here.
    pub(crate) fn marked(
        &mut self,
        producer_id: i64,
        epoch: i16,
        coordinator_epoch: i32,
        timestamp: i64,
    ) -> Option<i64> {
        let producer = self.at_epoch(producer_id, epoch);
        producer.coordinator_epoch = coordinator_epoch;
        producer.last_timestamp = timestamp;
        producer.open_since.take()
    }

    /// Forgets the producers without an open transaction whose last batch is not younger than this, in milliseconds since the
    /// Unix epoch. Whether any are left.
    pub(crate) fn forget(&mut self, last_timestamp: i64) -> bool {
        self.by_id.retain(|_, producer| {
            producer.open_since.is_some() || producer.last_timestamp > last_timestamp
        });
        !self.by_id.is_empty()
    }

    /// In the order of their ids.
    pub(crate) fn iter(&self) -> impl Iterator<Item = ActiveProducer> {
        self.by_id.iter().map(|(id, producer)| ActiveProducer {
            id: *id,
            epoch: producer.epoch,
            last_sequence: producer
                .batches
                .back()
                .map_or(-1, |batch| batch.last_sequence),
            last_timestamp: producer.last_timestamp,
            coordinator_epoch: producer.coordinator_epoch,
            open_since: producer.open_since,
        })
    }

    /// The producer, known at least since now, in this epoch.
    fn at_epoch(&mut self, producer_id: i64, epoch: i16) -> &mut Producer {
        let producer = self.by_id.entry(producer_id).or_insert_with(|| Producer {
            epoch,
            batches: VecDeque::new(),
            last_timestamp: -1,
            coordinator_epoch: -1,
            open_since: None,
        });
        if producer.epoch != epoch {
            producer.epoch = epoch;
            producer.batches.clear();
        }
        producer
    }
}

impl Producer {
    fn check_epoch(&self, claimed: i16) -> Result<(), ResponseError> {
        match claimed < self.epoch {
            true => Err(ResponseError::InvalidProducerEpoch),
            false => Ok(()),
        }
    }

    /// The remembered batch that `batch` repeats.
    fn find(&self, batch: &BatchHeader) -> Option<&RememberedBatch> {
        let (first, last) = (batch.base_sequence, batch.last_sequence());
        self.batches
            .iter()
            .filter(|_| batch.producer_epoch == self.epoch)
            .find(|known| known.first_sequence == first && known.last_sequence == last)
    }

    /// The sequence number that the next batch of this epoch begins with.
    fn next_sequence(&self, epoch: i16) -> i32 {
        match self.batches.back() {
            Some(last) if epoch == self.epoch => next_sequence(last.last_sequence),
            _ => 0,
        }
    }
}

fn next_sequence(last: i32) -> i32 {
    last.checked_add(1).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(epoch: i16, first: i32, count: i32) -> BatchHeader {
        BatchHeader {
            base_offset: 0,
            batch_length: 0,
            partition_leader_epoch: 0,
            magic: 2,
            crc: 0,
            attributes: 0,
            last_offset_delta: count - 1,
            base_timestamp: 0,
            max_timestamp: 0,
            producer_id: 7,
            producer_epoch: epoch,
            base_sequence: first,
            record_count: count,
        }
    }

    fn transactional(batch: BatchHeader) -> BatchHeader {
        BatchHeader {
            attributes: 0x10,
            ..batch
        }
    }

    fn producers(batches: &[BatchHeader]) -> Producers {
        let mut producers = Producers::default();
        for (index, batch) in batches.iter().enumerate() {
            assert_eq!(producers.check(batch), Ok(Sequence::Next));
            producers.appended(batch, index as i64 * 10, 0, -1);
        }
        producers
    }

    #[test]
    fn a_batch_that_is_sent_again_is_answered_with_its_first_offset() {
        let producers = producers(&[batch(0, 0, 3), batch(0, 3, 2)]);
        let duplicate = |base_offset| {
            Ok(Sequence::Duplicate {
                base_offset,
                append_time: -1,
            })
        };
        assert_eq!(producers.check(&batch(0, 0, 3)), duplicate(0));
        assert_eq!(producers.check(&batch(0, 3, 2)), duplicate(10));
    }

    #[test]
    fn a_gap_in_the_sequence_is_refused() {
        let producers = producers(&[batch(0, 0, 3)]);
        assert_eq!(
            producers.check(&batch(0, 4, 1)),
            Err(ResponseError::OutOfOrderSequenceNumber)
        );
    }

    #[test]
    fn a_sixth_batch_makes_the_first_forgotten() {
        let sent: Vec<BatchHeader> = (0..6).map(|sequence| batch(0, sequence, 1)).collect();
        let producers = producers(&sent);
        assert_eq!(
            producers.check(&sent[0]),
            Err(ResponseError::OutOfOrderSequenceNumber)
        );
        assert!(matches!(
            producers.check(&sent[1]),
            Ok(Sequence::Duplicate {
                base_offset: 10,
                ..
            })
        ));
    }

    #[test]
    fn an_old_epoch_is_fenced_and_a_new_one_starts_at_zero() {
        let producers = producers(&[batch(1, 0, 3)]);
        assert_eq!(
            producers.check(&batch(0, 3, 1)),
            Err(ResponseError::InvalidProducerEpoch)
        );
        assert_eq!(
            producers.check(&batch(2, 3, 1)),
            Err(ResponseError::OutOfOrderSequenceNumber)
        );
        assert_eq!(producers.check(&batch(2, 0, 1)), Ok(Sequence::Next));
    }

    #[test]
    fn a_transaction_is_open_from_its_first_batch_to_its_marker() {
        let mut producers = Producers::default();
        let first = transactional(batch(0, 0, 3));
        assert_eq!(producers.has_open_transaction(7, 0), Ok(false));
        assert!(producers.appended(&first, 10, 0, -1), "it begins");
        let second = transactional(batch(0, 3, 1));
        assert!(!producers.appended(&second, 13, 0, -1), "it goes on");
        assert_eq!(producers.has_open_transaction(7, 0), Ok(true));
        assert_eq!(
            producers.check(&batch(0, 4, 1)),
            Err(ResponseError::InvalidTxnState)
        );
        assert_eq!(producers.marked(7, 0, 0, 0), Some(10));
        assert_eq!(producers.has_open_transaction(7, 0), Ok(false));
        assert_eq!(producers.check(&batch(0, 4, 1)), Ok(Sequence::Next));
        assert_eq!(producers.marked(7, 0, 0, 0), None, "nothing was open");
    }

    #[test]
    fn a_fenced_producer_is_told_so_before_anything_else() {
        let mut producers = Producers::default();
        producers.appended(&transactional(batch(0, 0, 3)), 10, 0, -1);
        producers.marked(7, 1, 0, 0);
        let fenced = Err(ResponseError::InvalidProducerEpoch);
        assert_eq!(producers.has_open_transaction(7, 0).map(|_| ()), fenced);
        // A repeated batch, the next one, and one outside any transaction.
        for late in [
            transactional(batch(0, 0, 3)),
            transactional(batch(0, 3, 1)),
            batch(0, 9, 1),
        ] {
            assert_eq!(producers.check(&late).map(|_| ()), fenced);
        }
    }

    #[test]
    fn a_producer_that_only_left_a_marker_starts_at_zero() {
        let mut producers = Producers::default();
        producers.marked(7, 0, 0, 99);
        assert_eq!(
            producers.check(&batch(0, 5, 1)),
            Err(ResponseError::OutOfOrderSequenceNumber)
        );
        assert_eq!(producers.check(&batch(0, 0, 1)), Ok(Sequence::Next));
        let known: Vec<_> = producers.iter().collect();
        let expected = ActiveProducer {
            id: 7,
            epoch: 0,
            last_sequence: -1,
            last_timestamp: 99,
            coordinator_epoch: 0,
            open_since: None,
        };
        assert_eq!(known, [expected]);
    }

    #[test]
    fn sequence_numbers_wrap_to_zero() {
        let producers = producers(&[batch(0, i32::MAX - 1, 2)]);
        assert_eq!(producers.check(&batch(0, 0, 1)), Ok(Sequence::Next));
        assert_eq!(batch(0, i32::MAX, 2).last_sequence(), 0);
    }
}
