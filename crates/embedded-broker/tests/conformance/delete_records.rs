//! DeleteRecords: where a log begins afterwards, and what is left of it.

use kafka_protocol::error::{ParseResponseErrorCode, ResponseError};
use kafka_protocol::messages::DeleteRecordsRequest;
use kafka_protocol::messages::delete_records_request::{
    DeleteRecordsPartition, DeleteRecordsTopic,
};
use kafka_protocol::messages::delete_records_response::DeleteRecordsPartitionResult;

use crate::support::broker::unique;
use crate::support::raw::RawClient;
use crate::support::records::{Batch, decode, now};
use crate::support::topic::{
    EARLIEST, LATEST, Topic, append, fetch, list_offset, only, produce, topic_name,
};

/// Everything that there is.
const HIGH_WATERMARK: i64 = -1;

fn request(topic: &str, offsets: &[(i32, i64)]) -> DeleteRecordsRequest {
    let partitions = offsets.iter().map(|(partition, offset)| {
        DeleteRecordsPartition::default()
            .with_partition_index(*partition)
            .with_offset(*offset)
    });
    let topic = DeleteRecordsTopic::default()
        .with_name(topic_name(topic))
        .with_partitions(partitions.collect());
    DeleteRecordsRequest::default()
        .with_topics(vec![topic])
        .with_timeout_ms(10_000)
}

/// Asks for one partition, and returns the low watermark or the error.
async fn delete(
    client: &mut RawClient,
    topic: &str,
    partition: i32,
    offset: i64,
) -> Result<i64, ResponseError> {
    let response = client.send(2, request(topic, &[(partition, offset)])).await;
    let answer = only(only(response.topics).partitions);
    assert_eq!(answer.partition_index, partition);
    outcome(&answer)
}

fn outcome(answer: &DeleteRecordsPartitionResult) -> Result<i64, ResponseError> {
    match answer.error_code.err() {
        None => Ok(answer.low_watermark),
        Some(error) => {
            assert_eq!(answer.low_watermark, -1, "of a refusal");
            Err(error)
        }
    }
}

/// Three batches of two records: offsets 0 to 5.
async fn six_records(client: &mut RawClient, topic: &Topic, partition: i32) {
    for values in [["0", "1"], ["2", "3"], ["4", "5"]] {
        append(client, topic, partition, &Batch::of(values)).await;
    }
}

async fn offset_at(client: &mut RawClient, topic: &Topic, timestamp: i64) -> i64 {
    let answer = list_offset(client, topic, 0, timestamp).await;
    assert_eq!(answer.error_code.err(), None);
    answer.offset
}

/// The offsets that a fetch from `offset` brings, or why it brings none.
async fn offsets_from(
    client: &mut RawClient,
    topic: &Topic,
    offset: i64,
) -> Result<Vec<i64>, ResponseError> {
    let answer = fetch(client, topic, 0, offset).await;
    match answer.error_code.err() {
        None => {
            let records = decode(answer.records);
            Ok(records.iter().map(|record| record.offset).collect())
        }
        Some(error) => Err(error),
    }
}

/// Every version deletes, and tells the low watermark.
#[tokio::test]
async fn every_version_deletes() {
    let topic = Topic::create(1).await;
    let mut client = RawClient::connect().await;
    six_records(&mut client, &topic, 0).await;
    for version in 0..=2 {
        let offset = 2 * i64::from(version);
        let response = client
            .send(version, request(&topic.name, &[(0, offset)]))
            .await;
        assert_eq!(response.throttle_time_ms, 0);
        let answer = only(response.topics);
        assert_eq!(answer.name, topic.topic_name());
        assert_eq!(outcome(&only(answer.partitions)), Ok(offset));
    }
}

/// What lies before the new start cannot be read any more; the rest and the end are as before.
#[tokio::test]
async fn the_log_begins_at_the_offset() {
    let topic = Topic::create(1).await;
    let mut client = RawClient::connect().await;
    six_records(&mut client, &topic, 0).await;
    assert_eq!(delete(&mut client, &topic.name, 0, 4).await, Ok(4));
    for offset in [0, 3] {
        let refused = offsets_from(&mut client, &topic, offset).await;
        assert_eq!(refused, Err(ResponseError::OffsetOutOfRange), "{offset}");
    }
    assert_eq!(offsets_from(&mut client, &topic, 4).await, Ok(vec![4, 5]));
    assert_eq!(offset_at(&mut client, &topic, EARLIEST).await, 4);
    assert_eq!(offset_at(&mut client, &topic, LATEST).await, 6);
    let answer = fetch(&mut client, &topic, 0, 5).await;
    assert_eq!((answer.log_start_offset, answer.high_watermark), (4, 6));
    let answer = produce(&mut client, &topic, 0, Batch::of(["6"]).encode()).await;
    assert_eq!((answer.base_offset, answer.log_start_offset), (6, 4));
}

/// An offset inside a batch: the batch is still sent whole, and its consumer skips what was deleted.
#[tokio::test]
async fn the_log_may_begin_inside_a_batch() {
    let topic = Topic::create(1).await;
    let mut client = RawClient::connect().await;
    let start = now() - 60_000;
    let batch = Batch::at(&[start, start + 10, start + 20]);
    append(&mut client, &topic, 0, &batch).await;
    assert_eq!(delete(&mut client, &topic.name, 0, 2).await, Ok(2));
    assert_eq!(
        offsets_from(&mut client, &topic, 2).await,
        Ok(vec![0, 1, 2])
    );
    assert_eq!(
        offsets_from(&mut client, &topic, 1).await,
        Err(ResponseError::OffsetOutOfRange)
    );
    // A lookup by time does not find what was deleted either.
    assert_eq!(offset_at(&mut client, &topic, start).await, 2);
}

/// "-1 = HW": everything, and the offsets go on where they were.
#[tokio::test]
async fn everything_can_be_deleted() {
    let topic = Topic::create(1).await;
    let mut client = RawClient::connect().await;
    six_records(&mut client, &topic, 0).await;
    for _ in 0..2 {
        let deleted = delete(&mut client, &topic.name, 0, HIGH_WATERMARK).await;
        assert_eq!(deleted, Ok(6));
    }
    assert_eq!(offset_at(&mut client, &topic, EARLIEST).await, 6);
    assert_eq!(offset_at(&mut client, &topic, LATEST).await, 6);
    assert_eq!(offset_at(&mut client, &topic, 0).await, -1);
    assert_eq!(offsets_from(&mut client, &topic, 6).await, Ok(vec![]));
    assert_eq!(
        append(&mut client, &topic, 0, &Batch::of(["next"])).await,
        6
    );
    assert_eq!(offsets_from(&mut client, &topic, 6).await, Ok(vec![6]));
}

/// A start that is behind the offset already stays.
#[tokio::test]
async fn the_log_never_begins_earlier() {
    let topic = Topic::create(1).await;
    let mut client = RawClient::connect().await;
    assert_eq!(
        delete(&mut client, &topic.name, 0, HIGH_WATERMARK).await,
        Ok(0)
    );
    six_records(&mut client, &topic, 0).await;
    assert_eq!(delete(&mut client, &topic.name, 0, 4).await, Ok(4));
    for offset in [0, 3, 4] {
        let deleted = delete(&mut client, &topic.name, 0, offset).await;
        assert_eq!(deleted, Ok(4), "{offset}");
    }
    assert_eq!(offset_at(&mut client, &topic, EARLIEST).await, 4);
}

/// "OFFSET_OUT_OF_RANGE above HW", and for what is no offset.
#[tokio::test]
async fn what_is_not_there_cannot_be_deleted() {
    let topic = Topic::create(1).await;
    let mut client = RawClient::connect().await;
    six_records(&mut client, &topic, 0).await;
    for offset in [7, i64::MAX, -2, i64::MIN] {
        let refused = delete(&mut client, &topic.name, 0, offset).await;
        assert_eq!(refused, Err(ResponseError::OffsetOutOfRange), "{offset}");
    }
    assert_eq!(offset_at(&mut client, &topic, EARLIEST).await, 0);
}

/// Each partition succeeds or fails alone, unknown ones too.
#[tokio::test]
async fn each_partition_is_answered_alone() {
    let topic = Topic::create(2).await;
    let mut client = RawClient::connect().await;
    six_records(&mut client, &topic, 0).await;
    six_records(&mut client, &topic, 1).await;
    let asked = [(0, 99), (1, 3), (2, 0), (-1, 0)];
    let response = client.send(2, request(&topic.name, &asked)).await;
    let answers = only(response.topics).partitions;
    let expected = [
        (0, Err(ResponseError::OffsetOutOfRange)),
        (1, Ok(3)),
        (2, Err(ResponseError::UnknownTopicOrPartition)),
        (-1, Err(ResponseError::UnknownTopicOrPartition)),
    ];
    for (partition, expected) in expected {
        let answer = answers
            .iter()
            .find(|answer| answer.partition_index == partition)
            .expect("an answer for each partition");
        assert_eq!(outcome(answer), expected, "partition {partition}");
    }
    let missing = delete(&mut client, &unique("missing"), 0, 0).await;
    assert_eq!(missing, Err(ResponseError::UnknownTopicOrPartition));
}

/// Of a compacted topic somebody wants the last record of each key: POLICY_VIOLATION, whatever the offset, unless old
/// records are deleted anyway.
#[tokio::test]
async fn compacted_topics_refuse() {
    let mut client = RawClient::connect().await;
    let compacted = Topic::create_with(1, &[("cleanup.policy", "compact")]).await;
    for offset in [HIGH_WATERMARK, 0, 99] {
        let refused = delete(&mut client, &compacted.name, 0, offset).await;
        assert_eq!(refused, Err(ResponseError::PolicyViolation), "{offset}");
    }
    let both = Topic::create_with(1, &[("cleanup.policy", "compact,delete")]).await;
    let batch = Batch::keyed(&[(Some("key"), Some("value"))]);
    append(&mut client, &both, 0, &batch).await;
    assert_eq!(
        delete(&mut client, &both.name, 0, HIGH_WATERMARK).await,
        Ok(1)
    );
}

/// What is known of producers outlives their records: sequences go on, duplicates are found, gaps refused.
#[tokio::test]
async fn producers_are_remembered() {
    let topic = Topic::create(1).await;
    let mut client = RawClient::connect().await;
    let sent = |first_sequence| {
        Batch::of(["one", "two"])
            .from_producer(4_711_001, 0, first_sequence)
            .encode()
    };
    assert_eq!(
        produce(&mut client, &topic, 0, sent(0)).await.base_offset,
        0
    );
    assert_eq!(
        delete(&mut client, &topic.name, 0, HIGH_WATERMARK).await,
        Ok(2)
    );
    let duplicate = produce(&mut client, &topic, 0, sent(0)).await;
    assert_eq!(
        (duplicate.error_code.err(), duplicate.base_offset),
        (None, 0)
    );
    let gap = produce(&mut client, &topic, 0, sent(3)).await;
    assert_eq!(
        gap.error_code.err(),
        Some(ResponseError::OutOfOrderSequenceNumber)
    );
    let next = produce(&mut client, &topic, 0, sent(2)).await;
    assert_eq!((next.error_code.err(), next.base_offset), (None, 2));
}
