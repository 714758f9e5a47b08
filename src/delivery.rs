//! What became of a record: the delivery report, from librdkafka's thread to whoever waits for it.
//!
//! A record is sent when its report says so, and not when a function returns (row X5). Reports are logged here whether or
//! not somebody awaits them: delivered at debug, failed at error (row S1-07).

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use futures::channel::oneshot;
use rdkafka::client::ClientContext;
use rdkafka::error::KafkaError;
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::ProducerContext;
use rdkafka::statistics::Statistics;
use tokio::sync::watch;
use tracing::{Span, debug, error};

use crate::Error;
use crate::producer_health::{HealthMonitor, ProducerHealth};

/// Where a record was written: the broker's own words from the delivery report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The topic.
    pub topic: Arc<str>,
    /// The partition that the record's key, or chance, chose.
    pub partition: i32,
    /// The record's place in that partition, counted from 0 and never used twice.
    pub offset: i64,
}

/// The delivery report of one record, to be awaited. The record is sent whether or not it is.
#[must_use = "only the delivery report says whether the record arrived"]
pub struct PendingDelivery {
    /// The report names partition and offset only; the topic is kept for the caller and for errors.
    topic: Arc<str>,
    /// Completed by the producer's thread.
    report: oneshot::Receiver<Report>,
}

/// Partition and offset, or why there are none.
type Report = Result<(i32, i64), KafkaError>;

impl Future for PendingDelivery {
    type Output = Result<Delivery, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let report = ready!(Pin::new(&mut self.report).poll(context));
        Poll::Ready(match report {
            Ok(Ok((partition, offset))) => Ok(Delivery {
                topic: Arc::clone(&self.topic),
                partition,
                offset,
            }),
            Ok(Err(source)) => Err(not_delivered(&self.topic, source)),
            // The producer was dropped while the record was queued, so nobody is left to send it.
            Err(oneshot::Canceled) => Err(not_delivered(&self.topic, KafkaError::Canceled)),
        })
    }
}

impl fmt::Debug for PendingDelivery {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("PendingDelivery")
            .field("topic", &self.topic)
            .finish_non_exhaustive()
    }
}

/// Looks on while records are delivered, for metrics. It is called on librdkafka's thread, for every record: an observer
/// that waits holds up all reports.
pub trait DeliveryObserver: Send + Sync + 'static {
    /// A record was written, `latency` after it was placed in the queue.
    fn delivered(&self, topic: &str, latency: Duration);

    /// A record was not written.
    fn failed(&self, topic: &str, error: &KafkaError);

    /// librdkafka reported on itself. Called every
    /// [`statistics_interval`](crate::config::ProducerSettings::statistics_interval).
    fn health(&self, health: &ProducerHealth);
}

/// What travels with a record through librdkafka and comes back with its report.
pub(crate) struct Ticket {
    /// Whom to tell.
    waiter: oneshot::Sender<Report>,
    /// The publishing as a whole, up to the report. Disabled unless somebody records spans.
    span: Span,
    /// When the record was placed in the queue. Only read for an observer.
    queued_at: Option<Instant>,
}

/// Hands delivery reports out: the part of a producer that librdkafka calls.
pub(crate) struct Reports {
    /// Told of every report, if there is one.
    observer: Option<Arc<dyn DeliveryObserver>>,
    /// Turns librdkafka's statistics into something that can be watched.
    monitor: HealthMonitor,
}

impl Reports {
    pub(crate) fn new(observer: Option<Arc<dyn DeliveryObserver>>) -> Self {
        Self {
            observer,
            monitor: HealthMonitor::default(),
        }
    }

    /// What a record for `topic` is sent with, and what its caller waits for.
    pub(crate) fn ticket(&self, topic: Arc<str>, span: Span) -> (Box<Ticket>, PendingDelivery) {
        let (waiter, report) = oneshot::channel();
        let ticket = Box::new(Ticket {
            waiter,
            span,
            queued_at: self.observer.as_ref().map(|_| Instant::now()),
        });
        (ticket, PendingDelivery { topic, report })
    }

    /// How many records have a report.
    pub(crate) fn reported(&self) -> u64 {
        self.monitor.reported()
    }

    pub(crate) fn health(&self) -> watch::Receiver<ProducerHealth> {
        self.monitor.subscribe()
    }
}

impl ClientContext for Reports {
    fn stats(&self, statistics: Statistics) {
        let health = self.monitor.next(&statistics);
        if let Some(observer) = &self.observer {
            observer.health(&health);
        }
        // Last: whoever waits for a value may then look at the observer.
        self.monitor.show(health);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        // librdkafka goes on by itself, and the records that suffer say so in their reports.
        debug!(%error, reason, "the producer's client reports trouble");
        self.monitor.trouble(reason);
    }
}

impl ProducerContext for Reports {
    type DeliveryOpaque = Box<Ticket>;

    fn delivery(&self, result: &DeliveryResult<'_>, ticket: Box<Ticket>) {
        let report = match result {
            Ok(record) => {
                let (partition, offset) = (record.partition(), record.offset());
                debug!(parent: &ticket.span, topic = record.topic(), partition, offset, "delivered");
                self.monitor.delivered();
                if let (Some(observer), Some(queued_at)) = (&self.observer, ticket.queued_at) {
                    observer.delivered(record.topic(), queued_at.elapsed());
                }
                Ok((partition, offset))
            }
            Err((source, record)) => {
                let (topic, partition, offset) =
                    (record.topic(), record.partition(), record.offset());
                error!(parent: &ticket.span, topic, partition, offset, error = %source, "not delivered");
                self.monitor.failed();
                if let Some(observer) = &self.observer {
                    observer.failed(topic, source);
                }
                Err(source.clone())
            }
        };
        // Nobody waits when the caller dropped its PendingDelivery. The log and the observer have been told.
        let _ = ticket.waiter.send(report);
    }
}

pub(crate) fn not_delivered(topic: &str, source: KafkaError) -> Error {
    Error::NotDelivered {
        topic: topic.to_owned(),
        source,
    }
}
