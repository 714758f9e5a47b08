//! Send dead letters back to where they came from, when the cause is mended.
//!
//! Each one goes to the partition that it was read from, with its own key, payload, headers and timestamp, and without
//! the headers of [`dead_letter`](crate::dead_letter). It comes behind everything that was written there meanwhile: its
//! place in the order is lost, so handlers have to bear late events.
//!
//! It may be stopped and started again at any time. Offsets are committed after delivery, so none is lost; those that were
//! sent since the last commit are sent again.

use std::collections::{BTreeMap, BTreeSet};
use std::str;
use std::time::Duration;

use rdkafka::message::{BorrowedMessage, Header};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::Error;
use crate::assignment::{Revocation, TopicPartition};
use crate::config::{Cluster, ConsumerSettings};
use crate::consumed_record::ConsumedRecord;
use crate::dead_letter::{self, Origin};
use crate::member::{Arrival, Member};
use crate::producer::{PendingDelivery, Record, RecordProducer};

/// How often this record was sent back, in decimal. A record that comes back again and again is not mended.
pub const REDRIVEN_HEADER: &str = "redriven";

/// How many dead letters are sent before their reports are awaited and a commit follows. After a crash no more than these
/// are sent again.
const BATCH: usize = 500;

/// How long a member may be without partitions before it is taken that others have them all.
const PATIENCE: Duration = Duration::from_secs(30);

/// One wait for a dead letter.
const POLL: Duration = Duration::from_millis(100);

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Redriven {
    /// How many records were sent back, by topic.
    pub sent: BTreeMap<String, u64>,
    /// Records in the topic that are no dead letters of this library. They stay where they are, and are passed over.
    pub foreign: u64,
}

impl Redriven {
    /// How many records were sent back to all topics together.
    pub fn total(&self) -> u64 {
        self.sent.values().sum()
    }
}

/// Sends every dead letter back that `topic` has now and `group` has not read before. Those that come meanwhile are left for
/// the next time: a record that fails again would be sent round and round otherwise.
///
/// Give each dead-letter topic one group of its own for this: what it has committed is what was sent back. Several
/// processes may share the work as its members.
///
/// # Errors
///
/// - [`Error::NotDelivered`] when a record could not be sent back: that one, and those behind it, are sent again next time
/// - [`Error::Commit`], [`Error::Receive`] and [`Error::Position`] when the group or the topic cannot be reached
pub async fn redrive(
    cluster: &Cluster,
    topic: &str,
    group: &str,
    producer: &RecordProducer,
    stop: &CancellationToken,
) -> Result<Redriven, Error> {
    let settings = ConsumerSettings::reliable(group);
    let member = Member::join(cluster, &settings, &[topic], Revocation::AtOnce, None)?;
    let mut round = Round {
        member: &member,
        producer,
        ends: BTreeMap::new(),
        reached: BTreeSet::new(),
        sent: Vec::new(),
        next_offsets: BTreeMap::new(),
        outcome: Redriven::default(),
    };
    let result = round.run(stop).await;
    let outcome = round.outcome;
    // On every path: a member that just vanishes keeps its partitions until its session times out.
    member.close().await?;
    result?;
    info!(
        topic,
        sent = outcome.total(),
        foreign = outcome.foreign,
        "dead letters were sent back"
    );
    Ok(outcome)
}

/// One call of [`redrive`].
struct Round<'a> {
    member: &'a Member,
    producer: &'a RecordProducer,
    /// The offset of each partition's first record that is left for the next time: its end when it was first looked at.
    ends: BTreeMap<TopicPartition, i64>,
    /// The partitions that were read up to there.
    reached: BTreeSet<TopicPartition>,
    /// Sent, and not yet reported.
    sent: Vec<(TopicPartition, PendingDelivery)>,
    /// What may be committed when they are.
    next_offsets: BTreeMap<TopicPartition, i64>,
    outcome: Redriven,
}

impl Round<'_> {
    async fn run(&mut self, stop: &CancellationToken) -> Result<(), Error> {
        let idle_until = Instant::now() + PATIENCE;
        while !stop.is_cancelled() {
            match self.member.receive(POLL).await {
                Ok(Arrival::Record(message)) => self.take(message).await?,
                // There is one topic, so the partition's number says which.
                Ok(Arrival::End(partition)) => self.end(partition).await?,
                Ok(Arrival::Nothing) => self.settle().await?,
                Err(error) if error.is_fatal() => return Err(error),
                Err(error) => warn!(%error, "reading goes on"),
            }
            let owned = self.member.assignments().owned();
            if owned.is_subset(&self.reached) && (!owned.is_empty() || Instant::now() >= idle_until)
            {
                break;
            }
        }
        self.settle().await
    }

    async fn take(&mut self, message: BorrowedMessage<'_>) -> Result<(), Error> {
        let letter = ConsumedRecord::new(message);
        let partition = letter.topic_partition();
        let end = self.end_of(&partition).await?;
        if letter.next_offset() >= end {
            self.reached.insert(partition.clone());
        }
        if letter.offset() >= end {
            return Ok(());
        }
        self.next_offsets.insert(partition, letter.next_offset());
        match Origin::of(&letter) {
            Some(origin) => self.send(&letter, origin).await?,
            None => {
                warn!(
                    topic = letter.topic(),
                    offset = letter.offset(),
                    "is no dead letter"
                );
                self.outcome.foreign += 1;
            }
        }
        if self.sent.len() >= BATCH {
            self.settle().await?;
        }
        Ok(())
    }

    async fn send(&mut self, letter: &ConsumedRecord<'_>, origin: Origin) -> Result<(), Error> {
        let times: u32 = letter
            .header(REDRIVEN_HEADER)
            .and_then(|times| str::from_utf8(times).ok()?.parse().ok())
            .unwrap_or(0);
        let own = |name: &str| name.starts_with(dead_letter::PREFIX) || name == REDRIVEN_HEADER;
        let headers = letter.headers_where(|name| !own(name)).insert(Header {
            key: REDRIVEN_HEADER,
            value: Some(&times.saturating_add(1).to_string()),
        });
        let record = Record {
            topic: &origin.partition.topic,
            key: letter.key(),
            payload: letter.payload(),
            headers: Some(headers),
            // Another producer may have chosen it in another way than by the key.
            partition: Some(origin.partition.partition),
            timestamp: letter.timestamp(),
        };
        let report = self.producer.enqueue_record(record).await?;
        self.sent.push((origin.partition, report));
        Ok(())
    }

    /// The end of a partition that is empty, or holds nothing new.
    async fn end(&mut self, partition: i32) -> Result<(), Error> {
        let owned = self.member.assignments().owned();
        for found in owned.iter().filter(|owned| owned.partition == partition) {
            self.end_of(found).await?;
            self.reached.insert(found.clone());
        }
        Ok(())
    }

    async fn end_of(&mut self, partition: &TopicPartition) -> Result<i64, Error> {
        if let Some(end) = self.ends.get(partition) {
            return Ok(*end);
        }
        let (_, end) = self.member.watermarks(partition.clone()).await?;
        self.ends.insert(partition.clone(), end);
        Ok(end)
    }

    /// Awaits the reports, and commits what they are about.
    async fn settle(&mut self) -> Result<(), Error> {
        for (partition, report) in std::mem::take(&mut self.sent) {
            report.await?;
            *self
                .outcome
                .sent
                .entry(partition.topic.to_string())
                .or_default() += 1;
        }
        let next_offsets = std::mem::take(&mut self.next_offsets);
        if next_offsets.is_empty() {
            return Ok(());
        }
        self.member.commit(next_offsets).await
    }
}
