//! The mistake: the consumer commits its offsets itself, beside the transaction. A crash fits between the two.

use std::time::{Duration, Instant};

use anyhow::bail;
use embedded_broker::Broker;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::message::BorrowedMessage;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use rdkafka::{ClientConfig, Message};

const ORDERS: i64 = 3;
const PATIENCE: Duration = Duration::from_secs(10);

type TransactionalProducer = ThreadedProducer<DefaultProducerContext>;

// ANCHOR: mistake
/// An invoice for each order, in a transaction; and each order's offset, committed by the consumer. The process is killed
/// between the two, at one of the orders.
fn make_invoices(
    consumer: &BaseConsumer,
    producer: &TransactionalProducer,
    offset_first: bool,
    killed_at: Option<i64>,
) -> anyhow::Result<()> {
    loop {
        let order = next_order(consumer)?;
        if offset_first {
            consumer.commit_message(&order, CommitMode::Sync)?;
        } else {
            make_invoice(producer, &order)?;
        }
        if killed_at == Some(order.offset()) {
            return Ok(());
        }
        if offset_first {
            make_invoice(producer, &order)?;
        } else {
            consumer.commit_message(&order, CommitMode::Sync)?;
        }
        if order.offset() + 1 == ORDERS {
            return Ok(());
        }
    }
}
// ANCHOR_END: mistake

/// `poll` also returns without a record, for example when the group has changed.
fn next_order(consumer: &BaseConsumer) -> anyhow::Result<BorrowedMessage<'_>> {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if let Some(order) = consumer.poll(PATIENCE) {
            return Ok(order?);
        }
    }
    bail!("no order came")
}

fn make_invoice(
    producer: &TransactionalProducer,
    order: &BorrowedMessage<'_>,
) -> anyhow::Result<()> {
    producer.begin_transaction()?;
    let invoice = order.offset().to_string();
    let record = BaseRecord::<str, str>::to("invoices").payload(&invoice);
    producer.send(record).map_err(|(error, _record)| error)?;
    Ok(producer.commit_transaction(PATIENCE)?)
}

/// The invoices that a reader of committed records sees, when the process was killed at order 1 and started again.
fn invoices(broker: &Broker, offset_first: bool) -> anyhow::Result<Vec<String>> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", broker.bootstrap_servers());
    let shop: TransactionalProducer = config.create()?;
    for _ in 0..ORDERS {
        let order = BaseRecord::<str, str>::to("orders").payload("2 coffees");
        shop.send(order).map_err(|(error, _record)| error)?;
    }
    shop.flush(PATIENCE)?;
    for killed_at in [Some(1), None] {
        let mut config = config.clone();
        let producer: TransactionalProducer = config
            .clone()
            .set("transactional.id", "invoicing-0")
            .create()?;
        producer.init_transactions(PATIENCE)?;
        let consumer: BaseConsumer = config
            .set("group.id", "invoicing")
            .set("auto.offset.reset", "earliest")
            .set("enable.auto.commit", "false")
            .create()?;
        consumer.subscribe(&["orders"])?;
        make_invoices(&consumer, &producer, offset_first, killed_at)?;
    }
    let written = broker.records("invoices", 0)?;
    let committed = written.iter().filter(|invoice| invoice.is_committed());
    let orders = committed.filter_map(|invoice| invoice.value_str());
    Ok(orders.map(str::to_owned).collect())
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    for (name, offset_first) in [
        ("invoice, then offset", false),
        ("offset, then invoice", true),
    ] {
        let broker = Broker::builder().partitions(1).start().await?;
        let invoices = tokio::task::block_in_place(|| invoices(&broker, offset_first))?;
        println!(
            "{name}: {ORDERS} orders, invoices for these: {}",
            invoices.join(", ")
        );
    }
    Ok(())
}
