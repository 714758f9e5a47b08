//! ListOffsets: where a log begins, ends, and stood at some time.

use kafka_protocol::error::{ParseResponseErrorCode, ResponseError};
use kafka_protocol::messages::list_offsets_request::ListOffsetsPartition;

use crate::support::broker::unique;
use crate::support::raw::RawClient;
use crate::support::records::{Batch, now};
use crate::support::topic::{
    EARLIEST, LATEST, Topic, append, list_offset, list_offsets_request, only,
};

/// The record with the highest timestamp (version 7, KIP-734).
const MAX_TIMESTAMP: i64 = -3;
/// The first offset on the broker's own disk (version 8, KIP-405).
const EARLIEST_LOCAL: i64 = -4;

/// Three batches, a second apart and 100 ms within; offsets 0-2, 3-5, 6-8. Returns the first timestamp.
async fn three_batches(client: &mut RawClient, topic: &Topic) -> i64 {
    let start = now() - 60_000;
    for second in 0..3 {
        let first = start + second * 1_000;
        append(
            client,
            topic,
            0,
            &Batch::at(&[first, first + 100, first + 200]),
        )
        .await;
    }
    start
}

/// Offset and timestamp answered for `timestamp`.
async fn at(client: &mut RawClient, topic: &Topic, timestamp: i64) -> (i64, i64) {
    let answer = list_offset(client, topic, 0, timestamp).await;
    assert_eq!(answer.error_code.err(), None);
    (answer.offset, answer.timestamp)
}

/// Every version tells beginning and end, with no timestamp; from version 4 with the leader epoch.
#[tokio::test]
async fn every_version_tells_beginning_and_end() {
    let topic = Topic::create(1).await;
    let mut client = RawClient::connect().await;
    three_batches(&mut client, &topic).await;
    for version in 1..=8 {
        for (timestamp, offset) in [(EARLIEST, 0), (LATEST, 9)] {
            let response = client
                .send(version, list_offsets_request(&topic, 0, timestamp))
                .await;
            let answer = only(only(response.topics).partitions);
            assert_eq!(answer.error_code.err(), None, "version {version}");
            assert_eq!(
                (answer.offset, answer.timestamp),
                (offset, -1),
                "version {version}"
            );
            let epoch = if version >= 4 { 0 } else { -1 };
            assert_eq!(answer.leader_epoch, epoch, "version {version}");
        }
    }
}

/// An empty log begins and ends at 0, and has no record of any time.
#[tokio::test]
async fn an_empty_log_begins_where_it_ends() {
    let topic = Topic::create(1).await;
    let mut client = RawClient::connect().await;
    for timestamp in [EARLIEST, LATEST, EARLIEST_LOCAL] {
        assert_eq!(
            at(&mut client, &topic, timestamp).await,
            (0, -1),
            "{timestamp}"
        );
    }
    for timestamp in [0, now(), MAX_TIMESTAMP] {
        assert_eq!(
            at(&mut client, &topic, timestamp).await,
            (-1, -1),
            "{timestamp}"
        );
    }
}

/// "time lookup = earliest offset with timestamp >= target *within* the batch."
#[tokio::test]
async fn a_time_finds_the_first_record_not_before_it() {
    let topic = Topic::create(1).await;
    let mut client = RawClient::connect().await;
    let start = three_batches(&mut client, &topic).await;
    for (after_start, offset, found) in [
        (-5_000, 0, 0),
        (0, 0, 0),
        (1, 1, 100),
        (100, 1, 100),
        (101, 2, 200),
        (201, 3, 1_000),
        (1_150, 5, 1_200),
        (2_200, 8, 2_200),
    ] {
        let answer = at(&mut client, &topic, start + after_start).await;
        assert_eq!(
            answer,
            (offset, start + found),
            "{after_start} ms after the first record"
        );
    }
}

/// "No match => offset -1, ts -1, error 0."
#[tokio::test]
async fn after_the_last_record_there_is_none() {
    let topic = Topic::create(1).await;
    let mut client = RawClient::connect().await;
    let start = three_batches(&mut client, &topic).await;
    assert_eq!(at(&mut client, &topic, start + 2_201).await, (-1, -1));
    let answer = list_offset(&mut client, &topic, 0, start + 2_201).await;
    assert_eq!(answer.leader_epoch, -1);
}

/// Producers' clocks may run backwards: the first record not before the time counts, wherever it is.
#[tokio::test]
async fn times_need_not_ascend() {
    let topic = Topic::create(1).await;
    let mut client = RawClient::connect().await;
    let start = now() - 60_000;
    append(
        &mut client,
        &topic,
        0,
        &Batch::at(&[start + 500, start + 100]),
    )
    .await;
    append(
        &mut client,
        &topic,
        0,
        &Batch::at(&[start + 50, start + 300]),
    )
    .await;
    append(
        &mut client,
        &topic,
        0,
        &Batch::at(&[start + 700, start + 600]),
    )
    .await;
    assert_eq!(at(&mut client, &topic, start + 200).await, (0, start + 500));
    assert_eq!(at(&mut client, &topic, start + 550).await, (4, start + 700));
}

/// "-3 names the record with max timestamp, not the batch's last offset"; of equal ones the first.
#[tokio::test]
async fn the_highest_time_names_its_record() {
    let topic = Topic::create(1).await;
    let mut client = RawClient::connect().await;
    let start = now() - 60_000;
    append(&mut client, &topic, 0, &Batch::at(&[start, start + 100])).await;
    append(
        &mut client,
        &topic,
        0,
        &Batch::at(&[start + 200, start + 900, start + 300]),
    )
    .await;
    append(&mut client, &topic, 0, &Batch::at(&[start + 400])).await;
    assert_eq!(
        at(&mut client, &topic, MAX_TIMESTAMP).await,
        (3, start + 900)
    );
    append(
        &mut client,
        &topic,
        0,
        &Batch::at(&[start + 900, start + 900]),
    )
    .await;
    assert_eq!(
        at(&mut client, &topic, MAX_TIMESTAMP).await,
        (3, start + 900)
    );
}

/// "-4 local-earliest (= -2)" where nothing is tiered.
#[tokio::test]
async fn everything_is_local() {
    let topic = Topic::create(1).await;
    let mut client = RawClient::connect().await;
    three_batches(&mut client, &topic).await;
    assert_eq!(at(&mut client, &topic, EARLIEST_LOCAL).await, (0, -1));
}

/// "Return the batch's leader epoch" with an offset found by time.
#[tokio::test]
async fn a_found_record_carries_its_leader_epoch() {
    let topic = Topic::create(1).await;
    let mut client = RawClient::connect().await;
    let start = three_batches(&mut client, &topic).await;
    assert_eq!(
        list_offset(&mut client, &topic, 0, start)
            .await
            .leader_epoch,
        0
    );
    assert_eq!(
        list_offset(&mut client, &topic, 0, MAX_TIMESTAMP)
            .await
            .leader_epoch,
        0
    );
}

/// Unknown topics and partitions, and a leader epoch from the future, are told for each partition.
#[tokio::test]
async fn unknown_partitions_and_epochs_are_told() {
    let topic = Topic::create(1).await;
    let missing = Topic {
        name: unique("missing"),
        id: topic.id,
    };
    let mut client = RawClient::connect().await;
    for (topic, partition) in [(&topic, 1), (&topic, -1), (&missing, 0)] {
        let answer = list_offset(&mut client, topic, partition, LATEST).await;
        assert_eq!(
            answer.error_code.err(),
            Some(ResponseError::UnknownTopicOrPartition),
            "{topic:?} {partition}"
        );
        assert_eq!((answer.offset, answer.timestamp), (-1, -1));
    }
    for (epoch, expected) in [(0, None), (1, Some(ResponseError::UnknownLeaderEpoch))] {
        let mut request = list_offsets_request(&topic, 0, LATEST);
        request.topics[0].partitions[0].current_leader_epoch = epoch;
        let answer = only(only(client.send(8, request).await.topics).partitions);
        assert_eq!(answer.error_code.err(), expected, "epoch {epoch}");
    }
}

/// A partition asked for twice in one request: INVALID_REQUEST for it, once; the other one is answered.
#[tokio::test]
async fn a_partition_asked_twice_is_refused() {
    let topic = Topic::create(2).await;
    let mut client = RawClient::connect().await;
    let mut request = list_offsets_request(&topic, 0, LATEST);
    let partition = |index| {
        ListOffsetsPartition::default()
            .with_partition_index(index)
            .with_current_leader_epoch(-1)
    };
    request.topics[0].partitions.extend([
        partition(1).with_timestamp(EARLIEST),
        partition(0).with_timestamp(EARLIEST),
    ]);
    let answer = only(client.send(8, request).await.topics).partitions;
    let mut errors: Vec<_> = answer
        .iter()
        .map(|partition| (partition.partition_index, partition.error_code.err()))
        .collect();
    errors.sort_by_key(|(partition, _)| *partition);
    assert_eq!(
        errors,
        [(0, Some(ResponseError::InvalidRequest)), (1, None)]
    );
}

/// Special times need their version, -3 the 7th, -4 the 8th; other negative times mean nothing: UNSUPPORTED_VERSION(35).
#[tokio::test]
async fn special_times_need_their_version() {
    let topic = Topic::create(1).await;
    let mut client = RawClient::connect().await;
    three_batches(&mut client, &topic).await;
    for (version, timestamp) in [
        (1, MAX_TIMESTAMP),
        (6, MAX_TIMESTAMP),
        (7, EARLIEST_LOCAL),
        (8, -5),
        (8, -1000),
    ] {
        let response = client
            .send(version, list_offsets_request(&topic, 0, timestamp))
            .await;
        let answer = only(only(response.topics).partitions);
        assert_eq!(
            answer.error_code.err(),
            Some(ResponseError::UnsupportedVersion),
            "{timestamp} in version {version}"
        );
        assert_eq!((answer.offset, answer.timestamp), (-1, -1));
    }
}
