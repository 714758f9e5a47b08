//! Read a partition of the changelog, to its end, before the first record of its input is processed.
//!
//! Which end? The former owner may be in the middle of committing: its offsets count already, and the mark that says so is
//! still on its way to the changelog. A reader of committed records would stop in front of that batch, and go on with
//! totals that lack it. So the end is the one that readers of uncommitted records see, and everything before it has to be
//! decided first. That is enough, since a processor adds offsets to its transaction only when its records are written
//! (see [`transaction`](crate::transaction)), and since the group lets nobody add offsets who is no member any more.

use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::topic_partition_list::Offset;
use rdkafka::{ClientConfig, TopicPartitionList};

use super::changelog::ChangelogError;
use crate::Error;
use crate::assignment::TopicPartition;
use crate::config::{Cluster, ConsumerSettings, IsolationLevel};
use crate::error_kind::{Classify, ErrorKind};

/// How long one request may take.
const REQUEST: Duration = Duration::from_secs(5);

/// Between two looks at a transaction that is still open, or at a broker that does not answer.
const PAUSE: Duration = Duration::from_millis(20);

/// A broker looks only every ten seconds for transactions that have taken too long
/// (`transaction.abort.timed.out.transaction.cleanup.interval.ms`); and then it has to end them.
const BROKERS_DELAY: Duration = Duration::from_secs(20);

/// Reads changelogs. Not a member of any group: it reads the partitions that it is told to, from their beginning.
pub(super) struct Restorer {
    topic: String,
    /// For what is in the log, decided or not.
    uncommitted: ClientConfig,
    /// For what was committed.
    committed: ClientConfig,
    /// How long a transaction of a process that died may stay open.
    patience: Duration,
}

impl Restorer {
    pub(super) fn new(
        cluster: &Cluster,
        consumer: &ConsumerSettings,
        topic: &str,
        transaction_timeout: Duration,
    ) -> Result<Self, Error> {
        let settings = |isolation| ConsumerSettings {
            isolation,
            // A log that is there is read in large pieces anyway. To wait for more would only hold up the last answer of
            // each partition, the one that says that this is its end; and the service stands still until then.
            fetch_wait: PAUSE,
            ..ConsumerSettings::reliable(&format!("{}-restore", consumer.group))
        };
        let config = |isolation| settings(isolation).client_config(cluster);
        Ok(Self {
            topic: topic.to_owned(),
            uncommitted: config(IsolationLevel::ReadUncommitted)?,
            committed: config(IsolationLevel::ReadCommitted)?,
            patience: transaction_timeout + BROKERS_DELAY,
        })
    }

    /// Hands every committed record of these partitions to `apply`. Blocks.
    pub(super) fn restore(
        &self,
        partitions: &[i32],
        mut apply: impl FnMut(&BorrowedMessage<'_>) -> Result<(), ChangelogError>,
    ) -> Result<(), Error> {
        let reader = create(&self.committed)?;
        let filled = self.wait_until_decided(&reader, partitions)?;
        let mut list = TopicPartitionList::new();
        for partition in &filled {
            list.add_partition_offset(&self.topic, *partition, Offset::Beginning)
                .map_err(|source| self.failed(*partition, source))?;
        }
        let mut unread: BTreeSet<i32> = filled.into_iter().collect();
        reader.assign(&list).map_err(receive)?;
        let mut silent_since = Instant::now();
        while let Some(first) = unread.first().copied() {
            match reader.poll(REQUEST) {
                Some(Ok(record)) => {
                    silent_since = Instant::now();
                    apply(&record).map_err(|source| self.refused(record.partition(), source))?;
                }
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    unread.remove(&partition);
                }
                Some(Err(error)) if error.kind() != ErrorKind::Transient => {
                    return Err(receive(error));
                }
                Some(Err(error)) => tracing::warn!(%error, "could not read the changelog"),
                None => {}
            }
            if silent_since.elapsed() > self.patience {
                let silence = KafkaError::NoMessageReceived;
                return Err(self.failed(first, silence));
            }
        }
        Ok(())
    }

    /// Waits until everything that is in the partitions now was committed or aborted. Returns those that are not empty.
    fn wait_until_decided(
        &self,
        reader: &BaseConsumer,
        partitions: &[i32],
    ) -> Result<Vec<i32>, Error> {
        let everything = create(&self.uncommitted)?;
        let deadline = Instant::now() + self.patience;
        let mut filled = Vec::new();
        for &partition in partitions {
            let (first, end) = self.ends(&everything, partition, deadline)?;
            if first < end {
                filled.push((partition, end));
            }
        }
        for (partition, end) in &filled {
            while self.ends(reader, *partition, deadline)?.1 < *end {
                if Instant::now() > deadline {
                    let waited = self.patience;
                    return Err(self.refused(*partition, ChangelogError::Undecided { waited }));
                }
                thread::sleep(PAUSE);
            }
        }
        Ok(filled.into_iter().map(|(partition, _)| partition).collect())
    }

    /// The offsets of the first record and behind the last one that `client` may see.
    fn ends(
        &self,
        client: &BaseConsumer,
        partition: i32,
        deadline: Instant,
    ) -> Result<(i64, i64), Error> {
        loop {
            match client.fetch_watermarks(&self.topic, partition, REQUEST) {
                Ok(ends) => return Ok(ends),
                Err(error) if error.kind() != ErrorKind::Transient || Instant::now() > deadline => {
                    return Err(self.failed(partition, error));
                }
                Err(error) => {
                    tracing::warn!(%error, partition, "could not ask for the changelog's end");
                    thread::sleep(PAUSE);
                }
            }
        }
    }

    fn failed(&self, partition: i32, source: KafkaError) -> Error {
        Error::Position {
            action: "restore the state from",
            partitions: TopicPartition::new(self.topic.as_str(), partition).to_string(),
            source,
        }
    }

    fn refused(&self, partition: i32, source: ChangelogError) -> Error {
        Error::Changelog {
            partition: TopicPartition::new(self.topic.as_str(), partition),
            source,
        }
    }
}

fn create(config: &ClientConfig) -> Result<BaseConsumer, Error> {
    let created: KafkaResult<BaseConsumer> = config.create();
    created.map_err(|source| Error::Client {
        client: "consumer of the changelog",
        source,
    })
}

fn receive(source: KafkaError) -> Error {
    Error::Receive { source }
}
