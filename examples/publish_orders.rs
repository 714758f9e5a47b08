//! Publish orders: a use case that knows no Kafka.
//!
//! Shows: orders are fetched, translated, published, flushed and counted by code behind two traits. Behind one of them are two
//! topics that share a client: large orders go to the one, all others to the other. With `--rehearse` a list is behind it,
//! and the same code runs without a broker.
//!
//! Key point: whoever opens a producer closes it, on every path: at the end, after an error, and at Ctrl-C. One call does
//! all three, and the use case does not know of it.
//!
//! Limit: the orders are made up, and published once: a second run publishes them again.
//!
//! Run it:
//!
//! ```sh
//! cargo run --example publish_orders                 # needs a broker: make infra-up
//! cargo run --example publish_orders -- --rehearse   # needs none
//! ```

use std::convert::Infallible;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;
use jiff::Timestamp;
use kafka_event_streaming::config::{Cluster, ProducerSettings};
use kafka_event_streaming::event_producer::EventProducer;
use kafka_event_streaming::order::{LineItem, Order, OrderEvent};
use kafka_event_streaming::producer::RecordProducer;
use kafka_event_streaming::publish_orders::kafka::OrderTopic;
use kafka_event_streaming::publish_orders::{OrderSink, OrderSource, publish_orders};
use kafka_event_streaming::{Error, logging, reachability, shutdown, topics};

/// From here on an order is a large one, in minor units: 100.00.
const LARGE: i64 = 10_000;

/// The longest wait for the records that are still on their way at the end.
const PATIENCE: Duration = Duration::from_secs(10);

#[tokio::main]
async fn main() -> Result<()> {
    logging::init();
    let arguments = Arguments::parse();
    let orders: Result<Vec<Order>> = [1, 250, 3, 40, 7, 2].map(order_of).into_iter().collect();
    let mut orders = Orders(orders?);
    if arguments.rehearse {
        let published = publish_orders(&mut orders, &mut Rehearsal::default()).await?;
        println!("rehearsed {published} orders, sent 0");
        return Ok(());
    }
    let cluster = Cluster::from_environment()?;
    let stop = shutdown::on_signal()?;
    reachability::check(&cluster, reachability::PATIENCE).await?;
    let [retail, wholesale] = ["retail", "wholesale"].map(topics::unique_name);
    topics::ensure_topic(&cluster, &retail, 3).await?;
    topics::ensure_topic(&cluster, &wholesale, 1).await?;

    let producer = RecordProducer::new(&cluster, &ProducerSettings::reliable())?;
    let mut sink = ByTotal {
        // One client: one connection to each broker, one queue, fuller batches.
        small: OrderTopic::new(EventProducer::sharing(&producer, &retail)),
        large: OrderTopic::new(EventProducer::sharing(&producer, &wholesale)),
    };
    let work = publish_orders(&mut orders, &mut sink);
    match producer.close_after(work, &stop, PATIENCE).await {
        Some(published) => {
            let published = published.context("not all orders were published")?;
            println!("published {published} orders to {retail} and {wholesale}");
        }
        None => println!("stopped early: what was enqueued is delivered"),
    }
    Ok(())
}

/// Two topics behind one trait.
struct ByTotal {
    small: OrderTopic,
    large: OrderTopic,
}

impl OrderSink for ByTotal {
    type Error = Error;

    async fn publish(&mut self, event: OrderEvent) -> Result<(), Error> {
        if event.total.minor_units >= LARGE {
            self.large.publish(event).await
        } else {
            self.small.publish(event).await
        }
    }

    async fn flush(&mut self) -> Result<usize, Error> {
        // Both, whatever became of the first.
        let (small, large) = (self.small.flush().await, self.large.flush().await);
        Ok(small? + large?)
    }
}

/// No topic at all: what would be sent is printed.
#[derive(Default)]
struct Rehearsal {
    published: usize,
}

impl OrderSink for Rehearsal {
    type Error = Infallible;

    async fn publish(&mut self, event: OrderEvent) -> Result<(), Infallible> {
        let total = event.total.minor_units;
        println!(
            "{:<14}{:>4}.{:02}",
            event.order_id,
            total / 100,
            total % 100
        );
        self.published += 1;
        Ok(())
    }

    async fn flush(&mut self) -> Result<usize, Infallible> {
        Ok(std::mem::take(&mut self.published))
    }
}

/// Orders as a database would give them: a page at a time.
struct Orders(Vec<Order>);

impl OrderSource for Orders {
    type Error = Infallible;

    async fn fetch(&mut self) -> Result<Vec<Order>, Infallible> {
        let page = self.0.len().min(4);
        Ok(self.0.drain(..page).collect())
    }
}

/// An order of so many bags of coffee.
fn order_of(bags: u32) -> Result<Order> {
    let items = vec![LineItem::new("coffee".parse()?, bags, "3.50 EUR".parse()?)?];
    let (id, customer) = (format!("order-of-{bags}").parse()?, "customer-7".parse()?);
    Ok(Order::place(id, customer, Timestamp::now(), items)?)
}

/// Publish a few orders to two topics, or rehearse it.
#[derive(Parser)]
struct Arguments {
    /// Print what would be sent; no broker is needed
    #[arg(long)]
    rehearse: bool,
}
