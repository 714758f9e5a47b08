//! A process's numbers over HTTP, where Prometheus collects them: `GET /metrics`, and nothing else. Needs the cargo feature
//! `observability`.
//!
//! A program that serves HTTP already needs no second server: it answers with [`Metrics::text`] and [`CONTENT_TYPE`].
//!
//! ```
//! use std::sync::Arc;
//!
//! use kafka_event_streaming::metrics::Metrics;
//! use kafka_event_streaming::metrics_server::MetricsServer;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> std::io::Result<()> {
//! let metrics = Arc::new(Metrics::new());
//! // On this machine alone: numbers tell outsiders more than one thinks. Port 0 is any that is free.
//! let server = MetricsServer::start("127.0.0.1:0", metrics).await?;
//! println!("curl {}", server.url());
//! # Ok(())
//! # }
//! ```

use std::convert::Infallible;
use std::future::ready;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io};

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{ALLOW, CONTENT_TYPE as CONTENT_TYPE_HEADER, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream, ToSocketAddrs};
use tokio::task::{JoinHandle, JoinSet};
use tracing::{debug, warn};

use crate::metrics::Metrics;

/// What the text is
/// (<https://prometheus.io/docs/specs/om/open_metrics_spec/#overall-structure>).
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Where the numbers are.
const PATH: &str = "/metrics";

/// How long a client may take to ask. Without it, one that opens connections and says nothing takes them all.
const PATIENCE: Duration = Duration::from_secs(10);

/// After a connection that could not be accepted, such as for want of file descriptors: they may be free again then.
const PAUSE: Duration = Duration::from_millis(100);

/// A running server. Dropping it stops it.
pub struct MetricsServer {
    address: SocketAddr,
    accepting: JoinHandle<()>,
}

impl MetricsServer {
    /// Listens on `address`, and answers from now on.
    ///
    /// # Errors
    ///
    /// When the operating system does not give the address.
    ///
    /// # Panics
    ///
    /// Outside of a Tokio runtime.
    pub async fn start(address: impl ToSocketAddrs, metrics: Arc<Metrics>) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        Ok(Self {
            address: listener.local_addr()?,
            accepting: tokio::spawn(accept(listener, metrics)),
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What to give to a browser, to curl, or to Prometheus.
    pub fn url(&self) -> String {
        format!("http://{}{PATH}", self.address)
    }
}

impl Drop for MetricsServer {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl fmt::Debug for MetricsServer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("MetricsServer")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

async fn accept(listener: TcpListener, metrics: Arc<Metrics>) {
    // They end with this.
    let mut connections = JoinSet::new();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                connections.spawn(serve(stream, Arc::clone(&metrics)));
            }
            Err(error) => {
                warn!(%error, "a client that wants metrics cannot be accepted");
                tokio::time::sleep(PAUSE).await;
            }
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn serve(stream: TcpStream, metrics: Arc<Metrics>) {
    let service = service_fn(|request| ready(Ok::<_, Infallible>(answer(&request, &metrics))));
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .serve_connection(TokioIo::new(stream), service);
    // A client that hangs up is its own affair.
    if let Err(error) = served.await {
        debug!(%error, "a client that wanted metrics is gone");
    }
}

fn answer<B>(request: &Request<B>, metrics: &Metrics) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    if request.uri().path() != PATH {
        *response.status_mut() = StatusCode::NOT_FOUND;
        *response.body_mut() = Full::from(format!("there is only {PATH}\n"));
    } else if !matches!(*request.method(), Method::GET | Method::HEAD) {
        *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
        let allowed = HeaderValue::from_static("GET, HEAD");
        response.headers_mut().insert(ALLOW, allowed);
    } else {
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE_HEADER, HeaderValue::from_static(CONTENT_TYPE));
        // hyper leaves it out of the answer to HEAD.
        *response.body_mut() = Full::from(metrics.text());
    }
    response
}
