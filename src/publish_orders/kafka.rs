//! Ties the use case to a topic. It knows Kafka, and no rule of the business.

use crate::Error;
use crate::event_producer::EventProducer;
use crate::in_flight::InFlight;
use crate::order::OrderEvent;

use super::OrderSink;

/// A topic that orders are published to.
#[derive(Debug)]
pub struct OrderTopic {
    /// Which one, and how.
    producer: EventProducer<OrderEvent>,
    /// What was handed over and has not been counted yet.
    in_flight: InFlight,
}

impl OrderTopic {
    /// The topic of `producer`.
    pub fn new(producer: EventProducer<OrderEvent>) -> Self {
        Self {
            producer,
            in_flight: InFlight::new(),
        }
    }
}

impl OrderSink for OrderTopic {
    type Error = Error;

    async fn publish(&mut self, event: OrderEvent) -> Result<(), Error> {
        let pending = self.producer.enqueue(&event).await?;
        self.in_flight.push(pending).await
    }

    /// Bounded by [`delivery_timeout`](crate::config::ProducerSettings::delivery_timeout), since every record has its
    /// report by then.
    async fn flush(&mut self) -> Result<usize, Error> {
        self.in_flight.finish().await
    }
}
