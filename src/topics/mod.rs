//! Bring topics into being.
//!
//! Creating one by hand, with a number of partitions that somebody thought about, beats auto-creation: the number of
//! partitions is the upper limit of a group's parallelism, and adding some later moves keys to other partitions. And a
//! service that reads creates its topic before it subscribes, or it misses what is written in between (row X15).
//!
//! ```no_run
//! # async fn start() -> Result<(), kafka_event_streaming::Error> {
//! use kafka_event_streaming::config::Cluster;
//! use kafka_event_streaming::topics::{Tier, TopicDesign, ensure_topics};
//!
//! let cluster = Cluster::from_environment()?;
//! let [error, dead_letter] = TopicDesign::of_service(cluster.service());
//! let orders = TopicDesign::new("shop.order", Tier::Standard).with_partitions(12);
//! for topic in ensure_topics(&cluster, &[orders, error, dead_letter]).await? {
//!     println!("{} has {} partitions", topic.name, topic.partitions);
//! }
//! # Ok(())
//! # }
//! ```

mod design;
mod names;

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};

pub use design::{Tier, TopicDesign};
pub use names::{dead_letter_topic, error_topic, event_topic, unique_name};

use crate::Error;
use crate::config::Cluster;
use crate::error_kind::{Classify, ErrorKind};

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

type Admin = AdminClient<DefaultClientContext>;

/// Creates a topic of the standard tier with so many partitions, as [`ensure_topics`] does.
///
/// # Errors
///
/// As [`ensure_topics`].
pub async fn ensure_topic(
    cluster: &Cluster,
    topic: &str,
    partitions: i32,
) -> Result<ReadyTopic, Error> {
    let design = TopicDesign::new(topic, Tier::Standard).with_partitions(partitions);
    let (client, brokers) = connect(cluster, topic).await?;
    ensure(&client, design, brokers).await
}

/// Creates the topics that do not exist, and returns once every partition of each has a leader.
///
/// Any number of processes may call this at the same moment: the broker lets one of them create a topic, and
/// "it exists already" is success for the others. A topic that exists is left as it is; a warning is logged when it has
/// another number of partitions than its design.
///
/// # Errors
///
/// - [`Error::TopicNotCreated`] when the broker refuses: a bad name, no partitions, not allowed. Topics named before
///   that one exist then, and calling again does no harm.
/// - [`Error::TopicRequest`] when the cluster cannot be reached
/// - [`Error::TopicNotReady`] when leaders are still missing after ten seconds
pub async fn ensure_topics(
    cluster: &Cluster,
    designs: &[TopicDesign],
) -> Result<Vec<ReadyTopic>, Error> {
    let Some(first) = designs.first() else {
        return Ok(Vec::new());
    };
    let (client, brokers) = connect(cluster, &first.name).await?;
    let mut topics = Vec::with_capacity(designs.len());
    for design in designs {
        topics.push(ensure(&client, design.clone(), brokers).await?);
    }
    Ok(topics)
}

/// Deletes a topic with all its records. One that is not there is deleted already.
///
/// # Errors
///
/// [`Error::TopicRequest`] when the cluster cannot be reached, or does not allow it (`delete.topic.enable`).
pub async fn delete_topic(cluster: &Cluster, topic: &str) -> Result<(), Error> {
    let (client, _) = connect(cluster, topic).await?;
    let options = AdminOptions::new().request_timeout(Some(PATIENCE));
    let results = client
        .delete_topics(&[topic], &options)
        .await
        .map_err(|source| request_failed(topic, source))?;
    match results.into_iter().next() {
        None | Some(Ok(_) | Err((_, RDKafkaErrorCode::UnknownTopicOrPartition))) => Ok(()),
        Some(Err((_, code))) => Err(request_failed(topic, KafkaError::AdminOp(code))),
    }
}

/// A client, and how many brokers the cluster has. Those that are away right now are not counted: it is as many copies
/// as can be made.
async fn connect(cluster: &Cluster, topic: &str) -> Result<(Arc<Admin>, usize), Error> {
    let client: Admin = cluster
        .client_config()?
        .create()
        .map_err(|source| Error::Client {
            client: "admin client",
            source,
        })?;
    let client = Arc::new(client);
    let asked = Arc::clone(&client);
    // Asked about all topics and not about one: to be asked about a topic that does not exist makes brokers create it,
    // with their own number of partitions.
    let answer =
        tokio::task::spawn_blocking(move || asked.inner().fetch_metadata(None, PATIENCE)).await?;
    let metadata = answer.map_err(|source| request_failed(topic, source))?;
    Ok((client, metadata.brokers().len()))
}

/// The numbers of a topic's partitions. Blocks its thread for a round trip.
pub(crate) fn partitions<X: ConsumerContext>(
    client: &impl Consumer<X>,
    topic: &str,
    patience: Duration,
) -> KafkaResult<Vec<i32>> {
    let metadata = client.fetch_metadata(Some(topic), patience)?;
    let found = metadata.topics().first();
    if let Some(error) = found.and_then(|topic| topic.error()) {
        return Err(KafkaError::MetadataFetch(error.into()));
    }
    let partitions = found.map_or(&[][..], |topic| topic.partitions());
    Ok(partitions.iter().map(|partition| partition.id()).collect())
}

async fn ensure(
    client: &Arc<Admin>,
    design: TopicDesign,
    brokers: usize,
) -> Result<ReadyTopic, Error> {
    let deadline = Instant::now() + PATIENCE;
    let created = loop {
        match create(client, &design, brokers).await {
            Ok(created) => break created,
            // A controller that has just been elected, or a broker that is about to know it.
            Err(error) if error.kind() == ErrorKind::Transient && Instant::now() < deadline => {
                tracing::debug!(topic = design.name, %error, "creating the topic is tried again");
                tokio::time::sleep(PAUSE).await;
            }
            Err(error) => return Err(error),
        }
    };
    let client = Arc::clone(client);
    tokio::task::spawn_blocking(move || wait_for_leaders(&client, &design, created, deadline))
        .await?
}

/// True when this call created the topic, false when it was there.
async fn create(client: &Admin, design: &TopicDesign, brokers: usize) -> Result<bool, Error> {
    let settings = design.settings(brokers);
    let request = design.request(brokers, &settings);
    // Without this bound a request to a cluster that is not there fails after a minute (`socket.timeout.ms`).
    let options = AdminOptions::new().request_timeout(Some(PATIENCE));
    let results = client
        .create_topics([&request], &options)
        .await
        .map_err(|source| request_failed(&design.name, source))?;
    match results.into_iter().next() {
        Some(Ok(_)) => Ok(true),
        Some(Err((_, RDKafkaErrorCode::TopicAlreadyExists))) => Ok(false),
        Some(Err((_, code))) => Err(Error::TopicNotCreated {
            topic: design.name.clone(),
            code,
        }),
        None => Err(request_failed(
            &design.name,
            KafkaError::AdminOp(RDKafkaErrorCode::BadMessage),
        )),
    }
}

/// The controller answers when it has recorded the topic; a broker learns of it a moment later. Whoever produces or
/// subscribes in between is told that the topic does not exist.
fn wait_for_leaders(
    client: &Admin,
    design: &TopicDesign,
    created: bool,
    deadline: Instant,
) -> Result<ReadyTopic, Error> {
    let topic = &design.name;
    loop {
        let remaining = deadline.saturating_duration_since(Instant::now());
        let metadata = client
            .inner()
            .fetch_metadata(Some(topic), remaining.max(PAUSE))
            .map_err(|source| request_failed(topic, source))?;
        let partitions = metadata
            .topics()
            .first()
            .map_or(&[][..], |found| found.partitions());
        if !partitions.is_empty() && partitions.iter().all(|partition| partition.leader() >= 0) {
            if i32::try_from(partitions.len()) != Ok(design.partitions) {
                tracing::warn!(
                    topic,
                    partitions = partitions.len(),
                    designed = design.partitions,
                    "the topic has another number of partitions than its design, and keeps it"
                );
            }
            return Ok(ReadyTopic {
                name: topic.clone(),
                partitions: partitions.len(),
                created,
            });
        }
        if remaining.is_zero() {
            return Err(Error::TopicNotReady {
                topic: topic.clone(),
                waited: PATIENCE,
            });
        }
        std::thread::sleep(PAUSE);
    }
}

fn request_failed(topic: &str, source: KafkaError) -> Error {
    Error::TopicRequest {
        topic: topic.to_owned(),
        source,
    }
}
