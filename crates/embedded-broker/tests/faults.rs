//! Faults on purpose, and what a test may look at: each of them through the eyes of a client.

// A test that cannot go on says so by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[allow(dead_code, reason = "other tests need more of it")]
#[path = "support/own_broker.rs"]
mod own_broker;
#[allow(dead_code, reason = "other tests need more of it")]
mod support;

use std::time::{Duration, Instant};

use embedded_broker::{ApiKey, Broker, ControlError, ErrorCode, NodeState, RecordState, Snapshot};
use kafka_protocol::error::ParseResponseErrorCode;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{FetchRequest, MetadataRequest};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord, Producer};

use own_broker::{connect, create_topic, member, producer, producer_with, receive, send_to, start};
use support::records::{Batch, altered, position};
use support::topic::{
    FETCH_BY_NAME, PRODUCE, Topic, fetch_partition, fetch_request, only, produce, produce_request,
};
use support::wait::{DEADLINE, eventually};

/// The newest version of Metadata that names topics without ids.
const METADATA: i16 = 12;

/// The values in partition 0, markers left out.
fn values(broker: &Broker, topic: &Topic) -> Vec<String> {
    let records = broker.records(&topic.name, 0).expect("the records");
    let values = records.iter().map(|record| record.value_str());
    values
        .map(|value| value.expect("text").to_owned())
        .collect()
}

#[tokio::test]
async fn a_lost_acknowledgement_makes_one_copy_with_an_idempotent_producer() {
    let broker = start(1).await;
    let topic = create_topic(&broker, 1, 1).await;
    let lost = broker
        .faults()
        .on(ApiKey::Produce)
        .topic(&topic.name)
        .once()
        .apply_then_drop();
    let producer = producer(&broker.bootstrap_servers(), "p", true);
    let offset = send_to(&producer, &topic.name, 0, "order-1").await;
    assert_eq!(lost.hits(), 1);
    assert_eq!(offset, 0, "the second answer is that of the first batch");
    assert_eq!(values(&broker, &topic), ["order-1"]);
    assert_eq!(broker.requests().client_id("p").count(ApiKey::Produce), 2);
}

#[tokio::test]
async fn a_lost_acknowledgement_makes_two_copies_with_any_other_producer() {
    let broker = start(1).await;
    let topic = create_topic(&broker, 1, 1).await;
    broker.faults().on(ApiKey::Produce).once().apply_then_drop();
    let producer = producer(&broker.bootstrap_servers(), "p", false);
    let offset = send_to(&producer, &topic.name, 0, "order-1").await;
    assert_eq!(offset, 1, "the producer is told of the second copy");
    assert_eq!(values(&broker, &topic), ["order-1", "order-1"]);
}

#[tokio::test]
async fn an_answer_that_says_failed_although_it_was_done_makes_two_copies_too() {
    let broker = start(1).await;
    let topic = create_topic(&broker, 1, 1).await;
    let fault = broker
        .faults()
        .on(ApiKey::Produce)
        .once()
        .apply_then_error(ErrorCode::RequestTimedOut);
    let producer = producer(&broker.bootstrap_servers(), "p", false);
    send_to(&producer, &topic.name, 0, "order-1").await;
    assert_eq!(fault.hits(), 1);
    assert_eq!(values(&broker, &topic), ["order-1", "order-1"]);
}

#[tokio::test]
async fn a_producer_gets_through_errors_that_pass() {
    let broker = start(1).await;
    let topic = create_topic(&broker, 1, 1).await;
    let refused = broker
        .faults()
        .on(ApiKey::Produce)
        .topic(&topic.name)
        .times(3)
        .error(ErrorCode::NotLeaderOrFollower);
    let producer = producer(&broker.bootstrap_servers(), "p", true);
    send_to(&producer, &topic.name, 0, "order-1").await;
    assert_eq!(refused.hits(), 3);
    assert_eq!(values(&broker, &topic), ["order-1"]);
    assert_eq!(broker.requests().count(ApiKey::Produce), 4);
}

#[tokio::test]
async fn a_producer_gives_up_at_an_error_that_does_not_pass() {
    let broker = start(1).await;
    let topic = create_topic(&broker, 1, 1).await;
    broker
        .faults()
        .on(ApiKey::Produce)
        .error(ErrorCode::TopicAuthorizationFailed);
    let producer = producer(&broker.bootstrap_servers(), "p", false);
    let record = FutureRecord::<(), str>::to(&topic.name).payload("order-1");
    let (error, _) = producer.send(record, DEADLINE).await.expect_err("refused");
    assert_eq!(
        error.rdkafka_error_code(),
        Some(rdkafka::types::RDKafkaErrorCode::TopicAuthorizationFailed)
    );
    assert!(values(&broker, &topic).is_empty());
}

#[tokio::test]
async fn an_error_of_one_topic_leaves_the_other_topics_of_the_request_alone() {
    let broker = start(1).await;
    let [good, bad] = [
        create_topic(&broker, 1, 1).await,
        create_topic(&broker, 1, 1).await,
    ];
    let fault = broker
        .faults()
        .on_any()
        .topic(&bad.name)
        .error(ErrorCode::KafkaStorageError);
    let mut client = connect(&broker, 0).await;

    let records = Batch::of(["a"]).encode();
    let mut request = produce_request(&good, 0, records.clone());
    request
        .topic_data
        .extend(produce_request(&bad, 0, records).topic_data);
    for topic in client.send(PRODUCE, request).await.responses {
        let error = only(topic.partition_responses).error_code.err();
        let expected = (topic.name.as_str() == bad.name).then_some(ErrorCode::KafkaStorageError);
        assert_eq!(error, expected, "produce to {:?}", topic.name);
    }
    assert_eq!(values(&broker, &good), ["a"]);
    assert!(values(&broker, &bad).is_empty(), "nothing was done");

    // By name and, in newer versions, by id alone.
    let mut request = fetch_request(&good, vec![fetch_partition(0, 0)]);
    request
        .topics
        .extend(fetch_request(&bad, vec![fetch_partition(0, 0)]).topics);
    for version in [FETCH_BY_NAME, 13] {
        for topic in &mut request.topics {
            topic.topic_id = match (version, topic.topic.as_str() == good.name) {
                (FETCH_BY_NAME, _) => Default::default(),
                (_, true) => good.id,
                (_, false) => bad.id,
            };
        }
        let sent: FetchRequest = match version {
            FETCH_BY_NAME => request.clone(),
            _ => {
                let mut by_id = request.clone();
                by_id
                    .topics
                    .iter_mut()
                    .for_each(|topic| topic.topic = Default::default());
                by_id
            }
        };
        let answer = client.send(version, sent).await;
        assert_eq!(answer.error_code, 0);
        assert_eq!(answer.responses.len(), 2);
        for topic in answer.responses {
            let is_bad = topic.topic.as_str() == bad.name || topic.topic_id == bad.id;
            let partition = only(topic.partitions);
            let expected = is_bad.then_some(ErrorCode::KafkaStorageError);
            assert_eq!(
                partition.error_code.err(),
                expected,
                "fetch version {version}"
            );
            assert_eq!(partition.records.expect("never null").is_empty(), is_bad);
        }
    }

    // All topics, without naming any.
    let answer = client
        .send(METADATA, MetadataRequest::default().with_topics(None))
        .await;
    assert_eq!(answer.brokers.len(), 1);
    assert_eq!(answer.topics.len(), 2);
    for topic in answer.topics {
        let is_bad = topic
            .name
            .as_ref()
            .is_some_and(|name| name.as_str() == bad.name);
        let expected = is_bad.then_some(ErrorCode::KafkaStorageError);
        assert_eq!(topic.error_code.err(), expected);
    }
    assert_eq!(fault.hits(), 4);
}

#[tokio::test]
async fn an_error_of_every_topic_still_says_which_nodes_there_are() {
    let broker = start(3).await;
    let topic = create_topic(&broker, 1, 1).await;
    broker
        .faults()
        .on(ApiKey::Metadata)
        .times(2)
        .error(ErrorCode::LeaderNotAvailable);
    let mut client = connect(&broker, 0).await;
    let asked = MetadataRequestTopic::default().with_name(Some(topic.topic_name()));
    for topics in [Some(vec![asked]), None] {
        let answer = client
            .send(METADATA, MetadataRequest::default().with_topics(topics))
            .await;
        assert_eq!(answer.brokers.len(), 3);
        let found = only(answer.topics);
        assert_eq!(found.error_code.err(), Some(ErrorCode::LeaderNotAvailable));
        assert!(found.partitions.is_empty());
    }
}

#[tokio::test]
async fn a_request_that_has_no_answer_fails_with_its_connection() {
    let broker = start(1).await;
    let topic = create_topic(&broker, 1, 1).await;
    broker
        .faults()
        .on(ApiKey::Produce)
        .once()
        .error(ErrorCode::KafkaStorageError);
    let mut client = connect(&broker, 0).await;
    let request = produce_request(&topic, 0, Batch::of(["a"]).encode()).with_acks(0);
    let _no_answer = client.write(PRODUCE, &request).await;
    client.is_closed().await;
    assert!(values(&broker, &topic).is_empty());
}

#[tokio::test]
async fn members_get_through_errors_of_their_group() {
    let broker = start(1).await;
    let topic = create_topic(&broker, 1, 1).await;
    let servers = broker.bootstrap_servers();
    let faults = broker.faults();
    let set = [
        faults
            .on(ApiKey::FindCoordinator)
            .group("billing")
            .times(2)
            .error(ErrorCode::CoordinatorNotAvailable),
        faults
            .on(ApiKey::JoinGroup)
            .group("billing")
            .once()
            .error(ErrorCode::CoordinatorLoadInProgress),
        faults
            .on(ApiKey::SyncGroup)
            .group("billing")
            .once()
            .error(ErrorCode::RebalanceInProgress),
    ];
    let other = faults
        .on(ApiKey::JoinGroup)
        .group("shipping")
        .error(ErrorCode::GroupAuthorizationFailed);
    let producer = producer(&servers, "p", true);
    send_to(&producer, &topic.name, 0, "order-1").await;
    let consumer = member(&servers, "c", "billing");
    consumer.subscribe(&[&topic.name]).expect("subscribe");
    assert_eq!(receive(&consumer, 1).await, ["order-1"]);
    assert_eq!(set.map(|fault| fault.hits()), [2, 1, 1]);
    assert_eq!(other.hits(), 0, "that is another group");
}

#[tokio::test]
async fn a_dropped_request_is_not_done_but_those_before_it_are_answered() {
    let broker = start(1).await;
    let topic = create_topic(&broker, 1, 1).await;
    let dropped = broker.faults().on(ApiKey::Produce).once().drop_connection();
    let mut client = connect(&broker, 0).await;
    let request = MetadataRequest::default().with_topics(Some(vec![]));
    let batch = produce_request(&topic, 0, Batch::of(["a"]).encode());
    let first = client.write(METADATA, &request).await;
    let _no_answer = client.write(PRODUCE, &batch).await;
    assert_eq!(client.read(first).await.brokers.len(), 1);
    client.is_closed().await;
    assert_eq!(dropped.hits(), 1);
    assert!(values(&broker, &topic).is_empty());
}

#[tokio::test]
async fn a_delay_holds_back_what_is_behind_it_and_adds_up() {
    let broker = start(1).await;
    let topic = create_topic(&broker, 1, 1).await;
    let faults = broker.faults();
    let delay = Duration::from_millis(100);
    faults.on(ApiKey::Produce).once().delay(delay);
    faults.on(ApiKey::Produce).once().delay(delay);
    faults
        .on(ApiKey::Produce)
        .once()
        .error(ErrorCode::RequestTimedOut);
    let mut client = connect(&broker, 0).await;
    let mut bystander = connect(&broker, 0).await;
    let batch = produce_request(&topic, 0, Batch::of(["a"]).encode());
    let start = Instant::now();
    let first = client.write(PRODUCE, &batch).await;
    let second = client.write(PRODUCE, &batch).await;
    // Another connection is not concerned.
    let request = MetadataRequest::default().with_topics(Some(vec![]));
    bystander.send(METADATA, request).await;
    let bystander_took = start.elapsed();
    let refused = only(only(client.read(first).await.responses).partition_responses);
    assert_eq!(refused.error_code.err(), Some(ErrorCode::RequestTimedOut));
    assert!(start.elapsed() >= 2 * delay, "{:?}", start.elapsed());
    assert!(bystander_took < 2 * delay, "{bystander_took:?}");
    let done = only(only(client.read(second).await.responses).partition_responses);
    assert_eq!((done.error_code.err(), done.base_offset), (None, 0));
}

#[tokio::test]
async fn a_delayed_request_is_done_even_if_its_client_hangs_up() {
    let broker = start(1).await;
    let topic = create_topic(&broker, 1, 1).await;
    let slow = broker
        .faults()
        .on(ApiKey::Produce)
        .delay(Duration::from_millis(100));
    let mut client = connect(&broker, 0).await;
    let batch = produce_request(&topic, 0, Batch::of(["late"]).encode());
    let _nobody_reads = client.write(PRODUCE, &batch).await;
    eventually(DEADLINE, "the request to arrive", async || {
        (slow.hits() == 1).then_some(())
    })
    .await;
    drop(client);
    eventually(
        DEADLINE,
        "the record of a client that is gone",
        async || (values(&broker, &topic) == ["late"]).then_some(()),
    )
    .await;
}

#[tokio::test]
async fn a_held_request_waits_until_the_fault_is_cleared() {
    let broker = start(1).await;
    let topic = create_topic(&broker, 1, 1).await;
    let held = broker
        .faults()
        .on(ApiKey::Produce)
        .topic(&topic.name)
        .hold();
    let mut client = connect(&broker, 0).await;
    let batch = produce_request(&topic, 0, Batch::of(["a"]).encode());
    let waiting = client.write(PRODUCE, &batch).await;
    eventually(DEADLINE, "the request to be held", async || {
        (held.hits() == 1).then_some(())
    })
    .await;
    client.no_response_within(Duration::from_millis(100)).await;
    assert!(values(&broker, &topic).is_empty());
    held.clear();
    let done = only(only(client.read(waiting).await.responses).partition_responses);
    assert_eq!(done.error_code.err(), None);
    assert_eq!(values(&broker, &topic), ["a"]);
    // Nothing is left of it.
    produce(&mut client, &topic, 0, Batch::of(["b"]).encode()).await;
    assert_eq!(held.hits(), 1);
}

#[tokio::test]
async fn a_request_held_on_a_node_that_is_stopped_is_never_done() {
    let broker = start(2).await;
    let topic = create_topic(&broker, 1, 1).await;
    let held = broker.faults().on(ApiKey::Produce).hold();
    let mut client = connect(&broker, 0).await;
    let batch = produce_request(&topic, 0, Batch::of(["a"]).encode());
    let _no_answer = client.write(PRODUCE, &batch).await;
    eventually(DEADLINE, "the request to be held", async || {
        (held.hits() == 1).then_some(())
    })
    .await;
    broker.stop_node(0).expect("stop the leader");
    held.clear();
    client.is_closed().await;
    broker.start_node(0).expect("start it again");
    let mut client = connect(&broker, 0).await;
    produce(&mut client, &topic, 0, Batch::of(["b"]).encode()).await;
    assert_eq!(values(&broker, &topic), ["b"]);
}

#[tokio::test]
async fn chance_strikes_the_same_requests_in_each_run() {
    let mut runs = Vec::new();
    for _ in 0..2 {
        let broker = start(1).await;
        let topic = create_topic(&broker, 1, 1).await;
        let fault = broker
            .faults()
            .on(ApiKey::Produce)
            .probability(0.3, 42)
            .error(ErrorCode::NotEnoughReplicas);
        let mut client = connect(&broker, 0).await;
        let mut failed = Vec::new();
        for _ in 0..40 {
            let answer = produce(&mut client, &topic, 0, Batch::of(["a"]).encode()).await;
            failed.push(answer.error_code.err());
        }
        let failures = failed.iter().flatten().count();
        assert_eq!(fault.hits(), failures as u64);
        assert!((4..25).contains(&failures), "{failures} of 40 are not 30 %");
        runs.push(failed);
    }
    assert_eq!(runs[0], runs[1]);
}

#[tokio::test]
async fn a_fault_may_concern_one_client_or_one_node() {
    let broker = start(2).await;
    let topic = create_topic(&broker, 2, 1).await;
    let servers = broker.bootstrap_servers();
    let faults = broker.faults();
    let of_client = faults
        .on(ApiKey::Produce)
        .client_id("unlucky")
        .error(ErrorCode::TopicAuthorizationFailed);
    let lucky = producer(&servers, "lucky", false);
    let unlucky = producer(&servers, "unlucky", false);
    send_to(&lucky, &topic.name, 0, "a").await;
    let record = FutureRecord::<(), str>::to(&topic.name)
        .partition(0)
        .payload("b");
    unlucky.send(record, DEADLINE).await.expect_err("refused");
    assert_eq!(of_client.hits(), 1);

    faults.clear();
    let of_node = faults
        .on(ApiKey::Produce)
        .node(1)
        .times(1)
        .error(ErrorCode::NotLeaderOrFollower);
    send_to(&lucky, &topic.name, 0, "c").await;
    assert_eq!(of_node.hits(), 0);
    send_to(&lucky, &topic.name, 1, "d").await;
    assert_eq!(of_node.hits(), 1);
}

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
    let producer = transactional_producer(&broker, "tx").await;
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
    let producer = transactional_producer(&broker, "tx").await;
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

#[tokio::test]
async fn a_lost_answer_to_a_commit_is_a_commit() {
    let broker = start(1).await;
    let topic = create_topic(&broker, 1, 1).await;
    let lost = broker
        .faults()
        .on(ApiKey::EndTxn)
        .transactional_id("tx")
        .once()
        .apply_then_drop();
    let producer = transactional_producer(&broker, "tx").await;
    producer.begin_transaction().expect("begin");
    send_to(&producer, &topic.name, 0, "order-1").await;
    producer.commit_transaction(DEADLINE).expect("commit");
    assert_eq!(lost.hits(), 1);
    let records = broker.records(&topic.name, 0).expect("the records");
    let states: Vec<RecordState> = records.iter().map(|record| record.state).collect();
    assert_eq!(states, [RecordState::Committed, RecordState::CommitMarker]);
}

async fn transactional_producer(broker: &Broker, id: &str) -> FutureProducer {
    let settings = [("transactional.id", id)];
    let producer = producer_with(&broker.bootstrap_servers(), "p", true, &settings);
    producer.init_transactions(DEADLINE).expect("initialise");
    producer
}
