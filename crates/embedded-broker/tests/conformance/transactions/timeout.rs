//! Transactions that are left open: the coordinator aborts them when their time is over.

use kafka_protocol::error::ResponseError;

use super::{Producer, committed, everything, init, stable_end};
use crate::support::broker::unique;
use crate::support::topic::Topic;
use crate::support::wait::{DEADLINE, eventually};

/// Short, so that the case is; the coordinator's sweep finds it a moment later.
const SHORT_MS: i32 = 300;

/// A producer whose transaction of one record has been aborted for it.
async fn timed_out(topic: &Topic) -> Producer {
    let mut producer = Producer::start_as(&unique("transactional"), SHORT_MS).await;
    producer.add(topic, &[0]).await;
    producer.send(topic, 0, &["late"]).await;
    assert_eq!(stable_end(&mut producer.client, topic, 0).await, 0);
    eventually(DEADLINE, "the abort of the transaction", async || {
        (stable_end(&mut producer.client, topic, 0).await == 2).then_some(())
    })
    .await;
    producer
}

/// "Timeout sweep aborts and bumps": the records are aborted and their producer is fenced.
#[tokio::test]
async fn a_transaction_left_open_is_aborted() {
    let topic = Topic::create(1).await;
    let mut producer = timed_out(&topic).await;
    assert_eq!(everything(&mut producer.client, &topic, 0).await, ["late"]);
    assert_eq!(committed(&mut producer.client, &topic, 0).await, [""; 0]);
    let next = producer.batch(&topic, 0, &["next"]);
    let sent = producer.try_send(10, &topic, 0, &next).await;
    assert_eq!(sent, Err(ResponseError::InvalidProducerEpoch));
    let fenced = Err(ResponseError::ProducerFenced);
    assert_eq!(producer.try_end(4, true).await, fenced);
    assert_eq!(producer.try_end(4, false).await, fenced);
    assert_eq!(producer.try_add(3, &topic, &[0]).await, fenced);
    assert_eq!(
        producer.try_end(1, true).await,
        Err(ResponseError::InvalidProducerEpoch)
    );
}

/// Nobody took the transactional id over: the producer may bump its epoch (KIP-360) and go on.
#[tokio::test]
async fn a_producer_recovers_from_a_timeout() {
    let topic = Topic::create(1).await;
    let mut producer = timed_out(&topic).await;
    let request = producer
        .bump_request()
        .with_transaction_timeout_ms(super::TIMEOUT_MS);
    let bumped = init(&mut producer.client, 4, request).await;
    assert_eq!(
        bumped,
        Ok((producer.id, 1)),
        "the epoch that the abort took"
    );
    producer.continue_with((producer.id, 1));
    producer.add(&topic, &[0]).await;
    producer.send(&topic, 0, &["recovered"]).await;
    producer.commit().await;
    assert_eq!(
        committed(&mut producer.client, &topic, 0).await,
        ["recovered"]
    );
}

/// The clock starts with the transaction, not with the producer, and an ended transaction has none.
#[tokio::test]
async fn only_an_open_transaction_times_out() {
    let topic = Topic::create(1).await;
    let mut producer = Producer::start_as(&unique("transactional"), SHORT_MS).await;
    producer.add(&topic, &[0]).await;
    producer.commit().await;
    // Meanwhile another producer's transaction begins and is swept: this one's time would be over, too.
    timed_out(&Topic::create(1).await).await;
    assert_eq!(
        producer.try_end(4, true).await,
        Ok(()),
        "the epoch was not bumped"
    );
    producer.add(&topic, &[0]).await;
    producer.send(&topic, 0, &["value"]).await;
    producer.commit().await;
    assert_eq!(committed(&mut producer.client, &topic, 0).await, ["value"]);
}
