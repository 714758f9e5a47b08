//! Example 8: totals by event time, whose state comes back after each kill.

use std::collections::BTreeMap;
use std::time::Duration;

use embedded_broker::Broker;
use workspace_tests::Output;

use crate::common::Kafka;
use crate::program::{Example, assert_readable, last_line, number_behind};

static EXAMPLE: Example = Example::new("08_windowed_totals");

/// Sales that come when their minute is closed, at the usual grace.
const TOO_LATE: u64 = 8;

/// Minutes that are over, by product.
const TOTALS: usize = 5 * 3;

/// A row of the chart: sales, cents, and how long the two parts of its bar are.
#[derive(Debug, PartialEq)]
struct Bar {
    sales: u64,
    cents: u64,
    in_time: usize,
    late: usize,
}

/// The rows of the chart, by minute and product.
fn chart(output: &Output) -> BTreeMap<(String, String), Bar> {
    let (_, chart) = output.stdout.split_once("minute  product").unwrap();
    let (chart, _) = chart.split_once("in minutes that are open").unwrap();
    let mut minute = String::new();
    let mut bars = BTreeMap::new();
    for line in chart.lines().filter(|line| line.contains('█')) {
        let (heading, row) = line.split_at(8);
        if !heading.trim().is_empty() {
            minute = heading.trim().to_owned();
        }
        let words: Vec<&str> = row.split_whitespace().collect();
        let [product, sales, amount, bar] = words[..] else {
            panic!("{line}")
        };
        let bar = Bar {
            sales: sales.parse().expect(line),
            cents: amount.replace('.', "").parse().expect(line),
            in_time: bar.matches('█').count(),
            late: bar.matches('▒').count(),
        };
        bars.insert((minute.clone(), product.to_owned()), bar);
    }
    bars
}

/// Of each life of the service: totals restored, records read for it, sales added.
fn lives(output: &Output) -> Vec<[u64; 3]> {
    let lines = output.stdout.lines();
    let lives = lines
        .filter_map(|line| line.strip_prefix("service "))
        .map(|line| {
            let words = line.split_whitespace().skip(1);
            let numbers: Vec<u64> = words.filter_map(|word| word.parse().ok()).collect();
            numbers.try_into().expect(line)
        });
    lives.collect()
}

/// S0-16, X13: the totals are those of an undisturbed computation, though the service was killed twice; what was
/// restored is there to be seen; late sales count or are set aside. Two runs on one broker show the same.
#[tokio::test]
async fn example_8_adds_up_by_event_time_and_survives_being_killed() {
    let kafka = Kafka::start().await;
    let servers = kafka.cluster().servers().as_str();
    let [one, other] = EXAMPLE.run_twice(servers, &[]);
    check(&one);
    check(&other);
    assert_eq!(chart(&one), chart(&other));
}

fn check(output: &Output) {
    assert!(output.success, "{output:#?}");
    assert_readable(output);
    assert!(
        !output.stdout.contains('\x1b'),
        "colours, and this is no terminal: {output:#?}"
    );
    let has = |words: &str| assert!(output.stdout.contains(words), "{words:?}: {output:#?}");

    // By event time six minutes, though all of it is written within one or two.
    has("600 sales, made from 09:00:");
    has("By when they were made they belong to 6 minutes, by arrival to ");

    // Two that were killed in the middle, and one that came to the end. What each began with is what the one before it
    // had committed, not what all of them had counted.
    let lives = lives(output);
    let [first, second, third] = lives[..] else {
        panic!("{lives:?}: {output:#?}")
    };
    assert_eq!(first[..2], [0, 0]);
    for [restored, records, _] in [second, third] {
        assert!((1..=9).contains(&restored), "{output:#?}");
        assert!(records > restored, "{output:#?}");
    }
    assert!(first[2] >= 150 && second[2] >= 140, "{output:#?}");
    let added: u64 = lives.iter().map(|[.., added]| added).sum();
    assert!(added >= 600 - TOO_LATE, "{output:#?}");
    let (_, left) = output.stdout.split_once("these open totals:").unwrap();
    let (left, _) = left.split_once("service 2").unwrap();
    assert!(left.contains(" sales "), "{output:#?}");

    // Bars, whose late part is there to be seen.
    let chart = chart(output);
    assert_eq!(chart.len(), TOTALS, "{output:#?}");
    assert!(chart.values().any(|bar| bar.late > 0), "{output:#?}");
    let longest = chart.values().max_by_key(|bar| bar.cents).unwrap();
    for bar in chart.values() {
        let share = bar.cents as f64 / longest.cents as f64;
        let length = (bar.in_time + bar.late) as f64;
        let full = (longest.in_time + longest.late) as f64;
        assert!((length - share * full).abs() <= 1.0, "{output:#?}");
    }
    let in_chart: u64 = chart.values().map(|bar| bar.sales).sum();
    assert_eq!(in_chart, number_behind(last_line(output), "final "));

    // Each one that came too late is reported.
    let (_, aside) = output
        .stdout
        .split_once("when the latest was of\n")
        .unwrap();
    let (aside, _) = aside.split_once("\n\n").unwrap();
    assert_eq!(aside.lines().count() as u64, TOO_LATE, "{output:#?}");
    assert!(!aside.contains('?'), "{output:#?}");

    has("equal to an undisturbed computation: 15 of 15 totals, 3 of 3 open; doubled 0\n");
    let summary = "600 sales: final 559, open 33, too late 8, missing 0";
    assert_eq!(last_line(output), summary);
}

/// Without grace more is too late, and the totals are right all the same.
#[tokio::test]
async fn example_8_without_grace_sets_more_aside() {
    let kafka = Kafka::start().await;
    let output = EXAMPLE.run(kafka.cluster().servers().as_str(), &["--grace", "0"]);
    assert!(output.success, "{output:#?}");
    assert!(!output.stdout.contains("▒▒"), "{output:#?}");
    let last = last_line(&output);
    assert!(number_behind(last, "too late ") > 3 * TOO_LATE, "{last}");
    assert_eq!(number_behind(last, "missing "), 0, "{last}");
}

/// A broker that goes away in the middle ends it with an error and a question.
#[tokio::test]
async fn example_8_ends_with_an_error_when_the_broker_is_gone() {
    let broker = Broker::builder().start().await.unwrap();
    let servers = broker.bootstrap_servers();
    let mut running = EXAMPLE.start(&servers, &["--pace", "10"]);
    running.read_until("service 1");
    drop(broker);
    let output = running.end(Duration::from_secs(60));
    assert_eq!(output.code, Some(1), "{output:#?}");
    let question = "Error: is the broker still there?";
    assert!(output.stderr.contains(question), "{output:#?}");
}

/// Ctrl-C in the middle: what is final by then is right, and the rest is said to be missing.
#[tokio::test]
async fn example_8_stops_in_order_at_a_signal() {
    let kafka = Kafka::start().await;
    let mut running = EXAMPLE.start(kafka.cluster().servers().as_str(), &["--pace", "10"]);
    running.read_until("service 1");
    running.signal("INT");
    let output = running.end(Duration::from_secs(20));
    assert!(output.success, "{output:#?}");
    assert_readable(&output);
    let last = last_line(&output);
    assert!(last.ends_with(" (stopped early)"), "{last}");
    assert!(number_behind(last, "open ") > 0, "{last}");
    assert!(
        number_behind(last, "missing ") > 0,
        "it came too late: {last}"
    );
}

#[test]
fn example_8_without_a_broker_says_so_at_once() {
    EXAMPLE.assert_says_that_no_broker_answers();
}
