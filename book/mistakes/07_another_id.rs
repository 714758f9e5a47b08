//! The mistake: a transactional id that is new at each start. Nobody aborts what the process before has left open.

use std::time::Duration;

use anyhow::Context;
use embedded_broker::Broker;
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};

const PATIENCE: Duration = Duration::from_secs(10);

type TransactionalProducer = ThreadedProducer<DefaultProducerContext>;

fn start(servers: &str, id: &str) -> anyhow::Result<TransactionalProducer> {
    let producer: TransactionalProducer = ClientConfig::new()
        .set("bootstrap.servers", servers)
        .set("transactional.id", id)
        .create()?;
    producer.init_transactions(PATIENCE)?;
    Ok(producer)
}

/// Writes an invoice in a transaction, which is not committed yet.
fn write(producer: &TransactionalProducer) -> anyhow::Result<()> {
    producer.begin_transaction()?;
    let invoice = BaseRecord::<str, str>::to("invoices").payload("12.00");
    producer.send(invoice).map_err(|(error, _record)| error)?;
    Ok(producer.flush(PATIENCE)?)
}

// ANCHOR: mistake
fn die_and_be_replaced(servers: &str, id: &str, next_id: &str) -> anyhow::Result<()> {
    // Dies before its commit.
    write(&start(servers, id)?)?;
    let successor = start(servers, next_id)?;
    write(&successor)?;
    Ok(successor.commit_transaction(PATIENCE)?)
}
// ANCHOR_END: mistake

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    for (name, next_id) in [
        ("the same id", "invoicing-0"),
        ("another id", "invoicing-1"),
    ] {
        let broker = Broker::builder().partitions(1).start().await?;
        let servers = broker.bootstrap_servers();
        tokio::task::block_in_place(|| die_and_be_replaced(&servers, "invoicing-0", next_id))?;
        let snapshot = broker.snapshot();
        let invoices = snapshot.partition("invoices", 0);
        let invoices = invoices.context("the topic is there")?;
        println!(
            "{name:<11}  end of the log: {}, read_committed reads up to {}",
            invoices.high_watermark, invoices.last_stable_offset
        );
    }
    Ok(())
}
