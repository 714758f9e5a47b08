//! Batches of some kilobytes that decompress to millions of records.

use std::io::Write;

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::error::ParseResponseErrorCode;
use kafka_protocol::messages::ProduceRequest;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};

use super::server::Server;
use crate::support::topic::{PRODUCE, list_offset, only};

const PARTITIONS: i32 = 4;
const RECORDS: i32 = 1_000_000;
/// One record: its length, attributes, timestamp and offset deltas, key "k", no value, no headers.
const RECORD: [u8; 8] = [14, 0, 0, 0, 2, b'k', 1, 0];

/// A batch whose header is right, around what its codec made of the records.
fn batch(codec: i16, compressed: &[u8], count: i32) -> Bytes {
    let mut batch = BytesMut::new();
    batch.put_i64(0);
    batch.put_i32(49 + i32::try_from(compressed.len()).expect("a length"));
    batch.put_i32(-1);
    batch.put_i8(2);
    batch.put_u32(0);
    let checksummed = batch.len();
    batch.put_i16(codec);
    batch.put_i32(count - 1);
    batch.put_i64(1_700_000_000_000);
    // Later than any of its records: who looks for a time in between has to open it.
    batch.put_i64(1_900_000_000_000);
    batch.put_i64(-1);
    batch.put_i16(-1);
    batch.put_i32(-1);
    batch.put_i32(count);
    batch.put_slice(compressed);
    let checksum = crc32c::crc32c(&batch[checksummed..]);
    batch[checksummed - 4..checksummed].copy_from_slice(&checksum.to_be_bytes());
    batch.freeze()
}

/// Sends the bomb to several partitions of a topic whose records are looked into, and to one in which a time is looked up then.
async fn is_survived(name: &str, codec: i16, compressed: &[u8]) {
    let server = Server::start();
    let (large, slow) = (
        ("max.message.bytes", "10000000"),
        ("cleanup.policy", "compact"),
    );
    let compacted = server.topic("compacted", PARTITIONS, &[large, slow]).await;
    let plain = server.topic("plain", 1, &[large]).await;
    let witness = server.witness().await;
    let before = server.resident();
    let bomb = batch(codec, compressed, RECORDS);
    for (topic, partitions) in [(&compacted, PARTITIONS), (&plain, 1)] {
        let data = (0..partitions).map(|index| {
            PartitionProduceData::default()
                .with_index(index)
                .with_records(Some(bomb.clone()))
        });
        let data = TopicProduceData::default()
            .with_name(topic.topic_name())
            .with_partition_data(data.collect());
        let request = ProduceRequest::default()
            .with_acks(-1)
            .with_timeout_ms(10_000)
            .with_topic_data(vec![data]);
        let answer = only(server.client().await.send(PRODUCE, request).await.responses);
        for partition in answer.partition_responses {
            // What it holds is what it says: there is nothing to refuse.
            assert_eq!(partition.error_code.err(), None);
        }
    }
    let mut client = server.client().await;
    let found = list_offset(&mut client, &plain, 0, 1_800_000_000_000).await;
    assert_eq!(found.error_code.err(), None);
    witness.was_served().await;
    let grown = server.peak() - before;
    println!("{name}: {} KiB take {grown} MiB", bomb.len() / 1024);
    assert!(grown <= 128, "{name}: {grown} MiB");
    server.comes_to_rest().await;
    server.end();
}

fn records(count: i32) -> Vec<u8> {
    RECORD.repeat(usize::try_from(count).expect("a count"))
}

fn gzipped(count: i32) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(&records(count)).expect("compress");
    encoder.finish().expect("compress")
}

/// A batch as clients send it.
pub(crate) fn gzip_batch(count: i32) -> Bytes {
    batch(1, &gzipped(count), count)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gzip() {
    is_survived("gzip", 1, &gzipped(RECORDS)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn snappy() {
    let compressed = snap::raw::Encoder::new().compress_vec(&records(RECORDS));
    is_survived("snappy", 2, &compressed.expect("compress")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lz4() {
    let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
    encoder.write_all(&records(RECORDS)).expect("compress");
    is_survived("lz4", 3, &encoder.finish().expect("compress")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn zstd() {
    let records = records(RECORDS);
    let level = ruzstd::encoding::CompressionLevel::Fastest;
    is_survived(
        "zstd",
        4,
        &ruzstd::encoding::compress_to_vec(records.as_slice(), level),
    )
    .await;
}
