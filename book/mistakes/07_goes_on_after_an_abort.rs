//! The mistake: a transaction fails, is aborted, and the program goes on with the next order.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use embedded_broker::{ApiKey, Broker, ErrorCode};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::BorrowedMessage;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use rdkafka::{ClientConfig, Message};

const ORDERS: i64 = 3;
const PATIENCE: Duration = Duration::from_secs(10);

type TransactionalProducer = ThreadedProducer<DefaultProducerContext>;

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

/// The invoice and the offset in one transaction, as it should be.
fn transact(
    consumer: &BaseConsumer,
    producer: &TransactionalProducer,
    order: &BorrowedMessage<'_>,
) -> anyhow::Result<()> {
    producer.begin_transaction()?;
    let invoice = format!("invoice of order {}", order.offset());
    let record = BaseRecord::<str, str>::to("invoices").payload(&invoice);
    producer.send(record).map_err(|(error, _record)| error)?;
    let group = consumer.group_metadata().context("in no group")?;
    // Behind the order that was read.
    let offsets = consumer.position()?;
    producer.send_offsets_to_transaction(&offsets, &group, PATIENCE)?;
    Ok(producer.commit_transaction(PATIENCE)?)
}

// ANCHOR: mistake
fn make_invoices(consumer: &BaseConsumer, producer: &TransactionalProducer) -> anyhow::Result<()> {
    for _ in 0..ORDERS {
        let order = next_order(consumer)?;
        if transact(consumer, producer, &order).is_err() {
            // What was written is taken back. The consumer stands behind the order all the same.
            producer.abort_transaction(PATIENCE)?;
            println!("the transaction of order {} is aborted", order.offset());
        }
    }
    Ok(())
}
// ANCHOR_END: mistake

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let broker = Broker::builder().partitions(1).start().await?;
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", broker.bootstrap_servers());
    let shop: TransactionalProducer = config.create()?;
    for _ in 0..ORDERS {
        let order = BaseRecord::<str, str>::to("orders").payload("2 coffees");
        shop.send(order).map_err(|(error, _record)| error)?;
    }
    tokio::task::block_in_place(|| {
        shop.flush(PATIENCE)?;
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
        // The group moves on in the middle of the first transaction.
        let offsets = broker.faults().on(ApiKey::TxnOffsetCommit);
        offsets.once().error(ErrorCode::IllegalGeneration);
        make_invoices(&consumer, &producer)
    })?;

    for record in broker.records("invoices", 0)? {
        if let Some(invoice) = record.value_str().filter(|_| record.is_committed()) {
            println!("{invoice}");
        }
    }
    let committed = broker.snapshot().committed("invoicing", "orders", 0);
    let committed = committed.context("an offset was committed")?;
    println!("the group goes on at offset {committed}: order 0 is never read again");
    Ok(())
}
