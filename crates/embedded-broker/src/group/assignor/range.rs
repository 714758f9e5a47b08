//! The `range` assignor.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::{Assignment, Subscriber, partitions_of};

/// Gives each subscriber of a topic a run of neighbouring partitions, the first subscribers one more where the count does
/// not divide.
pub(super) fn assign(
    members: &[Subscriber<'_>],
    partition_counts: &BTreeMap<Uuid, usize>,
) -> Vec<Assignment> {
    let mut assignments = vec![Assignment::new(); members.len()];
    let order = order(members);
    for topic_id in partition_counts.keys() {
        let subscribers: Vec<usize> = order
            .iter()
            .copied()
            .filter(|member| members[*member].topics.contains(topic_id))
            .collect();
        let mut partitions = partitions_of(*topic_id, partition_counts);
        let count = partition_counts[topic_id];
        for (position, member) in subscribers.iter().enumerate() {
            let extra = usize::from(position < count % subscribers.len());
            let share = count / subscribers.len() + extra;
            assignments[*member].extend(partitions.by_ref().take(share));
        }
    }
    assignments
}

/// Static members come first, in the order of their instance ids: they get the same range after a restart, although the
/// restart gave them another member id.
fn order(members: &[Subscriber<'_>]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..members.len()).collect();
    order.sort_by_key(|member| {
        let Subscriber {
            member_id,
            instance_id,
            ..
        } = members[*member];
        (
            instance_id.is_none(),
            instance_id.unwrap_or(member_id),
            member_id,
        )
    });
    order
}
