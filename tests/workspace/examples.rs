//! S4-17: every example as a process, against a broker in this process, and what it printed.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends by a panic"
)]

#[path = "../common/mod.rs"]
#[allow(dead_code, reason = "the examples create their topics themselves")]
mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use common::Kafka;
use kafka_event_streaming::topics::unique_name;
use workspace_tests::{Output, build_example, command, free_port, run};

static EXAMPLE_1: LazyLock<PathBuf> = LazyLock::new(|| build_example("01_produce_consume"));

/// Runs example 1 on `servers` to its end.
fn example_1(servers: &str, arguments: &[&str]) -> Output {
    run(command(&*EXAMPLE_1)
        .env("KAFKA_BOOTSTRAP_SERVERS", servers)
        .args(arguments))
}

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

fn last_line(output: &Output) -> &str {
    output.stdout.lines().last().unwrap_or_default()
}

/// S4-10, S4-21, S4-22.
#[tokio::test]
async fn example_1_reads_back_what_it_sent() {
    let kafka = Kafka::start().await;
    let topic = unique_name("example-test");
    let output = example_1(kafka.cluster().servers().as_str(), &["--topic", &topic]);
    assert!(output.success, "{output:#?}");
    assert_eq!(
        output.stderr, "",
        "nothing clutters what the example has to say"
    );

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
    for line in output.stdout.lines() {
        assert!(
            line.chars().count() <= 80,
            "wider than a terminal: {line:?}"
        );
    }
}

/// The second run of a group goes on where the first one committed.
#[tokio::test]
async fn example_1_twice_in_one_group_reads_every_record_once() {
    let kafka = Kafka::start().await;
    let name = unique_name("example-test");
    let arguments = ["--topic", &name, "--group", &name, "--records", "5"];
    let first = example_1(kafka.cluster().servers().as_str(), &arguments);
    let second = example_1(kafka.cluster().servers().as_str(), &arguments);
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
    let _built_before_the_clock_starts = &*EXAMPLE_1;
    let started = Instant::now();
    let output = example_1(&address, &[]);
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
        let output = example_1(value, &[]);
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
        let mut child = std::process::Command::new(&*EXAMPLE_1)
            .env(
                "KAFKA_BOOTSTRAP_SERVERS",
                kafka.cluster().servers().as_str(),
            )
            // What it prints is far more than a pipe holds, so it cannot end before it is read.
            .args(["--records", "5000"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        while !line.starts_with(in_the_middle_of) {
            line.clear();
            assert_ne!(
                stdout.read_line(&mut line).unwrap(),
                0,
                "it ended before it {in_the_middle_of} a record"
            );
        }
        let kill = run(command("bash").args(["-c", &format!("kill -{signal} {}", child.id())]));
        assert!(kill.success, "{kill:?}");

        let reader = std::thread::spawn(move || {
            let mut rest = String::new();
            stdout.read_to_string(&mut rest).unwrap();
            rest
        });
        let status = wait(&mut child, Duration::from_secs(20));
        let rest = reader.join().unwrap();
        assert!(status.success(), "SIG{signal}: {status}");
        let last = rest.lines().last().unwrap_or_default();
        assert!(
            last.ends_with(" (stopped early)"),
            "SIG{signal}: the last line is {last:?}"
        );
        let received: u32 = number_behind(last, "received ");
        assert!(received < 5000, "SIG{signal} came too late: {last}");
    }
}

fn number_behind(line: &str, word: &str) -> u32 {
    let behind = line.split_once(word).expect(line).1;
    let digits: String = behind.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().expect(line)
}

fn wait(child: &mut Child, patience: Duration) -> std::process::ExitStatus {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if Instant::now() >= deadline {
            child.kill().unwrap();
            panic!("the example did not end within {patience:?} of the signal");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}
