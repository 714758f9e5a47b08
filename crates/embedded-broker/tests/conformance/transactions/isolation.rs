//! read_committed and read_uncommitted: the last stable offset, the aborted index, and fetches that wait.

use std::time::{Duration, Instant};

use kafka_protocol::messages::DeleteRecordsRequest;
use kafka_protocol::messages::delete_records_request::{
    DeleteRecordsPartition, DeleteRecordsTopic,
};
use kafka_protocol::messages::fetch_response::AbortedTransaction;

use super::{Producer, READ_COMMITTED, committed, everything, fetch_committed, stable_end};
use crate::support::raw::RawClient;
use crate::support::records::{Batch, decode, now, values};
use crate::support::topic::{
    FETCH_BY_NAME, LATEST, Topic, append, fetch, fetch_partition, fetch_request, fetched,
    list_offset, list_offsets_request, only,
};
use crate::support::wait::DEADLINE;

/// So long that a test which waits for it fails by its deadline first.
const LONG_WAIT_MS: i32 = 60_000;

fn aborted(producer: &Producer, first_offset: i64) -> AbortedTransaction {
    AbortedTransaction::default()
        .with_producer_id(producer.id.into())
        .with_first_offset(first_offset)
}

/// Aborted records stay in the log and are named to read_committed readers, who leave them out.
#[tokio::test]
async fn aborted_records_are_left_out() {
    let topic = Topic::create(1).await;
    let mut producer = Producer::start().await;
    for (value, commit) in [("a", true), ("b", false), ("c", true), ("d", false)] {
        producer.add(&topic, &[0]).await;
        producer.send(&topic, 0, &[value]).await;
        if commit {
            producer.commit().await;
        } else {
            producer.abort().await;
        }
    }
    assert_eq!(
        everything(&mut producer.client, &topic, 0).await,
        ["a", "b", "c", "d"]
    );
    assert_eq!(committed(&mut producer.client, &topic, 0).await, ["a", "c"]);
    let answer = fetch_committed(&mut RawClient::connect().await, &topic, 0, 0).await;
    assert_eq!(
        answer.aborted_transactions,
        Some(vec![aborted(&producer, 2), aborted(&producer, 6)])
    );
}

/// "read_uncommitted: aborted list null"; read_committed without any: an empty one.
#[tokio::test]
async fn only_read_committed_has_a_list_of_aborted_transactions() {
    let topic = Topic::create(1).await;
    let mut producer = Producer::start().await;
    let mut client = RawClient::connect().await;
    assert_eq!(
        fetch(&mut client, &topic, 0, 0).await.aborted_transactions,
        None
    );
    let empty = fetch_committed(&mut client, &topic, 0, 0).await;
    assert_eq!(empty.aborted_transactions, Some(vec![]));
    producer.add(&topic, &[0]).await;
    producer.send(&topic, 0, &["aborted"]).await;
    producer.abort().await;
    assert_eq!(
        fetch(&mut client, &topic, 0, 0).await.aborted_transactions,
        None
    );
    let listed = fetch_committed(&mut client, &topic, 0, 0).await;
    assert_eq!(
        listed.aborted_transactions,
        Some(vec![aborted(&producer, 0)])
    );
    let at_the_end = fetch_committed(&mut client, &topic, 0, 2).await;
    assert_eq!(at_the_end.aborted_transactions, Some(vec![]));
}

/// "List aborted {pid, first_offset} overlapping the returned range", and no others.
#[tokio::test]
async fn the_list_holds_what_overlaps_the_answer() {
    let topic = Topic::create(1).await;
    let mut producer = Producer::start().await;
    // Offsets: record and marker, so transaction n is [2n, 2n + 1].
    for _ in 0..4 {
        producer.add(&topic, &[0]).await;
        producer.send(&topic, 0, &["aborted"]).await;
        producer.abort().await;
    }
    for (offset, expected) in [
        (0, vec![0, 2, 4, 6]),
        (1, vec![0, 2, 4, 6]),
        (2, vec![2, 4, 6]),
        (5, vec![4, 6]),
        (7, vec![6]),
        (8, vec![]),
    ] {
        let answer = fetch_committed(&mut producer.client, &topic, 0, offset).await;
        let listed: Vec<_> = answer
            .aborted_transactions
            .expect("a list")
            .iter()
            .map(|transaction| transaction.first_offset)
            .collect();
        assert_eq!(listed, expected, "from {offset}");
    }
    // One batch fits. Apache Kafka may list transactions that begin after it, as far as its index is coarse.
    let partition = fetch_partition(0, 2).with_partition_max_bytes(1);
    let request = fetch_request(&topic, vec![partition]).with_isolation_level(READ_COMMITTED);
    let answer = fetched(producer.client.send(FETCH_BY_NAME, request).await);
    assert_eq!(decode(answer.records).len(), 1);
    let listed = answer.aborted_transactions.expect("a list");
    assert_eq!(listed[0], aborted(&producer, 2));
}

/// "LSO = min first offset of open txns, else HW": readers of committed records stop there, others do not.
#[tokio::test]
async fn readers_stop_at_the_first_open_transaction() {
    let topic = Topic::create(1).await;
    let mut client = RawClient::connect().await;
    let (mut one, mut two) = (Producer::start().await, Producer::start().await);
    append(&mut client, &topic, 0, &Batch::of(["before"])).await;
    one.add(&topic, &[0]).await;
    assert_eq!(one.send(&topic, 0, &["one"]).await, 1);
    two.add(&topic, &[0]).await;
    assert_eq!(two.send(&topic, 0, &["two"]).await, 2);
    append(&mut client, &topic, 0, &Batch::of(["plain"])).await;
    let check = async |client: &mut RawClient, stable: i64, end: i64, seen: &[&str]| {
        assert_eq!(committed(client, &topic, 0).await, seen);
        assert_eq!(stable_end(client, &topic, 0).await, stable);
        assert_eq!(list_offset(client, &topic, 0, LATEST).await.offset, end);
        for answer in [
            fetch(client, &topic, 0, 0).await,
            fetch_committed(client, &topic, 0, 0).await,
        ] {
            assert_eq!(
                (answer.last_stable_offset, answer.high_watermark),
                (stable, end)
            );
        }
    };
    check(&mut client, 1, 4, &["before"]).await;
    two.commit().await;
    check(&mut client, 1, 5, &["before"]).await;
    one.abort().await;
    check(&mut client, 6, 6, &["before", "two", "plain"]).await;
    assert_eq!(
        everything(&mut client, &topic, 0).await,
        ["before", "one", "two", "plain"]
    );
}

/// Beyond the last stable offset there is nothing yet, which is no error; nor does a time find anything there.
#[tokio::test]
async fn behind_the_last_stable_offset_there_is_nothing_yet() {
    let topic = Topic::create(1).await;
    let mut producer = Producer::start().await;
    let time = now();
    producer.add(&topic, &[0]).await;
    producer.send(&topic, 0, &["one", "two"]).await;
    producer.send(&topic, 0, &["three"]).await;
    let mut client = RawClient::connect().await;
    for offset in [0, 1, 2, 3] {
        let answer = fetch_committed(&mut client, &topic, 0, offset).await;
        assert_eq!(answer.error_code, 0, "from {offset}");
        assert_eq!(values(&decode(answer.records)), [""; 0], "from {offset}");
        assert_eq!(answer.aborted_transactions, Some(vec![]), "from {offset}");
    }
    for timestamp in [time, -3] {
        let request =
            list_offsets_request(&topic, 0, timestamp).with_isolation_level(READ_COMMITTED);
        let answer = only(only(client.send(8, request).await.topics).partitions);
        assert_eq!(
            (answer.error_code, answer.offset, answer.timestamp),
            (0, -1, -1),
            "time {timestamp}"
        );
    }
    assert_eq!(list_offset(&mut client, &topic, 0, time).await.offset, 0);
}

/// "Count only stable bytes toward min_bytes; EndTxn must wake those waiters."
#[tokio::test]
async fn a_parked_reader_waits_for_the_end_of_the_transaction() {
    let topic = Topic::create(1).await;
    let mut producer = Producer::start().await;
    producer.add(&topic, &[0]).await;
    let mut reader = RawClient::connect().await;
    let request = fetch_request(&topic, vec![fetch_partition(0, 0)])
        .with_isolation_level(READ_COMMITTED)
        .with_min_bytes(1)
        .with_max_wait_ms(LONG_WAIT_MS);
    let pending = reader.write(FETCH_BY_NAME, &request).await;
    producer.send(&topic, 0, &["value"]).await;
    // The record is there, for others.
    assert_eq!(everything(&mut producer.client, &topic, 0).await, ["value"]);
    reader.no_response_within(Duration::from_millis(50)).await;
    let ended = Instant::now();
    assert_eq!(producer.try_end(4, true).await, Ok(()));
    let answer = fetched(reader.read(pending).await);
    assert!(ended.elapsed() < DEADLINE);
    let records = decode(answer.records);
    assert_eq!(values(&records[..1]), ["value"]);
}

/// An abort moves the last stable offset as well, and a reader that waited is told what to leave out.
#[tokio::test]
async fn an_abort_wakes_a_parked_reader() {
    let topic = Topic::create(1).await;
    let mut producer = Producer::start().await;
    producer.add(&topic, &[0]).await;
    producer.send(&topic, 0, &["value"]).await;
    let mut reader = RawClient::connect().await;
    let request = fetch_request(&topic, vec![fetch_partition(0, 0)])
        .with_isolation_level(READ_COMMITTED)
        .with_min_bytes(1)
        .with_max_wait_ms(LONG_WAIT_MS);
    let pending = reader.write(FETCH_BY_NAME, &request).await;
    assert_eq!(producer.try_end(4, false).await, Ok(()));
    let answer = fetched(reader.read(pending).await);
    assert_eq!(
        answer.aborted_transactions,
        Some(vec![aborted(&producer, 0)])
    );
}

/// Transactions of several partitions end in all of them.
#[tokio::test]
async fn all_partitions_end_together() {
    let (topic, other) = (Topic::create(2).await, Topic::create(1).await);
    let mut producer = Producer::start().await;
    producer.add(&topic, &[0, 1]).await;
    producer.add(&other, &[0]).await;
    for (topic, partition) in [(&topic, 0), (&topic, 1), (&other, 0)] {
        producer.send(topic, partition, &["value"]).await;
        assert_eq!(stable_end(&mut producer.client, topic, partition).await, 0);
    }
    producer.commit().await;
    for (topic, partition) in [(&topic, 0), (&topic, 1), (&other, 0)] {
        assert_eq!(
            committed(&mut producer.client, topic, partition).await,
            ["value"]
        );
        assert_eq!(stable_end(&mut producer.client, topic, partition).await, 2);
    }
}

/// Deletes what lies before `offset` in partition 0.
async fn delete_before(client: &mut RawClient, topic: &Topic, offset: i64) {
    let partition = DeleteRecordsPartition::default()
        .with_partition_index(0)
        .with_offset(offset);
    let topic = DeleteRecordsTopic::default()
        .with_name(topic.topic_name())
        .with_partitions(vec![partition]);
    let request = DeleteRecordsRequest::default()
        .with_topics(vec![topic])
        .with_timeout_ms(10_000);
    let answer = only(only(client.send(2, request).await.topics).partitions);
    assert_eq!((answer.error_code, answer.low_watermark), (0, offset));
}

/// Aborted transactions are listed as long as their marker is in the log.
#[tokio::test]
async fn what_was_deleted_is_not_listed() {
    let topic = Topic::create(1).await;
    let mut producer = Producer::start().await;
    for _ in 0..3 {
        producer.add(&topic, &[0]).await;
        producer.send(&topic, 0, &["aborted"]).await;
        producer.abort().await;
    }
    for (start, expected) in [
        (1, vec![0, 2, 4]),
        (2, vec![2, 4]),
        (5, vec![4]),
        (6, vec![]),
    ] {
        delete_before(&mut producer.client, &topic, start).await;
        let answer = fetch_committed(&mut producer.client, &topic, 0, start).await;
        let listed: Vec<_> = answer
            .aborted_transactions
            .expect("a list")
            .iter()
            .map(|transaction| transaction.first_offset)
            .collect();
        assert_eq!(listed, expected, "from {start}");
    }
}

/// An open transaction whose first records are deleted holds back what is left of it.
#[tokio::test]
async fn an_open_transaction_may_lose_its_beginning() {
    let topic = Topic::create(1).await;
    let mut producer = Producer::start().await;
    producer.add(&topic, &[0]).await;
    for value in ["one", "two", "three"] {
        producer.send(&topic, 0, &[value]).await;
    }
    delete_before(&mut producer.client, &topic, 2).await;
    assert_eq!(stable_end(&mut producer.client, &topic, 0).await, 2);
    let answer = fetch_committed(&mut producer.client, &topic, 0, 2).await;
    assert_eq!(answer.error_code, 0);
    assert_eq!((answer.last_stable_offset, answer.log_start_offset), (2, 2));
    producer.commit().await;
    assert_eq!(stable_end(&mut producer.client, &topic, 0).await, 4);
    let left = fetch_committed(&mut producer.client, &topic, 0, 2).await;
    let records = decode(left.records);
    assert_eq!(values(&records[..1]), ["three"]);
}
