//! Where replicas go: what CreateTopics and CreatePartitions have in common.

use std::collections::HashSet;

use kafka_protocol::error::ResponseError;

use crate::cluster::Cluster;
use crate::refusal::Refusal;

/// More partitions than this are not created at once (`ReplicationControlManager.MAX_PARTITIONS_PER_BATCH`), and a topic
/// of this process has no more in all.
pub(super) const MAX_PARTITIONS: usize = 10_000;

/// Whether the replicas that a client lists for one partition can be.
///
/// # Errors
/// INVALID_REPLICA_ASSIGNMENT, with Apache Kafka's message.
pub(super) fn check(
    cluster: &Cluster,
    replicas: &[i32],
    replication_factor: usize,
) -> Result<(), Refusal> {
    let mut seen = HashSet::new();
    let is_unknown = |id: &&i32| cluster.nodes.iter().all(|node| node.id != **id);
    let message = if replicas.is_empty() {
        "The manual partition assignment includes an empty replica list.".to_owned()
    } else if let Some(id) = replicas.iter().find(|id| !seen.insert(**id)) {
        format!("The manual partition assignment includes the broker {id} more than once.")
    } else if let Some(id) = replicas.iter().find(is_unknown) {
        format!(
            "The manual partition assignment includes broker {id}, but no such broker is registered."
        )
    } else if replicas.len() != replication_factor {
        format!(
            "The manual partition assignment includes a partition with {} replica(s), but this is not consistent with \
             previous partitions, which have {replication_factor} replica(s).",
            replicas.len()
        )
    } else {
        return Ok(());
    };
    Err(Refusal::new(
        ResponseError::InvalidReplicaAssignment,
        message,
    ))
}

/// Whether somebody could lead the partition.
///
/// # Errors
/// INVALID_REPLICA_ASSIGNMENT, with Apache Kafka's message.
pub(super) fn check_running(
    cluster: &Cluster,
    partition: i32,
    replicas: &[i32],
) -> Result<(), Refusal> {
    if replicas.iter().any(|id| cluster.is_running(*id)) {
        return Ok(());
    }
    let message = format!(
        "All brokers specified in the manual partition assignment for partition {partition} are fenced or in controlled \
         shutdown."
    );
    Err(Refusal::new(
        ResponseError::InvalidReplicaAssignment,
        message,
    ))
}
