//! What a compaction makes of transactions, batch by batch in the order of their offsets: which records were aborted, and
//! which markers nobody needs any more (Apache Kafka's `CleanedTransactionMetadata`).

use std::collections::{HashMap, HashSet, VecDeque};

use super::batch::BatchHeader;
use super::records::Records;

/// A transaction that was aborted, with records in this partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct AbortedTransaction {
    pub(crate) producer_id: i64,
    /// Offset of its first record here.
    pub(crate) first_offset: i64,
}

/// See the [module](self).
#[derive(Debug)]
pub(super) struct TransactionFilter {
    /// Aborted transactions that begin behind what was seen, in the order in which they do.
    ahead: VecDeque<AbortedTransaction>,
    /// Aborted transactions that began and whose marker was not seen yet, by producer id.
    aborting: HashMap<i64, Aborting>,
    /// Producers of which committed records were seen since their last marker.
    committing: HashSet<i64>,
    /// Aborted transactions of which nothing is left but the marker.
    vanished: Vec<AbortedTransaction>,
}

#[derive(Debug)]
struct Aborting {
    transaction: AbortedTransaction,
    /// Whether any of its batches is still there.
    seen: bool,
}

/// What a control batch says (<https://kafka.apache.org/documentation/#controlbatch>).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Marker {
    Abort,
    Commit,
    /// Not of a transaction.
    Other,
    /// None any more: a compaction emptied the batch.
    Gone,
}

impl TransactionFilter {
    pub(super) fn new(aborted: &[AbortedTransaction]) -> Self {
        let mut ahead = aborted.to_vec();
        ahead.sort_by_key(|transaction| transaction.first_offset);
        Self {
            ahead: ahead.into(),
            aborting: HashMap::new(),
            committing: HashSet::new(),
            vanished: Vec::new(),
        }
    }

    /// Takes note of a batch. True for records that were aborted, and for a marker whose transaction has no batch before it
    /// any more.
    pub(super) fn observe(&mut self, header: &BatchHeader, batch: &[u8]) -> bool {
        while let Some(transaction) = self.ahead.front()
            && transaction.first_offset <= header.last_offset()
        {
            let begun = Aborting {
                transaction: *transaction,
                seen: false,
            };
            self.aborting
                .entry(transaction.producer_id)
                .or_insert(begun);
            self.ahead.pop_front();
        }
        if header.is_control() {
            self.observe_marker(header.producer_id, Marker::of(batch))
        } else if !header.is_transactional() {
            false
        } else if let Some(aborting) = self.aborting.get_mut(&header.producer_id) {
            aborting.seen = true;
            true
        } else {
            self.committing.insert(header.producer_id);
            false
        }
    }

    fn observe_marker(&mut self, producer_id: i64, marker: Marker) -> bool {
        match marker {
            Marker::Abort => match self.aborting.remove(&producer_id) {
                Some(aborting) if aborting.seen => false,
                Some(aborting) => {
                    self.vanished.push(aborting.transaction);
                    true
                }
                None => true,
            },
            Marker::Commit => !self.committing.remove(&producer_id),
            Marker::Other => false,
            Marker::Gone => true,
        }
    }

    /// The aborted transactions of which nothing was left but the marker. A consumer need not hear of them any more, and
    /// must not once the marker is gone: it would take the producer's next transaction for aborted.
    pub(super) fn into_vanished(self) -> Vec<AbortedTransaction> {
        self.vanished
    }
}

impl Marker {
    fn of(batch: &[u8]) -> Self {
        let Some(records) = Records::of(batch) else {
            return Self::Other;
        };
        match records.iter().next().map(|record| record.key) {
            // A version and a type, 16 bits each.
            Some(Some([_, _, 0, 0])) => Self::Abort,
            Some(Some([_, _, 0, 1])) => Self::Commit,
            Some(_) => Self::Other,
            None => Self::Gone,
        }
    }
}
