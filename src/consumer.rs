//! Read records as a member of a consumer group, commit what was processed, leave at once.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::message::{Message, OwnedMessage};

use crate::Error;
pub use crate::assignment::RebalanceObserver;
use crate::assignment::{Revocation, TopicPartition};
use crate::config::{Cluster, ConsumerSettings};
use crate::member::{Arrival, Member};

/// One member of a consumer group that reads records as bytes. For events of a type, see
/// [`EventConsumer`](crate::event_consumer::EventConsumer).
///
/// Dropping it leaves the group too, but blocks the thread while it does; [`close`](Self::close) does not.
pub struct RecordConsumer {
    member: Member,
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
        Self::join(cluster, settings, topics, None)
    }

    /// Creates a member whose partitions somebody looks at as they come and go.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn observed(
        cluster: &Cluster,
        settings: &ConsumerSettings,
        topics: &[&str],
        observer: Arc<dyn RebalanceObserver>,
    ) -> Result<Self, Error> {
        Self::join(cluster, settings, topics, Some(observer))
    }

    fn join(
        cluster: &Cluster,
        settings: &ConsumerSettings,
        topics: &[&str],
        observer: Option<Arc<dyn RebalanceObserver>>,
    ) -> Result<Self, Error> {
        Ok(Self {
            member: Member::join(cluster, settings, topics, Revocation::AtOnce, observer)?,
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
        Ok(match self.member.receive(patience).await? {
            Arrival::Record(record) => Polled::Record(record.detach()),
            Arrival::End(partition) => Polled::EndOfPartition(partition),
            Arrival::Nothing => Polled::Nothing,
        })
    }

    /// Stores that `processed` and everything before it in its partition is done, and waits until the broker has it.
    /// A member that takes the partition over starts at the record after it.
    ///
    /// # Errors
    ///
    /// [`Error::Commit`]: after a restart the group reads from the offset that was committed before.
    pub async fn commit(&self, processed: &OwnedMessage) -> Result<(), Error> {
        let partition = TopicPartition::new(processed.topic(), processed.partition());
        // An offset is the address of the next record to read, not of the last one that was read.
        let next_offset = processed.offset() + 1;
        self.member
            .commit(BTreeMap::from([(partition, next_offset)]))
            .await
    }

    /// Leaves the group and returns when that is done, so that the other members take the partitions over now and
    /// not when the session times out. Nothing is committed here.
    ///
    /// # Errors
    ///
    /// [`Error::NotLeft`] when that takes longer than 30 seconds.
    pub async fn close(self) -> Result<(), Error> {
        self.member.close().await
    }
}

impl fmt::Debug for RecordConsumer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("RecordConsumer")
            .finish_non_exhaustive()
    }
}
