//! What a topic's configuration asks of the records that are produced to it: keys, where the topic is compacted, and
//! times within bounds (`org.apache.kafka.storage.internals.log.LogValidator`).
//!
//! Where it asks for nothing, which a batch's header tells, records are not looked at. Otherwise the state is not kept
//! waiting for it: a batch of a kilobyte may decompress to a hundred megabytes.

use std::ops::RangeInclusive;

use kafka_protocol::error::ResponseError;

use super::produce_request::Failure;
use crate::clock::Now;
use crate::config::topic::TopicConfig;
use crate::log::{BatchHeader, Codec, Records};

/// `message.timestamp.before.max.ms` of a topic that takes any time in the past.
const ANY_PAST: i64 = i64::MAX;
/// The time of a record that has none.
const NO_TIMESTAMP: i64 = -1;
/// So many records at fault are listed in the answer to one request.
const MAX_LISTED: usize = 10_000;
/// A batch of at most so many bytes, and not compressed, takes microseconds.
const SMALL: usize = 16 * 1024;

/// What is asked of the records of one batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rule {
    needs_keys: bool,
    /// In milliseconds since the Unix epoch; none if any time will do.
    times: Option<RangeInclusive<i64>>,
}

impl Rule {
    /// None if nothing is asked.
    pub(super) fn of(header: &BatchHeader, config: &TopicConfig, now: Now) -> Option<Self> {
        let earliest = now
            .unix_ms
            .saturating_sub(config.message_timestamp_before_max_ms);
        let latest = now
            .unix_ms
            .saturating_add(config.message_timestamp_after_max_ms);
        let bounded_past = config.message_timestamp_before_max_ms != ANY_PAST;
        let check_times =
            !config.log_append_time && (bounded_past || header.max_timestamp > latest);
        let rule = Self {
            needs_keys: config.compact,
            times: check_times.then_some(earliest..=latest),
        };
        (rule.needs_keys || rule.times.is_some()).then_some(rule)
    }

    /// Checks the records of one batch.
    ///
    /// # Errors
    /// INVALID_TIMESTAMP or INVALID_RECORD, with the records at fault; nothing of the batch is appended then.
    fn check(&self, batch: &[u8], topic: &str, partition: i32, room: usize) -> Result<(), Failure> {
        let unreadable = || {
            Failure::new(
                ResponseError::UnknownServerError,
                "the records cannot be read",
            )
        };
        let records = Records::of(batch).ok_or_else(unreadable)?;
        let mut faults = Faults::new(room);
        for (index, record) in (0..).zip(records.all().ok_or_else(unreadable)?) {
            let time = records.timestamp(&record);
            let is_out =
                |times: &&RangeInclusive<i64>| time != NO_TIMESTAMP && !times.contains(&time);
            if self.needs_keys && record.key.is_none() {
                faults.add(ResponseError::InvalidRecord, index, || {
                    format!(
                        "Compacted topic cannot accept message without key in topic partition {topic}-{partition}"
                    )
                });
            } else if let Some(times) = self.times.as_ref().filter(is_out) {
                faults.add(ResponseError::InvalidTimestamp, index, || {
                    format!(
                        "Timestamp {time} of message with offset {index} is out of range. The timestamp should be \
                         within [{}, {}]",
                        times.start(),
                        times.end()
                    )
                });
            }
        }
        faults.result()
    }
}

/// The records at fault of one batch.
struct Faults {
    count: usize,
    /// How many are listed at most.
    room: usize,
    listed: Vec<(i32, String)>,
    error: ResponseError,
}

impl Faults {
    fn new(room: usize) -> Self {
        Self {
            count: 0,
            room,
            listed: Vec::new(),
            error: ResponseError::InvalidRecord,
        }
    }

    fn add(&mut self, error: ResponseError, index: i32, message: impl FnOnce() -> String) {
        self.count += 1;
        if error == ResponseError::InvalidTimestamp {
            self.error = error;
        }
        if self.listed.len() < self.room {
            self.listed.push((index, message()));
        }
    }

    fn result(self) -> Result<(), Failure> {
        match self.count {
            0 => Ok(()),
            _ => Err(Failure::of_records(self.error, self.summary(), self.listed)),
        }
    }

    fn summary(&self) -> String {
        if self.error == ResponseError::InvalidTimestamp {
            return "One or more records have been rejected due to invalid timestamp".to_owned();
        }
        let first = self.listed.iter().take(3);
        let first: Vec<String> = first
            .map(|(index, message)| format!("RecordError(batchIndex={index}, message='{message}')"))
            .collect();
        format!(
            "One or more records have been rejected due to {} record errors in total, and only showing the first three \
             errors at most: [{}]",
            self.count,
            first.join(", ")
        )
    }
}

/// A look at the records of one batch, asked for or done.
#[derive(Clone, Debug)]
pub(super) struct Inspection {
    rule: Rule,
    /// None until somebody has looked.
    result: Option<Result<(), Failure>>,
}

impl Inspection {
    /// What the look by this rule found. None if there was none: it has been asked for then.
    pub(super) fn of(
        inspection: &mut Option<Self>,
        rule: Rule,
        batch: &[u8],
        (topic, partition): (&str, i32),
    ) -> Option<Result<(), Failure>> {
        if let Some(done) = inspection.as_ref().filter(|done| done.rule == rule) {
            return done.result.clone();
        }
        if is_small(batch) {
            return Some(rule.check(batch, topic, partition, MAX_LISTED));
        }
        *inspection = Some(Self { rule, result: None });
        None
    }

    /// Whether it is asked for.
    pub(super) fn is_due(&self) -> bool {
        self.result.is_none()
    }

    /// Looks at the records. `listed` counts the records at fault that the answer lists.
    pub(super) fn look(&mut self, batch: &[u8], topic: &str, partition: i32, listed: &mut usize) {
        let room = MAX_LISTED.saturating_sub(*listed);
        let result = self.rule.check(batch, topic, partition, room);
        *listed += result
            .as_ref()
            .err()
            .map_or(0, |failure| failure.records.len());
        self.result = Some(result);
    }
}

/// Whether looking at its records takes no time to speak of.
fn is_small(batch: &[u8]) -> bool {
    let codec = BatchHeader::parse(batch).and_then(|header| header.codec());
    batch.len() <= SMALL && codec == Some(Codec::None)
}
