//! Send typed events: encoded, keyed by the entity that they are about, with headers that say what they are.
//!
//! ```
//! use std::borrow::Cow;
//! use std::time::Duration;
//!
//! use kafka_event_streaming::config::{Cluster, ProducerSettings};
//! use kafka_event_streaming::event::Event;
//! use kafka_event_streaming::event_producer::EventProducer;
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize)]
//! struct OrderPlaced { order_id: String, items: u32 }
//!
//! impl Event for OrderPlaced {
//!     const TYPE: &'static str = "order.placed";
//!     fn key(&self) -> Cow<'_, str> { Cow::Borrowed(&self.order_id) }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let broker = embedded_broker::Broker::builder().start().await?;
//! # let cluster = Cluster::new(broker.bootstrap_servers().parse()?);
//! let producer = EventProducer::<OrderPlaced>::new(&cluster, "orders", &ProducerSettings::reliable())?;
//! let orders = (1..=100).map(|items| OrderPlaced { order_id: "o-1".into(), items });
//! let sent = producer.send_all(orders).await?;
//! assert_eq!(sent, 100);
//! producer.close(Duration::from_secs(10)).await;
//! # Ok(())
//! # }
//! ```

use std::borrow::Borrow;
use std::cell::Cell;
use std::fmt;
use std::io::Write;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{self, Stream, StreamExt};
use jiff::Timestamp;
use rdkafka::message::{Header, OwnedHeaders};
use tracing::Span;

use crate::Error;
use crate::config::{Cluster, ProducerSettings};
use crate::event::{self, Event, SOURCE_HEADER, TIMESTAMP_HEADER, TYPE_HEADER, VERSION_HEADER};
use crate::in_flight::InFlight;
use crate::producer::{Delivery, PendingDelivery, Record, RecordProducer, publish_span};
use crate::trace_context::{self, TRACEPARENT_HEADER, TRACESTATE_HEADER};

/// A buffer that grew beyond this, in bytes, is given back to the system.
const KEPT_BUFFER: usize = 64 * 1024;

thread_local! {
    /// Where events are encoded. librdkafka copies the payload into its queue, so one buffer serves event after event.
    static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };

    /// The last timestamp, with its millisecond since 1970. Events of one millisecond share it: writing it costs as much
    /// as encoding a small event.
    static TIMESTAMP: Cell<(i64, [u8; 24])> = const { Cell::new((i64::MIN, [0; 24])) };
}

/// A producer of one type of event for one topic. Clones, and producers that [share](Self::sharing) a
/// [`RecordProducer`], use the same connections and queue.
pub struct EventProducer<T> {
    /// The client, which other topics' producers may share.
    records: RecordProducer,
    /// The one topic. Shared with the delivery reports.
    topic: Arc<str>,
    /// The header `schema-version`.
    version: Arc<str>,
    /// Sends such events, and holds none.
    events: PhantomData<fn(&T)>,
}

impl<T: Event> EventProducer<T> {
    /// Creates a producer with a client of its own.
    ///
    /// # Errors
    ///
    /// As [`RecordProducer::new`].
    pub fn new(cluster: &Cluster, topic: &str, settings: &ProducerSettings) -> Result<Self, Error> {
        Ok(Self::sharing(
            &RecordProducer::new(cluster, settings)?,
            topic,
        ))
    }

    /// Creates a producer that uses the client of `records`, which may serve any number of topics and types: one
    /// connection to each broker, one queue, and batches that fill up sooner.
    pub fn sharing(records: &RecordProducer, topic: &str) -> Self {
        Self {
            records: records.clone(),
            topic: topic.into(),
            version: T::VERSION.to_string().into(),
            events: PhantomData,
        }
    }

    /// Sends an event and waits for its delivery report. Events with equal [keys](Event::key) keep their order.
    ///
    /// # Errors
    ///
    /// - [`Error::Encode`] when the event cannot be turned into JSON
    /// - [`Error::NotDelivered`] with the reason
    /// - [`Error::ProducerClosed`] after [`close`](Self::close)
    pub async fn send(&self, event: &T) -> Result<Delivery, Error> {
        self.enqueue(event).await?.await
    }

    /// Places an event in the queue, waiting for room if it is full, and returns its delivery report to come. To send
    /// many, enqueue them all and await the reports afterwards, or call [`send_all`](Self::send_all).
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send). The wait for room is bounded by
    /// [`delivery_timeout`](ProducerSettings::delivery_timeout).
    pub async fn enqueue(&self, event: &T) -> Result<PendingDelivery, Error> {
        let key = event.key();
        let span = publish_span(&self.topic, || &key);
        let mut payload = BUFFER.take();
        payload.clear();
        event::encode_into(event, &mut payload)?;
        let record = Record {
            headers: Some(self.headers(&span)),
            ..Record::new(&self.topic, key.as_bytes(), &payload)
        };
        let topic = Arc::clone(&self.topic);
        let pending = self.records.place(topic, record, span).await;
        if payload.capacity() <= KEPT_BUFFER {
            BUFFER.set(payload);
        }
        pending
    }

    /// Sends all of `events`, owned or borrowed, many at a time, and returns how many were delivered.
    ///
    /// # Errors
    ///
    /// As [`send_stream`](Self::send_stream).
    pub async fn send_all<E: Borrow<T>>(
        &self,
        events: impl IntoIterator<Item = E>,
    ) -> Result<usize, Error> {
        self.send_stream(stream::iter(events)).await
    }

    /// Sends all that `events` brings, owned or borrowed, many at a time, and returns how many were delivered.
    ///
    /// # Errors
    ///
    /// [`Error::SendAllStopped`] with the first failure, as [`send`](Self::send) has it, and with how many events were
    /// delivered. No further ones are taken after it, and those on their way are waited for.
    pub async fn send_stream<E: Borrow<T>>(
        &self,
        events: impl Stream<Item = E>,
    ) -> Result<usize, Error> {
        let mut events = std::pin::pin!(events.fuse());
        let mut in_flight = InFlight::new();
        while !in_flight.has_failed() {
            tokio::select! {
                // Fills the window first: reports are looked at when it is full, or when there is nothing to send.
                biased;
                event = events.next(), if !in_flight.is_full() => match event {
                    Some(event) => in_flight.add(self.enqueue(event.borrow()).await),
                    None => break,
                },
                () = in_flight.next_report() => {}
            }
        }
        in_flight.finish().await
    }

    /// Waits until every record of the client has its delivery report, those of other topics included.
    ///
    /// # Errors
    ///
    /// As [`RecordProducer::flush`].
    pub async fn flush(&self, patience: Duration) -> Result<(), Error> {
        self.records.flush(patience).await
    }

    /// Closes the client, for everybody who shares it. See [`RecordProducer::close`].
    pub async fn close(&self, patience: Duration) {
        self.records.close(patience).await;
    }

    /// The topic that events go to.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// The client that this producer uses.
    pub fn records(&self) -> &RecordProducer {
        &self.records
    }

    /// What every event carries beside its content, so that a reader can decide before it decodes, and a trace goes on
    /// (rows S2-05, S1-10).
    fn headers(&self, span: &Span) -> OwnedHeaders {
        let mut headers = OwnedHeaders::new_with_capacity(6)
            .insert(Header {
                key: TIMESTAMP_HEADER,
                value: Some(&timestamp()),
            })
            .insert(header(SOURCE_HEADER, self.records.service()))
            .insert(header(TYPE_HEADER, T::TYPE))
            .insert(header(VERSION_HEADER, &self.version));
        if let Some(context) = trace_context::of_span(span) {
            headers = headers.insert(header(TRACEPARENT_HEADER, &context.to_string()));
            if let Some(state) = context.state() {
                headers = headers.insert(header(TRACESTATE_HEADER, state));
            }
        }
        headers
    }
}

/// Now, as RFC 3339 has it: `2026-03-14T09:26:53.589Z`.
fn timestamp() -> [u8; 24] {
    let now = Timestamp::now();
    let (millisecond, text) = TIMESTAMP.get();
    if now.as_millisecond() == millisecond {
        return text;
    }
    let mut text = [0; 24];
    // It fits: no clock shows a year of five digits.
    let _ = write!(&mut text[..], "{now:.3}");
    TIMESTAMP.set((now.as_millisecond(), text));
    text
}

fn header<'a>(key: &'a str, value: &'a str) -> Header<'a, &'a str> {
    Header {
        key,
        value: Some(value),
    }
}

impl<T> Clone for EventProducer<T> {
    fn clone(&self) -> Self {
        Self {
            records: self.records.clone(),
            topic: Arc::clone(&self.topic),
            version: Arc::clone(&self.version),
            events: PhantomData,
        }
    }
}

impl<T> fmt::Debug for EventProducer<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("EventProducer")
            .field("topic", &self.topic)
            .field("records", &self.records)
            .finish()
    }
}
