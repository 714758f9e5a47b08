//! The console producer and consumer, the verifiable ones, `kafka-get-offsets`, `kafka-delete-records`.

use std::collections::BTreeSet;

use crate::Tools;
use crate::support::broker::unique;
use crate::support::raw::RawClient;
use crate::support::records::Batch;
use crate::support::topic::{Topic, append};

const CONSOLE_PRODUCER: &str = "org.apache.kafka.tools.ConsoleProducer";
const CONSOLE_CONSUMER: &str = "org.apache.kafka.tools.consumer.ConsoleConsumer";
const VERIFIABLE_PRODUCER: &str = "org.apache.kafka.tools.VerifiableProducer";
const VERIFIABLE_CONSUMER: &str = "org.apache.kafka.tools.VerifiableConsumer";
const GET_OFFSETS: &str = "org.apache.kafka.tools.GetOffsetShell";
const DELETE_RECORDS: &str = "org.apache.kafka.tools.DeleteRecordsCommand";

/// What goes in at one end comes out at the other; the topic comes into being by the way. A second consumer of the group
/// goes on where the first stopped.
#[tokio::test]
async fn console_producer_and_consumer() {
    let Some(tools) = Tools::find().await else {
        return;
    };
    let (topic, group) = (unique("console"), unique("group"));
    let input = "k1:one\nk2:two\nk3:three\nk4:four\n";
    let properties = [
        "--reader-property",
        "parse.key=true",
        "--reader-property",
        "key.separator=:",
    ];
    let produced = tools
        .run_with_input(
            CONSOLE_PRODUCER,
            &[&["--topic", &topic], &properties[..]].concat(),
            input,
        )
        .await;
    assert_eq!(produced.well(), "");
    let consume = |count: &'static str| {
        let arguments = [
            "--topic",
            &topic,
            "--group",
            &group,
            "--from-beginning",
            "--max-messages",
            count,
        ];
        let arguments = [&arguments[..], &["--formatter-property", "print.key=true"]].concat();
        let tools = &tools;
        async move { tools.run(CONSOLE_CONSUMER, &arguments).await }
    };
    let first = consume("3").await;
    assert!(
        first.errors.contains("Processed a total of 3 messages"),
        "{first}"
    );
    let second = consume("1").await;
    assert!(
        second.errors.contains("Processed a total of 1 messages"),
        "{second}"
    );
    let seen: BTreeSet<&str> = first.well().lines().chain(second.well().lines()).collect();
    assert_eq!(
        seen,
        BTreeSet::from(["k1\tone", "k2\ttwo", "k3\tthree", "k4\tfour"])
    );
}

/// Beginning, end, and the offset of the latest time; records deleted move the beginning.
#[tokio::test]
async fn offsets_and_deleted_records() {
    let Some(tools) = Tools::find().await else {
        return;
    };
    let topic = Topic::create(2).await;
    let name = topic.name.as_str();
    let mut client = RawClient::connect().await;
    append(&mut client, &topic, 0, &Batch::of(["a", "b", "c"])).await;
    append(&mut client, &topic, 1, &Batch::of(["d"])).await;
    let latest = tools.run(GET_OFFSETS, &["--topic", name]).await;
    assert_eq!(latest.well(), format!("{name}:0:3\n{name}:1:1\n"));
    let newest = tools
        .run(GET_OFFSETS, &["--topic", name, "--time", "max-timestamp"])
        .await;
    assert_eq!(
        newest.well(),
        format!("{name}:0:0\n{name}:1:0\n"),
        "the first of the records of one time"
    );

    let path = std::env::temp_dir().join(format!("{name}.json"));
    let offsets =
        format!(r#"{{"version":1,"partitions":[{{"topic":"{name}","partition":0,"offset":2}}]}}"#);
    std::fs::write(&path, offsets).expect("write the offsets");
    let deleted = tools
        .run(
            DELETE_RECORDS,
            &["--offset-json-file", path.to_str().expect("a path")],
        )
        .await;
    std::fs::remove_file(&path).expect("remove the offsets");
    assert!(
        deleted
            .well()
            .contains(&format!("partition: {name}-0\tlow_watermark: 2\n")),
        "{deleted}"
    );
    let earliest = tools
        .run(GET_OFFSETS, &["--topic", name, "--time", "earliest"])
        .await;
    assert_eq!(earliest.well(), format!("{name}:0:2\n{name}:1:0\n"));
}

/// The tools that Apache Kafka's own system tests count with.
#[tokio::test]
async fn verifiable_producer_and_consumer() {
    let Some(tools) = Tools::find().await else {
        return;
    };
    let (topic, group) = (unique("verifiable"), unique("group"));
    let produced = tools
        .run(
            VERIFIABLE_PRODUCER,
            &["--topic", &topic, "--max-messages", "20", "--acks", "-1"],
        )
        .await;
    assert_eq!(
        produced.well().matches("producer_send_success").count(),
        20,
        "{produced}"
    );
    assert!(
        produced
            .well()
            .contains(r#""name":"tool_data","sent":20,"acked":20"#),
        "{produced}"
    );
    let arguments = [
        "--topic",
        &topic,
        "--group-id",
        &group,
        "--max-messages",
        "20",
        "--reset-policy",
        "earliest",
    ];
    let consumed = tools.run(VERIFIABLE_CONSUMER, &arguments).await;
    let names: Vec<&str> = consumed
        .well()
        .lines()
        .filter_map(|line| line.split(r#""name":""#).nth(1)?.split('"').next())
        .collect();
    for expected in [
        "startup_complete",
        "partitions_assigned",
        "records_consumed",
        "offsets_committed",
    ] {
        assert!(names.contains(&expected), "{expected}: {consumed}");
    }
    let counts = consumed
        .well()
        .lines()
        .filter(|line| line.contains("records_consumed"));
    let total: u32 = counts
        .filter_map(|line| {
            line.split(r#""count":"#)
                .nth(1)?
                .split(',')
                .next()?
                .parse::<u32>()
                .ok()
        })
        .sum();
    assert_eq!(total, 20, "{consumed}");
    assert!(
        !consumed.well().contains(r#""success":false"#),
        "{consumed}"
    );
}
