//! Everything that stands in a topic right now, read without joining a group.
//!
//! For programs that look at a topic as a whole: to count what arrived, to build a table from a changelog. Nothing is
//! committed and no partition is taken from anybody.
//!
//! ```no_run
//! # async fn example() -> Result<(), kafka_event_streaming::Error> {
//! use kafka_event_streaming::config::{Cluster, IsolationLevel};
//! use kafka_event_streaming::topic_contents;
//! use rdkafka::Message;
//!
//! let cluster = Cluster::from_environment()?;
//! let mut bytes = 0;
//! let count = topic_contents::read(&cluster, "orders", IsolationLevel::ReadCommitted, |record| {
//!     bytes += record.payload_len();
//! })
//! .await?;
//! println!("{count} records, {bytes} bytes");
//! # Ok(())
//! # }
//! ```

use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::{Consumer, StreamConsumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::BorrowedMessage;
use rdkafka::{Offset, TopicPartitionList};
use tokio::time::Instant;

use crate::Error;
use crate::config::{Cluster, ConsumerSettings, IsolationLevel};
use crate::error_kind::{Classify, ErrorKind};
use crate::topics;

/// The longest wait for the next record or end of a partition.
const PATIENCE: Duration = Duration::from_secs(10);

/// Calls `visit` with each record of the topic, from the first one of each partition to the end that it had when it was
/// reached, and returns how many they were. Within a partition they come in order; the partitions mix.
///
/// To a reader of committed records a partition ends where the first open transaction begins.
///
/// # Errors
///
/// - [`Error::TopicRequest`] when the cluster does not say which partitions there are, or there is no such topic
/// - [`Error::Receive`] when reading fails, or nothing comes for ten seconds
/// - [`Error::Setting`] and [`Error::Client`] as for any client
pub async fn read(
    cluster: &Cluster,
    topic: &str,
    isolation: IsolationLevel,
    mut visit: impl FnMut(&BorrowedMessage<'_>),
) -> Result<u64, Error> {
    let settings = ConsumerSettings {
        isolation,
        partition_end: true,
        // librdkafka asks for a group's name, though this joins none.
        ..ConsumerSettings::reliable(&topics::unique_name("topic-contents"))
    };
    let config = settings.client_config(cluster)?;
    let reader: StreamConsumer = config.create().map_err(|source| Error::Client {
        client: "consumer",
        source,
    })?;
    let reader = Arc::new(reader);
    let mut unread = assign_all(Arc::clone(&reader), topic.to_owned()).await?;
    let mut count = 0;
    let mut deadline = Instant::now() + PATIENCE;
    while unread > 0 {
        let received = tokio::time::timeout_at(deadline, reader.recv()).await;
        let nothing = KafkaError::MessageConsumption(RDKafkaErrorCode::OperationTimedOut);
        match received.unwrap_or(Err(nothing)) {
            Ok(record) => {
                visit(&record);
                count += 1;
            }
            Err(KafkaError::PartitionEOF(_)) => unread -= 1,
            // librdkafka connects again by itself. The deadline stays where it is.
            Err(error) if error.kind() == ErrorKind::Transient && Instant::now() < deadline => {
                tracing::debug!(topic, %error, "reading goes on");
                continue;
            }
            Err(source) => return Err(Error::Receive { source }),
        }
        deadline = Instant::now() + PATIENCE;
    }
    Ok(count)
}

/// Has `reader` read every partition from its first record, and says how many they are. A consumer that assigns
/// partitions to itself is in no group.
async fn assign_all(reader: Arc<StreamConsumer>, topic: String) -> Result<usize, Error> {
    // Blocks its thread for a round trip.
    tokio::task::spawn_blocking(move || {
        let assign = || -> KafkaResult<usize> {
            let mut partitions = TopicPartitionList::new();
            for partition in topics::partitions(&*reader, &topic, PATIENCE)? {
                partitions.add_partition_offset(&topic, partition, Offset::Beginning)?;
            }
            reader.assign(&partitions)?;
            Ok(partitions.count())
        };
        let assigned = assign();
        assigned.map_err(|source| Error::TopicRequest { topic, source })
    })
    .await?
}
