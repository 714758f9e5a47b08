//! The nodes: several listeners that share one state, so that leaders and coordinators can be spread and moved.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;

/// One node, as clients see it.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    /// `node.id`, counted from 0.
    pub(crate) id: i32,
    /// Where its listener is bound.
    pub(crate) address: SocketAddr,
    /// The host that metadata tells clients to connect to.
    pub(crate) advertised_host: String,
}

impl Node {
    /// The port that clients connect to, as the protocol carries it.
    pub(crate) fn port(&self) -> i32 {
        i32::from(self.address.port())
    }

    /// `HOST:PORT`, with the brackets that an IPv6 address needs there.
    pub(crate) fn bootstrap_server(&self) -> String {
        match self.advertised_host.contains(':') {
            true => format!("[{}]:{}", self.advertised_host, self.port()),
            false => format!("{}:{}", self.advertised_host, self.port()),
        }
    }
}

/// The nodes and who coordinates what.
#[derive(Debug)]
pub(crate) struct Cluster {
    /// As long as Apache Kafka's 22 characters; the prefix tells a reader of `kafka-cluster` what answered.
    pub(crate) id: String,
    /// In the order of their ids.
    pub(crate) nodes: Vec<Node>,
}

impl Cluster {
    pub(crate) fn new(nodes: Vec<Node>) -> Self {
        let random = uuid::Uuid::new_v4().simple().to_string();
        Self {
            id: format!("embedded-{}", &random[..13]),
            nodes,
        }
    }

    /// The node that coordinates the group or transactional id `key`.
    pub(crate) fn coordinator(&self, key: &str) -> Option<&Node> {
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        let count = u64::try_from(self.nodes.len()).unwrap_or(1).max(1);
        self.nodes
            .get(usize::try_from(hasher.finish() % count).unwrap_or(0))
    }

    /// Whether `node_id` coordinates `key`.
    pub(crate) fn is_coordinator(&self, node_id: i32, key: &str) -> bool {
        self.coordinator(key).is_some_and(|node| node.id == node_id)
    }

    /// Replicas of `partition`: neighbours in the ring of nodes, each partition one further, so that leaders spread.
    pub(crate) fn replicas(&self, partition: usize, replication_factor: usize) -> Vec<i32> {
        self.nodes
            .iter()
            .cycle()
            .skip(partition % self.nodes.len().max(1))
            .take(replication_factor.min(self.nodes.len()))
            .map(|node| node.id)
            .collect()
    }
}
