//! Example 1: what was sent is what was read.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use kafka_event_streaming::topics::unique_name;
use workspace_tests::{Output, free_port};

use crate::common::Kafka;
use crate::program::{Example, assert_readable, last_line, number_behind};

static EXAMPLE: Example = Example::new("01_produce_consume");

/// What a line of the output says: topic or payload, partition, offset.
fn places(output: &Output, verb: &str) -> Vec<(String, i32, i64)> {
    let lines = output.stdout.lines().filter(|line| line.starts_with(verb));
    lines
        .map(|line| {
            let (subject, place) = line[verb.len()..].split_once(" partition ").expect(line);
            let (partition, offset) = place.split_once(" offset ").expect(line);
            (
                subject.trim().to_owned(),
                partition.trim().parse().expect(line),
                offset.trim().parse().expect(line),
            )
        })
        .collect()
}

fn partitions_and_offsets(places: &[(String, i32, i64)]) -> BTreeSet<(i32, i64)> {
    places
        .iter()
        .map(|(_, partition, offset)| (*partition, *offset))
        .collect()
}

/// S4-10, S4-21, S4-22.
#[tokio::test]
async fn example_1_reads_back_what_it_sent() {
    let kafka = Kafka::start().await;
    let topic = unique_name("example-test");
    let output = EXAMPLE.run(kafka.cluster().servers().as_str(), &["--topic", &topic]);
    assert!(output.success, "{output:#?}");
    assert_readable(&output);

    let delivered = places(&output, "delivered");
    assert_eq!(delivered.len(), 10);
    assert!(
        delivered.iter().all(|(printed, ..)| *printed == topic),
        "{delivered:?}"
    );
    // In every partition the offsets count from 0, without a gap.
    let mut next = BTreeMap::new();
    for (_, partition, offset) in &delivered {
        let expected = next.entry(*partition).or_insert(0);
        assert_eq!(offset, expected, "in partition {partition}");
        *expected += 1;
    }

    let received = places(&output, "received");
    assert_eq!(
        partitions_and_offsets(&received),
        partitions_and_offsets(&delivered)
    );
    assert_eq!(received.len(), 10, "a record was received twice");
    let orders: BTreeSet<&str> = received.iter().map(|(order, ..)| order.as_str()).collect();
    assert_eq!(orders.len(), 10, "the payloads differ: {orders:?}");
    assert_eq!(output.stdout.matches("end of partition").count(), 3);
    assert_eq!(last_line(&output), "sent 10, received 10, lost 0");
}

/// The second run of a group goes on where the first one committed.
#[tokio::test]
async fn example_1_twice_in_one_group_reads_every_record_once() {
    let kafka = Kafka::start().await;
    let name = unique_name("example-test");
    let arguments = ["--topic", &name, "--group", &name, "--records", "5"];
    let first = EXAMPLE.run(kafka.cluster().servers().as_str(), &arguments);
    let second = EXAMPLE.run(kafka.cluster().servers().as_str(), &arguments);
    assert_eq!(
        last_line(&first),
        "sent 5, received 5, lost 0",
        "{first:#?}"
    );
    assert_eq!(
        last_line(&second),
        "sent 5, received 5, lost 0",
        "{second:#?}"
    );
    let places = |output| partitions_and_offsets(&places(output, "received"));
    assert_eq!(places(&second).len(), 5);
    assert!(
        places(&first).is_disjoint(&places(&second)),
        "{first:#?}{second:#?}"
    );
}

#[test]
fn example_1_without_a_broker_says_where_it_looked_and_what_to_do() {
    let address = format!("127.0.0.1:{}", free_port());
    EXAMPLE.binary();
    let started = Instant::now();
    let output = EXAMPLE.run(&address, &[]);
    let waited = started.elapsed();
    assert_eq!(output.code, Some(1), "{output:#?}");
    assert!(waited < Duration::from_secs(3), "it took {waited:?}");
    assert_eq!(output.stdout, "");
    for part in [address.as_str(), "make infra-up", "KAFKA_BOOTSTRAP_SERVERS"] {
        assert!(
            output.stderr.contains(part),
            "{:?} does not say {part:?}",
            output.stderr
        );
    }
}

/// S2-01.
#[test]
fn example_1_names_a_setting_that_it_cannot_use() {
    for value in ["", "localhost", "localhost:port"] {
        let output = EXAMPLE.run(value, &[]);
        assert_eq!(output.code, Some(1), "{output:#?}");
        let expected = format!("Error: KAFKA_BOOTSTRAP_SERVERS is {value:?}, but ");
        assert!(output.stderr.starts_with(&expected), "{output:#?}");
        assert_eq!(output.stderr.lines().count(), 1, "{output:#?}");
    }
}

/// Ctrl-C while it sends, and SIGTERM while it reads: both end it in order, with a last line that says so.
#[tokio::test]
async fn example_1_stops_in_order_at_a_signal() {
    let kafka = Kafka::start().await;
    for (signal, in_the_middle_of) in [("INT", "delivered"), ("TERM", "received")] {
        // What it prints is far more than a pipe holds, so it cannot end before it is read.
        let arguments = ["--records", "5000"];
        let mut running = EXAMPLE.start(kafka.cluster().servers().as_str(), &arguments);
        running.read_until(in_the_middle_of);
        running.signal(signal);
        let output = running.end(Duration::from_secs(20));
        assert!(output.success, "SIG{signal}: {output:#?}");
        let last = last_line(&output);
        assert!(
            last.ends_with(" (stopped early)"),
            "SIG{signal}: the last line is {last:?}"
        );
        let received = number_behind(last, "received ");
        assert!(received < 5000, "SIG{signal} came too late: {last}");
    }
}
