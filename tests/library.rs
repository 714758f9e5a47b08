//! The library against a broker: an embedded one, or the cluster that `KAFKA_BOOTSTRAP_SERVERS` names.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends by a panic"
)]

mod common;

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use common::Kafka;
use kafka_event_streaming::config::{Cluster, ConsumerSettings, IsolationLevel, ProducerSettings};
use kafka_event_streaming::consumed_record::ConsumedRecord;
use kafka_event_streaming::consumer::{Polled, RecordConsumer};
use kafka_event_streaming::lag::LagMeter;
use kafka_event_streaming::producer::RecordProducer;
use kafka_event_streaming::topics::{self, unique_name};
use kafka_event_streaming::trial::Trial;
use kafka_event_streaming::{Error, reachability, topic_contents};
use rdkafka::Message;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::{BorrowedMessage, OwnedMessage};

/// Far longer than any of this takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// An address where nothing listens: bound, and freed again.
fn nobody() -> Cluster {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    Cluster::new(address.parse().unwrap())
}

/// Sends `count` records, one after the other, with `record-0`, `record-1` and so on for payloads.
async fn send(kafka: &Kafka, topic: &str, count: usize) {
    let producer = RecordProducer::new(kafka.cluster(), &ProducerSettings::reliable()).unwrap();
    for number in 0..count {
        let payload = format!("record-{number}");
        producer
            .send(topic, b"key", payload.as_bytes())
            .await
            .unwrap();
    }
}

/// The next record, past any end of a partition.
async fn next_record(consumer: &RecordConsumer) -> OwnedMessage {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match consumer.next(Duration::from_millis(200)).await {
            Ok(Polled::Record(record)) => return record,
            Ok(_) => {}
            Err(error) => eprintln!("{error:?}"),
        }
        assert!(Instant::now() < deadline, "no record within {PATIENCE:?}");
    }
}

/// Reads until the end of `count` partitions was seen, so that this member is known to own them.
async fn ends_of_partitions(consumer: &RecordConsumer, count: usize) -> BTreeSet<i32> {
    let deadline = Instant::now() + PATIENCE;
    let mut ended = BTreeSet::new();
    while ended.len() < count {
        if let Ok(Polled::EndOfPartition(partition)) =
            consumer.next(Duration::from_millis(200)).await
        {
            ended.insert(partition);
        }
        assert!(
            Instant::now() < deadline,
            "only the ends of partitions {ended:?} were seen within {PATIENCE:?}"
        );
    }
    ended
}

/// S4-21: the delivery report is where the record is.
#[tokio::test]
async fn a_delivery_says_where_the_record_can_be_read() {
    let kafka = Kafka::start().await;
    let topic = kafka.topic(3).await;
    let producer = RecordProducer::new(kafka.cluster(), &ProducerSettings::reliable()).unwrap();
    let delivery = producer
        .send(&topic, b"customer-1", b"2 coffees")
        .await
        .unwrap();
    assert_eq!((&*delivery.topic, delivery.offset), (topic.as_str(), 0));

    let consumer = RecordConsumer::new(
        kafka.cluster(),
        &ConsumerSettings::reliable(&unique_name("group")),
        &[&topic],
    )
    .unwrap();
    let record = next_record(&consumer).await;
    assert_eq!(
        (record.partition(), record.offset()),
        (delivery.partition, delivery.offset)
    );
    assert_eq!(record.key(), Some(&b"customer-1"[..]));
    assert_eq!(record.payload(), Some(&b"2 coffees"[..]));
}

/// S1-04: records with one key are read in the order in which they were enqueued, although nobody waited in between.
#[tokio::test]
async fn enqueued_records_of_one_key_keep_their_order() {
    let kafka = Kafka::start().await;
    let topic = kafka.topic(3).await;
    let producer = RecordProducer::new(kafka.cluster(), &ProducerSettings::reliable()).unwrap();
    let mut pending = Vec::new();
    for number in 0..500_u32 {
        pending.push(
            producer
                .enqueue(&topic, b"one", &number.to_be_bytes())
                .await
                .unwrap(),
        );
    }
    let mut partitions = BTreeSet::new();
    for (number, report) in pending.into_iter().enumerate() {
        let delivery = report.await.unwrap();
        partitions.insert(delivery.partition);
        assert_eq!(delivery.offset, i64::try_from(number).unwrap());
    }
    assert_eq!(partitions.len(), 1, "one key went to several partitions");

    let consumer = RecordConsumer::new(
        kafka.cluster(),
        &ConsumerSettings::reliable(&unique_name("group")),
        &[&topic],
    )
    .unwrap();
    for number in 0..500_u32 {
        let record = next_record(&consumer).await;
        assert_eq!(
            record.payload(),
            Some(&number.to_be_bytes()[..]),
            "at offset {}",
            record.offset()
        );
    }
}

/// S3-05: the committed offset is the last processed one plus 1.
#[tokio::test]
async fn a_new_member_resumes_behind_the_last_committed_record() {
    let kafka = Kafka::start().await;
    let topic = kafka.topic(1).await;
    send(&kafka, &topic, 6).await;
    let group = unique_name("group");

    let first = RecordConsumer::new(
        kafka.cluster(),
        &ConsumerSettings::reliable(&group),
        &[&topic],
    )
    .unwrap();
    for _ in 0..4 {
        let record = next_record(&first).await;
        // The fourth one is read, and not committed.
        if record.offset() < 3 {
            first.commit(&record).await.unwrap();
        }
    }
    first.close().await.unwrap();

    let second = RecordConsumer::new(
        kafka.cluster(),
        &ConsumerSettings::reliable(&group),
        &[&topic],
    )
    .unwrap();
    let record = next_record(&second).await;
    assert_eq!(
        (record.offset(), record.payload()),
        (3, Some(&b"record-3"[..]))
    );
}

/// S3-06: a closed member's partitions are free at once, not when its session times out.
#[tokio::test]
async fn closing_hands_the_partitions_over_at_once() {
    let kafka = Kafka::start().await;
    let topic = kafka.topic(3).await;
    let group = unique_name("group");
    let first = RecordConsumer::new(
        kafka.cluster(),
        &ConsumerSettings::reliable(&group),
        &[&topic],
    )
    .unwrap();
    ends_of_partitions(&first, 3).await;
    first.close().await.unwrap();

    let closed = Instant::now();
    let second = RecordConsumer::new(
        kafka.cluster(),
        &ConsumerSettings::reliable(&group),
        &[&topic],
    )
    .unwrap();
    ends_of_partitions(&second, 3).await;
    let waited = closed.elapsed();
    assert!(
        waited < Duration::from_secs(4),
        "the partitions were free after {waited:?}: the session timeout of 6 s was waited for"
    );
}

/// S3-02: the end of a partition, and no news, are answers and not errors.
#[tokio::test]
async fn an_empty_topic_has_ends_and_then_nothing() {
    let kafka = Kafka::start().await;
    let topic = kafka.topic(2).await;
    let consumer = RecordConsumer::new(
        kafka.cluster(),
        &ConsumerSettings::reliable(&unique_name("group")),
        &[&topic],
    )
    .unwrap();
    assert_eq!(
        ends_of_partitions(&consumer, 2).await,
        BTreeSet::from([0, 1])
    );
    let polled = consumer.next(Duration::from_millis(50)).await.unwrap();
    assert!(matches!(polled, Polled::Nothing), "{polled:?}");
}

/// S1-08: flushing says how many records are left.
#[tokio::test]
async fn a_flush_that_runs_out_of_time_counts_what_is_left() {
    let producer = RecordProducer::new(&nobody(), &ProducerSettings::reliable()).unwrap();
    let mut pending = Vec::new();
    for _ in 0..3 {
        pending.push(
            producer
                .enqueue("orders", b"key", b"payload")
                .await
                .unwrap(),
        );
    }
    let error = producer
        .flush(Duration::from_millis(200))
        .await
        .unwrap_err();
    assert!(
        matches!(error, Error::FlushIncomplete { remaining: 3, .. }),
        "{error:?}"
    );
    assert_eq!(
        error.to_string(),
        "3 records were still not delivered after 0.2 s"
    );
}

#[tokio::test]
async fn a_flush_after_the_last_report_has_nothing_to_do() {
    let kafka = Kafka::start().await;
    let topic = kafka.topic(1).await;
    let producer = RecordProducer::new(kafka.cluster(), &ProducerSettings::reliable()).unwrap();
    let pending = producer.enqueue(&topic, b"key", b"payload").await.unwrap();
    producer.flush(PATIENCE).await.unwrap();
    assert_eq!(pending.await.unwrap().offset, 0);
}

#[tokio::test]
async fn a_record_that_is_too_large_is_refused_with_its_topic() {
    let producer = RecordProducer::new(&nobody(), &ProducerSettings::reliable()).unwrap();
    let too_large = vec![0; 2_000_000];
    let error = producer
        .send("orders", b"key", &too_large)
        .await
        .unwrap_err();
    let Error::NotDelivered { topic, source } = error else {
        panic!("{error:?}");
    };
    assert_eq!(topic, "orders");
    assert_eq!(
        source.rdkafka_error_code(),
        Some(RDKafkaErrorCode::MessageSizeTooLarge)
    );
}

/// S2-13: any number of processes may start at once.
#[tokio::test(flavor = "multi_thread")]
async fn a_topic_ensured_by_many_at_once_is_created_by_one() {
    let kafka = Kafka::start().await;
    let name = unique_name("test");
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (cluster, name) = (kafka.cluster().clone(), name.clone());
        calls.spawn(async move { topics::ensure_topic(&cluster, &name, 3).await.unwrap() });
    }
    let results = calls.join_all().await;
    assert_eq!(
        results.iter().filter(|topic| topic.created).count(),
        1,
        "{results:?}"
    );
    assert!(
        results.iter().all(|topic| topic.partitions == 3),
        "{results:?}"
    );
}

#[tokio::test]
async fn a_topic_that_exists_keeps_its_partitions() {
    let kafka = Kafka::start().await;
    let name = kafka.topic(2).await;
    let topic = topics::ensure_topic(kafka.cluster(), &name, 5)
        .await
        .unwrap();
    assert_eq!((topic.partitions, topic.created), (2, false));
}

#[tokio::test]
async fn a_topic_name_that_kafka_does_not_allow_is_named_in_the_error() {
    let kafka = Kafka::start().await;
    let error = topics::ensure_topic(kafka.cluster(), "not allowed!", 1)
        .await
        .unwrap_err();
    assert!(matches!(error, Error::TopicNotCreated { .. }), "{error:?}");
    assert!(error.to_string().contains("not allowed!"), "{error}");
}

#[tokio::test]
async fn the_contents_of_a_topic_are_read_without_a_group() {
    let kafka = Kafka::start().await;
    let topic = kafka.topic(3).await;
    let read = async || {
        let mut seen = BTreeSet::new();
        let visit = |record: &BorrowedMessage<'_>| {
            assert!(seen.insert((record.partition(), record.offset())));
        };
        let isolation = IsolationLevel::ReadCommitted;
        let count = topic_contents::read(kafka.cluster(), &topic, isolation, visit).await;
        assert_eq!(count.unwrap(), seen.len() as u64);
        seen
    };
    assert_eq!(read().await.len(), 0);
    let producer = RecordProducer::new(kafka.cluster(), &ProducerSettings::reliable()).unwrap();
    let mut sent = BTreeSet::new();
    for number in 0..20 {
        let key = number.to_string();
        let delivery = producer.send(&topic, key.as_bytes(), b"").await.unwrap();
        sent.insert((delivery.partition, delivery.offset));
    }
    assert_eq!(read().await, sent);
    assert_eq!(read().await, sent, "the second time it begins anew");
}

#[tokio::test]
async fn a_topic_that_does_not_exist_has_no_contents() {
    let kafka = Kafka::start().await;
    let topic = unique_name("missing");
    let isolation = IsolationLevel::ReadUncommitted;
    let read = topic_contents::read(kafka.cluster(), &topic, isolation, |_| {});
    let error = read.await.unwrap_err();
    assert!(matches!(error, Error::TopicRequest { .. }), "{error:?}");
}

/// S3-13, X2: a trial copies each number once, and says which of them never came.
#[tokio::test]
async fn a_trial_counts_what_became_of_its_numbers() {
    let kafka = Kafka::start().await;
    let trial = Trial::create(kafka.cluster(), "trial", 2).await.unwrap();
    trial.fill(0..50).await.unwrap();
    let effects = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&effects);
    let effect = move |_: &ConsumedRecord<'_>| {
        counted.fetch_add(1, Ordering::SeqCst);
        Ok(())
    };
    trial.copy_all(0..50, PATIENCE, effect).await.unwrap();
    assert_eq!(effects.load(Ordering::SeqCst), 50);

    let same = Trial::named(kafka.cluster(), trial.name());
    let report = same.count(IsolationLevel::ReadCommitted, 0..51).await;
    let report = report.unwrap();
    assert_eq!((report.once, report.lost), (50, 1), "{report}");
    let error = same.wait_for(0..51, Duration::ZERO).await.unwrap_err();
    assert!(
        matches!(&error, Error::StillMissing { missing: 1, .. }),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_broker_that_answers_is_reachable() {
    let kafka = Kafka::start().await;
    reachability::check(kafka.cluster(), PATIENCE)
        .await
        .unwrap();
}

/// S3-14: lag as the cluster knows it: of a group that never committed, that has committed some, and without a
/// member that runs.
#[tokio::test]
async fn lag_is_measured_without_a_member() {
    let kafka = Kafka::start().await;
    let topic = kafka.topic(1).await;
    send(&kafka, &topic, 5).await;
    let group = unique_name("test");
    let meter = LagMeter::new(kafka.cluster(), &group, &topic).unwrap();
    let measured = async || {
        let progress = meter.measure().await.unwrap();
        assert_eq!(progress.len(), 1);
        (progress[0].committed, progress[0].end, progress[0].lag())
    };
    assert_eq!(measured().await, (None, 5, 5));

    let settings = ConsumerSettings::reliable(&group);
    let consumer = RecordConsumer::new(kafka.cluster(), &settings, &[&topic]).unwrap();
    let deadline = Instant::now() + PATIENCE;
    let record = loop {
        match consumer.next(PATIENCE).await.unwrap() {
            Polled::Record(record) if record.offset() == 2 => break record,
            _ => assert!(Instant::now() < deadline, "no record at offset 2"),
        }
    };
    consumer.commit(&record).await.unwrap();
    consumer.close().await.unwrap();
    assert_eq!(measured().await, (Some(3), 5, 2));
    send(&kafka, &topic, 4).await;
    assert_eq!(measured().await, (Some(3), 9, 6));

    let nowhere = LagMeter::new(kafka.cluster(), &group, &unique_name("nowhere")).unwrap();
    let error = nowhere.measure().await.unwrap_err();
    assert!(matches!(error, Error::TopicRequest { .. }), "{error:?}");
}

/// The error has what the client complained of: "no answer" alone has many causes.
#[tokio::test]
async fn why_nobody_answers_is_told() {
    let error = reachability::check(&nobody(), Duration::from_millis(500))
        .await
        .unwrap_err();
    let why = std::error::Error::source(&error).unwrap().to_string();
    assert!(why.contains("Connection refused"), "{why}");
}

/// A watch ends when the broker is gone, and not before.
#[tokio::test]
async fn a_broker_that_goes_away_is_noticed() {
    let broker = embedded_broker::Broker::builder().start().await.unwrap();
    let cluster = Cluster::new(broker.bootstrap_servers().parse().unwrap());
    let interval = Duration::from_millis(200);
    let watch = reachability::watch(&cluster, interval);
    let mut watch = std::pin::pin!(watch);
    let early = tokio::time::timeout(3 * interval, &mut watch).await;
    assert!(early.is_err(), "{early:?}");
    drop(broker);
    let gone = tokio::time::timeout(PATIENCE, watch).await.unwrap();
    assert!(matches!(gone, Err(Error::Unreachable { .. })), "{gone:?}");
}

#[tokio::test]
async fn a_port_that_is_open_is_not_yet_a_broker() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let cluster = Cluster::new(address.parse().unwrap());
    let started = Instant::now();
    let error = reachability::check(&cluster, Duration::from_millis(500))
        .await
        .unwrap_err();
    assert!(
        started.elapsed() < Duration::from_secs(3),
        "it took {:?}",
        started.elapsed()
    );
    for part in [address.as_str(), "KAFKA_BOOTSTRAP_SERVERS", "make infra-up"] {
        assert!(
            error.to_string().contains(part),
            "{error} does not say {part:?}"
        );
    }
}
