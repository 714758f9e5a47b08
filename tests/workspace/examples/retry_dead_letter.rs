//! Example 6: what fails is tried again, put aside and sent back, and nothing is passed over.

use std::time::Duration;

use embedded_broker::Broker;
use workspace_tests::Output;

use crate::common::Kafka;
use crate::program::{Example, assert_readable, last_line, number_behind};

static EXAMPLE: Example = Example::new("06_retry_dead_letter");

/// Far more than are needed: the bank that is down keeps one payment waiting for longer than the test takes.
const PATIENT: [&str; 2] = ["--attempts", "100"];

/// What happened to the payments of a bank, up to when they are sent back: offset, and what became of it.
fn events<'a>(output: &'a Output, bank: &str) -> Vec<(i64, &'a str)> {
    let (first_pass, _) = output.stdout.split_once("The dead letters").unwrap();
    let lines = first_pass.lines().filter_map(|line| {
        let (_, rest) = line.split_once(" s  ")?;
        let rest = rest.strip_prefix(bank)?.trim_start();
        let (offset, what) = rest.split_once("  ")?;
        Some((offset.parse().ok()?, what))
    });
    lines.collect()
}

/// The waits of one payment, in seconds.
fn delays(events: &[(i64, &str)], offset: i64) -> Vec<f64> {
    let of_payment = events.iter().filter(|(of, _)| *of == offset);
    let waits = of_payment.filter_map(|(_, what)| what.strip_prefix("again in "));
    waits
        .map(|wait| wait.split_once(" s: ").unwrap().0.parse().unwrap())
        .collect()
}

/// The changes of the circuit breaker of the bank that is down.
fn breaker(output: &Output) -> Vec<&str> {
    let lines = output.stdout.lines();
    lines
        .filter(|line| line.contains("down"))
        .filter_map(|line| line.split_once("circuit breaker: "))
        .map(|(_, change)| change)
        .collect()
}

/// S1-15, S1-16, S1-17, S1-18, X1, X10, X14: what becomes of each payment of each bank, and nothing is lost. Two runs on one
/// broker show the same: they have topics and groups of their own.
#[tokio::test]
async fn example_6_loses_nothing_that_fails() {
    let kafka = Kafka::start().await;
    let servers = kafka.cluster().servers().as_str();
    for output in EXAMPLE.run_twice(servers, &[]) {
        check(&output);
    }
}

fn check(output: &Output) {
    assert!(output.success, "{output:#?}");
    assert_readable(output);

    // What cannot be decoded and what is refused are put aside at once. Those behind them go on.
    let sound = events(output, "sound");
    let expected = [
        (0, "charged at attempt 1"),
        (1, "charged at attempt 1"),
        (2, "aside: it cannot be decoded: invalid type: string"),
        (3, "charged at attempt 1"),
        (4, "aside: the bank refuses an amount of 0"),
        (5, "charged at attempt 1"),
    ];
    assert_eq!(sound.len(), expected.len(), "{sound:?}");
    for (found, expected) in sound.iter().zip(expected) {
        assert_eq!(found.0, expected.0, "{sound:?}");
        assert!(found.1.starts_with(expected.1), "{sound:?}");
    }

    // A partition stands still while its payment waits: none overtakes it.
    for bank in ["flaky", "down"] {
        let offsets: Vec<i64> = events(output, bank).iter().map(|event| event.0).collect();
        assert!(offsets.is_sorted(), "{bank}: {offsets:?}");
    }
    let flaky = events(output, "flaky");
    for offset in 0..3 {
        assert!(
            flaky.contains(&(offset, "charged at attempt 3")),
            "{flaky:?}"
        );
        check_growth(&delays(&flaky, offset), 2);
    }

    // Two payments meet a bank that is down, the third finds it back. The last one is charged at once.
    let down = events(output, "down");
    for offset in [0, 1] {
        check_growth(&delays(&down, offset), 4);
        let aside = |event: &&(i64, &str)| event.0 == offset && event.1.starts_with("aside: ");
        assert_eq!(down.iter().filter(aside).count(), 1, "{down:?}");
    }
    assert!(
        down.iter().any(|event| event.1.ends_with(": not tried")),
        "the open breaker let every call pass: {down:?}"
    );
    assert_eq!(down.last(), Some(&(3, "charged at attempt 1")), "{down:?}");
    let changes = breaker(output);
    assert_eq!(changes.first(), Some(&"Closed -> Open"), "{changes:?}");
    assert_eq!(changes.last(), Some(&"HalfOpen -> Closed"), "{changes:?}");
    let (_, between) = changes.split_first().unwrap();
    let (_, between) = between.split_last().unwrap();
    assert!(
        !between.is_empty() && between.iter().all(|change| *change == "HalfOpen -> Open"),
        "a probe that fails keeps it open: {changes:?}"
    );

    for line in [
        "13 payments: charged 9, charged twice 0, put aside 4, lost 0",
        "The banks are mended, and 4 go back:",
        "3 were charged later than a later one: order is the price of going on",
    ] {
        assert!(
            output.stdout.lines().any(|found| found == line),
            "{output:#?}"
        );
    }
    assert_eq!(
        last_line(output),
        "13 payments: charged 12, charged twice 0, put aside 1, lost 0"
    );
    check_letters(output);
}

/// The waits are there, each at least twice its share and no more than twice as long (row X14).
fn check_growth(delays: &[f64], count: usize) {
    assert_eq!(delays.len(), count, "{delays:?}");
    let mut share = 0.05;
    for delay in delays {
        assert!((share..=2.0 * share + 0.001).contains(delay), "{delays:?}");
        share *= 2.0;
    }
}

/// The dead letters say where they come from and why they are there.
fn check_letters(output: &Output) {
    let (_, letters) = output.stdout.split_once("The dead letters").unwrap();
    let (letters, _) = letters.split_once("The banks are mended").unwrap();
    for header in [
        "topic",
        "partition",
        "offset",
        "error",
        "attempts",
        "first-failure",
    ] {
        let name = format!("dead-letter.{header} ");
        assert!(letters.contains(&name), "no header {header}: {letters}");
    }
    assert_eq!(letters.matches("dead-letter.error").count(), 4, "{letters}");
}

/// With one attempt each, more is put aside, and still nothing is lost.
#[tokio::test]
async fn example_6_without_patience_loses_nothing_either() {
    let kafka = Kafka::start().await;
    let output = EXAMPLE.run(kafka.cluster().servers().as_str(), &["--attempts", "1"]);
    assert!(output.success, "{output:#?}");
    assert!(!output.stdout.contains("again in"), "{output:#?}");
    assert_eq!(
        last_line(&output),
        "13 payments: charged 12, charged twice 0, put aside 1, lost 0"
    );
}

/// A broker that goes away in the middle ends it with a message that names it.
#[tokio::test]
async fn example_6_says_so_when_the_broker_goes_away() {
    let broker = Broker::builder().start().await.unwrap();
    let servers = broker.bootstrap_servers();
    let mut running = EXAMPLE.start(&servers, &PATIENT);
    running.read_until("not tried");
    drop(broker);
    let output = running.end(Duration::from_secs(60));
    assert_eq!(output.code, Some(1), "{output:#?}");
    assert!(output.stderr.contains(&servers), "{output:#?}");
}

/// Ctrl-C while a payment waits: what is charged stays charged, and the rest is left in the topic.
#[tokio::test]
async fn example_6_stops_in_order_at_a_signal() {
    let kafka = Kafka::start().await;
    let mut running = EXAMPLE.start(kafka.cluster().servers().as_str(), &PATIENT);
    running.read_until("not tried");
    running.signal("INT");
    let output = running.end(Duration::from_secs(20));
    assert!(output.success, "{output:#?}");
    assert_readable(&output);
    let last = last_line(&output);
    assert!(last.ends_with(" (stopped early)"), "{last}");
    let numbers = ["charged ", "put aside ", "left "];
    let [charged, aside, left] = numbers.map(|word| number_behind(last, word));
    assert_eq!(charged + aside + left, 13, "{last}");
    assert!(
        left >= 4,
        "none of the bank that is down was charged: {last}"
    );
}

#[test]
fn example_6_without_a_broker_says_so_at_once() {
    EXAMPLE.assert_says_that_no_broker_answers();
}
