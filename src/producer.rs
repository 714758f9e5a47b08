//! Send records, and know where each one was written.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer, ThreadedProducer};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{Span, field, info_span, warn};

use crate::Error;
use crate::config::{Cluster, ProducerSettings};
pub use crate::delivery::{Delivery, DeliveryObserver, PendingDelivery};
use crate::delivery::{Reports, not_delivered};
use crate::producer_health::ProducerHealth;
use crate::trace_context;

/// Between two tries to place a record in a full queue. A batch leaves the queue about as often.
const QUEUE_PAUSE: Duration = Duration::from_millis(10);

/// A producer of keys and payloads as bytes. A process needs one: clones share connections, queue and batches, and so
/// do the typed producers that are made of it ([`EventProducer::sharing`](crate::event_producer::EventProducer::sharing)).
#[derive(Clone)]
pub struct RecordProducer {
    /// Gone, with its connections, when the last clone is.
    shared: Arc<Shared>,
}

/// What all clones have in common.
struct Shared {
    /// Owns the connections, the queue of records and the thread that hands out delivery reports.
    client: ThreadedProducer<Reports>,
    /// A sender waits no longer for room in the queue than a record may wait in it.
    delivery_timeout: Duration,
    /// Who sends: the header `source` of typed events.
    service: Arc<str>,
    /// How many records were placed in the queue. librdkafka counts them too, but among other things that wait there,
    /// such as its own complaints.
    enqueued: AtomicU64,
    /// Set by the first [`RecordProducer::close`]. What came later would be lost with the process.
    closed: AtomicBool,
}

/// A record as it is sent.
#[derive(Debug, Clone)]
pub struct Record<'a> {
    /// The topic.
    pub topic: &'a str,
    /// Records with equal keys go to the same partition, and so keep their order.
    pub key: Option<&'a [u8]>,
    /// The content. None says, in a compacted topic, that the key is deleted.
    pub payload: Option<&'a [u8]>,
    /// Names and values beside the content.
    pub headers: Option<OwnedHeaders>,
    /// The partition, where it is not left to the key.
    pub partition: Option<i32>,
    /// When it happened, in milliseconds since 1970; when it is sent, if it is not given.
    pub timestamp: Option<i64>,
}

impl<'a> Record<'a> {
    /// A record with neither headers nor partition nor time of its own.
    pub fn new(topic: &'a str, key: &'a [u8], payload: &'a [u8]) -> Self {
        Self {
            topic,
            key: Some(key),
            payload: Some(payload),
            headers: None,
            partition: None,
            timestamp: None,
        }
    }

    /// The same record with one more header.
    #[must_use]
    pub fn with_header(self, name: &str, value: &str) -> Self {
        let headers = self.headers.unwrap_or_default();
        let header = Header {
            key: name,
            value: Some(value),
        };
        Self {
            headers: Some(headers.insert(header)),
            ..self
        }
    }

    /// The same record with these headers.
    #[must_use]
    pub fn with_headers(mut self, headers: OwnedHeaders) -> Self {
        self.headers = Some(headers);
        self
    }
}

impl RecordProducer {
    /// Creates the producer. It connects in the background; whether a broker is there shows at the first delivery.
    ///
    /// # Errors
    ///
    /// - [`Error::Setting`] when TLS is asked for and was not built in
    /// - [`Error::Client`] when librdkafka refuses a setting
    pub fn new(cluster: &Cluster, settings: &ProducerSettings) -> Result<Self, Error> {
        Self::create(cluster, settings, None)
    }

    /// Creates a producer whose deliveries somebody looks on, such as [`Metrics`](crate::metrics::Metrics).
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn observed(
        cluster: &Cluster,
        settings: &ProducerSettings,
        observer: Arc<dyn DeliveryObserver>,
    ) -> Result<Self, Error> {
        Self::create(cluster, settings, Some(observer))
    }

    fn create(
        cluster: &Cluster,
        settings: &ProducerSettings,
        observer: Option<Arc<dyn DeliveryObserver>>,
    ) -> Result<Self, Error> {
        let client = settings
            .client_config(cluster)?
            .create_with_context(Reports::new(observer))
            .map_err(|source| Error::Client {
                client: "producer",
                source,
            })?;
        Ok(Self {
            shared: Arc::new(Shared {
                client,
                delivery_timeout: settings.delivery_timeout,
                service: cluster.service().into(),
                enqueued: AtomicU64::new(0),
                closed: AtomicBool::new(false),
            }),
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
    /// As [`enqueue`](Self::enqueue), and [`Error::NotDelivered`] with the reason.
    pub async fn send(&self, topic: &str, key: &[u8], payload: &[u8]) -> Result<Delivery, Error> {
        self.enqueue(topic, key, payload).await?.await
    }

    /// Places a record in the queue, waiting for room if it is full, and returns its delivery report to come.
    ///
    /// The record is sent whether or not the report is awaited, but only the report says that it arrived.
    ///
    /// # Errors
    ///
    /// - [`Error::NotDelivered`] when the record cannot be sent at all: it is too large, or the queue stayed full for
    ///   the whole [`delivery_timeout`](ProducerSettings::delivery_timeout)
    /// - [`Error::ProducerClosed`] after [`close`](Self::close)
    pub async fn enqueue(
        &self,
        topic: &str,
        key: &[u8],
        payload: &[u8],
    ) -> Result<PendingDelivery, Error> {
        self.enqueue_record(Record::new(topic, key, payload)).await
    }

    /// As [`enqueue`](Self::enqueue), for a record with headers, without a key, or for a partition of choice.
    ///
    /// # Errors
    ///
    /// As [`enqueue`](Self::enqueue).
    pub async fn enqueue_record(&self, record: Record<'_>) -> Result<PendingDelivery, Error> {
        let key = || String::from_utf8_lossy(record.key.unwrap_or_default());
        let span = publish_span(record.topic, key);
        self.place(record.topic.into(), record, span).await
    }

    /// Places a record in the queue. `topic` is the record's, as it is handed on to the report; `span` ends with it.
    pub(crate) async fn place(
        &self,
        topic: Arc<str>,
        record: Record<'_>,
        span: Span,
    ) -> Result<PendingDelivery, Error> {
        if self.shared.closed.load(Ordering::Relaxed) {
            return Err(Error::ProducerClosed {
                topic: topic.to_string(),
            });
        }
        let reports = self.shared.client.client().context();
        let (ticket, pending) = reports.ticket(Arc::clone(&topic), span);
        let mut record = BaseRecord {
            topic: record.topic,
            partition: record.partition,
            payload: record.payload,
            key: record.key,
            timestamp: record.timestamp,
            headers: record.headers,
            delivery_opaque: ticket,
        };
        let mut deadline = None;
        loop {
            // Counted before it is placed: its report may be there before this goes on.
            self.shared.enqueued.fetch_add(1, Ordering::Relaxed);
            let (error, refused) = match self.shared.client.send(record) {
                Ok(()) => return Ok(pending),
                Err(refused) => refused,
            };
            self.shared.enqueued.fetch_sub(1, Ordering::Relaxed);
            let deadline =
                *deadline.get_or_insert_with(|| Instant::now() + self.shared.delivery_timeout);
            if !is_queue_full(&error) || Instant::now() >= deadline {
                return Err(not_delivered(&topic, error));
            }
            record = refused;
            tokio::time::sleep(QUEUE_PAUSE).await;
        }
    }

    /// Waits until every record has its delivery report. Whoever ends the process without it loses what is queued.
    ///
    /// Once, at the end or now and then. After every record it costs a round trip for each (row X4). Records that linger
    /// go on doing so: a flush takes at least the [`linger`](ProducerSettings::linger) that is left.
    ///
    /// # Errors
    ///
    /// [`Error::FlushIncomplete`] says how many records have no report when `patience` is over.
    pub async fn flush(&self, patience: Duration) -> Result<(), Error> {
        let shared = Arc::clone(&self.shared);
        // librdkafka's flush blocks its thread, which would hold up every other task on it.
        let remaining = tokio::task::spawn_blocking(move || match shared.client.flush(patience) {
            Ok(()) => 0,
            Err(_) => shared.client.in_flight_count(),
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

    /// Takes no more records, from any clone, and waits up to `patience` for the reports of those that it has. What
    /// has none by then is lost with the process; a warning says how many that are. It does not fail: a program that
    /// ends has nothing left to do about it. A second call does nothing.
    pub async fn close(&self, patience: Duration) {
        if self.shared.closed.swap(true, Ordering::Relaxed) {
            return;
        }
        match self.flush(patience).await {
            Ok(()) => {}
            Err(Error::FlushIncomplete { remaining, waited }) => {
                warn!(
                    remaining,
                    ?waited,
                    "closing the producer with undelivered records"
                );
            }
            Err(error) => warn!(%error, "closing the producer without a flush"),
        }
    }

    /// Does `work`, then closes the producer: after success, after a failure, and when `stop` is cancelled, which ends
    /// the work where it waits. Returns what came of the work, or nothing if it was stopped.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use kafka_event_streaming::config::{Cluster, ProducerSettings};
    /// # use kafka_event_streaming::producer::RecordProducer;
    /// # use kafka_event_streaming::shutdown;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let broker = embedded_broker::Broker::builder().start().await?;
    /// # let cluster = Cluster::new(broker.bootstrap_servers().parse()?);
    /// let producer = RecordProducer::new(&cluster, &ProducerSettings::reliable())?;
    /// let stop = shutdown::on_signal()?;
    /// let work = async {
    ///     for number in 0..100_u32 {
    ///         // Not awaited one by one: closing waits for all of them.
    ///         let _pending = producer.enqueue("orders", b"customer-1", &number.to_be_bytes()).await?;
    ///     }
    ///     Ok::<(), kafka_event_streaming::Error>(())
    /// };
    /// let outcome = producer.close_after(work, &stop, Duration::from_secs(10)).await;
    /// # assert!(matches!(outcome, Some(Ok(()))));
    /// # Ok(())
    /// # }
    /// ```
    pub async fn close_after<F: Future>(
        &self,
        work: F,
        stop: &CancellationToken,
        patience: Duration,
    ) -> Option<F::Output> {
        let outcome = tokio::select! {
            // What is done is done, also if the signal came at the same moment.
            biased;
            outcome = work => Some(outcome),
            () = stop.cancelled() => None,
        };
        self.close(patience).await;
        outcome
    }

    /// How the producer is doing, as a value that can be watched. It changes every
    /// [`statistics_interval`](ProducerSettings::statistics_interval), and never without one.
    pub fn health(&self) -> watch::Receiver<ProducerHealth> {
        self.shared.client.client().context().health()
    }

    /// The name of the service that sends, as [`Cluster::service`] has it.
    pub fn service(&self) -> &Arc<str> {
        &self.shared.service
    }
}

impl Shared {
    /// How many records have no delivery report yet.
    fn remaining(&self) -> usize {
        let reported = self.client.client().context().reported();
        let enqueued = self.enqueued.load(Ordering::Relaxed);
        usize::try_from(enqueued.saturating_sub(reported)).unwrap_or(usize::MAX)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let remaining = self.remaining();
        if remaining > 0 {
            warn!(
                remaining,
                "a producer is dropped with undelivered records, which are lost: close it first"
            );
        }
    }
}

impl fmt::Debug for RecordProducer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("RecordProducer")
            .field("remaining", &self.shared.remaining())
            .finish()
    }
}

/// The span of one publishing, from the queue to the delivery report (row S1-10). The key is asked for only if somebody
/// records spans.
pub(crate) fn publish_span<K: fmt::Display>(topic: &str, key: impl FnOnce() -> K) -> Span {
    let span = info_span!(
        "publish",
        otel.kind = "producer",
        topic,
        key = %key(),
        trace_id = field::Empty,
        span_id = field::Empty,
        parent_id = field::Empty,
    );
    if !span.is_disabled() {
        trace_context::identify(&span, trace_context::current().as_ref());
    }
    span
}

fn is_queue_full(error: &KafkaError) -> bool {
    error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull)
}
