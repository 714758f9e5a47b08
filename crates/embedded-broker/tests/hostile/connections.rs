//! Too many connections, and clients that are slow.

use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::{FetchRequest, MetadataRequest, MetadataResponse};
use kafka_protocol::protocol::Decodable;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::server::Server;
use crate::support::raw::{RawClient, request_frame};
use crate::support::records::Batch;
use crate::support::topic::{FETCH_BY_NAME, append, topic_name};
use crate::support::wait::{DEADLINE, eventually, within};

/// Lets this process, and the brokers that it starts, open as many files as it may.
fn allow_many_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let current = maximum;
    setrlimit(Resource::Nofile, Rlimit { current, maximum }).expect("raise the limit");
}

#[tokio::test]
async fn two_thousand_idle_connections_are_kept_at_little_cost() {
    allow_many_files();
    let server = Server::start();
    let witness = server.witness().await;
    let (files, before) = (server.open_files(), server.resident());
    let metadata = request_frame(12, 1, &MetadataRequest::default());
    let mut idle = Vec::new();
    for number in 0..2_000 {
        let mut connection = server.connect().await;
        // Every other one has begun to say something.
        if number % 2 == 0 {
            connection.write_all(&metadata[..7]).await.expect("write");
        }
        idle.push(connection);
    }
    eventually(DEADLINE, "2,000 connections", async || {
        (server.open_files() >= files + 1_990).then_some(())
    })
    .await;
    let grown = server.resident() - before;
    println!("2,000 idle connections take {grown} MiB");
    assert!(grown <= 64, "they take {grown} MiB");
    for connection in idle.iter_mut().step_by(2) {
        connection.write_all(&metadata[7..]).await.expect("write");
        let length = within(DEADLINE, "an answer", connection.read_i32()).await;
        assert!(length.expect("the length of an answer") > 0);
    }
    witness.was_served().await;
    drop(idle);
    server.gives_up_connections(files).await;
    server.comes_to_rest().await;
    server.end();
}

/// 40 clients ask for 40 times 20 answers of 50 MiB.
#[tokio::test]
async fn clients_that_never_read_do_not_take_all_memory() {
    let server = Server::start();
    let topic = server.topic("large", 50, &[]).await;
    let mut client = server.client().await;
    let batch = Batch::of_size(1_000_000);
    for partition in 0..50 {
        append(&mut client, &topic, partition, &batch).await;
    }
    let witness = server.witness().await;
    let before = server.resident();
    let partitions = (0..50).map(|index| {
        FetchPartition::default()
            .with_partition(index)
            .with_partition_max_bytes(i32::MAX)
    });
    let topic = FetchTopic::default()
        .with_topic(topic.topic_name())
        .with_partitions(partitions.collect());
    let request = FetchRequest::default()
        .with_session_epoch(-1)
        .with_max_bytes(i32::MAX)
        .with_topics(vec![topic]);
    let requests = request_frame(FETCH_BY_NAME, 1, &request).repeat(20);
    let mut silent = Vec::new();
    for _ in 0..40 {
        let mut client = RawClient::connect_with_small_buffer(&server.address).await;
        client.write_bytes(&requests).await;
        silent.push(client);
    }
    eventually(DEADLINE, "200 MiB that nobody reads", async || {
        (server.resident() >= before + 200).then_some(())
    })
    .await;
    // Each of them has had its turn when one that came later is served.
    let mut last = server.connect().await;
    last.write_all(&requests).await.expect("write");
    let length = within(DEADLINE, "an answer", last.read_i32()).await;
    assert!(length.expect("the length of an answer") >= 1_000_000);
    witness.was_served().await;
    let grown = server.peak() - before;
    println!("40 clients that never read take {grown} MiB");
    // 256 MiB, the answer that passes them twice (gathered and encoded), and a batch for each of the others.
    assert!(grown <= 256 + 2 * 55 + 40 + 20, "they take {grown} MiB");
    drop((silent, last));
    eventually(DEADLINE, "the memory to be given back", async || {
        (server.resident() <= before + 64).then_some(())
    })
    .await;
    server.comes_to_rest().await;
    server.end();
}

#[tokio::test]
async fn a_request_that_comes_and_is_read_byte_by_byte_is_answered() {
    let server = Server::start();
    let witness = server.witness().await;
    let mut connection = server.connect().await;
    connection.set_nodelay(true).expect("set TCP_NODELAY");
    let all = MetadataRequest::default().with_topics(None);
    for byte in request_frame(12, 7, &all).iter() {
        connection.write_all(&[*byte]).await.expect("write");
        tokio::task::yield_now().await;
    }
    let reading = async {
        let mut frame = Vec::new();
        let length = connection.read_i32().await.expect("a length");
        for _ in 0..length {
            frame.push(connection.read_u8().await.expect("a byte"));
        }
        frame
    };
    let frame = within(DEADLINE, "the whole answer", reading).await;
    // Correlation id and tagged fields.
    assert_eq!(frame[..5], [0, 0, 0, 7, 0]);
    let mut body = bytes::Bytes::from(frame).split_off(5);
    let answer = MetadataResponse::decode(&mut body, 12).expect("an answer");
    assert_eq!(answer.topics[0].name, Some(topic_name("witnessed")));
    witness.was_served().await;
    server.end();
}
