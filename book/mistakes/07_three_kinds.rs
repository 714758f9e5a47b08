//! The mistake: one answer to all errors. Here each kind is provoked at the same call, and what rdkafka says of it printed.

use std::time::Duration;

use embedded_broker::{ApiKey, Broker, ErrorCode};
use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};

const PATIENCE: Duration = Duration::from_secs(10);
/// Shorter than a broker takes that is slow.
const SHORT: Duration = Duration::from_millis(200);

type TransactionalProducer = ThreadedProducer<DefaultProducerContext>;

fn open(servers: &str) -> KafkaResult<TransactionalProducer> {
    let producer: TransactionalProducer = ClientConfig::new()
        .set("bootstrap.servers", servers)
        .set("transactional.id", "till-0")
        .create()?;
    producer.init_transactions(PATIENCE)?;
    Ok(producer)
}

/// Begins a transaction, and writes a booking in it.
fn begin(producer: &TransactionalProducer) -> KafkaResult<()> {
    producer.begin_transaction()?;
    let booking = BaseRecord::<str, str>::to("bookings").payload("12.00");
    producer.send(booking).map_err(|(error, _record)| error)
}

// ANCHOR: kinds
fn kind(outcome: &KafkaResult<()>) -> &'static str {
    match outcome {
        Ok(()) => "Ok",
        Err(KafkaError::Transaction(error)) if error.is_fatal() => "is_fatal",
        Err(KafkaError::Transaction(error)) if error.txn_requires_abort() => "txn_requires_abort",
        Err(KafkaError::Transaction(error)) if error.is_retriable() => "is_retriable",
        Err(_) => "none of the three",
    }
}
// ANCHOR_END: kinds

/// Commits, which fails, and then tries all that one might.
fn commit(what: &str, producer: &TransactionalProducer, timeout: Duration) {
    let commit = producer.commit_transaction(timeout);
    let again = producer.commit_transaction(PATIENCE);
    let mut line = format!(
        "{what:<19}  {:<18}  commit again: {}",
        kind(&commit),
        kind(&again)
    );
    if again.is_err() {
        let abort = producer.abort_transaction(PATIENCE);
        line += &format!(", then abort: {}", kind(&abort));
    }
    println!("{line}");
}

fn provoke(broker: &Broker) -> anyhow::Result<()> {
    let (servers, faults) = (broker.bootstrap_servers(), broker.faults());
    let producer = open(&servers)?;

    begin(&producer)?;
    producer.flush(PATIENCE)?;
    faults.on(ApiKey::EndTxn).once().delay(5 * SHORT);
    commit("the broker is slow", &producer, SHORT);

    begin(&producer)?;
    let refused = faults.on(ApiKey::Produce).once();
    refused.error(ErrorCode::MessageTooLarge);
    commit("a record is refused", &producer, PATIENCE);

    let successor = open(&servers)?;
    begin(&producer)?;
    commit("fenced before", &producer, PATIENCE);

    begin(&successor)?;
    successor.flush(PATIENCE)?;
    let _its_successor = open(&servers)?;
    commit("fenced meanwhile", &successor, PATIENCE);
    Ok(())
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let broker = Broker::builder().partitions(1).start().await?;
    tokio::task::block_in_place(|| provoke(&broker))
}
