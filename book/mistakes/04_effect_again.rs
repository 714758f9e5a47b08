//! The mistake: an effect that is not the same when it is done twice, and nothing that remembers that it was done.

use std::time::Duration;

use anyhow::{Result, bail};
use embedded_broker::Broker;
use rdkafka::Message;
use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::producer::{FutureProducer, FutureRecord};

const ORDERS: i64 = 10;

/// A row of a table. It outlives the process.
struct Stock {
    pieces: i64,
}

// ANCHOR: mistake
/// Each order takes one piece out of the stock. In its first life the process is killed before the commit, at offset 4.
async fn live(broker: &Broker, stock: &mut Stock, is_first_life: bool) -> Result<()> {
    let consumer = book_mistakes::consumer(broker, "inventory", "orders")?;
    loop {
        let order = consumer.recv().await?;
        stock.pieces -= 1;
        if is_first_life && order.offset() == 4 {
            bail!("killed");
        }
        consumer.commit_message(&order, CommitMode::Sync)?;
        if order.offset() + 1 == ORDERS {
            return Ok(());
        }
    }
}
// ANCHOR_END: mistake

#[tokio::main]
async fn main() -> Result<()> {
    let broker = Broker::builder().partitions(1).start().await?;
    let kafka: FutureProducer = book_mistakes::settings(&broker, "").create()?;
    for number in 1..=ORDERS {
        let order = format!("order-{number}");
        let record = FutureRecord::to("orders").key(&order).payload("1 coffee");
        let sent = kafka.send(record, Duration::from_secs(10)).await;
        sent.map_err(|(error, _record)| error)?;
    }
    let mut stock = Stock { pieces: 100 };
    for is_first_life in [true, false] {
        let lived = live(&broker, &mut stock, is_first_life).await;
        assert_eq!(lived.is_err(), is_first_life, "{lived:?}");
    }
    println!(
        "{ORDERS} orders of one piece each: the stock went from 100 to {}",
        stock.pieces
    );
    Ok(())
}
