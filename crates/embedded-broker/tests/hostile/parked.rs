//! Clients that hang up while their request waits for others: neither they nor what they sent is kept.

use std::time::Duration;

use kafka_protocol::messages::MetadataRequest;

use super::server::Server;
use crate::support::group::Member;
use crate::support::raw::request_frame;
use crate::support::records::Batch;
use crate::support::topic::{FETCH_BY_NAME, append, fetch, fetch_partition, fetch_request};
use crate::support::wait::{DEADLINE, eventually};

/// More than a connection reads ahead of a parked request, so that its end is behind bytes that nobody reads; no more than a
/// socket takes, or the end would wait outside.
fn unread() -> Vec<u8> {
    request_frame(12, 1, &MetadataRequest::default()).repeat(1_500)
}

/// Someone whose session lasts as long as this, with a member id.
async fn expected(server: &Server, session: Duration) -> Member {
    let mut member = Member::stranger_at("group", server.client().await);
    member.session_timeout_ms = session.as_millis().try_into().expect("milliseconds");
    member.introduce().await;
    member
}

/// Holds when `member` is the only one of its group again.
async fn is_alone(member: &mut Member) {
    eventually(DEADLINE, "a round without those who are gone", async || {
        member.is_told_to_rejoin().await;
        let joined = member.join().await;
        assert_eq!(joined.error_code, 0);
        (joined.members.len() == 1).then_some(())
    })
    .await;
    let synced = member.sync(&[(member.id.clone(), "all")]).await;
    assert_eq!(synced.error_code, 0);
}

#[tokio::test]
async fn members_that_hang_up_in_a_join_are_gone() {
    let server = Server::start();
    let witness = server.witness().await;
    let mut first = expected(&server, Duration::from_secs(30)).await;
    first.settle().await;
    let files = server.open_files();
    let mut joining = Vec::new();
    for number in 0..50 {
        let mut member = expected(&server, Duration::from_millis(200)).await;
        // Parked: `first` does not join before they are gone.
        let _never_read = member.start_join().await;
        if number % 2 == 0 {
            member.client.write_bytes(&unread()).await;
        }
        joining.push(member);
    }
    first.is_told_to_rejoin().await;
    drop(joining);
    server.gives_up_connections(files).await;
    let joined = first.join().await;
    println!("{} members in the round after", joined.members.len());
    is_alone(&mut first).await;
    witness.was_served().await;
    server.comes_to_rest().await;
    server.end();
}

#[tokio::test]
async fn a_member_that_hangs_up_in_a_sync_is_gone() {
    let server = Server::start();
    let witness = server.witness().await;
    let mut leader = expected(&server, Duration::from_secs(30)).await;
    leader.settle().await;
    let files = server.open_files();
    let mut follower = expected(&server, Duration::from_millis(200)).await;
    let join = follower.start_join().await;
    leader.is_told_to_rejoin().await;
    let joined = leader.join().await;
    assert_eq!(joined.members.len(), 2);
    follower.finish_join(join).await;
    // Parked: the leader does not sync before it is gone.
    let _never_read = follower.start_sync(&[]).await;
    follower.client.write_bytes(&unread()).await;
    drop(follower);
    server.gives_up_connections(files).await;
    is_alone(&mut leader).await;
    witness.was_served().await;
    server.comes_to_rest().await;
    server.end();
}

#[tokio::test]
async fn fetches_that_nobody_waits_for_are_gone() {
    let server = Server::start();
    let topic = server.topic("quiet", 100, &[]).await;
    let witness = server.witness().await;
    let (files, before) = (server.open_files(), server.resident());
    let partitions = (0..100).map(|partition| fetch_partition(partition, 0));
    let request = fetch_request(&topic, partitions.collect())
        .with_min_bytes(1)
        .with_max_wait_ms(i32::MAX);
    for _round in 0..3 {
        let mut waiting = Vec::new();
        for _ in 0..300 {
            let mut client = server.client().await;
            let _never_read = client.write(FETCH_BY_NAME, &request).await;
            waiting.push(client);
        }
        drop(waiting);
        server.gives_up_connections(files).await;
    }
    let grown = server.resident() - before;
    println!("900 fetches that are gone take {grown} MiB");
    assert!(grown <= 32, "{grown} MiB");
    let mut client = server.client().await;
    let offset = append(&mut client, &topic, 7, &Batch::of(["news"])).await;
    let found = fetch(&mut client, &topic, 7, offset).await.records;
    assert!(found.is_some_and(|records| !records.is_empty()));
    witness.was_served().await;
    server.comes_to_rest().await;
    server.end();
}
