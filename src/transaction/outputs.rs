//! What a transform makes of a record: records for other topics, collected before any of them is sent.

use std::sync::Arc;

use rdkafka::message::{Header, Headers, Message, OwnedHeaders};

use crate::Error;
use crate::event::{self, Event};

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
    /// What a record gets that says none itself: the time of the record that it was made of.
    timestamp_ms: Option<i64>,
}

/// One record to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputRecord {
    /// The topic. An `Arc<str>` that is cloned costs no allocation a record.
    pub topic: Arc<str>,
    /// The partition, or none to have the key choose it.
    pub partition: Option<i32>,
    /// Records with equal keys keep their order.
    pub key: Option<Vec<u8>>,
    /// None deletes the key, in a topic that is compacted.
    pub payload: Option<Vec<u8>>,
    /// Names and values, in this order. Kafka tells a header without a value from an empty one.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
    /// Milliseconds since 1970. Without one it has the time of the record that it was made of, or else the time at
    /// which it is sent.
    pub timestamp_ms: Option<i64>,
}

impl Outputs {
    /// Writes a key and a payload to `topic`.
    pub fn send(&mut self, topic: impl Into<Arc<str>>, key: &[u8], payload: &[u8]) {
        self.push(OutputRecord {
            key: Some(key.to_vec()),
            payload: Some(payload.to_vec()),
            ..OutputRecord::to(topic)
        });
    }

    /// Writes an event to `topic`, under its own key, with its type and version as headers.
    ///
    /// # Errors
    ///
    /// [`Error::Encode`] when it cannot be written as JSON.
    pub fn event<T: Event>(&mut self, topic: impl Into<Arc<str>>, event: &T) -> Result<(), Error> {
        let header = |name: &str, value: &[u8]| (name.to_owned(), Some(value.to_vec()));
        self.push(OutputRecord {
            key: Some(event.key().as_bytes().to_vec()),
            payload: Some(event::encode(event)?),
            headers: vec![
                header(event::TYPE_HEADER, T::TYPE.as_bytes()),
                header(event::VERSION_HEADER, T::VERSION.to_string().as_bytes()),
            ],
            ..OutputRecord::to(topic)
        });
        Ok(())
    }

    /// Writes `record` to another topic as it is, key, payload, headers and time, with `headers` added. In one
    /// transaction with its offset, it is set aside exactly once.
    pub fn forward(
        &mut self,
        topic: impl Into<Arc<str>>,
        record: &impl Message,
        headers: &[(&str, &str)],
    ) {
        let original = record
            .headers()
            .into_iter()
            .flat_map(|headers| headers.iter());
        let original = original.map(|header| {
            let value = header.value.map(<[u8]>::to_vec);
            (header.key.to_owned(), value)
        });
        let added = headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), Some(value.as_bytes().to_vec())));
        let headers = original.chain(added).collect();
        self.push(OutputRecord {
            key: record.key().map(<[u8]>::to_vec),
            payload: record.payload().map(<[u8]>::to_vec),
            headers,
            timestamp_ms: record.timestamp().to_millis(),
            ..OutputRecord::to(topic)
        });
    }

    /// Writes a record of which everything is said.
    pub fn push(&mut self, mut record: OutputRecord) {
        record.timestamp_ms = record.timestamp_ms.or(self.timestamp_ms);
        self.records.push(record);
    }

    /// What has been collected.
    pub fn records(&self) -> &[OutputRecord] {
        &self.records
    }

    /// From here on records are made of one that was written at this time.
    pub(super) fn made_at(&mut self, timestamp_ms: Option<i64>) {
        self.timestamp_ms = timestamp_ms;
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
            headers: Vec::new(),
            timestamp_ms: None,
        }
    }

    /// The headers as librdkafka has them; none when there are none.
    pub(super) fn native_headers(&self) -> Option<OwnedHeaders> {
        if self.headers.is_empty() {
            return None;
        }
        let mut native = OwnedHeaders::new_with_capacity(self.headers.len());
        for (key, value) in &self.headers {
            native = native.insert(Header {
                key,
                value: value.as_ref(),
            });
        }
        Some(native)
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::Timestamp;
    use rdkafka::message::OwnedMessage;

    use super::*;

    /// A result has the time of its source, so that it is the same when it is made a second time.
    #[test]
    fn a_record_has_the_time_of_its_source_unless_it_says_another() {
        let mut outputs = Outputs::default();
        outputs.made_at(Some(7));
        outputs.send("results", b"key", b"payload");
        outputs.push(OutputRecord {
            timestamp_ms: Some(8),
            ..OutputRecord::to("results")
        });
        let times: Vec<_> = outputs.drain().map(|record| record.timestamp_ms).collect();
        assert_eq!(times, [Some(7), Some(8)]);
    }

    /// Nothing of a record that is set aside is lost: key, payload, time, and headers in their order.
    #[test]
    fn a_forwarded_record_keeps_what_it_had() {
        let headers = OwnedHeaders::new()
            .insert(Header {
                key: "source",
                value: Some("shop"),
            })
            .insert(Header::<&str> {
                key: "void",
                value: None,
            });
        let record = OwnedMessage::new(
            Some(b"not json".to_vec()),
            Some(b"key".to_vec()),
            "orders".to_owned(),
            Timestamp::CreateTime(5),
            2,
            9,
            Some(headers),
        );
        let mut outputs = Outputs::default();
        outputs.forward("rejected", &record, &[("reason", "it is not JSON")]);
        let header = |name: &str, value: &str| (name.to_owned(), Some(value.as_bytes().to_vec()));
        assert_eq!(
            outputs.records(),
            [OutputRecord {
                key: Some(b"key".to_vec()),
                payload: Some(b"not json".to_vec()),
                headers: vec![
                    header("source", "shop"),
                    ("void".to_owned(), None),
                    header("reason", "it is not JSON")
                ],
                timestamp_ms: Some(5),
                ..OutputRecord::to("rejected")
            }]
        );
    }
}
