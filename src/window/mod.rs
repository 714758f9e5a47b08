//! Totals by key and window of time, that survive every restart: Kafka Streams' windowed aggregation in small.
//!
//! Each event counts towards the total of its key in the window that its own time falls into. The totals of open windows
//! are in memory, and in a changelog topic; results, changelog and the consumer's offsets are committed in one
//! transaction. Whoever takes a partition over, the same process after a crash or another one after a rebalance, restores
//! its windows from the changelog and goes on as if nothing had happened (row X13).
//!
//! ```text
//! sales ──▶ add to the window's total ──▶ results
//!                    │      ▲
//!           changes  ▼      │ restored when the partition is assigned
//!                changelog (compacted)
//! ```
//!
//! ```no_run
//! use std::borrow::Cow;
//! use std::time::Duration;
//! use jiff::Timestamp;
//! use kafka_event_streaming::config::Cluster;
//! use kafka_event_streaming::event::Event;
//! use kafka_event_streaming::shutdown;
//! use kafka_event_streaming::transaction::TransactionSettings;
//! use kafka_event_streaming::window::{Aggregation, TumblingWindows, WindowSettings, WindowedProcessor};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize)]
//! struct Sale { product: String, cents: i64, sold_at: Timestamp }
//!
//! impl Event for Sale {
//!     const TYPE: &'static str = "sale";
//!     fn key(&self) -> Cow<'_, str> { Cow::Borrowed(&self.product) }
//! }
//!
//! /// Revenue by product.
//! struct Revenue;
//!
//! impl Aggregation for Revenue {
//!     type Event = Sale;
//!     type Total = i64;
//!     fn time(&self, sale: &Sale) -> Timestamp { sale.sold_at }
//!     fn fold(&self, cents: &mut i64, sale: &Sale) { *cents += sale.cents; }
//! }
//!
//! # async fn example() -> Result<(), kafka_event_streaming::Error> {
//! let minutes = TumblingWindows::of(Duration::from_secs(60)).with_grace(Duration::from_secs(10));
//! let windows = WindowSettings::new(minutes, "revenue", "revenue-changelog");
//! let transactions = TransactionSettings::new("revenue", "revenue-0");
//! WindowedProcessor::new(&Cluster::from_environment()?, &transactions, "sales", &windows, Revenue)
//!     .await?
//!     .run(&shutdown::on_signal()?)
//!     .await?;
//! # Ok(())
//! # }
//! ```
//!
//! Its limits:
//!
//! - Records of one key have to be in one partition of the input: they are if it is the record's key. Where it is not,
//!   write them to another topic by their new key first, with a
//!   [`TransactionalProcessor`](crate::transaction::TransactionalProcessor).
//! - Time goes on when records come. The last window of a stream that has ended stays open; and one record from the far
//!   future closes every window of its partition.
//! - The open windows of a process have to fit into its memory, and be restored within `max.poll.interval.ms`.

mod aggregating;
mod changelog;
mod restore;
mod state;
mod tumbling;

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use rdkafka::consumer::BaseConsumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::Error;
use crate::assignment::TopicPartition;
use crate::config::Cluster;
use crate::event::Event;
use crate::topics::{self, Tier, TopicDesign};
use crate::transaction::{Summary, TransactionSettings, TransactionalProcessor};
use aggregating::Aggregating;
use restore::Restorer;

pub use aggregating::REJECTED_HEADER;
pub use changelog::ChangelogError;
pub use tumbling::{TumblingWindows, Window};

/// How long the broker may take to say how many partitions the input has.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is counted, and how.
pub trait Aggregation: Send + 'static {
    /// What is read.
    type Event: Event;

    /// What a window has for each key. Its default is that of no event. It is stored as JSON: a later version of the
    /// program has to read what this one wrote.
    type Total: Default + Clone + Serialize + DeserializeOwned + Send + 'static;

    /// When it happened: by this time it is put into its window.
    fn time(&self, event: &Self::Event) -> Timestamp;

    /// What the event counts towards. All events with one key have to be in one partition, as they are with the default.
    fn key<'a>(&self, event: &'a Self::Event) -> Cow<'a, str> {
        event.key()
    }

    /// Adds an event to a total. It may be called again for the same one after an abort, with the total as it was before.
    fn fold(&self, total: &mut Self::Total, event: &Self::Event);

    /// The open windows of a partition were read from the changelog; none of its events was added yet. For whoever wants to
    /// tell of it.
    fn restored(&self, _found: Restored) {}
}

/// What was found in the changelog when a partition was taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Restored {
    /// The partition, of the input and of the changelog.
    pub partition: i32,
    /// How many records were read. Compaction makes them fewer, and lags behind.
    pub records: u64,
    /// How many totals of open windows they left.
    pub totals: usize,
}

/// A total, as it is written to the output: an event, under the same key as what it was made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowResult<T> {
    /// What was counted.
    pub key: String,
    /// The first moment of the window.
    pub start: Timestamp,
    /// The first moment behind it.
    pub end: Timestamp,
    /// The total.
    pub total: T,
}

impl<T: Serialize + DeserializeOwned + Send + 'static> Event for WindowResult<T> {
    const TYPE: &'static str = "window.result";

    fn key(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.key)
    }
}

/// When results are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Emit {
    /// Once for each key and window, when the window is closed: nothing changes afterwards, and until then there is
    /// nothing to see.
    WhenClosed,
    /// With each transaction that changes a total. A later result replaces an earlier one of the same key and window.
    OnUpdate,
}

/// Windows and topics of a windowed processor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WindowSettings {
    /// The windows. Another size needs another changelog.
    pub windows: TumblingWindows,
    /// The topic for results. It has to exist.
    pub output: String,
    /// The topic for the state: as many partitions as the input, compacted. It is created if it does not exist, and
    /// belongs to this processor alone.
    pub changelog: String,
    /// The topic for records that came too late or cannot be decoded, as they were, with the header
    /// [`REJECTED_HEADER`]. Without one, late records are counted and dropped, and one that cannot be decoded stops the
    /// processor. If there is one, it has to exist.
    pub rejects: Option<String>,
    /// When results are written.
    pub emit: Emit,
}

impl WindowSettings {
    /// Results when windows close, and no topic for rejects.
    pub fn new(windows: TumblingWindows, output: &str, changelog: &str) -> Self {
        Self {
            windows,
            output: output.to_owned(),
            changelog: changelog.to_owned(),
            rejects: None,
            emit: Emit::WhenClosed,
        }
    }
}

/// Reads a topic as a member of a group, and writes totals by key and window, exactly once.
pub struct WindowedProcessor<A: Aggregation> {
    processor: TransactionalProcessor,
    aggregating: Aggregating<A>,
}

/// What a windowed processor has done in this run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WindowSummary {
    /// Records read, and transactions.
    pub transactions: Summary,
    /// Records whose window had closed: part of no total.
    pub late: u64,
    /// Records that could not be decoded, and were set aside.
    pub undecodable: u64,
}

impl<A: Aggregation> WindowedProcessor<A> {
    /// Creates the changelog if it does not exist, and the clients. The group is joined by [`run`](Self::run).
    ///
    /// # Errors
    ///
    /// - [`Error::TopicRequest`] when the input does not exist, or the cluster cannot be reached
    /// - those of [`topics::ensure_topics`], for the changelog
    /// - [`Error::Changelog`] when it has fewer partitions than the input
    /// - those of [`TransactionalProcessor::new`]
    pub async fn new(
        cluster: &Cluster,
        transactions: &TransactionSettings,
        input: &str,
        windows: &WindowSettings,
        aggregation: A,
    ) -> Result<Self, Error> {
        let needed = partitions_of(cluster, input).await?;
        let design = TopicDesign::new(&windows.changelog, Tier::Changelog)
            .with_partitions(i32::try_from(needed).unwrap_or(i32::MAX));
        for changelog in topics::ensure_topics(cluster, &[design]).await? {
            if changelog.partitions < needed {
                return Err(Error::Changelog {
                    partition: TopicPartition::new(windows.changelog.as_str(), 0),
                    source: ChangelogError::TooFewPartitions {
                        found: changelog.partitions,
                        needed,
                    },
                });
            }
        }
        let restorer = Restorer::new(
            cluster,
            &transactions.consumer,
            &windows.changelog,
            transactions.transaction_timeout,
        )?;
        Ok(Self {
            processor: TransactionalProcessor::new(cluster, transactions, &[input])?,
            aggregating: Aggregating::new(aggregation, windows.clone(), restorer),
        })
    }

    /// Processes records until `shutdown` is cancelled; then commits the batch at hand, leaves the group and returns.
    ///
    /// # Errors
    ///
    /// Those of [`TransactionalProcessor::run`], and [`Error::Changelog`] when the state of a partition cannot be restored:
    /// its records are not processed then.
    ///
    /// # Panics
    ///
    /// As the aggregation does.
    pub async fn run(self, shutdown: &CancellationToken) -> Result<WindowSummary, Error> {
        let (transactions, aggregating) =
            self.processor.run_with(shutdown, self.aggregating).await?;
        let rejected = aggregating.rejected();
        Ok(WindowSummary {
            transactions,
            late: rejected.late,
            undecodable: rejected.undecodable,
        })
    }
}

impl<A: Aggregation> fmt::Debug for WindowedProcessor<A> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("WindowedProcessor")
            .field("processor", &self.processor)
            .finish_non_exhaustive()
    }
}

/// How many partitions a topic has.
async fn partitions_of(cluster: &Cluster, topic: &str) -> Result<usize, Error> {
    let client: BaseConsumer =
        cluster
            .client_config()?
            .create()
            .map_err(|source| Error::Client {
                client: "metadata client",
                source,
            })?;
    let name = topic.to_owned();
    let answer = tokio::task::spawn_blocking(move || {
        let partitions = topics::partitions(&client, &name, PATIENCE)?.len();
        // A topic that does not exist may also be described without partitions.
        (partitions > 0)
            .then_some(partitions)
            .ok_or(KafkaError::MetadataFetch(
                RDKafkaErrorCode::UnknownTopicOrPartition,
            ))
    })
    .await?;
    answer.map_err(|source| Error::TopicRequest {
        topic: topic.to_owned(),
        source,
    })
}
