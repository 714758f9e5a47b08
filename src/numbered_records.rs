//! Records that carry a number, so that a [`Ledger`] can say afterwards what became of each.
//!
//! ```no_run
//! # async fn example() -> Result<(), kafka_event_streaming::Error> {
//! use kafka_event_streaming::config::{Cluster, IsolationLevel, ProducerSettings};
//! use kafka_event_streaming::numbered_records;
//! use kafka_event_streaming::producer::RecordProducer;
//!
//! let cluster = Cluster::from_environment()?;
//! let producer = RecordProducer::new(&cluster, &ProducerSettings::reliable())?;
//! numbered_records::send(&producer, "orders", 0..1000).await?;
//! let report = numbered_records::count(&cluster, "orders", IsolationLevel::ReadCommitted, 0..1000).await?;
//! assert!(report.is_exactly_once());
//! # Ok(())
//! # }
//! ```

use std::ops::Range;
use std::time::{Duration, Instant};

use rdkafka::Message;

use crate::Error;
use crate::config::{Cluster, IsolationLevel};
use crate::ledger::{Ledger, LedgerReport};
use crate::producer::RecordProducer;
use crate::topic_contents;

/// Over so many keys the numbers are dealt, so that partitions have something to divide, and a key has an order.
const KEYS: u64 = 8;

/// Between two looks at a topic in which something is missing.
const PAUSE: Duration = Duration::from_millis(50);

/// The key of the record with this number.
pub fn key(number: u64) -> String {
    format!("key-{}", number % KEYS)
}

/// The number that a record carries: the last word of its payload.
pub fn number(record: &impl Message) -> Option<u64> {
    let text = std::str::from_utf8(record.payload()?).ok()?;
    text.rsplit(' ').next()?.parse().ok()
}

/// Sends a record for each number, and then awaits their delivery reports.
///
/// # Errors
///
/// As [`RecordProducer::enqueue`], and the first bad delivery report.
pub async fn send(
    producer: &RecordProducer,
    topic: &str,
    numbers: Range<u64>,
) -> Result<(), Error> {
    let mut pending = Vec::new();
    for number in numbers {
        let (key, payload) = (key(number), number.to_string());
        let report = producer.enqueue(topic, key.as_bytes(), payload.as_bytes());
        pending.push(report.await?);
    }
    for report in pending {
        report.await?;
    }
    Ok(())
}

/// Reads all of a topic, and says what became of the records that were sent with these numbers. What carries another
/// number, or none, is unexpected.
///
/// # Errors
///
/// As [`topic_contents::read`].
pub async fn count(
    cluster: &Cluster,
    topic: &str,
    isolation: IsolationLevel,
    numbers: Range<u64>,
) -> Result<LedgerReport, Error> {
    let ledger = Ledger::new();
    for number in numbers {
        ledger.sent(key(number), number);
    }
    let count = topic_contents::read(cluster, topic, isolation, |record| {
        let key = record.key().unwrap_or_default();
        ledger.seen(key, number(record).unwrap_or(u64::MAX));
    });
    count.await?;
    Ok(ledger.report())
}

/// Waits until readers of committed records see every number.
///
/// # Errors
///
/// As [`count`], and [`Error::StillMissing`] when `patience` is over.
pub async fn wait_for_all(
    cluster: &Cluster,
    topic: &str,
    numbers: Range<u64>,
    patience: Duration,
) -> Result<(), Error> {
    let deadline = Instant::now() + patience;
    loop {
        let committed = IsolationLevel::ReadCommitted;
        let report = count(cluster, topic, committed, numbers.clone()).await?;
        if report.is_at_least_once() {
            return Ok(());
        }
        if Instant::now() >= deadline {
            return Err(Error::StillMissing {
                topic: topic.to_owned(),
                missing: report.lost,
                waited: patience,
            });
        }
        tokio::time::sleep(PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::Timestamp;
    use rdkafka::message::OwnedMessage;

    use super::*;

    #[test]
    fn the_number_is_the_last_word_of_the_payload() {
        for (payload, expected) in [
            ("17", Some(17)),
            ("an invoice for order 17", Some(17)),
            ("17 orders", None),
            ("", None),
        ] {
            let payload = Some(payload.as_bytes().to_vec());
            let (timestamp, topic) = (Timestamp::NotAvailable, "orders".to_owned());
            let record = OwnedMessage::new(payload, None, topic, timestamp, 0, 0, None);
            assert_eq!(number(&record), expected);
        }
    }
}
