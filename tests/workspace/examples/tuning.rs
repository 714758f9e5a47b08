//! Example 10: the table, the plot, and what waiting for each record costs.

use std::time::Duration;

use embedded_broker::Broker;
use workspace_tests::{Output, read};

use crate::common::Kafka;
use crate::program::{Example, assert_readable, last_line, number_behind};

static EXAMPLE: Example = Example::new("10_tuning");

/// The lines of the table.
const LINES: [&str; 11] = [
    "baseline",
    "wait for each record",
    "the same, linger 0 ms",
    "linger 5 -> 0 ms",
    "linger 5 -> 50 ms",
    "batch 1 MB -> 16 KB",
    "compression lz4 -> none",
    "compression lz4 -> gzip",
    "acks all -> 0: may lose",
    "reading, baseline",
    "fetch.queue.backoff 1 s",
];

/// Records, records/s and p50 in ms of this line.
fn numbers(output: &Output, name: &str) -> (u32, f64, Option<f64>) {
    let mut lines = output.stdout.lines();
    let line = lines.find_map(|line| line.strip_prefix(&format!("{name} ")));
    let line = line.unwrap_or_else(|| panic!("no line {name:?}: {output:#?}"));
    let words: Vec<&str> = line.split_whitespace().collect();
    let [records, rate, _megabytes, p50, _p99, _factor] = words[..] else {
        panic!("{name}: {line}")
    };
    (
        records.parse().unwrap(),
        rate.parse().unwrap(),
        p50.parse().ok(),
    )
}

/// S4-28, S1-20, X4: waiting for each record is far slower than pipelined sends, and each setting is measured.
#[tokio::test]
async fn example_10_measures_every_setting() {
    let kafka = Kafka::start().await;
    let plot = "target/example-10-of-a-test.svg";
    let arguments = ["--records", "3000", "--plot", plot];
    let output = EXAMPLE.run(kafka.cluster().servers().as_str(), &arguments);
    assert!(output.success, "{output:#?}");
    assert_readable(&output);

    for name in LINES {
        let (records, rate, _) = numbers(&output, name);
        assert!(
            records > 0 && records <= 3_000 && rate > 0.0,
            "{name}: {output:#?}"
        );
    }
    let (all, baseline, _) = numbers(&output, LINES[0]);
    let (_, one_by_one, waited) = numbers(&output, LINES[1]);
    assert_eq!(all, 3_000);
    // Each of them waits for company for 5 ms, and then for its report.
    assert!(waited.unwrap() >= 5.0, "{output:#?}");
    assert!(one_by_one <= 200.0, "{output:#?}");
    assert!(baseline > 5.0 * one_by_one, "{output:#?}");
    let factor = number_behind(last_line(&output), "pipelined: ");
    assert!(factor >= 5, "{output:#?}");

    let svg = read(plot);
    assert_eq!(svg.matches("<rect x=").count(), LINES.len(), "{svg}");
    for name in LINES {
        assert!(
            svg.contains(&name.replace('>', "&gt;")) || svg.contains(name),
            "{name}"
        );
    }
}

/// Ctrl-C in the middle of the table.
#[tokio::test]
async fn example_10_stops_in_order_at_a_signal() {
    let kafka = Kafka::start().await;
    let mut running = EXAMPLE.start(kafka.cluster().servers().as_str(), &["--records", "20000"]);
    running.read_until("baseline");
    running.signal("INT");
    let output = running.end(Duration::from_secs(30));
    assert!(output.success, "{output:#?}");
    assert_eq!(last_line(&output), "stopped early");
    assert!(!output.stdout.contains("reading"), "{output:#?}");
}

/// The broker goes away in the middle: an error, and no hang.
#[tokio::test]
async fn example_10_ends_when_the_broker_goes_away() {
    let broker = Broker::builder().start().await.unwrap();
    let mut running = EXAMPLE.start(&broker.bootstrap_servers(), &["--records", "20000"]);
    running.read_until("baseline");
    drop(broker);
    let output = running.end(Duration::from_secs(60));
    assert_eq!(output.code, Some(1), "{output:#?}");
    // Behind a line of the log for each record that was not delivered.
    assert!(
        output.stderr.contains("Error: a record for topic"),
        "{output:#?}"
    );
}
