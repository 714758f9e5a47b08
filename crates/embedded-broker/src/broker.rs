//! The handle of a running broker: where it listens, and what a test does to it.

use std::sync::Arc;
use std::thread::JoinHandle;

use parking_lot::Mutex;
use tokio::sync::watch;

use crate::builder::{Builder, Started};
use crate::clock::Now;
use crate::cluster::Node;
use crate::error::ControlError;
use crate::net::listener::Switch;
use crate::state::{Shared, State};

<<<<<<< HEAD
=======
/// Below this the limit would cut into the memory that topics need while they are written.
const SMALLEST_MEMORY: usize = 16 << 20;

/// How a broker is started; made by [`Broker::builder`].
#[derive(Clone, Debug)]
pub struct Builder {
    listen: String,
    advertised_host: Option<String>,
    nodes: usize,
    worker_threads: usize,
    settings: Settings,
}

impl Builder {
    /// Where the first node listens: `HOST:PORT`. Port 0 takes a free one. Default `127.0.0.1:0`.
    ///
    /// With several nodes and a port other than 0, the others take the ports that follow.
    #[must_use]
    pub fn listen(mut self, address: impl Into<String>) -> Self {
        self.listen = address.into();
        self
    }

    /// The host that clients are told to connect to, where it is not the one that the broker listens on. Default: that
    /// one, or 127.0.0.1 if the broker listens on all addresses.
    #[must_use]
    pub fn advertised_host(mut self, host: impl Into<String>) -> Self {
        self.advertised_host = Some(host.into());
        self
    }

    /// How many nodes there are, each with a listener of its own. Default 1.
    #[must_use]
    pub fn nodes(mut self, count: usize) -> Self {
        self.nodes = count;
        self
    }

    /// Partitions of a topic that is created without a count (`num.partitions`). Default 3.
    #[must_use]
    pub fn partitions(mut self, count: i32) -> Self {
        self.settings.default_partitions = count;
        self
    }

    /// Whether a producer or consumer that asks for an unknown topic creates it (`auto.create.topics.enable`). Default
    /// true, as in Apache Kafka.
    #[must_use]
    pub fn auto_create_topics(mut self, on: bool) -> Self {
        self.settings.auto_create_topics = on;
        self
    }

    /// Whether a replication factor above the number of nodes is accepted. Default false: Apache Kafka refuses it.
    #[must_use]
    pub fn lenient_replication(mut self, on: bool) -> Self {
        self.settings.lenient_replication = on;
        self
    }

    /// How long the first join of an empty group waits for others (`group.initial.rebalance.delay.ms`). Default 100 ms;
    /// Apache Kafka's is 3 s.
    #[must_use]
    pub fn initial_rebalance_delay(mut self, delay: Duration) -> Self {
        self.settings.initial_rebalance_delay = delay;
        self
    }

    /// How many bytes the records of all topics may take. Beyond that the oldest are deleted, with a warning in the log.
    /// Default 1 GiB.
    #[must_use]
    pub fn max_memory(mut self, bytes: usize) -> Self {
        self.settings.max_memory = bytes;
        self
    }

    /// How long after a change the logs are looked through for what retention deletes and compaction rewrites
    /// (`log.retention.check.interval.ms`). Default 1 s; Apache Kafka's is 5 minutes.
    #[must_use]
    pub fn log_check_interval(mut self, interval: Duration) -> Self {
        self.settings.log_check_interval = interval;
        self
    }

    /// How many threads serve. 1, the default, is one thread that stays out of the way of the program around it.
    #[must_use]
    pub fn worker_threads(mut self, count: usize) -> Self {
        self.worker_threads = count;
        self
    }

    /// Starts the broker on a thread of its own and returns when clients can connect.
    ///
    /// # Errors
    /// If a setting is out of bounds, an address is bad or taken, or no thread can be made.
    pub async fn start(self) -> Result<Broker, StartError> {
        self.check()?;
        let (started, ready) = oneshot::channel();
        let (stop, stopped) = watch::channel(());
        let runtime = self.runtime().map_err(StartError::Thread)?;
        let thread = std::thread::Builder::new()
            .name("embedded-broker".to_owned())
            .spawn(move || {
                runtime.block_on(serve(self, started, stopped));
                // Connections that are in the middle of something are dropped with the runtime.
                runtime.shutdown_timeout(Duration::from_millis(100));
            })
            .map_err(StartError::Thread)?;
        let nodes = ready.await.unwrap_or_else(|_| {
            Err(StartError::Thread(std::io::Error::other(
                "the broker's thread ended before it was ready",
            )))
        })?;
        Ok(Broker {
            nodes,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    fn check(&self) -> Result<(), StartError> {
        let bad = |setting, value: String, reason| {
            Err(StartError::BadSetting {
                setting,
                value,
                reason,
            })
        };
        if self.settings.default_partitions < 1 {
            return bad(
                "partitions",
                self.settings.default_partitions.to_string(),
                "a topic has at least 1 partition",
            );
        }
        if !(1..=100).contains(&self.nodes) {
            return bad("nodes", self.nodes.to_string(), "there are 1 to 100 nodes");
        }
        if self.settings.max_memory < SMALLEST_MEMORY {
            return bad(
                "max-memory",
                self.settings.max_memory.to_string(),
                "at least 16 MiB are needed",
            );
        }
        if self.worker_threads == 0 {
            return bad("worker-threads", "0".to_owned(), "at least 1 thread serves");
        }
        Ok(())
    }

    fn runtime(&self) -> std::io::Result<tokio::runtime::Runtime> {
        let mut builder = match self.worker_threads {
            1 => tokio::runtime::Builder::new_current_thread(),
            _ => tokio::runtime::Builder::new_multi_thread(),
        };
        builder
            .worker_threads(self.worker_threads)
            .thread_name("embedded-broker")
            .enable_io()
            .enable_time()
            .build()
    }
}

>>>>>>> a41d9a5 (Hold retention and compaction to Apache Kafka)
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

    /// The address of one node, `HOST:PORT`.
    ///
    /// # Errors
    /// If there is no such node.
    pub fn node_address(&self, node_id: i32) -> Result<String, ControlError> {
        let node = self.nodes.iter().find(|node| node.id == node_id);
        node.map(Node::bootstrap_server)
            .ok_or(ControlError::UnknownNode { node_id })
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

    /// Has `node_id` lead a partition from now on. The leader epoch grows, parked fetches wake, and the old leader answers
    /// NOT_LEADER_OR_FOLLOWER. A node without a replica takes the old leader's place among the replicas.
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
