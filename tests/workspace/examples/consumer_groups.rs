//! Example 3: who reads what while members join, leave and die.

use std::time::Duration;

use embedded_broker::Broker;
use workspace_tests::Output;

use crate::common::Kafka;
use crate::program::{Example, assert_readable, last_line};

static EXAMPLE: Example = Example::new("03_consumer_groups");

/// Short, so that the test is. Brokers of tests allow it.
const SESSION_TIMEOUT: &str = "3000";

/// The words of the line that begins so, behind its beginning.
fn words<'a>(output: &'a Output, beginning: &str) -> Vec<&'a str> {
    let mut lines = output.stdout.lines().map(str::trim);
    let line = lines.find_map(|line| line.strip_prefix(beginning));
    let line = line.unwrap_or_else(|| panic!("no line begins with {beginning:?}: {output:#?}"));
    line.split_whitespace().collect()
}

/// In how many seconds a step was settled.
fn seconds(words: &[&str]) -> f64 {
    let [.., number, "s"] = words else {
        panic!("{words:?} says no time")
    };
    number.parse().unwrap()
}

/// The readers of the three partitions, and the idle members.
fn readers<'a>(words: &[&'a str]) -> (Vec<&'a str>, Vec<&'a str>) {
    let (members, _time) = words.split_at(words.len() - 2);
    let (mut readers, idle) = (members[..3].to_vec(), members[3..].to_vec());
    readers.sort_unstable();
    (readers, idle)
}

/// S4-12, S4-25, S4-26: the partitions of each step, the idle member, and the two ways to go. Two runs on one broker show
/// the same: they have groups and topics of their own.
#[tokio::test]
async fn example_3_shows_how_members_share() {
    let kafka = Kafka::start().await;
    let servers = kafka.cluster().servers().as_str();
    for output in EXAMPLE.run_twice(servers, &["--session-timeout", SESSION_TIMEOUT]) {
        check(&output);
    }
}

fn check(output: &Output) {
    assert!(output.success, "{output:#?}");
    assert_readable(output);

    for (step, all, idle) in [
        ("A joins", 1, 0),
        ("B joins", 2, 0),
        ("C joins", 3, 0),
        ("D joins", 3, 1),
        ("B leaves", 3, 0),
        ("C is killed", 2, 0),
    ] {
        let line = words(output, step);
        let (mut reading, waiting) = readers(&line);
        reading.dedup();
        assert_eq!(
            (reading.len(), waiting.len()),
            (all, idle),
            "{step}: {line:?}"
        );
        assert!(!reading.contains(&"-"), "{step}: {line:?}");
        let gone = step
            .strip_suffix(" leaves")
            .or(step.strip_suffix(" is killed"));
        assert!(
            gone.is_none_or(|gone| !reading.contains(&gone)),
            "{step}: {line:?}"
        );
    }
    // Who says goodbye is not waited for.
    let left = seconds(&words(output, "B leaves"));
    let killed = seconds(&words(output, "C is killed"));
    assert!(left < 2.0, "{left} s");
    assert!(
        (2.0..8.0).contains(&killed),
        "{killed} s with a session timeout of 3 s"
    );

    for (case, read) in [
        ("committed 0, auto.offset.reset=earliest", "10"),
        ("committed 0, auto.offset.reset=latest", "0"),
        ("committed 4, auto.offset.reset=earliest", "6"),
        ("committed 4, auto.offset.reset=latest", "6"),
    ] {
        assert_eq!(words(output, case), [read], "{case}");
    }

    // Two of six have to move. The old way stops the reading of all.
    assert_eq!(
        last_line(output),
        "taken away: range 6, cooperative-sticky 2, consumer 2"
    );
}

/// A broker that goes away in the middle ends it with a message, and not much later.
#[tokio::test]
async fn example_3_says_so_when_the_broker_goes_away() {
    let broker = Broker::builder().start().await.unwrap();
    let servers = broker.bootstrap_servers();
    let mut running = EXAMPLE.start(&servers, &["--session-timeout", SESSION_TIMEOUT]);
    running.read_until("B joins");
    drop(broker);
    let output = running.end(Duration::from_secs(60));
    assert_eq!(output.code, Some(1), "{output:#?}");
    assert!(output.stderr.contains(&servers), "{output:#?}");
}

/// Ctrl-C in the middle: the members leave the group before it ends.
#[tokio::test]
async fn example_3_stops_in_order_at_a_signal() {
    let kafka = Kafka::start().await;
    let mut running = EXAMPLE.start(kafka.cluster().servers().as_str(), &[]);
    running.read_until("C joins");
    running.signal("INT");
    let output = running.end(Duration::from_secs(20));
    assert!(output.success, "{output:#?}");
    assert_eq!(last_line(&output), "stopped early: all members have left");
}

#[test]
fn example_3_without_a_broker_says_so_at_once() {
    EXAMPLE.assert_says_that_no_broker_answers();
}
