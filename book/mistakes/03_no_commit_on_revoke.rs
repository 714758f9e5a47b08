//! The mistake: a member commits now and then, and not when partitions are taken away from it.

use std::collections::BTreeSet;

use embedded_broker::Broker;
use rdkafka::Message;
use rdkafka::consumer::{CommitMode, Consumer, StreamConsumer};

/// In each of two partitions.
const ORDERS: usize = 20;
/// A member commits after so many.
const BATCH: usize = 100;

// ANCHOR: mistake
struct Member {
    consumer: StreamConsumer,
    since_commit: usize,
}

impl Member {
    /// Cooks one order. Commits after every hundredth, and at no other time.
    async fn cook(&mut self) -> anyhow::Result<(i32, i64)> {
        let record = self.consumer.recv().await?;
        self.since_commit += 1;
        if self.since_commit == BATCH {
            self.consumer.commit_consumer_state(CommitMode::Sync)?;
            self.since_commit = 0;
        }
        Ok((record.partition(), record.offset()))
    }
}
// ANCHOR_END: mistake

impl Member {
    fn join(broker: &Broker, topic: &str, strategy: &str) -> anyhow::Result<Self> {
        let consumer: StreamConsumer = book_mistakes::settings(broker, topic)
            .set("partition.assignment.strategy", strategy)
            // How soon a member hears that the group is changing.
            .set("heartbeat.interval.ms", "100")
            .create()?;
        consumer.subscribe(&[topic])?;
        Ok(Self {
            consumer,
            since_commit: 0,
        })
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let broker = Broker::builder().partitions(2).start().await?;
    for strategy in ["range", "cooperative-sticky"] {
        let topic = format!("orders.{strategy}");
        for partition in [0, 1] {
            let orders = [("order.placed", "1 tea"); ORDERS];
            book_mistakes::write_to(&broker, &topic, partition, &orders).await?;
        }
        let mut first = Member::join(&broker, &topic, strategy)?;
        let mut cooked = Vec::new();
        while cooked.len() < 2 * ORDERS {
            cooked.push(first.cook().await?);
        }
        // All is cooked, and nothing committed. Now somebody comes to help.
        let mut second = Member::join(&broker, &topic, strategy)?;
        loop {
            tokio::select! {
                order = first.cook() => cooked.push(order?),
                order = second.cook() => break cooked.push(order?),
            }
        }
        // The last orders of the day: what is cooked again comes before them.
        for partition in [0, 1] {
            let last = [("order.placed", "the bill")];
            book_mistakes::write_to(&broker, &topic, partition, &last).await?;
        }
        let mut last_orders = 0;
        while last_orders < 2 {
            let order = tokio::select! {
                order = first.cook() => order?,
                order = second.cook() => order?,
            };
            last_orders += usize::from(order.1 == ORDERS as i64);
            cooked.push(order);
        }
        let once: BTreeSet<_> = cooked.iter().collect();
        println!(
            "{strategy:<19} {} orders, cooked twice: {}",
            2 * ORDERS,
            cooked.len() - once.len()
        );
        // The program ends here. Closed one after the other, the first to go would hand its partitions to the second, and
        // librdkafka may wait for ever when it closes in the middle of a rebalance.
        std::mem::forget((first, second));
    }
    Ok(())
}
