//! Read typed events as a member of a consumer group. What cannot be decoded is data, and never ends the loop (row X6).
//!
//! ```
//! use std::borrow::Cow;
//! use std::time::Duration;
//! # use embedded_broker::Broker;
//! use kafka_event_streaming::config::{Cluster, ConsumerSettings, ProducerSettings};
//! use kafka_event_streaming::event::{self, Event};
//! use kafka_event_streaming::event_consumer::EventConsumer;
//! # use kafka_event_streaming::producer::RecordProducer;
//! # use kafka_event_streaming::topics;
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize)]
//! struct OrderPlaced { order_id: String, items: u32 }
//!
//! impl Event for OrderPlaced {
//!     const TYPE: &'static str = "order.placed";
//!     fn key(&self) -> Cow<'_, str> { Cow::Borrowed(&self.order_id) }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let broker = Broker::builder().start().await?;
//! # let cluster = Cluster::new(broker.bootstrap_servers().parse()?);
//! # topics::ensure_topic(&cluster, "orders", 1).await?;
//! # let producer = RecordProducer::new(&cluster, &ProducerSettings::reliable())?;
//! # producer.send("orders", b"o-1", br#"{"order_id":"o-1","items":2}"#).await?;
//! # producer.send("orders", b"o-2", b"not an order").await?;
//! let settings = ConsumerSettings::reliable("billing");
//! let consumer = EventConsumer::<OrderPlaced>::new(&cluster, &settings, &["orders"])?;
//! let mut billed = 0;
//! # let mut refused = 0;
//! # while billed + refused < 2 {
//! // A service does this in a loop, until it is told to stop.
//! if let Some(received) = consumer.next(Duration::from_secs(1)).await? {
//!     match &received.event {
//!         Ok(order) => billed += order.items,
//!         Err(undecodable) => {
//!             // Put it aside before the commit (see `dead_letter`), or it is lost.
//!             println!("{undecodable}: {}", undecodable.reason);
//! #           refused += 1;
//!         }
//!     }
//!     consumer.commit(&received.record).await?;
//! }
//! # if billed == 2 && refused == 1 { break }
//! # }
//! consumer.close().await?;
//! # Ok(())
//! # }
//! ```

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use rdkafka::message::{BorrowedMessage, Message};

use crate::Error;
use crate::assignment::{Revocation, TopicPartition};
use crate::config::{Cluster, ConsumerSettings};
use crate::consumed_record::ConsumedRecord;
use crate::event::{self, DecodeError, Event};
use crate::member::{Arrival, Member};
use crate::trace_context::{TraceContext, TraceHeaders};

/// One member of a consumer group that reads events of one type.
///
/// There are two ways to commit. [`commit`](Self::commit) stores a record's offset at once: a round trip for each. Or call
/// [`mark_processed`](Self::mark_processed) for each and [`commit_processed`](Self::commit_processed) now and then: what
/// is marked is also committed when the group takes a partition away. Either way a record whose offset was not committed
/// is read again after a crash, so its effects should bear repetition.
///
/// Dropping it leaves the group too, but blocks the thread while it does; [`close`](Self::close) does not.
pub struct EventConsumer<T> {
    member: Member,
    events: PhantomData<fn() -> T>,
}

/// A record and what it says.
#[derive(Debug)]
pub struct Received<'a, T> {
    /// The event, or why there is none. In a box, because it is large and rare.
    pub event: Result<T, Box<Undecodable>>,
    /// The record that it came in: to be committed, or put aside.
    pub record: ConsumedRecord<'a>,
}

/// A record that is not the event that was expected. Reading goes on behind it.
#[derive(Debug, thiserror::Error)]
#[error("offset {offset} of {partition} is no event of type {expected}")]
pub struct Undecodable {
    /// Topic and partition.
    pub partition: TopicPartition,
    /// The record's place in it.
    pub offset: i64,
    /// What was expected.
    pub expected: &'static str,
    /// The first 100 bytes of the payload as text, what is not UTF-8 replaced.
    pub sample: String,
    /// Why not.
    #[source]
    pub reason: DecodeError,
}

impl<T: Event> EventConsumer<T> {
    /// Creates a member of the group that reads `topics`. It joins in the background, once [`next`](Self::next) is
    /// called. A topic that does not exist yet is waited for.
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
        Self::join(cluster, settings, topics, Revocation::AtOnce)
    }

    pub(crate) fn join(
        cluster: &Cluster,
        settings: &ConsumerSettings,
        topics: &[&str],
        revocation: Revocation,
    ) -> Result<Self, Error> {
        Ok(Self {
            member: Member::join(cluster, settings, topics, revocation, None)?,
            events: PhantomData,
        })
    }

    /// Waits up to `patience` for a record. None at the end of a partition, and when the time is over.
    ///
    /// Call it again and again: it is also what tells the group that this member is alive
    /// (`max.poll.interval.ms`, KIP-62). Dropping the future loses nothing.
    ///
    /// # Errors
    ///
    /// [`Error::Receive`]. The next call may succeed unless the [error is fatal](Error::is_fatal): librdkafka goes on
    /// trying by itself.
    pub async fn next(&self, patience: Duration) -> Result<Option<Received<'_, T>>, Error> {
        Ok(match self.member.receive(patience).await? {
            Arrival::Record(message) => Some(received(message)),
            Arrival::End(_) | Arrival::Nothing => None,
        })
    }

    /// Stores that `record` and everything before it in its partition is processed, and waits until the broker has it. A
    /// member that takes the partition over starts at the record after it.
    ///
    /// # Errors
    ///
    /// - [`Error::NotOwned`] when the group has taken the partition away: its new owner reads the record again
    /// - [`Error::Commit`]: after a restart the group reads from the offset that was committed before
    pub async fn commit(&self, record: &ConsumedRecord<'_>) -> Result<(), Error> {
        let (partition, offset) = (record.topic_partition(), record.next_offset());
        if !self.member.assignments().owns(&partition) {
            return Err(Error::NotOwned { partition, offset });
        }
        self.store(BTreeMap::from([(partition, offset)])).await
    }

    /// Notes that `record` and everything before it in its partition is processed. It is committed by the next
    /// [`commit_processed`](Self::commit_processed), or when the group takes the partition away. What the group has
    /// taken away already is passed over: its new owner reads it again.
    pub fn mark_processed(&self, record: &ConsumedRecord<'_>) {
        self.member
            .assignments()
            .mark(record.topic_partition(), record.next_offset());
    }

    /// Stores everything that was marked as processed, and waits until the broker has it.
    ///
    /// # Errors
    ///
    /// [`Error::Commit`]. What was marked stays so: the next call tries again.
    pub async fn commit_processed(&self) -> Result<(), Error> {
        let processed = self.member.assignments().processed();
        if processed.is_empty() {
            return Ok(());
        }
        self.store(processed).await
    }

    async fn store(&self, next_offsets: BTreeMap<TopicPartition, i64>) -> Result<(), Error> {
        self.member.commit(next_offsets.clone()).await?;
        self.member.assignments().committed(&next_offsets);
        Ok(())
    }

    /// The partitions that are this member's.
    pub fn owned(&self) -> BTreeSet<TopicPartition> {
        self.member.assignments().owned()
    }

    /// What the group has committed for this member's partitions: the offset of the next record that would be read after
    /// a restart. None where nothing was committed.
    ///
    /// # Errors
    ///
    /// [`Error::Position`] when the group's coordinator does not answer.
    pub async fn committed(&self) -> Result<BTreeMap<TopicPartition, Option<i64>>, Error> {
        self.member.committed(self.owned()).await
    }

    /// How many records of each partition were not read yet, as of librdkafka's last statistics. Empty unless they are
    /// [switched on](ConsumerSettings::statistics_interval).
    pub fn lags(&self) -> BTreeMap<TopicPartition, i64> {
        self.member.assignments().lags()
    }

    /// Reads no more of these partitions for now. The member keeps them: go on calling [`next`](Self::next).
    ///
    /// # Errors
    ///
    /// [`Error::Position`] when one of them is not this member's.
    pub fn pause(&self, partitions: &[TopicPartition]) -> Result<(), Error> {
        self.member.pause(partitions)
    }

    /// Reads on after a pause, with the record behind the last one that was read.
    ///
    /// # Errors
    ///
    /// [`Error::Position`] when one of them is not this member's.
    pub fn resume(&self, partitions: &[TopicPartition]) -> Result<(), Error> {
        self.member.resume(partitions)
    }

    /// Reads on from `offset` in this partition, forwards or backwards. Nothing is committed by it.
    ///
    /// # Errors
    ///
    /// [`Error::Position`] when the partition is not this member's.
    pub async fn seek(&self, partition: TopicPartition, offset: i64) -> Result<(), Error> {
        self.member.seek(partition, offset).await
    }

    /// Commits what was marked as processed, leaves the group and returns when that is done, so that the other members
    /// take the partitions over now and not when the session times out.
    ///
    /// # Errors
    ///
    /// - [`Error::Commit`] when the commit failed. The group was left all the same.
    /// - [`Error::NotLeft`] when leaving takes longer than 30 seconds.
    pub async fn close(self) -> Result<(), Error> {
        let committed = self.commit_processed().await;
        self.member.close().await?;
        committed
    }

    pub(crate) fn member(&self) -> &Member {
        &self.member
    }

    pub(crate) fn into_member(self) -> Member {
        self.member
    }
}

impl<T> fmt::Debug for EventConsumer<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("EventConsumer")
            .field("member", &self.member)
            .finish()
    }
}

/// Decodes a record where it stands in librdkafka's memory.
fn received<T: Event>(message: BorrowedMessage<'_>) -> Received<'_, T> {
    let event = decode_message(&message, |_, _| {});
    Received {
        event: event.map_err(|reason| undecodable::<T>(&message, reason)),
        record: ConsumedRecord::new(message),
    }
}

/// As [`received`], with the trace that the record belongs to, in the same pass over its headers.
pub(crate) fn received_with_trace<T: Event>(
    message: BorrowedMessage<'_>,
) -> (Received<'_, T>, Option<TraceContext>) {
    let mut trace = TraceHeaders::default();
    let event = decode_message(&message, |name, value| trace.note(name, value));
    let context = trace.context();
    let received = Received {
        event: event.map_err(|reason| undecodable::<T>(&message, reason)),
        record: ConsumedRecord::new(message),
    };
    (received, context)
}

/// Decodes the event in a record. What cannot be decoded is an error, whatever it is, and never a panic.
///
/// # Errors
///
/// [`Undecodable`] says why, and where the record stands.
pub fn decode<T: Event>(record: &ConsumedRecord<'_>) -> Result<T, Box<Undecodable>> {
    let message = record.message();
    decode_message(message, |_, _| {}).map_err(|reason| undecodable::<T>(message, reason))
}

fn decode_message<'a, T: Event>(
    message: &'a BorrowedMessage<'_>,
    other: impl FnMut(&'a str, Option<&'a [u8]>),
) -> Result<T, DecodeError> {
    // A panic in here is a record that kills every member that reads it, one after the other. The types' own code may do
    // it, and rdkafka does when the name of a header is not UTF-8.
    let decoded = catch_unwind(AssertUnwindSafe(|| {
        event::decode_record_and(message, other)
    }));
    decoded.unwrap_or_else(|panic| {
        Err(DecodeError::Panicked {
            message: text(panic.as_ref()).to_owned(),
        })
    })
}

#[cold]
fn undecodable<T: Event>(message: &BorrowedMessage<'_>, reason: DecodeError) -> Box<Undecodable> {
    Box::new(Undecodable {
        partition: TopicPartition::new(message.topic(), message.partition()),
        offset: message.offset(),
        expected: T::TYPE,
        sample: event::sample(message.payload().unwrap_or_default()),
        reason,
    })
}

/// What a panic said.
fn text(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("without words")
}
