//! Exercise 7a: exactly once.
//!
//! An invoice for each order: read orders, write invoices, commit the orders' offsets. A crash or a lost answer in between
//! makes an invoice twice, or loses one. In a transaction all of it happens or nothing: the offsets of what was read are
//! committed together with what was made of it. When a transaction fails it is aborted, and the orders are read again.
//!
//! Write the two functions of `Invoicing` that are missing. rdkafka's calls for transactions block, so nothing here is
//! async: <https://docs.rs/rdkafka/latest/rdkafka/producer/trait.Producer.html>.
//!
//! Check it with `make exercise-7a`. Read first: book/src/07_exactly_once.md

use std::time::Duration;

use anyhow::Context;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::OwnedMessage;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use rdkafka::{ClientConfig, Message, Offset};

const ORDERS: &str = "orders";
const INVOICES: &str = "invoices";
const GROUP: &str = "invoicing";
/// How many orders are in a transaction at most.
const BATCH: usize = 4;
/// How long to wait for the first order of a batch.
const POLL_TIMEOUT: Duration = Duration::from_millis(100);
/// How long a call that talks to the broker may take. Until then rdkafka itself deals with connections that are lost.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Reads orders and writes invoices.
struct Invoicing {
    consumer: BaseConsumer,
    /// Sends in the background. What becomes of a record of a transaction, `commit_transaction` says.
    producer: ThreadedProducer<DefaultProducerContext>,
}

impl Invoicing {
    /// Joins the group, and aborts what an earlier run of this `instance` has left open.
    ///
    /// # Errors
    ///
    /// When no broker answers.
    fn start(servers: &str, instance: &str) -> anyhow::Result<Self> {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", servers)
            .set("group.id", GROUP)
            .set("auto.offset.reset", "earliest")
            // Offsets are committed by transactions.
            .set("enable.auto.commit", "false")
            .set("isolation.level", "read_committed")
            .set("fetch.wait.max.ms", "50")
            .create()?;
        let producer: ThreadedProducer<_> = ClientConfig::new()
            .set("bootstrap.servers", servers)
            .set("transactional.id", instance)
            .create()?;
        producer
            .init_transactions(TIMEOUT)
            .context("no broker answers")?;
        consumer.subscribe(&[ORDERS])?;
        Ok(Self { consumer, producer })
    }

    /// Reads the next orders, if there are any, and writes their invoices. Returns of how many orders.
    ///
    /// # Errors
    ///
    /// When it cannot go on.
    fn step(&self) -> anyhow::Result<usize> {
        let orders = self.read()?;
        if orders.is_empty() {
            return Ok(0);
        }
        match self.transact(&orders) {
            Ok(()) => Ok(orders.len()),
            // A fatal error is the end of this producer: exercise 7b.
            Err(error) if self.producer.client().fatal_error().is_some() => Err(error),
            Err(error) => {
                eprintln!("{error:#}; all over again");
                self.start_over(&orders)?;
                Ok(0)
            }
        }
    }

    fn read(&self) -> anyhow::Result<Vec<OwnedMessage>> {
        let mut orders = Vec::with_capacity(BATCH);
        let mut patience = POLL_TIMEOUT;
        while orders.len() < BATCH
            && let Some(polled) = self.consumer.poll(patience)
        {
            orders.push(polled?.detach());
            patience = Duration::ZERO;
        }
        Ok(orders)
    }

    /// Writes the invoices of `orders`, each under its order's key, and commits up to where the orders were read: all of
    /// it in one transaction.
    ///
    /// # Errors
    ///
    /// When the transaction was not committed.
    fn transact(&self, orders: &[OwnedMessage]) -> anyhow::Result<()> {
        todo!(
            "write {:?} to {INVOICES} and the offset behind each of {} orders in one transaction of {:p}, within {TIMEOUT:?}",
            orders.iter().map(invoice).collect::<Vec<_>>(),
            orders.len(),
            &self.producer
        )
    }

    /// After a transaction that failed: aborts it, and has `orders` read again.
    ///
    /// # Errors
    ///
    /// When that fails too.
    fn start_over(&self, orders: &[OwnedMessage]) -> anyhow::Result<()> {
        todo!(
            "abort the transaction and seek back to {:?}, and what else of {} orders is the first of its partition, within {:?}",
            orders.first().map(|order| Offset::Offset(order.offset())),
            orders.len(),
            TIMEOUT
        )
    }
}

fn invoice(order: &OwnedMessage) -> String {
    let text = order.payload().map(String::from_utf8_lossy);
    format!("invoice of {}", text.unwrap_or_default())
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let broker = embedded_broker::Broker::builder().start().await?;
    let servers = broker.bootstrap_servers();
    let shop: ThreadedProducer<_> = ClientConfig::new()
        .set("bootstrap.servers", &servers)
        .create()?;
    for order in ["2 coffees", "1 tea", "3 cakes"] {
        let record = BaseRecord::to(ORDERS).key("customer-1").payload(order);
        shop.send(record).map_err(|(error, _)| error)?;
    }
    tokio::task::block_in_place(|| {
        shop.flush(TIMEOUT)?;
        let invoicing = Invoicing::start(&servers, "invoicing-1")?;
        let mut orders = 0;
        while orders < 3 {
            orders += invoicing.step()?;
        }
        println!("{orders} orders have their invoices");
        Ok(())
    })
}

#[cfg(test)]
#[path = "../tests/checks/07a_exactly_once.rs"]
mod checks;
