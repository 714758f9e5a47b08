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

use rdkafka::Message;

use crate::Error;
use crate::config::{Cluster, IsolationLevel};
use crate::ledger::{Ledger, LedgerReport};
use crate::producer::RecordProducer;
use crate::topic_contents;

/// Over so many keys the numbers are dealt, so that partitions have something to divide, and a key has an order.
const KEYS: u64 = 8;

/// The key of the record with this number.
pub fn key(number: u64) -> String {
    format!("key-{}", number % KEYS)
}

/// The number that a record carries: the last word of its payload.
pub fn number(record: &impl Message) -> Option<u64> {
    last_word(std::str::from_utf8(record.payload()?).ok()?)
}

fn last_word(text: &str) -> Option<u64> {
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

/// A ledger in which these numbers are sent, and none is seen.
pub fn ledger(numbers: Range<u64>) -> Ledger {
    let ledger = Ledger::new();
    for number in numbers {
        ledger.sent(key(number), number);
    }
    ledger
}

/// Writes down that a record was seen. One without a number counts as one that nobody sent.
pub fn see(ledger: &Ledger, record: &impl Message) {
    let key = record.key().unwrap_or_default();
    ledger.seen(key, number(record).unwrap_or(u64::MAX));
}

/// Writes down what a program says that it has seen: the number is the last word of the line.
pub fn see_line(ledger: &Ledger, line: &str) {
    let number = last_word(line).unwrap_or(u64::MAX);
    ledger.seen(key(number), number);
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
    let ledger = ledger(numbers);
    let count = topic_contents::read(cluster, topic, isolation, |record| {
        see(&ledger, record);
    });
    count.await?;
    Ok(ledger.report())
}

#[cfg(test)]
mod tests {
    use rdkafka::Timestamp;
    use rdkafka::message::OwnedMessage;

    use super::*;

    fn record(number: u64, payload: &str) -> OwnedMessage {
        let (key, payload) = (key(number).into_bytes(), payload.as_bytes().to_vec());
        let (timestamp, topic) = (Timestamp::NotAvailable, "orders".to_owned());
        OwnedMessage::new(Some(payload), Some(key), topic, timestamp, 0, 0, None)
    }

    #[test]
    fn the_number_is_the_last_word_of_the_payload() {
        for (payload, expected) in [
            ("17", Some(17)),
            ("an invoice for order 17", Some(17)),
            ("17 orders", None),
            ("", None),
        ] {
            assert_eq!(number(&record(17, payload)), expected);
        }
    }

    /// S3-13: a record and a line count alike, and what has no number is nobody's.
    #[test]
    fn what_is_seen_is_written_down() {
        let ledger = ledger(0..20);
        for seen in 0..10 {
            see(&ledger, &record(seen, &format!("order {seen}")));
        }
        for seen in 9..19 {
            see_line(&ledger, &format!("worked on {seen}"));
        }
        see(&ledger, &record(3, "no order"));
        see_line(&ledger, "no order");
        let report = ledger.report();
        assert_eq!((report.once, report.duplicated, report.lost), (18, 1, 1));
        assert_eq!(report.unexpected, 2);
    }
}
