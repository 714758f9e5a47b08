//! A record as it was read: where it stands, and its bytes as they are in librdkafka's memory.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use rdkafka::message::{BorrowedHeaders, BorrowedMessage, Headers, Message, OwnedHeaders};

use crate::assignment::TopicPartition;
use crate::event;

/// A record as it was read. Key, payload and headers are borrowed from librdkafka: nothing is copied until somebody asks
/// for a copy. The fetched batch that it came in stays in memory for as long as this does.
///
/// It has to go before its consumer does: librdkafka's close waits for every record that was handed out. The compiler
/// sees to it:
///
/// ```compile_fail,E0505
/// # use kafka_event_streaming::{event::Event, event_consumer::EventConsumer, Error};
/// # async fn example<T: Event>(consumer: EventConsumer<T>) -> Result<(), Error> {
/// let received = consumer.next(std::time::Duration::from_secs(1)).await?;
/// consumer.close().await?; // would wait for `received`, for ever
/// # Ok(())
/// # }
/// ```
pub struct ConsumedRecord<'a> {
    message: BorrowedMessage<'a>,
}

impl<'a> ConsumedRecord<'a> {
    pub(crate) fn new(message: BorrowedMessage<'a>) -> Self {
        Self { message }
    }

    /// The topic.
    pub fn topic(&self) -> &str {
        self.message.topic()
    }

    /// The partition's number.
    pub fn partition(&self) -> i32 {
        self.message.partition()
    }

    /// Topic and partition, to keep.
    pub fn topic_partition(&self) -> TopicPartition {
        TopicPartition::new(self.topic(), self.partition())
    }

    /// The record's place in its partition.
    pub fn offset(&self) -> i64 {
        self.message.offset()
    }

    /// What is committed when this record is processed: an offset is the address of the next record to read, not of the
    /// last one that was read.
    pub fn next_offset(&self) -> i64 {
        self.message.offset() + 1
    }

    /// The entity that the record is about, if there is one.
    pub fn key(&self) -> Option<&[u8]> {
        self.message.key()
    }

    /// The content. None says, in a compacted topic, that the key is deleted.
    pub fn payload(&self) -> Option<&[u8]> {
        self.message.payload()
    }

    /// When it was sent or, if the topic is set up so (`message.timestamp.type`), written: milliseconds since 1970.
    pub fn timestamp(&self) -> Option<i64> {
        self.message.timestamp().to_millis()
    }

    /// The last header of this name, as [`event::header`].
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        event::header(&self.message, name)
    }

    /// A copy of all headers, for another record.
    pub fn headers(&self) -> Option<OwnedHeaders> {
        self.message.headers().map(BorrowedHeaders::detach)
    }

    /// A copy of the headers whose names are wanted.
    pub fn headers_where(&self, wanted: impl Fn(&str) -> bool) -> OwnedHeaders {
        let Some(headers) = self.message.headers() else {
            return OwnedHeaders::new();
        };
        // rdkafka panics at a name that is not UTF-8. Such a header has another producer's name in any case.
        catch_unwind(AssertUnwindSafe(|| {
            headers
                .iter()
                .filter(|header| wanted(header.key))
                .fold(OwnedHeaders::new(), OwnedHeaders::insert)
        }))
        .unwrap_or_else(|_| headers.detach())
    }

    /// The record as rdkafka has it.
    pub fn message(&self) -> &BorrowedMessage<'a> {
        &self.message
    }
}

/// Does nothing. That it is there makes the compiler keep the consumer's borrow to the end of the record's life;
/// rdkafka's own message lets it go after the last use, and a consumer that is closed then hangs.
impl Drop for ConsumedRecord<'_> {
    fn drop(&mut self) {}
}

impl fmt::Debug for ConsumedRecord<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ConsumedRecord")
            .field("topic", &self.topic())
            .field("partition", &self.partition())
            .field("offset", &self.offset())
            .field("key", &self.key().map(String::from_utf8_lossy))
            .field("bytes", &self.message.payload_len())
            .field("headers", &self.message.headers().map_or(0, Headers::count))
            .finish()
    }
}
