//! How far a consumer group is behind, asked of the cluster: the group's committed offset in each partition against the
//! end of its log.
//!
//! A consumer's own statistics say less. librdkafka learns where a log ends from the answers to its fetches, so the lag of
//! a partition that is paused stands still, and so does that of one whose records wait in the client. A consumer that
//! died says nothing at all, when its lag matters most. The cluster knows in each of these cases, and so does anybody who
//! asks it: no member of the group is needed.
//!
//! ```no_run
//! # async fn example() -> Result<(), kafka_event_streaming::Error> {
//! use kafka_event_streaming::config::Cluster;
//! use kafka_event_streaming::lag::LagMeter;
//!
//! let meter = LagMeter::new(&Cluster::from_environment()?, "shipping", "payments")?;
//! for progress in meter.measure().await? {
//!     println!("partition {}: {} records behind", progress.partition, progress.lag());
//! }
//! # Ok(())
//! # }
//! ```

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaResult;
use rdkafka::{Offset, TopicPartitionList};

use crate::Error;
use crate::config::{Cluster, ConsumerSettings};
use crate::topics;

/// How long each question to the cluster may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// How far a group is in one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// The partition.
    pub partition: i32,
    /// The oldest offset that is still there.
    pub first: i64,
    /// The offset that the next record will get.
    pub end: i64,
    /// The next offset that the group wants to read, if it ever said so.
    pub committed: Option<i64>,
}

impl Progress {
    /// How many records are there, read or not.
    pub fn records(&self) -> i64 {
        self.end - self.first
    }

    /// What is there and not yet committed. Of a group that has committed nothing: all of it, which is what it would read
    /// from the beginning.
    pub fn lag(&self) -> i64 {
        let next = self.committed.unwrap_or(self.first).max(self.first);
        (self.end - next).max(0)
    }

    /// An offset that retention removed, or that was never written: the group starts where its reset policy says.
    pub fn is_out_of_range(&self) -> bool {
        self.committed
            .is_some_and(|offset| offset < self.first || offset > self.end)
    }
}

/// Measures how far a group is behind in a topic. It is no member of the group, and changes nothing.
pub struct LagMeter {
    /// Has the group's name, which is all that a question for its offsets needs.
    client: Arc<BaseConsumer>,
    topic: Arc<str>,
}

impl LagMeter {
    /// Creates the client that asks. It connects in the background.
    ///
    /// # Errors
    ///
    /// [`Error::Setting`] and [`Error::Client`] as for any client.
    pub fn new(cluster: &Cluster, group: &str, topic: &str) -> Result<Self, Error> {
        let client = ConsumerSettings::reliable(group)
            .client_config(cluster)?
            .create()
            .map_err(|source| Error::Client {
                client: "consumer that measures lag",
                source,
            })?;
        Ok(Self {
            client: Arc::new(client),
            topic: topic.into(),
        })
    }

    /// How far the group is in each partition at this moment.
    ///
    /// # Errors
    ///
    /// [`Error::TopicRequest`] when there is no such topic, or the cluster does not answer within five seconds.
    pub async fn measure(&self) -> Result<Vec<Progress>, Error> {
        let (client, topic) = (Arc::clone(&self.client), Arc::clone(&self.topic));
        // librdkafka's questions block.
        let measured = tokio::task::spawn_blocking(move || {
            let partitions = topics::partitions(&*client, &topic, PATIENCE)?;
            progress(&client, &topic, partitions.into_iter())
        });
        measured.await?.map_err(|source| Error::TopicRequest {
            topic: self.topic.to_string(),
            source,
        })
    }
}

impl fmt::Debug for LagMeter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("LagMeter")
            .field("topic", &self.topic)
            .finish_non_exhaustive()
    }
}

/// How far the client's group is in these partitions. Blocks its thread for a round trip each.
pub(crate) fn progress(
    client: &BaseConsumer,
    topic: &str,
    partitions: impl Iterator<Item = i32>,
) -> KafkaResult<Vec<Progress>> {
    let mut wanted = TopicPartitionList::new();
    for partition in partitions {
        wanted.add_partition(topic, partition);
    }
    // Before the ends: what is written and committed in between counts as lag a moment longer. The other way round a group
    // would be ahead of the log.
    let committed = client.committed_offsets(wanted, PATIENCE)?;
    let of_partition = |partition: i32, offset| {
        let (first, end) = client.fetch_watermarks(topic, partition, PATIENCE)?;
        Ok(Progress {
            partition,
            first,
            end,
            committed: match offset {
                Offset::Offset(offset) => Some(offset),
                _ => None,
            },
        })
    };
    let elements = committed.elements();
    let elements = elements.iter();
    elements
        .map(|found| of_partition(found.partition(), found.offset()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lag(first: i64, end: i64, committed: Option<i64>) -> i64 {
        let progress = Progress {
            partition: 0,
            first,
            end,
            committed,
        };
        progress.lag()
    }

    #[test]
    fn lag_is_what_is_there_and_not_committed() {
        assert_eq!(lag(0, 10, Some(7)), 3);
        assert_eq!(lag(0, 10, Some(10)), 0);
        // Nothing committed: everything that is left.
        assert_eq!(lag(4, 10, None), 6);
        // Retention was faster than the group.
        assert_eq!(lag(4, 10, Some(2)), 6);
        // Written and committed between the two questions.
        assert_eq!(lag(0, 10, Some(12)), 0);
    }
}
