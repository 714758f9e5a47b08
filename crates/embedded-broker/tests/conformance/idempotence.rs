//! InitProducerId, and what sequence numbers protect.

use kafka_protocol::error::{ParseResponseErrorCode, ResponseError};
use kafka_protocol::messages::{InitProducerIdRequest, InitProducerIdResponse, ProducerId};

use crate::support::raw::RawClient;
use crate::support::records::{Batch, decode, values};
use crate::support::topic::{Topic, append, fetch, produce, refused};

fn init() -> InitProducerIdRequest {
    InitProducerIdRequest::default()
        .with_transactional_id(None)
        .with_transaction_timeout_ms(60_000)
}

/// A client with a producer id of its own, and a topic to write to.
struct Producer {
    client: RawClient,
    topic: Topic,
    id: i64,
}

impl Producer {
    async fn start() -> Self {
        let mut client = RawClient::connect().await;
        let answer = client.send(4, init()).await;
        assert_eq!(answer.error_code.err(), None);
        Self {
            client,
            topic: Topic::create(1).await,
            id: answer.producer_id.0,
        }
    }

    fn batch(&self, epoch: i16, first_sequence: i32, values: &[&str]) -> Batch {
        Batch::of(values).from_producer(self.id, epoch, first_sequence)
    }

    /// Appends what must be taken: the offset answered.
    async fn takes(&mut self, epoch: i16, first_sequence: i32, values: &[&str]) -> i64 {
        let batch = self.batch(epoch, first_sequence, values);
        append(&mut self.client, &self.topic, 0, &batch).await
    }

    /// Sends what must be refused: why.
    async fn refuses(&mut self, epoch: i16, first_sequence: i32, values: &[&str]) -> ResponseError {
        let batch = self.batch(epoch, first_sequence, values).encode();
        refused(&mut self.client, &self.topic, batch).await
    }

    /// Everything in the log.
    async fn log(&mut self) -> Vec<String> {
        values(&decode(
            fetch(&mut self.client, &self.topic, 0, 0).await.records,
        ))
    }
}

/// "InitProducerId with null txn id always returns a fresh pid, epoch 0", in every version.
#[tokio::test]
async fn every_producer_gets_a_fresh_id() {
    let mut client = RawClient::connect().await;
    let mut ids = Vec::new();
    for version in 0..=4 {
        let InitProducerIdResponse {
            error_code,
            producer_id,
            producer_epoch,
            ..
        } = client.send(version, init()).await;
        assert_eq!(
            (error_code.err(), producer_epoch),
            (None, 0),
            "version {version}"
        );
        assert!(
            producer_id.0 >= 0 && !ids.contains(&producer_id),
            "{producer_id:?} after {ids:?}"
        );
        ids.push(producer_id);
    }
}

/// Without a transactional id, naming an id and epoch to bump changes nothing: the answer is a fresh id (KIP-360).
#[tokio::test]
async fn an_id_named_without_transactions_is_not_kept() {
    let mut client = RawClient::connect().await;
    let first = client.send(4, init()).await;
    let request = init()
        .with_producer_id(first.producer_id)
        .with_producer_epoch(first.producer_epoch);
    let second = client.send(4, request).await;
    assert_eq!(second.error_code.err(), None);
    assert_ne!(second.producer_id, first.producer_id);
    // One of the two without the other says nothing.
    for request in [
        init().with_producer_id(ProducerId(7)),
        init().with_producer_epoch(7),
    ] {
        let answer = client.send(4, request).await;
        assert_eq!(answer.error_code.err(), Some(ResponseError::InvalidRequest));
    }
}

/// Sequences go on from batch to batch, and from the last record of one to the first of the next.
#[tokio::test]
async fn batches_in_sequence_are_taken() {
    let mut producer = Producer::start().await;
    assert_eq!(producer.takes(0, 0, &["a", "b"]).await, 0);
    assert_eq!(producer.takes(0, 2, &["c"]).await, 2);
    assert_eq!(producer.takes(0, 3, &["d", "e"]).await, 3);
    assert_eq!(producer.log().await, ["a", "b", "c", "d", "e"]);
}

/// "Exact match with one of the 5 => duplicate: success with the **original** base offset", and one copy in the log.
#[tokio::test]
async fn a_duplicate_is_answered_with_its_first_offset() {
    let mut producer = Producer::start().await;
    for (sequence, value) in (0..).zip(["a", "b", "c", "d", "e"]) {
        producer.takes(0, sequence, &[value]).await;
    }
    for (sequence, value) in (0..).zip(["a", "b", "c", "d", "e"]) {
        assert_eq!(
            producer.takes(0, sequence, &[value]).await,
            i64::from(sequence),
            "duplicate of {value}"
        );
    }
    assert_eq!(producer.log().await, ["a", "b", "c", "d", "e"]);
}

/// Only the last 5 batches are remembered: an older one is out of order, and still not written twice.
#[tokio::test]
async fn an_older_duplicate_is_out_of_order() {
    let mut producer = Producer::start().await;
    for sequence in 0..6 {
        producer.takes(0, sequence, &["value"]).await;
    }
    assert_eq!(
        producer.takes(0, 1, &["value"]).await,
        1,
        "the fifth from the end is remembered"
    );
    assert_eq!(
        producer.refuses(0, 0, &["value"]).await,
        ResponseError::OutOfOrderSequenceNumber
    );
    assert_eq!(producer.log().await.len(), 6);
}

/// "seq != last+1 => OUT_OF_ORDER_SEQUENCE_NUMBER(45)": a gap, or an overlap that is no exact duplicate.
#[tokio::test]
async fn gaps_and_overlaps_are_out_of_order() {
    let mut producer = Producer::start().await;
    producer.takes(0, 0, &["a", "b", "c"]).await;
    assert_eq!(
        producer.refuses(0, 4, &["gap"]).await,
        ResponseError::OutOfOrderSequenceNumber
    );
    assert_eq!(
        producer.refuses(0, 2, &["c", "overlap"]).await,
        ResponseError::OutOfOrderSequenceNumber
    );
    assert_eq!(
        producer.refuses(0, 0, &["a"]).await,
        ResponseError::OutOfOrderSequenceNumber
    );
    assert_eq!(
        producer.takes(0, 3, &["d"]).await,
        3,
        "the right one is still taken"
    );
    assert_eq!(producer.log().await, ["a", "b", "c", "d"]);
}

/// "epoch < known => INVALID_PRODUCER_EPOCH(47)", whatever the sequence.
#[tokio::test]
async fn an_older_epoch_is_refused() {
    let mut producer = Producer::start().await;
    producer.takes(3, 0, &["new"]).await;
    for sequence in [0, 1] {
        assert_eq!(
            producer.refuses(2, sequence, &["zombie"]).await,
            ResponseError::InvalidProducerEpoch
        );
    }
    assert_eq!(producer.log().await, ["new"]);
}

/// "New epoch must start at sequence 0."
#[tokio::test]
async fn a_new_epoch_starts_at_zero() {
    let mut producer = Producer::start().await;
    producer.takes(0, 0, &["a", "b"]).await;
    assert_eq!(
        producer.refuses(1, 2, &["c"]).await,
        ResponseError::OutOfOrderSequenceNumber
    );
    assert_eq!(producer.takes(1, 0, &["c"]).await, 2);
    assert_eq!(producer.takes(1, 1, &["d"]).await, 3);
}

/// "Unknown pid: accept any first sequence for non-transactional producers."
#[tokio::test]
async fn an_unknown_producer_may_start_anywhere() {
    let mut producer = Producer::start().await;
    assert_eq!(producer.takes(0, 1000, &["a"]).await, 0);
    assert_eq!(producer.takes(0, 1001, &["b"]).await, 1);
    assert_eq!(
        producer.refuses(0, 1003, &["gap"]).await,
        ResponseError::OutOfOrderSequenceNumber
    );
}

/// "Sequence wraps i32::MAX -> 0", between batches and inside one.
#[tokio::test]
async fn sequences_wrap_to_zero() {
    let mut producer = Producer::start().await;
    producer.takes(0, i32::MAX - 1, &["a", "b"]).await;
    assert_eq!(producer.takes(0, 0, &["c"]).await, 2);

    let mut producer = Producer::start().await;
    // The header carries only the first sequence: the second record's is 0.
    producer.takes(0, i32::MAX, &["a", "b"]).await;
    assert_eq!(producer.takes(0, 1, &["c"]).await, 2);
    assert_eq!(
        producer.takes(0, i32::MAX, &["a", "b"]).await,
        0,
        "a duplicate across the wrap"
    );
}

/// Sequences are counted for each partition.
#[tokio::test]
async fn partitions_count_alone() {
    let mut producer = Producer::start().await;
    let topic = Topic::create(2).await;
    for partition in 0..2 {
        let batch = producer.batch(0, 0, &["value"]);
        assert_eq!(
            append(&mut producer.client, &topic, partition, &batch).await,
            0
        );
    }
}

/// Two producers do not disturb each other, and a batch without a producer id disturbs nobody.
#[tokio::test]
async fn producers_count_alone() {
    let mut one = Producer::start().await;
    let mut two = Producer::start().await;
    two.topic = one.topic.clone();
    one.takes(0, 0, &["one"]).await;
    two.takes(0, 0, &["two"]).await;
    append(&mut one.client, &one.topic, 0, &Batch::of(["plain"])).await;
    one.takes(0, 1, &["one"]).await;
    two.takes(0, 1, &["two"]).await;
    assert_eq!(one.log().await, ["one", "two", "plain", "one", "two"]);
}

/// A duplicate's answer carries the time and offset of the first: log append time included.
#[tokio::test]
async fn a_duplicate_keeps_its_append_time() {
    let topic = Topic::create_with(1, &[("message.timestamp.type", "LogAppendTime")]).await;
    let mut producer = Producer::start().await;
    producer.topic = topic;
    let batch = producer.batch(0, 0, &["value"]).encode();
    let first = produce(&mut producer.client, &producer.topic, 0, batch.clone()).await;
    let again = produce(&mut producer.client, &producer.topic, 0, batch).await;
    assert_eq!(
        (again.base_offset, again.log_append_time_ms),
        (first.base_offset, first.log_append_time_ms)
    );
}
