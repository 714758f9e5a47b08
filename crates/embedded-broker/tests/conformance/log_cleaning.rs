//! Segments, retention and compaction: which records stay, and what a reader sees of those that went.
//!
//! A segment is closed by a batch that is later than its first by more than `segment.ms`, so the cases choose their
//! records' timestamps. Apache Kafka looks after its logs every half second here, the embedded broker every second.

use std::collections::BTreeMap;

use bytes::{Buf, Bytes};
use kafka_protocol::error::{ParseResponseErrorCode, ResponseError};
use rdkafka::consumer::{Consumer, StreamConsumer};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};

use crate::support::broker::broker;
use crate::support::raw::RawClient;
use crate::support::records::{Batch, decode, now, position};
use crate::support::topic::{EARLIEST, Topic, append, fetch, list_offset, produce};
use crate::support::wait::{DEADLINE, eventually, within};

const SECOND: i64 = 1_000;
const HOUR: i64 = 3_600 * SECOND;

/// Compacted as soon as a segment is closed; each batch that is a second later than the one before closes one.
const COMPACTED: [(&str, &str); 3] = [
    ("cleanup.policy", "compact"),
    ("segment.ms", "500"),
    ("min.cleanable.dirty.ratio", "0.001"),
];

/// A topic with one partition, that many seconds of which lie in the past.
struct Log {
    topic: Topic,
    client: RawClient,
    /// The time of the next batch.
    time: i64,
}

/// The header of a batch as it is fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Header {
    base_offset: i64,
    last_offset: i64,
    attributes: i16,
    base_timestamp: i64,
    record_count: i32,
    bytes: Bytes,
}

impl Log {
    async fn create(configs: &[(&'static str, &'static str)]) -> Self {
        Self {
            topic: Topic::create_with(1, configs).await,
            client: RawClient::connect().await,
            time: now() - HOUR,
        }
    }

    /// A compacted topic with further configurations.
    async fn compacted(configs: &[(&'static str, &'static str)]) -> Self {
        Self::create(&[&COMPACTED, configs].concat()).await
    }

    /// Appends a batch in a segment of its own.
    async fn append(&mut self, batch: Batch) -> i64 {
        self.time += SECOND;
        let batch = batch.made_at(self.time);
        append(&mut self.client, &self.topic, 0, &batch).await
    }

    /// Appends records with these keys, and a null value where the key begins with `-`.
    async fn keys(&mut self, keys: &[&str]) -> i64 {
        let pairs: Vec<_> = keys
            .iter()
            .map(|key| match key.strip_prefix('-') {
                Some(key) => (Some(key), None),
                None => (Some(*key), Some("value")),
            })
            .collect();
        self.append(Batch::keyed(&pairs)).await
    }

    /// Every batch there is, as a consumer fetches one after the other.
    async fn batches(&mut self) -> Vec<Header> {
        let start = list_offset(&mut self.client, &self.topic, 0, EARLIEST).await;
        let mut offset = start.offset;
        let mut batches = Vec::new();
        loop {
            let answer = fetch(&mut self.client, &self.topic, 0, offset).await;
            if answer.error_code.err() == Some(ResponseError::OffsetOutOfRange) {
                // Retention was faster: the next look will see what it left.
                return Vec::new();
            }
            assert_eq!(answer.error_code.err(), None, "fetch from {offset}");
            let fetched = headers(answer.records.expect("empty, never null"));
            let Some(last) = fetched.last() else {
                assert_eq!(
                    offset, answer.high_watermark,
                    "nothing but the end is empty"
                );
                return batches;
            };
            offset = last.last_offset + 1;
            batches.extend(fetched);
        }
    }

    /// Key and offset of every record.
    async fn records(&mut self) -> Vec<(i64, String)> {
        let batches = self.batches().await;
        let batches = batches.into_iter().filter(|batch| batch.record_count > 0);
        let records = batches.flat_map(|batch| decode(Some(batch.bytes)));
        records
            .map(|record| {
                let key = record.key.expect("records here have keys");
                (record.offset, String::from_utf8_lossy(&key).into_owned())
            })
            .collect()
    }

    /// Waits until these are the records, and no others.
    async fn settles_at(&mut self, expected: &[(i64, &str)]) {
        let expected: Vec<_> = expected
            .iter()
            .map(|(offset, key)| (*offset, (*key).to_owned()))
            .collect();
        let missing = format!("a log of {expected:?}");
        let mut last = Vec::new();
        let settled = eventually(DEADLINE, &missing, async || {
            last = self.records().await;
            (last == expected).then_some(())
        });
        settled.await;
    }

    async fn start(&mut self) -> i64 {
        let answer = list_offset(&mut self.client, &self.topic, 0, EARLIEST).await;
        assert_eq!(answer.error_code.err(), None);
        answer.offset
    }

    async fn starts_at(&mut self, expected: i64) {
        let missing = format!("a log that starts at {expected}");
        eventually(DEADLINE, &missing, async || {
            (self.start().await == expected).then_some(())
        })
        .await;
    }
}

/// Takes fetched bytes apart.
fn headers(mut bytes: Bytes) -> Vec<Header> {
    let mut headers = Vec::new();
    while !bytes.is_empty() {
        let length = (&bytes[position::BATCH_LENGTH..]).get_i32();
        let batch = bytes.split_to(12 + usize::try_from(length).expect("a length"));
        let base_offset = (&batch[..]).get_i64();
        let last_offset_delta = (&batch[position::LAST_OFFSET_DELTA..]).get_i32();
        headers.push(Header {
            base_offset,
            last_offset: base_offset + i64::from(last_offset_delta),
            attributes: (&batch[position::ATTRIBUTES..]).get_i16(),
            base_timestamp: (&batch[position::BASE_TIMESTAMP..]).get_i64(),
            record_count: (&batch[position::RECORD_COUNT..]).get_i32(),
            bytes: batch,
        });
    }
    headers
}

/// Offset and key of as many records as librdkafka reads from the start.
async fn consume(topic: &Topic, count: usize) -> Vec<(i64, String)> {
    let consumer: StreamConsumer = ClientConfig::new()
        .set("bootstrap.servers", broker().await)
        .set("group.id", &topic.name)
        .create()
        .expect("a consumer");
    let mut assignment = TopicPartitionList::new();
    assignment
        .add_partition_offset(&topic.name, 0, Offset::Beginning)
        .expect("an assignment");
    consumer.assign(&assignment).expect("assigned");
    let mut records = Vec::new();
    for _ in 0..count {
        let record = within(DEADLINE, "a record", consumer.recv()).await;
        let record = record.expect("a record");
        let key = record.key().expect("a key");
        records.push((record.offset(), String::from_utf8_lossy(key).into_owned()));
    }
    records
}

/// `retention.ms`: segments whose last record is too old go, the active one too; the others stay.
#[tokio::test]
async fn old_segments_are_deleted() {
    let mut log = Log::create(&[("segment.ms", "500"), ("retention.ms", "1800000")]).await;
    log.keys(&["a", "b"]).await;
    log.keys(&["c"]).await;
    log.starts_at(3).await;
    assert_eq!(log.records().await, []);
    log.keys(&["old"]).await;
    log.time = now() - SECOND;
    log.keys(&["young"]).await;
    log.starts_at(4).await;
    assert_eq!(log.records().await, [(4, "young".to_owned())]);
}

/// `retention.bytes`: the oldest segments go as long as the others hold that much.
#[tokio::test]
async fn a_log_is_kept_to_its_size() {
    let mut log = Log::create(&[("segment.ms", "500"), ("retention.bytes", "250000")]).await;
    for _ in 0..5 {
        log.append(Batch::of_size(100_000)).await;
    }
    log.starts_at(2).await;
    assert_eq!(log.batches().await.len(), 3);
}

/// `segment.bytes` closes a segment, and the next batch opens one: retention deletes whole segments only.
#[tokio::test]
async fn segments_have_a_size() {
    let configs = [("segment.bytes", "1048576"), ("retention.bytes", "1000000")];
    let mut log = Log::create(&configs).await;
    // Three fit into a segment, and two segments hold more than enough.
    for _ in 0..7 {
        append(&mut log.client, &log.topic, 0, &Batch::of_size(300_000)).await;
    }
    log.starts_at(3).await;
}

/// A batch that no segment can hold: RECORD_LIST_TOO_LARGE(18).
#[tokio::test]
async fn a_batch_has_to_fit_into_a_segment() {
    let configs = [
        ("segment.bytes", "1048576"),
        ("max.message.bytes", "3000000"),
    ];
    let mut log = Log::create(&configs).await;
    let batch = Batch::of_size(1_100_000).encode();
    let answer = produce(&mut log.client, &log.topic, 0, batch).await;
    assert_eq!(
        answer.error_code.err(),
        Some(ResponseError::RecordListTooLarge)
    );
}

/// Of the records with one key the last stays, at its offset; a fetch from a gap reads on behind it; the active segment is
/// left as it is.
#[tokio::test]
async fn the_last_record_of_each_key_stays() {
    let mut log = Log::compacted(&[]).await;
    log.keys(&["a", "b", "a"]).await;
    log.keys(&["b", "b", "c"]).await;
    log.keys(&["c", "d"]).await;
    log.keys(&["a", "a", "d"]).await;
    log.settles_at(&[
        (2, "a"),
        (4, "b"),
        (6, "c"),
        (7, "d"),
        (8, "a"),
        (9, "a"),
        (10, "d"),
    ])
    .await;
    for (offset, first) in [(0, 2), (3, 4), (5, 6), (10, 10)] {
        let answer = fetch(&mut log.client, &log.topic, 0, offset).await;
        assert_eq!(answer.error_code.err(), None);
        let records = decode(answer.records);
        let seen = records.iter().map(|record| record.offset);
        let seen = seen.filter(|seen| *seen >= offset).min();
        assert_eq!(seen, Some(first), "from {offset}");
    }
    // A later segment with those keys, and one more to close it.
    log.keys(&["d", "e"]).await;
    log.keys(&["f"]).await;
    log.settles_at(&[
        (4, "b"),
        (6, "c"),
        (9, "a"),
        (11, "d"),
        (12, "e"),
        (13, "f"),
    ])
    .await;
    assert_eq!(log.start().await, 0, "compaction does not move the start");
}

/// What a compaction leaves of a batch is read with its own timestamps, and found by them.
#[tokio::test]
async fn timestamps_stay() {
    let mut log = Log::compacted(&[]).await;
    let first = log.time;
    log.keys(&["a", "b"]).await;
    log.keys(&["-a"]).await;
    log.keys(&["c"]).await;
    log.settles_at(&[(1, "b"), (2, "a"), (3, "c")]).await;
    let batches = log.batches().await;
    let records = batches
        .into_iter()
        .flat_map(|batch| decode(Some(batch.bytes)));
    let times: BTreeMap<_, _> = records
        .map(|record| (record.offset, record.timestamp))
        .collect();
    let expected = [
        (1, first + SECOND),
        (2, first + 2 * SECOND),
        (3, first + 3 * SECOND),
    ];
    assert_eq!(times, BTreeMap::from(expected));
    for (offset, time) in expected {
        let found = list_offset(&mut log.client, &log.topic, 0, time).await;
        assert_eq!((found.offset, found.timestamp), (offset, time));
    }
}

/// A tombstone stays for `delete.retention.ms` after the first compaction that met it, which notes the end of that time in
/// the batch (KIP-534), and goes with the first compaction after it.
#[tokio::test]
async fn tombstones_go_when_their_time_has_come() {
    let mut log = Log::compacted(&[("delete.retention.ms", "1500")]).await;
    let before = now();
    log.keys(&["a", "b"]).await;
    log.keys(&["-a"]).await;
    log.keys(&["c"]).await;
    log.settles_at(&[(1, "b"), (2, "a"), (3, "c")]).await;
    let batches = log.batches().await;
    let tombstone = batches.iter().find(|batch| batch.base_offset == 2);
    let tombstone = tombstone.expect("the batch with the tombstone").clone();
    assert_eq!(tombstone.attributes & 0x40, 0x40, "delete horizon");
    let horizon = tombstone.base_timestamp;
    assert!(
        (before + 1_500..=now() + 1_500).contains(&horizon),
        "{horizon}"
    );
    // Another compaction before that time leaves it alone.
    log.keys(&["b"]).await;
    log.keys(&["d"]).await;
    log.settles_at(&[(2, "a"), (3, "c"), (4, "b"), (5, "d")])
        .await;
    eventually(DEADLINE, "the delete horizon", async || {
        (now() > horizon).then_some(())
    })
    .await;
    log.keys(&["e"]).await;
    log.settles_at(&[(3, "c"), (4, "b"), (5, "d"), (6, "e")])
        .await;
}

/// A producer's last batch stays, if only as a header: its sequence numbers can still be compared.
#[tokio::test]
async fn a_producers_last_batch_stays() {
    let mut log = Log::compacted(&[]).await;
    let sent = |first_sequence| {
        Batch::keyed(&[(Some("a"), Some("1")), (Some("b"), Some("2"))]).from_producer(
            4_711_002,
            3,
            first_sequence,
        )
    };
    log.append(sent(0)).await;
    log.append(sent(2)).await;
    log.keys(&["a", "b"]).await;
    log.keys(&["c"]).await;
    log.settles_at(&[(4, "a"), (5, "b"), (6, "c")]).await;
    let batches = log.batches().await;
    let emptied = &batches[0];
    assert_eq!((emptied.base_offset, emptied.last_offset), (2, 3));
    assert_eq!((emptied.record_count, emptied.bytes.len()), (0, 61));
    let again = produce(&mut log.client, &log.topic, 0, sent(2).encode()).await;
    assert_eq!((again.error_code.err(), again.base_offset), (None, 2));
}

/// `min.compaction.lag.ms`: segments with young records are not compacted yet.
#[tokio::test]
async fn young_records_are_not_compacted() {
    let mut log = Log::compacted(&[("min.compaction.lag.ms", "600000")]).await;
    log.keys(&["a", "a"]).await;
    log.time = now() - 10 * SECOND;
    log.keys(&["a", "a"]).await;
    log.keys(&["b"]).await;
    log.settles_at(&[(1, "a"), (2, "a"), (3, "a"), (4, "b")])
        .await;
}

/// `max.compaction.lag.ms`: old records are compacted even where too little is new for `min.cleanable.dirty.ratio`.
#[tokio::test]
async fn old_records_are_compacted() {
    let mut log = Log::create(&[
        ("cleanup.policy", "compact"),
        ("segment.ms", "500"),
        ("min.cleanable.dirty.ratio", "1"),
        ("max.compaction.lag.ms", "60000"),
    ])
    .await;
    log.keys(&["a", "a"]).await;
    log.keys(&["b"]).await;
    log.settles_at(&[(1, "a"), (2, "b")]).await;
}

/// `cleanup.policy=compact,delete`: compacted, and old segments go all the same.
#[tokio::test]
async fn compacted_logs_may_have_a_retention() {
    let configs = [
        ("cleanup.policy", "compact,delete"),
        ("retention.ms", "1800000"),
    ];
    let mut log = Log::compacted(&configs).await;
    log.keys(&["old"]).await;
    log.time = now() - 60 * SECOND;
    log.keys(&["a", "a"]).await;
    // Compaction may put closed segments together, and the youngest record of a segment keeps all of it: the old one must
    // go while the next segment is still written to.
    log.starts_at(1).await;
    log.keys(&["b"]).await;
    log.settles_at(&[(2, "a"), (3, "b")]).await;
}

/// Batches stay compressed as they were, and librdkafka reads what is left of them.
async fn stays_compressed(codec: &str, number: i16) {
    let mut log = Log::compacted(&[]).await;
    let producer: FutureProducer = ClientConfig::new()
        .set("bootstrap.servers", broker().await)
        .set("compression.codec", codec)
        .set("linger.ms", "200")
        .create()
        .expect("a producer");
    let value = "compressible ".repeat(200);
    for keys in [["a", "b", "a"], ["b", "c", "d"]] {
        log.time += SECOND;
        let sent = keys.map(|key| {
            let record = FutureRecord::to(&log.topic.name)
                .key(key)
                .payload(&value)
                .partition(0)
                .timestamp(log.time);
            producer.send_result(record).expect("room in the queue")
        });
        for delivery in sent {
            delivery.await.expect("a report").expect("delivered");
        }
    }
    log.keys(&["e"]).await;
    let seen = eventually(DEADLINE, "a compacted log", async || {
        let seen = log.batches().await;
        (seen[0].record_count == 1).then_some(seen)
    })
    .await;
    let codecs: Vec<_> = seen.iter().map(|batch| batch.attributes & 7).collect();
    assert_eq!(codecs, [number, number, 0]);
    let left = [(2, "a"), (3, "b"), (4, "c"), (5, "d"), (6, "e")];
    let left = left.map(|(offset, key)| (offset, key.to_owned()));
    assert_eq!(consume(&log.topic, left.len()).await, left);
}

#[tokio::test]
async fn gzip_stays_gzip() {
    stays_compressed("gzip", 1).await;
}

#[tokio::test]
async fn snappy_stays_snappy() {
    stays_compressed("snappy", 2).await;
}

#[tokio::test]
async fn lz4_stays_lz4() {
    stays_compressed("lz4", 3).await;
}
