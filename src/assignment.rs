//! Which partitions are this member's, and what happens when that changes.
//!
//! The group may take a partition away at any time. A member that is asked politely commits what it has processed first,
//! so that the next owner does not do it again; a member that was given up on has nothing left to say. librdkafka tells
//! of it by a callback, in the middle of a poll. Nothing waits there: the thread may be the one that everything else
//! runs on.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::statistics::Statistics;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::RDKafkaRespErr;
use tokio::sync::Notify;
use tracing::{debug, warn};

use crate::error_route::Phase;

/// A partition of a topic.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    /// The topic's name.
    pub topic: Arc<str>,
    /// The partition's number, from 0.
    pub partition: i32,
}

impl TopicPartition {
    /// The partition of this number.
    pub fn new(topic: impl Into<Arc<str>>, partition: i32) -> Self {
        Self {
            topic: topic.into(),
            partition,
        }
    }
}

impl fmt::Display for TopicPartition {
    /// As Kafka's own tools write it: `orders-0`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}-{}", self.topic, self.partition)
    }
}

/// What is done when the group asks for partitions back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Revocation {
    /// What was marked as processed is committed, and they are given back in the callback.
    AtOnce,
    /// They are given back by [`Member::release`](crate::member::Member::release), when the work in flight is done. The
    /// rest of the group waits meanwhile, and after `max.poll.interval.ms` no longer.
    WhenReleased,
}

/// What the group did, for a loop that has work in flight.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    /// These are new.
    Assigned(Vec<TopicPartition>),
    /// The group asks for these back, and waits until they are released.
    Revoked(Vec<TopicPartition>),
    /// These belong to somebody else already.
    Lost(Vec<TopicPartition>),
}

/// Looks on while the group gives partitions to a member and takes them away, for logs and metrics. It is called in the
/// middle of a poll: an observer that waits holds up the whole group.
pub trait RebalanceObserver: Send + Sync + 'static {
    /// The group gave these to the member, beside those that it has. None at all when there is nothing for it to do; in
    /// the protocol of KIP-848 that is not told.
    fn assigned(&self, partitions: &[TopicPartition]);

    /// The group took these away. Lost ones went to another member before this one knew, so nothing of them could be
    /// committed.
    fn revoked(&self, partitions: &[TopicPartition], lost: bool);
}

/// The part of a consumer that librdkafka calls.
pub(crate) struct Assignments {
    /// Who gives partitions back.
    revocation: Revocation,
    /// Told of every change, if there is one.
    observer: Option<Arc<dyn RebalanceObserver>>,
    /// One lock for all of it, held for a few look-ups and never across an await.
    state: Mutex<State>,
    /// True while `state.changes` has something: the loop looks at it for every record.
    has_changes: AtomicBool,
    /// Wakes a loop that waits for a record and should look at the changes.
    changed: Notify,
    /// Set by the first assignment. Before it, a topic that does not exist is no error.
    running: AtomicBool,
}

#[derive(Default)]
struct State {
    /// What this member may read and commit.
    owned: BTreeSet<TopicPartition>,
    /// The next offset of each partition in which something was processed that is not committed.
    processed: BTreeMap<TopicPartition, i64>,
    /// What the loop has not looked at. Empty with [`Revocation::AtOnce`].
    changes: VecDeque<Change>,
    /// What was revoked and not released. librdkafka cannot be closed while there is something.
    unreleased: Vec<TopicPartition>,
    /// From here on nobody is left who could release.
    closing: bool,
    /// How many records each partition has that were not read, as of librdkafka's last statistics.
    lags: BTreeMap<TopicPartition, i64>,
}

impl Assignments {
    pub(crate) fn new(
        revocation: Revocation,
        observer: Option<Arc<dyn RebalanceObserver>>,
    ) -> Self {
        Self {
            revocation,
            observer,
            state: Mutex::default(),
            has_changes: AtomicBool::new(false),
            changed: Notify::new(),
            running: AtomicBool::new(false),
        }
    }

    pub(crate) fn phase(&self) -> Phase {
        if self.running.load(Ordering::Relaxed) {
            Phase::Running
        } else {
            Phase::Starting
        }
    }

    pub(crate) fn owned(&self) -> BTreeSet<TopicPartition> {
        self.lock().owned.clone()
    }

    pub(crate) fn owns(&self, partition: &TopicPartition) -> bool {
        self.lock().owned.contains(partition)
    }

    /// Notes that everything before `next_offset` is processed. What belongs to somebody else is passed over: the owner
    /// reads it again.
    pub(crate) fn mark(&self, partition: TopicPartition, next_offset: i64) {
        let mut state = self.lock();
        if state.owned.contains(&partition) {
            state.processed.insert(partition, next_offset);
        }
    }

    /// What is processed and not committed.
    pub(crate) fn processed(&self) -> BTreeMap<TopicPartition, i64> {
        self.lock().processed.clone()
    }

    /// Notes that `offsets` are committed. What was processed meanwhile stays.
    pub(crate) fn committed(&self, offsets: &BTreeMap<TopicPartition, i64>) {
        self.lock()
            .processed
            .retain(|partition, next_offset| offsets.get(partition) != Some(next_offset));
    }

    pub(crate) fn lags(&self) -> BTreeMap<TopicPartition, i64> {
        self.lock().lags.clone()
    }

    pub(crate) fn has_changes(&self) -> bool {
        self.has_changes.load(Ordering::Acquire)
    }

    pub(crate) fn take_changes(&self) -> VecDeque<Change> {
        let mut state = self.lock();
        self.has_changes.store(false, Ordering::Release);
        std::mem::take(&mut state.changes)
    }

    /// Waits for a change that nobody has looked at.
    pub(crate) async fn changed(&self) {
        while !self.has_changes() {
            self.changed.notified().await;
        }
    }

    /// Takes note that `partitions` are given back.
    pub(crate) fn released(&self, partitions: &[TopicPartition]) {
        self.lock()
            .unreleased
            .retain(|partition| !partitions.contains(partition));
    }

    /// From here on partitions are given back in the callback. Returns those that have to be released first.
    pub(crate) fn close(&self) -> Vec<TopicPartition> {
        let mut state = self.lock();
        state.closing = true;
        std::mem::take(&mut state.unreleased)
    }

    fn assigned(&self, client: &BaseConsumer<Self>, list: &TopicPartitionList) {
        let partitions = partitions(list);
        debug!(?partitions, "assigned");
        if !partitions.is_empty() {
            self.running.store(true, Ordering::Relaxed);
        }
        self.lock().owned.extend(partitions.iter().cloned());
        let result = match client.rebalance_protocol() {
            RebalanceProtocol::Cooperative => client.incremental_assign(list),
            RebalanceProtocol::Eager | RebalanceProtocol::None => client.assign(list),
        };
        if let Err(error) = result {
            warn!(%error, "the assignment was not taken over");
        }
        if let Some(observer) = &self.observer {
            observer.assigned(&partitions);
        }
        self.tell(Change::Assigned(partitions));
    }

    fn revoked(&self, client: &BaseConsumer<Self>, list: &TopicPartitionList) {
        let partitions = partitions(list);
        // The session is over, or another member has taken this one's place: a commit would be refused.
        let lost = client.assignment_lost();
        debug!(?partitions, lost, "revoked");
        if let Some(observer) = &self.observer {
            observer.revoked(&partitions, lost);
        }
        let (processed, closing) = {
            let mut state = self.lock();
            let mut processed = BTreeMap::new();
            for partition in &partitions {
                state.owned.remove(partition);
                state.lags.remove(partition);
                if let Some(next_offset) = state.processed.remove(partition) {
                    processed.insert(partition.clone(), next_offset);
                }
            }
            (processed, state.closing)
        };
        if self.revocation == Revocation::WhenReleased && !lost && !closing {
            self.lock().unreleased.extend(partitions.iter().cloned());
            self.tell(Change::Revoked(partitions));
            return;
        }
        if !lost && !processed.is_empty() {
            // It is sent before the partitions are given back, and librdkafka rejoins when the answer is there. The
            // answer comes by `commit_callback`.
            let result = offsets(&processed)
                .and_then(|processed| client.commit(&processed, CommitMode::Async));
            if let Err(error) = result {
                warn!(%error, "what was processed could not be committed before the partitions were given back");
            }
        }
        give_back(client, list);
        self.tell(Change::Lost(partitions));
    }

    fn tell(&self, change: Change) {
        if self.revocation == Revocation::AtOnce {
            return;
        }
        self.lock().changes.push_back(change);
        self.has_changes.store(true, Ordering::Release);
        self.changed.notify_one();
    }

    /// A panic elsewhere leaves whole entries behind, so the state stays usable.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells librdkafka that this member is through with partitions that were revoked.
pub(crate) fn give_back<C: Consumer<Assignments>>(client: &C, list: &TopicPartitionList) {
    let result = match client.rebalance_protocol() {
        RebalanceProtocol::Cooperative => client.incremental_unassign(list),
        // Eager protocols take everything back at each rebalance.
        RebalanceProtocol::Eager | RebalanceProtocol::None => client.unassign(),
    };
    if let Err(error) = result {
        warn!(%error, "the partitions were not given back");
    }
}

/// As librdkafka wants it.
///
/// # Errors
///
/// None that is known: librdkafka takes every offset from 0.
pub(crate) fn offsets(
    next_offsets: &BTreeMap<TopicPartition, i64>,
) -> KafkaResult<TopicPartitionList> {
    let mut list = TopicPartitionList::with_capacity(next_offsets.len());
    for (TopicPartition { topic, partition }, next_offset) in next_offsets {
        list.add_partition_offset(topic, *partition, Offset::Offset(*next_offset))?;
    }
    Ok(list)
}

/// As librdkafka wants it, where no offset is asked for.
pub(crate) fn list<'a>(
    partitions: impl IntoIterator<Item = &'a TopicPartition>,
) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    for TopicPartition { topic, partition } in partitions {
        list.add_partition(topic, *partition);
    }
    list
}

fn partitions(list: &TopicPartitionList) -> Vec<TopicPartition> {
    list.elements()
        .iter()
        .map(|element| TopicPartition::new(element.topic(), element.partition()))
        .collect()
}

impl ClientContext for Assignments {
    fn stats(&self, statistics: Statistics) {
        let mut state = self.lock();
        let lags: BTreeMap<_, _> = state
            .owned
            .iter()
            .filter_map(|partition| {
                let topic = statistics.topics.get(&*partition.topic)?;
                let lag = topic.partitions.get(&partition.partition)?.consumer_lag;
                // -1 until the end is known.
                (lag >= 0).then(|| (partition.clone(), lag))
            })
            .collect();
        state.lags = lags;
    }

    fn error(&self, error: KafkaError, reason: &str) {
        // Each of these comes to the caller as well, which knows what is an error. This one has the reason in words.
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::PartitionEOF) {
            debug!(%error, reason, "the consumer's client reports trouble");
        }
    }
}

impl ConsumerContext for Assignments {
    fn rebalance(
        &self,
        client: &BaseConsumer<Self>,
        code: RDKafkaRespErr,
        list: &mut TopicPartitionList,
    ) {
        match code {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => self.assigned(client, list),
            _ => self.revoked(client, list),
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, offsets: &TopicPartitionList) {
        // Of commits in a revocation: all others have somebody who waits for the answer.
        if let Err(error) = result
            && error.rdkafka_error_code() != Some(RDKafkaErrorCode::NoOffset)
        {
            let partitions = partitions(offsets);
            warn!(%error, ?partitions, "a commit before a rebalance failed: the next owner repeats what it was for");
        }
    }
}
