//! Starting: what can be set, and the thread that a broker runs on.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, sleep_until};
use tracing::warn;

use crate::broker::Broker;
use crate::clock::Now;
use crate::cluster::{Cluster, Node, TlsAddress};
use crate::error::StartError;
use crate::net::listener::{Demands, Listeners, Switch};
use crate::security::{Credentials, SaslUsers, Tls};
use crate::settings::Settings;
use crate::state::{Shared, State};

/// Below this the limit would cut into the memory that topics need while they are written.
const SMALLEST_MEMORY: usize = 16 << 20;

/// So long that nobody notices, and short enough to be added to any moment.
const LONGEST_AUTHENTICATION: Duration = Duration::from_secs(24 * 60 * 60);

/// How a broker is started; made by [`Broker::builder`].
#[derive(Clone, Debug)]
pub struct Builder {
    listen: String,
    advertised_host: Option<String>,
    nodes: usize,
    worker_threads: usize,
    sasl_users: Option<SaslUsers>,
    tls_listen: Option<String>,
    tls_dir: Option<PathBuf>,
    tls_client_auth: bool,
    authentication_timeout: Duration,
    settings: Settings,
}

impl Default for Builder {
    /// One node on a free port of 127.0.0.1.
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:0".to_owned(),
            advertised_host: None,
            nodes: 1,
            worker_threads: 1,
            sasl_users: None,
            tls_listen: None,
            tls_dir: None,
            tls_client_auth: false,
            authentication_timeout: Duration::from_secs(30),
            settings: Settings::default(),
        }
    }
}

impl Builder {
    /// Where the first node listens: `HOST:PORT`. Port 0 takes a free one. Default `127.0.0.1:0`.
    ///
    /// `localhost`, or 127.0.0.1 with a port other than 0, is served on ::1 too where the machine has it: clients resolve
    /// `localhost` to ::1 first. With several nodes and a port other than 0, the others take the ports that follow.
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

    /// Who may come in: every listener then demands SASL, by PLAIN or SCRAM-SHA-512. Default: anybody. Needs the cargo feature
    /// `sasl`.
    #[must_use]
    pub fn sasl_users(mut self, users: SaslUsers) -> Self {
        self.sasl_users = Some(users);
        self.settings.sasl = true;
        self
    }

    /// Where the first node listens with TLS, beside its other listener and by the same rules: `HOST:PORT`. Default: nowhere.
    /// Needs [`Self::tls_dir`] and the cargo feature `tls`.
    #[must_use]
    pub fn tls_listen(mut self, address: impl Into<String>) -> Self {
        self.tls_listen = Some(address.into());
        self
    }

    /// The folder with `server.pem`, `server.key` and `ca.pem`, as [`write_certificates`](crate::write_certificates) makes it.
    #[must_use]
    pub fn tls_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.tls_dir = Some(dir.into());
        self
    }

    /// Whether clients with TLS have to show a certificate of the CA in `ca.pem` (`ssl.client.auth=required`). Default false.
    #[must_use]
    pub fn tls_client_auth(mut self, on: bool) -> Self {
        self.tls_client_auth = on;
        self
    }

    /// How long a client may take for the TLS handshake and SASL together, so that one that connects and says nothing does not
    /// hold its connection for ever. Default 30 s, after which clients themselves give up (`socket.connection.setup.timeout.max.ms`);
    /// Apache Kafka waits for 10 minutes (`connections.max.idle.ms`).
    #[must_use]
    pub fn authentication_timeout(mut self, timeout: Duration) -> Self {
        self.authentication_timeout = timeout.min(LONGEST_AUTHENTICATION);
        self
    }

    /// How many of the latest requests [`Broker::requests`] can list. Default 10,000, which takes less than a megabyte; counting
    /// them has no limit.
    #[must_use]
    pub fn remembered_requests(mut self, count: usize) -> Self {
        self.settings.remembered_requests = count;
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
        let ended = || std::io::Error::other("the broker's thread ended before it was ready");
        let started = ready
            .await
            .unwrap_or_else(|_| Err(StartError::Thread(ended())))?;
        Ok(Broker::new(started, stop, thread))
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

/// What a broker that serves consists of, for its handle.
#[derive(Debug)]
pub(crate) struct Started {
    pub(crate) nodes: Vec<Node>,
    pub(crate) switches: Vec<Switch>,
    pub(crate) shared: Arc<Shared>,
}

/// Binds the listeners, says so, and serves until told to stop.
async fn serve(
    builder: Builder,
    started: oneshot::Sender<Result<Started, StartError>>,
    mut stopped: watch::Receiver<()>,
) {
    let prepared = async { Ok((demands(&builder)?, bind(&builder).await?)) };
    let (demands, (listeners, nodes)) = match prepared.await {
        Ok(prepared) => prepared,
        Err(error) => {
            let _nobody_waits = started.send(Err(error));
            return;
        }
    };
    let shared = Shared::new(State::new(builder.settings, Cluster::new(nodes.clone())));
    tokio::spawn(run_timers(Arc::clone(&shared)));
    let serving = listeners.into_iter().zip(&nodes);
    let switches = serving
        .map(|(listeners, node)| listeners.serve(Arc::clone(&shared), node.id, demands.clone()))
        .collect();
    let _nobody_waits = started.send(Ok(Started {
        nodes,
        switches,
        shared,
    }));
    // An error says that the handle was dropped, which is how a broker is stopped.
    let _dropped = stopped.changed().await;
}

/// What clients have to prove, if anything.
fn demands(builder: &Builder) -> Result<Demands, StartError> {
    let derived = builder.sasl_users.as_ref().map(Credentials::derive);
    let tls = match (&builder.tls_listen, &builder.tls_dir) {
        (None, _) => None,
        (Some(_), None) => return Err(StartError::NoCertificates),
        (Some(_), Some(dir)) => Some(Tls::load(dir, builder.tls_client_auth)?),
    };
    Ok(Demands {
        credentials: derived.transpose()?.map(Arc::new),
        tls,
        authentication_timeout: builder.authentication_timeout,
    })
}

async fn bind(builder: &Builder) -> Result<(Vec<Listeners>, Vec<Node>), StartError> {
    let plaintext = Place::parse(&builder.listen)?;
    let tls = builder
        .tls_listen
        .as_deref()
        .map(Place::parse)
        .transpose()?;
    let (mut listeners, mut nodes) = (Vec::new(), Vec::new());
    for id in 0..builder.nodes {
        let id = i32::try_from(id).unwrap_or(i32::MAX);
        let mut bound = Listeners::bind(plaintext.host, plaintext.port_of(id)?).await?;
        if let Some(tls) = &tls {
            bound.bind_tls(tls.host, tls.port_of(id)?).await?;
        }
        let tls = bound.tls_address().map(|address| TlsAddress {
            address,
            advertised_host: advertised_host(builder, address),
        });
        nodes.push(Node {
            id,
            address: bound.address(),
            advertised_host: advertised_host(builder, bound.address()),
            tls,
            running: true,
        });
        listeners.push(bound);
    }
    warn_of_strangers(builder, &nodes);
    Ok((listeners, nodes))
}

/// Says once that more than this machine is served.
fn warn_of_strangers(builder: &Builder, nodes: &[Node]) {
    let addresses = nodes.iter().flat_map(|node| {
        // Who has to show a certificate is no stranger.
        let tls = node.tls.iter().filter(|_| !builder.tls_client_auth);
        std::iter::once(node.address).chain(tls.map(|tls| tls.address))
    });
    let open: Vec<String> = addresses
        .filter(|address| !address.ip().is_loopback())
        .map(|address| address.to_string())
        .collect();
    if open.is_empty() {
        return;
    }
    let addresses = open.join(", ");
    match builder.sasl_users {
        None => warn!(
            addresses,
            "other machines can connect, and whoever connects may read and write everything: demand SASL, or listen on 127.0.0.1"
        ),
        Some(_) => warn!(
            addresses,
            "other machines can connect, and may try passwords"
        ),
    }
}

/// Where listeners of one kind are.
struct Place<'a> {
    address: &'a str,
    host: &'a str,
    /// The first node's.
    port: u16,
}

impl<'a> Place<'a> {
    fn parse(address: &'a str) -> Result<Self, StartError> {
        let (host, port) = address
            .rsplit_once(':')
            .ok_or_else(|| bad_address(address, "there is no port"))?;
        let port = port
            .parse()
            .map_err(|_| bad_address(address, "the port is not a number from 0 to 65535"))?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        Ok(Self {
            address,
            host,
            port,
        })
    }

    /// The nodes take ports that follow each other, or free ones.
    fn port_of(&self, id: i32) -> Result<u16, StartError> {
        match self.port {
            0 => Ok(0),
            first => u16::try_from(i32::from(first) + id)
                .map_err(|_| bad_address(self.address, "the nodes' ports pass 65535")),
        }
    }
}

fn bad_address(address: &str, reason: &str) -> StartError {
    StartError::BadAddress {
        address: address.to_owned(),
        reason: reason.to_owned(),
    }
}

/// An address that a client can connect to, always as a literal: `localhost` resolves to ::1 first, where not every machine
/// listens.
fn advertised_host(builder: &Builder, address: SocketAddr) -> String {
    match &builder.advertised_host {
        Some(host) => host.clone(),
        None if address.ip().is_unspecified() => "127.0.0.1".to_owned(),
        None => address.ip().to_string(),
    }
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
                let replaced = shared.state.lock().finish_cleaning(result, Now::read());
                drop(replaced);
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
