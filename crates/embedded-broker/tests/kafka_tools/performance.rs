//! `kafka-producer-perf-test`, `kafka-consumer-perf-test`.

use crate::Tools;
use crate::support::broker::unique;
use crate::support::topic::Topic;

const PRODUCER: &str = "org.apache.kafka.tools.ProducerPerformance";
const CONSUMER: &str = "org.apache.kafka.tools.ConsumerPerformance";

/// Plain and in transactions; all of it is read again.
#[tokio::test]
async fn everything_that_was_sent_is_read() {
    let Some(tools) = Tools::find().await else {
        return;
    };
    let topic = Topic::create(3).await;
    let name = topic.name.as_str();
    let load = [
        "--topic",
        name,
        "--num-records",
        "5000",
        "--record-size",
        "100",
        "--throughput",
        "-1",
    ];
    let plain = tools.run(PRODUCER, &load).await;
    assert!(
        plain
            .well()
            .lines()
            .last()
            .expect("a line")
            .starts_with("5000 records sent, "),
        "{plain}"
    );
    let id = unique("performance");
    let transactional = ["--transactional-id", &id, "--transaction-duration-ms", "50"];
    let in_transactions = tools
        .run(PRODUCER, &[&load[..], &transactional].concat())
        .await;
    let last = in_transactions.well().lines().last().expect("a line");
    assert!(last.starts_with("5000 records sent, "), "{in_transactions}");

    let group = unique("group");
    let read = tools
        .run(
            CONSUMER,
            &["--topic", name, "--num-records", "10000", "--group", &group],
        )
        .await;
    let lines: Vec<&str> = read.well().lines().collect();
    let [titles, figures] = lines[..] else {
        panic!("{read}")
    };
    let column = titles
        .split(", ")
        .position(|title| title == "data.consumed.in.nMsg")
        .expect("a count");
    assert_eq!(figures.split(", ").nth(column), Some("10000"), "{read}");
}
