//! Put records aside that cannot be processed, with everything that is needed to find out why and to try again.
//!
//! A dead letter is the original record, byte for byte, with headers about where it comes from and what went wrong. It is
//! written and confirmed before the original's offset is committed: the other way round, a crash in between loses it (row
//! X10). [`redrive`](crate::redrive) sends dead letters back when the cause is mended.

use std::str;
use std::time::SystemTime;

use jiff::Timestamp;
use rdkafka::message::Header;
use tracing::warn;

use crate::Error;
use crate::assignment::TopicPartition;
use crate::consumed_record::ConsumedRecord;
use crate::producer::{Delivery, Record, RecordProducer};

/// What the names of all headers of this module start with.
pub(crate) const PREFIX: &str = "dead-letter.";
/// The topic that the record was read from.
pub const TOPIC_HEADER: &str = "dead-letter.topic";
/// The partition that it was read from, in decimal.
pub const PARTITION_HEADER: &str = "dead-letter.partition";
/// Its offset there, in decimal.
pub const OFFSET_HEADER: &str = "dead-letter.offset";
/// Why it was put aside, in words.
pub const ERROR_HEADER: &str = "dead-letter.error";
/// How often it was tried, in decimal. 0 if it could not be decoded.
pub const ATTEMPTS_HEADER: &str = "dead-letter.attempts";
/// When it failed for the first time: RFC 3339, UTC.
pub const FIRST_FAILURE_HEADER: &str = "dead-letter.first-failure";

/// The longest error that is written, in bytes. A record has an upper limit, and this counts towards it.
const LONGEST_ERROR: usize = 2_000;

/// A record that is put aside, and why.
#[derive(Debug)]
pub struct DeadLetter<'a> {
    /// The record.
    pub record: &'a ConsumedRecord<'a>,
    /// What went wrong.
    pub error: &'a str,
    /// How often it was tried.
    pub attempts: u32,
    /// When it failed for the first time.
    pub first_failure: SystemTime,
}

/// Where records are put aside. The processor knows no more of it than this, so that a service may use a table instead.
pub trait DeadLetters {
    /// Puts a record aside, and returns when it is safe.
    fn put_aside(&self, letter: &DeadLetter<'_>) -> impl Future<Output = Result<(), Error>>;
}

/// Puts records aside in a topic.
#[derive(Debug, Clone)]
pub struct DeadLetterProducer {
    records: RecordProducer,
    topic: String,
}

impl DeadLetterProducer {
    /// Writes dead letters to `topic` by the client of `records`, which may serve other topics too. It has to be an
    /// idempotent or at least a confirmed one: with `acks=0` nobody would know whether the dead letter is there.
    ///
    /// The topic should keep records for longer than their origin does, and take slightly larger ones: the headers come on
    /// top.
    pub fn new(records: &RecordProducer, topic: &str) -> Self {
        Self {
            records: records.clone(),
            topic: topic.to_owned(),
        }
    }

    /// The topic.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// Writes a dead letter, and waits for its delivery report. Key, payload, headers and timestamp are the original's.
    ///
    /// # Errors
    ///
    /// As [`RecordProducer::enqueue`], and [`Error::NotDelivered`]. The original must not be committed then.
    pub async fn send(&self, letter: &DeadLetter<'_>) -> Result<Delivery, Error> {
        let origin = letter.record;
        let first_failure =
            Timestamp::try_from(letter.first_failure).unwrap_or(Timestamp::UNIX_EPOCH);
        // Those of an earlier time may be there, if somebody sent it back without taking them off.
        let mut headers = origin.headers_where(|name| !name.starts_with(PREFIX));
        for (key, value) in [
            (TOPIC_HEADER, origin.topic()),
            (PARTITION_HEADER, &origin.partition().to_string()),
            (OFFSET_HEADER, &origin.offset().to_string()),
            (ERROR_HEADER, shortened(letter.error)),
            (ATTEMPTS_HEADER, &letter.attempts.to_string()),
            (FIRST_FAILURE_HEADER, &format!("{first_failure:.3}")),
        ] {
            let value = Some(value);
            headers = headers.insert(Header { key, value });
        }
        let record = Record {
            topic: &self.topic,
            key: origin.key(),
            payload: origin.payload(),
            headers: Some(headers),
            partition: None,
            timestamp: origin.timestamp(),
        };
        let delivery = self.records.enqueue_record(record).await?.await?;
        warn!(
            origin = %origin.topic_partition(),
            offset = origin.offset(),
            topic = self.topic,
            partition = delivery.partition,
            dead_letter_offset = delivery.offset,
            attempts = letter.attempts,
            error = letter.error,
            "put aside",
        );
        Ok(delivery)
    }
}

impl DeadLetters for DeadLetterProducer {
    async fn put_aside(&self, letter: &DeadLetter<'_>) -> Result<(), Error> {
        self.send(letter).await.map(|_| ())
    }
}

/// Where a dead letter comes from, and what went wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// Topic and partition.
    pub partition: TopicPartition,
    /// Its offset there.
    pub offset: i64,
    /// What went wrong.
    pub error: String,
    /// How often it was tried.
    pub attempts: u32,
    /// When it failed for the first time: RFC 3339.
    pub first_failure: String,
}

impl Origin {
    /// Reads the headers. None when `letter` is no dead letter, or somebody else's.
    pub fn of(letter: &ConsumedRecord<'_>) -> Option<Self> {
        let text = |name| str::from_utf8(letter.header(name)?).ok();
        Some(Self {
            partition: TopicPartition::new(
                text(TOPIC_HEADER)?,
                text(PARTITION_HEADER)?.parse().ok()?,
            ),
            offset: text(OFFSET_HEADER)?.parse().ok()?,
            error: text(ERROR_HEADER)?.to_owned(),
            attempts: text(ATTEMPTS_HEADER)?.parse().ok()?,
            first_failure: text(FIRST_FAILURE_HEADER)?.to_owned(),
        })
    }
}

/// Cut at the limit, between two characters.
fn shortened(error: &str) -> &str {
    let end = (0..=error.len().min(LONGEST_ERROR))
        .rev()
        .find(|&end| error.is_char_boundary(end));
    &error[..end.unwrap_or(0)]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// S1-17: an error of any length and script fits into its header.
    #[test]
    fn a_long_error_is_cut_between_characters() {
        assert_eq!(shortened("too late"), "too late");
        let long = "ä".repeat(3_000);
        assert_eq!(shortened(&long), "ä".repeat(1_000));
        let odd = format!("a{long}");
        assert_eq!(shortened(&odd).len(), 1_999);
    }
}
