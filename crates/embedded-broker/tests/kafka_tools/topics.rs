//! `kafka-topics`.

use crate::Tools;
use crate::support::broker::unique;

const TOPICS: &str = "org.apache.kafka.tools.TopicCommand";

/// Create, list, describe, alter, delete; and what it says when that cannot be.
#[tokio::test]
async fn topics_live_and_die() {
    let Some(tools) = Tools::find().await else {
        return;
    };
    let name = unique("tool");
    let topic = name.as_str();

    let create = [
        "--create",
        "--topic",
        topic,
        "--partitions",
        "2",
        "--config",
        "retention.ms=60000",
    ];
    let created = tools.run(TOPICS, &create).await;
    assert_eq!(created.well(), format!("Created topic {topic}.\n"));
    let again = tools.run(TOPICS, &create).await;
    let expected =
        format!("Error while executing topic command : Topic '{topic}' already exists.\n");
    assert_eq!(again.badly(), expected);

    let listed = tools.run(TOPICS, &["--list"]).await;
    assert!(listed.well().lines().any(|line| line == topic), "{listed}");

    let described = tools.run(TOPICS, &["--describe", "--topic", topic]).await;
    let head = described.row(&["Topic:", topic, "TopicId:"]);
    assert_eq!(
        head[4..8],
        ["PartitionCount:", "2", "ReplicationFactor:", "1"],
        "{described}"
    );
    assert_eq!(head[8], "Configs:");
    assert!(
        head[9]
            .split(',')
            .any(|config| config == "retention.ms=60000"),
        "{described}"
    );
    for partition in ["0", "1"] {
        let row = described.row(&["Topic:", topic, "Partition:", partition]);
        let [
            ..,
            "Leader:",
            leader,
            "Replicas:",
            replicas,
            "Isr:",
            isr,
            "Elr:",
            "LastKnownElr:",
        ] = row[..]
        else {
            panic!("{described}");
        };
        assert!(leader == replicas && leader == isr, "{described}");
    }

    let altered = tools
        .run(TOPICS, &["--alter", "--topic", topic, "--partitions", "4"])
        .await;
    assert_eq!(altered.well(), "");
    let fewer = tools
        .run(TOPICS, &["--alter", "--topic", topic, "--partitions", "3"])
        .await;
    assert!(
        fewer.badly().contains("The topic") && fewer.badly().contains("4 partition(s)"),
        "{fewer}"
    );

    assert_eq!(
        tools
            .run(TOPICS, &["--delete", "--topic", topic])
            .await
            .well(),
        ""
    );
    let gone = tools.run(TOPICS, &["--describe", "--topic", topic]).await;
    let expected = format!(
        "Error while executing topic command : Topic '{topic}' does not exist as expected\n"
    );
    assert_eq!(gone.badly(), expected);
}

/// A name that is none.
#[tokio::test]
async fn an_illegal_name_is_told() {
    let Some(tools) = Tools::find().await else {
        return;
    };
    let refused = tools.run(TOPICS, &["--create", "--topic", "a topic"]).await;
    assert!(
        refused
            .badly()
            .contains("contains one or more characters other than ASCII alphanumerics"),
        "{refused}"
    );
}
