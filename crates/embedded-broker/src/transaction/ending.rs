//! The end of a transaction in everything that it wrote to.

use tracing::error;

use super::{Ended, Participant};
use crate::clock::Now;
use crate::log::{Marker, TransactionResult};
use crate::state::State;
use crate::topic::Topic;

/// The epoch of the coordinator in every marker. It grows in Apache Kafka when the coordinator moves to another broker; here
/// there is one state whatever node is asked, so no older coordinator could still write.
const COORDINATOR_EPOCH: i32 = 0;

impl State {
    /// Writes a marker to each partition of the transaction, lets each of its groups have or lose the offsets, and wakes
    /// the readers that waited for it.
    pub(crate) fn tell_participants(&mut self, ended: Ended, now: Now) {
        let marker = Marker {
            producer_id: ended.producer.id,
            producer_epoch: ended.producer.epoch,
            coordinator_epoch: COORDINATOR_EPOCH,
            result: ended.result,
        };
        for participant in ended.participants {
            match participant {
                Participant::Partition(topic, index) => {
                    self.end_in_partition(&marker, &topic, index, now);
                }
                Participant::Group(id) => {
                    let Some(offsets) = self.groups.offsets_mut(&id) else {
                        continue;
                    };
                    match ended.result {
                        TransactionResult::Commit => offsets.apply(marker.producer_id),
                        TransactionResult::Abort => offsets.discard(marker.producer_id),
                    }
                }
            }
        }
    }

    fn end_in_partition(&mut self, marker: &Marker, topic: &str, index: i32, now: Now) {
        // A topic that was deleted meanwhile has nothing to end.
        let Some(Topic {
            partitions, config, ..
        }) = self.topics.get_mut(topic)
        else {
            return;
        };
        let Some(partition) = usize::try_from(index)
            .ok()
            .and_then(|index| partitions.get_mut(index))
        else {
            return;
        };
        let config = config.on(partition.leader);
        let leader_epoch = partition.leader_epoch;
        match partition
            .log
            .append_marker(marker, leader_epoch, config, now)
        {
            Ok(()) => partition.wake(),
            // Without memory for 78 bytes nothing more can be done: the transaction stays open there.
            Err(error) => error!(topic, index, %error, "cannot write the marker of a transaction"),
        }
    }
}
