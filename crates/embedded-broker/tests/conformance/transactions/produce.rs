//! Produce inside and outside a transaction: what a partition takes from a transactional producer.

use kafka_protocol::error::{ParseResponseErrorCode, ResponseError};

use super::{Producer, everything};
use crate::support::records::Batch;
use crate::support::topic::{PRODUCE, Topic, only, produce_request};

/// "Transactional batch to an unregistered partition => INVALID_TXN_STATE"; TRANSACTION_ABORTABLE(120) for clients that
/// know it, from version 11 on (KIP-890).
#[tokio::test]
async fn a_partition_must_be_added_first() {
    let topic = Topic::create(2).await;
    let mut producer = Producer::start().await;
    producer.add(&topic, &[0]).await;
    let batch = producer.batch(&topic, 1, &["unregistered"]);
    for (version, expected) in [
        (3, ResponseError::InvalidTxnState),
        (10, ResponseError::InvalidTxnState),
        (11, ResponseError::TransactionAbortable),
    ] {
        let sent = producer.try_send(version, &topic, 1, &batch).await;
        assert_eq!(sent, Err(expected), "version {version}");
    }
    assert_eq!(everything(&mut producer.client, &topic, 1).await, [""; 0]);
    producer.add(&topic, &[1]).await;
    assert_eq!(producer.send(&topic, 1, &["registered"]).await, 0);
}

/// A transaction that has ended takes nothing more: the partition must be added to the next one.
#[tokio::test]
async fn a_partition_must_be_added_to_each_transaction() {
    let topic = Topic::create(1).await;
    let mut producer = Producer::start().await;
    for committed in [true, false] {
        producer.add(&topic, &[0]).await;
        producer.send(&topic, 0, &["inside"]).await;
        if committed {
            producer.commit().await;
        } else {
            producer.abort().await;
        }
        let batch = producer.batch(&topic, 0, &["between"]);
        let between = producer.try_send(10, &topic, 0, &batch).await;
        assert_eq!(
            between,
            Err(ResponseError::InvalidTxnState),
            "after {committed}"
        );
    }
    assert_eq!(
        everything(&mut producer.client, &topic, 0).await,
        ["inside", "inside"]
    );
}

/// "Non-transactional batch from a pid with an open txn => INVALID_TXN_STATE."
#[tokio::test]
async fn an_open_transaction_takes_only_transactional_batches() {
    let topic = Topic::create(2).await;
    let mut producer = Producer::start().await;
    producer.add(&topic, &[0]).await;
    producer.send(&topic, 0, &["inside"]).await;
    let outside = Batch::of(["outside"]).from_producer(producer.id, producer.epoch, 1);
    let sent = producer.try_send(10, &topic, 0, &outside).await;
    assert_eq!(sent, Err(ResponseError::InvalidTxnState));
    // On another partition this producer has no transaction open.
    let elsewhere = Batch::of(["elsewhere"]).from_producer(producer.id, producer.epoch, 0);
    assert_eq!(producer.try_send(10, &topic, 1, &elsewhere).await, Ok(0));
    // A repeated batch is still a duplicate, whatever it says of transactions.
    let repeated = Batch::of(["inside"]).from_producer(producer.id, producer.epoch, 0);
    assert_eq!(producer.try_send(10, &topic, 0, &repeated).await, Ok(0));
    producer.commit().await;
    assert_eq!(producer.try_send(10, &topic, 0, &outside).await, Ok(2));
}

/// A batch that is sent again inside its transaction is kept once; after the end it belongs to no transaction.
#[tokio::test]
async fn a_duplicate_inside_the_transaction_is_kept_once() {
    let topic = Topic::create(1).await;
    let mut producer = Producer::start().await;
    producer.add(&topic, &[0]).await;
    let first = producer.batch(&topic, 0, &["one", "two"]);
    for _ in 0..2 {
        assert_eq!(producer.try_send(10, &topic, 0, &first).await, Ok(0));
    }
    producer.commit().await;
    let late = producer.try_send(10, &topic, 0, &first).await;
    assert_eq!(late, Err(ResponseError::InvalidTxnState));
    assert_eq!(
        everything(&mut producer.client, &topic, 0).await,
        ["one", "two"]
    );
}

/// The sequence of an epoch goes on over its transactions; the next epoch starts at 0.
#[tokio::test]
async fn sequences_go_on_until_the_epoch_changes() {
    let topic = Topic::create(1).await;
    let mut producer = Producer::start().await;
    producer.add(&topic, &[0]).await;
    producer.send(&topic, 0, &["one", "two"]).await;
    producer.commit().await;
    producer.add(&topic, &[0]).await;
    assert_eq!(producer.send(&topic, 0, &["three"]).await, 3);
    for first in [0, 1, 4] {
        let batch = Batch::of(["value"])
            .from_producer(producer.id, producer.epoch, first)
            .transactional();
        let sent = producer.try_send(10, &topic, 0, &batch).await;
        assert_eq!(
            sent,
            Err(ResponseError::OutOfOrderSequenceNumber),
            "sequence {first}"
        );
    }
    let request = producer.bump_request();
    let next = super::init(&mut producer.client, 4, request)
        .await
        .expect("the next epoch");
    producer.continue_with(next);
    producer.add(&topic, &[0]).await;
    let batch = Batch::of(["value"])
        .from_producer(producer.id, producer.epoch, 3)
        .transactional();
    let sent = producer.try_send(10, &topic, 0, &batch).await;
    assert_eq!(sent, Err(ResponseError::OutOfOrderSequenceNumber));
    assert_eq!(producer.send(&topic, 0, &["four"]).await, 5);
}

/// A marker alone makes the partition know its producer: the first batch after it starts at 0.
#[tokio::test]
async fn a_marker_makes_the_producer_known() {
    let topic = Topic::create(1).await;
    let mut producer = Producer::start().await;
    producer.add(&topic, &[0]).await;
    producer.commit().await;
    producer.add(&topic, &[0]).await;
    let batch = Batch::of(["value"])
        .from_producer(producer.id, producer.epoch, 7)
        .transactional();
    let sent = producer.try_send(10, &topic, 0, &batch).await;
    assert_eq!(sent, Err(ResponseError::OutOfOrderSequenceNumber));
    assert_eq!(producer.send(&topic, 0, &["value"]).await, 1);
}

/// A transactional batch needs the transactional id in the request, and the producer id that belongs to it.
#[tokio::test]
async fn a_transactional_batch_needs_its_transactional_id() {
    let topic = Topic::create(1).await;
    let mut producer = Producer::start().await;
    producer.add(&topic, &[0]).await;
    let batch = producer.batch(&topic, 0, &["value"]);
    let without = produce_request(&topic, 0, batch.encode());
    let response = producer.client.send(PRODUCE, without).await;
    let answer = only(only(response.responses).partition_responses);
    assert_eq!(
        answer.error_code.err(),
        Some(ResponseError::TransactionalIdAuthorizationFailed)
    );
    let mut other = Producer::start().await;
    assert_eq!(
        other.try_send(10, &topic, 0, &batch).await,
        Err(ResponseError::InvalidProducerIdMapping)
    );
    assert_eq!(everything(&mut producer.client, &topic, 0).await, [""; 0]);
}

/// A plain batch may travel under a transactional id: only the batch's own bit counts.
#[tokio::test]
async fn the_transactional_id_alone_changes_nothing() {
    let topic = Topic::create(1).await;
    let mut producer = Producer::start().await;
    let sent = producer
        .try_send(10, &topic, 0, &Batch::of(["plain"]))
        .await;
    assert_eq!(sent, Ok(0));
    let idempotent = Batch::of(["idempotent"]).from_producer(producer.id, producer.epoch, 0);
    assert_eq!(producer.try_send(10, &topic, 0, &idempotent).await, Ok(1));
    // Both are stable at once.
    assert_eq!(super::stable_end(&mut producer.client, &topic, 0).await, 2);
}
