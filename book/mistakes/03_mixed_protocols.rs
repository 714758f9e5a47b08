//! The mistake: settings of the classic group protocol together with the new one.

use rdkafka::ClientConfig;
use rdkafka::consumer::BaseConsumer;

// ANCHOR: mistake
fn main() {
    for (name, value) in [
        ("session.timeout.ms", "6000"),
        ("heartbeat.interval.ms", "500"),
        ("partition.assignment.strategy", "cooperative-sticky"),
    ] {
        let created: Result<BaseConsumer, _> = ClientConfig::new()
            .set("group.id", "kitchen")
            .set("group.protocol", "consumer")
            .set(name, value)
            .create();
        if let Err(error) = created {
            println!("{error}");
        }
    }
}
// ANCHOR_END: mistake
