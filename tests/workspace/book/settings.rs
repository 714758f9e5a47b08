//! Settings: librdkafka, or else a broker, has to know every one that is named.

use std::collections::BTreeSet;
use std::time::Duration;

use embedded_broker::Broker;
use kafka_event_streaming::config::Cluster;
use kafka_event_streaming::topics;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaConfRes;
use regex::Regex;

use crate::book::{Book, Complaint};

/// Names of the Java client that librdkafka does not have: pages name them as such (rows X3 and X16).
const JAVA_ONLY: [&str; 7] = [
    "max.poll.records",
    "fetch.max.wait.ms",
    "key.serializer",
    "value.deserializer",
    "buffer.memory",
    "max.block.ms",
    "default.api.timeout.ms",
];

/// Settings of Apache Kafka's brokers that the embedded one does not describe.
const BROKER_ONLY: [&str; 4] = [
    "transaction.version",
    "group.version",
    "log.retention.check.interval.ms",
    "process.roles",
];

/// Dotted names that are no settings: addresses, and endings of file names.
const ENDINGS: [&str; 9] = [
    ".rs", ".md", ".sh", ".toml", ".yml", ".css", ".pem", ".io", ".log",
];

/// What can be set, by those who know it.
pub(crate) struct Known {
    /// Settings of topics, brokers and groups.
    broker: BTreeSet<String>,
}

impl Known {
    /// Asks a broker what can be set there.
    pub(crate) async fn ask() -> Self {
        let started = Broker::builder()
            .listen("127.0.0.1:0")
            .start()
            .await
            .unwrap();
        let cluster = Cluster::new(started.bootstrap_servers().parse().unwrap());
        topics::ensure_topic(&cluster, "settings", 1).await.unwrap();
        let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
            .set("bootstrap.servers", started.bootstrap_servers())
            .create()
            .unwrap();
        let options = AdminOptions::new().request_timeout(Some(Duration::from_secs(10)));
        let mut broker: BTreeSet<String> =
            BROKER_ONLY.iter().map(|name| (*name).to_owned()).collect();
        let metadata = admin
            .inner()
            .fetch_metadata(None, Duration::from_secs(10))
            .unwrap();
        let node = metadata.brokers()[0].id();
        // One request for each: a broker's own settings can only be asked of itself.
        for resource in [
            ResourceSpecifier::Topic("settings"),
            ResourceSpecifier::Broker(node),
        ] {
            for described in admin.describe_configs([&resource], &options).await.unwrap() {
                broker.extend(
                    described
                        .unwrap()
                        .entries
                        .into_iter()
                        .map(|entry| entry.name),
                );
            }
        }
        Self { broker }
    }

    fn knows(&self, name: &str) -> bool {
        is_of_librdkafka(name) || self.broker.contains(name) || JAVA_ONLY.contains(&name)
    }
}

/// Whether a client can be given a setting of this name, whatever its value.
fn is_of_librdkafka(name: &str) -> bool {
    let refused = ClientConfig::new()
        .set(name, "\u{1}")
        .create_native_config()
        .err();
    !matches!(
        refused,
        Some(KafkaError::ClientConfig(
            RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN,
            ..
        ))
    )
}

pub(crate) fn complaints(book: &Book, known: &Known) -> Vec<Complaint> {
    // `a.b.c`, or `a=value` where there is no dot to know it by.
    let setting = Regex::new(r"^([a-z][a-z0-9]*(?:[._-][a-z0-9]+)*)(=\S+)?$").unwrap();
    let mut complaints = Vec::new();
    for page in &book.pages {
        for span in &page.code {
            let Some(found) = setting.captures(&span.text) else {
                continue;
            };
            let name = &found[1];
            let is_setting = name.contains('.') || found.get(2).is_some();
            let is_other = ENDINGS.iter().any(|ending| name.ends_with(ending));
            if is_setting && !is_other && !known.knows(name) {
                complaints.push(page.complain(
                    span.line,
                    format!("neither librdkafka nor a broker has a setting {name}"),
                ));
            }
        }
    }
    complaints
}

#[cfg(test)]
mod tests {
    use super::{BROKER_ONLY, JAVA_ONLY, Known, complaints, is_of_librdkafka};
    use crate::fixture::{Fixture, complains};

    #[tokio::test]
    async fn settings_that_exist_are_left_alone() {
        let fixture = Fixture::sound().add(
            "`linger.ms`, `acks=all`, `retention.ms`, `min.insync.replicas`, `default.replication.factor`, `a`, `x.rs`, \
             `group.id=shop`, `max.poll.records`, `ssl.ca.location`",
        );
        assert!(complaints(&fixture.book(), &Known::ask().await).is_empty());
    }

    #[tokio::test]
    async fn settings_that_nobody_knows_are_noticed() {
        let known = Known::ask().await;
        for (span, says) in [
            ("`linger.milliseconds`", "a setting linger.milliseconds"),
            ("`max.poll.record`", "a setting max.poll.record"),
            ("`ack=all`", "a setting ack"),
            ("`retention.seconds=1`", "a setting retention.seconds"),
        ] {
            complains(
                &complaints(&Fixture::sound().add(span).book(), &known),
                says,
            );
        }
    }

    /// X3: what is listed as another's is not librdkafka's.
    #[test]
    fn the_exceptions_are_exceptions() {
        for name in JAVA_ONLY.iter().chain(&BROKER_ONLY) {
            assert!(!is_of_librdkafka(name), "{name}");
        }
    }
}
