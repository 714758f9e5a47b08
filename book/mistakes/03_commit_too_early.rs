//! The mistake: an offset is committed before the work on its record is done, by hand or by the client itself.

use std::time::Duration;

use anyhow::{bail, ensure};
use embedded_broker::Broker;
use rdkafka::Message;
use rdkafka::consumer::{CommitMode, Consumer, StreamConsumer};
use rdkafka::message::BorrowedMessage;

const ORDERS: i64 = 5;

#[derive(Clone, Copy, PartialEq)]
enum Way {
    CommitThenWork,
    Automatic,
    WorkThenCommit,
}

/// The orders that were cooked. In the first run the power fails while order 2 is on the stove.
#[derive(Default)]
struct Kitchen {
    cooked: Vec<i64>,
    has_power: bool,
}

impl Kitchen {
    async fn cook(&mut self, record: &BorrowedMessage<'_>) -> anyhow::Result<()> {
        if !self.has_power && record.offset() == 2 {
            tokio::time::sleep(Duration::from_millis(500)).await;
            bail!("the power failed");
        }
        self.cooked.push(record.offset());
        Ok(())
    }
}

// ANCHOR: mistake
async fn run(way: Way, consumer: &StreamConsumer, kitchen: &mut Kitchen) -> anyhow::Result<()> {
    loop {
        let record = consumer.recv().await?;
        if way == Way::CommitThenWork {
            consumer.commit_message(&record, CommitMode::Sync)?;
        }
        kitchen.cook(&record).await?;
        if way == Way::WorkThenCommit {
            consumer.commit_message(&record, CommitMode::Sync)?;
        }
        if record.offset() + 1 == ORDERS {
            return Ok(());
        }
    }
}
// ANCHOR_END: mistake

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let broker = Broker::builder().partitions(1).start().await?;
    book_mistakes::write(
        &broker,
        "orders",
        &[("order.placed", "1 tea"); ORDERS as usize],
    )
    .await?;
    for (name, way) in [
        ("commit, then work", Way::CommitThenWork),
        ("automatic commit", Way::Automatic),
        ("work, then commit", Way::WorkThenCommit),
    ] {
        let mut settings = book_mistakes::settings(&broker, name);
        settings
            // On is the default, and the interval 5 seconds.
            .set("enable.auto.commit", (way == Way::Automatic).to_string())
            .set("auto.commit.interval.ms", "50")
            .set("client.id", "kitchen");
        let mut kitchen = Kitchen::default();
        for has_power in [false, true] {
            kitchen.has_power = has_power;
            let consumer: StreamConsumer = settings.create()?;
            consumer.subscribe(&["orders"])?;
            let outcome = run(way, &consumer, &mut kitchen).await;
            ensure!(outcome.is_ok() == has_power, "{outcome:?}");
            if !has_power {
                // Nobody closes the consumer of a machine without power; the group misses it after a while.
                std::mem::forget(consumer);
                broker.expire_member(name, "kitchen")?;
            }
        }
        let lost = (0..ORDERS).filter(|order| !kitchen.cooked.contains(order));
        println!(
            "{name:<18} cooked {:?}, lost {:?}",
            kitchen.cooked,
            lost.collect::<Vec<_>>()
        );
    }
    Ok(())
}
