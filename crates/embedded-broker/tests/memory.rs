//! Memory that records take, and give back when they are deleted: measured as the operating system counts it.
//!
//! A test binary of its own, and its cases one after the other: they measure the whole process.
#![cfg(target_os = "linux")]
// A test that cannot go on says so by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
// Each test binary uses a part of what they share.
#![allow(dead_code)]

#[path = "support/mod.rs"]
mod support;

use embedded_broker::Broker;
use kafka_protocol::messages::DeleteRecordsRequest;
use kafka_protocol::messages::delete_records_request::{
    DeleteRecordsPartition, DeleteRecordsTopic,
};

use support::raw::RawClient;
use support::records::Batch;
use support::topic::{EARLIEST, LATEST, Topic, append, creatable, list_offset, only};
use support::wait::{DEADLINE, eventually};

const MIB: usize = 1 << 20;

/// Resident memory of this process in bytes.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("the process's status");
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .expect("the line with the resident memory");
    let kilobytes = line.trim().trim_end_matches(" kB");
    kilobytes.parse::<usize>().expect("a number") * 1024
}

async fn create(client: &mut RawClient, name: &str) -> Topic {
    let request = kafka_protocol::messages::CreateTopicsRequest::default()
        .with_topics(vec![creatable(name, 1)])
        .with_timeout_ms(10_000);
    let result = only(client.send(7, request).await.topics);
    assert_eq!(result.error_code, 0, "{:?}", result.error_message);
    Topic {
        name: name.to_owned(),
        id: result.topic_id,
    }
}

async fn delete_all(client: &mut RawClient, topic: &Topic) {
    let partition = DeleteRecordsPartition::default().with_offset(-1);
    let about = DeleteRecordsTopic::default()
        .with_name(topic.topic_name())
        .with_partitions(vec![partition]);
    let request = DeleteRecordsRequest::default().with_topics(vec![about]);
    let answer = client.send(2, request).await;
    assert_eq!(only(only(answer.topics).partitions).error_code, 0);
}

/// Records take about their own size, and nothing once they are deleted; beyond `max_memory` the oldest make room.
#[tokio::test]
async fn deleted_records_give_their_memory_back() {
    let broker = Broker::builder().max_memory(200 * MIB).start().await;
    let broker = broker.expect("start the broker");
    let mut client = RawClient::connect_to(&broker.bootstrap_servers()).await;
    let large = create(&mut client, "large").await;
    let other = create(&mut client, "other").await;
    let batch = Batch::of_size(500_000);
    for topic in [&large, &other] {
        append(&mut client, topic, 0, &batch).await;
    }
    let before = resident();
    let taken = || resident().saturating_sub(before) / MIB;

    // Twice: an allocator may give back what it took from the system, and keep what it takes the second time.
    for round in ["first", "second"] {
        for _ in 0..150 {
            for topic in [&large, &other] {
                append(&mut client, topic, 0, &batch).await;
            }
        }
        assert!((140..170).contains(&taken()), "{round}: {} MiB", taken());

        // Side by side in memory with what stays: only what is mapped by itself can be given back.
        delete_all(&mut client, &large).await;
        eventually(DEADLINE, "memory to fall by half", async || {
            (taken() < 85).then_some(())
        })
        .await;
        delete_all(&mut client, &other).await;
        eventually(DEADLINE, "memory to fall", async || {
            (taken() < 15).then_some(())
        })
        .await;
    }

    for _ in 0..800 {
        append(&mut client, &large, 0, &batch).await;
    }
    assert!((170..230).contains(&taken()), "limited: {} MiB", taken());
    let start = list_offset(&mut client, &large, 0, EARLIEST).await.offset;
    let end = list_offset(&mut client, &large, 0, LATEST).await.offset;
    let kept = usize::try_from(end - start).expect("some are left") * 500_000 / MIB;
    assert!((180..=200).contains(&kept), "kept: {kept} MiB");
}
