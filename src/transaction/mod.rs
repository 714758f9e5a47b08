//! Consume, transform, produce: results and offsets in one transaction, so that each record counts exactly once.
//!
//! ```text
//! begin
//!   read a record ── transform ── write its results      (again and again: one batch)
//!   add the consumer's offsets
//! commit                                                  (or abort: back to the committed offsets)
//! ```
//!
//! Whoever reads the results with `read_committed` sees those of a committed batch, all of them, once. A batch that was
//! interrupted, by a crash, a rebalance or an error, is not seen and is done again
//! ([KIP-98](https://cwiki.apache.org/confluence/display/KAFKA/KIP-98+-+Exactly+Once+Delivery+and+Transactional+Messaging),
//! [KIP-447](https://cwiki.apache.org/confluence/display/KAFKA/KIP-447%3A+Producer+scalability+for+exactly+once+semantics)).
//! Only what is in Kafka is covered: a transform that calls a service or writes to a database does so once for each try.
//! Without a transaction, offsets that are committed by hand give at-least-once (row X2).
//!
//! ```no_run
//! use kafka_event_streaming::config::Cluster;
//! use kafka_event_streaming::shutdown;
//! use kafka_event_streaming::transaction::{TransactionSettings, TransactionalProcessor};
//!
//! # async fn example() -> Result<(), kafka_event_streaming::Error> {
//! let settings = TransactionSettings::new("shouting", "shouting-0");
//! let processor = TransactionalProcessor::new(&Cluster::from_environment()?, &settings, &["words"])?;
//! let summary = processor
//!     .run(&shutdown::on_signal()?, |record, outputs| {
//!         let word = std::str::from_utf8(record.payload().unwrap_or_default())?;
//!         outputs.send("loud-words", record.key().unwrap_or_default(), word.to_uppercase().as_bytes());
//!         Ok(())
//!     })
//!     .await?;
//! println!("{} records in {} transactions", summary.records, summary.transactions);
//! # Ok(())
//! # }
//! ```

mod batch;
mod group;
mod outputs;
mod processing;
mod producer;
mod settings;
mod transform;

use std::panic;
use std::sync::Arc;
use std::thread;

use rdkafka::consumer::BaseConsumer;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

pub use outputs::{OutputRecord, Outputs};
pub use settings::TransactionSettings;
pub use transform::{Transform, TransformError};

use crate::Error;
use crate::config::Cluster;
use crate::consumed_record::ConsumedRecord;
use group::GroupChanges;
use processing::Processing;
use producer::TransactionalProducer;
use transform::EachRecord;

/// Reads topics as a member of a group, and writes what a transform makes of each record, exactly once.
///
/// Everything happens on one thread of its own. librdkafka's calls about transactions block for a round trip or more,
/// and so does its consumer while it waits for records. With one thread, rebalances, transforms and commits happen one
/// after the other, records are borrowed and not copied, and no runtime is held up. A task for each blocking call
/// (`spawn_blocking`) would pay for a switch of threads several times a transaction, and would have to own a copy of
/// each record; a pool's thread that is never given back is one fewer for those calls that are short.
pub struct TransactionalProcessor {
    consumer: BaseConsumer<GroupChanges>,
    producer: TransactionalProducer,
    settings: TransactionSettings,
    topics: Vec<String>,
    /// Who sends: the header `source` of typed events.
    service: Arc<str>,
}

/// What a processor has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Summary {
    /// Records whose results and offsets were committed.
    pub records: u64,
    /// Transactions that were committed.
    pub transactions: u64,
    /// Transactions that were aborted; their records were read again.
    pub aborted: u64,
}

impl TransactionalProcessor {
    /// Creates both clients. The group is joined by [`run`](Self::run).
    ///
    /// # Errors
    ///
    /// - [`Error::Setting`] when TLS is asked for and was not built in
    /// - [`Error::Client`] when librdkafka refuses a setting
    pub fn new(
        cluster: &Cluster,
        settings: &TransactionSettings,
        topics: &[&str],
    ) -> Result<Self, Error> {
        let consumer = settings
            .consumer
            .client_config(cluster)?
            .create_with_context(GroupChanges::default())
            .map_err(|source| Error::Client {
                client: "consumer",
                source,
            })?;
        Ok(Self {
            consumer,
            producer: TransactionalProducer::new(cluster, settings)?,
            settings: settings.clone(),
            topics: topics.iter().map(|topic| (*topic).to_owned()).collect(),
            service: cluster.service().into(),
        })
    }

    /// Processes records until `shutdown` is cancelled; then commits the batch at hand, leaves the group and returns.
    ///
    /// A closure that remembers something from record to record cannot take it back when a transaction is aborted: that
    /// is what [`run_with`](Self::run_with) is for. If the future is dropped, the processor shuts down in the background.
    ///
    /// # Errors
    ///
    /// - [`Error::Fenced`] when another process took the transactional id over, or a transaction took too long:
    ///   nothing that was not committed will be
    /// - [`Error::Transform`] when the closure failed: its record and all of its transaction stay unprocessed
    /// - [`Error::AbortedTooOften`] after [`attempts`](TransactionSettings::attempts) aborts in a row
    /// - [`Error::NotDelivered`] when a record cannot be written at all: it is too large, or its partition does not exist
    /// - [`Error::Transaction`], [`Error::Position`] when the broker stays away for too long, or refuses
    /// - [`Error::Receive`] when the consumer is of no more use, [`Error::Subscribe`] for a bad topic's name
    ///
    /// # Panics
    ///
    /// As the closure does: its panic goes on in the caller.
    pub async fn run<F>(self, shutdown: &CancellationToken, transform: F) -> Result<Summary, Error>
    where
        F: FnMut(&ConsumedRecord<'_>, &mut Outputs) -> Result<(), TransformError> + Send + 'static,
    {
        let (summary, _) = self.run_with(shutdown, EachRecord(transform)).await?;
        Ok(summary)
    }

    /// As [`run`](Self::run), for a transform with a memory of its own, which is given back at the end.
    ///
    /// # Errors
    ///
    /// Those of [`run`](Self::run), [`Error::Complete`], and any that [`Transform::assigned`] returns.
    ///
    /// # Panics
    ///
    /// As the transform does: its panic goes on in the caller.
    pub async fn run_with<T: Transform>(
        self,
        shutdown: &CancellationToken,
        transform: T,
    ) -> Result<(Summary, T), Error> {
        // A token of its own: also cancelled when this future is dropped, which does not end a thread.
        let shutdown = shutdown.child_token();
        let _stop_when_dropped = shutdown.clone().drop_guard();
        let (finished, outcome) = oneshot::channel();
        let Self {
            consumer,
            producer,
            settings,
            topics,
            service,
        } = self;
        let processing = Processing::new(producer, settings, service, transform, shutdown);
        let thread = thread::Builder::new()
            .name("transactions".to_owned())
            .spawn(move || {
                let outcome = processing.run(&consumer, &topics);
                // Leaves the group, which waits for the coordinator's answer.
                drop(consumer);
                // Nobody waits for it if the future was dropped.
                let _ = finished.send(outcome);
            })
            .map_err(|source| Error::Thread { source })?;
        match outcome.await {
            Ok(outcome) => outcome,
            // The thread has ended without an outcome: it panicked, and does not have to be waited for.
            Err(_) => match thread.join() {
                Err(panic) => panic::resume_unwind(panic),
                Ok(()) => Err(Error::Thread {
                    source: std::io::Error::other("the thread ended without an outcome"),
                }),
            },
        }
    }
}

impl std::fmt::Debug for TransactionalProcessor {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("TransactionalProcessor")
            .field("topics", &self.topics)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
