//! What a partition remembers of idempotent producers, so that a batch that is sent twice is kept once (KIP-98).

use std::collections::{HashMap, VecDeque};

use kafka_protocol::error::ResponseError;

use super::batch::BatchHeader;

/// A producer has at most 5 requests in flight (`max.in.flight.requests.per.connection`), so a repeated batch is one of
/// the last 5.
const REMEMBERED_BATCHES: usize = 5;

/// The idempotent producers of one partition, by producer id.
#[derive(Debug, Default)]
pub(crate) struct Producers {
    by_id: HashMap<i64, Producer>,
}

#[derive(Debug)]
struct Producer {
    epoch: i16,
    /// The last batches of this epoch, oldest first. Empty after a new epoch began with no batch yet.
    batches: VecDeque<RememberedBatch>,
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
    /// INVALID_PRODUCER_EPOCH for an epoch that was replaced; OUT_OF_ORDER_SEQUENCE_NUMBER for a gap.
    pub(crate) fn check(&self, batch: &BatchHeader) -> Result<Sequence, ResponseError> {
        // An unknown producer may start anywhere: its earlier batches may have been deleted by retention (KIP-360).
        let Some(producer) = self.by_id.get(&batch.producer_id) else {
            return Ok(Sequence::Next);
        };
        if batch.producer_epoch < producer.epoch {
            return Err(ResponseError::InvalidProducerEpoch);
        }
        if batch.producer_epoch > producer.epoch {
            return match batch.base_sequence {
                0 => Ok(Sequence::Next),
                _ => Err(ResponseError::OutOfOrderSequenceNumber),
            };
        }
        let (first, last) = (batch.base_sequence, batch.last_sequence());
        let same =
            |known: &&RememberedBatch| known.first_sequence == first && known.last_sequence == last;
        if let Some(known) = producer.batches.iter().find(same) {
            return Ok(Sequence::Duplicate {
                base_offset: known.base_offset,
                append_time: known.append_time,
            });
        }
        match producer.batches.back() {
            Some(known) if first != next_sequence(known.last_sequence) => {
                Err(ResponseError::OutOfOrderSequenceNumber)
            }
            _ => Ok(Sequence::Next),
        }
    }

    /// Remembers a batch that was appended.
    pub(crate) fn appended(&mut self, batch: &BatchHeader, base_offset: i64, append_time: i64) {
        let producer = self
            .by_id
            .entry(batch.producer_id)
            .or_insert_with(|| Producer {
                epoch: batch.producer_epoch,
                batches: VecDeque::new(),
            });
        if producer.epoch != batch.producer_epoch {
            producer.epoch = batch.producer_epoch;
            producer.batches.clear();
        }
        if producer.batches.len() == REMEMBERED_BATCHES {
            producer.batches.pop_front();
        }
        producer.batches.push_back(RememberedBatch {
            first_sequence: batch.base_sequence,
            last_sequence: batch.last_sequence(),
            base_offset,
            append_time,
        });
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

    fn producers(batches: &[BatchHeader]) -> Producers {
        let mut producers = Producers::default();
        for (index, batch) in batches.iter().enumerate() {
            assert_eq!(producers.check(batch), Ok(Sequence::Next));
            producers.appended(batch, index as i64 * 10, -1);
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
    fn sequence_numbers_wrap_to_zero() {
        let producers = producers(&[batch(0, i32::MAX - 1, 2)]);
        assert_eq!(producers.check(&batch(0, 0, 1)), Ok(Sequence::Next));
        assert_eq!(batch(0, i32::MAX, 2).last_sequence(), 0);
    }
}
