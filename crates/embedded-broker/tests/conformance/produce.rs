//! Produce: what is taken, what is refused, and what is written.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::error::{ParseResponseErrorCode, ResponseError};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::produce_request::PartitionProduceData;
use kafka_protocol::messages::produce_response::PartitionProduceResponse;
use kafka_protocol::messages::{
    ApiVersionsRequest, MetadataRequest, ProduceRequest, ProduceResponse,
};
use kafka_protocol::protocol::{Decodable, Request};

use crate::support::broker::unique;
use crate::support::raw::{RawClient, frame};
use crate::support::records::{Batch, altered, damaged, decode, now, position, values};
use crate::support::topic::{
    PRODUCE, Topic, append, fetch, list_offset, only, produce, produce_request, refused, topic_name,
};
use crate::support::wait::{DEADLINE, eventually};

fn answer_of(response: ProduceResponse) -> PartitionProduceResponse {
    only(only(response.responses).partition_responses)
}

/// Every version appends, and tells the offset of the first record.
#[tokio::test]
async fn every_version_appends() {
    let topic = Topic::create(1).await;
    let mut client = RawClient::connect().await;
    for (round, version) in (3..=11).enumerate() {
        let batch = Batch::of(["one", "two"]).encode();
        let answer = answer_of(
            client
                .send(version, produce_request(&topic, 0, batch))
                .await,
        );
        assert_eq!(answer.error_code.err(), None, "version {version}");
        assert_eq!(answer.base_offset, 2 * round as i64, "version {version}");
        assert_eq!(
            answer.log_append_time_ms, -1,
            "the topic keeps the producer's time"
        );
        if version >= 5 {
            assert_eq!(answer.log_start_offset, 0, "version {version}");
        }
        assert!(answer.record_errors.is_empty());
    }
}

/// Versions below 3 are offered but not understood: UNSUPPORTED_VERSION is not answered, the connection ends.
#[tokio::test]
async fn versions_below_3_are_not_served() {
    for version in 0..=2 {
        let mut client = RawClient::connect().await;
        let mut payload = BytesMut::new();
        payload.put_i16(ProduceRequest::KEY);
        payload.put_i16(version);
        payload.put_i32(1); // correlation id
        payload.put_i16(-1); // client id
        payload.put_i16(1); // acks
        payload.put_i32(1000); // timeout
        payload.put_i32(0); // no topics
        client.write_bytes(&frame(&payload)).await;
        client.is_closed().await;
    }
}

/// Acknowledged by the leader or by all replicas, which is the same where there is one.
#[tokio::test]
async fn acks_one_and_all_are_answered() {
    let topic = Topic::create(1).await;
    let mut client = RawClient::connect().await;
    for (offset, acks) in [1, -1].into_iter().enumerate() {
        let request = produce_request(&topic, 0, Batch::of(["value"]).encode()).with_acks(acks);
        let answer = answer_of(client.send(PRODUCE, request).await);
        assert_eq!(
            (answer.error_code.err(), answer.base_offset),
            (None, offset as i64),
            "acks {acks}"
        );
    }
}

/// "acks=0: **no response frame**, yet later responses must not stall."
#[tokio::test]
async fn acks_zero_is_not_answered() {
    let topic = Topic::create(1).await;
    let mut client = RawClient::connect().await;
    let request = produce_request(&topic, 0, Batch::of(["unacknowledged"]).encode()).with_acks(0);
    let _no_answer = client.write(PRODUCE, &request).await;
    client.no_response_within(Duration::from_millis(50)).await;
    client.send(0, ApiVersionsRequest::default()).await;
    let records = eventually(DEADLINE, "the record", async || {
        let records = decode(fetch(&mut client, &topic, 0, 0).await.records);
        (!records.is_empty()).then_some(records)
    })
    .await;
    assert_eq!(values(&records), ["unacknowledged"]);
}

/// "Error on acks=0 => close the connection": there is no answer to put it in.
#[tokio::test]
async fn an_error_without_acks_closes_the_connection() {
    let topic = Topic::create(1).await;
    let mut client = RawClient::connect().await;
    let request = produce_request(&topic, 99, Batch::of(["value"]).encode()).with_acks(0);
    let _no_answer = client.write(PRODUCE, &request).await;
    client.is_closed().await;
}

/// "acks not in {-1,0,1} => INVALID_REQUIRED_ACKS(21)."
#[tokio::test]
async fn other_acks_are_refused() {
    let topic = Topic::create(1).await;
    let mut client = RawClient::connect().await;
    for acks in [2, -2] {
        let request = produce_request(&topic, 0, Batch::of(["value"]).encode()).with_acks(acks);
        let answer = answer_of(client.send(PRODUCE, request).await);
        assert_eq!(
            answer.error_code.err(),
            Some(ResponseError::InvalidRequiredAcks),
            "acks {acks}"
        );
        assert_eq!(answer.base_offset, -1);
    }
    assert!(decode(fetch(&mut client, &topic, 0, 0).await.records).is_empty());
}

/// `min.insync.replicas` above the number of replicas: Apache Kafka asks for no more than there are.
#[tokio::test]
async fn min_insync_replicas_counts_at_most_the_replicas() {
    let topic = Topic::create_with(1, &[("min.insync.replicas", "2")]).await;
    let mut client = RawClient::connect().await;
    for acks in [-1, 1] {
        let request = produce_request(&topic, 0, Batch::of(["value"]).encode()).with_acks(acks);
        assert_eq!(
            answer_of(client.send(PRODUCE, request).await)
                .error_code
                .err(),
            None,
            "acks {acks}"
        );
    }
}

/// Produce never creates a topic, and knows which partitions there are.
#[tokio::test]
async fn unknown_topics_and_partitions_are_told() {
    let topic = Topic::create(1).await;
    let missing = Topic {
        name: unique("missing"),
        id: topic.id,
    };
    let mut client = RawClient::connect().await;
    for (topic, partition) in [(&topic, 1), (&topic, -1), (&missing, 0)] {
        let answer = produce(&mut client, topic, partition, Batch::of(["value"]).encode()).await;
        assert_eq!(
            answer.error_code.err(),
            Some(ResponseError::UnknownTopicOrPartition),
            "{topic:?} {partition}"
        );
        assert_eq!(answer.base_offset, -1);
    }
    let about = MetadataRequestTopic::default().with_name(Some(topic_name(&missing.name)));
    let request = MetadataRequest::default()
        .with_topics(Some(vec![about]))
        .with_allow_auto_topic_creation(false);
    let described = only(client.send(12, request).await.topics);
    assert_eq!(
        described.error_code.err(),
        Some(ResponseError::UnknownTopicOrPartition)
    );
}

/// Each partition of a request succeeds or fails alone.
#[tokio::test]
async fn each_partition_is_answered_alone() {
    let topic = Topic::create(2).await;
    let mut client = RawClient::connect().await;
    let good = Batch::of(["value"]).encode();
    let bad = damaged(&good, position::MAX_TIMESTAMP, &[1]);
    let mut request = produce_request(&topic, 0, good.clone());
    request.topic_data[0].partition_data.extend([
        PartitionProduceData::default()
            .with_index(1)
            .with_records(Some(bad)),
        PartitionProduceData::default()
            .with_index(7)
            .with_records(Some(good)),
    ]);
    let answer = only(client.send(PRODUCE, request).await.responses).partition_responses;
    let error_of = |index| {
        answer
            .iter()
            .find(|partition| partition.index == index)
            .expect("an answer")
            .error_code
            .err()
    };
    assert_eq!(error_of(0), None);
    assert_eq!(error_of(1), Some(ResponseError::CorruptMessage));
    assert_eq!(error_of(7), Some(ResponseError::UnknownTopicOrPartition));
}

/// "Size > `max.message.bytes` (batch incl. 12-byte prefix) => MESSAGE_TOO_LARGE(10)", to the byte.
#[tokio::test]
async fn size_is_limited_to_the_byte() {
    let overhead = Batch::of_size(900).encode().len() - 900;
    let topic = Topic::create_with(1, &[("max.message.bytes", "1000")]).await;
    let mut client = RawClient::connect().await;
    let fits = Batch::of_size(1000 - overhead).encode();
    let too_large = Batch::of_size(1001 - overhead).encode();
    assert_eq!((fits.len(), too_large.len()), (1000, 1001));
    assert_eq!(
        produce(&mut client, &topic, 0, fits).await.error_code.err(),
        None
    );
    assert_eq!(
        refused(&mut client, &topic, too_large).await,
        ResponseError::MessageTooLarge
    );
}

/// "CRC32C over bytes 21.. => CORRUPT_MESSAGE(2)."
#[tokio::test]
async fn a_damaged_batch_is_refused() {
    let topic = Topic::create(1).await;
    let mut client = RawClient::connect().await;
    let batch = Batch::of(["value"]).encode();
    let last_byte = batch.len() - 1;
    for position in [position::CRC, position::MAX_TIMESTAMP, last_byte] {
        let damaged = damaged(&batch, position, &[batch[position] ^ 1]);
        assert_eq!(
            refused(&mut client, &topic, damaged).await,
            ResponseError::CorruptMessage,
            "byte {position}"
        );
    }
    assert!(decode(fetch(&mut client, &topic, 0, 0).await.records).is_empty());
}

/// "Exactly one batch per partition (v3+) => INVALID_RECORD(87) otherwise."
#[tokio::test]
async fn exactly_one_batch_is_taken() {
    let topic = Topic::create(1).await;
    let mut client = RawClient::connect().await;
    let one = Batch::of(["one"]).encode();
    let two = Bytes::from([one.clone(), one].concat());
    let request = produce_request(&topic, 0, two);
    let answer = answer_of(client.send(PRODUCE, request).await);
    assert_eq!(answer.error_code.err(), Some(ResponseError::InvalidRecord));
}

/// No records at all, or null instead of records.
#[tokio::test]
async fn no_batch_is_refused() {
    let topic = Topic::create(1).await;
    let mut client = RawClient::connect().await;
    let answer = answer_of(
        client
            .send(PRODUCE, produce_request(&topic, 0, Bytes::new()))
            .await,
    );
    assert_eq!(answer.error_code.err(), Some(ResponseError::InvalidRecord));
}

/// What a producer may not write: a control record, an unknown codec, a count that disagrees with the offsets, a format of
/// another age. The checksum is right each time.
#[tokio::test]
async fn malformed_batches_are_refused() {
    let topic = Topic::create(1).await;
    let mut client = RawClient::connect().await;
    let batch = Batch::of(["one", "two", "three"]).encode();
    let length = batch.len() as i32 - 12;
    let cases = [
        (
            "control",
            Batch::of(["value"]).control().encode(),
            ResponseError::InvalidRecord,
        ),
        (
            "last offset delta",
            altered(&batch, position::LAST_OFFSET_DELTA, &1_i32.to_be_bytes()),
            ResponseError::InvalidRecord,
        ),
        (
            "record count",
            altered(&batch, position::RECORD_COUNT, &2_i32.to_be_bytes()),
            ResponseError::InvalidRecord,
        ),
        (
            "no records",
            altered(&batch, position::RECORD_COUNT, &0_i32.to_be_bytes()),
            ResponseError::InvalidRecord,
        ),
        (
            "codec 5",
            altered(&batch, position::ATTRIBUTES, &5_i16.to_be_bytes()),
            ResponseError::UnknownServerError,
        ),
        (
            "codec 7",
            altered(&batch, position::ATTRIBUTES, &7_i16.to_be_bytes()),
            ResponseError::UnknownServerError,
        ),
        (
            "format 3",
            damaged(&batch, position::MAGIC, &[3]),
            ResponseError::CorruptMessage,
        ),
        (
            "format 1",
            damaged(&batch, position::MAGIC, &[1]),
            ResponseError::InvalidRecord,
        ),
        (
            "too short",
            damaged(&batch, position::BATCH_LENGTH, &(length - 1).to_be_bytes()),
            ResponseError::CorruptMessage,
        ),
        (
            "too long",
            damaged(&batch, position::BATCH_LENGTH, &(length + 1).to_be_bytes()),
            ResponseError::InvalidRecord,
        ),
        (
            "negative",
            damaged(&batch, position::BATCH_LENGTH, &(-1_i32).to_be_bytes()),
            ResponseError::CorruptMessage,
        ),
        (
            "cut",
            batch.slice(..batch.len() - 1),
            ResponseError::InvalidRecord,
        ),
        (
            "only a prefix",
            batch.slice(..11),
            ResponseError::InvalidRecord,
        ),
    ];
    let mut wrong = Vec::new();
    for (what, batch, expected) in cases {
        let answer = produce(&mut client, &topic, 0, batch).await;
        if answer.error_code.err() != Some(expected) {
            wrong.push((what, answer.error_code.err(), answer.error_message));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(
        decode(fetch(&mut client, &topic, 0, 0).await.records).is_empty(),
        "nothing was written"
    );
}

/// Up to 11 bytes behind a batch cannot begin another one: they are ignored, and not kept.
#[tokio::test]
async fn a_few_bytes_behind_a_batch_are_ignored() {
    let topic = Topic::create(1).await;
    let mut client = RawClient::connect().await;
    let batch = Batch::of(["value"]).encode();
    for count in [1, 11] {
        let with_more = Bytes::from([&batch[..], &vec![0; count]].concat());
        let answer = produce(&mut client, &topic, 0, with_more).await;
        assert_eq!(answer.error_code.err(), None, "{count}");
    }
    let read = fetch(&mut client, &topic, 0, 0).await.records;
    assert_eq!(read.expect("records").len(), 2 * batch.len());
    let with_another = Bytes::from([&batch[..], &[0; 12]].concat());
    assert_eq!(
        refused(&mut client, &topic, with_another).await,
        ResponseError::CorruptMessage
    );
}

/// "zstd only if v>=7": below, UNSUPPORTED_COMPRESSION_TYPE(76), because such a client could not read it back.
#[tokio::test]
async fn zstd_needs_version_7() {
    let topic = Topic::create(1).await;
    let mut client = RawClient::connect().await;
    let batch = altered(
        &Batch::of(["value"]).encode(),
        position::ATTRIBUTES,
        &4_i16.to_be_bytes(),
    );
    let answer = answer_of(client.send(6, produce_request(&topic, 0, batch)).await);
    assert_eq!(
        answer.error_code.err(),
        Some(ResponseError::UnsupportedCompressionType)
    );
}

/// The leader epoch in a batch is overwritten, whatever the client wrote there; so is its base offset, which must be 0.
#[tokio::test]
async fn offset_and_leader_epoch_are_the_brokers() {
    let topic = Topic::create(1).await;
    let mut client = RawClient::connect().await;
    let batch = Batch::of(["one", "two"]).encode();
    let batch = damaged(
        &batch,
        position::PARTITION_LEADER_EPOCH,
        &17_i32.to_be_bytes(),
    );
    for round in 0..2 {
        let answer = produce(&mut client, &topic, 0, batch.clone()).await;
        assert_eq!(
            (answer.error_code.err(), answer.base_offset),
            (None, 2 * round)
        );
    }
    let records = decode(fetch(&mut client, &topic, 0, 0).await.records);
    let offsets: Vec<_> = records
        .iter()
        .map(|record| (record.offset, record.partition_leader_epoch))
        .collect();
    assert_eq!(offsets, [(0, 0), (1, 0), (2, 0), (3, 0)]);
    let offset_of_the_clients = damaged(&batch, 0, &4711_i64.to_be_bytes());
    assert_eq!(
        refused(&mut client, &topic, offset_of_the_clients).await,
        ResponseError::InvalidRecord
    );
}

/// What was written is read back byte for byte, but for base offset and leader epoch.
#[tokio::test]
async fn bytes_are_kept_as_they_were() {
    let topic = Topic::create(1).await;
    let mut client = RawClient::connect().await;
    let batch = Batch::keyed(&[
        (Some("key"), Some("value")),
        (None, None),
        (Some(""), Some("")),
    ])
    .encode();
    append(&mut client, &topic, 0, &Batch::of(["before"])).await;
    produce(&mut client, &topic, 0, batch.clone()).await;
    let read = fetch(&mut client, &topic, 0, 1)
        .await
        .records
        .expect("records");
    assert_eq!(read[..8], 1_i64.to_be_bytes(), "base offset");
    assert_eq!(read[8..12], batch[8..12], "length");
    assert_eq!(read[16..], batch[16..], "from the format on");
}

/// "LogAppendTime topic: set attribute bit 3, max_timestamp = now, **recompute the CRC**, return log_append_time_ms."
#[tokio::test]
async fn log_append_time_is_the_brokers() {
    let topic = Topic::create_with(1, &[("message.timestamp.type", "LogAppendTime")]).await;
    let mut client = RawClient::connect().await;
    let before = now();
    let answer = produce(&mut client, &topic, 0, Batch::at(&[1_000, 2_000]).encode()).await;
    assert_eq!(answer.error_code.err(), None);
    assert!(
        (before..=now()).contains(&answer.log_append_time_ms),
        "{answer:?}"
    );
    // `decode` verifies the checksum.
    let read = fetch(&mut client, &topic, 0, 0)
        .await
        .records
        .expect("records");
    assert_eq!(
        read[position::ATTRIBUTES + 1] & 0b1000,
        0b1000,
        "timestamp type"
    );
    assert_eq!(
        read[position::MAX_TIMESTAMP..position::MAX_TIMESTAMP + 8],
        answer.log_append_time_ms.to_be_bytes()
    );
    assert_eq!(decode(Some(read)).len(), 2);
    let listed = list_offset(&mut client, &topic, 0, before).await;
    assert_eq!(
        (listed.offset, listed.timestamp),
        (0, answer.log_append_time_ms)
    );
}

/// "Compacted topic + null key => INVALID_RECORD with record_errors naming the bad indexes", and nothing is written.
#[tokio::test]
async fn a_compacted_topic_needs_keys() {
    let topic = Topic::create_with(1, &[("cleanup.policy", "compact")]).await;
    let mut client = RawClient::connect().await;
    let batch = Batch::keyed(&[
        (Some("a"), Some("1")),
        (None, Some("2")),
        (Some("c"), None),
        (None, None),
    ]);
    let answer = produce(&mut client, &topic, 0, batch.encode()).await;
    assert_eq!(answer.error_code.err(), Some(ResponseError::InvalidRecord));
    let indexes: Vec<_> = answer
        .record_errors
        .iter()
        .map(|error| error.batch_index)
        .collect();
    assert_eq!(indexes, [1, 3]);
    assert!(
        answer
            .record_errors
            .iter()
            .all(|error| error.batch_index_error_message.is_some()),
        "{answer:?}"
    );
    assert!(answer.error_message.is_some());
    assert!(decode(fetch(&mut client, &topic, 0, 0).await.records).is_empty());
    // An empty key is a key, and a null value is a tombstone.
    append(
        &mut client,
        &topic,
        0,
        &Batch::keyed(&[(Some(""), Some("1")), (Some("c"), None)]),
    )
    .await;
}

/// A producer's time more than `message.timestamp.after.max.ms` (1 h) ahead is refused; any time in the past is taken.
#[tokio::test]
async fn time_in_the_future_is_refused() {
    let topic = Topic::create(1).await;
    let mut client = RawClient::connect().await;
    let hour = 3_600_000;
    let answer = produce(
        &mut client,
        &topic,
        0,
        Batch::at(&[now(), now() + 2 * hour]).encode(),
    )
    .await;
    assert_eq!(
        answer.error_code.err(),
        Some(ResponseError::InvalidTimestamp)
    );
    assert_eq!(
        answer
            .record_errors
            .iter()
            .map(|error| error.batch_index)
            .collect::<Vec<_>>(),
        [1]
    );
    append(
        &mut client,
        &topic,
        0,
        &Batch::at(&[0, 1_000, now() + hour / 2]),
    )
    .await;
}

/// The answer can be read in the first and the last version, and the throttle time is zero.
#[tokio::test]
async fn nobody_is_throttled() {
    let topic = Topic::create(1).await;
    let mut client = RawClient::connect().await;
    for version in [3, 11] {
        let response = client
            .send(
                version,
                produce_request(&topic, 0, Batch::of(["value"]).encode()),
            )
            .await;
        assert_eq!(response.throttle_time_ms, 0);
        assert!(
            response.node_endpoints.is_empty(),
            "no other leader to go to"
        );
    }
    let mut empty = Bytes::from_static(&[0, 0, 0, 0, 0, 0, 0, 0]);
    assert!(
        ProduceResponse::decode(&mut empty, 3)
            .expect("an empty response")
            .responses
            .is_empty()
    );
}
