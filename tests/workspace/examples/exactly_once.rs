//! Example 7: a service that is killed makes every invoice once.

use std::time::Duration;

use embedded_broker::Broker;
use workspace_tests::Output;

use crate::common::Kafka;
use crate::program::{Example, assert_readable, last_line, number_behind};

static EXAMPLE: Example = Example::new("07_exactly_once");

/// Sent, once, duplicated and lost, as this reader saw it.
fn row(output: &Output, reader: &str) -> [u64; 4] {
    let lines = output.stdout.lines();
    let mut rows = lines.filter_map(|line| line.strip_prefix(reader));
    let row = rows.next().unwrap_or_else(|| panic!("{output:#?}"));
    let numbers: Vec<u64> = row
        .split_whitespace()
        .map(|number| number.parse().expect(row))
        .collect();
    numbers.try_into().expect(row)
}

/// X2, X13: nothing lost, nothing doubled, and the log shows that something was tried twice. The second run begins anew.
#[tokio::test]
async fn example_7_makes_every_invoice_once_and_fences_the_zombie() {
    let kafka = Kafka::start().await;
    for _ in 0..2 {
        let output = EXAMPLE.run(kafka.cluster().servers().as_str(), &[]);
        assert!(output.success, "{output:#?}");
        assert_readable(&output);
        assert_eq!(output.stdout.matches(" invoices, then killed").count(), 5);
        assert_eq!(row(&output, "read_committed"), [1015, 1015, 0, 0]);
        let [sent, once, duplicated, lost] = row(&output, "read_uncommitted");
        assert_eq!((sent, lost), (1015, 0), "{output:#?}");
        assert_eq!(once + duplicated, sent, "{output:#?}");
        // What the zombie wrote was written again, if nothing else was.
        assert!(duplicated > 0, "{output:#?}");
        for words in [
            "old instance  made 15 invoices",
            "new instance  has the same transactional id",
            " was fenced:",
        ] {
            assert!(output.stdout.contains(words), "{words:?}: {output:#?}");
        }
        assert_eq!(last_line(&output), "1015 orders: lost 0, duplicated 0");
    }
}

/// On a broker of its own, whatever the environment says.
#[tokio::test]
async fn example_7_ends_with_an_error_when_the_broker_is_gone() {
    let broker = Broker::builder().start().await.unwrap();
    let servers = broker.bootstrap_servers();
    let mut running = EXAMPLE.start(&servers, &["--kills", "50"]);
    running.read_until("life 2");
    drop(broker);
    let output = running.end(Duration::from_secs(60));
    assert_eq!(output.code, Some(1), "{output:#?}");
    let question = "Error: is the broker still there?";
    assert!(output.stderr.contains(question), "{output:#?}");
}

/// Ctrl-C while the service is killed again and again: one kill more.
#[tokio::test]
async fn example_7_stops_in_order_at_a_signal() {
    let kafka = Kafka::start().await;
    let mut running = EXAMPLE.start(kafka.cluster().servers().as_str(), &["--kills", "50"]);
    running.read_until("life 2");
    running.signal("INT");
    let output = running.end(Duration::from_secs(20));
    assert!(output.success, "{output:#?}");
    assert_readable(&output);
    let last = last_line(&output);
    assert!(last.ends_with(", duplicated 0 (stopped early)"), "{last}");
    assert!(number_behind(last, "lost ") > 0, "it came too late: {last}");
}
