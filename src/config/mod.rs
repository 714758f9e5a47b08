//! What a program has to be told before it can talk to Kafka, each as a type that cannot hold nonsense.
//!
//! - [`Cluster`]: where the brokers are, who is calling, and how to be let in; read from the environment in one place
//! - [`TopicNames`]: from the name a program uses to the name a cluster has
//! - [`ProducerSettings`] and [`ConsumerSettings`]: everything that these clients are configured with, each property
//!   with its reason beside it
//!
//! rdkafka takes a map of texts. A misspelt property fails only when the client is created (row X3), and some
//! combinations fail only with some brokers (row X16). Here neither can be written.

mod bootstrap_servers;
mod cluster;
mod consumer_settings;
mod environment;
mod group_protocol;
mod producer_settings;
mod security;
mod topic_names;

pub use bootstrap_servers::{
    BOOTSTRAP_SERVERS_VARIABLE, BootstrapServers, DEFAULT_BOOTSTRAP_SERVERS,
};
pub use cluster::{Cluster, DEFAULT_SERVICE_NAME, SERVICE_NAME_VARIABLE};
pub use consumer_settings::{ConsumerSettings, FirstOffset, IsolationLevel};
pub use group_protocol::{
    Assignor, ClassicGroup, GroupProtocol, NewGroup, ServerAssignor, UnknownGroupProtocol,
};
pub use producer_settings::{Compression, Guarantee, ProducerSettings};
pub use security::{ClientCertificate, Sasl, SaslMechanism, Security, Tls};
pub use topic_names::TopicNames;
