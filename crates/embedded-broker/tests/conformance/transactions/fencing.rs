//! Zombies: a producer whose transactional id was taken over can do nothing any more, and is told so in its own words.

use kafka_protocol::error::ResponseError;

use super::{Producer, TIMEOUT_MS, committed, everything, stable_end};
use crate::support::topic::Topic;

/// A zombie with an open transaction of one record, and its successor.
async fn zombie_and_successor(topic: &Topic) -> (Producer, Producer) {
    let mut zombie = Producer::start().await;
    zombie.add(topic, &[0]).await;
    zombie.send(topic, 0, &["zombie"]).await;
    let successor = Producer::start_as(&zombie.transactional_id, TIMEOUT_MS).await;
    (zombie, successor)
}

/// "Re-init of a transactional id with an open txn aborts it" with a bumped epoch, and the next epoch goes to the caller.
#[tokio::test]
async fn initialising_again_aborts_the_open_transaction() {
    let topic = Topic::create(1).await;
    let (zombie, mut successor) = zombie_and_successor(&topic).await;
    assert_eq!(
        (successor.id, successor.epoch),
        (zombie.id, zombie.epoch + 2)
    );
    assert_eq!(
        stable_end(&mut successor.client, &topic, 0).await,
        2,
        "record and marker"
    );
    assert_eq!(committed(&mut successor.client, &topic, 0).await, [""; 0]);
}

/// "A fenced zombie's uncommitted records become visible as committed": not here, whatever its successor does.
#[tokio::test]
async fn the_successor_does_not_commit_for_the_zombie() {
    let topic = Topic::create(1).await;
    let (mut zombie, mut successor) = zombie_and_successor(&topic).await;
    successor.add(&topic, &[0]).await;
    successor.send(&topic, 0, &["good"]).await;
    let late = zombie.batch(&topic, 0, &["late"]);
    assert!(zombie.try_send(10, &topic, 0, &late).await.is_err());
    successor.commit().await;
    assert_eq!(committed(&mut successor.client, &topic, 0).await, ["good"]);
    assert_eq!(
        everything(&mut successor.client, &topic, 0).await,
        ["zombie", "good"]
    );
}

/// "PRODUCER_FENCED(90) is INVALID_PRODUCER_EPOCH(47) for AddPartitions < 2, AddOffsets < 2, EndTxn < 2": older clients do
/// not know the newer code.
#[tokio::test]
async fn a_zombie_is_told_in_the_words_of_its_version() {
    let topic = Topic::create(1).await;
    let (mut zombie, _successor) = zombie_and_successor(&topic).await;
    for version in 0..=4 {
        let fenced = Err(match version {
            0 | 1 => ResponseError::InvalidProducerEpoch,
            _ => ResponseError::ProducerFenced,
        });
        if version <= 3 {
            assert_eq!(
                zombie.try_add(version, &topic, &[0]).await,
                fenced,
                "add, version {version}"
            );
            let offsets = zombie.try_add_offsets(version, "group").await;
            assert_eq!(offsets, fenced, "add offsets, version {version}");
        }
        assert_eq!(
            zombie.try_end(version, true).await,
            fenced,
            "commit, version {version}"
        );
        assert_eq!(
            zombie.try_end(version, false).await,
            fenced,
            "abort, version {version}"
        );
    }
}

/// "epoch < known => INVALID_PRODUCER_EPOCH(47), *before any txn-state check*": the partition knows the newer epoch from the
/// marker.
#[tokio::test]
async fn a_zombies_batch_is_refused_by_its_epoch() {
    let topic = Topic::create(2).await;
    let (mut zombie, _successor) = zombie_and_successor(&topic).await;
    let epoch = Err(ResponseError::InvalidProducerEpoch);
    for version in [3, 10, 11] {
        let next = zombie.batch(&topic, 0, &["next"]);
        assert_eq!(
            zombie.try_send(version, &topic, 0, &next).await,
            epoch,
            "version {version}"
        );
        // A partition that it never wrote to: the coordinator knows.
        let elsewhere = zombie.batch(&topic, 1, &["elsewhere"]);
        assert_eq!(
            zombie.try_send(version, &topic, 1, &elsewhere).await,
            epoch,
            "version {version}"
        );
    }
    // Outside a transaction its epoch is as old.
    let plain =
        crate::support::records::Batch::of(["plain"]).from_producer(zombie.id, zombie.epoch, 1);
    assert_eq!(zombie.try_send(10, &topic, 0, &plain).await, epoch);
    assert_eq!(everything(&mut zombie.client, &topic, 0).await, ["zombie"]);
}

/// An epoch that the coordinator has not given yet is no better than an old one.
#[tokio::test]
async fn an_epoch_from_the_future_is_refused() {
    let topic = Topic::create(1).await;
    let mut producer = Producer::start().await;
    producer.add(&topic, &[0]).await;
    producer.epoch = 5;
    let batch = producer.batch(&topic, 0, &["early"]);
    assert_eq!(
        producer.try_send(10, &topic, 0, &batch).await,
        Err(ResponseError::InvalidProducerEpoch)
    );
    assert_eq!(
        producer.try_add(3, &topic, &[0]).await,
        Err(ResponseError::ProducerFenced)
    );
    assert_eq!(
        producer.try_end(4, true).await,
        Err(ResponseError::ProducerFenced)
    );
    assert_eq!(everything(&mut producer.client, &topic, 0).await, [""; 0]);
}

/// A fenced producer that names its epoch (KIP-360) stays fenced: its successor is at work.
#[tokio::test]
async fn a_zombie_cannot_bump_itself_back() {
    let topic = Topic::create(1).await;
    let (mut zombie, mut successor) = zombie_and_successor(&topic).await;
    successor.add(&topic, &[0]).await;
    successor.commit().await;
    let request = zombie.bump_request();
    let bumped = super::init(&mut zombie.client, 4, request).await;
    assert_eq!(bumped, Err(ResponseError::ProducerFenced));
}

/// KIP-360: whoever names the producer id ends the open transaction, before its epoch is found to be too old.
#[tokio::test]
async fn a_zombie_that_bumps_itself_ends_the_transaction_of_its_successor() {
    let topic = Topic::create(1).await;
    let (mut zombie, mut successor) = zombie_and_successor(&topic).await;
    successor.add(&topic, &[0]).await;
    successor.send(&topic, 0, &["successor"]).await;
    let request = zombie.bump_request();
    let bumped = super::init(&mut zombie.client, 4, request).await;
    assert_eq!(bumped, Err(ResponseError::ProducerFenced));
    let ended = successor.try_end(4, true).await;
    assert_eq!(ended, Err(ResponseError::ProducerFenced));
}
