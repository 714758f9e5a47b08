//! Bring a topic into being.
//!
//! Creating it by hand, with a number of partitions that somebody thought about, beats auto-creation: the number of
//! partitions is the upper limit of a group's parallelism, and adding some later moves keys to other partitions.

use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use uuid::Uuid;

use crate::Error;
use crate::config::Cluster;

/// Ask the broker for its `default.replication.factor` (KIP-464, Apache Kafka 2.4). A fixed 3 fails on a cluster of
/// one broker (row X7), and a fixed 1 loses data on a cluster of three.
const REPLICATION_OF_THE_CLUSTER: TopicReplication<'static> = TopicReplication::Fixed(-1);

/// How long creation and the election of the leaders may take together.
const PATIENCE: Duration = Duration::from_secs(10);

/// Between two looks at a topic whose leaders are not known yet.
const PAUSE: Duration = Duration::from_millis(20);

/// A topic that exists and can be written to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadyTopic {
    /// Its name.
    pub name: String,
    /// How many partitions it has: those asked for, or those it had before.
    pub partitions: usize,
    /// False when it was there already, also when another process created it a moment earlier.
    pub created: bool,
}

/// Creates `topic` unless it exists, and returns once every partition has a leader.
///
/// Any number of processes may call this at the same moment: the broker lets one of them create the topic, and
/// "it exists already" is success for the others. A topic that exists keeps its partitions.
///
/// # Errors
///
/// - [`Error::TopicNotCreated`] when the broker refuses: a bad name, no partitions, not allowed
/// - [`Error::TopicRequest`] when the cluster cannot be reached
/// - [`Error::TopicNotReady`] when leaders are still missing after ten seconds
pub async fn ensure_topic(
    cluster: &Cluster,
    topic: &str,
    partitions: i32,
) -> Result<ReadyTopic, Error> {
    let admin: AdminClient<DefaultClientContext> =
        cluster
            .client_config()?
            .create()
            .map_err(|source| Error::Client {
                client: "admin client",
                source,
            })?;

    let deadline = Instant::now() + PATIENCE;
    let created = create(&admin, topic, partitions).await?;
    let name = topic.to_owned();
    tokio::task::spawn_blocking(move || wait_for_leaders(&admin, name, created, deadline)).await?
}

/// A name that nobody else uses, such as `example-01-3f9a1c7e`. Every example and test takes a topic and a group of its
/// own, so that what an earlier run left behind changes nothing.
pub fn unique_name(prefix: &str) -> String {
    let (random, ..) = Uuid::new_v4().as_fields();
    format!("{prefix}-{random:08x}")
}

/// True when this call created the topic, false when it was there.
async fn create(
    admin: &AdminClient<DefaultClientContext>,
    topic: &str,
    partitions: i32,
) -> Result<bool, Error> {
    let request_failed = |source| Error::TopicRequest {
        topic: topic.to_owned(),
        source,
    };
    let wanted = NewTopic::new(topic, partitions, REPLICATION_OF_THE_CLUSTER);
    // Without this bound a request to a cluster that is not there fails after a minute (`socket.timeout.ms`).
    let options = AdminOptions::new().request_timeout(Some(PATIENCE));
    let results = admin
        .create_topics([&wanted], &options)
        .await
        .map_err(request_failed)?;
    match results.into_iter().next() {
        Some(Ok(_)) => Ok(true),
        Some(Err((_, RDKafkaErrorCode::TopicAlreadyExists))) => Ok(false),
        Some(Err((_, code))) => Err(Error::TopicNotCreated {
            topic: topic.to_owned(),
            code,
        }),
        None => Err(request_failed(KafkaError::AdminOp(
            RDKafkaErrorCode::BadMessage,
        ))),
    }
}

/// The controller answers when it has recorded the topic; a broker learns of it a moment later. Whoever produces or
/// subscribes in between is told that the topic does not exist.
fn wait_for_leaders(
    admin: &AdminClient<DefaultClientContext>,
    topic: String,
    created: bool,
    deadline: Instant,
) -> Result<ReadyTopic, Error> {
    loop {
        let remaining = deadline.saturating_duration_since(Instant::now());
        let metadata = match admin
            .inner()
            .fetch_metadata(Some(&topic), remaining.max(PAUSE))
        {
            Ok(metadata) => metadata,
            Err(source) => return Err(Error::TopicRequest { topic, source }),
        };
        let partitions = metadata
            .topics()
            .first()
            .map_or(&[][..], |found| found.partitions());
        if !partitions.is_empty() && partitions.iter().all(|partition| partition.leader() >= 0) {
            return Ok(ReadyTopic {
                partitions: partitions.len(),
                name: topic,
                created,
            });
        }
        if remaining.is_zero() {
            return Err(Error::TopicNotReady {
                topic,
                waited: PATIENCE,
            });
        }
        std::thread::sleep(PAUSE);
    }
}
