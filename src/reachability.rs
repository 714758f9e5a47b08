//! Ask whether a Kafka broker answers, before the real work starts.
//!
//! librdkafka connects in the background and retries for ever, which is right for a service and puzzling for a person
//! at a terminal: a program without a broker just hangs, and so does one with the wrong certificate or password. Programs
//! for people ask first.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, DeliveryResult, Producer, ProducerContext};
use tracing::debug;

use crate::Error;
use crate::config::Cluster;

/// Long enough for a broker across a slow network, short enough for a person who waits.
pub const PATIENCE: Duration = Duration::from_secs(2);

/// How often is looked whether the client complains of something that waiting does not heal.
const LOOK: Duration = Duration::from_millis(20);

/// Waits up to `patience` for a broker that answers a metadata request. An open port alone does not count.
///
/// # Errors
///
/// - [`Error::NotAdmitted`] as soon as the client reports that a certificate or a password is not accepted
/// - [`Error::Unreachable`] names the addresses and what to do, and has what the client complained of as its source
pub async fn check(cluster: &Cluster, patience: Duration) -> Result<(), Error> {
    let client: BaseProducer<Complaints> = cluster
        .client_config()?
        // As little as librdkafka needs to tell that a broker hung up, whatever the program itself logs.
        .set_log_level(RDKafkaLogLevel::Info)
        .create_with_context(Complaints::default())
        .map_err(|source| Error::Client {
            client: "client that looks for a broker",
            source,
        })?;
    let client = Arc::new(client);
    let asking = Arc::clone(&client);
    let started = Instant::now();
    let mut answer = tokio::task::spawn_blocking(move || {
        asking.client().fetch_metadata(None, patience).map(drop)
    });
    let servers = || cluster.servers().to_string();
    // Of several brokers, another one may still answer.
    let is_only_one = !cluster.servers().as_str().contains(',');
    loop {
        let answer = tokio::time::timeout(LOOK, &mut answer).await;
        // Hands the client's complaints to its context. The question does not do it.
        client.poll(Duration::ZERO);
        let complaint = client.context().latest();
        if let Ok(Ok(Ok(()))) = answer {
            return Ok(());
        }
        if let Some(Complaint {
            reason,
            is_final: true,
        }) = &complaint
            && (is_only_one || answer.is_ok())
        {
            return Err(Error::NotAdmitted {
                servers: servers(),
                reason: reason.clone(),
            });
        }
        if let Ok(answer) = answer {
            return answer?.map_err(|error| Error::Unreachable {
                servers: servers(),
                waited: started.elapsed(),
                is_default: cluster.servers().is_default(),
                source: Box::new(NoAnswer {
                    complaint: complaint.map(|complaint| complaint.reason),
                    error,
                }),
            });
        }
    }
}

/// Looks every `interval` whether a broker still answers, and returns when none does. The clients themselves wait for it
/// as long as it takes, which is right for a service and not for a program that somebody watches.
///
/// # Errors
///
/// Always, as [`check`], which waits for an answer for up to `interval`.
pub async fn watch(cluster: &Cluster, interval: Duration) -> Result<(), Error> {
    loop {
        check(cluster, interval).await?;
        tokio::time::sleep(interval).await;
    }
}

/// What is known of a broker that did not answer.
#[derive(Debug)]
pub struct NoAnswer {
    /// What the client complained of last, such as a connection that was refused. It says more than the error.
    pub complaint: Option<String>,
    /// What the question ended with.
    pub error: KafkaError,
}

impl fmt::Display for NoAnswer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.complaint {
            Some(complaint) => formatter.write_str(complaint),
            None => write!(formatter, "{}", self.error),
        }
    }
}

impl std::error::Error for NoAnswer {}

/// Keeps what the client complains of.
#[derive(Debug, Default)]
struct Complaints(Mutex<Option<Complaint>>);

#[derive(Debug, Clone)]
struct Complaint {
    reason: String,
    /// Whether it will be the same at every further try.
    is_final: bool,
}

impl Complaints {
    fn latest(&self) -> Option<Complaint> {
        self.lock().clone()
    }

    fn keep(&self, reason: &str, is_final: bool) {
        let mut latest = self.lock();
        // What says most is not forgotten over the attempts that follow.
        if is_final || !latest.as_ref().is_some_and(|latest| latest.is_final) {
            *latest = Some(Complaint {
                reason: reason.to_owned(),
                is_final,
            });
        }
    }

    /// A poisoned lock still holds a whole complaint.
    fn lock(&self) -> MutexGuard<'_, Option<Complaint>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for Complaints {
    fn error(&self, error: KafkaError, reason: &str) {
        use RDKafkaErrorCode::{AllBrokersDown, Authentication, SSL};
        match error.rdkafka_error_code() {
            // That all brokers are down comes behind the reason, and is none.
            Some(AllBrokersDown) => {}
            code => self.keep(reason, matches!(code, Some(Authentication | SSL))),
        }
    }

    /// Of a broker that hangs up librdkafka makes no error: it is used to it. There is a line in its log.
    fn log(&self, _: RDKafkaLogLevel, facility: &str, message: &str) {
        debug!(target: "librdkafka", "{facility} {message}");
        if facility == "FAIL" {
            // Behind the name of a thread.
            let reason = message
                .split_once("]: ")
                .map_or(message, |(_, reason)| reason);
            self.keep(reason, false);
        }
    }
}

impl ProducerContext for Complaints {
    type DeliveryOpaque = ();

    fn delivery(&self, _: &DeliveryResult<'_>, (): ()) {}
}
