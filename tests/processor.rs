//! The loop that never skips, with everything that can go wrong: 0 lost in each case. On an embedded broker, or the cluster
//! that `KAFKA_BOOTSTRAP_SERVERS` names; what needs a fault has a broker of its own.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends by a panic"
)]

mod common;

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::Kafka;
use embedded_broker::{ApiKey, Broker, ErrorCode};
use kafka_event_streaming::assignment::TopicPartition;
use kafka_event_streaming::config::{
    Assignor, ClassicGroup, Cluster, ConsumerSettings, GroupProtocol, ProducerSettings,
};
use kafka_event_streaming::consumed_record::ConsumedRecord;
use kafka_event_streaming::consumer::{Polled, RecordConsumer};
use kafka_event_streaming::dead_letter::{DeadLetterProducer, ERROR_HEADER};
use kafka_event_streaming::event::{self, Event};
use kafka_event_streaming::event_consumer::EventConsumer;
use kafka_event_streaming::event_producer::EventProducer;
use kafka_event_streaming::ledger::Ledger;
use kafka_event_streaming::processor::{
    Concurrency, Counts, Failure, Handler, Observer, Processor, ProcessorError, ProcessorSettings,
    WhenExhausted, translated,
};
use kafka_event_streaming::producer::RecordProducer;
use kafka_event_streaming::retry::RetryPolicy;
use kafka_event_streaming::shutdown::CancellationToken;
use kafka_event_streaming::topics::{self, unique_name};
use kafka_event_streaming::trace_context::{self, TraceContext};
use rdkafka::Message;
use rdkafka::message::OwnedMessage;
use serde::{Deserialize, Serialize};
use tokio::task::JoinHandle;

/// Far longer than any of this takes.
const PATIENCE: Duration = Duration::from_secs(40);

/// Between two looks at what has changed.
const PAUSE: Duration = Duration::from_millis(10);

#[derive(Debug, Clone, Serialize, Deserialize)]
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

/// Two topics and a group of a test's own, and what became of the records.
#[derive(Clone)]
struct Scene {
    cluster: Cluster,
    topic: String,
    dead_letters: String,
    group: String,
    ledger: Ledger,
    producer: RecordProducer,
}

impl Scene {
    async fn new(kafka: &Kafka, partitions: i32) -> Self {
        Self::with(kafka.cluster(), kafka.topic(partitions).await).await
    }

    /// On a broker of the test's own.
    async fn on(cluster: &Cluster, partitions: i32) -> Self {
        let topic = unique_name("test");
        topics::ensure_topic(cluster, &topic, partitions)
            .await
            .unwrap();
        Self::with(cluster, topic).await
    }

    async fn with(cluster: &Cluster, topic: String) -> Self {
        let dead_letters = format!("{topic}.dead-letter");
        topics::ensure_topic(cluster, &dead_letters, 1)
            .await
            .unwrap();
        Self {
            cluster: cluster.clone(),
            topic,
            dead_letters,
            group: unique_name("group"),
            ledger: Ledger::new(),
            producer: RecordProducer::new(cluster, &ProducerSettings::reliable()).unwrap(),
        }
    }

    /// Sends `count` events of each of `keys` keys, in order.
    async fn send(&self, keys: u32, count: u64) {
        let events = EventProducer::<Counted>::sharing(&self.producer, &self.topic);
        let all: Vec<Counted> = (0..count)
            .flat_map(|sequence| {
                (0..keys).map(move |key| Counted {
                    key: format!("key-{key}"),
                    sequence,
                })
            })
            .collect();
        events.send_all(all.clone()).await.unwrap();
        for event in all {
            self.ledger.sent(event.key, event.sequence);
        }
    }

    async fn send_bytes(&self, key: &str, payload: &[u8]) {
        let sent = self.producer.send(&self.topic, key.as_bytes(), payload);
        sent.await.unwrap();
    }

    fn processor<H: Handler<Counted>>(
        &self,
        handler: H,
    ) -> Processor<Counted, H, DeadLetterProducer> {
        self.processor_with(&ConsumerSettings::reliable(&self.group), handler)
    }

    fn processor_with<H: Handler<Counted>>(
        &self,
        settings: &ConsumerSettings,
        handler: H,
    ) -> Processor<Counted, H, DeadLetterProducer> {
        let dead_letters = DeadLetterProducer::new(&self.producer, &self.dead_letters);
        Processor::new(
            &self.cluster,
            settings,
            &[&self.topic],
            handler,
            dead_letters,
        )
        .unwrap()
        .with_settings(quick())
    }

    /// Writes down that an event was processed.
    fn see(&self, event: &Counted) {
        self.ledger.seen(&event.key, event.sequence);
    }

    async fn until_nothing_is_missing(&self) {
        until("every record was processed", || {
            self.ledger.report().lost == 0
        })
        .await;
    }

    /// What the group has committed, by partition.
    async fn committed(&self) -> BTreeMap<i32, i64> {
        let settings = ConsumerSettings::reliable(&self.group);
        let consumer =
            EventConsumer::<Counted>::new(&self.cluster, &settings, &[&self.topic]).unwrap();
        let deadline = Instant::now() + PATIENCE;
        while consumer.owned().is_empty() {
            let _ = consumer.next(PAUSE).await;
            assert!(Instant::now() < deadline, "no partitions were assigned");
        }
        let committed = consumer.committed().await.unwrap();
        consumer.close().await.unwrap();
        committed
            .into_iter()
            .filter_map(|(partition, offset)| Some((partition.partition, offset?)))
            .collect()
    }

    /// What was put aside, in order.
    async fn dead_letters(&self, count: usize) -> Vec<OwnedMessage> {
        let settings = ConsumerSettings::reliable(&unique_name("group"));
        let consumer =
            RecordConsumer::new(&self.cluster, &settings, &[&self.dead_letters]).unwrap();
        let deadline = Instant::now() + PATIENCE;
        let mut letters = Vec::new();
        while letters.len() < count {
            if let Ok(Polled::Record(letter)) = consumer.next(PAUSE).await {
                letters.push(letter);
            }
            assert!(
                Instant::now() < deadline,
                "{} of {count} dead letters",
                letters.len()
            );
        }
        consumer.close().await.unwrap();
        letters
    }
}

/// Retries within milliseconds, so that tests are short.
fn quick() -> ProcessorSettings {
    ProcessorSettings {
        retry: RetryPolicy {
            attempts: 4,
            first_delay: Duration::from_millis(5),
            longest_delay: Duration::from_millis(20),
            total: Duration::from_secs(10),
        },
        commit_interval: Duration::from_millis(50),
        ..ProcessorSettings::default()
    }
}

async fn until(wanted: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        assert!(
            Instant::now() < deadline,
            "{wanted}: not within {PATIENCE:?}"
        );
        tokio::time::sleep(PAUSE).await;
    }
}

/// A processor at work, and the token that stops it.
struct Worker {
    stop: CancellationToken,
    work: JoinHandle<Result<Counts, ProcessorError>>,
}

impl Worker {
    fn start<F>(run: impl FnOnce(CancellationToken) -> F) -> Self
    where
        F: Future<Output = Result<Counts, ProcessorError>> + Send + 'static,
    {
        let stop = CancellationToken::new();
        Self {
            work: tokio::spawn(run(stop.clone())),
            stop,
        }
    }

    async fn stop(self) -> Result<Counts, ProcessorError> {
        self.stop.cancel();
        self.finish().await
    }

    async fn finish(self) -> Result<Counts, ProcessorError> {
        tokio::time::timeout(PATIENCE, self.work)
            .await
            .expect("the processor has to come to an end")
            .unwrap()
    }
}

/// S3-08, S3-13, X1, X6, X10, S2-10: every way that a record can go, in one partition. Each is processed or put aside, in
/// order, nothing is passed over, and everything is committed in the end.
#[tokio::test]
async fn every_record_is_done_tried_again_or_put_aside() {
    let kafka = Kafka::start().await;
    let scene = Scene::new(&kafka, 1).await;
    scene.send(1, 3).await;
    scene.send_bytes("key-0", b"not JSON at all").await;
    scene.send(1, 10).await;

    let attempts = Arc::new(Mutex::new(Vec::new()));
    let (seen, log) = (scene.clone(), attempts.clone());
    let processor = scene.processor(async move |event: &Counted, record: &ConsumedRecord<'_>| {
        let offset = record.offset();
        let attempt = {
            let mut log = log.lock().unwrap();
            log.push(offset);
            log.iter().filter(|other| **other == offset).count()
        };
        match offset {
            // Comes to itself at the third attempt.
            5 if attempt < 3 => Err(Failure::transient("the store is away")),
            8 => Err(Failure::poison("an order of nothing")),
            _ => {
                seen.see(event);
                Ok(())
            }
        }
    });
    let worker = Worker::start(|stop| processor.run(stop));
    let letters = scene.dead_letters(2).await;
    until("the last record was processed", || {
        attempts.lock().unwrap().contains(&13)
    })
    .await;
    let counts = worker.stop().await.unwrap();

    let attempts = attempts.lock().unwrap().clone();
    assert_eq!(
        attempts,
        [0, 1, 2, 4, 5, 5, 5, 6, 7, 8, 9, 10, 11, 12, 13],
        "something overtook a record that was not through"
    );
    assert_eq!(
        (counts.done, counts.retried, counts.dead_lettered),
        (12, 2, 2)
    );
    assert_eq!(letters[0].payload(), Some(&b"not JSON at all"[..]));
    let error = event::header(&letters[1], ERROR_HEADER);
    assert_eq!(error, Some(&b"an order of nothing"[..]));
    assert_eq!(scene.committed().await, BTreeMap::from([(0, 14)]));
}

/// X1, S3-08: a failure that does not end stops the processor, and what is committed is the record that failed. Whoever
/// comes next begins with it: 0 lost.
#[tokio::test]
async fn giving_up_commits_nothing_past_the_record() {
    let kafka = Kafka::start().await;
    let scene = Scene::new(&kafka, 1).await;
    scene.send(1, 20).await;
    let seen = scene.clone();
    let processor = scene.processor(async move |event: &Counted, _: &ConsumedRecord<'_>| {
        if event.sequence == 7 {
            return Err(Failure::transient("the store is away"));
        }
        seen.see(event);
        Ok(())
    });
    let error = Worker::start(|stop| processor.run(stop))
        .finish()
        .await
        .unwrap_err();
    let ProcessorError::GaveUp {
        partition,
        offset,
        attempts,
        source,
    } = error
    else {
        panic!("{error:?}");
    };
    assert_eq!(partition, TopicPartition::new(scene.topic.as_str(), 0));
    assert_eq!((offset, attempts), (7, 4));
    assert_eq!(source.to_string(), "the store is away");
    assert_eq!(scene.committed().await, BTreeMap::from([(0, 7)]));

    let seen = scene.clone();
    let mended = scene.processor(async move |event: &Counted, _: &ConsumedRecord<'_>| {
        seen.see(event);
        Ok(())
    });
    let worker = Worker::start(|stop| mended.run(stop));
    scene.until_nothing_is_missing().await;
    worker.stop().await.unwrap();
    let report = scene.ledger.report();
    assert!(report.is_exactly_once(), "{report}");
}

/// S3-08: while one partition waits for what does not come back, the others go on, and it goes on when it does.
#[tokio::test]
async fn a_partition_that_waits_holds_up_no_other() {
    let kafka = Kafka::start().await;
    for concurrency in [
        Concurrency::Sequential,
        Concurrency::ByPartition,
        Concurrency::ByKey { workers: 4 },
    ] {
        let scene = Scene::new(&kafka, 2).await;
        scene.send(20, 10).await;
        let (away, blocked) = (CancellationToken::new(), Arc::new(Mutex::new(None)));
        let (back, partition, seen) = (away.clone(), blocked.clone(), scene.clone());
        let processor = scene
            .processor(async move |event: &Counted, record: &ConsumedRecord<'_>| {
                let mut blocked = partition.lock().unwrap();
                if *blocked.get_or_insert(record.partition()) == record.partition()
                    && !back.is_cancelled()
                {
                    return Err(Failure::transient("the store of this partition is away"));
                }
                seen.see(event);
                Ok(())
            })
            .with_settings(ProcessorSettings {
                concurrency,
                when_exhausted: WhenExhausted::KeepTrying,
                ..quick()
            });
        let worker = Worker::start(|stop| processor.run(stop));
        let mut quiet = (0, Instant::now());
        until("the other partition was processed", || {
            let done = scene.ledger.report().once;
            if done != quiet.0 {
                quiet = (done, Instant::now());
            }
            done > 0 && quiet.1.elapsed() > Duration::from_millis(500)
        })
        .await;
        let report = scene.ledger.report();
        assert!(
            report.lost > 0,
            "nothing was held up, {concurrency:?}: {report}"
        );
        away.cancel();
        scene.until_nothing_is_missing().await;
        worker.stop().await.unwrap();
        let report = scene.ledger.report();
        assert!(report.is_exactly_once(), "{concurrency:?}: {report}");
        assert_eq!(report.reordered, 0, "{concurrency:?}: {report}");
        let committed: i64 = scene.committed().await.values().sum();
        assert_eq!(committed, 200, "{concurrency:?}");
    }
}

/// S2-10: a failure that does not end is put aside if that is asked for, and then committed.
#[tokio::test]
async fn what_was_tried_in_vain_is_put_aside_if_asked() {
    let kafka = Kafka::start().await;
    let scene = Scene::new(&kafka, 1).await;
    scene.send(1, 5).await;
    let seen = scene.clone();
    let processor = scene
        .processor(async move |event: &Counted, _: &ConsumedRecord<'_>| {
            if event.sequence == 2 {
                return Err(Failure::transient("never"));
            }
            seen.see(event);
            Ok(())
        })
        .with_settings(ProcessorSettings {
            when_exhausted: WhenExhausted::DeadLetter,
            ..quick()
        });
    let worker = Worker::start(|stop| processor.run(stop));
    until("all but one were processed", || {
        scene.ledger.report().lost == 1
    })
    .await;
    let counts = worker.stop().await.unwrap();
    assert_eq!(
        (counts.done, counts.retried, counts.dead_lettered),
        (4, 3, 1)
    );
    let letters = scene.dead_letters(1).await;
    assert_eq!(
        event::decode_record::<Counted>(&letters[0])
            .unwrap()
            .sequence,
        2
    );
    assert_eq!(scene.committed().await, BTreeMap::from([(0, 5)]));
}

/// X10: while dead letters cannot be written, nothing is committed past the poison, and when they can, it goes on.
#[tokio::test]
async fn poison_is_not_committed_before_it_is_put_aside() {
    let (broker, cluster) = broker(1).await;
    let scene = Scene::on(&cluster, 1).await;
    scene.send(1, 2).await;
    scene.send_bytes("key-0", b"poison").await;
    scene.send(1, 4).await;
    let refused = broker
        .faults()
        .on(ApiKey::Produce)
        .topic(&scene.dead_letters)
        .error(ErrorCode::TopicAuthorizationFailed);
    let seen = scene.clone();
    let process = move |seen: Scene| {
        async move |event: &Counted, _: &ConsumedRecord<'_>| {
            seen.see(event);
            Ok(())
        }
    };
    let processor = scene.processor(process(seen.clone()));
    let error = Worker::start(|stop| processor.run(stop))
        .finish()
        .await
        .unwrap_err();
    assert!(
        matches!(error, ProcessorError::NotPutAside { offset: 2, .. }),
        "{error:?}"
    );
    assert_eq!(scene.committed().await, BTreeMap::from([(0, 2)]));

    refused.clear();
    let processor = scene.processor(process(seen));
    let worker = Worker::start(|stop| processor.run(stop));
    scene.until_nothing_is_missing().await;
    let counts = worker.stop().await.unwrap();
    assert_eq!(counts.dead_lettered, 1);
    let letters = broker.records(&scene.dead_letters, 0).unwrap();
    assert_eq!(letters.len(), 1);
}

/// An embedded broker of the test's own, whose sessions may be short.
async fn broker(nodes: usize) -> (Broker, Cluster) {
    let broker = Broker::builder().nodes(nodes).start().await.unwrap();
    let cluster = Cluster::new(broker.bootstrap_servers().parse().unwrap());
    (broker, cluster)
}

/// S3-08: attempts, and waits between them, that last longer than `max.poll.interval.ms` cost the member nothing, because
/// it goes on asking.
#[tokio::test]
async fn slow_work_and_long_waits_keep_the_member_in_the_group() {
    let (broker, cluster) = broker(1).await;
    let scene = Scene::on(&cluster, 1).await;
    scene.send(1, 4).await;
    let settings = ConsumerSettings {
        protocol: GroupProtocol::Classic(ClassicGroup {
            session_timeout: Duration::from_millis(600),
            heartbeat_interval: Duration::from_millis(100),
            ..ClassicGroup::default()
        }),
        max_poll_interval: Duration::from_millis(600),
        ..ConsumerSettings::reliable(&scene.group)
    };
    let (seen, attempts) = (scene.clone(), AtomicUsize::new(0));
    let processor = scene
        .processor_with(
            &settings,
            async move |event: &Counted, _: &ConsumedRecord<'_>| {
                match (event.sequence, attempts.fetch_add(1, Ordering::Relaxed)) {
                    (0, 0 | 1) => return Err(Failure::transient("waits of 1 s and 2 s follow")),
                    (1, _) => tokio::time::sleep(Duration::from_secs(2)).await,
                    _ => {}
                }
                seen.see(event);
                Ok(())
            },
        )
        .with_settings(ProcessorSettings {
            retry: RetryPolicy {
                first_delay: Duration::from_secs(1),
                ..RetryPolicy::default()
            },
            ..quick()
        });
    let worker = Worker::start(|stop| processor.run(stop));
    scene.until_nothing_is_missing().await;
    let counts = worker.stop().await.unwrap();
    let report = scene.ledger.report();
    assert!(report.is_exactly_once(), "{report}");
    assert_eq!((counts.done, counts.retried), (4, 2));
    // One to be given an id, and one with it (KIP-394).
    let joins = broker.requests().count(ApiKey::JoinGroup);
    assert!(
        joins <= 2,
        "it joined {joins} times: the group had given it up"
    );
}

/// S3-08, S3-05: by partition and by key several records are worked on at the same time, those of one key in order, and
/// after a crash in the middle nothing is lost: what was committed is the lowest unfinished record.
#[tokio::test]
async fn concurrency_keeps_the_order_of_keys_and_loses_nothing_in_a_crash() {
    const RECORDS: u64 = 60;
    const KEYS: u32 = 20;
    let kafka = Kafka::start().await;
    for (concurrency, least) in [
        (Concurrency::ByPartition, 2),
        (Concurrency::ByKey { workers: 8 }, 5),
    ] {
        let scene = Scene::new(&kafka, 3).await;
        scene.send(KEYS, RECORDS).await;
        let settings = ProcessorSettings {
            concurrency,
            ..quick()
        };
        let (at_once, most) = (AtomicUsize::new(0), Arc::new(AtomicUsize::new(0)));
        let (highest, seen) = (most.clone(), scene.clone());
        let crashing = scene
            .processor(async move |event: &Counted, record: &ConsumedRecord<'_>| {
                let now = at_once.fetch_add(1, Ordering::Relaxed) + 1;
                highest.fetch_max(now, Ordering::Relaxed);
                let millis = record.offset().unsigned_abs() % 4;
                tokio::time::sleep(Duration::from_millis(millis)).await;
                at_once.fetch_sub(1, Ordering::Relaxed);
                seen.see(event);
                Ok(())
            })
            .with_settings(settings.clone());
        let worker = Worker::start(|stop| crashing.run(stop));
        until("a third was processed", || {
            scene.ledger.report().lost < RECORDS * u64::from(KEYS) * 2 / 3
        })
        .await;
        // Dropped in the middle, without a word.
        worker.work.abort();
        let _ = worker.work.await;
        let most = most.load(Ordering::Relaxed);
        assert!(most >= least, "{most} at the same time, {concurrency:?}");
        let before = scene.ledger.report();
        assert_eq!(before.duplicated, 0, "{concurrency:?}: {before}");
        assert_eq!(before.reordered, 0, "{concurrency:?}: {before}");

        let seen = scene.clone();
        let second = scene
            .processor(async move |event: &Counted, _: &ConsumedRecord<'_>| {
                seen.see(event);
                Ok(())
            })
            .with_settings(settings);
        let worker = Worker::start(|stop| second.run(stop));
        scene.until_nothing_is_missing().await;
        worker.stop().await.unwrap();
        let report = scene.ledger.report();
        assert!(report.is_at_least_once(), "{concurrency:?}: {report}");
        let committed: i64 = scene.committed().await.values().sum();
        assert_eq!(committed, 1_200, "{concurrency:?}");
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

/// S3-10, S4-22, S4-27: members that come and go while work is in flight. A partition is handed over when its work is
/// finished and committed: nothing is lost, and nothing is done twice.
#[tokio::test]
async fn members_come_and_go_and_nothing_is_lost_or_repeated() {
    let kafka = Kafka::start().await;
    for protocol in protocols() {
        let scene = Scene::new(&kafka, 4).await;
        scene.send(20, 50).await;
        let settings = ConsumerSettings {
            protocol: protocol.clone(),
            ..ConsumerSettings::reliable(&scene.group)
        };
        let start = || {
            let seen = scene.clone();
            let processor = scene
                .processor_with(
                    &settings,
                    async move |event: &Counted, _: &ConsumedRecord<'_>| {
                        // In flight for most of the time.
                        tokio::time::sleep(Duration::from_millis(20)).await;
                        seen.see(event);
                        Ok(())
                    },
                )
                .with_settings(ProcessorSettings {
                    concurrency: Concurrency::ByKey { workers: 3 },
                    // Only what is committed in a handover keeps the others from doing it again.
                    commit_interval: Duration::from_secs(3600),
                    ..quick()
                });
            Worker::start(|stop| processor.run(stop))
        };
        let processed = |count| {
            let ledger = scene.ledger.clone();
            move || {
                let report = ledger.report();
                report.once + report.duplicated >= count
            }
        };
        let first = start();
        until("the first member works", processed(50)).await;
        let second = start();
        until("two members work", processed(300)).await;
        let third = start();
        until("three members work", processed(500)).await;
        first.stop().await.unwrap();
        scene.until_nothing_is_missing().await;
        let others = [second.stop().await.unwrap(), third.stop().await.unwrap()];
        let report = scene.ledger.report();
        assert!(report.is_exactly_once(), "{protocol:?}: {report}");
        assert_eq!(report.reordered, 0, "{protocol:?}: {report}");
        assert!(
            others.iter().any(|counts| counts.done > 0),
            "nothing was handed over: {protocol:?}"
        );
        let committed: i64 = scene.committed().await.values().sum();
        assert_eq!(committed, 1_000, "{protocol:?}");
    }
}

/// S3-09, X12: a token stops it. What is in flight is finished and committed, what is not is left, and the client is
/// closed by the loop: the next member has the partition at once.
#[tokio::test]
async fn stopping_finishes_what_is_in_flight_and_leaves() {
    let kafka = Kafka::start().await;
    let scene = Scene::new(&kafka, 1).await;
    scene.send(1, 10).await;
    let begun = Arc::new(AtomicUsize::new(0));
    let (seen, count) = (scene.clone(), begun.clone());
    let processor = scene.processor(async move |event: &Counted, _: &ConsumedRecord<'_>| {
        count.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(300)).await;
        seen.see(event);
        Ok(())
    });
    let worker = Worker::start(|stop| processor.run(stop));
    until("the second record is in flight", || {
        begun.load(Ordering::Relaxed) == 2
    })
    .await;
    let counts = worker.stop().await.unwrap();
    assert_eq!(begun.load(Ordering::Relaxed), 2, "new work was begun");
    assert_eq!(counts.done, 2);
    let left = Instant::now();
    assert_eq!(scene.committed().await, BTreeMap::from([(0, 2)]));
    assert!(
        left.elapsed() < Duration::from_secs(5),
        "the partition was free after {:?}",
        left.elapsed()
    );
}

/// Counts the commits that failed.
struct FailedCommits(AtomicUsize);

impl Observer for FailedCommits {
    fn commit_failed(&self, _: &kafka_event_streaming::Error) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// S3-12: a commit that fails is not work that failed. The work goes on, nothing is done again, and a later commit covers
/// it.
#[tokio::test]
async fn a_commit_that_fails_is_made_up_for_by_a_later_one() {
    let (broker, cluster) = broker(1).await;
    let scene = Scene::on(&cluster, 1).await;
    let failing = broker
        .faults()
        .on(ApiKey::OffsetCommit)
        .group(&scene.group)
        .error(ErrorCode::RequestTimedOut);
    scene.send(1, 20).await;
    let seen = scene.clone();
    let failed = Arc::new(FailedCommits(AtomicUsize::new(0)));
    let processor = scene
        .processor(async move |event: &Counted, _: &ConsumedRecord<'_>| {
            seen.see(event);
            Ok(())
        })
        .with_observer(Arc::clone(&failed) as _);
    let worker = Worker::start(|stop| processor.run(stop));
    scene.until_nothing_is_missing().await;
    until("two commits failed", || {
        failed.0.load(Ordering::Relaxed) >= 2
    })
    .await;
    let committed = || broker.snapshot().committed(&scene.group, &scene.topic, 0);
    assert_eq!(committed(), None);
    failing.clear();
    until("a commit got through", || committed() == Some(20)).await;
    assert_eq!(worker.stop().await.unwrap().done, 20);
    let report = scene.ledger.report();
    assert!(report.is_exactly_once(), "{report}");
}

/// S3-12, S3-09, S3-10: a member is told to stop while the group is sharing its partitions out anew. It finishes what is in
/// flight and commits it, and the member that joined goes on behind it.
#[tokio::test]
async fn a_rebalance_during_shutdown_loses_and_repeats_nothing() {
    let kafka = Kafka::start().await;
    for protocol in protocols() {
        let scene = Scene::new(&kafka, 4).await;
        scene.send(20, 20).await;
        let settings = ConsumerSettings {
            protocol: protocol.clone(),
            ..ConsumerSettings::reliable(&scene.group)
        };
        let start = || {
            let seen = scene.clone();
            let processor = scene.processor_with(
                &settings,
                async move |event: &Counted, _: &ConsumedRecord<'_>| {
                    // In flight for most of the time.
                    tokio::time::sleep(Duration::from_millis(5)).await;
                    seen.see(event);
                    Ok(())
                },
            );
            let processor = processor.with_settings(ProcessorSettings {
                // Only what is committed when a partition is given back keeps the others from doing it again.
                commit_interval: Duration::from_secs(3600),
                ..quick()
            });
            Worker::start(|stop| processor.run(stop))
        };
        let first = start();
        until("the first member works", || scene.ledger.report().once > 20).await;
        let second = start();
        let stopped = first.stop().await.unwrap();
        scene.until_nothing_is_missing().await;
        let went_on = second.stop().await.unwrap();
        let report = scene.ledger.report();
        assert!(report.is_exactly_once(), "{protocol:?}: {report}");
        assert_eq!(report.reordered, 0, "{protocol:?}: {report}");
        assert_eq!(stopped.done + went_on.done, 400, "{protocol:?}");
        let committed: i64 = scene.committed().await.values().sum();
        assert_eq!(committed, 400, "{protocol:?}");
    }
}

/// S3-09: work that never ends does not keep the processor from stopping. It is dropped, and not committed.
#[tokio::test]
async fn work_that_never_ends_is_dropped_when_its_time_is_over() {
    let kafka = Kafka::start().await;
    let scene = Scene::new(&kafka, 1).await;
    scene.send(1, 3).await;
    let begun = Arc::new(AtomicUsize::new(0));
    let (seen, count) = (scene.clone(), begun.clone());
    let processor = scene
        .processor(async move |event: &Counted, _: &ConsumedRecord<'_>| {
            count.fetch_add(1, Ordering::Relaxed);
            if event.sequence == 1 {
                std::future::pending::<()>().await;
            }
            seen.see(event);
            Ok(())
        })
        .with_settings(ProcessorSettings {
            drain_timeout: Duration::from_millis(300),
            ..quick()
        });
    let worker = Worker::start(|stop| processor.run(stop));
    until("the second record hangs", || {
        begun.load(Ordering::Relaxed) == 2
    })
    .await;
    let counts = worker.stop().await.unwrap();
    assert_eq!(counts.done, 1);
    assert_eq!(scene.committed().await, BTreeMap::from([(0, 1)]));
}

/// S3-08: an attempt that hangs is dropped after a while, and tried again like any other that failed.
#[tokio::test]
async fn an_attempt_that_hangs_is_tried_again() {
    let kafka = Kafka::start().await;
    let scene = Scene::new(&kafka, 1).await;
    scene.send(1, 3).await;
    let (seen, hung) = (scene.clone(), AtomicUsize::new(0));
    let processor = scene
        .processor(async move |event: &Counted, _: &ConsumedRecord<'_>| {
            if event.sequence == 1 && hung.fetch_add(1, Ordering::Relaxed) == 0 {
                std::future::pending::<()>().await;
            }
            seen.see(event);
            Ok(())
        })
        .with_settings(ProcessorSettings {
            attempt_timeout: Duration::from_millis(100),
            ..quick()
        });
    let worker = Worker::start(|stop| processor.run(stop));
    scene.until_nothing_is_missing().await;
    let counts = worker.stop().await.unwrap();
    assert_eq!((counts.done, counts.retried), (3, 1));
    let report = scene.ledger.report();
    assert!(report.is_exactly_once(), "{report}");
}

/// S3-08: a handler that says that nothing will succeed any more stops the processor, and the record is not committed.
#[tokio::test]
async fn a_fatal_failure_stops_it() {
    let kafka = Kafka::start().await;
    let scene = Scene::new(&kafka, 1).await;
    scene.send(1, 3).await;
    let processor =
        scene.processor(
            async |event: &Counted, _: &ConsumedRecord<'_>| match event.sequence {
                1 => Err(Failure::fatal("the database has another schema")),
                _ => Ok(()),
            },
        );
    let error = Worker::start(|stop| processor.run(stop))
        .finish()
        .await
        .unwrap_err();
    assert!(
        matches!(error, ProcessorError::Fatal { offset: 1, .. }),
        "{error:?}"
    );
    assert_eq!(scene.committed().await, BTreeMap::from([(0, 1)]));
}

/// S3-07, S3-14: what was decoded and makes no sense to the domain is put aside; the handler sees the domain's type alone.
#[tokio::test]
async fn what_cannot_be_translated_is_put_aside() {
    let kafka = Kafka::start().await;
    let scene = Scene::new(&kafka, 1).await;
    scene.send(1, 6).await;
    let seen = scene.clone();
    let handler = translated(
        |event: &Counted| match event.sequence {
            3 => Err("there is no third step"),
            step => Ok(step),
        },
        async move |step: &u64, _: &ConsumedRecord<'_>| {
            seen.ledger.seen("key-0", *step);
            Ok(())
        },
    );
    let processor = scene.processor(handler);
    let worker = Worker::start(|stop| processor.run(stop));
    until("all but one were processed", || {
        scene.ledger.report().lost == 1
    })
    .await;
    worker.stop().await.unwrap();
    let letters = scene.dead_letters(1).await;
    let error = event::header(&letters[0], ERROR_HEADER);
    assert_eq!(error, Some(&b"there is no third step"[..]));
}

/// S3-04: the handler works as a part of the trace that the event was sent in.
#[tokio::test]
async fn a_handler_works_in_the_trace_of_its_event() {
    let kafka = Kafka::start().await;
    let scene = Scene::new(&kafka, 1).await;
    let trace = TraceContext::start();
    trace_context::within(trace.clone(), scene.send(1, 2)).await;
    let (seen, traces) = (scene.clone(), Arc::new(Mutex::new(Vec::new())));
    let log = traces.clone();
    let processor = scene.processor(async move |event: &Counted, _: &ConsumedRecord<'_>| {
        let current = trace_context::current().map(|trace| trace.trace_id().to_string());
        log.lock().unwrap().push(current);
        seen.see(event);
        Ok(())
    });
    let worker = Worker::start(|stop| processor.run(stop));
    scene.until_nothing_is_missing().await;
    worker.stop().await.unwrap();
    let expected = Some(trace.trace_id().to_string());
    assert_eq!(*traces.lock().unwrap(), [expected.clone(), expected]);
}

#[derive(Default)]
struct Lags(Mutex<HashMap<TopicPartition, Vec<i64>>>);

impl Observer for Lags {
    fn lag(&self, partition: &TopicPartition, records: i64) {
        let mut lags = self.0.lock().unwrap();
        lags.entry(partition.clone()).or_default().push(records);
    }
}

/// S3-14: an observer of one's own sees the lag shrink.
#[tokio::test]
async fn the_lag_can_be_observed() {
    let kafka = Kafka::start().await;
    let scene = Scene::new(&kafka, 1).await;
    scene.send(1, 40).await;
    let settings = ConsumerSettings {
        statistics_interval: Some(Duration::from_millis(50)),
        ..ConsumerSettings::reliable(&scene.group)
    };
    let (seen, lags) = (scene.clone(), Arc::new(Lags::default()));
    let processor = scene
        .processor_with(
            &settings,
            async move |event: &Counted, _: &ConsumedRecord<'_>| {
                tokio::time::sleep(Duration::from_millis(20)).await;
                seen.see(event);
                Ok(())
            },
        )
        .with_observer(lags.clone());
    let worker = Worker::start(|stop| processor.run(stop));
    let partition = TopicPartition::new(scene.topic.as_str(), 0);
    until("the lag came down to 0", || {
        let lags = lags.0.lock().unwrap();
        let of_partition = lags.get(&partition).map_or(&[][..], |lags| lags);
        of_partition.iter().any(|lag| *lag > 0) && of_partition.last() == Some(&0)
    })
    .await;
    worker.stop().await.unwrap();
}

/// S3-13, S3-10, X1: everything at once. Members that expire, leaders and coordinators that move, lost answers, flaky
/// handlers and poison: each record is processed or put aside, 0 lost.
#[tokio::test]
async fn in_all_weathers_nothing_is_lost() {
    const RECORDS: u64 = 150;
    for (seed, concurrency) in [
        (1, Concurrency::Sequential),
        (2, Concurrency::ByPartition),
        (3, Concurrency::ByKey { workers: 5 }),
    ] {
        let (broker, cluster) = broker(3).await;
        let scene = Scene::on(&cluster, 3).await;
        scene.send(20, RECORDS).await;
        for number in 0..5 {
            scene.send_bytes(&format!("key-{number}"), b"poison").await;
        }
        for api in [ApiKey::Fetch, ApiKey::OffsetCommit, ApiKey::Heartbeat] {
            broker
                .faults()
                .on(api)
                .probability(0.05, seed)
                .drop_connection();
        }
        let settings = ConsumerSettings {
            protocol: GroupProtocol::Classic(ClassicGroup {
                session_timeout: Duration::from_secs(1),
                heartbeat_interval: Duration::from_millis(100),
                ..ClassicGroup::default()
            }),
            ..ConsumerSettings::reliable(&scene.group)
        };
        let start = |number: u64| {
            let cluster = format!("member-{number}");
            let scene = Scene {
                cluster: scene.cluster.clone().with_service(&cluster).unwrap(),
                ..scene.clone()
            };
            let seen = scene.clone();
            let random = Mutex::new(fastrand::Rng::with_seed(seed * 100 + number));
            let processor = scene
                .processor_with(
                    &settings,
                    async move |event: &Counted, _: &ConsumedRecord<'_>| {
                        let chance = random.lock().unwrap().u8(..100);
                        match chance {
                            0..5 => return Err(Failure::transient("flaky")),
                            5..30 => tokio::time::sleep(Duration::from_millis(2)).await,
                            _ => {}
                        }
                        seen.see(event);
                        Ok(())
                    },
                )
                .with_settings(ProcessorSettings {
                    concurrency,
                    when_exhausted: WhenExhausted::KeepTrying,
                    ..quick()
                });
            Worker::start(|stop| processor.run(stop))
        };
        let workers = [start(1), start(2)];
        let mut random = fastrand::Rng::with_seed(seed);
        let deadline = Instant::now() + PATIENCE;
        while scene.ledger.report().lost > 0 {
            tokio::time::sleep(Duration::from_millis(200)).await;
            broker
                .move_leader(&scene.topic, random.i32(0..3), random.i32(0..3))
                .unwrap();
            if random.u8(..4) == 0 {
                let _ = broker.move_coordinator(&scene.group, random.i32(0..3));
            }
            let groups = broker.snapshot().groups;
            let members: Vec<_> = groups.iter().flat_map(|group| &group.members).collect();
            if random.u8(..4) == 0 && !members.is_empty() {
                let unlucky = &members[random.usize(..members.len())].id;
                let _ = broker.expire_member(&scene.group, unlucky);
            }
            let report = scene.ledger.report();
            assert!(Instant::now() < deadline, "{concurrency:?}: {report}");
        }
        broker.faults().clear();
        // A member that has just lost its partitions has nothing to commit: the other one does the work again.
        until("everything was committed", || {
            let groups = broker.snapshot().groups;
            let offsets = groups.iter().flat_map(|group| &group.offsets);
            offsets.map(|offset| offset.committed).sum::<i64>() == 3_005
        })
        .await;
        for worker in workers {
            worker.stop().await.unwrap();
        }
        let letters = broker.records(&scene.dead_letters, 0).unwrap();
        assert!(letters.len() >= 5, "{concurrency:?}: {letters:?}");
        let report = scene.ledger.report();
        assert!(report.is_at_least_once(), "{concurrency:?}: {report}");
    }
}
