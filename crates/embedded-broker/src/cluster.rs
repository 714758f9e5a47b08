//! The nodes: several listeners that share one state, so that leaders and coordinators can be spread and moved.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;

use crate::config::Overrides;
use crate::security::ListenerKind;

/// `offsets.topic.num.partitions` and `transaction.state.log.num.partitions` of Apache Kafka.
const COORDINATOR_SLOTS: usize = 50;

/// One node, as clients see it.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    /// `node.id`, counted from 0.
    pub(crate) id: i32,
    /// Where its listener is bound.
    pub(crate) address: SocketAddr,
    /// The host that metadata tells clients to connect to.
    pub(crate) advertised_host: String,
    /// Where its listener with TLS is, if it has one.
    pub(crate) tls: Option<TlsAddress>,
    /// Whether it serves. A stopped one is known to metadata as a replica only.
    pub(crate) running: bool,
}

/// A second listener of a node, as clients see it.
#[derive(Clone, Debug)]
pub(crate) struct TlsAddress {
    pub(crate) address: SocketAddr,
    pub(crate) advertised_host: String,
}

impl Node {
    /// The host and port that a client connects to which came in by a listener of this kind, as the protocol carries them.
    pub(crate) fn endpoint(&self, kind: ListenerKind) -> (&str, i32) {
        let (host, address) = match (kind, &self.tls) {
            (ListenerKind::Tls, Some(tls)) => (&tls.advertised_host, tls.address),
            _ => (&self.advertised_host, self.address),
        };
        (host, i32::from(address.port()))
    }

    /// `HOST:PORT` of the listener without TLS.
    pub(crate) fn bootstrap_server(&self) -> String {
        self.server(ListenerKind::Plaintext)
    }

    /// `HOST:PORT` of the listener with TLS.
    pub(crate) fn tls_bootstrap_server(&self) -> Option<String> {
        self.tls.is_some().then(|| self.server(ListenerKind::Tls))
    }

    /// With the brackets that an IPv6 address needs there.
    fn server(&self, kind: ListenerKind) -> String {
        match self.endpoint(kind) {
            (host, port) if host.contains(':') => format!("[{host}]:{port}"),
            (host, port) => format!("{host}:{port}"),
        }
    }
}

/// The nodes and who coordinates what.
#[derive(Debug)]
pub(crate) struct Cluster {
    /// As long as Apache Kafka's 22 characters; the prefix tells a reader of `kafka-cluster` what answered.
    pub(crate) id: String,
    /// In the order of their ids, stopped ones included.
    pub(crate) nodes: Vec<Node>,
    /// The node that coordinates the keys of each slot, as Apache Kafka's coordinators are the leaders of an internal topic's
    /// partitions. None while no node runs.
    coordinators: [Option<i32>; COORDINATOR_SLOTS],
    /// Keys that were moved away from their slot, and the node that coordinates them now.
    moved: HashMap<String, i32>,
    /// How often each node was stopped, by its id: what one life of a node has begun, the next does not finish.
    stops: HashMap<i32, u64>,
}

impl Cluster {
    pub(crate) fn new(nodes: Vec<Node>) -> Self {
        let random = uuid::Uuid::new_v4().simple().to_string();
        let spread = |slot: usize| Some(nodes.get(slot % nodes.len().max(1))?.id);
        Self {
            id: format!("embedded-{}", &random[..13]),
            coordinators: std::array::from_fn(spread),
            moved: HashMap::new(),
            stops: HashMap::new(),
            nodes,
        }
    }

    /// What tells the nodes apart, as configurations that tools describe, by node id.
    pub(crate) fn static_configs(&self, sasl: bool) -> BTreeMap<i32, Overrides> {
        let (plaintext, tls) = (
            ListenerKind::Plaintext.protocol(sasl),
            ListenerKind::Tls.protocol(sasl),
        );
        let configs = |node: &Node| {
            let mut listeners = vec![format!("{plaintext}://{}", node.address)];
            let mut advertised = vec![format!("{plaintext}://{}", node.bootstrap_server())];
            listeners.extend(node.tls.iter().map(|at| format!("{tls}://{}", at.address)));
            let server = node.tls_bootstrap_server();
            advertised.extend(server.map(|server| format!("{tls}://{server}")));
            [
                ("node.id", node.id.to_string()),
                ("broker.id", node.id.to_string()),
                ("listeners", listeners.join(",")),
                ("advertised.listeners", advertised.join(",")),
            ]
            .map(|(name, value)| (name.to_owned(), value))
            .into()
        };
        let by_id = self.nodes.iter().map(|node| (node.id, configs(node)));
        by_id.collect()
    }

    /// The nodes that serve, in the order of their ids.
    pub(crate) fn running(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(|node| node.running)
    }

    pub(crate) fn is_running(&self, node_id: i32) -> bool {
        self.running().any(|node| node.id == node_id)
    }

    /// Which life of the node this is, counted by how often it was stopped. None while it is.
    pub(crate) fn life(&self, node_id: i32) -> Option<u64> {
        let stops = self.stops.get(&node_id).copied().unwrap_or(0);
        self.is_running(node_id).then_some(stops)
    }

    /// The node that coordinates the group or transactional id `key`; none while all nodes are stopped.
    pub(crate) fn coordinator(&self, key: &str) -> Option<&Node> {
        let slot = self.coordinators.get(slot_of(key)).copied().flatten();
        let id = self.moved.get(key).copied().or(slot)?;
        self.running().find(|node| node.id == id)
    }

    /// Whether `node_id` coordinates `key`.
    pub(crate) fn is_coordinator(&self, node_id: i32, key: &str) -> bool {
        self.coordinator(key).is_some_and(|node| node.id == node_id)
    }

    /// Has `node_id` coordinate `key` from now on.
    pub(crate) fn move_coordinator(&mut self, key: &str, node_id: i32) {
        self.moved.insert(key.to_owned(), node_id);
    }

    /// The node stops: others take over what it coordinated.
    pub(crate) fn stop(&mut self, node_id: i32) {
        self.set_running(node_id, false);
        *self.stops.entry(node_id).or_default() += 1;
        self.moved.retain(|_, coordinator| *coordinator != node_id);
        let left: Vec<i32> = self.running().map(|node| node.id).collect();
        let orphans = self.coordinators.iter_mut().enumerate();
        for (slot, coordinator) in orphans.filter(|(_, owner)| **owner == Some(node_id)) {
            *coordinator = left.get(slot % left.len().max(1)).copied();
        }
    }

    /// The node serves again. It coordinates what nobody does, and takes nothing away from others.
    pub(crate) fn start(&mut self, node_id: i32) {
        self.set_running(node_id, true);
        for coordinator in &mut self.coordinators {
            coordinator.get_or_insert(node_id);
        }
    }

    fn set_running(&mut self, node_id: i32, running: bool) {
        if let Some(node) = self.nodes.iter_mut().find(|node| node.id == node_id) {
            node.running = running;
        }
    }

    /// Replicas of `partition`: neighbours in the ring of running nodes, each partition one further, so that leaders spread.
    /// Stopped nodes come last, where more replicas are asked for than nodes run.
    pub(crate) fn replicas(&self, partition: usize, replication_factor: usize) -> Vec<i32> {
        let running: Vec<i32> = self.running().map(|node| node.id).collect();
        let stopped = self.nodes.iter().filter(|node| !node.running);
        let ring = running
            .iter()
            .cycle()
            .skip(partition % running.len().max(1));
        ring.take(running.len())
            .copied()
            .chain(stopped.map(|node| node.id))
            .take(replication_factor)
            .collect()
    }
}

/// The partition of `__consumer_offsets` that Apache Kafka would keep the group `key` in (`Utils.abs` of Java's
/// `String.hashCode`).
fn slot_of(key: &str) -> usize {
    let hash = key.encode_utf16().fold(0_i32, |hash, unit| {
        hash.wrapping_mul(31).wrapping_add(i32::from(unit))
    });
    usize::try_from(hash & i32::MAX).unwrap_or(0) % COORDINATOR_SLOTS
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster(count: i32) -> Cluster {
        let node = |id| Node {
            id,
            address: SocketAddr::from(([127, 0, 0, 1], 9092)),
            advertised_host: "127.0.0.1".to_owned(),
            tls: None,
            running: true,
        };
        Cluster::new((0..count).map(node).collect())
    }

    fn coordinator(cluster: &Cluster, key: &str) -> Option<i32> {
        cluster.coordinator(key).map(|node| node.id)
    }

    #[test]
    fn a_group_lands_in_the_partition_that_apache_kafka_keeps_it_in() {
        // "group-a".hashCode() is 293427347, "polygenelubricants".hashCode() is Integer.MIN_VALUE.
        assert_eq!(slot_of("group-a"), 47);
        assert_eq!(slot_of("polygenelubricants"), 0);
    }

    #[test]
    fn coordinators_move_away_from_a_stopped_node_and_stay_away() {
        let mut cluster = cluster(3);
        let keys: Vec<String> = (0..60).map(|number| format!("group-{number}")).collect();
        let before: Vec<Option<i32>> = keys.iter().map(|key| coordinator(&cluster, key)).collect();
        for id in 0..3 {
            assert!(before.contains(&Some(id)), "node {id} coordinates nothing");
        }
        cluster.stop(1);
        let after: Vec<Option<i32>> = keys.iter().map(|key| coordinator(&cluster, key)).collect();
        for (before, after) in before.iter().zip(&after) {
            match before {
                Some(1) => assert!(matches!(after, Some(0 | 2))),
                kept => assert_eq!(kept, after, "a coordinator moved that had no reason to"),
            }
        }
        cluster.start(1);
        let restarted: Vec<Option<i32>> =
            keys.iter().map(|key| coordinator(&cluster, key)).collect();
        assert_eq!(restarted, after);
    }

    #[test]
    fn a_key_that_was_moved_goes_back_to_its_slot_when_its_node_stops() {
        let mut cluster = cluster(3);
        let home = coordinator(&cluster, "group-a");
        assert_eq!(home, Some(2));
        cluster.move_coordinator("group-a", 1);
        assert!(cluster.is_coordinator(1, "group-a"));
        cluster.stop(1);
        assert_eq!(coordinator(&cluster, "group-a"), home);
    }

    #[test]
    fn without_nodes_nobody_coordinates_until_one_is_back() {
        let mut cluster = cluster(2);
        cluster.stop(0);
        cluster.stop(1);
        assert_eq!(coordinator(&cluster, "group-a"), None);
        cluster.start(1);
        assert_eq!(coordinator(&cluster, "group-a"), Some(1));
    }

    #[test]
    fn replicas_spread_over_the_ring_and_stopped_nodes_follow_last() {
        let mut cluster = cluster(3);
        assert_eq!(cluster.replicas(0, 2), [0, 1]);
        assert_eq!(cluster.replicas(2, 3), [2, 0, 1]);
        assert_eq!(cluster.replicas(1, 5), [1, 2, 0]);
        cluster.stop(0);
        assert_eq!(cluster.replicas(1, 3), [2, 1, 0]);
        assert_eq!(cluster.replicas(1, 1), [2]);
    }
}
