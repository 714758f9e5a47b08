//! Faults at each step of a transaction. The broker is an embedded one of the test's own, whatever the environment says.

use std::collections::BTreeSet;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use embedded_broker::{ApiKey, Broker, ErrorCode, Fault};
use futures::future::join_all;
use kafka_event_streaming::Error;
use kafka_event_streaming::assignment::TopicPartition;
use kafka_event_streaming::config::{Cluster, IsolationLevel};
use kafka_event_streaming::consumed_record::ConsumedRecord;
use kafka_event_streaming::transaction::{
    Outputs, Summary, TransactionSettings, TransactionalProcessor, Transform, TransformError,
};
use rdkafka::error::RDKafkaErrorCode;
use tokio_util::sync::CancellationToken;

use crate::pipeline::{PARTITIONS, PATIENCE, Pipeline};

async fn start_broker() -> (Broker, Cluster) {
    let broker = Broker::builder()
        .listen("127.0.0.1:0")
        .start()
        .await
        .unwrap();
    let cluster = Cluster::new(broker.bootstrap_servers().parse().unwrap());
    (broker, cluster)
}

/// What goes wrong with a request.
#[derive(Clone, Copy, Debug)]
enum Strike {
    /// It is refused.
    Error(ErrorCode),
    /// It is done, and the answer says that it was not.
    ApplyThenError(ErrorCode),
    /// It is lost with its connection.
    Drop,
    /// It is done, and the answer is lost with the connection.
    ApplyThenDrop,
}

impl Strike {
    fn once(self, broker: &Broker, api: ApiKey) -> Fault {
        // Not those of the producer that fills the input.
        let on = broker.faults().on(api).transactional_id("processor").once();
        match self {
            Self::Error(error) => on.error(error),
            Self::ApplyThenError(error) => on.apply_then_error(error),
            Self::Drop => on.drop_connection(),
            Self::ApplyThenDrop => on.apply_then_drop(),
        }
    }
}

/// Strikes a request of `api` before anything was committed and again later, and expects every result exactly once all
/// the same.
async fn survive(api: ApiKey, strike: Strike) -> Summary {
    let (broker, cluster) = start_broker().await;
    let pipeline = Pipeline::create(&cluster).await;
    pipeline.fill(100).await;
    let early = strike.once(&broker, api);
    let processor = pipeline.start(&pipeline.settings("processor"));
    pipeline.visible(IsolationLevel::ReadCommitted, 100).await;
    assert_eq!(early.hits(), 1, "{api:?}, {strike:?}");

    let late = strike.once(&broker, api);
    pipeline.fill_range(100..200).await;
    pipeline.expect_exactly_once().await;
    let summary = processor.stop().await;
    assert_eq!(summary.records, 200, "{api:?}, {strike:?}");
    // A producer is initialized once.
    let is_repeated = api != ApiKey::InitProducerId;
    assert_eq!(late.hits(), u64::from(is_repeated), "{api:?}, {strike:?}");
    summary
}

/// Connections that are dropped before and after the request, and `others`, each with a broker of its own, side by side.
async fn survive_all(api: ApiKey, others: &[Strike]) {
    let strikes = [Strike::Drop, Strike::ApplyThenDrop];
    let strikes = strikes.iter().chain(others);
    join_all(strikes.map(|strike| survive(api, *strike))).await;
}

/// S3-14: taking the transactional id over.
#[tokio::test(flavor = "multi_thread")]
async fn initializing_survives() {
    let errors = [
        Strike::Error(ErrorCode::CoordinatorLoadInProgress),
        Strike::Error(ErrorCode::ConcurrentTransactions),
        Strike::Error(ErrorCode::NotCoordinator),
    ];
    survive_all(ApiKey::InitProducerId, &errors).await;
}

/// S3-14: naming the partitions that are written to.
#[tokio::test(flavor = "multi_thread")]
async fn adding_partitions_survives() {
    let errors = [
        Strike::Error(ErrorCode::ConcurrentTransactions),
        Strike::Error(ErrorCode::NotCoordinator),
    ];
    survive_all(ApiKey::AddPartitionsToTxn, &errors).await;
}

/// S3-14: writing the results.
#[tokio::test(flavor = "multi_thread")]
async fn writing_survives() {
    let errors = [
        Strike::Error(ErrorCode::NotLeaderOrFollower),
        Strike::Error(ErrorCode::KafkaStorageError),
        Strike::ApplyThenError(ErrorCode::RequestTimedOut),
    ];
    survive_all(ApiKey::Produce, &errors).await;
}

/// S3-14: saying that offsets belong to the transaction.
#[tokio::test(flavor = "multi_thread")]
async fn adding_offsets_survives() {
    let errors = [Strike::Error(ErrorCode::CoordinatorLoadInProgress)];
    survive_all(ApiKey::AddOffsetsToTxn, &errors).await;
}

/// S3-14: handing the offsets to the group's coordinator.
#[tokio::test(flavor = "multi_thread")]
async fn committing_offsets_survives() {
    let errors = [
        Strike::Error(ErrorCode::CoordinatorLoadInProgress),
        Strike::Error(ErrorCode::NotCoordinator),
    ];
    survive_all(ApiKey::TxnOffsetCommit, &errors).await;
}

/// S3-14: the end, where only the broker knows whether there was one.
#[tokio::test(flavor = "multi_thread")]
async fn ending_survives() {
    let errors = [
        Strike::Error(ErrorCode::CoordinatorNotAvailable),
        Strike::Error(ErrorCode::ConcurrentTransactions),
        Strike::ApplyThenError(ErrorCode::CoordinatorNotAvailable),
    ];
    survive_all(ApiKey::EndTxn, &errors).await;
}

/// S3-14: what cannot be tried again within the transaction is taken back and done anew.
#[tokio::test(flavor = "multi_thread")]
async fn abortable_errors_are_aborted_and_tried_again() {
    let errors = [
        (ApiKey::Produce, ErrorCode::TopicAuthorizationFailed),
        (ApiKey::AddOffsetsToTxn, ErrorCode::GroupAuthorizationFailed),
        (ApiKey::TxnOffsetCommit, ErrorCode::IllegalGeneration),
        (ApiKey::TxnOffsetCommit, ErrorCode::UnknownMemberId),
        (ApiKey::EndTxn, ErrorCode::InvalidProducerIdMapping),
    ];
    let summaries = errors.map(|(api, error)| survive(api, Strike::Error(error)));
    for (summary, error) in join_all(summaries).await.iter().zip(errors) {
        assert!(summary.aborted >= 2, "{error:?}: {summary:?}");
    }
}

/// S3-14: what a transform remembers of an aborted transaction is forgotten with it.
#[tokio::test(flavor = "multi_thread")]
async fn memory_is_taken_back_with_the_transaction() {
    let (broker, cluster) = start_broker().await;
    let pipeline = Pipeline::create(&cluster).await;
    pipeline.fill(100).await;
    // Two commits fail, and one of the aborts has a hard time, too.
    let faults = [
        (ApiKey::TxnOffsetCommit, 2, ErrorCode::IllegalGeneration),
        (ApiKey::EndTxn, 1, ErrorCode::InvalidProducerIdMapping),
    ]
    .map(|(api, times, error)| (times, broker.faults().on(api).times(times).error(error)));
    let committed = Arc::new(AtomicUsize::new(0));
    let counter = Counter {
        output: pipeline.output.clone(),
        committed: Arc::clone(&committed),
        staged: 0,
        owned: BTreeSet::new(),
    };
    let settings = pipeline.settings("processor");
    let processor = TransactionalProcessor::new(&cluster, &settings, &[&pipeline.input]).unwrap();
    let shutdown = CancellationToken::new();
    let token = shutdown.clone();
    let running = tokio::spawn(async move { processor.run_with(&token, counter).await });
    let deadline = Instant::now() + PATIENCE;
    while committed.load(Ordering::SeqCst) < 100 {
        tokio::time::sleep(Duration::from_millis(10)).await;
        assert!(
            Instant::now() < deadline,
            "only {committed:?} records were committed after {PATIENCE:?}"
        );
    }
    shutdown.cancel();
    let (summary, counter) = running.await.unwrap().unwrap();
    assert_eq!(counter.committed.load(Ordering::SeqCst), 100);
    assert_eq!((summary.records, summary.aborted), (100, 2));
    for (times, fault) in faults {
        assert_eq!(fault.hits(), times);
    }
    // One total a transaction, and none of those that were aborted.
    let transactions = usize::try_from(summary.transactions).unwrap();
    let totals = pipeline
        .visible(IsolationLevel::ReadCommitted, transactions)
        .await;
    assert_eq!(totals, transactions);
}

/// S3-14: what does not heal ends the processor, and is named.
#[tokio::test(flavor = "multi_thread")]
async fn an_error_that_stays_ends_the_processor() {
    let (broker, cluster) = start_broker().await;
    let pipeline = Pipeline::create(&cluster).await;
    pipeline.fill(10).await;
    broker
        .faults()
        .on(ApiKey::TxnOffsetCommit)
        .error(ErrorCode::GroupAuthorizationFailed);
    let settings = TransactionSettings {
        attempts: 3,
        ..pipeline.settings("processor")
    };
    let error = pipeline.start(&settings).outcome().await.unwrap_err();
    let Error::AbortedTooOften {
        times: 3, source, ..
    } = &error
    else {
        panic!("{error:?}");
    };
    let Error::Transaction { step, source, .. } = &**source else {
        panic!("{error:?}");
    };
    assert_eq!(*step, "add offsets to a transaction");
    assert_eq!(
        source.rdkafka_error_code(),
        Some(RDKafkaErrorCode::GroupAuthorizationFailed)
    );
    // The offsets stayed where they were.
    broker.faults().clear();
    let processor = pipeline.start(&settings);
    pipeline.expect_exactly_once().await;
    assert_eq!(processor.stop().await.records, 10);
}

/// S3-14: an abort that fails does not hide why there was one. librdkafka gives up here: it asks to end a transaction in
/// which the broker has no partition yet.
#[tokio::test(flavor = "multi_thread")]
async fn an_error_that_cannot_be_aborted_is_named() {
    let (broker, cluster) = start_broker().await;
    let pipeline = Pipeline::create(&cluster).await;
    pipeline.fill(10).await;
    let fault = broker
        .faults()
        .on(ApiKey::AddPartitionsToTxn)
        .once()
        .error(ErrorCode::TopicAuthorizationFailed);
    let settings = pipeline.settings("processor");
    let error = pipeline.start(&settings).outcome().await.unwrap_err();
    assert_eq!(fault.hits(), 1);
    let Error::Transaction { step, source, .. } = &error else {
        panic!("{error:?}");
    };
    assert_eq!(*step, "add offsets to a transaction");
    assert_eq!(
        source.rdkafka_error_code(),
        Some(RDKafkaErrorCode::TopicAuthorizationFailed)
    );
    // A new producer does it.
    let processor = pipeline.start(&settings);
    pipeline.expect_exactly_once().await;
    assert_eq!(processor.stop().await.records, 10);
}

/// X13: offsets are added to the transaction when its results are in the logs, and not before. Whoever takes a partition
/// over relies on that when it restores the state that belongs to the offsets.
#[tokio::test(flavor = "multi_thread")]
async fn offsets_are_added_behind_the_results() {
    const DELAY: Duration = Duration::from_millis(400);
    let (broker, cluster) = start_broker().await;
    let pipeline = Pipeline::create(&cluster).await;
    pipeline.fill(10).await;
    broker.requests().clear();
    let slow = broker
        .faults()
        .on(ApiKey::Produce)
        .transactional_id("processor")
        .once()
        .delay(DELAY);
    let processor = pipeline.start(&pipeline.settings("processor"));
    pipeline.expect_exactly_once().await;
    assert_eq!(slow.hits(), 1);
    processor.stop().await;
    let requests = broker.requests().latest();
    let arrival = |api| {
        let found = requests.iter().find(|request| request.api == api);
        found.expect("there has to be such a request").since_start
    };
    let waited = arrival(ApiKey::AddOffsetsToTxn) - arrival(ApiKey::Produce);
    assert!(
        waited >= DELAY,
        "offsets came {waited:?} behind the results"
    );
}

/// S3-14: a transaction that the broker has given up on cannot be gone on with.
#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_takes_too_long_fences_its_process() {
    let (broker, cluster) = start_broker().await;
    let pipeline = Pipeline::create(&cluster).await;
    pipeline.fill(10).await;
    let settings = TransactionSettings {
        batch_records: usize::MAX,
        batch_time: PATIENCE,
        ..pipeline.settings("processor")
    };
    let processor = pipeline.start(&settings);
    pipeline.visible(IsolationLevel::ReadUncommitted, 10).await;
    broker.abort_transaction("processor").unwrap();
    processor.shutdown.cancel();
    let error = processor.outcome().await.unwrap_err();
    assert!(matches!(error, Error::Fenced { .. }), "{error:?}");
    assert_eq!(pipeline.visible(IsolationLevel::ReadCommitted, 0).await, 0);

    let successor = pipeline.start(&pipeline.settings("processor"));
    pipeline.expect_exactly_once().await;
    assert_eq!(successor.stop().await.records, 10);
}

/// S3-14: a network that loses one request in twelve, some before and some after the broker has acted upon it.
#[tokio::test(flavor = "multi_thread")]
async fn a_bad_network_costs_time_and_nothing_else() {
    let (broker, cluster) = start_broker().await;
    let pipeline = Pipeline::create(&cluster).await;
    pipeline.fill(400).await;
    let lost = [
        broker
            .faults()
            .on_any()
            .probability(0.04, 7)
            .drop_connection(),
        broker
            .faults()
            .on_any()
            .probability(0.04, 8)
            .apply_then_drop(),
    ];
    let processor = pipeline.start(&TransactionSettings {
        // Bad luck may go on for longer than the default.
        transaction_timeout: PATIENCE,
        ..pipeline.settings("processor")
    });
    // Not by a reader, which would be in the same network.
    let committed = || {
        let snapshot = broker.snapshot();
        let partition = |number| snapshot.committed(&pipeline.group, &pipeline.input, number);
        (0..PARTITIONS).filter_map(partition).sum::<i64>()
    };
    let deadline = Instant::now() + PATIENCE;
    while committed() < 400 {
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(
            Instant::now() < deadline,
            "{} of 400 records were committed after {PATIENCE:?}",
            committed()
        );
    }
    let hits: u64 = lost.iter().map(Fault::hits).sum();
    assert!(hits >= 5, "only {hits} requests were lost");
    broker.faults().clear();
    assert_eq!(processor.stop().await.records, 400);
    pipeline.expect_exactly_once().await;
}

/// A transform with a memory: how many records it has seen in all. It tells so at the end of each transaction.
struct Counter {
    output: String,
    /// Shared with the test, which waits for it.
    committed: Arc<AtomicUsize>,
    /// Those of the open transaction.
    staged: usize,
    /// What it was told of its partitions.
    owned: BTreeSet<TopicPartition>,
}

impl Transform for Counter {
    fn transform(
        &mut self,
        record: &ConsumedRecord<'_>,
        _: &mut Outputs,
    ) -> Result<(), TransformError> {
        let partition = record.topic_partition();
        if !self.owned.contains(&partition) {
            return Err(format!("a record of {partition:?}, which was never assigned").into());
        }
        self.staged += 1;
        Ok(())
    }

    fn complete(&mut self, outputs: &mut Outputs) -> Result<(), TransformError> {
        let total = (self.committed.load(Ordering::SeqCst) + self.staged).to_string();
        outputs.send(self.output.as_str(), b"total", total.as_bytes());
        Ok(())
    }

    fn committed(&mut self) {
        self.committed
            .fetch_add(mem::take(&mut self.staged), Ordering::SeqCst);
    }

    fn aborted(&mut self) {
        self.staged = 0;
    }

    fn assigned(&mut self, partitions: &[TopicPartition]) -> Result<(), Error> {
        self.owned.extend(partitions.iter().cloned());
        Ok(())
    }

    fn revoked(&mut self, partitions: &[TopicPartition]) {
        self.owned.retain(|owned| !partitions.contains(owned));
    }
}
