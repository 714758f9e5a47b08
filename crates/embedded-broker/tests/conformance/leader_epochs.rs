//! The leader epoch that a client believes in (KIP-320), in every API that carries one: Fetch, ListOffsets,
//! OffsetForLeaderEpoch. One that is behind is fenced, one that is ahead is unknown.

use kafka_protocol::error::{ParseResponseErrorCode, ResponseError};
use kafka_protocol::messages::OffsetForLeaderEpochRequest;
use kafka_protocol::messages::offset_for_leader_epoch_request::{
    OffsetForLeaderPartition, OffsetForLeaderTopic,
};

use crate::support::raw::RawClient;
use crate::support::records::Batch;
use crate::support::topic::{
    LATEST, Topic, append, fetch_partition, fetch_request, fetch_request_by_id, fetched,
    list_offsets_request, only,
};

/// What a client may believe of a new topic, whose epoch is 0, and what it is told.
const BELIEFS: [(i32, Option<ResponseError>); 4] = [
    // It does not say.
    (-1, None),
    (0, None),
    (1, Some(ResponseError::UnknownLeaderEpoch)),
    // On one node no leader moves, so that no epoch is over: but any that is less than 0 and not "none" is behind.
    (-2, Some(ResponseError::FencedLeaderEpoch)),
];

/// A topic with two records.
async fn topic_with_records(client: &mut RawClient) -> Topic {
    let topic = Topic::create(1).await;
    append(client, &topic, 0, &Batch::of(["a", "b"])).await;
    topic
}

/// From version 9 on. Every negative epoch is none here, so that on one node no client is behind; `tests/nodes.rs` moves a
/// leader.
#[tokio::test]
async fn fetch_checks_the_leader_epoch() {
    let mut client = RawClient::connect().await;
    let topic = topic_with_records(&mut client).await;
    for version in 9..=16 {
        for (epoch, expected) in BELIEFS {
            let expected = expected.filter(|_| epoch >= 0);
            let asked = vec![fetch_partition(0, 0).with_current_leader_epoch(epoch)];
            let request = match version {
                ..=12 => fetch_request(&topic, asked),
                _ => fetch_request_by_id(&topic, asked),
            };
            let answer = fetched(client.send(version, request).await);
            let (high_watermark, has_records) = match expected {
                None => (2, true),
                Some(_) => (-1, false),
            };
            let records = answer.records.unwrap_or_default();
            assert_eq!(
                (
                    answer.error_code.err(),
                    answer.high_watermark,
                    !records.is_empty()
                ),
                (expected, high_watermark, has_records),
                "version {version}, epoch {epoch}"
            );
        }
    }
}

/// From version 4 on.
#[tokio::test]
async fn list_offsets_checks_the_leader_epoch() {
    let mut client = RawClient::connect().await;
    let topic = topic_with_records(&mut client).await;
    for version in 4..=8 {
        for (epoch, expected) in BELIEFS {
            let mut request = list_offsets_request(&topic, 0, LATEST);
            request.topics[0].partitions[0].current_leader_epoch = epoch;
            let answer = client.send(version, request).await;
            let answer = only(only(answer.topics).partitions);
            let (offset, leader_epoch) = match expected {
                None => (2, 0),
                Some(_) => (-1, -1),
            };
            assert_eq!(
                (
                    answer.error_code.err(),
                    answer.offset,
                    answer.timestamp,
                    answer.leader_epoch
                ),
                (expected, offset, -1, leader_epoch),
                "version {version}, epoch {epoch}"
            );
        }
    }
}

/// In every version that is offered. The epoch whose end is asked for is another question.
#[tokio::test]
async fn offset_for_leader_epoch_checks_the_leader_epoch() {
    let mut client = RawClient::connect().await;
    let topic = topic_with_records(&mut client).await;
    for version in 2..=4 {
        for (epoch, expected) in BELIEFS {
            let partition = OffsetForLeaderPartition::default()
                .with_current_leader_epoch(epoch)
                .with_leader_epoch(0);
            let asked = OffsetForLeaderTopic::default()
                .with_topic(topic.topic_name())
                .with_partitions(vec![partition]);
            let request = OffsetForLeaderEpochRequest::default()
                .with_replica_id((-1).into())
                .with_topics(vec![asked]);
            let answer = client.send(version, request).await;
            let answer = only(only(answer.topics).partitions);
            let end = match expected {
                None => (0, 2),
                Some(_) => (-1, -1),
            };
            assert_eq!(
                (
                    answer.error_code.err(),
                    (answer.leader_epoch, answer.end_offset)
                ),
                (expected, end),
                "version {version}, epoch {epoch}"
            );
        }
    }
}
