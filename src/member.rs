//! One member of a consumer group: what all consumers of this library have in common.
//!
//! It asks for the next record without setting a timer when one is ready, keeps blocking calls off the runtime's threads,
//! decides which errors are none, and leaves the group when it is closed.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, OnceLock, Weak, mpsc};
use std::time::Duration;
use std::{fmt, thread};

use futures::FutureExt;
use rdkafka::consumer::{CommitMode, Consumer, StreamConsumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::BorrowedMessage;
use rdkafka::topic_partition_list::Offset;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tracing::{debug, warn};

use crate::Error;
use crate::assignment::{self, Assignments, Change, RebalanceObserver, Revocation, TopicPartition};
use crate::config::{Cluster, ConsumerSettings};
use crate::error_route::{Route, route};

/// How long librdkafka may take to answer about offsets, or to move to another one.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long leaving a group may take. By then its session is over with the library's settings, so that the group goes on
/// without this member.
const CLOSE_PATIENCE: Duration = Duration::from_secs(30);

/// One member of a consumer group. Dropping it leaves the group, and blocks the thread while it does.
pub(crate) struct Member {
    /// Shared with the blocking thread of a commit while that lasts.
    client: Arc<StreamConsumer<Assignments>>,
    /// Where commits are waited for. Started by the first one, and gone with this.
    committer: OnceLock<mpsc::Sender<Commit>>,
}

/// The next offset of each partition, and who waits for the answer.
type Commit = (
    BTreeMap<TopicPartition, i64>,
    oneshot::Sender<KafkaResult<()>>,
);

/// What came.
pub(crate) enum Arrival<'a> {
    /// A record, still in librdkafka's memory.
    Record(BorrowedMessage<'a>),
    /// The end of this partition. librdkafka's binding does not say of which topic.
    End(i32),
    /// The time was over before anything came.
    Nothing,
}

impl Member {
    pub(crate) fn join(
        cluster: &Cluster,
        settings: &ConsumerSettings,
        topics: &[&str],
        revocation: Revocation,
        observer: Option<Arc<dyn RebalanceObserver>>,
    ) -> Result<Self, Error> {
        let client: StreamConsumer<Assignments> = settings
            .client_config(cluster)?
            .create_with_context(Assignments::new(revocation, observer))
            .map_err(|source| Error::Client {
                client: "consumer",
                source,
            })?;
        client
            .subscribe(topics)
            .map_err(|source| Error::Subscribe {
                topics: topics.join(", "),
                source,
            })?;
        Ok(Self {
            client: Arc::new(client),
            committer: OnceLock::new(),
        })
    }

    /// Waits up to `patience`. Dropping the future loses nothing.
    pub(crate) async fn receive(&self, patience: Duration) -> Result<Arrival<'_>, Error> {
        // While records are ready nothing here waits, and the other tasks of this thread would starve. Before the poll:
        // a record that is taken must not be dropped with this future.
        tokio::task::coop::consume_budget().await;
        if let Some(arrival) = self.receive_now() {
            return arrival;
        }
        let deadline = Instant::now() + patience;
        loop {
            let Ok(received) = tokio::time::timeout_at(deadline, self.client.recv()).await else {
                return Ok(Arrival::Nothing);
            };
            if let Some(arrival) = self.arrival(received) {
                return arrival;
            }
        }
    }

    /// What is there already. None as well when librdkafka had something to tell to itself: wait with
    /// [`receive`](Self::receive), and it is woken.
    pub(crate) fn receive_now(&self) -> Option<Result<Arrival<'_>, Error>> {
        // A future and a place in the list of wakers for each record: 40 ns. A timer would cost as much again.
        let received = self.client.recv().now_or_never()?;
        self.arrival(received)
    }

    /// None for what is worth a line in the log at most.
    fn arrival<'a>(
        &self,
        received: Result<BorrowedMessage<'a>, KafkaError>,
    ) -> Option<Result<Arrival<'a>, Error>> {
        let source = match received {
            Ok(record) => return Some(Ok(Arrival::Record(record))),
            Err(KafkaError::PartitionEOF(partition)) => return Some(Ok(Arrival::End(partition))),
            Err(source) => source,
        };
        match route(&source, self.client.context().phase()) {
            Route::Ignore => None,
            Route::Warn(words) => {
                warn!(error = %source, "{words}");
                None
            }
            Route::Raise => Some(Err(Error::Receive { source })),
        }
    }

    /// Stores the offsets, and waits until the broker has them.
    pub(crate) async fn commit(
        &self,
        next_offsets: BTreeMap<TopicPartition, i64>,
    ) -> Result<(), Error> {
        let (answer, answered) = oneshot::channel();
        let committer = self
            .committer
            .get_or_init(|| committer(Arc::downgrade(&self.client)));
        // It is gone when the operating system had no thread for it. Then nobody answers.
        let _ = committer.send((next_offsets.clone(), answer));
        let result = match tokio::time::timeout(PATIENCE, answered).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(KafkaError::Canceled),
            Err(_) => Err(KafkaError::ConsumerCommit(
                RDKafkaErrorCode::OperationTimedOut,
            )),
        };
        result.map_err(|source| not_committed(&next_offsets, source))
    }

    /// What the group has committed for these partitions. None where it has committed nothing.
    pub(crate) async fn committed(
        &self,
        partitions: BTreeSet<TopicPartition>,
    ) -> Result<BTreeMap<TopicPartition, Option<i64>>, Error> {
        let client = Arc::clone(&self.client);
        tokio::task::spawn_blocking(move || {
            let list = assignment::list(&partitions);
            let committed = client
                .committed_offsets(list, PATIENCE)
                .map_err(|source| position("read the committed offset of", &partitions, source))?;
            let offset = |partition: &TopicPartition| match committed
                .find_partition(&partition.topic, partition.partition)?
                .offset()
            {
                Offset::Offset(offset) => Some(offset),
                _ => None,
            };
            Ok(partitions
                .iter()
                .map(|partition| (partition.clone(), offset(partition)))
                .collect())
        })
        .await?
    }

    /// The offsets between which the broker has records of this partition: the first one's, and that of the next one to
    /// be written.
    pub(crate) async fn watermarks(&self, partition: TopicPartition) -> Result<(i64, i64), Error> {
        let client = Arc::clone(&self.client);
        tokio::task::spawn_blocking(move || {
            client
                .fetch_watermarks(&partition.topic, partition.partition, PATIENCE)
                .map_err(|source| position("read the offsets of", [&partition], source))
        })
        .await?
    }

    /// Stops fetching. What librdkafka had fetched ahead is thrown away, and fetched again when it is resumed.
    pub(crate) fn pause<'a>(
        &self,
        partitions: impl IntoIterator<Item = &'a TopicPartition> + Clone,
    ) -> Result<(), Error> {
        let list = assignment::list(partitions.clone());
        self.client
            .pause(&list)
            .map_err(|source| position("pause", partitions, source))
    }

    pub(crate) fn resume<'a>(
        &self,
        partitions: impl IntoIterator<Item = &'a TopicPartition> + Clone,
    ) -> Result<(), Error> {
        let list = assignment::list(partitions.clone());
        self.client
            .resume(&list)
            .map_err(|source| position("resume", partitions, source))
    }

    /// Reads on from `offset`.
    pub(crate) async fn seek(&self, partition: TopicPartition, offset: i64) -> Result<(), Error> {
        let client = Arc::clone(&self.client);
        tokio::task::spawn_blocking(move || {
            let mut list = assignment::list([&partition]);
            list.set_partition_offset(
                &partition.topic,
                partition.partition,
                Offset::Offset(offset),
            )
            .and_then(|()| client.seek_partitions(list, PATIENCE))
            .and_then(|list| first_error(&list))
            .map_err(|source| position("move to another offset in", [&partition], source))
        })
        .await?
    }

    /// Gives partitions back that were [revoked](Change::Revoked).
    pub(crate) fn release(&self, partitions: &[TopicPartition]) {
        assignment::give_back(&*self.client, &assignment::list(partitions));
        self.assignments().released(partitions);
    }

    pub(crate) fn take_changes(&self) -> VecDeque<Change> {
        self.assignments().take_changes()
    }

    pub(crate) fn assignments(&self) -> &Assignments {
        self.client.context()
    }

    /// Leaves the group and returns when that is done, or when it takes too long.
    ///
    /// librdkafka has no bound on it: with cooperative-sticky, two members of one group that closed at the same moment were
    /// seen to wait for ever. Tokio waits for its own blocking threads before a program may end, so this is none of them.
    pub(crate) async fn close(self) -> Result<(), Error> {
        let (sender, closed) = oneshot::channel();
        // The last owner closes. A commit whose future was dropped may own a share for a moment longer: then the
        // group is left when its answer is there.
        let close = move || {
            drop(self);
            let _ = sender.send(());
        };
        if let Err(error) = thread::Builder::new().name("close".to_owned()).spawn(close) {
            // It was dropped instead, which has left the group too.
            warn!(%error, "no thread could be started that closes");
            return Ok(());
        }
        match tokio::time::timeout(CLOSE_PATIENCE, closed).await {
            Ok(_) => Ok(()),
            Err(_) => Err(Error::NotLeft {
                waited: CLOSE_PATIENCE,
            }),
        }
    }
}

/// Starts the thread that commits.
///
/// librdkafka's commit blocks its thread for a round trip to the group's coordinator and, when that is gone, for as long
/// as it stays away: minutes were seen. Tokio waits for the end of its own blocking threads before a program may end, so
/// this is none of them.
fn committer(client: Weak<StreamConsumer<Assignments>>) -> mpsc::Sender<Commit> {
    let (sender, commits) = mpsc::channel::<Commit>();
    let started = thread::Builder::new()
        .name("commit".to_owned())
        .spawn(move || {
            for (next_offsets, answer) in commits {
                let Some(client) = client.upgrade() else {
                    return;
                };
                let result = assignment::offsets(&next_offsets)
                    .and_then(|offsets| client.commit(&offsets, CommitMode::Sync));
                // Whoever gets the answer may close at once, and has to be the last owner then.
                drop(client);
                let _ = answer.send(result);
            }
        });
    if let Err(error) = started {
        warn!(%error, "no thread could be started that commits");
    }
    sender
}

impl Drop for Member {
    fn drop(&mut self) {
        // librdkafka leaves the group when all partitions are given back, and waits for those that it asked for.
        let unreleased = self.assignments().close();
        if !unreleased.is_empty() {
            debug!(?unreleased, "given back unfinished");
            assignment::give_back(&*self.client, &assignment::list(&unreleased));
        }
    }
}

impl fmt::Debug for Member {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Member")
            .field("owned", &self.assignments().owned())
            .finish_non_exhaustive()
    }
}

/// The error of a commit.
pub(crate) fn not_committed(
    next_offsets: &BTreeMap<TopicPartition, i64>,
    source: KafkaError,
) -> Error {
    let described = next_offsets
        .iter()
        .map(|(partition, offset)| format!("{offset} of {partition}"));
    Error::Commit {
        offsets: described.collect::<Vec<_>>().join(", "),
        source,
    }
}

/// The call as a whole succeeds even if it did nothing.
fn first_error(list: &rdkafka::TopicPartitionList) -> KafkaResult<()> {
    list.elements()
        .iter()
        .find_map(|element| element.error().err())
        .map_or(Ok(()), Err)
}

fn position<'a>(
    action: &'static str,
    partitions: impl IntoIterator<Item = &'a TopicPartition>,
    source: KafkaError,
) -> Error {
    let names = partitions.into_iter().map(TopicPartition::to_string);
    Error::Position {
        action,
        partitions: names.collect::<Vec<_>>().join(", "),
        source,
    }
}
