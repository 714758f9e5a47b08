//! What a transform makes of a record: records for other topics, collected before any of them is sent.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use jiff::Timestamp;
use rdkafka::message::{Header, OwnedHeaders};

use crate::Error;
use crate::consumed_record::ConsumedRecord;
use crate::event::{self, Event, SOURCE_HEADER, TIMESTAMP_HEADER, TYPE_HEADER, VERSION_HEADER};
use crate::trace_context::{TRACEPARENT_HEADER, TRACESTATE_HEADER};

/// The records that a transform wants to be written. No Kafka client is behind it, so a transform is tested by looking
/// into it.
///
/// ```
/// use kafka_event_streaming::transaction::Outputs;
///
/// let mut outputs = Outputs::default();
/// outputs.send("invoices", b"customer-1", b"3.50 EUR");
/// assert_eq!(&*outputs.records()[0].topic, "invoices");
/// ```
#[derive(Debug, Default)]
pub struct Outputs {
    records: Vec<OutputRecord>,
    /// The header `source` of typed events.
    service: Arc<str>,
    origin: Origin,
}

/// What results take over from the record that they are made of.
#[derive(Debug, Default)]
struct Origin {
    timestamp: Option<i64>,
    /// The headers of the trace that it is part of, as they were read.
    trace: Vec<(&'static str, Vec<u8>)>,
}

/// One record to be written.
#[derive(Clone)]
pub struct OutputRecord {
    /// The topic. An `Arc<str>` that is cloned costs no allocation a record.
    pub topic: Arc<str>,
    /// The partition, where it is not left to the key.
    pub partition: Option<i32>,
    /// Records with equal keys keep their order.
    pub key: Option<Vec<u8>>,
    /// None deletes the key, in a topic that is compacted.
    pub payload: Option<Vec<u8>>,
    /// Names and values beside the content.
    pub headers: Option<OwnedHeaders>,
    /// Milliseconds since 1970. Without one it has the time of the record that it was made of, or else the time at
    /// which it is sent.
    pub timestamp: Option<i64>,
}

impl Outputs {
    pub(super) fn new(service: Arc<str>) -> Self {
        Self {
            service,
            ..Self::default()
        }
    }

    /// Writes a key and a payload to `topic`.
    pub fn send(&mut self, topic: impl Into<Arc<str>>, key: &[u8], payload: &[u8]) {
        self.push(OutputRecord {
            key: Some(key.to_vec()),
            payload: Some(payload.to_vec()),
            ..OutputRecord::to(topic)
        });
    }

    /// Writes an event to `topic`, under its own key, with the headers that
    /// [`EventProducer`](crate::event_producer::EventProducer) gives it. It belongs to the trace of the record that it was
    /// made of.
    ///
    /// # Errors
    ///
    /// [`Error::Encode`] when it cannot be written as JSON.
    pub fn event<T: Event>(&mut self, topic: impl Into<Arc<str>>, event: &T) -> Result<(), Error> {
        let sent_at = format!("{:.3}", Timestamp::now());
        let version = T::VERSION.to_string();
        let mut headers = OwnedHeaders::new_with_capacity(6);
        for (name, value) in [
            (TIMESTAMP_HEADER, sent_at.as_str()),
            (SOURCE_HEADER, &self.service),
            (TYPE_HEADER, T::TYPE),
            (VERSION_HEADER, &version),
        ] {
            headers = headers.insert(header(name, value.as_bytes()));
        }
        for (name, value) in &self.origin.trace {
            headers = headers.insert(header(name, value));
        }
        self.push(OutputRecord {
            key: Some(event.key().as_bytes().to_vec()),
            payload: Some(event::encode(event)?),
            headers: Some(headers),
            ..OutputRecord::to(topic)
        });
        Ok(())
    }

    /// Writes `record` to another topic as it is, key, payload, headers and time, with `headers` added. In one
    /// transaction with its offset, it is set aside exactly once.
    pub fn forward(
        &mut self,
        topic: impl Into<Arc<str>>,
        record: &ConsumedRecord<'_>,
        headers: &[(&str, &str)],
    ) {
        let mut all = record.headers().unwrap_or_default();
        for (name, value) in headers {
            all = all.insert(header(name, value.as_bytes()));
        }
        self.push(OutputRecord {
            key: record.key().map(<[u8]>::to_vec),
            payload: record.payload().map(<[u8]>::to_vec),
            headers: Some(all),
            timestamp: record.timestamp(),
            ..OutputRecord::to(topic)
        });
    }

    /// Writes a record of which everything is said.
    pub fn push(&mut self, mut record: OutputRecord) {
        record.timestamp = record.timestamp.or(self.origin.timestamp);
        self.records.push(record);
    }

    /// What has been collected.
    pub fn records(&self) -> &[OutputRecord] {
        &self.records
    }

    /// From here on results are made of `record`, or of none in particular.
    pub(super) fn made_of(&mut self, record: Option<&ConsumedRecord<'_>>) {
        self.origin.trace.clear();
        self.origin.timestamp = record.and_then(ConsumedRecord::timestamp);
        let Some(record) = record else {
            return;
        };
        let trace = &mut self.origin.trace;
        // rdkafka panics at a header whose name is not UTF-8, and such a record must not end the loop.
        let found = catch_unwind(AssertUnwindSafe(|| {
            for name in [TRACEPARENT_HEADER, TRACESTATE_HEADER] {
                if let Some(value) = record.header(name) {
                    trace.push((name, value.to_vec()));
                }
            }
        }));
        if found.is_err() {
            self.origin.trace.clear();
        }
    }

    /// Hands everything over, and keeps the memory for the next record.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = OutputRecord> {
        self.records.drain(..)
    }

    pub(super) fn clear(&mut self) {
        self.records.clear();
    }
}

impl OutputRecord {
    /// A record that has only a topic.
    pub fn to(topic: impl Into<Arc<str>>) -> Self {
        Self {
            topic: topic.into(),
            partition: None,
            key: None,
            payload: None,
            headers: None,
            timestamp: None,
        }
    }
}

impl fmt::Debug for OutputRecord {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("OutputRecord")
            .field("topic", &self.topic)
            .field("partition", &self.partition)
            .field("key", &self.key.as_deref().map(String::from_utf8_lossy))
            .field("bytes", &self.payload.as_ref().map(Vec::len))
            .field("timestamp", &self.timestamp)
            .finish_non_exhaustive()
    }
}

fn header<'a>(key: &'a str, value: &'a [u8]) -> Header<'a, &'a [u8]> {
    Header {
        key,
        value: Some(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A result has the time of its source, so that it is the same when it is made a second time.
    #[test]
    fn a_record_has_the_time_of_its_source_unless_it_says_another() {
        let mut outputs = Outputs::default();
        outputs.origin.timestamp = Some(7);
        outputs.send("results", b"key", b"payload");
        outputs.push(OutputRecord {
            timestamp: Some(8),
            ..OutputRecord::to("results")
        });
        outputs.made_of(None);
        outputs.send("results", b"key", b"payload");
        let times: Vec<_> = outputs.drain().map(|record| record.timestamp).collect();
        assert_eq!(times, [Some(7), Some(8), None]);
    }
}
