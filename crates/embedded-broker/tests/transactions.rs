//! Transactions on several nodes: only the coordinator of a transactional id answers, markers reach partitions wherever they
//! are led, and a producer gets through moves and crashes without losing or doubling a record.

// A test that cannot go on says so by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[allow(dead_code, reason = "other tests need more of it")]
#[path = "support/own_broker.rs"]
mod own_broker;
#[allow(dead_code, reason = "other tests need more of it")]
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use embedded_broker::{Broker, ControlError};
use kafka_protocol::error::{ParseResponseErrorCode, ResponseError};
use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_protocol::messages::{
    AddOffsetsToTxnRequest, AddPartitionsToTxnRequest, DescribeTransactionsRequest, EndTxnRequest,
    FindCoordinatorRequest, InitProducerIdRequest, ListTransactionsRequest, TransactionalId,
};
use rdkafka::error::KafkaError;
use rdkafka::producer::{FutureProducer, FutureRecord, Producer};

use own_broker::{connect, create_topic, producer_with, reader, receive, start};
use support::group::group_id;
use support::raw::RawClient;
use support::records::Batch;
use support::topic::{
    FETCH_BY_NAME, PRODUCE, Topic, fetch_partition, fetch_request, fetched, only, produce_request,
};
use support::wait::DEADLINE;

const ID: &str = "worker";
/// `key_type` of FindCoordinator for transactional ids.
const TRANSACTION: i8 = 1;

fn id() -> TransactionalId {
    TransactionalId(ID.into())
}

/// The node that coordinates [`ID`].
async fn coordinator(broker: &Broker) -> i32 {
    let request = FindCoordinatorRequest::default()
        .with_key_type(TRANSACTION)
        .with_coordinator_keys(vec![ID.into()]);
    let mut client = connect(broker, 0).await;
    let found = only(client.send(4, request).await.coordinators);
    assert_eq!(found.error_code.err(), None);
    found.node_id.0
}

fn init() -> InitProducerIdRequest {
    InitProducerIdRequest::default()
        .with_transactional_id(Some(id()))
        .with_transaction_timeout_ms(60_000)
}

fn add(producer: &EndTxnRequest, topic: &Topic, partitions: &[i32]) -> AddPartitionsToTxnRequest {
    let topic = AddPartitionsToTxnTopic::default()
        .with_name(topic.topic_name())
        .with_partitions(partitions.to_vec());
    AddPartitionsToTxnRequest::default()
        .with_v3_and_below_transactional_id(id())
        .with_v3_and_below_producer_id(producer.producer_id)
        .with_v3_and_below_producer_epoch(producer.producer_epoch)
        .with_v3_and_below_topics(vec![topic])
}

/// A producer that was initialised at its coordinator: the request that ends its transaction.
async fn initialised(client: &mut RawClient) -> EndTxnRequest {
    let answer = client.send(4, init()).await;
    assert_eq!(answer.error_code.err(), None);
    EndTxnRequest::default()
        .with_transactional_id(id())
        .with_producer_id(answer.producer_id)
        .with_producer_epoch(answer.producer_epoch)
        .with_committed(true)
}

/// Why the node does not add the partition, if it does not.
async fn added(
    client: &mut RawClient,
    request: AddPartitionsToTxnRequest,
) -> Option<ResponseError> {
    let topics = client.send(3, request).await.results_by_topic_v3_and_below;
    let results = only(topics).results_by_partition;
    results
        .iter()
        .find_map(|result| result.partition_error_code.err())
}

#[tokio::test]
async fn only_the_coordinator_answers() {
    let broker = start(3).await;
    let topic = create_topic(&broker, 1, 1).await;
    let coordinator = coordinator(&broker).await;
    let producer = initialised(&mut connect(&broker, coordinator).await).await;
    for node in 0..3 {
        let mut client = connect(&broker, node).await;
        let expected = (node != coordinator).then_some(ResponseError::NotCoordinator);
        let answer = added(&mut client, add(&producer, &topic, &[0])).await;
        assert_eq!(answer, expected, "add partitions at node {node}");
        let offsets = AddOffsetsToTxnRequest::default()
            .with_transactional_id(id())
            .with_producer_id(producer.producer_id)
            .with_producer_epoch(producer.producer_epoch)
            .with_group_id(group_id("group"));
        let answer = client.send(3, offsets).await.error_code.err();
        assert_eq!(answer, expected, "add offsets at node {node}");
        let answer = client.send(4, producer.clone()).await.error_code.err();
        assert_eq!(answer, expected, "end at node {node}");
        let describe = DescribeTransactionsRequest::default().with_transactional_ids(vec![id()]);
        let described = only(client.send(0, describe).await.transaction_states);
        assert_eq!(
            described.error_code.err(),
            expected,
            "describe at node {node}"
        );
        let listed = client.send(1, ListTransactionsRequest::default()).await;
        let is_listed = !listed.transaction_states.is_empty();
        assert_eq!(is_listed, node == coordinator, "list at node {node}");
        // Whoever has no transactional id needs no coordinator.
        let anonymous = init().with_transactional_id(None);
        assert_eq!(client.send(4, anonymous).await.error_code.err(), None);
    }
    for node in (0..3).filter(|node| *node != coordinator) {
        let refused = connect(&broker, node).await.send(4, init()).await;
        assert_eq!(
            refused.error_code.err(),
            Some(ResponseError::NotCoordinator)
        );
    }
}

#[tokio::test]
async fn a_transaction_goes_on_at_the_new_coordinator_and_ends_wherever_it_wrote() {
    let broker = start(3).await;
    let topic = create_topic(&broker, 3, 1).await;
    let old = coordinator(&broker).await;
    let mut client = connect(&broker, old).await;
    let producer = initialised(&mut client).await;
    assert_eq!(
        added(&mut client, add(&producer, &topic, &[0, 1, 2])).await,
        None
    );
    let leaders: BTreeMap<i32, i32> = {
        let snapshot = broker.snapshot();
        let topic = snapshot.topic(&topic.name).expect("the topic");
        let partitions = topic.partitions.iter();
        partitions
            .map(|partition| (partition.partition, partition.leader))
            .collect()
    };
    assert_eq!(leaders.values().collect::<BTreeSet<_>>().len(), 3);
    for (partition, leader) in &leaders {
        let batch = Batch::of(["value"])
            .from_producer(producer.producer_id.0, producer.producer_epoch, 0)
            .transactional();
        let request =
            produce_request(&topic, *partition, batch.encode()).with_transactional_id(Some(id()));
        let response = connect(&broker, *leader).await.send(PRODUCE, request).await;
        let answer = only(only(response.responses).partition_responses);
        assert_eq!(answer.error_code.err(), None);
    }
    let new = (old + 1) % 3;
    broker
        .move_coordinator(ID, new)
        .expect("move the coordinator");
    let answer = client.send(4, producer.clone()).await.error_code.err();
    assert_eq!(answer, Some(ResponseError::NotCoordinator));
    let mut client = connect(&broker, new).await;
    assert_eq!(client.send(4, producer).await.error_code.err(), None);
    for (partition, leader) in leaders {
        let request = fetch_request(&topic, vec![fetch_partition(partition, 0)]);
        let answer = fetched(
            connect(&broker, leader)
                .await
                .send(FETCH_BY_NAME, request)
                .await,
        );
        assert_eq!(
            answer.last_stable_offset, 2,
            "record and marker of partition {partition}"
        );
    }
}

/// What a test does to the cluster and the topic's leaders.
type Disturbance = fn(&Broker, &str) -> Result<(), ControlError>;

/// In the middle of each transaction, one after the other.
const DISTURBANCES: [Disturbance; 8] = [
    |broker, _| broker.move_coordinator(ID, 1),
    |broker, topic| broker.move_leader(topic, 0, 1),
    |broker, _| broker.stop_node(1),
    |broker, _| broker.move_coordinator(ID, 2),
    |broker, _| broker.start_node(1),
    |broker, topic| broker.move_leader(topic, 1, 1),
    |broker, _| broker.stop_node(2),
    |broker, _| broker.start_node(2),
];

/// Commits five values in one transaction, and tries again if it had to be aborted.
fn produce_transaction(
    producer: &FutureProducer,
    topic: &str,
    values: &[String],
    disturb: impl Fn(),
) {
    let attempt = || {
        producer.begin_transaction()?;
        for value in values {
            let record = FutureRecord::<(), String>::to(topic).payload(value);
            let _delivery = producer.send_result(record).map_err(|(error, _)| error)?;
        }
        disturb();
        retry(|| producer.commit_transaction(DEADLINE))
    };
    while let Err(error) = attempt() {
        match &error {
            KafkaError::Transaction(error) => assert!(error.txn_requires_abort(), "{error}"),
            other => panic!("produce: {other}"),
        }
        retry(|| producer.abort_transaction(DEADLINE)).expect("abort");
    }
}

/// Calls again as long as the client says that it may.
fn retry(mut call: impl FnMut() -> Result<(), KafkaError>) -> Result<(), KafkaError> {
    loop {
        match call() {
            Err(KafkaError::Transaction(error)) if error.is_retriable() => {}
            result => return result,
        }
    }
}

#[tokio::test]
async fn a_producer_loses_and_doubles_nothing_while_coordinators_move_and_nodes_die() {
    let broker = Arc::new(start(3).await);
    let topic = create_topic(&broker, 3, 3).await;
    let values: Vec<String> = (0..60).map(|number| number.to_string()).collect();
    let work = {
        let (broker, topic, values) = (Arc::clone(&broker), topic.name.clone(), values.clone());
        move || {
            let servers = broker.bootstrap_servers();
            let producer = producer_with(&servers, ID, true, &[("transactional.id", ID)]);
            producer.init_transactions(DEADLINE).expect("initialise");
            let disturbances = DISTURBANCES.iter().cycle();
            for (values, disturb) in values.chunks(5).zip(disturbances) {
                let disturb = || disturb(&broker, &topic).expect("a node that runs");
                produce_transaction(&producer, &topic, values, disturb);
            }
        }
    };
    tokio::task::spawn_blocking(work)
        .await
        .expect("all values are committed");
    let consumer = reader(&broker.bootstrap_servers(), &topic.name, 3);
    let mut received = receive(&consumer, values.len()).await;
    received.sort_by_key(|value| value.parse::<u32>().expect("a number"));
    assert_eq!(received, values);
}
