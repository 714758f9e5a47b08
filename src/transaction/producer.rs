//! The producer's half of a transaction: every call, and what its errors ask for.
//!
//! librdkafka sorts the errors of transactions into three kinds
//! (<https://github.com/confluentinc/librdkafka/blob/master/INTRODUCTION.md#transactional-producer-api>): call again,
//! abort and begin again, or give the producer up.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::client::ClientContext;
use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer, ProducerContext, ThreadedProducer};
use rdkafka::util::Timeout;
use tokio_util::sync::CancellationToken;

use super::{OutputRecord, TransactionSettings};
use crate::Error;
use crate::config::Cluster;

/// How long one call that can be resumed may block, so that a shutdown is noticed.
const CALL: Duration = Duration::from_secs(1);

/// Between two tries of a call that failed at once.
const PAUSE: Duration = Duration::from_millis(50);

/// Between two looks at a full queue.
const QUEUE_PAUSE: Duration = Duration::from_millis(10);

/// A resumable call is given up after this many times the transaction's time-out. The broker has ended the transaction
/// long before.
const PATIENCE: u32 = 3;

/// Why a transaction was not committed, by what is to be done about it.
#[derive(Debug)]
pub(super) enum Failure {
    /// Abort, and read its records again.
    Abort(Box<Error>),
    /// Partitions were given to another member: abort, and read again what is left.
    Rebalanced,
    /// Stop. Nothing can be done with this producer, or trying again makes no difference.
    Stop(Box<Error>),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Stop(Box::new(error))
    }
}

/// What was being done when something went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Initialize,
    Begin,
    Write,
    AddOffsets,
    Commit,
    Abort,
}

/// A producer that writes in transactions only. Its calls block, so they stay on the processor's thread.
pub(super) struct TransactionalProducer {
    /// With a thread of its own for delivery reports: librdkafka's abort and commit wait until each was handed out, so
    /// they never end if the thread that calls them is the one that has to do it.
    client: ThreadedProducer<Deliveries>,
    deliveries: Arc<Outstanding>,
    transactional_id: String,
    transaction_timeout: Duration,
    /// Between begin and the end of commit or abort, whether these succeed or not.
    is_open: bool,
}

impl TransactionalProducer {
    pub(super) fn new(cluster: &Cluster, settings: &TransactionSettings) -> Result<Self, Error> {
        let deliveries = Arc::new(Outstanding::default());
        let client = settings
            .producer_config(cluster)?
            .create_with_context(Deliveries(Arc::clone(&deliveries)))
            .map_err(|source| Error::Client {
                client: "transactional producer",
                source,
            })?;
        Ok(Self {
            client,
            deliveries,
            transactional_id: settings.transactional_id.clone(),
            transaction_timeout: settings.transaction_timeout,
            is_open: false,
        })
    }

    /// Has the broker end what a process before left open, and fence it. Returns early, with success, on shutdown.
    pub(super) fn initialize(&self, shutdown: &CancellationToken) -> Result<(), Error> {
        let initialize = |call: Timeout| self.client.init_transactions(call);
        self.resume(Step::Initialize, initialize, || shutdown.is_cancelled())
            .map_err(|failure| self.stop(Step::Initialize, failure))
    }

    pub(super) fn begin(&mut self) -> Result<(), Failure> {
        self.is_open = true;
        let begun = self.client.begin_transaction();
        begun.map_err(|error| self.judge(Step::Begin, error))
    }

    pub(super) fn is_open(&self) -> bool {
        self.is_open
    }

    /// Places a record in the queue, waiting for room if it is full.
    pub(super) fn send(&self, output: OutputRecord) -> Result<(), Failure> {
        let mut record: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(&output.topic);
        record.partition = output.partition;
        record.key = output.key.as_deref();
        record.payload = output.payload.as_deref();
        record.timestamp = output.timestamp;
        record.headers = output.headers;
        let deadline = Instant::now() + self.transaction_timeout;
        loop {
            // Counted before: the report may come before `send` returns.
            self.deliveries.add();
            let Err((error, refused)) = self.client.send(record) else {
                return Ok(());
            };
            self.deliveries.forget_one();
            let is_full = error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull);
            if !is_full || Instant::now() > deadline {
                return Err(self.refused(&output.topic, error));
            }
            record = refused;
            self.deliveries.wait(QUEUE_PAUSE);
        }
    }

    /// Waits until every record was written, adds the consumer's offsets, and commits.
    pub(super) fn commit(
        &mut self,
        offsets: &TopicPartitionList,
        group: &ConsumerGroupMetadata,
    ) -> Result<(), Failure> {
        // Before the offsets, and not only before the end: whoever takes a partition over and sees that offsets of it
        // are committed, or about to be, may rely on all that belongs to them standing in the logs already.
        self.await_deliveries()?;
        // Cannot be resumed: librdkafka tries again by itself until the time is over, and then has it aborted.
        self.client
            .send_offsets_to_transaction(offsets, group, self.transaction_timeout)
            .map_err(|error| self.judge(Step::AddOffsets, error))?;
        // Once the broker was asked to commit, only it knows the outcome: ask until it answers.
        self.resume(
            Step::Commit,
            |call| self.client.commit_transaction(call),
            || false,
        )?;
        self.is_open = false;
        Ok(())
    }

    /// Takes back what was written in the open transaction. Without one it does nothing.
    pub(super) fn abort(&mut self) -> Result<(), Error> {
        if !self.is_open {
            return Ok(());
        }
        self.is_open = false;
        self.resume(
            Step::Abort,
            |call| self.client.abort_transaction(call),
            || false,
        )
        .map_err(|failure| self.stop(Step::Abort, failure))?;
        // The abort has purged the queue, and was not done before each record had its report.
        self.deliveries.take_failure();
        Ok(())
    }

    /// The error for an abort that came once too often.
    pub(super) fn aborted_too_often(&self, times: u32, source: Box<Error>) -> Error {
        Error::AbortedTooOften {
            transactional_id: self.transactional_id.clone(),
            times,
            source,
        }
    }

    /// The error for offsets that cannot even be named.
    pub(super) fn without_offsets(&self, source: KafkaError) -> Error {
        self.error(Step::AddOffsets, source)
    }

    /// Waiting here, rather than in librdkafka's commit: rdkafka's `flush` sees that the queue is empty only every
    /// 100 ms, which would be the shortest transaction.
    fn await_deliveries(&self) -> Result<(), Failure> {
        // Every record has a report by then, because none may be on its way for longer.
        let deadline = Instant::now() + 2 * self.transaction_timeout;
        while self.deliveries.count() > 0 {
            if Instant::now() > deadline {
                let error = KafkaError::Flush(RDKafkaErrorCode::OperationTimedOut);
                return Err(self.retry(Step::Write, error));
            }
            self.deliveries.wait(CALL);
        }
        // A bad report makes the transaction fail at the next step, which says more about it.
        Ok(())
    }

    /// Makes a call until it ends, as long as it may be made again.
    fn resume(
        &self,
        step: Step,
        call: impl Fn(Timeout) -> KafkaResult<()>,
        give_up: impl Fn() -> bool,
    ) -> Result<(), Failure> {
        let deadline = Instant::now() + PATIENCE * self.transaction_timeout;
        loop {
            let Err(error) = call(Timeout::After(CALL)) else {
                return Ok(());
            };
            if !is_retriable(&error) {
                return Err(self.judge(step, error));
            }
            if give_up() {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(self.error(step, error).into());
            }
            // Not a warning: it is what happens while the transaction of a predecessor is being ended.
            tracing::info!(transactional_id = %self.transactional_id, %error, "{}: trying again", step.name());
            std::thread::sleep(PAUSE);
        }
    }

    /// What an error asks for.
    fn judge(&self, step: Step, error: KafkaError) -> Failure {
        if let Some((code, reason)) = self.client.client().fatal_error() {
            // The caller is told; here are librdkafka's words.
            tracing::debug!(transactional_id = %self.transactional_id, %code, reason, "the producer is of no more use");
            return self.fatal(step, code).into();
        }
        let error = match error.rdkafka_error_code() {
            // "See individual delivery reports", it says.
            Some(RDKafkaErrorCode::Inconsistent) => self.deliveries.take_failure().unwrap_or(error),
            _ => error,
        };
        match &error {
            KafkaError::Transaction(cause) if cause.is_fatal() => {
                self.fatal(step, cause.code()).into()
            }
            KafkaError::Transaction(cause) if cause.txn_requires_abort() => self.retry(step, error),
            // Not to be begun or not to be aborted: the states of client and program have come apart.
            _ if matches!(step, Step::Begin | Step::Abort | Step::Initialize) => {
                self.error(step, error).into()
            }
            _ => self.retry(step, error),
        }
    }

    /// What a record asks for that was not even queued.
    fn refused(&self, topic: &str, error: KafkaError) -> Failure {
        match error.rdkafka_error_code() {
            // It would be so again.
            Some(RDKafkaErrorCode::MessageSizeTooLarge | RDKafkaErrorCode::UnknownPartition)
            | None => Error::NotDelivered {
                topic: topic.to_owned(),
                source: error,
            }
            .into(),
            // Most often `State`: the transaction has failed in the background, and takes no more records.
            Some(_) => self.judge(Step::Write, error),
        }
    }

    fn fatal(&self, step: Step, code: RDKafkaErrorCode) -> Error {
        let source = KafkaError::Global(code);
        match code {
            RDKafkaErrorCode::Fenced
            | RDKafkaErrorCode::ProducerFenced
            | RDKafkaErrorCode::InvalidProducerEpoch => Error::Fenced {
                transactional_id: self.transactional_id.clone(),
                source,
            },
            _ => self.error(step, source),
        }
    }

    fn retry(&self, step: Step, source: KafkaError) -> Failure {
        Failure::Abort(Box::new(self.error(step, source)))
    }

    fn stop(&self, step: Step, failure: Failure) -> Error {
        match failure {
            Failure::Stop(error) | Failure::Abort(error) => *error,
            Failure::Rebalanced => self.error(step, KafkaError::Canceled),
        }
    }

    fn error(&self, step: Step, source: KafkaError) -> Error {
        Error::Transaction {
            step: step.name(),
            transactional_id: self.transactional_id.clone(),
            source,
        }
    }
}

fn is_retriable(error: &KafkaError) -> bool {
    match error {
        KafkaError::Transaction(cause) => cause.is_retriable(),
        // rdkafka flushes before it commits.
        KafkaError::Flush(_) => true,
        _ => false,
    }
}

impl Step {
    fn name(self) -> &'static str {
        match self {
            Self::Initialize => "initialize transactions",
            Self::Begin => "begin a transaction",
            Self::Write => "write in a transaction",
            Self::AddOffsets => "add offsets to a transaction",
            Self::Commit => "commit a transaction",
            Self::Abort => "abort a transaction",
        }
    }
}

/// Hands delivery reports to [`Outstanding`].
struct Deliveries(Arc<Outstanding>);

/// Records without a delivery report.
#[derive(Default)]
struct Outstanding {
    state: Mutex<Reports>,
    /// Told when the last report is there.
    done: Condvar,
}

#[derive(Default)]
struct Reports {
    /// Sent, and not reported on.
    outstanding: usize,
    /// The first report that was bad. It may say why a transaction fails; the others say that it has failed.
    failure: Option<KafkaError>,
}

impl Outstanding {
    fn add(&self) {
        self.lock().outstanding += 1;
    }

    fn forget_one(&self) {
        self.lock().outstanding -= 1;
    }

    fn count(&self) -> usize {
        self.lock().outstanding
    }

    fn take_failure(&self) -> Option<KafkaError> {
        self.lock().failure.take()
    }

    /// Until the last report is there, or `patience` is over.
    fn wait(&self, patience: Duration) {
        let state = self.lock();
        let waited = self
            .done
            .wait_timeout_while(state, patience, |reports| reports.outstanding > 0);
        drop(waited);
    }

    fn report(&self, failure: Option<KafkaError>) {
        let mut state = self.lock();
        state.outstanding = state.outstanding.saturating_sub(1);
        if state.failure.is_none() {
            state.failure = failure;
        }
        if state.outstanding == 0 {
            self.done.notify_all();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Reports> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        self.0
            .report(result.as_ref().err().map(|(error, _)| error.clone()));
    }
}
