//! Starting and stopping: the builder, the broker's own thread, its listeners.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, sleep_until};
use tracing::{info, warn};

use crate::clock::Now;
use crate::cluster::{Cluster, Node};
use crate::error::StartError;
use crate::net::connection;
use crate::settings::Settings;
use crate::state::{Shared, State};

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

/// A running broker. Dropping it stops it and closes every connection.
#[derive(Debug)]
pub struct Broker {
    nodes: Vec<Node>,
    /// Dropped to stop the broker.
    stop: Option<watch::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Broker {
    /// Begins to describe a broker: one node on a free port of 127.0.0.1.
    #[must_use]
    pub fn builder() -> Builder {
        Builder {
            listen: "127.0.0.1:0".to_owned(),
            advertised_host: None,
            nodes: 1,
            worker_threads: 1,
            settings: Settings::default(),
        }
    }

    /// What a client sets as `bootstrap.servers`: the addresses of all nodes, joined with commas.
    #[must_use]
    pub fn bootstrap_servers(&self) -> String {
        let addresses: Vec<String> = self.nodes.iter().map(Node::bootstrap_server).collect();
        addresses.join(",")
    }
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

/// Binds the listeners, says so, and accepts until told to stop.
async fn serve(
    builder: Builder,
    started: oneshot::Sender<Result<Vec<Node>, StartError>>,
    mut stopped: watch::Receiver<()>,
) {
    let (listeners, nodes) = match bind(&builder).await {
        Ok(bound) => bound,
        Err(error) => {
            let _nobody_waits = started.send(Err(error));
            return;
        }
    };
    let shared = Shared::new(State::new(builder.settings, Cluster::new(nodes.clone())));
    tokio::spawn(run_timers(Arc::clone(&shared)));
    for (listener, node) in listeners.into_iter().zip(&nodes) {
        info!(node = node.id, address = %node.address, "listening");
        tokio::spawn(accept(Arc::clone(&shared), listener, node.id));
    }
    let _nobody_waits = started.send(Ok(nodes));
    // An error says that the handle was dropped, which is how a broker is stopped.
    let _dropped = stopped.changed().await;
}

async fn bind(builder: &Builder) -> Result<(Vec<TcpListener>, Vec<Node>), StartError> {
    let bad_address = |reason: &str| StartError::BadAddress {
        address: builder.listen.clone(),
        reason: reason.to_owned(),
    };
    let (host, port) = builder
        .listen
        .rsplit_once(':')
        .ok_or_else(|| bad_address("there is no port"))?;
    let port: u16 = port
        .parse()
        .map_err(|_| bad_address("the port is not a number from 0 to 65535"))?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let (mut listeners, mut nodes) = (Vec::new(), Vec::new());
    for id in 0..builder.nodes {
        let id = i32::try_from(id).unwrap_or(i32::MAX);
        let port = match port {
            0 => 0,
            first => u16::try_from(i32::from(first) + id)
                .map_err(|_| bad_address("the nodes' ports pass 65535"))?,
        };
        let listener =
            TcpListener::bind((host, port))
                .await
                .map_err(|source| match source.kind() {
                    std::io::ErrorKind::AddrInUse => StartError::PortTaken {
                        address: format!("{host}:{port}"),
                    },
                    _ if host.parse::<std::net::IpAddr>().is_err() => {
                        bad_address(&format!("{source}"))
                    }
                    _ => StartError::Bind {
                        address: format!("{host}:{port}"),
                        source,
                    },
                })?;
        let address = listener.local_addr().map_err(|source| StartError::Bind {
            address: host.to_owned(),
            source,
        })?;
        nodes.push(Node {
            id,
            address,
            advertised_host: advertised_host(builder, address),
        });
        listeners.push(listener);
    }
    Ok((listeners, nodes))
}

/// An address that a client can connect to, always as a literal: `localhost` resolves to ::1 first, where nobody listens.
fn advertised_host(builder: &Builder, address: SocketAddr) -> String {
    match &builder.advertised_host {
        Some(host) => host.clone(),
        None if address.ip().is_unspecified() => "127.0.0.1".to_owned(),
        None => address.ip().to_string(),
    }
}

async fn accept(shared: Arc<Shared>, listener: TcpListener, node_id: i32) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                tokio::spawn(connected(Arc::clone(&shared), stream, peer, node_id));
            }
            Err(error) => {
                // Out of file descriptors, most likely: give the connections that hold them a moment to end.
                warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn connected(shared: Arc<Shared>, stream: TcpStream, peer: SocketAddr, node_id: i32) {
    // Answers are written whole; waiting for more bytes to fill a packet would only delay them.
    if let Err(error) = stream.set_nodelay(true) {
        warn!(%peer, %error, "cannot turn off Nagle's algorithm");
    }
    connection::run(shared, stream.into_split(), peer, node_id).await;
}

/// Lets the state do what falls due, and sleeps in between.
async fn run_timers(shared: Arc<Shared>) {
    let earlier = shared.state.lock().timers.earlier();
    loop {
        let (next, cleaning) = {
            let mut state = shared.state.lock();
            state.tick(Now::read());
            (state.timers.next(), state.take_cleaning())
        };
        if let Some(cleaning) = cleaning {
            // Beside the threads that serve: a large log takes seconds.
            let shared = Arc::clone(&shared);
            tokio::task::spawn_blocking(move || {
                let result = cleaning.run();
                shared.state.lock().finish_cleaning(result, Now::read());
            });
        }
        match next {
            Some(at) => tokio::select! {
                () = sleep_until(Instant::from_std(at)) => {}
                () = earlier.notified() => {}
            },
            None => earlier.notified().await,
        }
    }
}
