//! Send records, and know where each one was written.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::future_producer::DeliveryFuture;
use rdkafka::producer::{FutureProducer, FutureRecord, Producer};

use crate::Error;
use crate::config::{Cluster, ProducerSettings};

/// Between two tries to place a record in a full queue. A batch leaves the queue about as often.
const QUEUE_PAUSE: Duration = Duration::from_millis(10);

/// A producer of keys and payloads as bytes. Cheap to clone; a process needs one.
#[derive(Clone)]
pub struct RecordProducer {
    /// Owns the connections, the queue of records and the thread that hands out delivery reports. All clones share it.
    client: FutureProducer,
    /// A sender waits no longer for room in the queue than a record may wait in it.
    delivery_timeout: Duration,
}

/// Where a record was written: the broker's own words from the delivery report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The topic.
    pub topic: String,
    /// The partition that the record's key, or chance, chose.
    pub partition: i32,
    /// The record's place in that partition, counted from 0 and never used twice.
    pub offset: i64,
}

impl RecordProducer {
    /// Creates the producer. It connects in the background; whether a broker is there shows at the first delivery.
    ///
    /// # Errors
    ///
    /// - [`Error::Setting`] when TLS is asked for and was not built in
    /// - [`Error::Client`] when librdkafka refuses a setting
    pub fn new(cluster: &Cluster, settings: &ProducerSettings) -> Result<Self, Error> {
        let client = settings
            .client_config(cluster)?
            .create()
            .map_err(|source| Error::Client {
                client: "producer",
                source,
            })?;
        Ok(Self {
            client,
            delivery_timeout: settings.delivery_timeout,
        })
    }

    /// Sends a record and waits for its delivery report. Records with equal keys keep their order, because they go to
    /// the same partition.
    ///
    /// To send many, call [`enqueue`](Self::enqueue) for each and await the reports afterwards: awaiting every record
    /// before the next costs a round trip for each.
    ///
    /// # Errors
    ///
    /// [`Error::NotDelivered`] with the reason.
    pub async fn send(&self, topic: &str, key: &[u8], payload: &[u8]) -> Result<Delivery, Error> {
        self.enqueue(topic, key, payload).await?.await
    }

    /// Places a record in the queue, waiting for room if it is full, and returns its delivery report to come.
    ///
    /// The record is sent whether or not the report is awaited, but only the report says that it arrived.
    ///
    /// # Errors
    ///
    /// [`Error::NotDelivered`] when the record cannot be sent at all: it is too large, or the queue stayed full for
    /// the whole [`delivery_timeout`](ProducerSettings::delivery_timeout).
    pub async fn enqueue(
        &self,
        topic: &str,
        key: &[u8],
        payload: &[u8],
    ) -> Result<PendingDelivery, Error> {
        let deadline = Instant::now() + self.delivery_timeout;
        let mut record = FutureRecord::to(topic).key(key).payload(payload);
        loop {
            match self.client.send_result(record) {
                Ok(report) => {
                    return Ok(PendingDelivery {
                        topic: topic.to_owned(),
                        report,
                    });
                }
                Err((error, refused)) if is_queue_full(&error) && Instant::now() < deadline => {
                    record = refused;
                    tokio::time::sleep(QUEUE_PAUSE).await;
                }
                Err((source, _)) => return Err(not_delivered(topic, source)),
            }
        }
    }

    /// Waits until every record has its delivery report. Whoever ends the process without it loses what is queued.
    ///
    /// # Errors
    ///
    /// [`Error::FlushIncomplete`] says how many records have no report when `patience` is over.
    pub async fn flush(&self, patience: Duration) -> Result<(), Error> {
        let client = self.client.clone();
        // librdkafka's flush blocks its thread, which would hold up every other task on it.
        let remaining = tokio::task::spawn_blocking(move || match client.flush(patience) {
            Ok(()) => 0,
            Err(_) => client.in_flight_count(),
        })
        .await?;
        match usize::try_from(remaining) {
            Ok(0) => Ok(()),
            remaining => Err(Error::FlushIncomplete {
                remaining: remaining.unwrap_or(0),
                waited: patience,
            }),
        }
    }
}

impl fmt::Debug for RecordProducer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("RecordProducer")
            .field("in_flight", &self.client.in_flight_count())
            .finish()
    }
}

/// The delivery report of one record, to be awaited.
#[must_use = "only the delivery report says whether the record arrived"]
pub struct PendingDelivery {
    /// The report names partition and offset only; the topic is kept for the caller and for errors.
    topic: String,
    /// Completed by the producer's thread.
    report: DeliveryFuture,
}

impl Future for PendingDelivery {
    type Output = Result<Delivery, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let report = ready!(Pin::new(&mut self.report).poll(context));
        let topic = std::mem::take(&mut self.topic);
        Poll::Ready(match report {
            Ok(Ok(written)) => Ok(Delivery {
                topic,
                partition: written.partition,
                offset: written.offset,
            }),
            Ok(Err((source, _))) => Err(not_delivered(&topic, source)),
            // The producer was dropped while the record was queued, so nobody is left to send it.
            Err(_) => Err(not_delivered(&topic, KafkaError::Canceled)),
        })
    }
}

fn is_queue_full(error: &KafkaError) -> bool {
    error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull)
}

fn not_delivered(topic: &str, source: KafkaError) -> Error {
    Error::NotDelivered {
        topic: topic.to_owned(),
        source,
    }
}
