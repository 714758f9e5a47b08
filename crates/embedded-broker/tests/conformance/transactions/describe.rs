//! DescribeProducers, DescribeTransactions, ListTransactions: what `kafka-transactions.sh` shows.

use kafka_protocol::error::{ParseResponseErrorCode, ResponseError};
use kafka_protocol::messages::describe_producers_request::TopicRequest;
use kafka_protocol::messages::describe_producers_response::{PartitionResponse, ProducerState};
use kafka_protocol::messages::describe_transactions_response::TransactionState;
use kafka_protocol::messages::{
    DescribeProducersRequest, DescribeTransactionsRequest, ListTransactionsRequest,
    ListTransactionsResponse,
};

use kafka_protocol::protocol::StrBytes;

use super::{Producer, TIMEOUT_MS, transactional_id};
use crate::support::broker::unique;
use crate::support::raw::RawClient;
use crate::support::records::{Batch, now};
use crate::support::topic::{Topic, append, only, topic_name};

async fn producers(client: &mut RawClient, topic: &str, partition: i32) -> PartitionResponse {
    let topic = TopicRequest::default()
        .with_name(topic_name(topic))
        .with_partition_indexes(vec![partition]);
    let response = client
        .send(
            0,
            DescribeProducersRequest::default().with_topics(vec![topic]),
        )
        .await;
    only(only(response.topics).partitions)
}

async fn describe(client: &mut RawClient, id: &str) -> TransactionState {
    let request =
        DescribeTransactionsRequest::default().with_transactional_ids(vec![transactional_id(id)]);
    only(client.send(0, request).await.transaction_states)
}

/// Each partition tells which producers wrote to it and who has a transaction open.
#[tokio::test]
async fn a_partition_describes_its_producers() {
    let topic = Topic::create(1).await;
    let mut producer = Producer::start().await;
    let mut client = RawClient::connect().await;
    assert_eq!(
        producers(&mut client, &topic.name, 0)
            .await
            .active_producers,
        []
    );
    append(&mut client, &topic, 0, &Batch::of(["nobody's"])).await;
    assert_eq!(
        producers(&mut client, &topic.name, 0)
            .await
            .active_producers,
        []
    );
    producer.add(&topic, &[0]).await;
    let batch = Batch::at(&[3_000, 1_000])
        .from_producer(producer.id, producer.epoch, 0)
        .transactional();
    assert_eq!(producer.try_send(10, &topic, 0, &batch).await, Ok(1));
    let open = ProducerState::default()
        .with_producer_id(producer.id.into())
        .with_producer_epoch(0)
        .with_last_sequence(1)
        .with_last_timestamp(3_000)
        .with_coordinator_epoch(-1)
        .with_current_txn_start_offset(1);
    assert_eq!(
        producers(&mut client, &topic.name, 0)
            .await
            .active_producers,
        std::slice::from_ref(&open)
    );
    let before = now();
    producer.commit().await;
    let ended = only(
        producers(&mut client, &topic.name, 0)
            .await
            .active_producers,
    );
    assert!(
        (before..=now()).contains(&ended.last_timestamp),
        "the marker's time: {ended:?}"
    );
    let time = ended.last_timestamp;
    assert_eq!(
        ended,
        open.with_coordinator_epoch(0)
            .with_current_txn_start_offset(-1)
            .with_last_timestamp(time)
    );
}

/// A producer that left only a marker has no sequence yet.
#[tokio::test]
async fn a_marker_alone_leaves_a_producer_without_a_sequence() {
    let topic = Topic::create(1).await;
    let mut producer = Producer::start().await;
    producer.add(&topic, &[0]).await;
    producer.commit().await;
    let found = only(
        producers(&mut producer.client, &topic.name, 0)
            .await
            .active_producers,
    );
    assert_eq!(
        (found.last_sequence, found.current_txn_start_offset),
        (-1, -1)
    );
    // A new epoch forgets the sequence of the old one.
    producer.add(&topic, &[0]).await;
    producer.send(&topic, 0, &["value"]).await;
    Producer::start_as(&producer.transactional_id, TIMEOUT_MS).await;
    let found = only(
        producers(&mut producer.client, &topic.name, 0)
            .await
            .active_producers,
    );
    assert_eq!((found.producer_epoch, found.last_sequence), (1, -1));
}

/// Idempotent producers are described as well.
#[tokio::test]
async fn a_producer_without_transactions_is_described() {
    let topic = Topic::create(1).await;
    let mut client = RawClient::connect().await;
    let batch = Batch::of(["one", "two"]).from_producer(4_711, 3, 5);
    append(&mut client, &topic, 0, &batch).await;
    let found = only(
        producers(&mut client, &topic.name, 0)
            .await
            .active_producers,
    );
    assert_eq!(
        (
            found.producer_id.0,
            found.producer_epoch,
            found.last_sequence,
            found.coordinator_epoch,
            found.current_txn_start_offset
        ),
        (4_711, 3, 6, -1, -1)
    );
}

/// What does not exist has an error and a word about it.
#[tokio::test]
async fn only_partitions_that_exist_are_described() {
    let topic = Topic::create(1).await;
    let mut client = RawClient::connect().await;
    for (name, partition, error) in [
        (
            topic.name.as_str(),
            1,
            ResponseError::UnknownTopicOrPartition,
        ),
        (
            &unique("missing"),
            0,
            ResponseError::UnknownTopicOrPartition,
        ),
        ("no/topic", 0, ResponseError::InvalidTopicException),
    ] {
        let answer = producers(&mut client, name, partition).await;
        assert_eq!(answer.error_code.err(), Some(error), "{name}-{partition}");
        assert_eq!(answer.active_producers, []);
    }
}

/// A transactional id through its states.
#[tokio::test]
async fn a_transaction_is_described_in_every_state() {
    let (topic, other) = (Topic::create(2).await, Topic::create(1).await);
    let mut producer = Producer::start_as(&unique("transactional"), 12_345).await;
    let name = producer.transactional_id.clone();
    let mut client = RawClient::connect().await;
    let empty = describe(&mut client, &name).await;
    let expected = TransactionState::default()
        .with_transactional_id(transactional_id(&name))
        .with_transaction_state("Empty".into())
        .with_transaction_timeout_ms(12_345)
        .with_transaction_start_time_ms(-1)
        .with_producer_id(producer.id.into())
        .with_producer_epoch(0);
    assert_eq!(empty, expected);
    let before = now();
    producer.add(&topic, &[0, 1]).await;
    let after = now();
    producer.add(&other, &[0]).await;
    let mut ongoing = describe(&mut client, &name).await;
    let started = ongoing.transaction_start_time_ms;
    assert!((before..=after).contains(&started), "{started}");
    assert_eq!(ongoing.transaction_state.as_str(), "Ongoing");
    let mut partitions = Vec::new();
    for topic in &mut ongoing.topics {
        topic.partitions.sort_unstable();
        partitions.push((topic.topic.to_string(), topic.partitions.clone()));
    }
    partitions.sort();
    let mut all = [
        (topic.name.clone(), vec![0, 1]),
        (other.name.clone(), vec![0]),
    ];
    all.sort();
    assert_eq!(partitions, all);
    producer.commit().await;
    let complete = expected.clone().with_transaction_start_time_ms(started);
    let committed = describe(&mut client, &name).await;
    assert_eq!(
        committed,
        complete
            .clone()
            .with_transaction_state("CompleteCommit".into())
    );
    producer.add(&topic, &[0]).await;
    producer.abort().await;
    let aborted = describe(&mut client, &name).await;
    assert_eq!(aborted.transaction_state.as_str(), "CompleteAbort");
    Producer::start_as(&name, 54_321).await;
    let again = describe(&mut client, &name).await;
    assert_eq!(
        again,
        expected
            .with_producer_epoch(1)
            .with_transaction_timeout_ms(54_321)
    );
}

/// An unknown transactional id, and none.
#[tokio::test]
async fn only_known_ids_are_described() {
    let mut client = RawClient::connect().await;
    let name = unique("unknown");
    let unknown = describe(&mut client, &name).await;
    assert_eq!(
        unknown.error_code.err(),
        Some(ResponseError::TransactionalIdNotFound)
    );
    assert_eq!(unknown.transactional_id, transactional_id(&name));
    assert_eq!(unknown.transaction_state.as_str(), "");
    let empty = describe(&mut client, "").await;
    assert_eq!(empty.error_code.err(), Some(ResponseError::InvalidRequest));
}

fn mine<'a>(
    response: &'a ListTransactionsResponse,
    names: &[&str],
) -> Vec<(&'a str, i64, &'a str)> {
    assert_eq!(response.error_code, 0);
    let mut found: Vec<_> = response
        .transaction_states
        .iter()
        .filter(|state| names.contains(&state.transactional_id.as_str()))
        .map(|state| {
            (
                state.transactional_id.as_str(),
                state.producer_id.0,
                state.transaction_state.as_str(),
            )
        })
        .collect();
    found.sort_unstable();
    found
}

/// Every id is listed; filters by state, producer id and age narrow the list.
#[tokio::test]
async fn transactions_are_listed_and_filtered() {
    let topic = Topic::create(1).await;
    let mut open = Producer::start().await;
    let mut ended = Producer::start().await;
    let idle = Producer::start().await;
    open.add(&topic, &[0]).await;
    ended.add(&topic, &[0]).await;
    ended.commit().await;
    let names = [
        open.transactional_id.as_str(),
        &ended.transactional_id,
        &idle.transactional_id,
    ];
    let mut all = [
        (names[0], open.id, "Ongoing"),
        (names[1], ended.id, "CompleteCommit"),
        (names[2], idle.id, "Empty"),
    ];
    let (ongoing, empty) = (all[0], all[2]);
    all.sort_unstable();
    let mut client = RawClient::connect().await;
    for version in [0, 1] {
        let listed = client
            .send(version, ListTransactionsRequest::default())
            .await;
        assert_eq!(mine(&listed, &names), all, "version {version}");
        let states = vec!["Ongoing".into(), "Empty".into(), "Nonsense".into()];
        let by_state = client
            .send(
                version,
                ListTransactionsRequest::default().with_state_filters(states),
            )
            .await;
        let mut expected = [ongoing, empty];
        expected.sort_unstable();
        assert_eq!(mine(&by_state, &names), expected);
        assert_eq!(
            by_state.unknown_state_filters,
            [StrBytes::from_static_str("Nonsense")]
        );
        let by_producer =
            ListTransactionsRequest::default().with_producer_id_filters(vec![open.id.into()]);
        assert_eq!(
            mine(&client.send(version, by_producer).await, &names),
            [ongoing]
        );
        let nonsense = ListTransactionsRequest::default()
            .with_state_filters(vec![StrBytes::from_static_str("Nonsense")]);
        assert_eq!(mine(&client.send(version, nonsense).await, &names), []);
    }
    // Only version 1 knows ages. One that never began is as old as time.
    let by_age = ListTransactionsRequest::default().with_duration_filter(3_600_000);
    assert_eq!(mine(&client.send(1, by_age).await, &names), [empty]);
    let young = ListTransactionsRequest::default().with_duration_filter(-1);
    assert_eq!(mine(&client.send(1, young).await, &names), all);
}
