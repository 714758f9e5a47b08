//! What a test sees of a broker from inside: requests, records, snapshots; and members and transactions that it ends.

// A test that cannot go on says so by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[allow(dead_code, reason = "other tests need more of it")]
#[path = "support/own_broker.rs"]
mod own_broker;
#[allow(dead_code, reason = "other tests need more of it")]
mod support;

use std::time::Duration;

use embedded_broker::{ApiKey, Broker, ControlError, NodeState, RecordState, Snapshot};
use kafka_protocol::error::ParseResponseErrorCode;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureRecord, Producer};

use own_broker::{
    connect, create_topic, member, producer, producer_with, receive, send_to, start,
    transactional_producer,
};
use support::records::{Batch, altered, position};
use support::topic::{only, produce};
use support::wait::{DEADLINE, eventually};

#[tokio::test]
async fn requests_are_counted_and_remembered_by_client() {
    let broker = Broker::builder().remembered_requests(5).start().await;
    let broker = broker.expect("start a broker");
    let topic = create_topic(&broker, 1, 1).await;
    let producer = producer(&broker.bootstrap_servers(), "p", false);
    for value in ["a", "b", "c"] {
        send_to(&producer, &topic.name, 0, value).await;
    }
    let requests = broker.requests();
    assert_eq!(requests.count(ApiKey::Produce), 3);
    assert_eq!(requests.clone().client_id("p").count(ApiKey::Produce), 3);
    assert_eq!(requests.clone().client_id("q").count(ApiKey::Produce), 0);
    assert_eq!(requests.count(ApiKey::CreateTopics), 1);

    let latest = requests.clone().client_id("p").latest();
    assert!(latest.len() <= 5, "{latest:?}");
    assert!(latest.is_sorted_by_key(|request| request.since_start));
    let last = latest.last().expect("a request");
    assert_eq!((last.api, last.node_id), (ApiKey::Produce, 0));
    assert_eq!(last.client_id, "p");

    requests.clear();
    assert_eq!(requests.count(ApiKey::Produce), 0);
    send_to(&producer, &topic.name, 0, "d").await;
    assert_eq!(requests.count(ApiKey::Produce), 1);
}

#[tokio::test]
async fn records_are_read_as_they_were_written_whatever_their_compression() {
    let broker = start(1).await;
    let topic = create_topic(&broker, 1, 1).await;
    for codec in ["none", "gzip", "snappy", "lz4"] {
        let settings = [("compression.type", codec), ("linger.ms", "20")];
        let producer = producer_with(&broker.bootstrap_servers(), "p", true, &settings);
        let long = "x".repeat(2_000);
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
                key: "nothing",
                value: None,
            });
        let first = FutureRecord::to(&topic.name)
            .key(codec)
            .payload(&long)
            .timestamp(1_234)
            .headers(headers);
        let tombstone = FutureRecord::<str, str>::to(&topic.name).key(codec);
        let (first, tombstone) = tokio::join!(
            producer.send(first, DEADLINE),
            producer.send(tombstone, DEADLINE)
        );
        first.expect("delivered");
        tombstone.expect("delivered");
    }
    let records = broker.records(&topic.name, 0).expect("the records");
    assert_eq!(records.len(), 8);
    for (offset, pair) in (0..).step_by(2).zip(records.chunks(2)) {
        let [full, tombstone] = pair else {
            panic!("two records each")
        };
        assert_eq!((full.offset, tombstone.offset), (offset, offset + 1));
        assert_eq!(full.timestamp, 1_234);
        assert_eq!(full.value_str().map(str::len), Some(2_000));
        assert_eq!(full.key_str(), tombstone.key_str());
        assert_eq!(tombstone.value, None);
        let names: Vec<&str> = full.headers.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["trace", "trace", "nothing"]);
        assert_eq!(full.header("trace"), Some(&b"2"[..]), "the last one counts");
        assert_eq!(full.header("nothing"), None);
        assert_eq!(full.state, RecordState::NotTransactional);
        assert!(full.is_committed() && !full.is_marker());
        assert!(full.producer_id >= 0);
    }
}

#[tokio::test]
async fn records_that_are_none_are_an_error_and_not_a_panic() {
    let broker = start(1).await;
    let topic = create_topic(&broker, 1, 1).await;
    let mut client = connect(&broker, 0).await;
    produce(&mut client, &topic, 0, Batch::of(["a"]).encode()).await;
    // The header counts a thousand records where there is one.
    let batch = Batch::of(["b"]).encode();
    let lying = altered(&batch, position::RECORD_COUNT, &1_000_i32.to_be_bytes());
    let lying = altered(&lying, position::LAST_OFFSET_DELTA, &999_i32.to_be_bytes());
    let answer = produce(&mut client, &topic, 0, lying).await;
    // Nothing in the topic's configuration has the broker look inside.
    assert_eq!(answer.error_code.err(), None);
    let error = broker.records(&topic.name, 0).expect_err("no records");
    assert!(matches!(
        error,
        ControlError::UnreadableBatch { base_offset: 1, .. }
    ));
    let unknown = broker
        .records(&topic.name, 1)
        .expect_err("no such partition");
    assert!(matches!(
        unknown,
        ControlError::UnknownPartition { partition: 1, .. }
    ));
}

#[tokio::test]
async fn a_snapshot_tells_of_topics_groups_and_lag_and_survives_json() {
    let broker = start(3).await;
    let topic = create_topic(&broker, 2, 3).await;
    let servers = broker.bootstrap_servers();
    let producer = producer(&servers, "p", true);
    for partition in [0, 0, 0, 1] {
        send_to(&producer, &topic.name, partition, "order").await;
    }
    let consumer = member(&servers, "worker", "billing");
    consumer.subscribe(&[&topic.name]).expect("subscribe");
    receive(&consumer, 4).await;
    let mut offsets = rdkafka::TopicPartitionList::new();
    offsets
        .add_partition_offset(&topic.name, 0, rdkafka::Offset::Offset(1))
        .expect("an offset");
    consumer.commit(&offsets, CommitMode::Sync).expect("commit");
    broker.stop_node(2).expect("stop");
    broker.pause_node(1).expect("pause");

    let snapshot = broker.snapshot();
    let states: Vec<NodeState> = snapshot.nodes.iter().map(|node| node.state).collect();
    assert_eq!(
        states,
        [NodeState::Running, NodeState::Paused, NodeState::Stopped]
    );
    assert_eq!(
        snapshot.nodes[0].address,
        broker.node_address(0).expect("an address")
    );
    let partition = snapshot.partition(&topic.name, 0).expect("partition 0");
    assert_eq!((partition.start_offset, partition.high_watermark), (0, 3));
    assert_eq!(partition.last_stable_offset, 3);
    assert_eq!((partition.leader, partition.leader_epoch), (0, 0));
    assert_eq!(partition.in_sync_replicas, [0, 1]);
    assert!(partition.bytes > 0);
    let group = snapshot.group("billing").expect("the group");
    assert_eq!(
        (group.protocol.as_str(), group.state.as_str()),
        ("classic", "Stable")
    );
    assert_eq!(group.generation, 1);
    assert_eq!(group.assignor, "range");
    let worker = only(group.members.clone());
    assert_eq!(worker.client_id, "worker");
    let assigned: Vec<i32> = worker
        .assignment
        .iter()
        .map(|part| part.partition)
        .collect();
    assert_eq!(assigned, [0, 1]);
    assert_eq!(snapshot.committed("billing", &topic.name, 0), Some(1));
    assert_eq!(snapshot.committed("billing", &topic.name, 1), None);
    assert_eq!(snapshot.lag("billing"), Some(2));
    assert_eq!(snapshot.lag("nobody"), None);

    let json = serde_json::to_string(&snapshot).expect("JSON");
    let back: Snapshot = serde_json::from_str(&json).expect("the same from JSON");
    assert_eq!(back, snapshot);
    assert!(json.contains(r#""state":"paused""#), "{json}");
    broker.resume_node(1).expect("resume");
}

#[tokio::test]
async fn an_expired_member_is_replaced_by_the_others() {
    for protocol in ["classic", "consumer"] {
        let broker = start(1).await;
        let topic = create_topic(&broker, 2, 1).await;
        let servers = broker.bootstrap_servers();
        let group = "billing";
        let first = member_of(protocol, &servers, "first", group);
        let second = member_of(protocol, &servers, "second", group);
        first.subscribe(&[&topic.name]).expect("subscribe");
        second.subscribe(&[&topic.name]).expect("subscribe");
        until_shared(&broker, group, &[&first, &second], &[1, 1]).await;

        let unknown = broker
            .expire_member(group, "third")
            .expect_err("no such member");
        assert_eq!(
            unknown.to_string(),
            "the group `billing` has no member `third`"
        );
        let unknown = broker
            .expire_member("x", "first")
            .expect_err("no such group");
        assert_eq!(unknown.to_string(), "there is no group `x`");
        broker.expire_member(group, "first").expect("expire it");
        // The one that is left reads all of it as long as the other does not know; it says nothing before it polls.
        until_shared(&broker, group, &[&second], &[2]).await;
        // It finds out, and is a member again.
        until_shared(&broker, group, &[&first, &second], &[1, 1]).await;
    }
}

fn member_of(protocol: &str, servers: &str, client_id: &str, group: &str) -> BaseConsumer {
    if protocol == "classic" {
        return member(servers, client_id, group);
    }
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", servers)
        .set("client.id", client_id)
        .set("group.id", group)
        .set("group.protocol", protocol)
        .set("enable.auto.commit", "false");
    config.create().expect("create a consumer")
}

/// Polls `members` until the broker gives each of them as many partitions as `counts` says, and nobody else any.
async fn until_shared(broker: &Broker, group: &str, members: &[&BaseConsumer], counts: &[usize]) {
    let missing = format!("{counts:?} partitions for the members");
    eventually(DEADLINE, &missing, async || {
        for member in members {
            if let Some(Ok(message)) = member.poll(Duration::ZERO) {
                panic!("nothing to read was expected: {message:?}");
            }
        }
        let snapshot = broker.snapshot();
        let mut have: Vec<usize> = snapshot
            .group(group)?
            .members
            .iter()
            .map(|member| member.assignment.len())
            .collect();
        have.sort_unstable();
        (have == counts).then_some(())
    })
    .await;
}

#[tokio::test]
async fn records_say_what_became_of_their_transaction() {
    let broker = start(1).await;
    let topic = create_topic(&broker, 1, 1).await;
    let producer = transactional_producer(&broker, "tx");
    for (value, commits) in [("kept", true), ("dropped", false)] {
        producer.begin_transaction().expect("begin");
        send_to(&producer, &topic.name, 0, value).await;
        match commits {
            true => producer.commit_transaction(DEADLINE).expect("commit"),
            false => producer.abort_transaction(DEADLINE).expect("abort"),
        }
    }
    producer.begin_transaction().expect("begin");
    send_to(&producer, &topic.name, 0, "open").await;

    let records = broker.records(&topic.name, 0).expect("the records");
    let seen: Vec<(Option<&str>, RecordState)> = records
        .iter()
        .map(|record| {
            (
                record.value_str().filter(|_| !record.is_marker()),
                record.state,
            )
        })
        .collect();
    assert_eq!(
        seen,
        [
            (Some("kept"), RecordState::Committed),
            (None, RecordState::CommitMarker),
            (Some("dropped"), RecordState::Aborted),
            (None, RecordState::AbortMarker),
            (Some("open"), RecordState::Ongoing),
        ]
    );
    let snapshot = broker.snapshot();
    let partition = snapshot.partition(&topic.name, 0).expect("partition 0");
    assert_eq!(
        (partition.last_stable_offset, partition.high_watermark),
        (4, 5)
    );
    let transaction = snapshot.transaction("tx").expect("the transaction");
    assert_eq!(transaction.state, "Ongoing");
    let written = only(transaction.partitions.clone());
    assert_eq!((written.topic, written.partition), (topic.name.clone(), 0));
}

#[tokio::test]
async fn an_aborted_transaction_fences_its_producer() {
    let broker = start(1).await;
    let topic = create_topic(&broker, 1, 1).await;
    let producer = transactional_producer(&broker, "tx");
    let nothing = broker.abort_transaction("tx").expect_err("none is open");
    assert_eq!(
        nothing.to_string(),
        "no transaction is open under the transactional id `tx`"
    );
    producer.begin_transaction().expect("begin");
    send_to(&producer, &topic.name, 0, "order-1").await;
    broker.abort_transaction("tx").expect("abort");
    let error = producer
        .commit_transaction(DEADLINE)
        .expect_err("the producer is fenced");
    assert!(
        matches!(&error, rdkafka::error::KafkaError::Transaction(error) if error.is_fatal()),
        "{error:?}"
    );
    let records = broker.records(&topic.name, 0).expect("the records");
    let states: Vec<RecordState> = records.iter().map(|record| record.state).collect();
    assert_eq!(states, [RecordState::Aborted, RecordState::AbortMarker]);
    let snapshot = broker.snapshot();
    let transaction = snapshot.transaction("tx").expect("the transaction");
    assert_eq!(
        (transaction.state.as_str(), transaction.producer_epoch),
        ("CompleteAbort", 1)
    );
}
