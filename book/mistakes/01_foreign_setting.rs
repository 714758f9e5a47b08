//! The mistake: a setting of the Java client.

use rdkafka::ClientConfig;
use rdkafka::consumer::BaseConsumer;

// ANCHOR: mistake
fn main() {
    for (name, value) in [("max.poll.records", "500"), ("fetch.max.wait.ms", "100")] {
        let created: Result<BaseConsumer, _> = ClientConfig::new()
            .set("group.id", "shop")
            .set(name, value)
            .create();
        if let Err(error) = created {
            println!("{error}");
        }
    }
}
// ANCHOR_END: mistake
