//! Send a typed event, and read it back.
use std::{borrow::Cow, time::Duration};

use kafka_event_streaming::config::{Cluster, ConsumerSettings, ProducerSettings};
use kafka_event_streaming::event::Event;
use kafka_event_streaming::{event_consumer::EventConsumer, event_producer::EventProducer, topics};

#[derive(Debug, serde::Serialize, serde::Deserialize)]
struct Sale {
    product: String,
}
impl Event for Sale {
    const TYPE: &'static str = "shop.sale";
    fn key(&self) -> Cow<'_, str> {
        Cow::from(&self.product)
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let cluster = Cluster::from_environment()?;
    topics::ensure_topic(&cluster, "sales", 3).await?;
    let producer = EventProducer::new(&cluster, "sales", &ProducerSettings::reliable())?;
    let product = "tea".to_owned();
    println!("{:?}", producer.send(&Sale { product }).await?);

    let settings = ConsumerSettings::reliable("bookkeeping");
    let consumer = EventConsumer::<Sale>::new(&cluster, &settings, &["sales"])?;
    loop {
        // None: a partition is at its end, or nothing came in time. Ask again.
        if let Some(received) = consumer.next(Duration::from_secs(1)).await? {
            println!("{:?}", received.event?);
            consumer.commit(&received.record).await?;
            break;
        }
    }
    Ok(consumer.close().await?)
}
