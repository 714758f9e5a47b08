//! librdkafka's transactional producer, as a program uses it.

use std::time::{Duration, Instant};

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use rdkafka::{Offset, TopicPartitionList};

use super::{committed, everything};
use crate::support::broker::{broker, unique};
use crate::support::raw::RawClient;
use crate::support::topic::Topic;
use crate::support::wait::{DEADLINE, eventually};

type Client = ThreadedProducer<DefaultProducerContext>;

/// Runs what blocks beside the test's runtime.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work)
        .await
        .expect("the client's thread")
}

fn producer(address: &str, transactional_id: &str, timeout_ms: u32) -> Client {
    let producer: Client = ClientConfig::new()
        .set("bootstrap.servers", address)
        .set("transactional.id", transactional_id)
        .set("transaction.timeout.ms", timeout_ms.to_string())
        // Not longer than the transaction may take.
        .set("message.timeout.ms", timeout_ms.to_string())
        .set("linger.ms", "0")
        .create()
        .expect("a producer");
    producer
        .init_transactions(DEADLINE)
        .expect("init_transactions");
    producer
}

fn send(producer: &Client, topic: &str, value: &str) {
    let record: BaseRecord<'_, (), str> = BaseRecord::to(topic).partition(0).payload(value);
    producer
        .send(record)
        .map_err(|(error, _)| error)
        .expect("send");
}

/// The error that a transactional call ended with.
fn transaction_error(result: Result<(), KafkaError>) -> RDKafkaError {
    match result {
        Err(KafkaError::Transaction(error)) => error,
        other => panic!("a transaction error was expected: {other:?}"),
    }
}

/// What a consumer reads of partition 0, to its end.
fn consume(address: &str, topic: &str, isolation_level: &str) -> Vec<String> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", address)
        .set("group.id", unique("group"))
        .set("isolation.level", isolation_level)
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .create()
        .expect("a consumer");
    let mut partitions = TopicPartitionList::new();
    partitions
        .add_partition_offset(topic, 0, Offset::Beginning)
        .expect("an offset");
    consumer.assign(&partitions).expect("assign");
    let mut values = Vec::new();
    let start = Instant::now();
    while start.elapsed() < DEADLINE {
        match consumer.poll(Duration::from_millis(100)) {
            None => {}
            Some(Ok(message)) => {
                let value = message.payload().unwrap_or_default();
                values.push(String::from_utf8_lossy(value).into_owned());
            }
            Some(Err(KafkaError::PartitionEOF(_))) => return values,
            Some(Err(error)) => panic!("consume: {error}"),
        }
    }
    panic!("no end of {topic} within {DEADLINE:?}, only {values:?}");
}

/// The simplest use: what is committed is seen, what is aborted is not, except by those who ask for everything.
#[tokio::test]
async fn committed_records_are_consumed_and_aborted_ones_are_not() {
    let topic = Topic::create(1).await;
    let (address, name) = (broker().await, topic.name.clone());
    blocking(move || {
        let producer = producer(address, &unique("transactional"), 60_000);
        for (value, commit) in [("a", true), ("b", false), ("c", true)] {
            producer.begin_transaction().expect("begin");
            send(&producer, &name, value);
            if commit {
                producer.commit_transaction(DEADLINE).expect("commit");
            } else {
                producer.flush(DEADLINE).expect("flush");
                producer.abort_transaction(DEADLINE).expect("abort");
            }
        }
        assert_eq!(consume(address, &name, "read_committed"), ["a", "c"]);
        assert_eq!(consume(address, &name, "read_uncommitted"), ["a", "b", "c"]);
    })
    .await;
}

/// Consume, transform, produce: the offset moves with the output, and not without it.
#[tokio::test]
async fn offsets_move_with_the_output() {
    let (input, output) = (Topic::create(1).await, Topic::create(1).await);
    let address = broker().await;
    blocking(move || {
        let feed = producer(address, &unique("transactional"), 60_000);
        feed.begin_transaction().expect("begin");
        for value in ["1", "2", "3"] {
            send(&feed, &input.name, value);
        }
        feed.commit_transaction(DEADLINE).expect("commit");
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", address)
            .set("group.id", unique("group"))
            .set("isolation.level", "read_committed")
            .set("auto.offset.reset", "earliest")
            .set("enable.auto.commit", "false")
            .create()
            .expect("a consumer");
        consumer.subscribe(&[&input.name]).expect("subscribe");
        let worker = producer(address, &unique("transactional"), 60_000);
        let mut read = Vec::new();
        let start = Instant::now();
        while read.len() < 3 {
            assert!(start.elapsed() < DEADLINE, "only {read:?} was read");
            if let Some(message) = consumer.poll(Duration::from_millis(100)) {
                let message = message.expect("a record");
                read.push((
                    message.offset(),
                    message.payload().unwrap_or_default().to_vec(),
                ));
            }
        }
        let group = consumer.group_metadata().expect("the group's metadata");
        for (commit, count) in [(false, 3), (true, 2)] {
            worker.begin_transaction().expect("begin");
            for (_, value) in &read[..count] {
                send(&worker, &output.name, &String::from_utf8_lossy(value));
            }
            let mut offsets = TopicPartitionList::new();
            let next = read[count - 1].0 + 1;
            offsets
                .add_partition_offset(&input.name, 0, Offset::Offset(next))
                .expect("an offset");
            worker
                .send_offsets_to_transaction(&offsets, &group, DEADLINE)
                .expect("send offsets");
            if commit {
                worker.commit_transaction(DEADLINE).expect("commit");
            } else {
                worker.abort_transaction(DEADLINE).expect("abort");
            }
            let mut asked = TopicPartitionList::new();
            asked.add_partition(&input.name, 0);
            let found = consumer
                .committed_offsets(asked, DEADLINE)
                .expect("committed");
            let found = found
                .find_partition(&input.name, 0)
                .expect("the partition")
                .offset();
            let expected = if commit {
                Offset::Offset(next)
            } else {
                Offset::Invalid
            };
            assert_eq!(found, expected, "committed: {commit}");
        }
        assert_eq!(consume(address, &output.name, "read_committed"), ["1", "2"]);
    })
    .await;
}

/// A second producer with the same transactional id fences the first: fatally, whatever it tries next.
#[tokio::test]
async fn a_zombie_learns_that_it_is_fenced() {
    let topic = Topic::create(1).await;
    let (address, name) = (broker().await, topic.name.clone());
    blocking(move || {
        let id = unique("transactional");
        let zombie = producer(address, &id, 60_000);
        zombie.begin_transaction().expect("begin");
        send(&zombie, &name, "zombie");
        zombie.flush(DEADLINE).expect("flush");
        let successor = producer(address, &id, 60_000);
        successor.begin_transaction().expect("begin");
        send(&successor, &name, "successor");
        successor.commit_transaction(DEADLINE).expect("commit");
        let error = transaction_error(zombie.commit_transaction(DEADLINE));
        assert_eq!(error.code(), RDKafkaErrorCode::Fenced, "{error}");
        assert!(error.is_fatal(), "{error}");
        let (code, _) = zombie.client().fatal_error().expect("a fatal error");
        assert_eq!(code, RDKafkaErrorCode::Fenced);
    })
    .await;
    let mut client = RawClient::connect().await;
    assert_eq!(committed(&mut client, &topic, 0).await, ["successor"]);
    assert_eq!(
        everything(&mut client, &topic, 0).await,
        ["zombie", "successor"]
    );
}

/// The same by producing: the batch is refused by its epoch, and nothing it wrote is seen.
#[tokio::test]
async fn a_zombie_that_produces_is_fenced() {
    let topic = Topic::create(1).await;
    let (address, name) = (broker().await, topic.name.clone());
    blocking(move || {
        let id = unique("transactional");
        let zombie = producer(address, &id, 60_000);
        zombie.begin_transaction().expect("begin");
        send(&zombie, &name, "zombie");
        zombie.flush(DEADLINE).expect("flush");
        let _successor = producer(address, &id, 60_000);
        send(&zombie, &name, "late");
        let error = transaction_error(zombie.commit_transaction(DEADLINE));
        assert!(error.is_fatal() || error.txn_requires_abort(), "{error}");
        if !error.is_fatal() {
            let error = transaction_error(zombie.abort_transaction(DEADLINE));
            assert!(error.is_fatal(), "{error}");
        }
        let (code, _) = zombie.client().fatal_error().expect("a fatal error");
        assert_eq!(code, RDKafkaErrorCode::Fenced);
    })
    .await;
    let mut client = RawClient::connect().await;
    assert_eq!(committed(&mut client, &topic, 0).await, [""; 0]);
    assert_eq!(everything(&mut client, &topic, 0).await, ["zombie"]);
}

/// A transaction that took too long is aborted by the coordinator; its producer is told when it commits.
#[tokio::test]
async fn a_transaction_that_takes_too_long_cannot_be_committed() {
    let topic = Topic::create(1).await;
    let (address, name) = (broker().await, topic.name.clone());
    let slow = blocking(move || {
        let slow = producer(address, &unique("transactional"), 1_000);
        slow.begin_transaction().expect("begin");
        send(&slow, &name, "slow");
        slow.flush(DEADLINE).expect("flush");
        slow
    })
    .await;
    let mut client = RawClient::connect().await;
    eventually(DEADLINE, "the abort of the transaction", async || {
        (super::stable_end(&mut client, &topic, 0).await == 2).then_some(())
    })
    .await;
    blocking(move || {
        let error = transaction_error(slow.commit_transaction(DEADLINE));
        assert_eq!(error.code(), RDKafkaErrorCode::Fenced, "{error}");
        assert!(error.is_fatal(), "{error}");
    })
    .await;
    assert_eq!(committed(&mut client, &topic, 0).await, [""; 0]);
}

/// A timeout above the broker's `transaction.max.timeout.ms` is refused before anything begins.
#[tokio::test]
async fn too_long_a_timeout_is_refused() {
    let address = broker().await;
    blocking(move || {
        let producer: Client = ClientConfig::new()
            .set("bootstrap.servers", address)
            .set("transactional.id", unique("transactional"))
            .set("transaction.timeout.ms", "900001")
            .create()
            .expect("a producer");
        let error = transaction_error(producer.init_transactions(DEADLINE));
        assert_eq!(
            error.code(),
            RDKafkaErrorCode::InvalidTransactionTimeout,
            "{error}"
        );
        assert!(error.is_fatal(), "{error}");
    })
    .await;
}
