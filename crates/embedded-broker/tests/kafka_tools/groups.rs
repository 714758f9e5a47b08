//! `kafka-consumer-groups`, for classic groups and those of the new protocol (KIP-848).

use rdkafka::consumer::{CommitMode, Consumer, StreamConsumer};

use crate::Tools;
use crate::support::broker::unique;
use crate::support::clients::{consumer, modern_consumer, take};
use crate::support::raw::RawClient;
use crate::support::records::Batch;
use crate::support::topic::{Topic, append};

const GROUPS: &str = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand";

/// Given to the member that the tools look at.
const CLIENT: &[(&str, &str)] = &[("client.id", "reader")];

/// A topic with three records.
async fn topic_to_read() -> Topic {
    let topic = Topic::create(1).await;
    let mut client = RawClient::connect().await;
    append(&mut client, &topic, 0, &Batch::of(["a", "b", "c"])).await;
    topic
}

/// What is said of the group while `member` reads, and after it has left.
async fn looked_at(tools: &Tools, group: &str, kind: &str, topic: &Topic, member: StreamConsumer) {
    take(&member, 3).await;
    member
        .commit_consumer_state(CommitMode::Sync)
        .expect("commit");
    let describe = async |more: &[&str]| {
        let arguments = [&["--describe", "--group", group], more].concat();
        tools.run(GROUPS, &arguments).await
    };
    let listed = tools.run(GROUPS, &["--list", "--type", kind]).await;
    assert!(listed.rows().iter().any(|row| row[0] == group), "{listed}");

    let offsets = describe(&[]).await;
    let row = offsets.row(&[group, &topic.name, "0"]);
    assert_eq!(row[3..6], ["3", "3", "0"], "current, end, lag: {offsets}");
    assert_eq!((row[7], row[8]), ("/127.0.0.1", "reader"), "{offsets}");

    let state = describe(&["--state"]).await;
    let row = state.row(&[group]);
    assert_eq!(row[row.len() - 2..], ["Stable", "1"], "{state}");
    let members = describe(&["--members"]).await;
    let row = members.row(&[group]);
    assert_eq!(row[2..5], ["/127.0.0.1", "reader", "1"], "{members}");

    // A group with members is not touched.
    let reset = [
        "--reset-offsets",
        "--to-earliest",
        "--group",
        group,
        "--topic",
        &topic.name,
        "--execute",
    ];
    let refused = tools.run(GROUPS, &reset).await;
    let said = format!("{}{}", refused.output, refused.errors);
    assert!(
        said.contains("Assignments can only be reset if the group")
            || said.contains("current state is Stable"),
        "{refused}"
    );
    drop(member);

    let moved = tools.run(GROUPS, &reset).await;
    assert_eq!(moved.row(&[group])[1..], [&topic.name, "0", "0"], "{moved}");
    let empty = describe(&[]).await;
    assert!(
        empty
            .errors
            .contains(&format!("Consumer group '{group}' has no active members.")),
        "{empty}"
    );
    assert_eq!(
        empty.row(&[group])[3..6],
        ["0", "3", "3"],
        "current, end, lag: {empty}"
    );

    let deleted = tools.run(GROUPS, &["--delete", "--group", group]).await;
    assert!(
        deleted.well().contains(&format!(
            "Deletion of requested consumer groups ('{group}') was successful."
        )),
        "{deleted}"
    );
    let gone = describe(&[]).await;
    assert!(
        gone.well().contains(&format!("Group {group} not found.")),
        "{gone}"
    );
}

/// List, describe in every way, reset, delete.
#[tokio::test]
async fn a_classic_group() {
    let Some(tools) = Tools::find().await else {
        return;
    };
    let (topic, group) = (topic_to_read().await, unique("classic"));
    let member = consumer(&group, &[&topic.name], CLIENT).await;
    looked_at(&tools, &group, "classic", &topic, member).await;
}

/// The same.
#[tokio::test]
async fn a_group_of_the_new_protocol() {
    let Some(tools) = Tools::find().await else {
        return;
    };
    let (topic, group) = (topic_to_read().await, unique("consumer"));
    let member = modern_consumer(&group, &[&topic.name], CLIENT).await;
    looked_at(&tools, &group, "consumer", &topic, member).await;
}
