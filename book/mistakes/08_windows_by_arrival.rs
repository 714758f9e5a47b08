//! The mistake: a sale belongs to the window in which it is read.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use embedded_broker::Broker;
use rdkafka::consumer::{Consumer, StreamConsumer};
use rdkafka::producer::{FutureProducer, FutureRecord, Producer};
use rdkafka::{ClientConfig, Message};

const SALES: usize = 30;

/// The size of a window, in milliseconds. In life it is a minute; that would be a long program.
const SIZE: u128 = 200;

fn now() -> anyhow::Result<u128> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())
}

/// How many sales each window has.
type Windows = BTreeMap<u128, u32>;

// ANCHOR: mistake
/// Counts sales by window: by the clock, and by when they were made.
async fn count(consumer: &StreamConsumer) -> anyhow::Result<[Windows; 2]> {
    let (mut by_clock, mut by_event) = (Windows::new(), Windows::new());
    for _ in 0..SALES {
        let record = consumer.recv().await?;
        let sold_at: u128 = str::from_utf8(record.payload().unwrap_or_default())?.parse()?;
        *by_clock.entry(now()? / SIZE).or_default() += 1;
        *by_event.entry(sold_at / SIZE).or_default() += 1;
    }
    Ok([by_clock, by_event])
}
// ANCHOR_END: mistake

/// Makes a sale every now and then.
async fn sell(producer: &FutureProducer) -> anyhow::Result<()> {
    for _ in 0..SALES {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let sold_at = now()?.to_string();
        let record = FutureRecord::<str, str>::to("sales").payload(&sold_at);
        let sent = producer.send(record, Duration::from_secs(10)).await;
        sent.map_err(|(error, _)| error)?;
    }
    Ok(())
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let broker = Broker::builder().partitions(1).start().await?;
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", broker.bootstrap_servers());
    let producer: FutureProducer = config.create()?;
    // To ask for the topic creates it, before anybody reads from it.
    let patience = Duration::from_secs(10);
    producer.client().fetch_metadata(Some("sales"), patience)?;
    config
        .set("auto.offset.reset", "earliest")
        .set("enable.auto.commit", "false");
    println!("windows        by the clock   by when they were made");
    for reading in ["as they come", "read again"] {
        let consumer: StreamConsumer = config.set("group.id", reading).create()?;
        consumer.subscribe(&["sales"])?;
        let (counted, ()) = tokio::try_join!(count(&consumer), async {
            match reading {
                "as they come" => sell(&producer).await,
                _ => Ok(()),
            }
        })?;
        let [by_clock, by_event] = counted.map(|windows| windows.len());
        println!("{reading:<14} {by_clock:>12} {by_event:>24}");
    }
    Ok(())
}
