//! Read records as a member of a consumer group, commit what was processed, leave at once.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::{CommitMode, Consumer, StreamConsumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{Message, OwnedMessage};
use rdkafka::{Offset, TopicPartitionList};

use crate::Error;
use crate::config::{Cluster, ConsumerSettings};

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

impl RecordConsumer {
    /// Creates a member of the group that reads `topics`. It joins in the background, once [`next`](Self::next) is
    /// called.
    ///
    /// # Errors
    ///
    /// - [`Error::Setting`] when TLS is asked for and was not built in
    /// - [`Error::Client`] when librdkafka refuses a setting
    /// - [`Error::Subscribe`] when it refuses a topic's name
    pub fn new(
        cluster: &Cluster,
        settings: &ConsumerSettings,
        topics: &[&str],
    ) -> Result<Self, Error> {
        let client: StreamConsumer =
            settings
                .client_config(cluster)?
                .create()
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
