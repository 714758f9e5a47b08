//! What a broker knows at one moment, in the words of Kafka's tools: for assertions, for a web page, for a log.

mod take;

use serde::{Deserialize, Serialize};

/// Everything the broker knows, but for the records; from [`Broker::snapshot`](crate::Broker::snapshot). Taken in one step, so
/// that its parts agree with each other.
///
/// ```
/// use embedded_broker::Broker;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), embedded_broker::StartError> {
/// let broker = Broker::builder().nodes(3).start().await?;
/// // ... run the code under test ...
/// let snapshot = broker.snapshot();
/// assert_eq!(snapshot.nodes.len(), 3);
/// // What nobody has created is not there.
/// assert!(snapshot.topic("orders").is_none());
/// assert_eq!(snapshot.lag("billing"), None);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Snapshot {
    /// The cluster's id, as `kafka-cluster` shows it.
    pub cluster_id: String,
    /// In the order of their ids.
    pub nodes: Vec<NodeSnapshot>,
    /// In the order of their names.
    pub topics: Vec<TopicSnapshot>,
    /// In the order of their ids.
    pub groups: Vec<GroupSnapshot>,
    /// In the order of their transactional ids.
    pub transactions: Vec<TransactionSnapshot>,
}

/// One node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct NodeSnapshot {
    /// Its id, counted from 0.
    pub id: i32,
    /// Where clients find it, `HOST:PORT`.
    pub address: String,
    /// What a test did to it.
    pub state: NodeState,
}

/// Whether a node serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum NodeState {
    /// It does.
    Running,
    /// It takes connections and answers nothing.
    Paused,
    /// It is gone.
    Stopped,
}

/// One topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TopicSnapshot {
    /// Its name.
    pub name: String,
    /// In the order of their indexes.
    pub partitions: Vec<PartitionSnapshot>,
}

/// One partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PartitionSnapshot {
    /// Its index, counted from 0.
    pub partition: i32,
    /// The node that leads it, -1 for none.
    pub leader: i32,
    /// How often the leader has changed.
    pub leader_epoch: i32,
    /// The nodes that hold it, the preferred leader first.
    pub replicas: Vec<i32>,
    /// Those of them that hold every record.
    pub in_sync_replicas: Vec<i32>,
    /// The first offset that can be read.
    pub start_offset: i64,
    /// The offset of the next record.
    pub high_watermark: i64,
    /// Up to where a consumer with `isolation.level=read_committed` reads: the first record of the oldest open transaction.
    pub last_stable_offset: i64,
    /// What its record batches take, as they are stored.
    pub bytes: u64,
}

/// One group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct GroupSnapshot {
    /// `group.id`.
    pub id: String,
    /// `classic` or `consumer`, the value of `group.protocol`.
    pub protocol: String,
    /// As `kafka-consumer-groups --describe --state` shows it, for example `Stable`.
    pub state: String,
    /// The generation of a classic group, the group epoch of the other kind.
    pub generation: i32,
    /// How partitions are assigned, for example `range`; empty before the first assignment.
    pub assignor: String,
    /// The node that coordinates it, -1 for none.
    pub coordinator: i32,
    /// Those who share the partitions.
    pub members: Vec<MemberSnapshot>,
    /// How far the group is, by topic and partition.
    pub offsets: Vec<OffsetSnapshot>,
}

/// One member of a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct MemberSnapshot {
    /// The id that the coordinator knows it by.
    pub id: String,
    /// `group.instance.id` of a static member.
    pub instance_id: Option<String>,
    /// `client.id`.
    pub client_id: String,
    /// Where it connects from, as tools show it, for example `/127.0.0.1`.
    pub client_host: String,
    /// What it reads, by topic and partition. Nothing for a classic group that is not made of consumers.
    pub assignment: Vec<TopicPartition>,
}

/// A partition of a topic.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TopicPartition {
    /// The topic's name.
    pub topic: String,
    /// The partition's index.
    pub partition: i32,
}

/// How far a group is in one partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct OffsetSnapshot {
    /// The topic's name.
    pub topic: String,
    /// The partition's index.
    pub partition: i32,
    /// The committed offset: the next one to read.
    pub committed: i64,
    /// What the group committed along with it.
    pub metadata: String,
    /// How many offsets there are between it and the high watermark. None if the partition does not exist.
    pub lag: Option<i64>,
}

/// One `transactional.id`, and its transaction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TransactionSnapshot {
    /// `transactional.id`.
    pub transactional_id: String,
    /// As `kafka-transactions list` shows it: `Empty`, `Ongoing`, `CompleteCommit` or `CompleteAbort`.
    pub state: String,
    /// The id of the producer that may write under it.
    pub producer_id: i64,
    /// The epoch of that producer: an earlier one is fenced.
    pub producer_epoch: i16,
    /// The node that coordinates it, -1 for none.
    pub coordinator: i32,
    /// The partitions that the open transaction writes to.
    pub partitions: Vec<TopicPartition>,
    /// The groups whose offsets the open transaction commits.
    pub groups: Vec<String>,
}

impl Snapshot {
    /// The topic of this name, if there is one.
    #[must_use]
    pub fn topic(&self, name: &str) -> Option<&TopicSnapshot> {
        self.topics.iter().find(|topic| topic.name == name)
    }

    /// The partition, if there is one.
    #[must_use]
    pub fn partition(&self, topic: &str, partition: i32) -> Option<&PartitionSnapshot> {
        let partitions = &self.topic(topic)?.partitions;
        partitions.iter().find(|found| found.partition == partition)
    }

    /// The group of this id, if there is one.
    #[must_use]
    pub fn group(&self, id: &str) -> Option<&GroupSnapshot> {
        self.groups.iter().find(|group| group.id == id)
    }

    /// What is known of a `transactional.id`, if anything.
    #[must_use]
    pub fn transaction(&self, transactional_id: &str) -> Option<&TransactionSnapshot> {
        let mut transactions = self.transactions.iter();
        transactions.find(|found| found.transactional_id == transactional_id)
    }

    /// The offset that a group has committed, if it has.
    #[must_use]
    pub fn committed(&self, group: &str, topic: &str, partition: i32) -> Option<i64> {
        let mut offsets = self.group(group)?.offsets.iter();
        let found = offsets.find(|found| found.topic == topic && found.partition == partition);
        found.map(|found| found.committed)
    }

    /// The lag of a group over all partitions that it has committed offsets of. None if there is no such group.
    #[must_use]
    pub fn lag(&self, group: &str) -> Option<i64> {
        let offsets = &self.group(group)?.offsets;
        Some(offsets.iter().filter_map(|offset| offset.lag).sum())
    }
}
