//! Through librdkafka, the client behind rdkafka and most other languages' clients: what an application does all day.

use std::time::Duration;

use rdkafka::admin::{AdminOptions, NewTopic, TopicReplication};
use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::{Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{FutureRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};

use crate::support::broker::unique;
use crate::support::clients::{admin, assigned, consumer, next, producer, take, until_assigned};
use crate::support::raw::RawClient;
use crate::support::records::{Batch, now};
use crate::support::topic::{Topic, append, list_offset};
use crate::support::wait::DEADLINE;

const TIMEOUT: Duration = DEADLINE;

/// Sends `values` to partition 0 and waits until they are delivered.
async fn send(settings: &[(&str, &str)], topic: &Topic, values: &[String]) {
    let producer = producer(settings).await;
    let deliveries: Vec<_> = values
        .iter()
        .map(|value| {
            let record = FutureRecord::<str, str>::to(&topic.name)
                .partition(0)
                .payload(value);
            producer.send_result(record).expect("enqueue")
        })
        .collect();
    for (delivery, expected) in deliveries.into_iter().zip(0..) {
        let delivered = delivery.await.expect("a report").expect("a delivery");
        assert_eq!((delivered.partition, delivered.offset), (0, expected));
    }
}

fn numbered(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("value {number}")).collect()
}

async fn round_trip(codec: &str) {
    let topic = Topic::create(1).await;
    let values = numbered(500);
    send(
        &[("compression.type", codec), ("linger.ms", "5")],
        &topic,
        &values,
    )
    .await;
    let consumer = consumer(&unique("group"), &[&topic.name], &[]).await;
    assert_eq!(take(&consumer, values.len()).await, values);
}

/// What is produced is consumed, in order and once.
#[tokio::test]
async fn records_come_back_uncompressed() {
    round_trip("none").await;
}

/// The same, compressed by the client; the broker keeps the bytes as they are.
#[tokio::test]
async fn records_come_back_from_gzip() {
    round_trip("gzip").await;
}

/// The same.
#[tokio::test]
async fn records_come_back_from_snappy() {
    round_trip("snappy").await;
}

/// The same.
#[tokio::test]
async fn records_come_back_from_lz4() {
    round_trip("lz4").await;
}

/// Key, value, headers, timestamp: each arrives as it was sent, also where there is none.
#[tokio::test]
async fn every_part_of_a_record_arrives() {
    let topic = Topic::create(1).await;
    let producer = producer(&[]).await;
    let timestamp = now() - 1_000;
    let headers = OwnedHeaders::new()
        .insert(Header {
            key: "trace",
            value: Some("1"),
        })
        .insert(Header {
            key: "trace",
            value: Some("2"),
        })
        .insert(Header::<&str> {
            key: "null",
            value: None,
        });
    let full = FutureRecord::to(&topic.name)
        .key("key")
        .payload("value")
        .headers(headers)
        .timestamp(timestamp);
    producer.send(full, TIMEOUT).await.expect("a delivery");
    let bare = FutureRecord::<str, str>::to(&topic.name);
    producer.send(bare, TIMEOUT).await.expect("a delivery");

    let consumer = consumer(&unique("group"), &[&topic.name], &[]).await;
    let full = next(&consumer).await;
    assert_eq!(
        (full.key(), full.payload()),
        (Some(&b"key"[..]), Some(&b"value"[..]))
    );
    assert_eq!(full.timestamp().to_millis(), Some(timestamp));
    let headers: Vec<_> = full
        .headers()
        .expect("headers")
        .iter()
        .map(|one| (one.key, one.value))
        .collect();
    assert_eq!(
        headers,
        [
            ("trace", Some(&b"1"[..])),
            ("trace", Some(&b"2"[..])),
            ("null", None)
        ]
    );
    let bare = next(&consumer).await;
    assert_eq!((bare.key(), bare.payload(), bare.offset()), (None, None, 1));
}

/// "Two members share partitions, one leaves, the other takes over", with every strategy of assignment.
async fn members_share(strategy: &str) {
    let topic = Topic::create(4).await;
    let group = unique("shared");
    let settings = [("partition.assignment.strategy", strategy)];
    let one = consumer(&group, &[&topic.name], &settings).await;
    until_assigned(&[&one], &[4]).await;
    let two = consumer(&group, &[&topic.name], &settings).await;
    until_assigned(&[&one, &two], &[2, 2]).await;
    let mut both = [assigned(&one), assigned(&two)].concat();
    both.sort_unstable();
    assert_eq!(both, [0, 1, 2, 3], "each partition has one member");
    drop(two);
    until_assigned(&[&one], &[4]).await;
    // What comes now is read by the one who stayed.
    let producer = producer(&[]).await;
    for partition in 0..4 {
        let record = FutureRecord::<str, str>::to(&topic.name)
            .partition(partition)
            .payload("after");
        producer.send(record, TIMEOUT).await.expect("a delivery");
    }
    assert_eq!(take(&one, 4).await, ["after"; 4]);
}

/// All partitions are revoked before they are assigned anew.
#[tokio::test]
async fn members_share_eagerly() {
    members_share("range").await;
}

/// The same by turns.
#[tokio::test]
async fn members_share_by_round_robin() {
    members_share("roundrobin").await;
}

/// Only what moves is revoked, in two rounds (KIP-429).
#[tokio::test]
async fn members_share_cooperatively() {
    members_share("cooperative-sticky").await;
}

/// "Committed = last processed + 1 and a new member resumes there."
#[tokio::test]
async fn a_new_member_resumes_after_the_commit() {
    let topic = Topic::create(1).await;
    let group = unique("resume");
    send(&[], &topic, &numbered(10)).await;
    let first = consumer(&group, &[&topic.name], &[]).await;
    let mut last = next(&first).await;
    for _ in 1..6 {
        last = next(&first).await;
    }
    let mut position = TopicPartitionList::new();
    position
        .add_partition_offset(&topic.name, 0, Offset::Offset(last.offset() + 1))
        .expect("an offset");
    first.commit(&position, CommitMode::Sync).expect("commit");
    // Dropped before the consumer: librdkafka waits for the partitions that this list still refers to, forever.
    let committed = first.committed(TIMEOUT).expect("committed");
    assert_eq!(
        committed
            .find_partition(&topic.name, 0)
            .expect("partition")
            .offset(),
        Offset::Offset(6)
    );
    drop(committed);
    drop(first);
    let second = consumer(&group, &[&topic.name], &[]).await;
    assert_eq!(take(&second, 4).await, numbered(10)[6..]);
}

/// A member that was killed without a commit leaves its records to the next one.
#[tokio::test]
async fn what_was_not_committed_is_read_again() {
    let topic = Topic::create(1).await;
    let group = unique("again");
    send(&[], &topic, &numbered(3)).await;
    for _ in 0..2 {
        let member = consumer(&group, &[&topic.name], &[]).await;
        assert_eq!(take(&member, 3).await, numbered(3));
    }
}

/// "Idempotent producer keeps one copy when a duplicate batch arrives": the consumer sees it once.
#[tokio::test]
async fn a_duplicate_batch_is_consumed_once() {
    let topic = Topic::create(1).await;
    let mut client = RawClient::connect().await;
    let request =
        kafka_protocol::messages::InitProducerIdRequest::default().with_transactional_id(None);
    let id = client.send(4, request).await.producer_id.0;
    for (sequence, value) in [
        (0, "one"),
        (0, "one"),
        (1, "two"),
        (0, "one"),
        (1, "two"),
        (2, "three"),
    ] {
        append(
            &mut client,
            &topic,
            0,
            &Batch::of([value]).from_producer(id, 0, sequence),
        )
        .await;
    }
    let consumer = consumer(&unique("group"), &[&topic.name], &[]).await;
    assert_eq!(take(&consumer, 3).await, ["one", "two", "three"]);
}

/// An idempotent producer with several requests in flight keeps the order.
#[tokio::test]
async fn an_idempotent_producer_keeps_the_order() {
    let topic = Topic::create(1).await;
    let values = numbered(1_000);
    send(
        &[("enable.idempotence", "true"), ("batch.num.messages", "10")],
        &topic,
        &values,
    )
    .await;
    let consumer = consumer(&unique("group"), &[&topic.name], &[]).await;
    assert_eq!(take(&consumer, values.len()).await, values);
}

/// Topics are created and deleted by an application, and told that they are there or not.
#[tokio::test]
async fn topics_are_created_and_deleted() {
    let admin = admin().await;
    let name = unique("admin");
    let options = AdminOptions::new().operation_timeout(Some(TIMEOUT));
    let topic = NewTopic::new(&name, 2, TopicReplication::Fixed(1));
    let created = admin
        .create_topics([&topic], &options)
        .await
        .expect("an answer");
    assert_eq!(created, [Ok(name.clone())]);
    let again = admin
        .create_topics([&topic], &options)
        .await
        .expect("an answer");
    assert_eq!(
        again,
        [Err((name.clone(), RDKafkaErrorCode::TopicAlreadyExists))]
    );
    let deleted = admin
        .delete_topics(&[&name], &options)
        .await
        .expect("an answer");
    assert_eq!(deleted, [Ok(name.clone())]);
    let gone = admin
        .delete_topics(&[&name], &options)
        .await
        .expect("an answer");
    assert_eq!(
        gone,
        [Err((name, RDKafkaErrorCode::UnknownTopicOrPartition))]
    );
}

/// A producer may write to a topic that is not there yet: it is created with the broker's default of 3 partitions.
#[tokio::test]
async fn producing_creates_the_topic() {
    let producer = producer(&[]).await;
    let name = unique("auto");
    let record = FutureRecord::<str, str>::to(&name).payload("first");
    producer.send(record, TIMEOUT).await.expect("a delivery");
    let metadata = producer
        .client()
        .fetch_metadata(Some(&name), TIMEOUT)
        .expect("metadata");
    assert_eq!(metadata.topics()[0].partitions().len(), 3);
    let consumer = consumer(&unique("group"), &[&name], &[]).await;
    assert_eq!(take(&consumer, 1).await, ["first"]);
}

/// A consumer that asks for a topic that is not there is told, and creates nothing.
#[tokio::test]
async fn consuming_does_not_create_the_topic() {
    let name = unique("absent");
    let consumer = consumer(&unique("group"), &[&name], &[]).await;
    let error = tokio::time::timeout(TIMEOUT, consumer.recv())
        .await
        .expect("word of it")
        .expect_err("an error");
    assert_eq!(
        error.rdkafka_error_code(),
        Some(RDKafkaErrorCode::UnknownTopicOrPartition)
    );
    let everything = consumer.fetch_metadata(None, TIMEOUT).expect("metadata");
    assert!(everything.topics().iter().all(|topic| topic.name() != name));
}

/// Times are found inside compressed batches, too: the broker looks into them.
#[tokio::test]
async fn times_are_found_in_compressed_batches() {
    for codec in ["none", "gzip", "snappy", "lz4"] {
        let topic = Topic::create(1).await;
        let producer = producer(&[("compression.type", codec), ("linger.ms", "200")]).await;
        let start = now() - 60_000;
        let deliveries: Vec<_> = (0..20)
            .map(|number| {
                let record = FutureRecord::<str, str>::to(&topic.name)
                    .partition(0)
                    .payload("a value that can be compressed, compressed, compressed")
                    .timestamp(start + number * 100);
                producer.send_result(record).expect("enqueue")
            })
            .collect();
        for delivery in deliveries {
            delivery.await.expect("a report").expect("a delivery");
        }
        let mut client = RawClient::connect().await;
        for (after_start, expected) in [(0, 0), (950, 10), (1_000, 10), (1_900, 19)] {
            let found = list_offset(&mut client, &topic, 0, start + after_start).await;
            assert_eq!(
                (found.offset, found.timestamp),
                (expected, start + expected * 100),
                "{codec}"
            );
        }
        let newest = list_offset(&mut client, &topic, 0, -3).await;
        assert_eq!(
            (newest.offset, newest.timestamp),
            (19, start + 1_900),
            "{codec}"
        );
    }
}

/// Watermarks and offsets by time, as a lag monitor asks for them.
#[tokio::test]
async fn watermarks_and_times_are_told() {
    let topic = Topic::create(1).await;
    let before = now() - 1;
    send(&[], &topic, &numbered(5)).await;
    let consumer = consumer(&unique("group"), &[&topic.name], &[]).await;
    assert_eq!(
        consumer
            .fetch_watermarks(&topic.name, 0, TIMEOUT)
            .expect("watermarks"),
        (0, 5)
    );
    let mut times = TopicPartitionList::new();
    times
        .add_partition_offset(&topic.name, 0, Offset::Offset(before))
        .expect("a time");
    let found = consumer.offsets_for_times(times, TIMEOUT).expect("offsets");
    assert_eq!(
        found
            .find_partition(&topic.name, 0)
            .expect("partition")
            .offset(),
        Offset::Offset(0)
    );
}

/// A consumer may go back and forth.
#[tokio::test]
async fn a_consumer_seeks() {
    let topic = Topic::create(1).await;
    send(&[], &topic, &numbered(10)).await;
    let consumer = consumer(&unique("group"), &[&topic.name], &[]).await;
    assert_eq!(take(&consumer, 10).await, numbered(10));
    for offset in [3, 8, 0] {
        consumer
            .seek(&topic.name, 0, Offset::Offset(offset as i64), TIMEOUT)
            .expect("seek");
        assert_eq!(take(&consumer, 2).await, numbered(10)[offset..offset + 2]);
    }
}

/// The end of a partition is told once it is reached, and again after more was read.
#[tokio::test]
async fn the_end_of_a_partition_is_told() {
    let topic = Topic::create(1).await;
    send(&[], &topic, &numbered(2)).await;
    let consumer = consumer(
        &unique("group"),
        &[&topic.name],
        &[("enable.partition.eof", "true")],
    )
    .await;
    assert_eq!(take(&consumer, 2).await, numbered(2));
    let end = tokio::time::timeout(TIMEOUT, consumer.recv())
        .await
        .expect("the end")
        .expect_err("the end");
    assert_eq!(end, rdkafka::error::KafkaError::PartitionEOF(0));
}

/// An offset that is gone or was never there sends the consumer where `auto.offset.reset` says.
#[tokio::test]
async fn an_offset_out_of_range_is_reset() {
    let topic = Topic::create(1).await;
    let group = unique("range");
    send(&[], &topic, &numbered(3)).await;
    let first = consumer(&group, &[&topic.name], &[]).await;
    take(&first, 1).await;
    let mut position = TopicPartitionList::new();
    position
        .add_partition_offset(&topic.name, 0, Offset::Offset(4711))
        .expect("an offset");
    first.commit(&position, CommitMode::Sync).expect("commit");
    drop(first);
    let second = consumer(&group, &[&topic.name], &[]).await;
    assert_eq!(take(&second, 3).await, numbered(3));
}

/// Members that come back under their instance id (KIP-345) find their partitions again, and the other member is not
/// disturbed: it would have to give all of them up.
#[tokio::test]
async fn a_static_member_finds_its_partitions_again() {
    let topic = Topic::create(4).await;
    let group = unique("static");
    let one = consumer(&group, &[&topic.name], &[("group.instance.id", "one")]).await;
    let two = consumer(&group, &[&topic.name], &[("group.instance.id", "two")]).await;
    until_assigned(&[&one, &two], &[2, 2]).await;
    let before = (assigned(&one), assigned(&two));
    drop(two);
    let two = consumer(&group, &[&topic.name], &[("group.instance.id", "two")]).await;
    until_assigned(&[&one, &two], &[2, 2]).await;
    assert_eq!((assigned(&one), assigned(&two)), before);
}

/// A pattern finds the topics that there are, and those that come later.
#[tokio::test]
async fn a_pattern_finds_topics() {
    let prefix = unique("pattern");
    let admin = admin().await;
    let options = AdminOptions::new().operation_timeout(Some(TIMEOUT));
    let create = async |name: &str| {
        let topic = NewTopic::new(name, 1, TopicReplication::Fixed(1));
        admin
            .create_topics([&topic], &options)
            .await
            .expect("an answer")[0]
            .clone()
            .expect("created");
    };
    create(&format!("{prefix}.a")).await;
    create(&unique("elsewhere")).await;
    let pattern = format!("^{prefix}\\..*");
    let settings = [("topic.metadata.refresh.interval.ms", "100")];
    let consumer = consumer(&unique("group"), &[&pattern], &settings).await;
    until_assigned(&[&consumer], &[1]).await;
    create(&format!("{prefix}.b")).await;
    until_assigned(&[&consumer], &[2]).await;
}
