//! The loop: read, transform, write, commit, and when that fails, back to where the transaction began.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::{Offset, TopicPartitionList};
use tokio_util::sync::CancellationToken;

use super::batch::Batch;
use super::group::{Change, GroupChanges};
use super::producer::{Failure, TransactionalProducer};
use super::{Outputs, Summary, TransactionSettings, Transform};
use crate::Error;
use crate::assignment::{self, TopicPartition};
use crate::consumed_record::ConsumedRecord;
use crate::error_kind::{Classify, ErrorKind};
use crate::error_route::{self, Phase, Route};

/// The longest wait for a record before the loop looks at the shutdown token again.
const POLL: Duration = Duration::from_millis(50);

/// How long one request about offsets may take.
const REQUEST: Duration = Duration::from_secs(5);

/// How long finding the way back to the committed offsets may take in all.
const REWIND_PATIENCE: Duration = Duration::from_secs(60);

/// Before the first retry of an aborted transaction; each further one waits twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// The longest wait before a retry.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Everything but the consumer, whose records are borrowed while the rest is at work.
pub(super) struct Processing<T> {
    pub(super) producer: TransactionalProducer,
    pub(super) settings: TransactionSettings,
    pub(super) transform: T,
    pub(super) shutdown: CancellationToken,
    /// What the open transaction has read.
    batch: Batch,
    /// What the transform made of one record. Empty between records.
    outputs: Outputs,
    summary: Summary,
    /// Until partitions were assigned, a topic may be missing.
    phase: Phase,
}

impl<T: Transform> Processing<T> {
    pub(super) fn new(
        producer: TransactionalProducer,
        settings: TransactionSettings,
        service: Arc<str>,
        transform: T,
        shutdown: CancellationToken,
    ) -> Self {
        Self {
            producer,
            settings,
            transform,
            shutdown,
            batch: Batch::default(),
            outputs: Outputs::new(service),
            summary: Summary::default(),
            phase: Phase::Starting,
        }
    }

    /// Runs until the shutdown, or until something cannot be undone and tried again.
    pub(super) fn run(
        mut self,
        consumer: &BaseConsumer<GroupChanges>,
        topics: &[String],
    ) -> Result<(Summary, T), Error> {
        // Before the first look at offsets: what the process before left open may hold some that are not decided yet.
        self.producer.initialize(&self.shutdown)?;
        let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
        consumer
            .subscribe(&topics)
            .map_err(|source| Error::Subscribe {
                topics: topics.join(", "),
                source,
            })?;
        let outcome = self.transactions(consumer);
        if outcome.is_err()
            && let Err(error) = self.producer.abort()
        {
            // The broker aborts it later; until then, readers of the results wait.
            tracing::debug!(%error, "the open transaction was left to the broker");
        }
        outcome.map(|()| (self.summary, self.transform))
    }

    fn transactions(&mut self, consumer: &BaseConsumer<GroupChanges>) -> Result<(), Error> {
        let mut failures = 0;
        while !self.shutdown.is_cancelled() {
            let cause = match self.transaction(consumer) {
                Ok(()) => {
                    failures = 0;
                    continue;
                }
                Err(Failure::Stop(error)) => return Err(*error),
                Err(Failure::Rebalanced) => continue,
                Err(Failure::Abort(cause)) => cause,
            };
            failures += 1;
            tracing::warn!(
                error = &*cause as &dyn std::error::Error,
                failures,
                "a transaction is aborted; its records are read again"
            );
            match self.undo(consumer) {
                Ok(()) => {}
                Err(fenced @ Error::Fenced { .. }) => return Err(fenced),
                Err(error) => {
                    tracing::error!(
                        error = &error as &dyn std::error::Error,
                        "it could not be aborted"
                    );
                    // What went wrong first says what to do.
                    return Err(*cause);
                }
            }
            if failures >= self.settings.attempts {
                return Err(self.producer.aborted_too_often(failures, cause));
            }
            self.pause(failures);
        }
        Ok(())
    }

    /// One transaction, from its first record to its commit. Returns early on shutdown if none has come.
    fn transaction(&mut self, consumer: &BaseConsumer<GroupChanges>) -> Result<(), Failure> {
        let mut deadline = None;
        loop {
            let wait = deadline.map_or(POLL, |deadline: Instant| {
                deadline.saturating_duration_since(Instant::now()).min(POLL)
            });
            let polled = consumer.poll(wait);
            self.follow_group(consumer)?;
            match polled {
                Some(Ok(record)) => {
                    if deadline.is_none() {
                        deadline = Some(Instant::now() + self.settings.batch_time);
                        self.producer.begin()?;
                    }
                    self.process(&ConsumedRecord::new(record))?;
                }
                Some(Err(error)) => self.notice(error)?,
                None => {}
            }
            let is_stopping = self.shutdown.is_cancelled();
            match deadline {
                None if is_stopping => return Ok(()),
                Some(deadline)
                    if is_stopping
                        || self.batch.records() >= self.settings.batch_records
                        || Instant::now() >= deadline =>
                {
                    return self.commit(consumer);
                }
                _ => {}
            }
        }
    }

    /// Acts upon what `poll` noted. It hands out no record in the same call, so none of a new partition is seen before
    /// the transform knows of it.
    fn follow_group(&mut self, consumer: &BaseConsumer<GroupChanges>) -> Result<(), Failure> {
        let changes = consumer.context().take();
        if changes.is_empty() {
            return Ok(());
        }
        // Offsets of a partition that another member has by now must not be committed: it may have read them itself. And
        // what a transform does about a new partition may take longer than a transaction may.
        let is_interrupted = self.producer.is_open();
        if is_interrupted {
            self.undo(consumer)?;
        }
        for change in changes {
            match change {
                Change::Revoked(partitions) => self.transform.revoked(&partitions),
                Change::Assigned(partitions) => {
                    self.phase = Phase::Running;
                    self.transform.assigned(&partitions)?;
                }
            }
        }
        if is_interrupted {
            return Err(Failure::Rebalanced);
        }
        Ok(())
    }

    fn process(&mut self, record: &ConsumedRecord<'_>) -> Result<(), Failure> {
        self.batch
            .add(record.topic(), record.partition(), record.offset());
        self.outputs.made_of(Some(record));
        self.transform
            .transform(record, &mut self.outputs)
            .map_err(|source| Error::Transform {
                partition: record.topic_partition(),
                offset: record.offset(),
                source,
            })?;
        self.write()
    }

    fn commit(&mut self, consumer: &BaseConsumer<GroupChanges>) -> Result<(), Failure> {
        self.outputs.made_of(None);
        self.transform
            .complete(&mut self.outputs)
            .map_err(|source| Error::Complete { source })?;
        self.write()?;
        let next_offsets = self.batch.spans().iter();
        let next_offsets = next_offsets.map(|span| (span.partition.clone(), span.next));
        let offsets = assignment::offsets(&next_offsets.collect())
            .map_err(|source| self.producer.without_offsets(source))?;
        // Read now and not at the beginning: the group may have moved on to a new generation without taking anything.
        let group = consumer
            .group_metadata()
            .ok_or_else(|| self.producer.without_offsets(KafkaError::Canceled))?;
        self.producer.commit(&offsets, &group)?;
        self.transform.committed();
        self.summary.transactions += 1;
        self.summary.records += self.batch.records() as u64;
        self.batch = Batch::default();
        Ok(())
    }

    fn write(&mut self) -> Result<(), Failure> {
        for output in self.outputs.drain() {
            self.producer.send(output)?;
        }
        Ok(())
    }

    /// Back to where the open transaction began: nothing written, nothing remembered, nothing read.
    fn undo(&mut self, consumer: &BaseConsumer<GroupChanges>) -> Result<(), Error> {
        if !self.producer.is_open() {
            return Ok(());
        }
        self.outputs.clear();
        self.transform.aborted();
        self.producer.abort()?;
        self.summary.aborted += 1;
        let batch = std::mem::take(&mut self.batch);
        rewind(consumer, &batch)
    }

    /// What the consumer has to say that is not a record.
    fn notice(&self, error: KafkaError) -> Result<(), Failure> {
        match error_route::route(&error, self.phase) {
            Route::Ignore => Ok(()),
            Route::Warn(words) => {
                tracing::warn!(%error, "{words}");
                Ok(())
            }
            // librdkafka goes on trying by itself.
            Route::Raise if error.kind() == ErrorKind::Transient => {
                tracing::warn!(%error, "could not read");
                Ok(())
            }
            Route::Raise => Err(Error::Receive { source: error }.into()),
        }
    }

    /// Nobody polls meanwhile; it is far shorter than `max.poll.interval.ms`.
    fn pause(&self, failures: u32) {
        let pause = FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(failures - 1));
        let deadline = Instant::now() + pause.min(LONGEST_PAUSE);
        while Instant::now() < deadline && !self.shutdown.is_cancelled() {
            thread::sleep(FIRST_PAUSE);
        }
    }
}

/// Has the next record of each partition be the one behind the committed offset.
fn rewind(consumer: &BaseConsumer<GroupChanges>, batch: &Batch) -> Result<(), Error> {
    let deadline = Instant::now() + REWIND_PATIENCE;
    loop {
        let error = match try_rewind(consumer, batch) {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        if Instant::now() > deadline {
            // Not to be passed over: reading on from here would skip the records of the transaction.
            let partitions = batch.spans().iter().map(|span| span.partition.to_string());
            return Err(Error::Position {
                action: "go back to the committed offsets of",
                partitions: partitions.collect::<Vec<_>>().join(", "),
                source: error,
            });
        }
        tracing::warn!(%error, "could not go back to the committed offsets: trying again");
        thread::sleep(FIRST_PAUSE);
    }
}

fn try_rewind(consumer: &BaseConsumer<GroupChanges>, batch: &Batch) -> KafkaResult<()> {
    let assignment = consumer.assignment()?;
    let find = |list: &TopicPartitionList, TopicPartition { topic, partition }: &TopicPartition| {
        Some(list.find_partition(topic, *partition)?.offset())
    };
    let mut owned = batch.spans().to_vec();
    owned.retain(|span| find(&assignment, &span.partition).is_some());
    if owned.is_empty() {
        return Ok(());
    }
    let partitions = assignment::list(owned.iter().map(|span| &span.partition));
    let committed = consumer.committed_offsets(partitions, REQUEST)?;
    let target = owned.into_iter().map(|span| {
        let offset = match find(&committed, &span.partition) {
            Some(Offset::Offset(offset)) => offset,
            // Nothing was ever committed, so the transaction was the first to read here.
            _ => span.first,
        };
        (span.partition, offset)
    });
    let target = assignment::offsets(&target.collect())?;
    let sought = consumer.seek_partitions(target, REQUEST)?;
    sought
        .elements()
        .iter()
        .try_for_each(|element| element.error())
}
