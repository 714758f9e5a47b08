//! Taking a snapshot of the state.

use bytes::{Buf, Bytes};
use kafka_protocol::messages::ConsumerProtocolAssignment;
use uuid::Uuid;

use super::{
    GroupSnapshot, MemberSnapshot, NodeSnapshot, NodeState, OffsetSnapshot, PartitionSnapshot,
    Snapshot, TopicPartition, TopicSnapshot, TransactionSnapshot,
};
use crate::cluster::Node;
use crate::group::assignor::Assignment;
use crate::group::{ClassicGroup, ConsumerGroup, Group, Kind, Offsets};
use crate::net::wire::FromWire;
use crate::state::State;
use crate::topic::{Partition, Topic};
use crate::transaction::{Participant, TransactionalId};

/// What classic members of consumers call themselves.
const CONSUMER: &str = "consumer";
/// Nobody coordinates.
const NO_NODE: i32 = -1;

impl State {
    /// What is known now. Whether a node is paused is known to its listener alone.
    pub(crate) fn snapshot(&self, is_paused: impl Fn(i32) -> bool) -> Snapshot {
        let nodes = self.cluster.nodes.iter();
        let topics = self.topics.iter();
        let groups = self.groups.iter();
        let transactions = self.transactions.iter();
        Snapshot {
            cluster_id: self.cluster.id.clone(),
            nodes: nodes
                .map(|node| node_snapshot(node, is_paused(node.id)))
                .collect(),
            topics: topics
                .map(|(name, topic)| topic_snapshot(name, topic))
                .collect(),
            groups: groups
                .map(|(id, group)| self.group_snapshot(id, group))
                .collect(),
            transactions: transactions
                .map(|(id, known)| self.transaction_snapshot(id, known))
                .collect(),
        }
    }

    fn group_snapshot(&self, id: &str, group: &Group) -> GroupSnapshot {
        let (generation, assignor, members) = match &group.kind {
            Kind::Classic(classic) => (
                classic.generation(),
                classic.protocol_name().unwrap_or_default().to_owned(),
                classic_members(classic),
            ),
            Kind::Consumer(consumer) => (
                consumer.epoch(),
                consumer.assignor().name().to_owned(),
                self.consumer_members(consumer),
            ),
        };
        GroupSnapshot {
            id: id.to_owned(),
            protocol: group.kind.name().to_owned(),
            state: group.kind.state().to_owned(),
            generation,
            assignor,
            coordinator: self.coordinator_of(id),
            members,
            offsets: self.offset_snapshots(&group.offsets),
        }
    }

    fn transaction_snapshot(&self, id: &str, known: &TransactionalId) -> TransactionSnapshot {
        let (mut partitions, mut groups) = (Vec::new(), Vec::new());
        for participant in known.participants() {
            match participant {
                Participant::Partition(topic, partition) => partitions.push(TopicPartition {
                    topic: topic.clone(),
                    partition: *partition,
                }),
                Participant::Group(group) => groups.push(group.clone()),
            }
        }
        TransactionSnapshot {
            transactional_id: id.to_owned(),
            state: known.phase().name().to_owned(),
            producer_id: known.producer().id,
            producer_epoch: known.producer().epoch,
            coordinator: self.coordinator_of(id),
            partitions,
            groups,
        }
    }

    fn coordinator_of(&self, key: &str) -> i32 {
        let coordinator = self.cluster.coordinator(key);
        coordinator.map_or(NO_NODE, |node| node.id)
    }

    fn consumer_members(&self, group: &ConsumerGroup) -> Vec<MemberSnapshot> {
        group
            .members()
            .map(|(id, member, _)| MemberSnapshot {
                id: id.to_owned(),
                instance_id: member.instance_id.clone(),
                client_id: member.client_id.clone(),
                client_host: member.client_host.clone(),
                assignment: self.named(&member.current.assigned.keys().copied().collect()),
            })
            .collect()
    }

    /// Partitions under the names of their topics; those of deleted topics are left out.
    fn named(&self, assignment: &Assignment) -> Vec<TopicPartition> {
        let name_of = |id: Uuid| self.topics.name_of(id);
        let mut partitions: Vec<TopicPartition> = assignment
            .iter()
            .filter_map(|assigned| {
                Some(TopicPartition {
                    topic: name_of(assigned.topic_id)?.to_owned(),
                    partition: assigned.partition,
                })
            })
            .collect();
        partitions.sort();
        partitions
    }

    fn offset_snapshots(&self, offsets: &Offsets) -> Vec<OffsetSnapshot> {
        let mut snapshots = Vec::new();
        for (topic, partitions) in offsets.iter() {
            for partition in partitions {
                let Some(committed) = offsets.get(topic, partition) else {
                    continue;
                };
                snapshots.push(OffsetSnapshot {
                    topic: topic.to_owned(),
                    partition,
                    committed: committed.offset,
                    metadata: committed.metadata.clone(),
                    lag: self
                        .high_watermark(topic, partition)
                        .map(|end| end - committed.offset),
                });
            }
        }
        snapshots
    }

    fn high_watermark(&self, topic: &str, partition: i32) -> Option<i64> {
        let index = usize::try_from(partition).ok()?;
        let partition = self.topics.get(topic)?.partitions.get(index)?;
        Some(partition.log.high_watermark())
    }
}

fn node_snapshot(node: &Node, is_paused: bool) -> NodeSnapshot {
    NodeSnapshot {
        id: node.id,
        address: node.bootstrap_server(),
        state: match (node.running, is_paused) {
            (false, _) => NodeState::Stopped,
            (true, true) => NodeState::Paused,
            (true, false) => NodeState::Running,
        },
    }
}

fn topic_snapshot(name: &str, topic: &Topic) -> TopicSnapshot {
    let partitions = (0..).zip(&topic.partitions);
    TopicSnapshot {
        name: name.to_owned(),
        partitions: partitions
            .map(|(index, partition)| partition_snapshot(index, partition))
            .collect(),
    }
}

fn partition_snapshot(index: i32, partition: &Partition) -> PartitionSnapshot {
    PartitionSnapshot {
        partition: index,
        leader: partition.leader,
        leader_epoch: partition.leader_epoch,
        replicas: partition.replicas.clone(),
        in_sync_replicas: partition.in_sync.clone(),
        start_offset: partition.log.start_offset(),
        high_watermark: partition.log.high_watermark(),
        last_stable_offset: partition.log.last_stable_offset(),
        bytes: u64::try_from(partition.log.bytes()).unwrap_or(u64::MAX),
    }
}

fn classic_members(group: &ClassicGroup) -> Vec<MemberSnapshot> {
    let are_consumers = group.protocol_type() == Some(CONSUMER);
    let members = group.members().iter();
    members
        .map(|member| MemberSnapshot {
            id: member.id.clone(),
            instance_id: member.instance_id.clone(),
            client_id: member.client_id.clone(),
            client_host: member.client_host.clone(),
            assignment: match are_consumers {
                true => assigned_by_leader(member.assignment.clone()),
                false => Vec::new(),
            },
        })
        .collect()
}

/// What the leader of a classic group wrote for a consumer. It is the clients' affair, so it may be anything: what is no
/// assignment is none.
fn assigned_by_leader(mut assignment: Bytes) -> Vec<TopicPartition> {
    let Ok(version) = assignment.try_get_i16() else {
        return Vec::new();
    };
    // Later versions only add to what this one has.
    let version = version.clamp(0, 3);
    let Ok(decoded) = ConsumerProtocolAssignment::from_wire(assignment, version) else {
        return Vec::new();
    };
    let mut partitions = Vec::new();
    for topic in decoded.assigned_partitions {
        for partition in topic.partitions {
            partitions.push(TopicPartition {
                topic: topic.topic.to_string(),
                partition,
            });
        }
    }
    partitions.sort();
    partitions
}
