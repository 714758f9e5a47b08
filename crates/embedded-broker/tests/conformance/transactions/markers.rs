//! The control batches that end a transaction in each of its partitions.

use bytes::Bytes;
use kafka_protocol::error::ResponseError;

use super::{Producer, TIMEOUT_MS, stable_end};
use crate::support::records::{Batch, decode, now};
use crate::support::topic::{LATEST, Topic, append, fetch, list_offset};

/// The last batch of a partition, which begins at `offset`.
async fn batch_at(producer: &mut Producer, topic: &Topic, partition: i32, offset: i64) -> Bytes {
    let answer = fetch(&mut producer.client, topic, partition, offset).await;
    answer.records.expect("records are empty, never null")
}

/// "Control batch, attributes 0x30, base_sequence -1, one record: key {i16 0, i16 0 abort | 1 commit}, value {i16 0, i32
/// coordinator epoch}", to the byte.
#[tokio::test]
async fn a_marker_is_a_control_batch_of_78_bytes() {
    let topic = Topic::create(1).await;
    let mut producer = Producer::start().await;
    for (round, committed) in [(0, true), (1, false)] {
        producer.add(&topic, &[0]).await;
        producer.send(&topic, 0, &["value"]).await;
        let before = now();
        if committed {
            producer.commit().await;
        } else {
            producer.abort().await;
        }
        let offset = 2 * round + 1;
        let marker = batch_at(&mut producer, &topic, 0, offset).await;
        let time = i64::from_be_bytes(marker[27..35].try_into().expect("8 bytes"));
        assert!((before..=now()).contains(&time), "{time}");
        let mut expected = Vec::new();
        expected.extend(offset.to_be_bytes());
        expected.extend(66_i32.to_be_bytes()); // length of what follows
        expected.extend(0_i32.to_be_bytes()); // partition leader epoch
        expected.push(2); // magic
        expected.extend(&marker[17..21]); // checksum: verified by `decode`
        expected.extend(0x30_i16.to_be_bytes()); // transactional, control
        expected.extend(0_i32.to_be_bytes()); // last offset delta
        expected.extend(time.to_be_bytes()); // base timestamp
        expected.extend(time.to_be_bytes()); // max timestamp
        expected.extend(producer.id.to_be_bytes());
        expected.extend(producer.epoch.to_be_bytes());
        expected.extend((-1_i32).to_be_bytes()); // base sequence
        expected.extend(1_i32.to_be_bytes()); // record count
        // Record: length 16, attributes, timestamp delta, offset delta; lengths are zigzag.
        expected.extend([32, 0, 0, 0]);
        expected.extend([8, 0, 0, 0, u8::from(committed)]); // key: length 4, version 0, type
        expected.extend([12, 0, 0, 0, 0, 0, 0]); // value: length 6, version 0, coordinator epoch 0
        expected.push(0); // no headers
        assert_eq!(marker[..], expected[..], "committed: {committed}");
        assert_eq!(decode(Some(marker)).len(), 1);
    }
}

/// "Takes one offset in each partition": in those without records too.
#[tokio::test]
async fn a_marker_takes_one_offset_in_each_partition_added() {
    let topic = Topic::create(3).await;
    let mut producer = Producer::start().await;
    producer.add(&topic, &[0, 1]).await;
    producer.send(&topic, 0, &["one", "two"]).await;
    producer.commit().await;
    for (partition, expected) in [(0, 3), (1, 1), (2, 0)] {
        let end = list_offset(&mut producer.client, &topic, partition, LATEST)
            .await
            .offset;
        assert_eq!(end, expected, "partition {partition}");
        assert_eq!(
            stable_end(&mut producer.client, &topic, partition).await,
            expected
        );
    }
    let marker = decode(fetch(&mut producer.client, &topic, 1, 0).await.records).remove(0);
    assert!(marker.control && marker.transactional);
    assert_eq!(
        (marker.producer_id, marker.producer_epoch),
        (producer.id, producer.epoch)
    );
}

/// A retried EndTxn writes no second marker.
#[tokio::test]
async fn a_retry_writes_no_second_marker() {
    let topic = Topic::create(1).await;
    let mut producer = Producer::start().await;
    producer.add(&topic, &[0]).await;
    producer.commit().await;
    for _ in 0..3 {
        assert_eq!(producer.try_end(4, true).await, Ok(()));
        assert_eq!(
            producer.try_end(4, false).await,
            Err(ResponseError::InvalidTxnState)
        );
    }
    assert_eq!(
        list_offset(&mut producer.client, &topic, 0, LATEST)
            .await
            .offset,
        1
    );
}

/// The marker that fences carries the bumped epoch, which is how the partition learns it.
#[tokio::test]
async fn the_marker_that_fences_carries_the_bumped_epoch() {
    let topic = Topic::create(1).await;
    let mut zombie = Producer::start().await;
    zombie.add(&topic, &[0]).await;
    zombie.send(&topic, 0, &["zombie"]).await;
    let successor = Producer::start_as(&zombie.transactional_id, TIMEOUT_MS).await;
    let records = decode(fetch(&mut zombie.client, &topic, 0, 0).await.records);
    let found: Vec<_> = records
        .iter()
        .map(|record| (record.control, record.producer_id, record.producer_epoch))
        .collect();
    assert_eq!(found, [(false, zombie.id, 0), (true, successor.id, 1)]);
    assert_eq!(
        records[1].key.as_deref(),
        Some(&[0, 0, 0, 0][..]),
        "an abort"
    );
}

/// Where the broker's time counts, it counts for markers.
#[tokio::test]
async fn a_marker_has_the_log_append_time() {
    let topic = Topic::create_with(1, &[("message.timestamp.type", "LogAppendTime")]).await;
    let mut producer = Producer::start().await;
    producer.add(&topic, &[0]).await;
    let before = now();
    producer.commit().await;
    let marker = batch_at(&mut producer, &topic, 0, 0).await;
    assert_eq!(marker[21..23], 0x38_i16.to_be_bytes());
    let time = i64::from_be_bytes(marker[35..43].try_into().expect("8 bytes"));
    assert!((before..=now()).contains(&time), "{time}");
    assert_eq!(decode(Some(marker)).len(), 1, "the checksum is right");
}

/// A clock that a consumer asks for finds markers as well as records.
#[tokio::test]
async fn the_latest_time_may_be_a_markers() {
    const MAX_TIMESTAMP: i64 = -3;
    let topic = Topic::create(1).await;
    let mut producer = Producer::start().await;
    append(&mut producer.client, &topic, 0, &Batch::at(&[1_000, 2_000])).await;
    producer.add(&topic, &[0]).await;
    let before = now();
    producer.commit().await;
    let latest = list_offset(&mut producer.client, &topic, 0, MAX_TIMESTAMP).await;
    assert_eq!(latest.offset, 2);
    assert!(latest.timestamp >= before);
    let by_time = list_offset(&mut producer.client, &topic, 0, 2_001).await;
    assert_eq!((by_time.offset, by_time.timestamp), (2, latest.timestamp));
}
