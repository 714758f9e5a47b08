//! The broker that a test talks to. Mounted by every test that needs one, the exercises' checks among them.

use embedded_broker::Broker;
use kafka_event_streaming::config::{self, BootstrapServers};
use kafka_event_streaming::topics;

/// A running Kafka: the cluster that `KAFKA_BOOTSTRAP_SERVERS` names, or else an embedded broker of the test's own on a
/// free port, which stops when this is dropped.
pub(crate) struct Kafka {
    servers: BootstrapServers,
    _embedded: Option<Broker>,
}

impl Kafka {
    pub(crate) async fn start() -> Self {
        let named = config::bootstrap_servers()
            .expect("KAFKA_BOOTSTRAP_SERVERS has to be a list of addresses");
        if !named.is_default() {
            return Self {
                servers: named,
                _embedded: None,
            };
        }
        let broker = Broker::builder()
            .listen("127.0.0.1:0")
            .start()
            .await
            .expect("the embedded broker has to start on a free port");
        Self {
            servers: broker
                .bootstrap_servers()
                .parse()
                .expect("a broker's own address is valid"),
            _embedded: Some(broker),
        }
    }

    pub(crate) fn servers(&self) -> &BootstrapServers {
        &self.servers
    }

    /// A topic that no other test uses.
    pub(crate) async fn topic(&self, partitions: i32) -> String {
        let name = topics::unique_name("test");
        topics::ensure_topic(&self.servers, &name, partitions)
            .await
            .expect("a test's topic has to be created");
        name
    }
}
