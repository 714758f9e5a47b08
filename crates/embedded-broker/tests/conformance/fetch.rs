//! Fetch: what is read, how much of it, and how long it waits.

use std::time::{Duration, Instant};

use kafka_protocol::error::{ParseResponseErrorCode, ResponseError};
use kafka_protocol::messages::fetch_request::FetchTopic;
use kafka_protocol::messages::{BrokerId, DeleteTopicsRequest, FetchRequest};
use uuid::Uuid;

use crate::support::broker::unique;
use crate::support::raw::RawClient;
use crate::support::records::{Batch, decode, values};
use crate::support::topic::{
    FETCH_BY_NAME, Topic, append, fetch, fetch_partition, fetch_request, fetch_request_by_id,
    fetched, only,
};
use crate::support::wait::DEADLINE;

/// So long that a test which waits for it fails by its deadline first.
const LONG_WAIT_MS: i32 = 60_000;

/// Fetches from the start of partition 0 that wait for `min_bytes`.
fn waiting_for(topic: &Topic, min_bytes: i32) -> FetchRequest {
    fetch_request(topic, vec![fetch_partition(0, 0)])
        .with_min_bytes(min_bytes)
        .with_max_wait_ms(LONG_WAIT_MS)
}

/// Every version reads; up to 12 by the topic's name, from 13 by its id.
#[tokio::test]
async fn every_version_reads() {
    let topic = Topic::create(1).await;
    let mut client = RawClient::connect().await;
    append(&mut client, &topic, 0, &Batch::of(["one", "two"])).await;
    for version in 4..=16 {
        let partitions = vec![fetch_partition(0, 0)];
        let request = if version >= 13 {
            fetch_request_by_id(&topic, partitions)
        } else {
            fetch_request(&topic, partitions)
        };
        // Before sessions (version 7) there is no epoch to say "none" with; the encoder insists on the default.
        let request = if version >= 7 {
            request
        } else {
            request.with_session_epoch(0)
        };
        let response = client.send(version, request).await;
        assert_eq!(
            (response.session_id, response.throttle_time_ms),
            (0, 0),
            "version {version}"
        );
        let answer = fetched(response);
        assert_eq!(answer.error_code.err(), None, "version {version}");
        assert_eq!(
            (answer.high_watermark, answer.last_stable_offset),
            (2, 2),
            "version {version}"
        );
        if version >= 5 {
            assert_eq!(answer.log_start_offset, 0, "version {version}");
        }
        assert_eq!(
            answer.preferred_read_replica,
            BrokerId(-1),
            "version {version}"
        );
        assert_eq!(
            values(&decode(answer.records)),
            ["one", "two"],
            "version {version}"
        );
    }
}

/// "Return whole batches from the one *containing* the offset (clients skip)."
#[tokio::test]
async fn a_batch_is_returned_whole() {
    let topic = Topic::create(1).await;
    let mut client = RawClient::connect().await;
    append(&mut client, &topic, 0, &Batch::of(["a", "b"])).await;
    append(&mut client, &topic, 0, &Batch::of(["c", "d", "e"])).await;
    append(&mut client, &topic, 0, &Batch::of(["f"])).await;
    for (offset, expected) in [
        (2, "cdef"),
        (3, "cdef"),
        (4, "cdef"),
        (5, "f"),
        (1, "abcdef"),
    ] {
        let records = decode(fetch(&mut client, &topic, 0, offset).await.records);
        assert_eq!(values(&records).concat(), expected, "from {offset}");
    }
}

/// "offset == HW => empty", and "records field **empty, never null**" (librdkafka rejects a length of -1).
#[tokio::test]
async fn at_the_end_there_is_nothing_yet() {
    let topic = Topic::create(1).await;
    let mut client = RawClient::connect().await;
    let empty = fetch(&mut client, &topic, 0, 0).await;
    assert_eq!((empty.error_code.err(), empty.high_watermark), (None, 0));
    assert_eq!(empty.records.expect("empty, not null").len(), 0);
    append(&mut client, &topic, 0, &Batch::of(["one"])).await;
    let end = fetch(&mut client, &topic, 0, 1).await;
    assert_eq!((end.error_code.err(), end.high_watermark), (None, 1));
    assert_eq!(end.records.expect("empty, not null").len(), 0);
}

/// "> HW or < log start => OFFSET_OUT_OF_RANGE(1)", records empty even then.
#[tokio::test]
async fn beyond_the_log_is_out_of_range() {
    let topic = Topic::create(1).await;
    let mut client = RawClient::connect().await;
    append(&mut client, &topic, 0, &Batch::of(["one"])).await;
    for offset in [2, 1_000_000, -1, -2] {
        let answer = fetch(&mut client, &topic, 0, offset).await;
        assert_eq!(
            answer.error_code.err(),
            Some(ResponseError::OffsetOutOfRange),
            "{offset}"
        );
        assert_eq!(answer.high_watermark, -1, "{offset}");
        assert_eq!(
            answer.records.expect("empty, not null").len(),
            0,
            "{offset}"
        );
    }
}

/// An unknown partition or topic has no error of the whole, only of its own; unknown ids are told from version 13.
#[tokio::test]
async fn unknown_topics_and_partitions_are_told() {
    let topic = Topic::create(1).await;
    let missing = Topic {
        name: unique("missing"),
        id: Uuid::new_v4(),
    };
    let mut client = RawClient::connect().await;
    for (topic, partition) in [(&topic, 1), (&topic, -1), (&missing, 0)] {
        let answer = fetch(&mut client, topic, partition, 0).await;
        assert_eq!(
            answer.error_code.err(),
            Some(ResponseError::UnknownTopicOrPartition),
            "{topic:?} {partition}"
        );
    }
    let answer = fetched(
        client
            .send(
                16,
                fetch_request_by_id(&missing, vec![fetch_partition(0, 0)]),
            )
            .await,
    );
    assert_eq!(answer.error_code.err(), Some(ResponseError::UnknownTopicId));
    let answer = fetched(
        client
            .send(16, fetch_request_by_id(&topic, vec![fetch_partition(7, 0)]))
            .await,
    );
    assert_eq!(
        answer.error_code.err(),
        Some(ResponseError::UnknownTopicOrPartition)
    );
}

/// Long poll: with nothing to read the answer comes when `max_wait` has passed, not before.
#[tokio::test]
async fn an_empty_fetch_waits() {
    let topic = Topic::create(1).await;
    let mut client = RawClient::connect().await;
    let start = Instant::now();
    let answer = fetched(
        client
            .send(FETCH_BY_NAME, waiting_for(&topic, 1).with_max_wait_ms(200))
            .await,
    );
    assert!(
        start.elapsed() >= Duration::from_millis(200),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(answer.error_code.err(), None);
    assert!(decode(answer.records).is_empty());
}

/// "Complete when min_bytes reached": the first record wakes a fetch that waits for one byte.
#[tokio::test]
async fn a_record_wakes_a_waiting_fetch() {
    let topic = Topic::create(1).await;
    let mut consumer = RawClient::connect().await;
    let mut producer = RawClient::connect().await;
    let parked = consumer.write(FETCH_BY_NAME, &waiting_for(&topic, 1)).await;
    consumer.no_response_within(Duration::from_millis(50)).await;
    append(&mut producer, &topic, 0, &Batch::of(["news"])).await;
    assert_eq!(
        values(&decode(fetched(consumer.read(parked).await).records)),
        ["news"]
    );
}

/// A fetch that waits for more bytes than one record has is not woken by one record.
#[tokio::test]
async fn a_fetch_waits_for_enough_bytes() {
    let topic = Topic::create(1).await;
    let mut consumer = RawClient::connect().await;
    let mut producer = RawClient::connect().await;
    append(&mut producer, &topic, 0, &Batch::of_size(100)).await;
    let parked = consumer
        .write(FETCH_BY_NAME, &waiting_for(&topic, 1000))
        .await;
    consumer.no_response_within(Duration::from_millis(50)).await;
    append(&mut producer, &topic, 0, &Batch::of_size(100)).await;
    consumer.no_response_within(Duration::from_millis(50)).await;
    append(&mut producer, &topic, 0, &Batch::of_size(1000)).await;
    assert_eq!(
        decode(fetched(consumer.read(parked).await).records).len(),
        3
    );
}

/// When `max_wait` has passed, what there is is returned though it is less than `min_bytes`.
#[tokio::test]
async fn after_the_wait_less_is_returned() {
    let topic = Topic::create(1).await;
    let mut client = RawClient::connect().await;
    append(&mut client, &topic, 0, &Batch::of(["little"])).await;
    let request = waiting_for(&topic, 1_000_000).with_max_wait_ms(100);
    assert_eq!(
        values(&decode(
            fetched(client.send(FETCH_BY_NAME, request).await).records
        )),
        ["little"]
    );
}

/// Bytes of all partitions count together, and a record in any of them wakes the fetch.
#[tokio::test]
async fn any_partition_wakes_a_waiting_fetch() {
    let topic = Topic::create(3).await;
    let mut consumer = RawClient::connect().await;
    let mut producer = RawClient::connect().await;
    let partitions = (0..3)
        .map(|partition| fetch_partition(partition, 0))
        .collect();
    let request = fetch_request(&topic, partitions)
        .with_min_bytes(1)
        .with_max_wait_ms(LONG_WAIT_MS);
    let parked = consumer.write(FETCH_BY_NAME, &request).await;
    append(&mut producer, &topic, 2, &Batch::of(["news"])).await;
    let answer = only(consumer.read(parked).await.responses).partitions;
    assert_eq!(answer.len(), 3);
    let second = answer
        .into_iter()
        .find(|partition| partition.partition_index == 2)
        .expect("partition 2");
    assert_eq!(values(&decode(second.records)), ["news"]);
}

/// "Any partition has an error" ends the wait: the others' silence does not hide an offset out of range.
#[tokio::test]
async fn an_offset_out_of_range_ends_the_wait() {
    let topic = Topic::create(2).await;
    let mut client = RawClient::connect().await;
    let request = fetch_request(&topic, vec![fetch_partition(0, 0), fetch_partition(1, 99)])
        .with_min_bytes(1)
        .with_max_wait_ms(LONG_WAIT_MS);
    let answer = only(client.send(FETCH_BY_NAME, request).await.responses).partitions;
    let errors: Vec<_> = answer
        .iter()
        .map(|partition| partition.error_code.err())
        .collect();
    assert_eq!(errors, [None, Some(ResponseError::OffsetOutOfRange)]);
}

/// Where no partition can be read there is nothing to wait for.
#[tokio::test]
async fn only_unknown_partitions_are_answered_at_once() {
    let topic = Topic::create(1).await;
    let mut client = RawClient::connect().await;
    let request = fetch_request(&topic, vec![fetch_partition(5, 0)])
        .with_min_bytes(1)
        .with_max_wait_ms(LONG_WAIT_MS);
    let answer = fetched(client.send(FETCH_BY_NAME, request).await);
    assert_eq!(
        answer.error_code.err(),
        Some(ResponseError::UnknownTopicOrPartition)
    );
}

/// A fetch of nothing has nothing to wait for.
#[tokio::test]
async fn a_fetch_of_nothing_is_answered_at_once() {
    let mut client = RawClient::connect().await;
    let request = FetchRequest::default()
        .with_session_epoch(-1)
        .with_min_bytes(1)
        .with_max_wait_ms(LONG_WAIT_MS);
    assert!(
        client
            .send(FETCH_BY_NAME, request)
            .await
            .responses
            .is_empty()
    );
}

/// "Or a watched topic is deleted": the waiting consumer hears of it.
#[tokio::test]
async fn deleting_the_topic_ends_the_wait() {
    let topic = Topic::create(1).await;
    let mut consumer = RawClient::connect().await;
    let mut admin = RawClient::connect().await;
    let parked = consumer.write(FETCH_BY_NAME, &waiting_for(&topic, 1)).await;
    consumer.no_response_within(Duration::from_millis(50)).await;
    let delete = DeleteTopicsRequest::default()
        .with_topic_names(vec![topic.topic_name()])
        .with_timeout_ms(10_000);
    admin.send(4, delete).await;
    let start = Instant::now();
    let answer = fetched(consumer.read(parked).await);
    assert!(start.elapsed() < DEADLINE);
    assert_eq!(
        answer.error_code.err(),
        Some(ResponseError::UnknownTopicOrPartition)
    );
}

/// "max_bytes (global and per partition) are soft: the first non-empty partition always returns its first batch whole."
#[tokio::test]
async fn the_first_batch_is_returned_whatever_the_limit() {
    let topic = Topic::create(2).await;
    let mut client = RawClient::connect().await;
    for partition in 0..2 {
        for _ in 0..2 {
            append(&mut client, &topic, partition, &Batch::of_size(500)).await;
        }
    }
    let both = vec![
        fetch_partition(0, 0).with_partition_max_bytes(1),
        fetch_partition(1, 0).with_partition_max_bytes(1),
    ];
    for max_bytes in [1, i32::MAX] {
        let request = fetch_request(&topic, both.clone()).with_max_bytes(max_bytes);
        let answer = only(client.send(FETCH_BY_NAME, request).await.responses).partitions;
        let counts: Vec<_> = answer
            .into_iter()
            .map(|partition| decode(partition.records).len())
            .collect();
        assert_eq!(
            counts,
            [1, 0],
            "one batch, of the first partition that has any; max_bytes {max_bytes}"
        );
    }
}

/// Below the limits, as many whole batches as fit are returned.
#[tokio::test]
async fn whole_batches_fill_the_limit() {
    let topic = Topic::create(1).await;
    let mut client = RawClient::connect().await;
    for _ in 0..5 {
        append(&mut client, &topic, 0, &Batch::of_size(500)).await;
    }
    let size = Batch::of_size(500).encode().len() as i32;
    for (limit, expected) in [(size, 1), (2 * size, 2), (3 * size, 3), (100 * size, 5)] {
        let by_partition = fetch_request(
            &topic,
            vec![fetch_partition(0, 0).with_partition_max_bytes(limit)],
        );
        let by_request = fetch_request(&topic, vec![fetch_partition(0, 0)]).with_max_bytes(limit);
        for request in [by_partition, by_request] {
            let answer = fetched(client.send(FETCH_BY_NAME, request).await);
            assert_eq!(decode(answer.records).len(), expected, "limit {limit}");
        }
    }
}

/// The last fetched epoch (version 12): one that the log knows reads on; with one from the future the offset cannot be of
/// this log.
#[tokio::test]
async fn the_last_fetched_epoch_is_checked() {
    let topic = Topic::create(1).await;
    let mut client = RawClient::connect().await;
    append(&mut client, &topic, 0, &Batch::of(["one"])).await;
    for (epoch, expected) in [
        (-1, None),
        (0, None),
        (5, Some(ResponseError::OffsetOutOfRange)),
    ] {
        let request = fetch_request(
            &topic,
            vec![fetch_partition(0, 1).with_last_fetched_epoch(epoch)],
        );
        let answer = fetched(client.send(FETCH_BY_NAME, request).await);
        assert_eq!(
            (answer.error_code.err(), answer.diverging_epoch.epoch),
            (expected, -1),
            "epoch {epoch}"
        );
    }
}

/// "FETCH_SESSION_ID_NOT_FOUND(70)" for a session nobody opened; "epoch -1 = none (id>0 closes it)".
#[tokio::test]
async fn an_unknown_session_is_told() {
    let topic = Topic::create(1).await;
    let mut client = RawClient::connect().await;
    let request = fetch_request(&topic, vec![fetch_partition(0, 0)])
        .with_session_id(4711)
        .with_session_epoch(3);
    let answer = client.send(FETCH_BY_NAME, request).await;
    assert_eq!(
        answer.error_code.err(),
        Some(ResponseError::FetchSessionIdNotFound)
    );
    assert!(answer.responses.is_empty());
    let closing = fetch_request(&topic, vec![fetch_partition(0, 0)])
        .with_session_id(4711)
        .with_session_epoch(-1);
    assert_eq!(
        client.send(FETCH_BY_NAME, closing).await.error_code.err(),
        None
    );
}

/// Whoever asks for a session gets the data in full, with a session or without one.
#[tokio::test]
async fn asking_for_a_session_reads_in_full() {
    let topic = Topic::create(1).await;
    let mut client = RawClient::connect().await;
    append(&mut client, &topic, 0, &Batch::of(["one"])).await;
    let request = fetch_request(&topic, vec![fetch_partition(0, 0)]).with_session_epoch(0);
    let answer = client.send(FETCH_BY_NAME, request).await;
    assert!(answer.session_id >= 0);
    assert_eq!(values(&decode(fetched(answer).records)), ["one"]);
}

/// "read_uncommitted: aborted list null"; read_committed lists none where there were no transactions.
#[tokio::test]
async fn without_transactions_nothing_was_aborted() {
    let topic = Topic::create(1).await;
    let mut client = RawClient::connect().await;
    append(&mut client, &topic, 0, &Batch::of(["one"])).await;
    let request = fetch_request(&topic, vec![fetch_partition(0, 0)]);
    let uncommitted = fetched(
        client
            .send(FETCH_BY_NAME, request.clone().with_isolation_level(0))
            .await,
    );
    assert!(
        uncommitted.aborted_transactions.is_none(),
        "{uncommitted:?}"
    );
    let committed = fetched(
        client
            .send(FETCH_BY_NAME, request.with_isolation_level(1))
            .await,
    );
    assert_eq!(committed.aborted_transactions.as_deref(), Some(&[][..]));
    assert_eq!(values(&decode(committed.records)), ["one"]);
}

/// Topics and partitions are answered in the order asked, each once.
#[tokio::test]
async fn topics_are_answered_in_the_order_asked() {
    let (one, two) = (Topic::create(2).await, Topic::create(1).await);
    let mut client = RawClient::connect().await;
    append(&mut client, &one, 1, &Batch::of(["one"])).await;
    append(&mut client, &two, 0, &Batch::of(["two"])).await;
    let mut request = fetch_request(&two, vec![fetch_partition(0, 0)]).with_max_bytes(i32::MAX);
    let partitions = vec![fetch_partition(1, 0), fetch_partition(0, 0)];
    request.topics.push(
        FetchTopic::default()
            .with_topic(one.topic_name())
            .with_partitions(partitions),
    );
    let answer = client.send(FETCH_BY_NAME, request).await.responses;
    let seen: Vec<_> = answer
        .into_iter()
        .flat_map(|topic| {
            let name = topic.topic.to_string();
            topic.partitions.into_iter().map(move |partition| {
                (
                    name.clone(),
                    partition.partition_index,
                    values(&decode(partition.records)).concat(),
                )
            })
        })
        .collect();
    let expected = [
        (two.name.clone(), 0, "two".to_owned()),
        (one.name.clone(), 1, "one".to_owned()),
        (one.name.clone(), 0, String::new()),
    ];
    assert_eq!(seen, expected);
}

/// A client that goes away while it waits takes nothing with it: the next one is served.
#[tokio::test]
async fn a_client_may_leave_while_it_waits() {
    let topic = Topic::create(1).await;
    let mut leaving = RawClient::connect().await;
    let _parked = leaving.write(FETCH_BY_NAME, &waiting_for(&topic, 1)).await;
    leaving.no_response_within(Duration::from_millis(50)).await;
    drop(leaving);
    let mut client = RawClient::connect().await;
    append(&mut client, &topic, 0, &Batch::of(["one"])).await;
    assert_eq!(
        values(&decode(fetch(&mut client, &topic, 0, 0).await.records)),
        ["one"]
    );
}
