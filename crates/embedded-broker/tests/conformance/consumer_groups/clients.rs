//! librdkafka members with `group.protocol=consumer`: what an application sees of all this.

use std::collections::BTreeSet;
use std::time::Duration;

use rdkafka::consumer::{CommitMode, Consumer as _};
use tokio::time::timeout;

use crate::support::broker::unique;
use crate::support::clients::{assigned, modern_consumer, take, until_assigned};
use crate::support::consumer_group::{describe, topic};
use crate::support::raw::RawClient;
use crate::support::records::Batch;
use crate::support::topic::{Topic, append};
use crate::support::wait::{DEADLINE, eventually};

/// Appends a record to each partition.
async fn append_everywhere(topic: &Topic, partitions: i32, value: &str) {
    let mut client = RawClient::connect().await;
    for partition in 0..partitions {
        append(&mut client, topic, partition, &Batch::of([value])).await;
    }
}

/// Members come and go; a newcomer takes no more than its share, and together they have every partition once.
#[tokio::test]
async fn members_come_and_go() {
    let topic = topic(4).await;
    let group = unique("group");
    let first = modern_consumer(&group, &[&topic.name], &[]).await;
    until_assigned(&[&first], &[4]).await;
    let second = modern_consumer(&group, &[&topic.name], &[]).await;
    until_assigned(&[&first, &second], &[2, 2]).await;
    let before = [assigned(&first), assigned(&second)];

    let third = modern_consumer(&group, &[&topic.name], &[]).await;
    eventually(DEADLINE, "a share for each", async || {
        for consumer in [&first, &second, &third] {
            // Serves the consumer's rebalances; there is nothing to read.
            let _silence = timeout(Duration::from_millis(10), consumer.recv()).await;
        }
        let shares = [&first, &second, &third].map(assigned);
        let mut all = shares.concat();
        all.sort_unstable();
        (!shares[2].is_empty() && all == [0, 1, 2, 3]).then_some(())
    })
    .await;
    for (now, before) in [assigned(&first), assigned(&second)].iter().zip(&before) {
        assert!(
            now.iter().all(|partition| before.contains(partition)),
            "{before:?} became {now:?}"
        );
    }
    drop(first);
    drop(second);
    until_assigned(&[&third], &[4]).await;
}

/// A group's work goes on where it was committed, whoever goes on with it.
#[tokio::test]
async fn a_new_member_resumes_after_the_commit() {
    let topic = topic(2).await;
    let group = unique("group");
    append_everywhere(&topic, 2, "before").await;
    let first = modern_consumer(&group, &[&topic.name], &[]).await;
    assert_eq!(take(&first, 2).await, ["before", "before"]);
    first
        .commit_consumer_state(CommitMode::Sync)
        .expect("commit");
    drop(first);
    append_everywhere(&topic, 2, "after").await;
    let second = modern_consumer(&group, &[&topic.name], &[]).await;
    assert_eq!(take(&second, 2).await, ["after", "after"]);
}

/// Bug 3 of §1.4: librdkafka says the empty regular expression for "none", and reads what it subscribed to and nothing else.
#[tokio::test]
async fn a_member_reads_what_it_subscribed_to() {
    let (wanted, other) = (topic(2).await, topic(2).await);
    append_everywhere(&other, 2, "other").await;
    append_everywhere(&wanted, 2, "wanted").await;
    let consumer = modern_consumer(&unique("group"), &[&wanted.name], &[]).await;
    assert_eq!(take(&consumer, 2).await, ["wanted", "wanted"]);
    until_assigned(&[&consumer], &[2]).await;
}

/// A subscription that begins with `^` is a regular expression, which the coordinator matches.
#[tokio::test]
async fn a_member_subscribes_by_pattern() {
    let topic = topic(3).await;
    append_everywhere(&topic, 3, "matched").await;
    let group = unique("group");
    let consumer = modern_consumer(&group, &[&format!("^{}$", topic.name)], &[]).await;
    assert_eq!(take(&consumer, 3).await, ["matched"; 3]);
    let described = describe(&mut RawClient::connect().await, &group).await;
    let pattern = described.members[0].subscribed_topic_regex.as_deref();
    assert_eq!(pattern, Some(format!("(^{}$)", topic.name).as_str()));
}

/// A static member that restarts gets its partitions back; the other member keeps its own throughout.
#[tokio::test]
async fn a_static_member_restarts() {
    let topic = topic(4).await;
    let group = unique("group");
    let fixed: &[_] = &[("group.instance.id", "fixed")];
    let restarting = modern_consumer(&group, &[&topic.name], fixed).await;
    until_assigned(&[&restarting], &[4]).await;
    let other = modern_consumer(&group, &[&topic.name], &[]).await;
    until_assigned(&[&restarting, &other], &[2, 2]).await;
    let before = [assigned(&restarting), assigned(&other)];
    drop(restarting);
    let restarted = modern_consumer(&group, &[&topic.name], fixed).await;
    until_assigned(&[&restarted, &other], &[2, 2]).await;
    assert_eq!([assigned(&restarted), assigned(&other)], before);
    let described = describe(&mut RawClient::connect().await, &group).await;
    assert_eq!(described.group_epoch, 3, "the group did not notice");
}

/// `group.remote.assignor` is the member's vote.
#[tokio::test]
async fn a_member_asks_for_an_assignor() {
    let topic = topic(4).await;
    let group = unique("group");
    let range: &[_] = &[("group.remote.assignor", "range")];
    let first = modern_consumer(&group, &[&topic.name], range).await;
    until_assigned(&[&first], &[4]).await;
    let second = modern_consumer(&group, &[&topic.name], range).await;
    until_assigned(&[&first, &second], &[2, 2]).await;
    let shares: BTreeSet<_> = [assigned(&first), assigned(&second)].into();
    assert_eq!(shares, [vec![0, 1], vec![2, 3]].into());
}
