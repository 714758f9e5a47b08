//! The mistake: an instance that was fenced off begins anew under the same id, and so fences off its successor.

use std::time::Duration;

use embedded_broker::Broker;
use rdkafka::ClientConfig;
use rdkafka::error::KafkaResult;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};

const PATIENCE: Duration = Duration::from_secs(10);

type TransactionalProducer = ThreadedProducer<DefaultProducerContext>;

fn open(servers: &str) -> KafkaResult<TransactionalProducer> {
    let producer: TransactionalProducer = ClientConfig::new()
        .set("bootstrap.servers", servers)
        .set("transactional.id", "till-0")
        .create()?;
    producer.init_transactions(PATIENCE)?;
    Ok(producer)
}

fn book(producer: &TransactionalProducer) -> KafkaResult<()> {
    producer.begin_transaction()?;
    let booking = BaseRecord::<str, str>::to("bookings").payload("12.00");
    producer.send(booking).map_err(|(error, _record)| error)?;
    producer.commit_transaction(PATIENCE)
}

// ANCHOR: mistake
/// Books, and when that cannot be mended makes itself a new producer, to be there for the next booking.
fn book_or_begin_anew(producer: &mut TransactionalProducer, servers: &str) -> KafkaResult<()> {
    let booked = book(producer);
    if producer.client().fatal_error().is_some() {
        *producer = open(servers)?;
    }
    booked
}
// ANCHOR_END: mistake

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let broker = Broker::builder().partitions(1).start().await?;
    let servers = broker.bootstrap_servers();
    tokio::task::block_in_place(|| {
        // The old one hung, and the new one was started in its place.
        let mut instances = [("old", open(&servers)?), ("new", open(&servers)?)];
        for _ in 0..2 {
            for (name, producer) in &mut instances {
                match book_or_begin_anew(producer, &servers)
                    .map_err(|error| error.rdkafka_error_code())
                {
                    Err(Some(code)) => println!("the {name} instance begins anew: {code}"),
                    outcome => println!("the {name} instance: {outcome:?}"),
                }
            }
        }
        anyhow::Ok(())
    })?;
    let written = broker.records("bookings", 0)?;
    let booked = written.iter().filter(|record| record.is_committed());
    println!("bookings: {}", booked.count());
    Ok(())
}
