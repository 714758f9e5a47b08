//! The services as their parent has them: started with an environment and a log of their own, and asked for their numbers.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures::future::join_all;
use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::HOST;
use hyper::{Request, Uri};
use hyper_util::rt::TokioIo;
use kafka_event_streaming::child::{self, Child};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::shop::SERVICES;

/// The longest wait for a service that starts or stops.
const PATIENCE: Duration = Duration::from_secs(20);

/// What goes into the logs: of this shop everything, of the library the delivery reports too, of librdkafka nothing.
const LOG_FILTER: &str = "info,kafka_event_streaming::delivery=debug,rdkafka=off,librdkafka=off";

/// The services that run. Dropping it kills them.
pub(crate) struct Services {
    running: Vec<Child>,
    /// Where each has its numbers.
    urls: BTreeMap<&'static str, String>,
}

impl Services {
    /// Starts all of them. Their logs go to `folder`.
    pub(crate) async fn start(
        run: &str,
        orders: u64,
        folder: &Path,
        environment: &[(&str, String)],
    ) -> Result<Self> {
        let mut services = Self {
            running: Vec::new(),
            urls: BTreeMap::new(),
        };
        for name in SERVICES {
            let mut program = child::this_program()?;
            program
                .args(["--run", run, "--service", name])
                .args(["--orders", &orders.to_string()])
                .envs(environment.iter().map(|(name, value)| (name, value)))
                .env("SERVICE_NAME", name)
                .env("LOG_FORMAT", "json")
                .env("RUST_LOG", LOG_FILTER)
                .stderr(File::create(folder.join(format!("{name}.log")))?);
            let (lines, mut printed) = mpsc::unbounded_channel();
            services.running.push(Child::spawn(program, lines)?);
            let url = timeout(PATIENCE, printed.recv()).await?;
            let url = url.with_context(|| format!("{name} ended at once: see its log"))?;
            println!("  {name:<9} {url}");
            services.urls.insert(name, url);
        }
        println!();
        Ok(services)
    }

    /// What a service has at /metrics.
    pub(crate) async fn metrics(&self, service: &str) -> Result<String> {
        let url = self.urls.get(service).context("it runs")?;
        get(url).await.with_context(|| format!("asking {service}"))
    }

    /// Asks all of them to stop, and waits until they have.
    pub(crate) async fn stop(self) -> Result<()> {
        let all = join_all(self.running.into_iter().map(Child::stop));
        for status in timeout(PATIENCE, all).await? {
            let status = status?;
            ensure!(status.success(), "a service failed: {status}");
        }
        Ok(())
    }
}

async fn get(url: &str) -> Result<String> {
    let url: Uri = url.parse()?;
    let host = url.authority().context("there is a host")?.as_str();
    let stream = TcpStream::connect(host).await?;
    let (mut client, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let request = Request::get(url.path()).header(HOST, host);
    let response = client
        .send_request(request.body(Empty::<Bytes>::new())?)
        .await?;
    ensure!(response.status().is_success(), "{}", response.status());
    let body = response.into_body().collect().await?;
    Ok(String::from_utf8(body.to_bytes().to_vec())?)
}

/// The sum over all labels of a metric, such as the partitions of a topic. 0 if there is none yet.
pub(crate) fn sum(metrics: &str, name: &str) -> u64 {
    values(metrics, name).sum::<f64>() as u64
}

/// The values of a metric, one for each combination of labels.
fn values(metrics: &str, name: &str) -> impl Iterator<Item = f64> {
    let lines = metrics.lines();
    let of_this = lines.filter(move |line| line.split(['{', ' ']).next() == Some(name));
    of_this.filter_map(|line| line.rsplit_once(' ')?.1.parse().ok())
}

/// Prints how a service's producer is doing, in one line.
pub(crate) fn show_health(service: &str, metrics: &str) {
    let error_rate: f64 = values(metrics, "kafka_producer_error_rate").sum();
    let round_trip = values(metrics, "kafka_producer_round_trip_seconds").fold(0.0, f64::max);
    println!(
        "\nThe producer of {service}: error rate {error_rate}, slowest round trips {:.1} ms, queued {}",
        round_trip * 1_000.0,
        sum(metrics, "kafka_producer_queued_records")
    );
}
