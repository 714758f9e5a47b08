//! The broker that a test talks to.

use embedded_broker::Broker;
use kafka_event_streaming::config::Cluster;
use kafka_event_streaming::topics;

// ANCHOR: kafka
/// A running Kafka: the cluster that `KAFKA_BOOTSTRAP_SERVERS` names, or else an embedded broker of the test's own on a
/// free port, which stops when this is dropped.
pub(crate) struct Kafka {
    cluster: Cluster,
    _embedded: Option<Broker>,
}

impl Kafka {
    pub(crate) async fn start() -> Self {
        let named = Cluster::from_environment()
            .expect("the environment has to describe a cluster, or nothing at all");
        if !named.servers().is_default() {
            return Self {
                cluster: named,
                _embedded: None,
            };
        }
        let broker = Broker::builder()
            .listen("127.0.0.1:0")
            .start()
            .await
            .expect("the embedded broker has to start on a free port");
        Self {
            cluster: Cluster::new(
                broker
                    .bootstrap_servers()
                    .parse()
                    .expect("a broker's own address is valid"),
            ),
            _embedded: Some(broker),
        }
    }

    pub(crate) fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// A topic that no other test uses.
    pub(crate) async fn topic(&self, partitions: i32) -> String {
        let name = topics::unique_name("test");
        topics::ensure_topic(&self.cluster, &name, partitions)
            .await
            .expect("a test's topic has to be created");
        name
    }
}
// ANCHOR_END: kafka
