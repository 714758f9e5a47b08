//! Processes that really die: this test program, started again as a child and killed, on both brokers.

use std::process;
use std::time::Duration;

use kafka_event_streaming::child::{self, Child};
use kafka_event_streaming::config::{Cluster, ConsumerSettings, ProducerSettings};
use kafka_event_streaming::consumer::{Polled, RecordConsumer};
use kafka_event_streaming::ledger::{Ledger, LedgerReport};
use kafka_event_streaming::producer::RecordProducer;
use kafka_event_streaming::transaction::{TransactionSettings, TransactionalProcessor};
use rdkafka::Message;
use tokio::sync::mpsc;

use crate::common::Kafka;
use crate::pipeline::{PATIENCE, Pipeline, copy};

/// What the first argument of a child begins with. No test has such a name, so the test runner passes over it.
const ROLE: &str = "worker";

/// How many records make a commit.
const BATCH: usize = 10;

/// How a worker makes its progress known to Kafka.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Commits {
    /// After the work, by hand.
    Manual,
    /// With the results, in a transaction.
    Transactional,
}

/// Runs a worker. `dies_at` says before the commit of which record it ends itself: the work is done, its offset is not
/// stored.
fn start(
    pipeline: &Pipeline,
    commits: Commits,
    dies_at: Option<usize>,
) -> (Child, mpsc::UnboundedReceiver<String>) {
    let role = [
        ROLE.to_owned(),
        format!("{commits:?}"),
        pipeline.cluster.servers().as_str().to_owned(),
        pipeline.input.clone(),
        pipeline.output.clone(),
        pipeline.group.clone(),
        dies_at.unwrap_or(usize::MAX).to_string(),
    ];
    let arguments = [
        "crash::worker_program",
        &role.join("|"),
        "--exact",
        "--nocapture",
    ];
    let (sender, lines) = mpsc::unbounded_channel();
    (Child::start(arguments, sender).unwrap(), lines)
}

/// The worker's side. Run by nobody else it does nothing.
#[tokio::test(flavor = "multi_thread")]
async fn worker_program() {
    let mut arguments = std::env::args();
    let Some(role) = arguments.find(|argument| argument.starts_with(ROLE)) else {
        return;
    };
    let role: Vec<&str> = role.split('|').collect();
    let [_, commits, servers, input, output, group, dies_at] = role[..] else {
        panic!("{role:?}");
    };
    let pipeline = Pipeline {
        cluster: Cluster::new(servers.parse().unwrap()),
        input: input.to_owned(),
        output: output.to_owned(),
        group: group.to_owned(),
        partitions: 0,
        ledger: Ledger::new(),
    };
    let dies_at: usize = dies_at.parse().unwrap();
    if commits == format!("{:?}", Commits::Manual) {
        commit_by_hand(&pipeline, dies_at).await;
    } else {
        commit_in_transactions(&pipeline, dies_at).await;
    }
}

/// The same member after each restart, so that its partitions wait for it.
fn consumer_settings(pipeline: &Pipeline) -> ConsumerSettings {
    ConsumerSettings {
        instance_id: Some("worker-0".to_owned()),
        ..ConsumerSettings::reliable(&pipeline.group)
    }
}

async fn commit_by_hand(pipeline: &Pipeline, dies_at: usize) {
    let producer = RecordProducer::new(&pipeline.cluster, &ProducerSettings::reliable()).unwrap();
    let settings = consumer_settings(pipeline);
    let consumer = RecordConsumer::new(&pipeline.cluster, &settings, &[&pipeline.input]).unwrap();
    let stop = child::asked_to_stop();
    let mut records = 0;
    while !stop.is_cancelled() {
        let Polled::Record(record) = consumer.next(Duration::from_millis(50)).await.unwrap() else {
            continue;
        };
        let (key, payload) = (record.key().unwrap(), record.payload().unwrap());
        producer.send(&pipeline.output, key, payload).await.unwrap();
        records += 1;
        println!("record {records}");
        if records == dies_at {
            process::abort();
        }
        if records % BATCH == 0 {
            consumer.commit(&record).await.unwrap();
        }
    }
    consumer.close().await.unwrap();
}

async fn commit_in_transactions(pipeline: &Pipeline, dies_at: usize) {
    let settings = TransactionSettings {
        consumer: consumer_settings(pipeline),
        batch_records: BATCH,
        ..pipeline.settings(&format!("{}-0", pipeline.group))
    };
    let processor =
        TransactionalProcessor::new(&pipeline.cluster, &settings, &[&pipeline.input]).unwrap();
    let output = pipeline.output.clone();
    let mut records = 0;
    let stop = child::asked_to_stop();
    processor
        .run(&stop, move |record, outputs| {
            copy(record, outputs, &output);
            records += 1;
            println!("record {records}");
            if records == dies_at {
                process::abort();
            }
            Ok(())
        })
        .await
        .unwrap();
}

/// X2, S3-14: a process that dies between its work and the commit does the work again when offsets are committed by
/// hand, and has done it once when they are part of a transaction. Nothing is lost either way.
#[tokio::test(flavor = "multi_thread")]
async fn manual_commits_repeat_what_transactions_do_once() {
    let kafka = Kafka::start().await;
    let manual = die_once_and_go_on(&kafka, Commits::Manual).await;
    assert!(manual.is_at_least_once(), "{manual}");
    // Of the second ten records, five were done and none was committed.
    assert_eq!((manual.once, manual.duplicated), (25, 5), "{manual}");

    let transactional = die_once_and_go_on(&kafka, Commits::Transactional).await;
    assert!(transactional.is_exactly_once(), "{transactional}");
}

async fn die_once_and_go_on(kafka: &Kafka, commits: Commits) -> LedgerReport {
    let pipeline = Pipeline::with_partitions(kafka.cluster(), 1).await;
    pipeline.fill(30).await;
    let (mut dies, _lines) = start(&pipeline, commits, Some(15));
    let status = tokio::time::timeout(PATIENCE, dies.wait()).await;
    let status = status.expect("the worker has to end itself").unwrap();
    assert!(!status.success(), "the worker ended in order: {status}");

    let (goes_on, _lines) = start(&pipeline, commits, None);
    let report = pipeline.count().await;
    assert!(goes_on.stop().await.unwrap().success());
    report
}

/// S3-14, X2: killed at random points and restarted, ten times: 0 lost, 0 duplicated.
#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_is_killed_again_and_again_loses_and_repeats_nothing() {
    const RECORDS: usize = 2_000;
    const KILLS: usize = 10;
    let kafka = Kafka::start().await;
    let pipeline = Pipeline::create(kafka.cluster()).await;
    pipeline.fill(RECORDS).await;
    let seed = fastrand::u64(..);
    eprintln!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    for kill in 0..KILLS {
        let (worker, mut lines) = start(&pipeline, Commits::Transactional, None);
        // Anywhere in a transaction, or between two of them.
        let records = random.usize(1..RECORDS / KILLS);
        let mut seen = 0;
        while seen < records {
            let line = tokio::time::timeout(PATIENCE, lines.recv()).await;
            let line = line.unwrap_or_else(|_| panic!("worker {kill} stood still at {seen}"));
            let line = line.unwrap_or_else(|| panic!("worker {kill} ended at {seen}"));
            seen += usize::from(line.contains("record "));
        }
        tokio::time::sleep(Duration::from_micros(random.u64(..3_000))).await;
        worker.kill().await.unwrap();
    }
    let (worker, _lines) = start(&pipeline, Commits::Transactional, None);
    pipeline.expect_exactly_once().await;
    assert!(worker.stop().await.unwrap().success());
}
