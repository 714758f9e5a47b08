//! librdkafka clients with settings that make a test quick.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::AdminClient;
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{Consumer, StreamConsumer};
use rdkafka::message::{Message, OwnedMessage};
use rdkafka::producer::FutureProducer;

use super::broker::broker;
use super::wait::{DEADLINE, eventually, within};

/// The broker's address and the given settings.
pub(crate) async fn config(settings: &[(&str, &str)]) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", broker().await);
    for (key, value) in settings {
        config.set(*key, *value);
    }
    config
}

pub(crate) async fn producer(settings: &[(&str, &str)]) -> FutureProducer {
    config(settings).await.create().expect("create a producer")
}

pub(crate) async fn admin() -> AdminClient<DefaultClientContext> {
    config(&[]).await.create().expect("create an admin client")
}

/// The settings of a member of a classic group: how it is seen to be alive.
const CLASSIC: &[(&str, &str)] = &[
    // How fast a member hears of a round; the default is 3 s.
    ("heartbeat.interval.ms", "100"),
    ("session.timeout.ms", "6000"),
];

/// A member of a classic `group` that reads `topics` from the beginning and commits when told to.
pub(crate) async fn consumer(
    group: &str,
    topics: &[&str],
    settings: &[(&str, &str)],
) -> StreamConsumer {
    subscribed(group, topics, &[CLASSIC, settings].concat()).await
}

/// The same by the new group protocol (KIP-848), in which the broker says how often a heart beats.
pub(crate) async fn modern_consumer(
    group: &str,
    topics: &[&str],
    settings: &[(&str, &str)],
) -> StreamConsumer {
    let protocol = [("group.protocol", "consumer")];
    subscribed(group, topics, &[&protocol, settings].concat()).await
}

async fn subscribed(group: &str, topics: &[&str], settings: &[(&str, &str)]) -> StreamConsumer {
    let common = [
        ("group.id", group),
        ("auto.offset.reset", "earliest"),
        ("enable.auto.commit", "false"),
        // With the default of 1 s a drained queue delays the next fetch by as much.
        ("fetch.queue.backoff.ms", "1"),
        // How long a fetch at the end of a partition holds back an answer behind it on the connection.
        ("fetch.wait.max.ms", "50"),
    ];
    let consumer: StreamConsumer = config(&[&common, settings].concat())
        .await
        .create()
        .expect("create a consumer");
    consumer.subscribe(topics).expect("subscribe");
    consumer
}

/// The next message.
pub(crate) async fn next(consumer: &StreamConsumer) -> OwnedMessage {
    let message = within(DEADLINE, "a message", consumer.recv()).await;
    message.expect("consume").detach()
}

/// The values of the next `count` messages.
pub(crate) async fn take(consumer: &StreamConsumer, count: usize) -> Vec<String> {
    let mut values = Vec::with_capacity(count);
    while values.len() < count {
        let message = next(consumer).await;
        values.push(String::from_utf8_lossy(message.payload().unwrap_or_default()).into_owned());
    }
    values
}

/// The partitions that a member has, sorted.
pub(crate) fn assigned(consumer: &StreamConsumer) -> Vec<i32> {
    let assignment = consumer.assignment().expect("assignment");
    let mut partitions: Vec<i32> = assignment
        .elements()
        .iter()
        .map(|element| element.partition())
        .collect();
    partitions.sort_unstable();
    partitions
}

/// Polls all `consumers`, which must have nothing to read, until each has as many partitions as `counts` says.
pub(crate) async fn until_assigned(consumers: &[&StreamConsumer], counts: &[usize]) {
    eventually(
        DEADLINE,
        &format!("{counts:?} partitions for the members"),
        async || {
            for consumer in consumers {
                if let Ok(message) =
                    tokio::time::timeout(Duration::from_millis(10), consumer.recv()).await
                {
                    panic!("nothing to read was expected: {message:?}");
                }
            }
            let have: Vec<usize> = consumers
                .iter()
                .map(|consumer| assigned(consumer).len())
                .collect();
            (have == counts).then_some(())
        },
    )
    .await;
}
