//! A trial of what becomes of records: an input topic of numbered ones, an output topic, and a count.
//!
//! Several processes take part in one trial: its creator tells the others its name.

use std::io;
use std::ops::Range;
use std::time::{Duration, Instant};

use crate::consumed_record::ConsumedRecord;
use tokio_util::sync::CancellationToken;

use crate::Error;
use crate::config::{Cluster, ConsumerSettings, IsolationLevel, ProducerSettings};
use crate::ledger::LedgerReport;
use crate::numbered_records;
use crate::producer::RecordProducer;
use crate::topics::{self, unique_name};
use crate::transaction::{Outputs, TransactionSettings, TransactionalProcessor};

/// Between two looks at an output in which something is missing.
const PAUSE: Duration = Duration::from_millis(50);

/// A transaction of [`Trial::copy_all`] holds so many records.
const BATCH: usize = 20;

/// An input, an output, and a group that reads one to write the other.
#[derive(Debug, Clone)]
pub struct Trial {
    cluster: Cluster,
    name: String,
    input: String,
    output: String,
}

impl Trial {
    /// Creates both topics, under names that nobody else uses.
    ///
    /// # Errors
    ///
    /// As [`topics::ensure_topic`].
    pub async fn create(cluster: &Cluster, prefix: &str, partitions: i32) -> Result<Self, Error> {
        let trial = Self::named(cluster, &unique_name(prefix));
        for topic in [&trial.input, &trial.output] {
            topics::ensure_topic(cluster, topic, partitions).await?;
        }
        Ok(trial)
    }

    /// The trial that somebody else has created.
    pub fn named(cluster: &Cluster, name: &str) -> Self {
        Self {
            cluster: cluster.clone(),
            name: name.to_owned(),
            input: format!("{name}-input"),
            output: format!("{name}-output"),
        }
    }

    /// Its name, which is also that of its group.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it takes place.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// The topic that is read.
    pub fn input(&self) -> &str {
        &self.input
    }

    /// The topic that is written.
    pub fn output(&self) -> &str {
        &self.output
    }

    /// The one member of the group. It has the same name after each restart, so that its partitions wait for it and not
    /// for the session timeout (KIP-345).
    pub fn consumer_settings(&self) -> ConsumerSettings {
        ConsumerSettings {
            instance_id: Some(format!("{}-0", self.name)),
            ..ConsumerSettings::reliable(&self.name)
        }
    }

    /// A processor that is the same one after each restart: for the group, and for the broker, which aborts what it left
    /// open. Each result leaves at once, so that there is something to be seen of open transactions.
    pub fn transaction_settings(&self) -> TransactionSettings {
        TransactionSettings {
            consumer: self.consumer_settings(),
            producer: ProducerSettings::low_latency(),
            batch_records: BATCH,
            ..TransactionSettings::new(&self.name, &format!("{}-0", self.name))
        }
    }

    /// Writes these numbers to the input.
    ///
    /// # Errors
    ///
    /// As [`numbered_records::send`].
    pub async fn fill(&self, numbers: Range<u64>) -> Result<(), Error> {
        let producer = RecordProducer::new(&self.cluster, &ProducerSettings::reliable())?;
        numbered_records::send(&producer, &self.input, numbers).await
    }

    /// Copies the input to the output in transactions, until readers of committed records see all of these numbers there.
    /// `effect` is what each record does beside that, outside of the transaction.
    ///
    /// # Errors
    ///
    /// As [`TransactionalProcessor::run`] and [`wait_for`](Self::wait_for).
    pub async fn copy_all(
        &self,
        numbers: Range<u64>,
        patience: Duration,
        mut effect: impl FnMut(&ConsumedRecord<'_>) -> io::Result<()> + Send + 'static,
    ) -> Result<(), Error> {
        let settings = self.transaction_settings();
        let processor = TransactionalProcessor::new(&self.cluster, &settings, &[&self.input])?;
        let output = self.output.clone();
        let copy = move |record: &ConsumedRecord<'_>, outputs: &mut Outputs| {
            outputs.forward(output.as_str(), record, &[]);
            Ok(effect(record)?)
        };
        let shutdown = CancellationToken::new();
        let copying = processor.run(&shutdown, copy);
        let waiting = async {
            let arrived = self.wait_for(numbers, patience).await;
            shutdown.cancel();
            arrived
        };
        let (copied, arrived) = tokio::join!(copying, waiting);
        // If it failed, this is why nothing arrived.
        copied.and(arrived)
    }

    /// What became of these numbers, as far as the output says.
    ///
    /// # Errors
    ///
    /// As [`numbered_records::count`].
    pub async fn count(
        &self,
        isolation: IsolationLevel,
        numbers: Range<u64>,
    ) -> Result<LedgerReport, Error> {
        numbered_records::count(&self.cluster, &self.output, isolation, numbers).await
    }

    /// Waits until readers of committed records see all of these numbers in the output.
    ///
    /// # Errors
    ///
    /// As [`count`](Self::count), and [`Error::StillMissing`] when `patience` is over.
    pub async fn wait_for(&self, numbers: Range<u64>, patience: Duration) -> Result<(), Error> {
        let deadline = Instant::now() + patience;
        loop {
            let committed = IsolationLevel::ReadCommitted;
            let report = self.count(committed, numbers.clone()).await?;
            if report.is_at_least_once() {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(Error::StillMissing {
                    topic: self.output.clone(),
                    missing: report.lost,
                    waited: patience,
                });
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}
