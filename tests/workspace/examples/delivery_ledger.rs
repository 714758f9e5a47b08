//! Example 5: what four ways to deliver lose and double under the same faults.

use std::time::Duration;

use embedded_broker::Broker;
use workspace_tests::Output;

use crate::common::Kafka;
use crate::program::{Example, assert_readable, last_line};

static EXAMPLE: Example = Example::new("05_delivery_ledger");

/// Once, duplicated and lost in the row that begins so. Every row adds up to what was sent.
fn row(output: &Output, words: &str) -> [u64; 3] {
    let lines = output.stdout.lines();
    let mut rows = lines.filter_map(|line| {
        // The columns begin here.
        line.split_at_checked(44)
            .filter(|(name, _)| name.split_whitespace().collect::<Vec<_>>().join(" ") == words)
    });
    let (_, row) = rows
        .next()
        .unwrap_or_else(|| panic!("{words:?}: {output:#?}"));
    let numbers = row
        .split_whitespace()
        .map(|number| number.parse().expect(row));
    let [sent, once, duplicated, lost] = numbers.collect::<Vec<u64>>().try_into().expect(row);
    assert_eq!(sent, 500, "{words:?}: {output:#?}");
    assert_eq!(once + duplicated + lost, sent, "{words:?}: {output:#?}");
    [once, duplicated, lost]
}

/// S4-24, S4-27, X2, X5: what is lost and doubled is there to be counted, and the zeros hold. The second run shows the same.
#[tokio::test]
async fn example_5_counts_what_each_mode_loses_and_doubles() {
    let kafka = Kafka::start().await;
    for _ in 0..2 {
        let output = EXAMPLE.run(kafka.cluster().servers().as_str(), &[]);
        assert!(output.success, "{output:#?}");
        assert_readable(&output);
        let row = |words| row(&output, words);

        let mut total_lost = 0;
        for words in ["at most once acks=0", "at most once commit, then work"] {
            let [_, duplicated, lost] = row(words);
            assert!(lost > 0 && duplicated == 0, "{words}: {output:#?}");
            total_lost += lost;
        }
        let mut total_doubled = 0;
        for words in [
            "at least once acks=all, and retries",
            "at least once work, then commit",
        ] {
            let [_, duplicated, lost] = row(words);
            assert!(duplicated > 0 && lost == 0, "{words}: {output:#?}");
            total_doubled += duplicated;
        }
        for words in [
            "idempotent and sequence numbers",
            "transactional and in transactions",
            "idempotent ... to do it twice is no harm",
            "transactional both or neither",
            "flush before the program ends",
            "commit when a partition is revoked",
        ] {
            assert_eq!(row(words), [500, 0, 0], "{words}: {output:#?}");
        }
        assert_eq!(row("no flush before the program ends"), [0, 0, 500]);
        let [_, duplicated, lost] = row("no commit before a rebalance");
        assert!(duplicated > 0 && lost == 0, "{output:#?}");
        assert_eq!(
            last_line(&output),
            format!(
                "at most once lost {total_lost}, at least once doubled {total_doubled}, the others neither"
            )
        );
    }
}

#[tokio::test]
async fn example_5_stops_at_a_signal() {
    let kafka = Kafka::start().await;
    let mut running = EXAMPLE.start(kafka.cluster().servers().as_str(), &[]);
    running.read_until("answers are lost");
    running.signal("INT");
    let output = running.end(Duration::from_secs(20));
    assert!(output.success, "{output:#?}");
    assert_eq!(last_line(&output), "(stopped early)");
}

/// On a broker of its own, whatever the environment says.
#[tokio::test]
async fn example_5_ends_with_an_error_when_the_broker_is_gone() {
    let broker = Broker::builder().start().await.unwrap();
    let mut running = EXAMPLE.start(&broker.bootstrap_servers(), &[]);
    running.read_until("answers are lost");
    drop(broker);
    let output = running.end(Duration::from_secs(60));
    assert_eq!(output.code, Some(1), "{output:#?}");
    assert!(output.stderr.contains("Error: "), "{output:#?}");
}
