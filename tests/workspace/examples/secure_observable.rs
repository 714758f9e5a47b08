//! Example 9: who gets in and who does not, one trace through three logs, and lag that rises and falls.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use embedded_broker::Broker;
use serde_json::Value;
use workspace_tests::{Output, can_build_tls, free_port, root};

use crate::common::Kafka;
use crate::program::{Example, assert_readable, last_line, number_behind};

static EXAMPLE: Example = Example::new("09_secure_observable");

const SERVICES: [&str; 3] = ["orders", "payments", "shipping"];

/// Long enough to look at it on the way.
const LONG: [&str; 2] = ["--orders", "3000"];

/// S1-10, S1-11, S1-19, S2-03, S3-04: on the broker that the example brings along, the services by TLS and with a password,
/// all is as it should be. Two runs at the same time do not meet: they have topics, groups and folders of their own.
#[tokio::test]
async fn example_9_by_itself_is_secure_and_observable() {
    if !can_build_tls() {
        return;
    }
    EXAMPLE.binary();
    std::thread::scope(|scope| {
        let other = scope.spawn(|| EXAMPLE.run_alone(&[]));
        for output in [EXAMPLE.run_alone(&[]), other.join().unwrap()] {
            let services = line(&output, "Three services on ");
            assert!(services.ends_with(", by SASL_SSL"), "{services}");
            check(&output);
        }
    });
}

/// The same services on a named cluster, by the security settings of the environment: none. The clients are turned away by
/// the broker that it brings along.
#[tokio::test]
async fn example_9_on_a_named_cluster_is_observable() {
    if !can_build_tls() {
        return;
    }
    let kafka = Kafka::start().await;
    let servers = kafka.cluster().servers().as_str();
    let output = EXAMPLE.run(servers, &[]);
    let services = format!("Three services on {servers}, by PLAINTEXT");
    assert_eq!(line(&output, "Three services on "), services);
    check(&output);
}

fn line<'a>(output: &'a Output, begin: &str) -> &'a str {
    let mut lines = output.stdout.lines();
    let found = lines.find(|line| line.starts_with(begin));
    found.unwrap_or_else(|| panic!("no line {begin:?}: {output:#?}"))
}

fn check(output: &Output) {
    assert!(output.success, "{output:#?}");
    assert_readable(output);
    check_doors(output);
    let (highest, last) = check_lag(output);
    check_logs(output);
    assert_eq!(
        last_line(output),
        format!("3 of 4 clients refused; lag {highest}, then {last}; 1 trace in 3 logs")
    );
    std::fs::remove_dir_all(folder(output)).unwrap();
}

/// What each client is told.
fn check_doors(output: &Output) {
    let (_, doors) = output.stdout.split_once("ca.pem\n\n").unwrap();
    let (doors, _) = doors.split_once("\n\n").unwrap();
    let mut told: Vec<String> = Vec::new();
    for line in doors.lines() {
        // A line that goes on with the answer before is indented further.
        if !line.starts_with("   ") {
            told.push(String::new());
        }
        let told = told.last_mut().unwrap();
        *told = format!("{told} {}", line.trim());
    }
    let parts: [(&str, &[&str]); 4] = [
        ("no TLS", &[]),
        (
            "TLS, but not this CA",
            &["certificate verify failed", "ssl.ca.location"],
        ),
        ("wrong password", &["authentication failed"]),
        ("CA and password", &["is let in"]),
    ];
    assert_eq!(told.len(), parts.len(), "{told:#?}");
    for (told, (client, parts)) in told.iter().zip(parts) {
        assert!(told.trim().starts_with(client), "{told}");
        // The question's own error says no more than that there was no answer.
        assert!(!told.contains("fetch error"), "{told}");
        for part in parts {
            let told = told.to_lowercase();
            assert!(told.contains(&part.to_lowercase()), "{told}");
        }
    }
    assert_eq!(doors.matches("is let in").count(), 1, "{doors}");
}

/// The lag of shipping is 0 in the end and was far from it before. Returns the highest and the last.
fn check_lag(output: &Output) -> (u64, u64) {
    let (_, table) = output.stdout.split_once("lag of shipping\n").unwrap();
    let (table, _) = table.split_once("\n\n").unwrap();
    let rows: Vec<[u64; 3]> = table
        .lines()
        .map(|line| {
            let (seconds, rest) = line.split_once(" s ").expect(line);
            seconds.trim().parse::<f64>().expect(line);
            let mut numbers = rest.split_whitespace();
            [(); 3].map(|()| numbers.next().expect(line).parse().expect(line))
        })
        .collect();
    assert!(rows.is_sorted_by_key(|[placed, ..]| *placed), "{table}");
    let [placed, lag_of_payments, last] = *rows.last().unwrap();
    assert_eq!([placed, lag_of_payments, last], [240, 0, 0], "{table}");
    let highest = rows.iter().map(|[.., lag]| *lag).max().unwrap();
    assert!(highest >= 60, "it hardly rose: {table}");
    (highest, last)
}

/// The folder of this run. It stays when the run is over, for its reader.
fn folder(output: &Output) -> PathBuf {
    let certificate = output.stdout.lines().find(|line| line.ends_with("/ca.pem"));
    root()
        .join(certificate.unwrap())
        .parent()
        .unwrap()
        .to_owned()
}

/// All lines of a service's log, which are JSON without an exception.
fn log(output: &Output, service: &str) -> Vec<Value> {
    let path = folder(output).join(format!("{service}.log"));
    let text = std::fs::read_to_string(path).unwrap();
    let lines = text.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}

/// One trace id in the logs of three services, in spans of their own, each the child of the one before.
fn check_logs(output: &Output) {
    let command = line(output, "grep ");
    let trace = command.split(' ').nth(1).unwrap();
    assert_eq!(trace.len(), 32, "{command}");
    assert!(
        trace.bytes().all(|byte| byte.is_ascii_hexdigit()),
        "{trace}"
    );

    let mut spans: BTreeMap<(&str, String), (String, String)> = BTreeMap::new();
    for service in SERVICES {
        for line in log(output, service) {
            // Not only of the one that is shown: every line about an order leads to its trace.
            let is_traced = line["span"]["trace_id"].is_string();
            assert!(is_traced || line["fields"]["order"].is_null(), "{line}");
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let span = &line["span"];
            if span["trace_id"] == trace {
                let ids = (text(&span["span_id"]), text(&span["parent_id"]));
                spans.insert((service, text(&span["name"])), ids);
            }
        }
    }
    let names: Vec<(&str, &str)> = spans
        .keys()
        .map(|(service, name)| (*service, name.as_str()))
        .collect();
    let expected = [
        ("orders", "begin"),
        ("orders", "publish"),
        ("payments", "process"),
        ("payments", "publish"),
        ("shipping", "process"),
    ];
    assert_eq!(names, expected, "{output:#?}");
    let ids: BTreeSet<&str> = spans.values().map(|(id, _)| id.as_str()).collect();
    assert_eq!(
        ids.len(),
        spans.len(),
        "a span id is there twice: {spans:?}"
    );
    assert!(ids.iter().all(|id| id.len() == 16), "{spans:?}");
    for (sender, receiver) in [("orders", "payments"), ("payments", "shipping")] {
        let (sent, _) = &spans[&(sender, "publish".to_owned())];
        let (_, parent) = &spans[&(receiver, "process".to_owned())];
        assert_eq!(sent, parent, "{sender} to {receiver}: {spans:?}");
    }

    // The table shows the same, and no other order has a part in this trace.
    let (_, table) = output.stdout.split_once(" says\n").unwrap();
    let (table, _) = table.split_once("\n\n").unwrap();
    assert_eq!(table.lines().count(), spans.len(), "{table}");
    for (id, _) in spans.values() {
        assert!(table.contains(id), "{id}: {table}");
    }
    for word in ["placed", "paid", "shipped"] {
        assert_eq!(table.matches(word).count(), 1, "{word}: {table}");
    }
}

/// What is at this address, asked for as a browser would.
fn get(url: &str) -> String {
    let address = url.trim_start_matches("http://");
    let (host, path) = address.split_once('/').unwrap();
    let mut stream = TcpStream::connect(host).unwrap();
    let request = format!("GET /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// S1-19: each service has its numbers at /metrics. Then Ctrl-C in the middle: the services end in order, and what they did
/// until then can be seen.
#[tokio::test]
async fn example_9_serves_metrics_and_stops_in_order_at_a_signal() {
    if !can_build_tls() {
        return;
    }
    let mut running = EXAMPLE.start_alone(&LONG);
    let urls = SERVICES.map(|service| {
        let line = running.read_until(&format!("  {service}"));
        let url = line.split_whitespace().nth(1).unwrap();
        url.to_owned()
    });
    running.read_until("■");
    let [orders, payments, shipping] = urls.each_ref().map(|url| get(url));
    for answer in [&orders, &payments, &shipping] {
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(answer.contains("openmetrics-text"), "{answer}");
        assert!(answer.contains("\n# EOF\n"), "{answer}");
    }
    for (answer, names) in [
        (
            &orders,
            &[
                "kafka_producer_records_total{topic=",
                "kafka_producer_delivery_seconds_bucket{le=",
                "kafka_producer_queued_records ",
                "kafka_producer_error_rate ",
                "kafka_producer_connected_brokers ",
                "kafka_producer_round_trip_seconds{quantile=\"0.99\"",
            ][..],
        ),
        (&payments, &["kafka_producer_records_total{topic="]),
        (
            &shipping,
            &[
                "kafka_group_lag_records{group=",
                "kafka_group_committed_offset{group=",
            ],
        ),
    ] {
        for name in names {
            let is_there = answer.lines().any(|line| line.starts_with(name));
            assert!(is_there, "{name}: {answer}");
        }
    }
    running.signal("INT");
    let output = running.end(Duration::from_secs(30));
    assert!(output.success, "{output:#?}");
    assert_readable(&output);
    let last = last_line(&output);
    assert!(
        last.ends_with("1 trace in 3 logs (stopped early)"),
        "{last}"
    );
    assert!(number_behind(last, "lag ") > 0, "{last}");
    for url in urls {
        let host = url
            .trim_start_matches("http://")
            .trim_end_matches("/metrics");
        assert!(TcpStream::connect(host).is_err(), "{url} is still there");
    }
    std::fs::remove_dir_all(folder(&output)).unwrap();
}

/// A named broker that goes away in the middle: an error that names it, and the services go with their parent.
#[tokio::test]
async fn example_9_says_so_when_the_broker_goes_away() {
    if !can_build_tls() {
        return;
    }
    EXAMPLE.binary();
    let broker = Broker::builder().start().await.unwrap();
    let servers = broker.bootstrap_servers();
    let mut running = EXAMPLE.start(&servers, &LONG);
    let line = running.read_until("  shipping");
    let url = line.split_whitespace().nth(1).unwrap().to_owned();
    running.read_until("■");
    drop(broker);
    let output = running.end(Duration::from_secs(60));
    assert_eq!(output.code, Some(1), "{output:#?}");
    assert!(output.stderr.contains(&servers), "{output:#?}");
    let host = url
        .trim_start_matches("http://")
        .trim_end_matches("/metrics");
    assert!(TcpStream::connect(host).is_err(), "{url} is still there");
    std::fs::remove_dir_all(folder(&output)).unwrap();
}

#[test]
fn example_9_without_the_named_broker_says_so_at_once() {
    if !can_build_tls() {
        return;
    }
    let address = format!("127.0.0.1:{}", free_port());
    EXAMPLE.binary();
    let started = Instant::now();
    let output = EXAMPLE.run(&address, &[]);
    assert_eq!(output.code, Some(1), "{output:#?}");
    assert!(started.elapsed() < Duration::from_secs(5));
    assert!(output.stderr.contains(&address), "{output:#?}");
}
