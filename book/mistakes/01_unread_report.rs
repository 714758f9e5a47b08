//! The mistake: nobody reads the delivery report, so nobody hears that the record was refused.

use std::time::Duration;

use embedded_broker::{ApiKey, Broker, ErrorCode};
use rdkafka::ClientConfig;
use rdkafka::producer::{FutureProducer, FutureRecord, Producer};

// ANCHOR: mistake
/// Flushes, and takes that for success. `flush` waits until every record has its report; it does not read them.
fn send(producer: &FutureProducer) -> anyhow::Result<()> {
    let record = FutureRecord::<str, str>::to("orders").payload("2 coffees");
    let _report = producer.send_result(record);
    producer.flush(Duration::from_secs(10))?;
    Ok(())
}
// ANCHOR_END: mistake

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let broker = Broker::builder().partitions(1).start().await?;
    // This client may not write to the topic, and never will.
    broker
        .faults()
        .on(ApiKey::Produce)
        .error(ErrorCode::TopicAuthorizationFailed);
    let producer: FutureProducer = ClientConfig::new()
        .set("bootstrap.servers", broker.bootstrap_servers())
        .create()?;
    let outcome = send(&producer);
    let found = broker.records("orders", 0)?.len();
    println!("send returned {outcome:?}; in the topic: {found} records");

    let record = FutureRecord::<str, str>::to("orders").payload("2 coffees");
    if let Err((error, _record)) = producer.send(record, Duration::from_secs(10)).await {
        println!("the report would have said: {error}");
    }
    Ok(())
}
