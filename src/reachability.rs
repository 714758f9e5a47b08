//! Ask whether a Kafka broker answers, before the real work starts.
//!
//! librdkafka connects in the background and retries for ever, which is right for a service and puzzling for a person
//! at a terminal: a program without a broker just hangs. Programs for people ask first.

use std::time::{Duration, Instant};

use rdkafka::producer::{BaseProducer, Producer};

use crate::Error;
use crate::config::Cluster;

/// Long enough for a broker across a slow network, short enough for a person who waits.
pub const PATIENCE: Duration = Duration::from_secs(2);

/// Waits up to `patience` for a broker that answers a metadata request. An open port alone does not count.
///
/// # Errors
///
/// [`Error::Unreachable`] names the addresses and what to do.
pub async fn check(cluster: &Cluster, patience: Duration) -> Result<(), Error> {
    let client: BaseProducer =
        cluster
            .client_config()?
            .create()
            .map_err(|source| Error::Client {
                client: "client that looks for a broker",
                source,
            })?;
    let started = Instant::now();
    let answer = tokio::task::spawn_blocking(move || {
        client.client().fetch_metadata(None, patience).map(drop)
    })
    .await?;
    answer.map_err(|source| Error::Unreachable {
        servers: cluster.servers().to_string(),
        waited: started.elapsed(),
        is_default: cluster.servers().is_default(),
        source,
    })
}
