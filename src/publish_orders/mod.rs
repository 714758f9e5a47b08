//! The use case "publish orders": fetch, translate, publish, flush, count. It knows orders and two small traits, and no
//! Kafka: with other implementations the same code runs in a test without a broker. [`kafka`] ties it to a topic.
//!
//! ```
//! use std::convert::Infallible;
//!
//! use kafka_event_streaming::order::{LineItem, Order, OrderEvent};
//! use kafka_event_streaming::publish_orders::{OrderSink, OrderSource, publish_orders};
//!
//! /// Orders that are there already.
//! struct Cart(Vec<Order>);
//!
//! impl OrderSource for Cart {
//!     type Error = Infallible;
//!     async fn fetch(&mut self) -> Result<Vec<Order>, Infallible> {
//!         Ok(std::mem::take(&mut self.0))
//!     }
//! }
//!
//! /// A list instead of a topic.
//! struct List(Vec<OrderEvent>);
//!
//! impl OrderSink for List {
//!     type Error = Infallible;
//!     async fn publish(&mut self, event: OrderEvent) -> Result<(), Infallible> {
//!         self.0.push(event);
//!         Ok(())
//!     }
//!     async fn flush(&mut self) -> Result<usize, Infallible> {
//!         Ok(self.0.len())
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let item = LineItem::new("coffee".parse()?, 2, "3.50 EUR".parse()?)?;
//! let order = Order::place("o-1".parse()?, "c-7".parse()?, "2026-03-14T09:26:53Z".parse()?, vec![item])?;
//! let mut list = List(Vec::new());
//! let published = publish_orders(&mut Cart(vec![order]), &mut list).await?;
//! assert_eq!(published, 1);
//! assert_eq!(list.0[0].total.minor_units, 700);
//! # Ok(())
//! # }
//! ```

pub mod kafka;

use std::error::Error as StdError;

use crate::order::{Order, OrderEvent};

/// Where orders come from: a database, a file, another service.
pub trait OrderSource {
    /// What can go wrong there.
    type Error: StdError + Send + Sync + 'static;

    /// The next orders; an empty list when there are no more.
    ///
    /// # Errors
    ///
    /// Whatever the source has.
    fn fetch(&mut self) -> impl Future<Output = Result<Vec<Order>, Self::Error>> + Send;
}

/// Where orders are published.
pub trait OrderSink {
    /// What can go wrong there.
    type Error: StdError + Send + Sync + 'static;

    /// Hands an event over. It need not have arrived when this returns.
    ///
    /// # Errors
    ///
    /// Why this event, or one that was handed over earlier, did not arrive.
    fn publish(
        &mut self,
        event: OrderEvent,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Waits until everything that was handed over has arrived. Returns how many events that were since the last flush.
    ///
    /// # Errors
    ///
    /// Why an event did not arrive.
    fn flush(&mut self) -> impl Future<Output = Result<usize, Self::Error>> + Send;
}

/// Why not all orders were published.
#[derive(Debug, thiserror::Error)]
pub enum PublishError<F: StdError + 'static, P: StdError + 'static> {
    /// The source failed. What it gave before has arrived.
    #[error("could not fetch orders, after {published} were published")]
    Fetch {
        /// How many orders have arrived.
        published: usize,
        /// What the source said.
        source: F,
    },
    /// The sink failed.
    #[error("could not publish all orders")]
    Publish {
        /// What the sink said.
        source: P,
    },
}

/// Publishes every order of `source`, and returns how many have arrived: nothing is on its way any more when this
/// returns, whatever it returns.
///
/// # Errors
///
/// [`PublishError`] says which side failed, with that side's own error.
pub async fn publish_orders<F: OrderSource, P: OrderSink>(
    source: &mut F,
    sink: &mut P,
) -> Result<usize, PublishError<F::Error, P::Error>> {
    let handed_over = hand_over(source, sink).await;
    // Also after a failure: what came before it counts.
    let flushed = sink.flush().await;
    let publish = |source| PublishError::Publish { source };
    match handed_over {
        Ok(()) => flushed.map_err(publish),
        Err(Side::Sink(source)) => Err(publish(source)),
        Err(Side::Source(source)) => {
            let published = flushed.map_err(publish)?;
            Err(PublishError::Fetch { published, source })
        }
    }
}

/// Which side failed.
enum Side<F, P> {
    Source(F),
    Sink(P),
}

/// Fetches, translates and publishes until there are no more orders.
async fn hand_over<F: OrderSource, P: OrderSink>(
    source: &mut F,
    sink: &mut P,
) -> Result<(), Side<F::Error, P::Error>> {
    loop {
        let orders = source.fetch().await.map_err(Side::Source)?;
        if orders.is_empty() {
            return Ok(());
        }
        for order in &orders {
            let event = OrderEvent::from(order);
            sink.publish(event).await.map_err(Side::Sink)?;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::order::LineItem;

    fn order(number: usize) -> Order {
        let item =
            LineItem::new("coffee".parse().unwrap(), 2, "3.50 EUR".parse().unwrap()).unwrap();
        Order::place(
            format!("order-{number}").parse().unwrap(),
            "customer-7".parse().unwrap(),
            "2026-03-14T09:26:53Z".parse().unwrap(),
            vec![item],
        )
        .unwrap()
    }

    /// Pages of orders, and perhaps a failure behind them.
    struct Pages {
        pages: Vec<Vec<Order>>,
        fails: bool,
    }

    impl OrderSource for Pages {
        type Error = io::Error;

        async fn fetch(&mut self) -> Result<Vec<Order>, io::Error> {
            match self.pages.pop() {
                Some(page) => Ok(page),
                None if self.fails => Err(io::Error::other("the database is gone")),
                None => Ok(Vec::new()),
            }
        }
    }

    /// A topic's stand-in, which takes so many events.
    struct Memory {
        events: Vec<OrderEvent>,
        room: usize,
        flushed: bool,
    }

    impl OrderSink for Memory {
        type Error = io::Error;

        async fn publish(&mut self, event: OrderEvent) -> Result<(), io::Error> {
            if self.events.len() == self.room {
                return Err(io::Error::other("full"));
            }
            self.events.push(event);
            self.flushed = false;
            Ok(())
        }

        async fn flush(&mut self) -> Result<usize, io::Error> {
            self.flushed = true;
            Ok(self.events.len())
        }
    }

    fn memory(room: usize) -> Memory {
        Memory {
            events: Vec::new(),
            room,
            flushed: false,
        }
    }

    fn pages(fails: bool) -> Pages {
        Pages {
            pages: vec![vec![order(3)], vec![order(1), order(2)]],
            fails,
        }
    }

    /// S1-13, S1-20: fetch, translate, publish, flush, count, without a broker.
    #[tokio::test]
    async fn every_page_is_translated_published_flushed_and_counted() {
        let mut sink = memory(10);
        let published = publish_orders(&mut pages(false), &mut sink).await.unwrap();
        assert_eq!(published, 3);
        assert!(sink.flushed);
        let ids: Vec<&str> = sink.events.iter().map(|e| e.order_id.as_str()).collect();
        assert_eq!(ids, ["order-1", "order-2", "order-3"]);
        assert_eq!(sink.events[0].items.len(), 1);
    }

    /// S1-13, S1-14: a source that fails half way does not leave the first half on its way.
    #[tokio::test]
    async fn what_came_before_a_failed_fetch_is_flushed() {
        let mut sink = memory(10);
        let error = publish_orders(&mut pages(true), &mut sink)
            .await
            .unwrap_err();
        assert!(matches!(error, PublishError::Fetch { published: 3, .. }));
        assert!(sink.flushed);
        assert_eq!(error.source().unwrap().to_string(), "the database is gone");
    }

    /// S1-13: a sink that fails ends the use case with its own error.
    #[tokio::test]
    async fn a_sink_that_fails_ends_the_use_case() {
        let mut sink = memory(2);
        let error = publish_orders(&mut pages(false), &mut sink)
            .await
            .unwrap_err();
        assert!(matches!(error, PublishError::Publish { .. }), "{error:?}");
        assert!(sink.flushed);
    }
}
