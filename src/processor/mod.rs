//! The loop that never skips: read, decode, handle, commit.
//!
//! Most loops that lose records were written like this: an error is logged, `continue`, and the next success commits past
//! the record that failed (row X1). Here a record has three ways to go, and each ends before its offset is committed:
//!
//! - it is **done**;
//! - it failed for a reason that passes: it is **tried again**, later each time, while its partition stands still and the
//!   member goes on asking for records, so that the group keeps it;
//! - it is **poison**, or cannot be decoded: it is **put aside** in a dead-letter topic, and confirmed there.
//!
//! That makes at-least-once: after a crash, what was not committed is done again. "Manual commits give exactly-once" is a
//! myth (row X2); for that, the effects have to bear repetition, or be part of a Kafka transaction.
//!
//! ```
//! # use std::borrow::Cow;
//! # use embedded_broker::Broker;
//! use kafka_event_streaming::config::{Cluster, ConsumerSettings, ProducerSettings};
//! use kafka_event_streaming::consumed_record::ConsumedRecord;
//! use kafka_event_streaming::dead_letter::DeadLetterProducer;
//! # use kafka_event_streaming::event::Event;
//! use kafka_event_streaming::processor::{Failure, Processor};
//! use kafka_event_streaming::producer::RecordProducer;
//! use kafka_event_streaming::shutdown::CancellationToken;
//! # use kafka_event_streaming::topics;
//! # use serde::{Deserialize, Serialize};
//!
//! # #[derive(Serialize, Deserialize)]
//! # struct OrderPlaced { order_id: String, items: u32 }
//! # impl Event for OrderPlaced {
//! #     const TYPE: &'static str = "order.placed";
//! #     fn key(&self) -> Cow<'_, str> { Cow::Borrowed(&self.order_id) }
//! # }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let broker = Broker::builder().start().await?;
//! # let cluster = Cluster::new(broker.bootstrap_servers().parse()?);
//! # for topic in ["orders", "orders.dead-letter"] { topics::ensure_topic(&cluster, topic, 1).await?; }
//! let producer = RecordProducer::new(&cluster, &ProducerSettings::reliable())?;
//! # producer.send("orders", b"o-1", br#"{"order_id":"o-1","items":2}"#).await?;
//! # producer.send("orders", b"o-2", br#"{"order_id":"o-2","items":0}"#).await?;
//! let stop = CancellationToken::new(); // or `shutdown::on_signal()?`
//! # let last = stop.clone();
//! let bill = async |order: &OrderPlaced, _: &ConsumedRecord<'_>| {
//!     if order.items == 0 {
//! #       last.cancel();
//!         return Err(Failure::poison("an order of nothing"));
//!     }
//!     println!("{} items", order.items);
//!     Ok(())
//! };
//! let processor = Processor::new(
//!     &cluster,
//!     &ConsumerSettings::reliable("billing"),
//!     &["orders"],
//!     bill,
//!     DeadLetterProducer::new(&producer, "orders.dead-letter"),
//! )?;
//! // Until the token is cancelled. Then it commits, leaves the group and returns.
//! let counts = processor.run(stop).await?;
//! # assert_eq!((counts.done, counts.dead_lettered), (1, 1));
//! # Ok(())
//! # }
//! ```

mod attempt;
mod desk;
mod handler;
mod lanes;
mod observer;
mod progress;
mod run;
mod settings;
mod verdict;

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::Error;
use crate::assignment::{Revocation, TopicPartition};
use crate::config::{Cluster, ConsumerSettings};
use crate::dead_letter::DeadLetters;
use crate::event::Event;
use crate::event_consumer::EventConsumer;

pub use handler::{Failure, Handler, Translated, Verdict, translated};
pub use observer::{Counters, Counts, Observer};
pub use settings::{Concurrency, ProcessorSettings, WhenExhausted};

/// A member of a consumer group that processes what it reads.
pub struct Processor<T, H, D> {
    consumer: EventConsumer<T>,
    handler: H,
    dead_letters: D,
    settings: ProcessorSettings,
    /// The group's patience with a member that does not ask for records.
    max_poll_interval: Duration,
    /// What [`run`](Self::run) returns in the end.
    counters: Counters,
    /// Whoever else wants to know.
    observer: Option<Arc<dyn Observer>>,
}

/// Why a processor stopped by itself. Nothing was committed past the record that it is about.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProcessorError {
    /// A failure did not pass, and [`WhenExhausted::Stop`] was asked for.
    #[error("offset {offset} of {partition} could not be processed, tried {attempts} times")]
    GaveUp {
        /// Topic and partition.
        partition: TopicPartition,
        /// The record's place in it.
        offset: i64,
        /// How often it was tried.
        attempts: u32,
        /// What the last attempt failed with.
        source: Box<dyn StdError + Send + Sync>,
    },

    /// The handler says that nothing will succeed any more.
    #[error("offset {offset} of {partition} could not be processed, and nothing else will be")]
    Fatal {
        /// Topic and partition.
        partition: TopicPartition,
        /// The record's place in it.
        offset: i64,
        /// What the handler reported.
        source: Box<dyn StdError + Send + Sync>,
    },

    /// A record could not be put aside.
    #[error("offset {offset} of {partition} is poison, and could not be put aside")]
    NotPutAside {
        /// Topic and partition.
        partition: TopicPartition,
        /// The record's place in it.
        offset: i64,
        /// What the dead letters' producer reported.
        source: Box<dyn StdError + Send + Sync>,
    },

    /// Reading, committing or leaving the group failed.
    #[error(transparent)]
    Client(#[from] Error),
}

impl<T: Event, H: Handler<T>, D: DeadLetters> Processor<T, H, D> {
    /// Creates a member of the group that reads `topics`. What `handler` calls poison, and what cannot be decoded, goes to
    /// `dead_letters`, as a rule a [`DeadLetterProducer`](crate::dead_letter::DeadLetterProducer).
    ///
    /// # Errors
    ///
    /// As [`EventConsumer::new`].
    pub fn new(
        cluster: &Cluster,
        settings: &ConsumerSettings,
        topics: &[&str],
        handler: H,
        dead_letters: D,
    ) -> Result<Self, Error> {
        Ok(Self {
            consumer: EventConsumer::join(cluster, settings, topics, Revocation::WhenReleased)?,
            handler,
            dead_letters,
            settings: ProcessorSettings::default(),
            max_poll_interval: settings.max_poll_interval,
            counters: Counters::default(),
            observer: None,
        })
    }

    /// The same processor, working in this way.
    #[must_use]
    pub fn with_settings(mut self, settings: ProcessorSettings) -> Self {
        self.settings = settings;
        self
    }

    /// The same processor, looked upon.
    #[must_use]
    pub fn with_observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observer = Some(observer);
        self
    }

    /// Works until `stop` is cancelled, or it cannot go on. Either way it lets the work in flight finish
    /// ([`drain_timeout`](ProcessorSettings::drain_timeout)), commits what is processed, and leaves the group.
    ///
    /// The loop closes its client itself, when it no longer uses it: a signal handler that did would pull it away from
    /// under the handler (row X12).
    ///
    /// Dropping the future instead leaves the group too, without a commit since the last one.
    ///
    /// # Errors
    ///
    /// [`ProcessorError`]. Nothing was committed past a record that was not processed or put aside.
    pub async fn run(self, stop: CancellationToken) -> Result<Counts, ProcessorError> {
        let result = self.work(&stop).await;
        let counts = self.counters.counts();
        // On every path: a member that just vanishes keeps its partitions until its session times out.
        let closed = self.consumer.into_member().close().await;
        result?;
        closed?;
        Ok(counts)
    }

    /// Tells everybody who looks on.
    fn tell(&self, what: impl Fn(&dyn Observer)) {
        what(&self.counters);
        if let Some(observer) = &self.observer {
            what(&**observer);
        }
    }
}

impl<T, H, D> fmt::Debug for Processor<T, H, D> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Processor")
            .field("consumer", &self.consumer)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
