//! Example 2: what two versions of a service make of one topic.

use std::time::Duration;

use embedded_broker::Broker;
use workspace_tests::Output;

use crate::common::Kafka;
use crate::program::{Example, assert_readable, last_line, number_behind};

static EXAMPLE: Example = Example::new("02_event_schemas");

/// The three parts of the output: written, read by version 2, read by version 1.
fn parts(output: &Output) -> [&str; 3] {
    let (written, read) = output.stdout.split_once("\nRead by version 2").unwrap();
    let (new, old) = read.split_once("\nRead by version 1").unwrap();
    [written, new, old]
}

/// The line of this offset, and the one behind it.
fn at(part: &str, offset: usize) -> String {
    let mut lines = part
        .lines()
        .skip_while(|line| !line.trim_start().starts_with(&format!("{offset}  ")));
    let line = lines
        .next()
        .unwrap_or_else(|| panic!("no offset {offset}:\n{part}"));
    format!("{line}\n{}", lines.next().unwrap_or_default())
}

/// S4-11, S4-23, S3-03, X6: each record, as both readers see it. Twice, since a run leaves nothing for the next one.
#[tokio::test]
async fn example_2_shows_what_each_version_understands() {
    let kafka = Kafka::start().await;
    for _ in 0..2 {
        let output = EXAMPLE.run(kafka.cluster().servers().as_str(), &["--orders", "2"]);
        assert!(output.success, "{output:#?}");
        assert_readable(&output);
        let [written, new, old] = parts(&output);
        for offset in 0..8 {
            at(written, offset);
        }

        for (offset, words) in [
            (
                0,
                &["order_id: \"o-1\", customer_id: \"c-7\", quantity: 2"][..],
            ),
            (1, &["order_id: \"o-2\", customer_id: \"c-7\", quantity: 2"]),
            // Version 1 said neither the customer's name in this way, nor how many.
            (
                2,
                &["order_id: \"o-old\", customer_id: \"c-8\", quantity: 1"],
            ),
            (3, &["order_id: \"o-3\", customer_id: \"c-9\", quantity: 1"]),
            (
                4,
                &[
                    "not decoded, partition 0: {\"order_id\":\"o-4\"",
                    "`2.5`, expected u32",
                ],
            ),
            (
                5,
                &[
                    "not decoded, partition 0: {\"order_id\":\"o-5\"",
                    "EOF while parsing",
                ],
            ),
            (
                6,
                &[
                    "not decoded, partition 0: {\"payment_id\"",
                    "type \"payment\"",
                ],
            ),
            (7, &["refused: OrderPlaced", "quantity: 0"]),
        ] {
            let line = at(new, offset);
            assert!(
                words.iter().all(|words| line.contains(words)),
                "{words:?}: {line}"
            );
        }
        assert!(new.contains("valid 4, refused 1, not decoded 3"), "{new}");

        for offset in [0, 1, 3, 4, 7] {
            let line = at(old, offset);
            assert!(line.contains("missing field `customer`"), "{line}");
        }
        assert!(at(old, 2).contains("customer: \"c-8\""), "{old}");
        assert!(old.contains("valid 1, refused 0, not decoded 7"), "{old}");
        assert_eq!(
            last_line(&output),
            "written 8; of 2 typed orders 2 came back as they were"
        );
    }
}

/// Ctrl-C while it reads.
#[tokio::test]
async fn example_2_stops_in_order_at_a_signal() {
    let kafka = Kafka::start().await;
    let servers = kafka.cluster().servers().as_str();
    // What it prints is far more than a pipe holds, so it cannot end before it is read.
    let mut running = EXAMPLE.start(servers, &["--orders", "5000"]);
    running.read_until("OrderPlaced {");
    running.signal("INT");
    let output = running.end(Duration::from_secs(20));
    assert!(output.success, "{output:#?}");
    assert_eq!(last_line(&output), "stopped early");
    let [_, new, _] = parts(&output);
    assert!(number_behind(new, "\n  valid ") < 5000, "it came too late");
}

/// The broker goes away while it reads: an error, and no hang.
#[tokio::test]
async fn example_2_ends_when_the_broker_goes_away() {
    let broker = Broker::builder().start().await.unwrap();
    let mut running = EXAMPLE.start(&broker.bootstrap_servers(), &["--orders", "5000"]);
    running.read_until("OrderPlaced {");
    drop(broker);
    let output = running.end(Duration::from_secs(60));
    assert_eq!(
        output.code,
        Some(1),
        "{}\n{}",
        last_line(&output),
        output.stderr
    );
    assert!(output.stderr.starts_with("Error: "), "{}", output.stderr);
}
