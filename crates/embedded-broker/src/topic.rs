//! Topics: names, ids, partitions, and who leads them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Weak};

use kafka_protocol::error::ResponseError;
use tokio::sync::Notify;
use uuid::Uuid;

use crate::cluster::Cluster;
use crate::config::topic::{TopicConfig, TopicConfigs};
use crate::log::{PartitionLog, Upkeep};

/// The leader of a partition whose in-sync replicas are all on stopped nodes.
pub(crate) const NO_LEADER: i32 = -1;

/// All topics together have no more partitions. Each takes about a kilobyte, and a request of some hundred bytes may ask for
/// ten thousand.
const MAX_PARTITIONS: usize = 100_000;

/// All topics, by name and by id.
#[derive(Debug, Default)]
pub(crate) struct Topics {
    /// Sorted, so that metadata lists them in the same order each time.
    by_name: BTreeMap<String, Topic>,
    /// Ids are never used again: a topic that is deleted and created anew gets another one (KIP-516).
    names_by_id: HashMap<Uuid, String>,
    /// Names by [`metric_name`], which no two topics share.
    names_by_metric: HashMap<String, String>,
    /// How many partitions all topics have together.
    partition_count: usize,
    /// How many topics were ever created.
    created: u64,
    /// How often a topic was created or deleted, or got partitions.
    changes: u64,
    /// What the logs of all topics report to.
    pub(crate) upkeep: Upkeep,
    /// Ids of the nodes that are stopped, for the partitions that are created meanwhile.
    stopped_nodes: BTreeSet<i32>,
}

/// One topic.
#[derive(Debug)]
pub(crate) struct Topic {
    pub(crate) id: Uuid,
    /// In the order of their indexes.
    pub(crate) partitions: Vec<Partition>,
    pub(crate) config: TopicConfigs,
}

/// Which leader is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Election {
    /// The first of the replicas.
    Preferred,
    /// Any, where there is none.
    Unclean,
}

/// One partition: its log, its leader and who waits for it.
#[derive(Debug)]
pub(crate) struct Partition {
    pub(crate) log: PartitionLog,
    /// Ids of the nodes that hold it; the first is the preferred leader.
    pub(crate) replicas: Vec<i32>,
    /// Ids of the replicas that hold every record: those on running nodes. None while there is no leader.
    pub(crate) in_sync: Vec<i32>,
    /// [`NO_LEADER`] if no replica that is in sync runs.
    pub(crate) leader: i32,
    /// The only one that may lead again when all were stopped: it alone has every record for certain
    /// (`unclean.leader.election.enable` is off, and a crash takes the others out of KIP-966's eligible replicas).
    last_leader: i32,
    /// Grows by one with each change of leader.
    pub(crate) leader_epoch: i32,
    /// Parked fetches. Dead entries are dropped when the next fetch parks, so the list is never longer than twice the
    /// number of connections.
    waiters: Vec<Weak<Notify>>,
}

impl Partition {
    /// A partition without records, led by the first of its replicas.
    pub(crate) fn new(replicas: Vec<i32>, upkeep: Upkeep) -> Self {
        let mut log = PartitionLog::new(upkeep);
        log.begin_epoch(0);
        Self {
            log,
            leader: replicas.first().copied().unwrap_or(NO_LEADER),
            last_leader: replicas.first().copied().unwrap_or(NO_LEADER),
            in_sync: replicas.clone(),
            replicas,
            leader_epoch: 0,
            waiters: Vec::new(),
        }
    }

    /// Has `wakeup` notified by the next change of this partition.
    pub(crate) fn wait(&mut self, wakeup: &Arc<Notify>) {
        self.waiters.retain(|waiter| waiter.strong_count() > 0);
        self.waiters.push(Arc::downgrade(wakeup));
    }

    /// Wakes every parked fetch. The notification is kept for one that is only about to park.
    pub(crate) fn wake(&mut self) {
        for waiter in self.waiters.drain(..).filter_map(|waiter| waiter.upgrade()) {
            waiter.notify_one();
        }
    }

    /// Its replica on `node` stops: the next one in sync leads, if there is one.
    fn stop_replica(&mut self, node: i32, stopped: &BTreeSet<i32>) {
        self.in_sync.retain(|replica| *replica != node);
        if self.leader == node {
            let next = self.in_sync.iter().find(|id| !stopped.contains(id));
            self.lead(next.copied().unwrap_or(NO_LEADER));
        }
    }

    /// Its replica on `node` runs again. It catches up at once; it leads only if nobody does and it lacks no record.
    fn start_replica(&mut self, node: i32, stopped: &BTreeSet<i32>) {
        if self.leader == NO_LEADER && self.last_leader == node {
            self.lead(node);
        }
        if self.leader != NO_LEADER {
            self.catch_up(stopped);
        }
    }

    /// Has the replica on `node` lead. A node without one takes the place of the leader, as after a reassignment.
    pub(crate) fn move_leader(&mut self, node: i32, stopped: &BTreeSet<i32>) {
        if !self.replicas.contains(&node) {
            let old = self.replicas.iter().position(|id| *id == self.leader);
            match old.and_then(|index| self.replicas.get_mut(index)) {
                Some(replica) => *replica = node,
                None => self.replicas.insert(0, node),
            }
        }
        if self.leader != node {
            self.lead(node);
        }
        self.catch_up(stopped);
    }

    fn elect(&mut self, election: Election, stopped: &BTreeSet<i32>) -> Result<(), ResponseError> {
        let runs = |replica: &&i32| !stopped.contains(replica);
        let next = match election {
            Election::Preferred if self.replicas.first() == Some(&self.leader) => {
                return Err(ResponseError::ElectionNotNeeded);
            }
            Election::Preferred => self
                .replicas
                .first()
                .filter(|preferred| self.in_sync.contains(preferred))
                .filter(runs)
                .ok_or(ResponseError::PreferredLeaderNotAvailable)?,
            Election::Unclean if self.leader != NO_LEADER => {
                return Err(ResponseError::ElectionNotNeeded);
            }
            Election::Unclean => self
                .replicas
                .iter()
                .find(runs)
                .ok_or(ResponseError::EligibleLeadersNotAvailable)?,
        };
        self.lead(*next);
        self.catch_up(stopped);
        Ok(())
    }

    /// Parked fetches wake and learn who leads.
    fn lead(&mut self, node: i32) {
        if node != NO_LEADER {
            self.last_leader = node;
        }
        self.leader = node;
        self.leader_epoch += 1;
        self.log.begin_epoch(self.leader_epoch);
        self.wake();
    }

    /// While there is a leader, every replica on a running node is in sync: they share one log.
    fn catch_up(&mut self, stopped: &BTreeSet<i32>) {
        let replicas = self.replicas.iter().copied();
        self.in_sync = replicas.filter(|id| !stopped.contains(id)).collect();
    }

    /// Compares the leader epoch that a client believes in with the partition's own (KIP-320); -1 is a client that does
    /// not say.
    fn check_leader_epoch(&self, claimed: i32) -> Result<(), ResponseError> {
        match claimed {
            -1 => Ok(()),
            epoch if epoch < self.leader_epoch => Err(ResponseError::FencedLeaderEpoch),
            epoch if epoch > self.leader_epoch => Err(ResponseError::UnknownLeaderEpoch),
            _ => Ok(()),
        }
    }
}

impl Topics {
    pub(crate) fn get(&self, name: &str) -> Option<&Topic> {
        self.by_name.get(name)
    }

    pub(crate) fn get_mut(&mut self, name: &str) -> Option<&mut Topic> {
        self.by_name.get_mut(name)
    }

    /// Whether the topic has a partition of this index.
    pub(crate) fn has(&self, topic: &str, index: i32) -> bool {
        self.get(topic)
            .zip(usize::try_from(index).ok())
            .is_some_and(|(topic, index)| index < topic.partitions.len())
    }

    /// Grows with each topic that is created: who matches names by a pattern has nothing new to find before.
    pub(crate) fn created(&self) -> u64 {
        self.created
    }

    /// Grows with each topic that is created or deleted, and with new partitions: who looked before has seen all.
    pub(crate) fn changes(&self) -> u64 {
        self.changes
    }

    /// A log, with the configuration that is in force for it.
    pub(crate) fn log_by_id(
        &mut self,
        topic_id: Uuid,
        index: usize,
    ) -> Option<(&mut PartitionLog, &TopicConfig)> {
        let name = self.names_by_id.get(&topic_id)?;
        let topic = self.by_name.get_mut(name)?;
        let partition = topic.partitions.get_mut(index)?;
        Some((&mut partition.log, topic.config.on(partition.leader)))
    }

    /// In the order of their names.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Topic)> {
        self.by_name
            .iter()
            .map(|(name, topic)| (name.as_str(), topic))
    }

    /// In the order of their names.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Topic> {
        self.by_name.values_mut()
    }

    pub(crate) fn name_of(&self, id: Uuid) -> Option<&str> {
        self.names_by_id.get(&id).map(String::as_str)
    }

    /// The partition, if it exists and `node_id` has a replica of it, for a client that believes in this leader epoch (-1 for
    /// one that does not say).
    ///
    /// # Errors
    /// UNKNOWN_TOPIC_OR_PARTITION, NOT_LEADER_OR_FOLLOWER, or as [`Partition::check_leader_epoch`].
    pub(crate) fn replica_on(
        &mut self,
        node_id: i32,
        topic: &str,
        index: i32,
        claimed_epoch: i32,
    ) -> Result<&mut Partition, ResponseError> {
        let partition = self
            .by_name
            .get_mut(topic)
            .zip(usize::try_from(index).ok())
            .and_then(|(topic, index)| topic.partitions.get_mut(index))
            .ok_or(ResponseError::UnknownTopicOrPartition)?;
        if !partition.replicas.contains(&node_id) {
            return Err(ResponseError::NotLeaderOrFollower);
        }
        partition.check_leader_epoch(claimed_epoch)?;
        Ok(partition)
    }

    /// As [`Topics::replica_on`], if `node_id` leads the partition too. A client with an old epoch learns that it is old even
    /// from a node that led then.
    ///
    /// # Errors
    /// As [`Topics::replica_on`].
    pub(crate) fn led_in_epoch(
        &mut self,
        node_id: i32,
        topic: &str,
        index: i32,
        claimed_epoch: i32,
    ) -> Result<&mut Partition, ResponseError> {
        let partition = self.replica_on(node_id, topic, index, claimed_epoch)?;
        match partition.leader == node_id {
            true => Ok(partition),
            false => Err(ResponseError::NotLeaderOrFollower),
        }
    }

    /// The partition, if it exists and `node_id` leads it.
    ///
    /// # Errors
    /// UNKNOWN_TOPIC_OR_PARTITION, or NOT_LEADER_OR_FOLLOWER where the client asked the wrong node.
    pub(crate) fn led_by(
        &mut self,
        node_id: i32,
        topic: &str,
        index: i32,
    ) -> Result<&mut Partition, ResponseError> {
        self.led_by_with_config(node_id, topic, index)
            .map(|(partition, _)| partition)
    }

    /// As [`Topics::led_by`], with the configuration that is in force for the partition.
    ///
    /// # Errors
    /// As [`Topics::led_by`].
    pub(crate) fn led_by_with_config(
        &mut self,
        node_id: i32,
        topic: &str,
        index: i32,
    ) -> Result<(&mut Partition, &TopicConfig), ResponseError> {
        let (partition, config) = self
            .by_name
            .get_mut(topic)
            .zip(usize::try_from(index).ok())
            .and_then(|(topic, index)| {
                Some((topic.partitions.get_mut(index)?, topic.config.on(node_id)))
            })
            .ok_or(ResponseError::UnknownTopicOrPartition)?;
        if partition.leader == node_id {
            Ok((partition, config))
        } else {
            Err(ResponseError::NotLeaderOrFollower)
        }
    }

    /// Whether a topic of this name could be created.
    ///
    /// # Errors
    /// INVALID_TOPIC_EXCEPTION or TOPIC_ALREADY_EXISTS, with a message for a person.
    pub(crate) fn check_new_name(&self, name: &str) -> Result<(), (ResponseError, String)> {
        check_name(name).map_err(|reason| (ResponseError::InvalidTopicException, reason))?;
        if self.by_name.contains_key(name) {
            return Err((
                ResponseError::TopicAlreadyExists,
                format!("Topic '{name}' already exists."),
            ));
        }
        match self.names_by_metric.get(&metric_name(name)) {
            Some(other) => Err((
                ResponseError::InvalidTopicException,
                format!("Topic '{name}' collides with existing topics: {other}"),
            )),
            None => Ok(()),
        }
    }

    /// Whether there may be so many partitions more.
    ///
    /// # Errors
    /// POLICY_VIOLATION, with a message for a person.
    pub(crate) fn check_room(&self, partitions: usize) -> Result<(), (ResponseError, String)> {
        if self.partition_count.saturating_add(partitions) <= MAX_PARTITIONS {
            return Ok(());
        }
        let message =
            format!("The embedded broker keeps at most {MAX_PARTITIONS} partitions of all topics.");
        Err((ResponseError::PolicyViolation, message))
    }

    /// Creates a topic with these replicas, a list for each partition. The name has been checked.
    pub(crate) fn create(
        &mut self,
        name: &str,
        replicas: Vec<Vec<i32>>,
        config: TopicConfigs,
    ) -> &Topic {
        let id = Uuid::new_v4();
        self.names_by_id.insert(id, name.to_owned());
        self.names_by_metric
            .insert(metric_name(name), name.to_owned());
        self.partition_count += replicas.len();
        self.created += 1;
        self.changes += 1;
        let partitions = replicas
            .into_iter()
            .map(|replicas| self.new_partition(replicas))
            .collect();
        let topic = Topic {
            id,
            partitions,
            config,
        };
        self.by_name.entry(name.to_owned()).or_insert(topic)
    }

    /// A partition without records, led by the first of its replicas that runs.
    fn new_partition(&self, replicas: Vec<i32>) -> Partition {
        let mut partition = Partition::new(replicas, self.upkeep.clone());
        for node in &self.stopped_nodes {
            partition.stop_replica(*node, &self.stopped_nodes);
        }
        // Nobody has led it before.
        partition.leader_epoch = 0;
        partition
    }

    /// Gives a topic further partitions with these replicas.
    pub(crate) fn add_partitions(&mut self, name: &str, replicas: Vec<Vec<i32>>) {
        let partitions: Vec<Partition> = replicas
            .into_iter()
            .map(|replicas| self.new_partition(replicas))
            .collect();
        if let Some(topic) = self.by_name.get_mut(name) {
            self.partition_count += partitions.len();
            self.changes += 1;
            topic.partitions.extend(partitions);
        }
    }

    /// Creates a topic with the default number of partitions and one replica each.
    pub(crate) fn create_default(
        &mut self,
        name: &str,
        partitions: i32,
        cluster: &Cluster,
        config: TopicConfigs,
    ) -> &Topic {
        let partitions = usize::try_from(partitions).unwrap_or(1);
        let replicas = (0..partitions)
            .map(|index| cluster.replicas(index, 1))
            .collect();
        self.create(name, replicas, config)
    }

    /// Takes the leadership of partitions away from a node that stops, and its replicas out of those in sync.
    pub(crate) fn stop_node(&mut self, node: i32) {
        self.stopped_nodes.insert(node);
        for partition in Self::partitions_mut(&mut self.by_name) {
            partition.stop_replica(node, &self.stopped_nodes);
        }
    }

    /// The replicas on a node that starts are in sync again. It leads only what nobody leads.
    pub(crate) fn start_node(&mut self, node: i32) {
        self.stopped_nodes.remove(&node);
        for partition in Self::partitions_mut(&mut self.by_name) {
            partition.start_replica(node, &self.stopped_nodes);
        }
    }

    /// Has a running node lead the partition. False if there is no such partition.
    pub(crate) fn move_leader(&mut self, topic: &str, index: i32, node: i32) -> bool {
        let partition = self
            .by_name
            .get_mut(topic)
            .zip(usize::try_from(index).ok())
            .and_then(|(topic, index)| topic.partitions.get_mut(index));
        let Some(partition) = partition else {
            return false;
        };
        partition.move_leader(node, &self.stopped_nodes);
        true
    }

    /// Finds the partition another leader.
    ///
    /// # Errors
    /// ELECTION_NOT_NEEDED, or PREFERRED_LEADER_NOT_AVAILABLE or ELIGIBLE_LEADERS_NOT_AVAILABLE if the nodes that could
    /// lead are stopped.
    pub(crate) fn elect(
        &mut self,
        topic: &str,
        index: i32,
        election: Election,
    ) -> Result<(), ResponseError> {
        self.by_name
            .get_mut(topic)
            .zip(usize::try_from(index).ok())
            .and_then(|(topic, index)| topic.partitions.get_mut(index))
            .ok_or(ResponseError::UnknownTopicOrPartition)?
            .elect(election, &self.stopped_nodes)
    }

    fn partitions_mut(
        by_name: &mut BTreeMap<String, Topic>,
    ) -> impl Iterator<Item = &mut Partition> {
        by_name.values_mut().flat_map(|topic| &mut topic.partitions)
    }

    /// Removes a topic and its records; fetches that are parked on it wake and find it gone.
    pub(crate) fn delete(&mut self, name: &str) -> Option<Topic> {
        let mut topic = self.by_name.remove(name)?;
        self.names_by_id.remove(&topic.id);
        self.names_by_metric.remove(&metric_name(name));
        self.partition_count -= topic.partitions.len();
        self.changes += 1;
        topic.partitions.iter_mut().for_each(Partition::wake);
        Some(topic)
    }
}

/// The name in Kafka's metrics, where `.` and `_` become the same character.
fn metric_name(name: &str) -> String {
    name.replace('.', "_")
}

/// The rule for topic names (`org.apache.kafka.common.internals.Topic.validate`), with Apache Kafka's words.
pub(crate) fn check_name(name: &str) -> Result<(), String> {
    const LONGEST: usize = 249;
    let legal =
        |character: char| character.is_ascii_alphanumeric() || ['.', '_', '-'].contains(&character);
    match name {
        "" => Err("Topic name is invalid: the empty string is not allowed".to_owned()),
        "." | ".." => Err("Topic name is invalid: '.' or '..' is not allowed".to_owned()),
        _ if name.len() > LONGEST => Err(format!(
            "Topic name is invalid: the length of '{name}' is longer than the max allowed length {LONGEST}"
        )),
        _ if !name.chars().all(legal) => Err(format!(
            "Topic name is invalid: '{name}' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'"
        )),
        _ => Ok(()),
    }
}
