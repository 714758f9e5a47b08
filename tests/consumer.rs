//! The typed consumer: what it reads, what it commits, and what happens when the group changes. On an embedded broker, or
//! the cluster that `KAFKA_BOOTSTRAP_SERVERS` names.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends by a panic"
)]

mod common;

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::Kafka;
use embedded_broker::{ApiKey, Broker, ErrorCode};
use kafka_event_streaming::Error;
use kafka_event_streaming::assignment::TopicPartition;
use kafka_event_streaming::config::{
    Assignor, ClassicGroup, Cluster, ConsumerSettings, GroupProtocol, ProducerSettings,
};
use kafka_event_streaming::consumer::{RebalanceObserver, RecordConsumer};
use kafka_event_streaming::event::{self, DecodeError, Event};
use kafka_event_streaming::event_consumer::{EventConsumer, Received, Undecodable};
use kafka_event_streaming::ledger::Ledger;
use kafka_event_streaming::producer::RecordProducer;
use kafka_event_streaming::topics::{self, unique_name};
use serde::{Deserialize, Deserializer, Serialize};

/// Far longer than any of this takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// One poll. Short, so that a test notices soon what else has changed.
const POLL: Duration = Duration::from_millis(50);

#[derive(Debug, Serialize, Deserialize)]
struct Counted {
    key: String,
    sequence: u64,
}

impl Event for Counted {
    const TYPE: &'static str = "test.counted";

    fn key(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.key)
    }
}

/// Sends `count` events of each of `keys` keys, in order.
async fn send(cluster: &Cluster, topic: &str, keys: u32, count: u64, ledger: &Ledger) {
    let producer = RecordProducer::new(cluster, &ProducerSettings::reliable()).unwrap();
    let mut pending = Vec::new();
    for sequence in 0..count {
        for key in 0..keys {
            let event = Counted {
                key: format!("key-{key}"),
                sequence,
            };
            let payload = event::encode(&event).unwrap();
            let report = producer
                .enqueue(topic, event.key.as_bytes(), &payload)
                .await
                .unwrap();
            pending.push((event, report));
        }
    }
    for (event, report) in pending {
        report.await.unwrap();
        ledger.sent(event.key, event.sequence);
    }
}

fn consumer(cluster: &Cluster, group: &str, topic: &str) -> EventConsumer<Counted> {
    EventConsumer::new(cluster, &ConsumerSettings::reliable(group), &[topic]).unwrap()
}

/// The next record, past any end of a partition and any error that passes.
async fn next<T: Event>(consumer: &EventConsumer<T>) -> Received<'_, T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match consumer.next(POLL).await {
            Ok(Some(received)) => return received,
            Ok(None) => {}
            Err(error) => eprintln!("reading goes on after {error:?}"),
        }
        assert!(Instant::now() < deadline, "no record within {PATIENCE:?}");
    }
}

/// Reads on, as `work` wants it, until `done` says so.
async fn read_until<T: Event>(
    consumer: &EventConsumer<T>,
    wanted: &str,
    mut done: impl FnMut() -> bool,
    mut work: impl FnMut(&Received<'_, T>),
) {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        match consumer.next(POLL).await {
            Ok(Some(received)) => work(&received),
            Ok(None) => {}
            Err(error) => eprintln!("reading goes on after {error:?}"),
        }
        assert!(
            Instant::now() < deadline,
            "{wanted}: not within {PATIENCE:?}"
        );
    }
}

/// S3-02: an event with where it stands, and nothing when there is nothing, at the end of a partition or of the time.
#[tokio::test]
async fn an_event_comes_with_its_place_and_then_nothing() {
    let kafka = Kafka::start().await;
    let topic = kafka.topic(1).await;
    send(kafka.cluster(), &topic, 1, 1, &Ledger::new()).await;
    let consumer = consumer(kafka.cluster(), &unique_name("group"), &topic);
    {
        let received = next(&consumer).await;
        assert_eq!(received.event.as_ref().unwrap().sequence, 0);
        let record = &received.record;
        assert_eq!(
            (record.topic(), record.partition(), record.offset()),
            (topic.as_str(), 0, 0)
        );
        assert_eq!(record.key(), Some(&b"key-0"[..]));
        assert!(record.timestamp() > Some(1_700_000_000_000));
    }
    // The end of the partition, and after it the end of the time.
    for _ in 0..3 {
        let nothing = consumer.next(POLL).await.unwrap();
        assert!(nothing.is_none(), "{nothing:?}");
    }
}

/// A type whose own code panics at some payloads.
#[derive(Debug, Serialize)]
struct Fragile {
    number: u32,
}

impl<'de> Deserialize<'de> for Fragile {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = u32::deserialize(deserializer)?;
        assert!(number != 13, "not this one");
        Ok(Self { number })
    }
}

impl Event for Fragile {
    const TYPE: &'static str = "test.fragile";

    fn key(&self) -> Cow<'_, str> {
        Cow::Borrowed("")
    }
}

/// S3-03, X6: what cannot be decoded says where it stands and how it begins, and the records behind it are read.
#[tokio::test]
async fn what_cannot_be_decoded_is_data_and_reading_goes_on() {
    let kafka = Kafka::start().await;
    let topic = kafka.topic(1).await;
    let producer = RecordProducer::new(kafka.cluster(), &ProducerSettings::reliable()).unwrap();
    let long = "x".repeat(300);
    for payload in ["1", long.as_str(), "13", "2"] {
        producer
            .send(&topic, b"key", payload.as_bytes())
            .await
            .unwrap();
    }
    let settings = ConsumerSettings::reliable(&unique_name("group"));
    let consumer = EventConsumer::<Fragile>::new(kafka.cluster(), &settings, &[&topic]).unwrap();
    assert_eq!(next(&consumer).await.event.unwrap().number, 1);

    let received = next(&consumer).await;
    let Undecodable {
        partition,
        offset,
        expected,
        sample,
        reason,
    } = *received.event.unwrap_err();
    assert_eq!(partition, TopicPartition::new(topic.as_str(), 0));
    assert_eq!((offset, expected), (1, "test.fragile"));
    assert_eq!(sample, "x".repeat(100));
    assert!(matches!(reason, DecodeError::Json { .. }), "{reason:?}");
    // All of it, to be put aside.
    assert_eq!(received.record.payload(), Some(long.as_bytes()));

    let panicked = next(&consumer).await.event.unwrap_err();
    assert_eq!(
        panicked.to_string(),
        format!("offset 2 of {topic}-0 is no event of type test.fragile")
    );
    assert_eq!(
        panicked.reason.to_string(),
        "decoding it panicked: not this one"
    );
    assert_eq!(next(&consumer).await.event.unwrap().number, 2);
}

/// S3-05: whatever is processed in whatever order of partitions, and committed at whatever moments: the committed offset
/// of each partition is that of the last record which was processed before the last commit, plus 1.
#[tokio::test]
async fn what_is_committed_is_the_last_processed_plus_one() {
    const KEYS: u32 = 20;
    const RECORDS: u64 = 10;
    let kafka = Kafka::start().await;
    let topic = kafka.topic(4).await;
    send(kafka.cluster(), &topic, KEYS, RECORDS, &Ledger::new()).await;
    for seed in 0..4 {
        let mut random = fastrand::Rng::with_seed(seed);
        let consumer = consumer(kafka.cluster(), &unique_name("group"), &topic);
        let mut processed = BTreeMap::new();
        let mut committed = BTreeMap::new();
        for _ in 0..random.u64(1..RECORDS * u64::from(KEYS)) {
            let received = next(&consumer).await;
            let partition = received.record.topic_partition();
            processed.insert(partition.clone(), received.record.offset() + 1);
            consumer.mark_processed(&received.record);
            match random.u8(..10) {
                0 => {
                    consumer.commit_processed().await.unwrap();
                    committed.clone_from(&processed);
                }
                1 => {
                    consumer.commit(&received.record).await.unwrap();
                    committed.insert(partition.clone(), processed[&partition]);
                }
                _ => {}
            }
        }
        let stored: BTreeMap<_, _> = consumer
            .committed()
            .await
            .unwrap()
            .into_iter()
            .filter_map(|(partition, offset)| Some((partition, offset?)))
            .collect();
        assert_eq!(stored, committed, "seed {seed}");
    }
}

/// S3-06, S4-22: a closed member has committed what was processed, and its partitions are free at once.
#[tokio::test]
async fn closing_commits_and_leaves_at_once() {
    for protocol in protocols() {
        let kafka = Kafka::start().await;
        let topic = kafka.topic(1).await;
        send(kafka.cluster(), &topic, 1, 5, &Ledger::new()).await;
        let settings = ConsumerSettings {
            protocol,
            ..ConsumerSettings::reliable(&unique_name("group"))
        };
        let member =
            || EventConsumer::<Counted>::new(kafka.cluster(), &settings, &[&topic]).unwrap();
        let first = member();
        for _ in 0..3 {
            let received = next(&first).await;
            first.mark_processed(&received.record);
        }
        first.close().await.unwrap();

        let closed = Instant::now();
        let second = member();
        let received = next(&second).await;
        assert_eq!(received.record.offset(), 3, "{settings:?}");
        let waited = closed.elapsed();
        assert!(
            waited < Duration::from_secs(4),
            "the partition was free after {waited:?}: {settings:?}"
        );
    }
}

fn protocols() -> [GroupProtocol; 3] {
    let classic = |assignor| {
        GroupProtocol::Classic(ClassicGroup {
            assignor,
            ..ClassicGroup::default()
        })
    };
    [
        classic(Assignor::Range),
        classic(Assignor::CooperativeSticky),
        GroupProtocol::new_protocol(),
    ]
}

/// S3-10, S4-27: when a second member joins, the first one commits what it has processed before it gives partitions back,
/// and nothing is processed twice. Without, a whole partition is. With each protocol, and in no case is anything lost.
#[tokio::test]
async fn a_rebalance_repeats_nothing_if_the_commit_comes_first() {
    for protocol in protocols() {
        for marks in [true, false] {
            let kafka = Kafka::start().await;
            let topic = kafka.topic(2).await;
            let ledger = Ledger::new();
            send(kafka.cluster(), &topic, 20, 10, &ledger).await;
            let settings = ConsumerSettings {
                protocol: protocol.clone(),
                ..ConsumerSettings::reliable(&unique_name("group"))
            };
            let member =
                || EventConsumer::<Counted>::new(kafka.cluster(), &settings, &[&topic]).unwrap();
            let process = |consumer: &EventConsumer<Counted>, received: &Received<'_, Counted>| {
                let event = received.event.as_ref().unwrap();
                ledger.seen(&event.key, event.sequence);
                if marks {
                    consumer.mark_processed(&received.record);
                }
            };
            let first = member();
            read_until(
                &first,
                "the first member reads everything",
                || ledger.report().lost == 0,
                |received| process(&first, received),
            )
            .await;
            assert_eq!(first.owned().len(), 2);

            let second = member();
            let deadline = Instant::now() + PATIENCE;
            let mut quiet = Instant::now();
            // Until each has one partition, and then until nothing has come for a second.
            while quiet.elapsed() < Duration::from_secs(1) {
                for consumer in [&first, &second] {
                    if let Some(received) = consumer.next(POLL).await.unwrap() {
                        process(consumer, &received);
                        quiet = Instant::now();
                    }
                }
                if first.owned().len() != 1 || second.owned().len() != 1 {
                    quiet = Instant::now();
                }
                assert!(
                    Instant::now() < deadline,
                    "not one partition each: {protocol:?}"
                );
            }
            let report = ledger.report();
            assert!(report.is_at_least_once(), "{protocol:?}: {report}");
            if marks {
                assert!(report.is_exactly_once(), "{protocol:?}: {report}");
            } else {
                assert!(
                    report.duplicated > 0,
                    "the lesson's duplicates are missing, {protocol:?}: {report}"
                );
            }
        }
    }
}

/// An embedded broker of the test's own, whose sessions may be short.
async fn broker() -> (Broker, Cluster) {
    let broker = Broker::builder().nodes(3).start().await.unwrap();
    let cluster = Cluster::new(broker.bootstrap_servers().parse().unwrap());
    (broker, cluster)
}

/// S3-10, X8: a member that the group has given up commits nothing for the partitions that it lost, and their records
/// are read by the others: 0 lost.
#[tokio::test]
async fn the_work_of_lost_partitions_is_dropped_and_nothing_is_lost() {
    const RECORDS: u64 = 40;
    let (broker, cluster) = broker().await;
    let topic = topics::ensure_topic(&cluster, &unique_name("test"), 1)
        .await
        .unwrap()
        .name;
    let ledger = Ledger::new();
    send(&cluster, &topic, 1, RECORDS, &ledger).await;
    let group = unique_name("group");
    let (first_cluster, second_cluster) = (
        cluster.clone().with_service("first").unwrap(),
        cluster.clone().with_service("second").unwrap(),
    );
    let first = consumer(&first_cluster, &group, &topic);
    for _ in 0..10 {
        let received = next(&first).await;
        let event = received.event.as_ref().unwrap();
        ledger.seen(&event.key, event.sequence);
        first.mark_processed(&received.record);
    }
    let kept = next(&first).await;

    // Joins while the first one is silent, and is given the partition when that one has expired.
    let second = consumer(&second_cluster, &group, &topic);
    let member = broker.snapshot().groups[0].members[0].id.clone();
    broker.expire_member(&group, &member).unwrap();
    read_until(
        &second,
        "the second member reads everything",
        || ledger.report().lost == 0,
        |received| {
            let event = received.event.as_ref().unwrap();
            ledger.seen(&event.key, event.sequence);
            second.mark_processed(&received.record);
        },
    )
    .await;
    second.commit_processed().await.unwrap();

    // It learns of its loss by its next heartbeat.
    let deadline = Instant::now() + PATIENCE;
    while !first.owned().is_empty() {
        let _ = first.next(POLL).await;
        assert!(Instant::now() < deadline, "the loss was not noticed");
    }
    let error = first.commit(&kept.record).await.unwrap_err();
    assert!(matches!(error, Error::NotOwned { .. }), "{error:?}");
    first.mark_processed(&kept.record);
    first.commit_processed().await.unwrap();
    drop(kept);
    first.close().await.unwrap();
    let committed = second.committed().await.unwrap();
    assert_eq!(
        committed[&TopicPartition::new(topic.as_str(), 0)],
        Some(i64::try_from(RECORDS).unwrap()),
        "what the first member had left over was committed"
    );
    let report = ledger.report();
    assert!(report.is_at_least_once(), "{report}");
    assert_eq!(
        report.duplicated, 10,
        "what was not committed is read again: {report}"
    );
}

/// A paused partition brings nothing, others go on, and reading resumes where it was left; seeking goes back.
#[tokio::test]
async fn partitions_are_paused_resumed_and_sought() {
    const RECORDS: u64 = 30;
    let kafka = Kafka::start().await;
    let topic = kafka.topic(1).await;
    let ledger = Ledger::new();
    send(kafka.cluster(), &topic, 1, RECORDS, &ledger).await;
    let consumer = consumer(kafka.cluster(), &unique_name("group"), &topic);
    let partition = [TopicPartition::new(topic.as_str(), 0)];
    for offset in 0..10 {
        assert_eq!(next(&consumer).await.record.offset(), offset);
    }
    consumer.pause(&partition).unwrap();
    for _ in 0..5 {
        let received = consumer.next(POLL).await.unwrap();
        assert!(received.is_none(), "read while paused: {received:?}");
    }
    consumer.resume(&partition).unwrap();
    for offset in 10..20 {
        assert_eq!(next(&consumer).await.record.offset(), offset);
    }
    consumer.seek(partition[0].clone(), 5).await.unwrap();
    for offset in 5..30 {
        assert_eq!(next(&consumer).await.record.offset(), offset);
    }
    let nowhere = TopicPartition::new(topic.as_str(), 7);
    let error = consumer.seek(nowhere, 0).await.unwrap_err();
    assert!(error.to_string().contains(&format!("{topic}-7")), "{error}");
}

/// S2-09: a topic that is missing at the start is waited for, and the member reads it when it comes. X15: from its first
/// record on.
#[tokio::test]
async fn a_topic_that_is_missing_at_the_start_is_waited_for() {
    // Created by nobody but the test, whatever the cluster says about creation by those who ask.
    let (_broker, cluster) = broker().await;
    let topic = unique_name("test");
    let consumer = consumer(&cluster, &unique_name("group"), &topic);
    for _ in 0..40 {
        let nothing = consumer.next(POLL).await.unwrap();
        assert!(nothing.is_none(), "{nothing:?}");
    }
    topics::ensure_topic(&cluster, &topic, 1).await.unwrap();
    send(&cluster, &topic, 1, 1, &Ledger::new()).await;
    // Without a refresh of its own, librdkafka looks for it every five minutes (`topic.metadata.refresh.interval.ms`).
    assert_eq!(next(&consumer).await.record.offset(), 0);
}

/// S2-09: a member that divides partitions in another way than the group waits until it may join; what cannot pass is
/// raised.
#[tokio::test]
async fn errors_that_do_not_pass_are_raised() {
    let (broker, cluster) = broker().await;
    let topic = topics::ensure_topic(&cluster, &unique_name("test"), 1)
        .await
        .unwrap()
        .name;
    send(&cluster, &topic, 1, 1, &Ledger::new()).await;
    let group = unique_name("group");
    let first = consumer(&cluster, &group, &topic);
    next(&first).await;
    let settings = ConsumerSettings {
        protocol: GroupProtocol::Classic(ClassicGroup {
            assignor: Assignor::Range,
            ..ClassicGroup::default()
        }),
        ..ConsumerSettings::reliable(&group)
    };
    let second = EventConsumer::<Counted>::new(&cluster, &settings, &[&topic]).unwrap();
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(2) {
        let nothing = second.next(POLL).await.unwrap();
        assert!(nothing.is_none(), "{nothing:?}");
        first.next(POLL).await.unwrap();
    }
    first.close().await.unwrap();
    assert_eq!(next(&second).await.record.offset(), 0);

    let _refused = broker
        .faults()
        .on(ApiKey::Fetch)
        .topic(&topic)
        .error(ErrorCode::TopicAuthorizationFailed);
    let deadline = Instant::now() + PATIENCE;
    let error = loop {
        if let Err(error) = second.next(POLL).await {
            break error;
        }
        assert!(Instant::now() < deadline, "the refusal was not raised");
    };
    assert!(matches!(error, Error::Receive { .. }), "{error:?}");
}

/// S3-13: leaders and coordinators that move, a node that dies, and answers that are lost: every record is read, in order.
#[tokio::test]
async fn a_moving_cluster_loses_nothing() {
    const RECORDS: u64 = 3_000;
    let (broker, cluster) = broker().await;
    let topic = topics::ensure_topic(&cluster, &unique_name("test"), 1)
        .await
        .unwrap()
        .name;
    let ledger = Ledger::new();
    send(&cluster, &topic, 1, RECORDS, &ledger).await;
    let group = unique_name("group");
    let consumer = consumer(&cluster, &group, &topic);
    broker
        .faults()
        .on(ApiKey::Fetch)
        .probability(0.3, 7)
        .drop_connection();
    let commits = Cell::new(0);
    let mut read = 0;
    while ledger.report().lost > 0 {
        let received = next(&consumer).await;
        let event = received.event.as_ref().unwrap();
        ledger.seen(&event.key, event.sequence);
        consumer.mark_processed(&received.record);
        read += 1;
        if read % 500 == 0 {
            let node = read / 500 % 3;
            broker.move_leader(&topic, 0, node).unwrap();
            broker.move_coordinator(&group, (node + 1) % 3).unwrap();
            if consumer.commit_processed().await.is_ok() {
                commits.set(commits.get() + 1);
            }
        }
    }
    let report = ledger.report();
    assert!(report.is_at_least_once(), "{report}");
    assert_eq!(report.reordered, 0, "{report}");
    assert!(commits.get() > 0, "nothing could be committed");
}

/// While records are ready `next` never waits. The other tasks of its thread have their turn all the same.
#[tokio::test]
async fn a_full_queue_does_not_starve_other_tasks() {
    const RECORDS: u64 = 5_000;
    let kafka = Kafka::start().await;
    let topic = kafka.topic(1).await;
    send(kafka.cluster(), &topic, 1, RECORDS, &Ledger::new()).await;
    let consumer = consumer(kafka.cluster(), &unique_name("group"), &topic);
    next(&consumer).await;
    // Time for the others to be fetched.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let turns = std::rc::Rc::new(Cell::new(0_u64));
    let local = tokio::task::LocalSet::new();
    let counter = turns.clone();
    local.spawn_local(async move {
        loop {
            counter.set(counter.get() + 1);
            tokio::task::yield_now().await;
        }
    });
    local
        .run_until(async {
            for _ in 1..RECORDS {
                next(&consumer).await;
            }
        })
        .await;
    assert!(turns.get() > 20, "another task had {} turns", turns.get());
}

/// Writes down what it is told.
#[derive(Default)]
struct Heard(Mutex<Vec<(&'static str, Vec<i32>)>>);

impl RebalanceObserver for Heard {
    fn assigned(&self, partitions: &[TopicPartition]) {
        self.note("assigned", partitions);
    }

    fn revoked(&self, partitions: &[TopicPartition], lost: bool) {
        self.note(if lost { "lost" } else { "revoked" }, partitions);
    }
}

impl Heard {
    fn note(&self, verb: &'static str, partitions: &[TopicPartition]) {
        let mut numbers: Vec<i32> = partitions.iter().map(|one| one.partition).collect();
        numbers.sort_unstable();
        self.0.lock().unwrap().push((verb, numbers));
    }
}

/// S4-12: an observer hears what the group gives and takes, and what is given back in the end.
#[tokio::test]
async fn an_observer_hears_of_partitions_that_come_and_go() {
    let kafka = Kafka::start().await;
    let topic = kafka.topic(2).await;
    let settings = ConsumerSettings::reliable(&unique_name("test"));
    let heard = Arc::new(Heard::default());
    let join = |observer| {
        RecordConsumer::observed(kafka.cluster(), &settings, &[&topic], observer).unwrap()
    };
    let first = join(heard.clone());
    let deadline = Instant::now() + PATIENCE;
    let poll_until = async |second: Option<&RecordConsumer>, verb: &str| {
        while heard
            .0
            .lock()
            .unwrap()
            .iter()
            .all(|(said, _)| *said != verb)
        {
            assert!(Instant::now() < deadline, "nothing was {verb}");
            first.next(POLL).await.unwrap();
            if let Some(second) = second {
                second.next(POLL).await.unwrap();
            }
        }
    };
    poll_until(None, "assigned").await;
    assert_eq!(*heard.0.lock().unwrap(), [("assigned", vec![0, 1])]);

    let second = join(Arc::new(Heard::default()));
    poll_until(Some(&second), "revoked").await;
    let (_, taken) = heard.0.lock().unwrap()[1].clone();
    assert_eq!(taken.len(), 1, "the other one is kept");
    first.close().await.unwrap();
    second.close().await.unwrap();
    let heard = heard.0.lock().unwrap();
    let (verb, given_back) = heard.last().unwrap();
    assert_eq!((*verb, given_back.len()), ("revoked", 1), "{heard:?}");
    assert_ne!(*given_back, taken);
}

/// Holds up whoever tells it that partitions are taken away.
struct HoldsUp {
    /// Told of the first assignment.
    assigned: tokio::sync::Notify,
    /// Closed by the test when it has seen enough.
    until: Mutex<std::sync::mpsc::Receiver<()>>,
}

impl RebalanceObserver for HoldsUp {
    fn assigned(&self, _: &[TopicPartition]) {
        self.assigned.notify_one();
    }

    fn revoked(&self, _: &[TopicPartition], _: bool) {
        let _ = self.until.lock().unwrap().recv();
    }
}

/// S3-06, S2-09: whatever keeps a member from leaving its group, closing it comes to an end and says so.
#[tokio::test]
async fn a_close_that_is_held_up_ends_with_an_error() {
    let kafka = Kafka::start().await;
    let topic = kafka.topic(1).await;
    let settings = ConsumerSettings::reliable(&unique_name("test"));
    let (goes_on, until) = std::sync::mpsc::channel();
    let observer = Arc::new(HoldsUp {
        assigned: tokio::sync::Notify::new(),
        until: Mutex::new(until),
    });
    let topics = [topic.as_str()];
    let consumer =
        RecordConsumer::observed(kafka.cluster(), &settings, &topics, observer.clone()).unwrap();
    tokio::select! {
        () = observer.assigned.notified() => {}
        () = async { loop { consumer.next(POLL).await.unwrap(); } } => {}
        () = tokio::time::sleep(PATIENCE) => panic!("nothing was assigned within {PATIENCE:?}"),
    }
    // Nothing is left to be waited for but the clock, which now goes as fast as it can.
    tokio::time::pause();
    let error = consumer.close().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the consumer has not left its group after 30 s"
    );
    drop(goes_on);
}
