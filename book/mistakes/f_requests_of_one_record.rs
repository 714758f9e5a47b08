//! No mistake: what a producer asks of a broker to send its first record.

use std::time::Duration;

use embedded_broker::Broker;
use rdkafka::ClientConfig;
use rdkafka::producer::{FutureProducer, FutureRecord};

// ANCHOR: show
/// Each kind of request once, in the order in which they came.
fn show_requests(broker: &Broker) {
    let mut seen = Vec::new();
    for request in broker.requests().client_id("shop").latest() {
        if !seen.contains(&request.api) {
            println!("{:?}, version {}", request.api, request.version);
            seen.push(request.api);
        }
    }
}
// ANCHOR_END: show

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let broker = Broker::builder().partitions(1).start().await?;
    let producer: FutureProducer = ClientConfig::new()
        .set("bootstrap.servers", broker.bootstrap_servers())
        .set("client.id", "shop")
        .set("enable.idempotence", "true")
        .create()?;
    let record = FutureRecord::<str, str>::to("orders").payload("2 coffees");
    let sent = producer.send(record, Duration::from_secs(10)).await;
    sent.map_err(|(error, _record)| error)?;
    show_requests(&broker);
    Ok(())
}
