//! Which partitions came and went, noted while librdkafka calls, and acted upon afterwards.

use std::mem;
use std::sync::{Mutex, PoisonError};

use rdkafka::ClientContext;
use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, ConsumerContext, Rebalance};

use crate::assignment::TopicPartition;

/// What a rebalance did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    /// These are this member's from now on.
    Assigned(Vec<TopicPartition>),
    /// These were its own until now.
    Revoked(Vec<TopicPartition>),
}

/// Notes rebalances. librdkafka reports them from within `poll`, where neither a transaction can be aborted nor state be
/// restored: each needs the thread that is polling. No record is handed out in the same call, so the loop looks here
/// before it sees the next one.
#[derive(Debug, Default)]
pub(super) struct GroupChanges {
    /// In the order in which they happened. Locked for a push or a take.
    noted: Mutex<Vec<Change>>,
}

impl GroupChanges {
    /// What has happened since the last call.
    pub(super) fn take(&self) -> Vec<Change> {
        mem::take(&mut *self.noted.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl ClientContext for GroupChanges {}

impl ConsumerContext for GroupChanges {
    fn pre_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        let change = match rebalance {
            Rebalance::Assign(partitions) => Change::Assigned(partitions_of(partitions)),
            Rebalance::Revoke(partitions) => Change::Revoked(partitions_of(partitions)),
            // librdkafka gives all partitions up, and joins again.
            Rebalance::Error(error) => {
                tracing::warn!(%error, "a rebalance failed");
                return;
            }
        };
        // A cooperative rebalance begins and ends with such notes.
        if change == Change::Assigned(Vec::new()) || change == Change::Revoked(Vec::new()) {
            return;
        }
        self.noted
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(change);
    }
}

fn partitions_of(list: &TopicPartitionList) -> Vec<TopicPartition> {
    let elements = list.elements();
    let partitions = elements
        .iter()
        .map(|element| TopicPartition::new(element.topic(), element.partition()));
    partitions.collect()
}
