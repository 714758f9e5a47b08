//! InitProducerId with a transactional id, AddPartitionsToTxn, EndTxn: what the coordinator accepts when.

use kafka_protocol::error::{ParseResponseErrorCode, ResponseError};
use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;

use super::{Producer, TIMEOUT_MS, init, init_request, transactional_id};
use crate::support::broker::unique;
use crate::support::raw::RawClient;
use crate::support::topic::{Topic, topic_name};

/// A transactional id keeps its producer id; each InitProducerId gives it the next epoch, in every version.
#[tokio::test]
async fn each_initialisation_bumps_the_epoch() {
    let mut client = RawClient::connect().await;
    let name = unique("transactional");
    let (id, epoch) = init(&mut client, 0, init_request(&name))
        .await
        .expect("an id");
    assert_eq!(epoch, 0);
    for version in 0..=4 {
        let again = init(&mut client, version, init_request(&name)).await;
        assert_eq!(again, Ok((id, version + 1)), "version {version}");
    }
    let other = init(&mut client, 4, init_request(&unique("transactional"))).await;
    let (other_id, other_epoch) = other.expect("an id");
    assert_ne!(other_id, id);
    assert_eq!(other_epoch, 0);
}

/// "Timeout > `transaction.max.timeout.ms` (900000) => INVALID_TRANSACTION_TIMEOUT(50)", and so is none at all.
#[tokio::test]
async fn the_timeout_is_bounded() {
    let mut client = RawClient::connect().await;
    let name = unique("transactional");
    for (timeout, expected) in [
        (900_000, None),
        (1, None),
        (900_001, Some(())),
        (0, Some(())),
        (-1, Some(())),
    ] {
        let request = init_request(&name).with_transaction_timeout_ms(timeout);
        let error = init(&mut client, 4, request).await.err();
        assert_eq!(
            error,
            expected.map(|()| ResponseError::InvalidTransactionTimeout),
            "{timeout} ms"
        );
    }
    // Without a transactional id there is nothing to time out.
    let request = init_request(&name)
        .with_transactional_id(None)
        .with_transaction_timeout_ms(-1);
    assert!(init(&mut client, 4, request).await.is_ok());
}

/// An empty transactional id is none.
#[tokio::test]
async fn an_empty_id_is_refused() {
    let mut client = RawClient::connect().await;
    let refused = client.send(4, init_request("")).await;
    assert_eq!(
        refused.error_code.err(),
        Some(ResponseError::InvalidRequest)
    );
    assert_eq!((refused.producer_id.0, refused.producer_epoch), (-1, -1));
    let mut producer = Producer::start().await;
    let topic = Topic::create(1).await;
    producer.transactional_id = String::new();
    assert_eq!(
        producer.try_add(3, &topic, &[0]).await,
        Err(ResponseError::InvalidRequest)
    );
    assert_eq!(
        producer.try_add_offsets(3, "group").await,
        Err(ResponseError::InvalidRequest)
    );
    assert_eq!(
        producer.try_end(4, true).await,
        Err(ResponseError::InvalidRequest)
    );
}

/// KIP-360: a producer that lost track names its id and epoch and gets the next one; asking again, because the answer was
/// lost, gives the same.
#[tokio::test]
async fn a_producer_bumps_its_own_epoch() {
    let mut producer = Producer::start().await;
    let request = producer.bump_request();
    for attempt in 0..3 {
        let bumped = init(&mut producer.client, 4, request.clone()).await;
        assert_eq!(bumped, Ok((producer.id, 1)), "attempt {attempt}");
    }
    producer.continue_with((producer.id, 1));
    let request = producer.bump_request();
    assert_eq!(
        init(&mut producer.client, 3, request).await,
        Ok((producer.id, 2))
    );
}

/// KIP-360: an older epoch or another's producer id is fenced. Before version 4 clients know only INVALID_PRODUCER_EPOCH.
#[tokio::test]
async fn a_stale_epoch_or_foreign_id_cannot_be_bumped() {
    let mut producer = Producer::start().await;
    let other = Producer::start().await;
    let second = Producer::start_as(&producer.transactional_id, TIMEOUT_MS).await;
    assert_eq!(second.epoch, 1);
    let stale = producer.bump_request();
    let foreign = producer.bump_request().with_producer_id(other.id.into());
    let newer = producer.bump_request().with_producer_epoch(7);
    for request in [stale, foreign, newer] {
        for (version, expected) in [
            (3, ResponseError::InvalidProducerEpoch),
            (4, ResponseError::ProducerFenced),
        ] {
            let error = init(&mut producer.client, version, request.clone()).await;
            assert_eq!(error, Err(expected), "version {version}: {request:?}");
        }
    }
    // An id without an epoch says nothing, and the other way round.
    let half = init_request(&producer.transactional_id).with_producer_id(producer.id.into());
    assert_eq!(
        init(&mut producer.client, 4, half).await,
        Err(ResponseError::InvalidRequest)
    );
    let half = init_request(&producer.transactional_id).with_producer_epoch(0);
    assert_eq!(
        init(&mut producer.client, 4, half).await,
        Err(ResponseError::InvalidRequest)
    );
}

/// KIP-360: a transactional id that the coordinator has forgotten begins anew.
#[tokio::test]
async fn a_forgotten_id_begins_anew() {
    let mut producer = Producer::start().await;
    producer.transactional_id = unique("transactional");
    let request = producer.bump_request().with_producer_epoch(5);
    let (id, epoch) = init(&mut producer.client, 4, request).await.expect("an id");
    assert_ne!(id, producer.id);
    assert_eq!(epoch, 0);
}

/// KIP-360 in the middle of a transaction: it is aborted and the producer goes on with the next epoch.
#[tokio::test]
async fn bumping_aborts_the_open_transaction() {
    let topic = Topic::create(1).await;
    let mut producer = Producer::start().await;
    producer.add(&topic, &[0]).await;
    producer.send(&topic, 0, &["lost"]).await;
    let request = producer.bump_request();
    let bumped = init(&mut producer.client, 4, request).await;
    assert_eq!(bumped, Ok((producer.id, 1)));
    producer.continue_with((producer.id, 1));
    producer.add(&topic, &[0]).await;
    producer.send(&topic, 0, &["kept"]).await;
    producer.commit().await;
    assert_eq!(
        super::committed(&mut producer.client, &topic, 0).await,
        ["kept"]
    );
    assert_eq!(
        super::everything(&mut producer.client, &topic, 0).await,
        ["lost", "kept"]
    );
}

/// Adding what is in the transaction already is no mistake, in every version.
#[tokio::test]
async fn partitions_may_be_added_again() {
    let topic = Topic::create(2).await;
    let mut producer = Producer::start().await;
    for version in 0..=3 {
        assert_eq!(
            producer.try_add(version, &topic, &[0]).await,
            Ok(()),
            "version {version}"
        );
        assert_eq!(
            producer.try_add(version, &topic, &[1, 0]).await,
            Ok(()),
            "version {version}"
        );
        assert_eq!(
            producer.try_add_offsets(version, "group").await,
            Ok(()),
            "version {version}"
        );
    }
}

/// "Any unknown topic => that one 3, all others OPERATION_NOT_ATTEMPTED(55)", and no transaction begins.
#[tokio::test]
async fn partitions_are_added_all_or_none() {
    let topic = Topic::create(1).await;
    let mut producer = Producer::start().await;
    let missing = AddPartitionsToTxnTopic::default()
        .with_name(topic_name(&unique("missing")))
        .with_partitions(vec![0]);
    let mut request = producer.add_request(&topic, &[0, 1]);
    request.v3_and_below_topics.push(missing.clone());
    let answer = producer.client.send(3, request).await;
    let error_of = |name: &str, partition: i32| {
        let topics = &answer.results_by_topic_v3_and_below;
        let topic = topics
            .iter()
            .find(|topic| topic.name.as_str() == name)
            .expect("the topic");
        let of = |result: &&kafka_protocol::messages::add_partitions_to_txn_response::AddPartitionsToTxnPartitionResult| {
            result.partition_index == partition
        };
        topic
            .results_by_partition
            .iter()
            .find(of)
            .expect("the partition")
            .partition_error_code
            .err()
    };
    assert_eq!(
        error_of(&topic.name, 0),
        Some(ResponseError::OperationNotAttempted)
    );
    assert_eq!(
        error_of(&topic.name, 1),
        Some(ResponseError::UnknownTopicOrPartition)
    );
    assert_eq!(
        error_of(missing.name.as_str(), 0),
        Some(ResponseError::UnknownTopicOrPartition)
    );
    assert_eq!(
        producer.try_end(4, true).await,
        Err(ResponseError::InvalidTxnState),
        "nothing was begun"
    );
}

/// The producer id belongs to the transactional id, and both to the coordinator.
#[tokio::test]
async fn unknown_producers_are_told_apart_from_fenced_ones() {
    let topic = Topic::create(1).await;
    let mut producer = Producer::start().await;
    let right = producer.id;
    let mapping = Err(ResponseError::InvalidProducerIdMapping);
    producer.id = right + 1_000_000;
    for version in 0..=3 {
        assert_eq!(
            producer.try_add(version, &topic, &[0]).await,
            mapping,
            "version {version}"
        );
        assert_eq!(
            producer.try_add_offsets(version, "group").await,
            mapping,
            "version {version}"
        );
    }
    for version in 0..=4 {
        assert_eq!(
            producer.try_end(version, true).await,
            mapping,
            "version {version}"
        );
    }
    producer.id = right;
    producer.transactional_id = unique("unknown");
    assert_eq!(producer.try_add(3, &topic, &[0]).await, mapping);
    assert_eq!(producer.try_add_offsets(3, "group").await, mapping);
    assert_eq!(producer.try_end(4, false).await, mapping);
}

/// "EndTxn: same outcome again in Complete* = retry, success; opposite or Empty => INVALID_TXN_STATE(48)."
#[tokio::test]
async fn ending_again_is_a_retry_only_with_the_same_outcome() {
    let topic = Topic::create(1).await;
    let mut producer = Producer::start().await;
    let state = Err(ResponseError::InvalidTxnState);
    for committed in [true, false] {
        assert_eq!(
            producer.try_end(4, committed).await,
            state,
            "nothing was begun"
        );
    }
    for version in 0..=4 {
        for committed in [true, false] {
            producer.add(&topic, &[0]).await;
            assert_eq!(producer.try_end(version, committed).await, Ok(()));
            assert_eq!(
                producer.try_end(version, committed).await,
                Ok(()),
                "a retry"
            );
            assert_eq!(
                producer.try_end(version, !committed).await,
                state,
                "the opposite"
            );
        }
    }
    // A new epoch has nothing to end.
    let next = init(
        &mut producer.client,
        4,
        init_request(&producer.transactional_id),
    )
    .await;
    producer.continue_with(next.expect("an epoch"));
    assert_eq!(producer.try_end(4, false).await, state);
}

/// EndTxn leaves the epoch alone: bumping it at every end is version 2 of the protocol, EndTxn 5 and later.
#[tokio::test]
async fn the_epoch_outlives_a_transaction() {
    let topic = Topic::create(1).await;
    let mut producer = Producer::start().await;
    for round in 0..3 {
        producer.add(&topic, &[0]).await;
        // One marker lies between two batches, and sequence numbers go on.
        assert_eq!(producer.send(&topic, 0, &["value"]).await, 2 * round);
        producer.commit().await;
    }
    let bump = producer.bump_request();
    assert_eq!(
        init(&mut producer.client, 4, bump).await,
        Ok((producer.id, 1))
    );
}

/// The request's own fields come back: no throttling, and the transactional id is as long as the client likes.
#[tokio::test]
async fn long_ids_are_ids() {
    let mut client = RawClient::connect().await;
    let name = format!("{}-{}", unique("transactional"), "x".repeat(5_000));
    let answer = client.send(4, init_request(&name)).await;
    assert_eq!(
        (answer.error_code.err(), answer.throttle_time_ms),
        (None, 0)
    );
    let answer = client
        .send(
            4,
            init_request("").with_transactional_id(Some(transactional_id(&name))),
        )
        .await;
    assert_eq!((answer.error_code.err(), answer.producer_epoch), (None, 1));
}

/// "Epoch exhausted (32766) => new pid", at epoch 0.
#[tokio::test]
async fn an_exhausted_epoch_brings_a_new_id() {
    /// The last epoch that a client is given: one more is kept to fence it with.
    const LAST: i16 = i16::MAX - 1;
    let mut producer = Producer::start().await;
    let request = init_request(&producer.transactional_id);
    // Sent in batches: tens of thousands of round trips would take long.
    let mut epoch = 0;
    while epoch < LAST {
        let mut sent = Vec::new();
        for _ in 0..(LAST - epoch).min(500) {
            sent.push(producer.client.write(4, &request).await);
        }
        for pending in sent {
            let answer = producer.client.read(pending).await;
            epoch += 1;
            assert_eq!(
                (
                    answer.error_code,
                    answer.producer_id.0,
                    answer.producer_epoch
                ),
                (0, producer.id, epoch)
            );
        }
    }
    producer.epoch = LAST;
    let bump = producer.bump_request();
    let (id, epoch) = init(&mut producer.client, 4, bump.clone())
        .await
        .expect("an id");
    assert_ne!(id, producer.id);
    assert_eq!(epoch, 0);
    // A retry, because the answer was lost.
    assert_eq!(init(&mut producer.client, 4, bump).await, Ok((id, 0)));
    let next = init(
        &mut producer.client,
        4,
        init_request(&producer.transactional_id),
    )
    .await;
    assert_eq!(next, Ok((id, 1)));
}
