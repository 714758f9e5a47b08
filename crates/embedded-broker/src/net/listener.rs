//! A node's listeners: they accept clients, and can be taken away and brought back on the same port.

use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::io::split;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;
use tokio::time::timeout_at;
use tracing::{debug, info, warn};

use super::connection;
use super::gate::Gate;
use crate::error::StartError;
use crate::security::{Credentials, ListenerKind, Tls};
use crate::state::Shared;

/// As many clients may wait to be accepted.
const BACKLOG: u32 = 1_024;

/// What the connections of one node share.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    pub(crate) shared: Arc<Shared>,
    pub(crate) node_id: i32,
    /// Closed while the node is paused.
    pub(crate) gate: Arc<Gate>,
    /// What clients have to prove. None if anybody may come in.
    pub(crate) credentials: Option<Arc<Credentials>>,
    /// For its listener with TLS, if it has one.
    pub(crate) tls: Option<Tls>,
    /// How long a client may take to prove what it has to, TLS handshake included.
    pub(crate) authentication_timeout: Duration,
}

/// A node's sockets, bound and listening.
#[derive(Debug)]
pub(crate) struct Listeners {
    /// One of each kind, or two where `localhost` means both loopback addresses.
    sockets: Vec<Socket>,
    address: SocketAddr,
    tls_address: Option<SocketAddr>,
}

#[derive(Debug)]
struct Socket {
    listener: TcpListener,
    kind: ListenerKind,
}

/// What clients have to do to come in.
#[derive(Clone, Debug)]
pub(crate) struct Demands {
    pub(crate) credentials: Option<Arc<Credentials>>,
    pub(crate) tls: Option<Tls>,
    /// How long they may take.
    pub(crate) authentication_timeout: Duration,
}

/// Takes a node's listeners away and brings them back.
#[derive(Debug)]
pub(crate) struct Switch {
    pub(crate) node_id: i32,
    /// Closed while the node is paused.
    pub(crate) gate: Arc<Gate>,
    commands: UnboundedSender<Command>,
}

#[derive(Debug)]
enum Command {
    Stop(Done),
    Start(Done),
}

/// Told when a command is carried out. Callers wait on it with their thread: they are on another one than the broker, which
/// needs microseconds, and may be in or outside an async runtime.
type Done = std::sync::mpsc::Sender<io::Result<()>>;

impl Switch {
    /// Closes the node's listeners and connections, and returns when that is done.
    ///
    /// # Errors
    /// If the broker's thread has ended.
    pub(crate) fn stop(&self) -> io::Result<()> {
        self.tell(Command::Stop)
    }

    /// Listens again, on the ports from before.
    ///
    /// # Errors
    /// If somebody else took a port meanwhile, or the broker's thread has ended.
    pub(crate) fn start(&self) -> io::Result<()> {
        self.tell(Command::Start)
    }

    fn tell(&self, command: impl FnOnce(Done) -> Command) -> io::Result<()> {
        let ended = || io::Error::other("the broker's thread has ended");
        let (done, carried_out) = std::sync::mpsc::channel();
        self.commands.send(command(done)).map_err(|_| ended())?;
        carried_out.recv().map_err(|_| ended())?
    }
}

impl Listeners {
    /// Binds one node's listeners on `host`, which is a literal address or a name. Port 0 takes a free one.
    ///
    /// `localhost` and a fixed port on 127.0.0.1 are served on ::1 too where the machine has it: clients resolve
    /// `localhost` to ::1 first.
    ///
    /// # Errors
    /// If the host is unknown or the port is taken.
    pub(crate) async fn bind(host: &str, port: u16) -> Result<Self, StartError> {
        let mut listeners = Self {
            sockets: Vec::new(),
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            tls_address: None,
        };
        listeners.address = listeners.add(host, port, ListenerKind::Plaintext).await?;
        Ok(listeners)
    }

    /// Binds the node's listener with TLS, by the rules of [`Self::bind`].
    ///
    /// # Errors
    /// If the host is unknown or the port is taken.
    pub(crate) async fn bind_tls(&mut self, host: &str, port: u16) -> Result<(), StartError> {
        self.tls_address = Some(self.add(host, port, ListenerKind::Tls).await?);
        Ok(())
    }

    async fn add(
        &mut self,
        host: &str,
        port: u16,
        kind: ListenerKind,
    ) -> Result<SocketAddr, StartError> {
        let both = host == "localhost" || (port != 0 && host == Ipv4Addr::LOCALHOST.to_string());
        let first = if both { "127.0.0.1" } else { host };
        let listener = TcpListener::bind((first, port))
            .await
            .map_err(|source| refused(host, port, source))?;
        let address = listener
            .local_addr()
            .map_err(|source| refused(host, port, source))?;
        self.sockets.push(Socket { listener, kind });
        if both {
            let second = bind_ipv6_loopback(address.port()).await;
            let second = second.map(|listener| Socket { listener, kind });
            self.sockets.extend(second);
        }
        Ok(address)
    }

    /// The address that clients are told.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address that clients with TLS are told.
    pub(crate) fn tls_address(&self) -> Option<SocketAddr> {
        self.tls_address
    }

    /// Serves clients in the background, until the runtime ends.
    pub(crate) fn serve(self, shared: Arc<Shared>, node_id: i32, demands: Demands) -> Switch {
        let gate = Arc::new(Gate::default());
        let (commands, received) = unbounded_channel();
        let endpoint = Endpoint {
            shared,
            node_id,
            gate: Arc::clone(&gate),
            credentials: demands.credentials,
            tls: demands.tls,
            authentication_timeout: demands.authentication_timeout,
        };
        info!(node_id, address = %self.address, "listening");
        if let Some(address) = self.tls_address {
            info!(node_id, %address, "listening with TLS");
        }
        tokio::spawn(run(self.sockets, endpoint, received));
        Switch {
            node_id,
            gate,
            commands,
        }
    }
}

fn refused(host: &str, port: u16, source: io::Error) -> StartError {
    let address = format!("{host}:{port}");
    match source.kind() {
        io::ErrorKind::AddrInUse => StartError::PortTaken { address },
        _ if host.parse::<IpAddr>().is_err() => StartError::BadAddress {
            address,
            reason: source.to_string(),
        },
        _ => StartError::Bind { address, source },
    }
}

/// Nothing where the machine has no IPv6 loopback address, or somebody else listens there.
async fn bind_ipv6_loopback(port: u16) -> Option<TcpListener> {
    match TcpListener::bind((Ipv6Addr::LOCALHOST, port)).await {
        Ok(listener) => Some(listener),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            warn!(
                port,
                "another process listens on [::1]: clients that connect to `localhost` may reach that one"
            );
            None
        }
        Err(error) => {
            debug!(%error, "no IPv6 loopback address to listen on");
            None
        }
    }
}

/// Accepts until told to stop, then waits to be told to start, until the broker's handle is gone.
async fn run(
    mut sockets: Vec<Socket>,
    endpoint: Endpoint,
    mut commands: UnboundedReceiver<Command>,
) {
    loop {
        let Some(stopped) = accept(&sockets, &endpoint, &mut commands).await else {
            return;
        };
        let reserved: Vec<Reserved> = sockets.drain(..).filter_map(Reserved::from).collect();
        // Nobody waits if the caller's thread died.
        let _nobody = stopped.send(Ok(()));
        info!(node_id = endpoint.node_id, "stopped");
        sockets = match listen_again(reserved, &mut commands).await {
            Some(sockets) => sockets,
            None => return,
        };
        info!(node_id = endpoint.node_id, "started");
    }
}

/// Accepts clients until told to stop, and has then dropped all connections. None if the broker's handle is gone.
async fn accept(
    sockets: &[Socket],
    endpoint: &Endpoint,
    commands: &mut UnboundedReceiver<Command>,
) -> Option<Done> {
    // Dropped with this function, which drops the connections: no answer gets out of a node that has stopped.
    let mut connections = JoinSet::new();
    let stopped = loop {
        tokio::select! {
            accepted = next_client(sockets) => match accepted {
                Ok((stream, peer, kind)) => {
                    connections.spawn(connected(endpoint.clone(), kind, stream, peer));
                }
                Err(error) => {
                    // Out of file descriptors, most likely: give the connections that hold them a moment to end.
                    warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            },
            // Forgets a connection that ended.
            Some(_) = connections.join_next() => {}
            command = commands.recv() => match command? {
                Command::Stop(done) => break done,
                Command::Start(done) => {
                    let _nobody = done.send(Ok(()));
                }
            },
        }
    };
    connections.shutdown().await;
    Some(stopped)
}

/// The next client of any listener.
async fn next_client(sockets: &[Socket]) -> io::Result<(TcpStream, SocketAddr, ListenerKind)> {
    poll_fn(|task| {
        for socket in sockets {
            if let Poll::Ready(accepted) = socket.listener.poll_accept(task) {
                return Poll::Ready(accepted.map(|(stream, peer)| (stream, peer, socket.kind)));
            }
        }
        Poll::Pending
    })
    .await
}

async fn connected(
    endpoint: Endpoint,
    kind: ListenerKind,
    mut stream: TcpStream,
    peer: SocketAddr,
) {
    // Answers are written whole; waiting for more bytes to fill a packet would only delay them.
    if let Err(error) = stream.set_nodelay(true) {
        warn!(%peer, %error, "cannot turn off Nagle's algorithm");
    }
    let deadline = Instant::now() + endpoint.authentication_timeout;
    match (kind, endpoint.tls.clone()) {
        (ListenerKind::Tls, Some(tls)) => {
            endpoint.gate.pass().await;
            let accepted = timeout_at(deadline.into(), tls.accept(stream)).await;
            let late = |_| Err("the client did not finish the TLS handshake in time".to_owned());
            match accepted.unwrap_or_else(late) {
                Ok(stream) => connection::run(endpoint, kind, split(stream), peer, deadline).await,
                Err(reason) => {
                    warn!(%peer, node_id = endpoint.node_id, reason, "closing the connection")
                }
            }
        }
        _ => connection::run(endpoint, kind, stream.split(), peer, deadline).await,
    }
}

/// The port of a stopped node: bound, so that nobody else is given it, but not listening, so that clients are refused.
struct Reserved {
    address: SocketAddr,
    kind: ListenerKind,
    /// None if it could not be bound anew; listening is tried all the same.
    socket: Option<TcpSocket>,
}

impl Reserved {
    /// Stops listening and keeps the port.
    fn from(Socket { listener, kind }: Socket) -> Option<Self> {
        let address = listener.local_addr().ok()?;
        drop(listener);
        let socket = bind_again(address);
        if let Err(error) = &socket {
            warn!(%address, %error, "cannot keep the port of a stopped node");
        }
        Some(Self {
            address,
            kind,
            socket: socket.ok(),
        })
    }

    fn listen(self) -> io::Result<Socket> {
        let socket = self.socket.map_or_else(|| bind_again(self.address), Ok)?;
        let listener = socket.listen(BACKLOG)?;
        let kind = self.kind;
        Ok(Socket { listener, kind })
    }
}

fn bind_again(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }?;
    // Connections that were closed a moment ago still hold the address. On Windows the option would mean something else.
    #[cfg(not(windows))]
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

/// Waits to be told to start. None if the broker's handle is gone.
async fn listen_again(
    mut reserved: Vec<Reserved>,
    commands: &mut UnboundedReceiver<Command>,
) -> Option<Vec<Socket>> {
    loop {
        match commands.recv().await? {
            Command::Stop(done) => {
                let _nobody = done.send(Ok(()));
            }
            Command::Start(done) => {
                let addresses = reserved.iter().map(|port| (port.address, port.kind));
                let addresses: Vec<(SocketAddr, ListenerKind)> = addresses.collect();
                let listening: io::Result<Vec<Socket>> =
                    reserved.into_iter().map(Reserved::listen).collect();
                match listening {
                    Ok(sockets) => {
                        let _nobody = done.send(Ok(()));
                        return Some(sockets);
                    }
                    Err(error) => {
                        let _nobody = done.send(Err(error));
                        let again = |(address, kind)| Reserved {
                            address,
                            kind,
                            socket: None,
                        };
                        reserved = addresses.into_iter().map(again).collect();
                    }
                }
            }
        }
    }
}
