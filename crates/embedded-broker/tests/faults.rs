//! Faults on purpose: each of them through the eyes of a client.

// A test that cannot go on says so by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[allow(dead_code, reason = "other tests need more of it")]
#[path = "support/own_broker.rs"]
mod own_broker;
#[allow(dead_code, reason = "other tests need more of it")]
mod support;

use std::time::{Duration, Instant};

use embedded_broker::{ApiKey, Broker, ErrorCode, RecordState};
use kafka_protocol::error::ParseResponseErrorCode;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{FetchRequest, MetadataRequest};
use rdkafka::consumer::Consumer;
use rdkafka::producer::{FutureRecord, Producer};

use own_broker::{
    connect, create_topic, member, producer, receive, send_to, start, transactional_producer,
};
use support::records::Batch;
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
async fn a_lost_answer_to_a_commit_is_a_commit() {
    let broker = start(1).await;
    let topic = create_topic(&broker, 1, 1).await;
    let lost = broker
        .faults()
        .on(ApiKey::EndTxn)
        .transactional_id("tx")
        .once()
        .apply_then_drop();
    let producer = transactional_producer(&broker, "tx");
    producer.begin_transaction().expect("begin");
    send_to(&producer, &topic.name, 0, "order-1").await;
    producer.commit_transaction(DEADLINE).expect("commit");
    assert_eq!(lost.hits(), 1);
    let records = broker.records(&topic.name, 0).expect("the records");
    let states: Vec<RecordState> = records.iter().map(|record| record.state).collect();
    assert_eq!(states, [RecordState::Committed, RecordState::CommitMarker]);
}
