//! The handle of a running broker: where it listens, and what a test does to it.

use std::sync::Arc;
use std::thread::JoinHandle;

use parking_lot::Mutex;
use tokio::sync::watch;

use crate::builder::{Builder, Started};
use crate::clock::Now;
use crate::cluster::Node;
use crate::error::ControlError;
use crate::fault::Faults;
use crate::net::listener::Switch;
use crate::record_view::{self, RecordView};
use crate::requests::Requests;
use crate::snapshot::Snapshot;
use crate::state::{Shared, State};

/// A running broker. Dropping it stops it and closes every connection.
///
/// Beside telling its address it is where a test looks inside and makes things go wrong. Every method may be called from any
/// thread, in or outside an async runtime, and has taken effect when it returns.
#[derive(Debug)]
pub struct Broker {
    /// As they were when the broker started: their addresses never change.
    nodes: Vec<Node>,
    /// One a node. Locked while a node is stopped or started, so that two callers cannot mix the steps of both.
    switches: Mutex<Vec<Switch>>,
    shared: Arc<Shared>,
    /// Dropped to stop the broker.
    stop: Option<watch::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Broker {
    /// Begins to describe a broker: one node on a free port of 127.0.0.1.
    #[must_use]
    pub fn builder() -> Builder {
        Builder::default()
    }

    pub(crate) fn new(started: Started, stop: watch::Sender<()>, thread: JoinHandle<()>) -> Self {
        Self {
            nodes: started.nodes,
            switches: Mutex::new(started.switches),
            shared: started.shared,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    /// What a client sets as `bootstrap.servers`: the addresses of all nodes, joined with commas.
    #[must_use]
    pub fn bootstrap_servers(&self) -> String {
        let addresses: Vec<String> = self.nodes.iter().map(Node::bootstrap_server).collect();
        addresses.join(",")
    }

    /// What a client with TLS sets as `bootstrap.servers`; none without [`Builder::tls_listen`].
    #[must_use]
    pub fn tls_bootstrap_servers(&self) -> Option<String> {
        let addresses = self.nodes.iter().map(Node::tls_bootstrap_server);
        let addresses: Option<Vec<String>> = addresses.collect();
        addresses.map(|addresses| addresses.join(","))
    }

    /// The address of one node, `HOST:PORT`.
    ///
    /// # Errors
    /// If there is no such node.
    pub fn node_address(&self, node_id: i32) -> Result<String, ControlError> {
        let node = self.nodes.iter().find(|node| node.id == node_id);
        node.map(Node::bootstrap_server)
            .ok_or(ControlError::UnknownNode { node_id })
    }

    /// What goes wrong on purpose.
    #[must_use]
    pub fn faults(&self) -> Faults {
        Faults::new(Arc::clone(&self.shared.faults))
    }

    /// The requests that have arrived.
    #[must_use]
    pub fn requests(&self) -> Requests {
        Requests::new(Arc::clone(&self.shared.requests))
    }

    /// Everything the broker knows at this moment, but for the records.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let switches = self.switches.lock();
        let is_paused = |id| find(&switches, id).is_ok_and(|switch| switch.gate.is_closed());
        self.shared.state.lock().snapshot(is_paused)
    }

    /// The records of a partition, straight from its log: with those of open and aborted transactions, and the marks of
    /// their ends.
    ///
    /// ```
    /// # use embedded_broker::Broker;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let broker = Broker::builder().start().await?;
    /// // Nobody has written to it, so there is no such topic.
    /// assert!(broker.records("orders", 0).is_err());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// If there is no such partition, or a batch in it cannot be read: clients may store what they like.
    pub fn records(&self, topic: &str, partition: i32) -> Result<Vec<RecordView>, ControlError> {
        let unknown = || ControlError::UnknownPartition {
            topic: topic.to_owned(),
            partition,
        };
        // Decoded after the state is free again: clients go on meanwhile.
        let (batches, start) = self
            .change(|state| {
                let index = usize::try_from(partition).ok()?;
                let log = &state.topics.get(topic)?.partitions.get(index)?.log;
                Some((record_view::batches(log), log.start_offset()))
            })
            .ok_or_else(unknown)?;
        record_view::records(&batches, start).map_err(|base_offset| ControlError::UnreadableBatch {
            topic: topic.to_owned(),
            partition,
            base_offset,
        })
    }

    /// Has a member of a group expire, as if it had been silent for longer than its session: it is removed, the others share
    /// its partitions, and it learns so from its next heartbeat. `member` is its member id, its `group.instance.id` or its
    /// `client.id`, whichever fits first.
    ///
    /// # Errors
    /// If there is no such group or member.
    pub fn expire_member(&self, group: &str, member: &str) -> Result<(), ControlError> {
        self.change(|state| state.expire_member(group, member, Now::read()))
    }

    /// Aborts the open transaction of a producer, as when its `transaction.timeout.ms` is over: its records are aborted, and
    /// the producer is fenced.
    ///
    /// # Errors
    /// If no transaction is open under this `transactional.id`.
    pub fn abort_transaction(&self, transactional_id: &str) -> Result<(), ControlError> {
        self.change(|state| state.abort_transaction(transactional_id, Now::read()))
    }

    /// Stops a node, as a crash of its process would: its listener and its connections are closed, a replica on another
    /// node takes over each partition that it led, and other nodes what it coordinated. A partition without another
    /// in-sync replica has no leader until the node is started: clients get LEADER_NOT_AVAILABLE. Stopping a stopped node
    /// changes nothing.
    ///
    /// ```
    /// # use embedded_broker::{Broker, ControlError};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let broker = Broker::builder().nodes(3).start().await?;
    /// broker.stop_node(1)?;
    /// assert!(std::net::TcpStream::connect(broker.node_address(1)?).is_err());
    /// broker.start_node(1)?;
    /// assert!(std::net::TcpStream::connect(broker.node_address(1)?).is_ok());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// If there is no such node.
    pub fn stop_node(&self, node_id: i32) -> Result<(), ControlError> {
        let switches = self.switches.lock();
        let switch = find(&switches, node_id)?;
        // The sockets first: a client that is told of the new leaders is not told by the node that is gone.
        switch.stop().map_err(ControlError::Listener)?;
        switch.gate.open();
        self.change(|state| state.stop_node(node_id, Now::read()))
    }

    /// Starts a node that was stopped, on the same port. Its replicas are in sync at once. It leads and coordinates what
    /// nobody else does; what others took over stays with them until it is moved ([`Self::move_leader`]).
    ///
    /// # Errors
    /// If there is no such node, or another process took its port.
    pub fn start_node(&self, node_id: i32) -> Result<(), ControlError> {
        let switches = self.switches.lock();
        let switch = find(&switches, node_id)?;
        switch.start().map_err(ControlError::Listener)?;
        self.change(|state| state.start_node(node_id))
    }

    /// Has a node stop reading and answering without closing anything, as a process that hangs: clients run into their
    /// time-outs. Leaders and coordinators stay where they are, and the sessions of group members run on.
    ///
    /// # Errors
    /// If there is no such node.
    pub fn pause_node(&self, node_id: i32) -> Result<(), ControlError> {
        find(&self.switches.lock(), node_id).map(|switch| switch.gate.close())
    }

    /// Has a node that was paused go on with what arrived meanwhile.
    ///
    /// # Errors
    /// If there is no such node.
    pub fn resume_node(&self, node_id: i32) -> Result<(), ControlError> {
        find(&self.switches.lock(), node_id).map(|switch| switch.gate.open())
    }

    /// Has `node_id` lead a partition from now on. The leader epoch grows and parked fetches wake. The old leader answers
    /// NOT_LEADER_OR_FOLLOWER, or FENCED_LEADER_EPOCH to a fetch that says in which epoch it believes; as a follower it
    /// still answers fetches that may ask any replica (KIP-392). A node without a replica takes the old leader's place among
    /// the replicas.
    ///
    /// # Errors
    /// If there is no such topic, partition or node, or the node is stopped.
    pub fn move_leader(
        &self,
        topic: &str,
        partition: i32,
        node_id: i32,
    ) -> Result<(), ControlError> {
        self.change(|state| state.move_leader(topic, partition, node_id))
    }

    /// Has `node_id` coordinate the group or transactional id `key` from now on. The old coordinator answers
    /// NOT_COORDINATOR; joins and syncs that wait there are answered so too.
    ///
    /// # Errors
    /// If there is no such node, or it is stopped.
    pub fn move_coordinator(&self, key: &str, node_id: i32) -> Result<(), ControlError> {
        self.change(|state| state.move_coordinator(key, node_id, Now::read()))
    }

    fn change<R>(&self, change: impl FnOnce(&mut State) -> R) -> R {
        change(&mut self.shared.state.lock())
    }
}

fn find(switches: &[Switch], node_id: i32) -> Result<&Switch, ControlError> {
    let mut switches = switches.iter();
    switches
        .find(|switch| switch.node_id == node_id)
        .ok_or(ControlError::UnknownNode { node_id })
}

impl Drop for Broker {
    fn drop(&mut self) {
        drop(self.stop.take());
        // The thread ends within milliseconds: it only closes sockets.
        if let Some(thread) = self.thread.take() {
            let _panicked = thread.join();
        }
    }
}
