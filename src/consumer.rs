//! Read records as a member of a consumer group, commit what was processed, leave at once.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::{CommitMode, Consumer, StreamConsumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{Message, OwnedMessage};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use crate::Error;
use crate::config::BootstrapServers;

/// One member of a consumer group.
///
/// Dropping it leaves the group too, but blocks the thread while it does; [`close`](Self::close) does not.
pub struct RecordConsumer {
    /// Shared with the blocking thread of a commit while that lasts.
    client: Arc<StreamConsumer>,
}

/// What one call of [`RecordConsumer::next`] found.
#[derive(Debug)]
pub enum Polled {
    /// The next record of a partition that this member owns.
    Record(OwnedMessage),
    /// Everything that is in this partition has been read. Not an error: more may be written to it at any time.
    EndOfPartition(i32),
    /// The time was over before anything came.
    Nothing,
}

/// The settings, each with what goes wrong without it. Copy this function.
fn settings(servers: &BootstrapServers, group: &str) -> ClientConfig {
    let mut settings = ClientConfig::new();
    settings
        .set("bootstrap.servers", servers.as_str())
        .set("group.id", group)
        // Where a group starts that has committed nothing yet. With `latest`, the default, it never sees what was
        // written before its first member was assigned its partitions (row X15).
        .set("auto.offset.reset", "earliest")
        // Left on, a timer commits what was handed out, processed or not: a crash then loses records.
        .set("enable.auto.commit", "false")
        // Tells that a partition was read to its end, so that a program can stop there instead of guessing by time.
        .set("enable.partition.eof", "true")
        // A member that died keeps its partitions for this long. It is about dead processes only: slow work is
        // bounded by `max.poll.interval.ms` (KIP-62). 6 s is the least that a broker accepts by default
        // (`group.min.session.timeout.ms`).
        .set("session.timeout.ms", "6000")
        // Classic groups learn of a rebalance by their next heartbeat: at the default of 3 s every member waits for
        // so long each time another one joins or leaves. Keep it below a third of the session timeout.
        .set("heartbeat.interval.ms", "500")
        // The broker holds an answer back until there is a new record, or for this long. The end of a partition shows
        // only in an answer without records, so at the default of 500 ms every reader to the end waits half a second.
        .set("fetch.wait.max.ms", "100")
        // When 100,000 records wait in the local queue, fetching pauses for this long. At librdkafka's default of
        // 1,000 ms a consumer of small records sleeps through most of each second.
        .set("fetch.queue.backoff.ms", "1");
    settings
}

impl RecordConsumer {
    /// Creates a member of `group` that reads `topic`. It joins in the background, once [`next`](Self::next) is called.
    ///
    /// # Errors
    ///
    /// - [`Error::Client`] when librdkafka refuses a setting
    /// - [`Error::Subscribe`] when it refuses the topic's name
    pub fn new(servers: &BootstrapServers, group: &str, topic: &str) -> Result<Self, Error> {
        let client: StreamConsumer =
            settings(servers, group)
                .create()
                .map_err(|source| Error::Client {
                    client: "consumer",
                    source,
                })?;
        client
            .subscribe(&[topic])
            .map_err(|source| Error::Subscribe {
                topic: topic.to_owned(),
                source,
            })?;
        Ok(Self {
            client: Arc::new(client),
        })
    }

    /// Waits up to `patience` for a record or the end of a partition.
    ///
    /// Call it again and again: it is also what tells the group that this member is alive
    /// (`max.poll.interval.ms`, KIP-62). Dropping the future loses nothing.
    ///
    /// # Errors
    ///
    /// [`Error::Receive`]. The next call may succeed: librdkafka goes on trying by itself.
    pub async fn next(&self, patience: Duration) -> Result<Polled, Error> {
        match tokio::time::timeout(patience, self.client.recv()).await {
            Ok(Ok(record)) => Ok(Polled::Record(record.detach())),
            Ok(Err(KafkaError::PartitionEOF(partition))) => Ok(Polled::EndOfPartition(partition)),
            Ok(Err(source)) => Err(Error::Receive { source }),
            Err(_) => Ok(Polled::Nothing),
        }
    }

    /// Stores that `processed` and everything before it in its partition is done, and waits until the broker has it.
    /// A member that takes the partition over starts at the record after it.
    ///
    /// # Errors
    ///
    /// [`Error::Commit`]: after a restart the group reads from the offset that was committed before.
    pub async fn commit(&self, processed: &OwnedMessage) -> Result<(), Error> {
        // An offset is the address of the next record to read, not of the last one that was read.
        let next_offset = processed.offset() + 1;
        let failed = |source| Error::Commit {
            topic: processed.topic().to_owned(),
            partition: processed.partition(),
            offset: next_offset,
            source,
        };
        let mut offsets = TopicPartitionList::new();
        offsets
            .add_partition_offset(
                processed.topic(),
                processed.partition(),
                Offset::Offset(next_offset),
            )
            .map_err(failed)?;
        let client = Arc::clone(&self.client);
        // Blocks its thread for a round trip to the group's coordinator.
        tokio::task::spawn_blocking(move || client.commit(&offsets, CommitMode::Sync))
            .await?
            .map_err(failed)
    }

    /// Leaves the group and returns when that is done, so that the other members take the partitions over now and
    /// not when the session times out. Nothing is committed here.
    ///
    /// # Errors
    ///
    /// [`Error::Interrupted`] when the runtime is shutting down.
    pub async fn close(self) -> Result<(), Error> {
        // The last owner closes. A commit whose future was dropped may own a share for a moment longer: then the
        // group is left when its answer is there.
        Ok(tokio::task::spawn_blocking(move || drop(self)).await?)
    }
}

impl fmt::Debug for RecordConsumer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("RecordConsumer")
            .finish_non_exhaustive()
    }
}
