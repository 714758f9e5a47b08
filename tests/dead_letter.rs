//! Records that are put aside, and sent back. On an embedded broker, or the cluster that `KAFKA_BOOTSTRAP_SERVERS` names.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends by a panic"
)]

mod common;

use std::borrow::Cow;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant, SystemTime};

use common::Kafka;
use embedded_broker::Broker;
use kafka_event_streaming::assignment::TopicPartition;
use kafka_event_streaming::config::{Cluster, ConsumerSettings, ProducerSettings};
use kafka_event_streaming::dead_letter::{DeadLetter, DeadLetterProducer, Origin};
use kafka_event_streaming::event::{DecodeError, Event};
use kafka_event_streaming::event_consumer::{EventConsumer, Received};
use kafka_event_streaming::ledger::Ledger;
use kafka_event_streaming::producer::{Record, RecordProducer};
use kafka_event_streaming::redrive::{REDRIVEN_HEADER, redrive};
use kafka_event_streaming::shutdown::CancellationToken;
use kafka_event_streaming::topics::{self, unique_name};
use rdkafka::message::{Header, OwnedHeaders};
use serde::{Deserialize, Serialize};

/// Far longer than any of this takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// One poll.
const POLL: Duration = Duration::from_millis(50);

/// An event that is a number, or cannot be decoded.
#[derive(Debug, Serialize, Deserialize)]
struct Number(u64);

impl Event for Number {
    const TYPE: &'static str = "test.number";

    fn key(&self) -> Cow<'_, str> {
        Cow::Borrowed("")
    }
}

fn consumer(cluster: &Cluster, topic: &str) -> EventConsumer<Number> {
    let settings = ConsumerSettings::reliable(&unique_name("group"));
    EventConsumer::new(cluster, &settings, &[topic]).unwrap()
}

/// The next record, past any end of a partition.
async fn next(consumer: &EventConsumer<Number>) -> Received<'_, Number> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Ok(Some(received)) = consumer.next(POLL).await {
            return received;
        }
        assert!(Instant::now() < deadline, "no record within {PATIENCE:?}");
    }
}

fn producer(cluster: &Cluster) -> RecordProducer {
    RecordProducer::new(cluster, &ProducerSettings::reliable()).unwrap()
}

fn with_header(headers: OwnedHeaders, key: &str, value: Option<&str>) -> OwnedHeaders {
    headers.insert(Header { key, value })
}

/// S1-17: the record is the original's, byte for byte, and its headers say where it comes from and what went wrong.
#[tokio::test]
async fn a_dead_letter_is_the_original_with_a_note() {
    let kafka = Kafka::start().await;
    let (topic, dead_letters) = (kafka.topic(2).await, kafka.topic(1).await);
    let producer = producer(kafka.cluster());
    let payload = b"\xff\x00 is neither JSON nor UTF-8".as_slice();
    let headers = with_header(OwnedHeaders::new(), "tenant", Some("north"));
    let headers = with_header(headers, "empty", None);
    // Not older than the topic keeps records.
    let an_hour_ago = SystemTime::now() - Duration::from_secs(3_600);
    let an_hour_ago = an_hour_ago.duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let timestamp = i64::try_from(an_hour_ago.as_millis()).unwrap();
    let original = Record {
        partition: Some(1),
        timestamp: Some(timestamp),
        ..Record::new(&topic, b"customer-1", payload).with_headers(headers)
    };
    producer
        .enqueue_record(original)
        .await
        .unwrap()
        .await
        .unwrap();

    let reading = consumer(kafka.cluster(), &topic);
    let received = next(&reading).await;
    let undecodable = received.event.unwrap_err();
    let first_failure = SystemTime::UNIX_EPOCH + Duration::from_millis(1_800_000_000_456);
    let written = DeadLetterProducer::new(&producer, &dead_letters)
        .send(&DeadLetter {
            record: &received.record,
            error: &undecodable.to_string(),
            attempts: 3,
            first_failure,
        })
        .await
        .unwrap();
    assert_eq!(
        (&*written.topic, written.offset),
        (dead_letters.as_str(), 0)
    );

    let aside = consumer(kafka.cluster(), &dead_letters);
    let letter = next(&aside).await.record;
    assert_eq!(letter.key(), Some(&b"customer-1"[..]));
    assert_eq!(letter.payload(), Some(payload));
    assert_eq!(letter.timestamp(), Some(timestamp));
    assert_eq!(letter.header("tenant"), Some(&b"north"[..]));
    assert_eq!(
        Origin::of(&letter),
        Some(Origin {
            partition: TopicPartition::new(topic.as_str(), 1),
            offset: 0,
            error: format!("offset 0 of {topic}-1 is no event of type test.number"),
            attempts: 3,
            first_failure: "2027-01-15T08:00:00.456Z".to_owned(),
        })
    );
}

/// Puts every record of `topic` aside.
async fn put_all_aside(cluster: &Cluster, topic: &str, dead_letters: &str, count: u64) {
    let producer = producer(cluster);
    let dead_letters = DeadLetterProducer::new(&producer, dead_letters);
    let reading = consumer(cluster, topic);
    let mut all = Vec::new();
    for _ in 0..count {
        all.push(next(&reading).await.record);
    }
    let letters: Vec<_> = all
        .iter()
        .map(|record| DeadLetter {
            record,
            error: "the store was away",
            attempts: 5,
            first_failure: SystemTime::now(),
        })
        .collect();
    let sending = letters.iter().map(|letter| dead_letters.send(letter));
    for sent in futures::future::join_all(sending).await {
        sent.unwrap();
    }
}

async fn send_numbers(cluster: &Cluster, topic: &str, count: u64) {
    let producer = producer(cluster);
    let mut pending = Vec::new();
    for number in 0..count {
        let text = number.to_string();
        pending.push(
            producer
                .enqueue(topic, text.as_bytes(), text.as_bytes())
                .await
                .unwrap(),
        );
    }
    for report in pending {
        report.await.unwrap();
    }
}

/// S1-17: dead letters go back to the partition that they came from, as they were, and only once; what is none stays.
#[tokio::test]
async fn dead_letters_are_sent_back_once() {
    let kafka = Kafka::start().await;
    let (cluster, stop) = (kafka.cluster(), CancellationToken::new());
    let (topic, dead_letters) = (kafka.topic(3).await, kafka.topic(2).await);
    let group = unique_name("redrive");
    send_numbers(cluster, &topic, 20).await;
    put_all_aside(cluster, &topic, &dead_letters, 20).await;
    let producer = producer(cluster);
    producer
        .send(&dead_letters, b"", b"from elsewhere")
        .await
        .unwrap();

    let first = redrive(cluster, &dead_letters, &group, &producer, &stop)
        .await
        .unwrap();
    assert_eq!((first.total(), first.foreign), (20, 1));
    assert_eq!(first.sent.keys().collect::<Vec<_>>(), [&topic]);
    let again = redrive(cluster, &dead_letters, &group, &producer, &stop)
        .await
        .unwrap();
    assert_eq!((again.total(), again.foreign), (0, 0));

    let reading = consumer(cluster, &topic);
    let mut places = [[None; 2]; 20];
    for _ in 0..40 {
        let Received { event, record } = next(&reading).await;
        let redriven = record.header(REDRIVEN_HEADER);
        assert!(Origin::of(&record).is_none(), "it still has its note");
        let number = usize::try_from(event.unwrap().0).unwrap();
        let time = usize::from(redriven.is_some());
        assert_eq!(redriven.unwrap_or(b"1"), b"1");
        places[number][time] = Some(record.partition());
    }
    for (number, [original, redriven]) in places.into_iter().enumerate() {
        assert!(original.is_some(), "{number}");
        assert_eq!(original, redriven, "{number} is in another partition now");
    }

    // It fails again, and is counted as having been there.
    put_all_aside(cluster, &topic, &dead_letters, 40).await;
    let third = redrive(cluster, &dead_letters, &group, &producer, &stop)
        .await
        .unwrap();
    assert_eq!(third.total(), 40);
    let reading = consumer(cluster, &topic);
    let mut times = [0; 3];
    for _ in 0..80 {
        let record = next(&reading).await.record;
        match record.header(REDRIVEN_HEADER) {
            None => times[0] += 1,
            Some(b"1") => times[1] += 1,
            Some(b"2") => times[2] += 1,
            Some(other) => panic!("{:?}", String::from_utf8_lossy(other)),
        }
    }
    assert_eq!(times, [20, 40, 20]);
}

/// S1-17, S3-13: stopped in the middle and started again, none is lost; killed in the middle, some are sent twice.
#[tokio::test]
async fn a_redrive_that_was_cut_off_loses_nothing() {
    const RECORDS: u64 = 3_000;
    let kafka = Kafka::start().await;
    let cluster = kafka.cluster();
    for killed in [false, true] {
        let (topic, dead_letters) = (kafka.topic(1).await, kafka.topic(1).await);
        send_numbers(cluster, &topic, RECORDS).await;
        put_all_aside(cluster, &topic, &dead_letters, RECORDS).await;
        let (group, ledger) = (unique_name("redrive"), Ledger::new());
        (0..RECORDS).for_each(|number| ledger.sent("", number));
        let reading = consumer(cluster, &topic);
        for _ in 0..RECORDS {
            next(&reading).await;
        }

        let stop = CancellationToken::new();
        let work = {
            let (cluster, stop) = (cluster.clone(), stop.clone());
            let (dead_letters, group) = (dead_letters.clone(), group.clone());
            tokio::spawn(async move {
                let producer = producer(&cluster);
                redrive(&cluster, &dead_letters, &group, &producer, &stop).await
            })
        };
        let read = |received: Received<'_, Number>| ledger.seen("", received.event.unwrap().0);
        read(next(&reading).await);
        if killed {
            work.abort();
            let _ = work.await;
        } else {
            stop.cancel();
            work.await.unwrap().unwrap();
        }
        let producer = producer(cluster);
        redrive(
            cluster,
            &dead_letters,
            &group,
            &producer,
            &CancellationToken::new(),
        )
        .await
        .unwrap();
        // Twice the same record comes right behind the last one, if at all.
        let mut quiet = Instant::now();
        while quiet.elapsed() < Duration::from_secs(1) {
            if let Ok(Some(received)) = reading.next(POLL).await {
                read(received);
                quiet = Instant::now();
            }
        }
        let report = ledger.report();
        assert!(report.is_at_least_once(), "killed: {killed}: {report}");
        if killed {
            assert!(report.repeats <= 1_000, "{report}");
        } else {
            assert!(report.is_exactly_once(), "{report}");
        }
    }
}

/// X6: the name of a header that is not UTF-8 makes rdkafka panic. It kills no consumer, and the record can be put aside.
#[tokio::test]
async fn a_header_with_a_name_that_is_no_text_kills_nobody() {
    let broker = Broker::builder().start().await.unwrap();
    let cluster = Cluster::new(broker.bootstrap_servers().parse().unwrap());
    for topic in ["numbers", "dead-letters"] {
        topics::ensure_topic(&cluster, topic, 1).await.unwrap();
    }
    produce_by_hand(&broker.bootstrap_servers(), "numbers", b"\xff\xfe", b"7");
    send_numbers(&cluster, "numbers", 1).await;

    let reading = consumer(&cluster, "numbers");
    let received = next(&reading).await;
    let reason = received.event.unwrap_err().reason;
    assert!(matches!(reason, DecodeError::Panicked { .. }), "{reason:?}");
    DeadLetterProducer::new(&producer(&cluster), "dead-letters")
        .send(&DeadLetter {
            record: &received.record,
            error: &reason.to_string(),
            attempts: 0,
            first_failure: SystemTime::now(),
        })
        .await
        .unwrap();
    assert_eq!(next(&reading).await.event.unwrap().0, 0);
    let letters = broker.records("dead-letters", 0).unwrap();
    assert_eq!(letters[0].value.as_deref(), Some(&b"7"[..]));
}

/// One record with one header, by a Produce request of version 3, for no client library would send it.
/// Source: <https://kafka.apache.org/documentation/#recordbatch> and <https://kafka.apache.org/protocol#The_Messages_Produce>.
fn produce_by_hand(server: &str, topic: &str, header_name: &[u8], payload: &[u8]) {
    // Lengths are zigzag varints, and all of them here fit into one byte.
    let short = |length: usize| u8::try_from(length * 2).unwrap();
    // Attributes, time and offset; no key.
    let mut record = vec![0, 0, 0, 1];
    record.push(short(payload.len()));
    record.extend(payload);
    record.push(short(1));
    record.push(short(header_name.len()));
    record.extend(header_name);
    record.extend([short(1), b'x']);
    record.insert(0, short(record.len()));

    // From the attributes on: that is what the checksum covers.
    let mut body = Vec::new();
    body.extend(0_i16.to_be_bytes());
    body.extend(0_i32.to_be_bytes());
    // First and last timestamp. Retention removes what is a week old.
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap();
    let now = i64::try_from(now.as_millis()).unwrap().to_be_bytes();
    body.extend(now);
    body.extend(now);
    // No producer id, epoch and sequence; one record.
    body.extend((-1_i64).to_be_bytes());
    body.extend((-1_i16).to_be_bytes());
    body.extend((-1_i32).to_be_bytes());
    body.extend(1_i32.to_be_bytes());
    body.extend(record);
    let mut batch = Vec::new();
    batch.extend(0_i64.to_be_bytes());
    batch.extend(i32::try_from(body.len() + 9).unwrap().to_be_bytes());
    batch.extend((-1_i32).to_be_bytes());
    batch.push(2);
    batch.extend(crc32c::crc32c(&body).to_be_bytes());
    batch.extend(body);

    let mut request = Vec::new();
    // Produce, version 3, the request's number, no client id, no transactional id.
    request.extend(0_i16.to_be_bytes());
    request.extend(3_i16.to_be_bytes());
    request.extend(1_i32.to_be_bytes());
    request.extend((-1_i16).to_be_bytes());
    request.extend((-1_i16).to_be_bytes());
    // All in-sync replicas, within 10 s; one topic with one partition.
    request.extend((-1_i16).to_be_bytes());
    request.extend(10_000_i32.to_be_bytes());
    request.extend(1_i32.to_be_bytes());
    request.extend(i16::try_from(topic.len()).unwrap().to_be_bytes());
    request.extend(topic.as_bytes());
    request.extend(1_i32.to_be_bytes());
    request.extend(0_i32.to_be_bytes());
    request.extend(i32::try_from(batch.len()).unwrap().to_be_bytes());
    request.extend(batch);

    let mut stream = TcpStream::connect(server).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
        .write_all(&i32::try_from(request.len()).unwrap().to_be_bytes())
        .unwrap();
    stream.write_all(&request).unwrap();
    let mut length = [0; 4];
    stream.read_exact(&mut length).unwrap();
    let mut answer = vec![0; usize::try_from(i32::from_be_bytes(length)).unwrap()];
    stream.read_exact(&mut answer).unwrap();
    // Behind the request's number, the topic and the partition.
    let at = 4 + 4 + 2 + topic.len() + 4 + 4;
    let code = i16::from_be_bytes([answer[at], answer[at + 1]]);
    assert_eq!(code, 0, "the broker did not take the record");
}
