//! A broker that a test has for itself, and librdkafka clients that ride out what is done to it.

use std::time::Duration;

use embedded_broker::Broker;
use kafka_protocol::error::ParseResponseErrorCode;
use kafka_protocol::messages::CreateTopicsRequest;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::producer::{FutureProducer, FutureRecord, Producer};
use rdkafka::{ClientConfig, ClientContext, TopicPartitionList};

use crate::support::broker::unique;
use crate::support::raw::RawClient;
use crate::support::topic::{Topic, creatable, only};
use crate::support::wait::{DEADLINE, eventually};

/// Starts a broker of this many nodes.
pub(crate) async fn start(nodes: usize) -> Broker {
    let broker = Broker::builder().nodes(nodes).start().await;
    broker.expect("start a broker")
}

/// Connects to one of its nodes.
pub(crate) async fn connect(broker: &Broker, node: i32) -> RawClient {
    let address = broker.node_address(node).expect("the node's address");
    RawClient::connect_to(&address).await
}

/// Creates a topic whose partitions have this many replicas.
pub(crate) async fn create_topic(broker: &Broker, partitions: i32, replicas: i16) -> Topic {
    let mut client = connect(broker, 0).await;
    let name = unique("topic");
    let topic = creatable(&name, partitions).with_replication_factor(replicas);
    let request = CreateTopicsRequest::default()
        .with_topics(vec![topic])
        .with_timeout_ms(10_000);
    let result = only(client.send(7, request).await.topics);
    assert_eq!(result.error_code.err(), None, "{:?}", result.error_message);
    Topic {
        name,
        id: result.topic_id,
    }
}

/// What all clients have in common: short back-offs, so that a client that was sent away comes back at once.
fn client(bootstrap_servers: &str, client_id: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", bootstrap_servers)
        .set("client.id", client_id)
        // From a broker that is gone to one that serves: 100 ms and up to 10 s otherwise.
        .set("reconnect.backoff.ms", "10")
        .set("reconnect.backoff.max.ms", "100")
        // Leaders move in these tests.
        .set("topic.metadata.refresh.fast.interval.ms", "20");
    config
}

/// A producer that sends each record at once.
pub(crate) fn producer(
    bootstrap_servers: &str,
    client_id: &str,
    idempotent: bool,
) -> FutureProducer {
    producer_with(bootstrap_servers, client_id, idempotent, &[])
}

/// The same, with settings of its own.
pub(crate) fn producer_with(
    bootstrap_servers: &str,
    client_id: &str,
    idempotent: bool,
    settings: &[(&str, &str)],
) -> FutureProducer {
    let mut config = client(bootstrap_servers, client_id);
    config
        .set("enable.idempotence", idempotent.to_string())
        .set("linger.ms", "0")
        .set("retry.backoff.ms", "10")
        .set("message.timeout.ms", "15000");
    for (name, value) in settings {
        config.set(*name, *value);
    }
    config.create().expect("create a producer")
}

/// A transactional producer, initialised.
pub(crate) fn transactional_producer(broker: &Broker, id: &str) -> FutureProducer {
    let settings = [("transactional.id", id)];
    let producer = producer_with(&broker.bootstrap_servers(), "p", true, &settings);
    producer.init_transactions(DEADLINE).expect("initialise");
    producer
}

/// Sends one record and returns the offset of its delivery report.
pub(crate) async fn send_to(
    producer: &FutureProducer,
    topic: &str,
    partition: i32,
    value: &str,
) -> i64 {
    let record = FutureRecord::<(), str>::to(topic)
        .partition(partition)
        .payload(value);
    let delivery = producer.send(record, DEADLINE).await;
    delivery
        .unwrap_or_else(|(error, _)| panic!("deliver {value}: {error}"))
        .offset
}

/// A member of `group` that reads from the beginning, commits only when told to, and notices a rebalance within 100 ms.
pub(crate) fn member(bootstrap_servers: &str, client_id: &str, group: &str) -> BaseConsumer {
    let mut config = client(bootstrap_servers, client_id);
    config
        .set("group.id", group)
        .set("auto.offset.reset", "earliest")
        .set("enable.auto.commit", "false")
        .set("heartbeat.interval.ms", "100")
        .set("session.timeout.ms", "6000")
        .set("fetch.error.backoff.ms", "10");
    config.create().expect("create a consumer")
}

/// A consumer that reads partitions of its own choice from the beginning, outside any group.
pub(crate) fn reader(bootstrap_servers: &str, topic: &str, partitions: i32) -> BaseConsumer {
    let consumer = member(bootstrap_servers, "reader", "no-group");
    let mut assignment = TopicPartitionList::new();
    for partition in 0..partitions {
        assignment
            .add_partition_offset(topic, partition, rdkafka::Offset::Beginning)
            .expect("an assignment");
    }
    consumer.assign(&assignment).expect("assign");
    consumer
}

/// Polls until `count` values have come, in whatever order.
pub(crate) async fn receive<C: ClientContext + rdkafka::consumer::ConsumerContext>(
    consumer: &BaseConsumer<C>,
    count: usize,
) -> Vec<String> {
    let mut values = Vec::new();
    eventually(DEADLINE, &format!("{count} records"), async || {
        while let Some(polled) = consumer.poll(Duration::ZERO) {
            // Errors that pass are part of these tests; what counts is that the records come.
            if let Ok(message) = polled {
                let value = message.payload().unwrap_or_default();
                values.push(String::from_utf8_lossy(value).into_owned());
            }
        }
        (values.len() >= count).then_some(())
    })
    .await;
    values
}
