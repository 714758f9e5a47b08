//! What a topic's configuration asks of the records that are produced to it: keys, where the topic is compacted, and
//! times within bounds (`org.apache.kafka.storage.internals.log.LogValidator`).

use kafka_protocol::error::ResponseError;

use super::produce::Failure;
use crate::clock::Now;
use crate::config::topic::TopicConfig;
use crate::log::{BatchHeader, Records};

/// `message.timestamp.before.max.ms` of a topic that takes any time in the past.
const ANY_PAST: i64 = i64::MAX;
/// The time of a record that has none.
const NO_TIMESTAMP: i64 = -1;

/// Checks the records of one batch. Only where the topic asks for it are they looked at: the batch's largest time stands in
/// its header.
///
/// # Errors
/// INVALID_TIMESTAMP or INVALID_RECORD, with the records at fault; nothing of the batch is appended then.
pub(super) fn check(
    header: &BatchHeader,
    batch: &[u8],
    (topic, partition): (&str, i32),
    config: &TopicConfig,
    now: Now,
) -> Result<(), Failure> {
    let earliest = now
        .unix_ms
        .saturating_sub(config.message_timestamp_before_max_ms);
    let latest = now
        .unix_ms
        .saturating_add(config.message_timestamp_after_max_ms);
    let bounded_past = config.message_timestamp_before_max_ms != ANY_PAST;
    let check_times = !config.log_append_time && (bounded_past || header.max_timestamp > latest);
    if !config.compact && !check_times {
        return Ok(());
    }
    let unreadable = || {
        Failure::new(
            ResponseError::UnknownServerError,
            "the records cannot be read",
        )
    };
    let records = Records::of(batch).ok_or_else(unreadable)?;
    let mut error = ResponseError::InvalidRecord;
    let mut faults: Vec<(i32, String)> = Vec::new();
    for (index, record) in (0..).zip(records.all().ok_or_else(unreadable)?) {
        let time = records.timestamp(&record);
        if config.compact && record.key.is_none() {
            faults.push((
                index,
                format!(
                    "Compacted topic cannot accept message without key in topic partition {topic}-{partition}"
                ),
            ));
        } else if check_times && time != NO_TIMESTAMP && !(earliest..=latest).contains(&time) {
            error = ResponseError::InvalidTimestamp;
            faults.push((
                index,
                format!(
                    "Timestamp {time} of message with offset {index} is out of range. The timestamp should be within \
                     [{earliest}, {latest}]"
                ),
            ));
        }
    }
    if faults.is_empty() {
        return Ok(());
    }
    Err(Failure::of_records(error, summary(error, &faults), faults))
}

fn summary(error: ResponseError, faults: &[(i32, String)]) -> String {
    if error == ResponseError::InvalidTimestamp {
        return "One or more records have been rejected due to invalid timestamp".to_owned();
    }
    let first: Vec<String> = faults
        .iter()
        .take(3)
        .map(|(index, message)| format!("RecordError(batchIndex={index}, message='{message}')"))
        .collect();
    format!(
        "One or more records have been rejected due to {} record errors in total, and only showing the first three \
         errors at most: [{}]",
        faults.len(),
        first.join(", ")
    )
}
