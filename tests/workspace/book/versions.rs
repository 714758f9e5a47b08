//! Versions and ports, wherever a page names one.

use std::collections::BTreeSet;

use kafka_event_streaming::config::DEFAULT_BOOTSTRAP_SERVERS;
use regex::Regex;
use workspace_tests::read;

use crate::book::{Book, Complaint};

/// Ports of others: of Amazon MSK with TLS, SCRAM and IAM
/// (<https://docs.aws.amazon.com/msk/latest/developerguide/port-info.html>), and of ZooKeeper, which is gone (row X17).
const PORTS_OF_OTHERS: [&str; 4] = ["9094", "9096", "9098", "2181"];

/// From here on ports are given by the system to whoever asks for any: they are in outputs, and differ each time.
const FIRST_OF_THE_SYSTEM: u32 = 32_768;

/// What the code says.
pub(crate) struct Facts {
    /// A pattern with the version in its group, and the version.
    versions: Vec<(Regex, String)>,
    ports: BTreeSet<String>,
}

impl Facts {
    /// Reads them from where they are decided.
    pub(crate) fn read() -> Self {
        let one = |file: &str, pattern: &str| {
            let text = read(file);
            let found = Regex::new(pattern).unwrap().captures(&text);
            found.unwrap_or_else(|| panic!("{file} does not hold {pattern}"))[1].to_owned()
        };
        let lock = |package: &str| {
            one(
                "Cargo.lock",
                &format!("name = \"{package}\"\nversion = \"([^\"]+)\""),
            )
        };
        let version = |pattern: &str, version: String| (Regex::new(pattern).unwrap(), version);
        // Two numbers are of the history of Kafka, such as "since Apache Kafka 2.4"; three are what runs here.
        let versions = vec![
            version(
                r"Apache Kafka (\d+\.\d+\.\d+)",
                one("docker-compose.yml", r"apache/kafka:(\S+)"),
            ),
            version(
                r"Kafka UI (\d+\.\d+\.\d+)",
                one("docker-compose.yml", r"kafka-ui:v(\S+)"),
            ),
            version(
                r"librdkafka (\d+\.\d+\.\d+)",
                rdkafka::util::get_rdkafka_version().1,
            ),
            version(r"\brdkafka (\d+\.\d+\.\d+)", lock("rdkafka")),
            version(
                r"mdBook (\d+\.\d+\.\d+)",
                one("scripts/book.sh", r"mdbook_version=(\S+)"),
            ),
            version(
                r"Rust (\d+\.\d+)",
                one("Cargo.toml", "rust-version = \"([^\"]+)\""),
            ),
        ];
        let broker = DEFAULT_BOOTSTRAP_SERVERS
            .rsplit_once(':')
            .unwrap()
            .1
            .to_owned();
        let ports = [
            broker,
            one("docker-compose.yml", r"INFRA_UI_PORT:-(\d+)"),
            one("docker-compose.yml", r"BOOTSTRAPSERVERS: kafka:(\d+)"),
            one("scripts/book.sh", r"BOOK_PORT:-(\d+)"),
            one(
                "crates/embedded-broker/README.md",
                r"--tls-listen 127\.0\.0\.1:(\d+)",
            ),
        ];
        let others = PORTS_OF_OTHERS.map(str::to_owned);
        Self {
            versions,
            ports: ports.into_iter().chain(others).collect(),
        }
    }
}

pub(crate) fn complaints(book: &Book, facts: &Facts) -> Vec<Complaint> {
    let port = Regex::new(r"(?:[a-z0-9]:|\bports? )(\d{4,5})\b").unwrap();
    let mut complaints = Vec::new();
    for page in &book.pages {
        for (index, line) in page.text.lines().enumerate() {
            for (pattern, version) in &facts.versions {
                for found in pattern.captures_iter(line) {
                    if found[1] != *version {
                        complaints.push(
                            page.complain(index + 1, format!("{} is {version} here", &found[0])),
                        );
                    }
                }
            }
            for found in port.captures_iter(line) {
                let is_any = found[1]
                    .parse()
                    .is_ok_and(|port: u32| port >= FIRST_OF_THE_SYSTEM);
                if !is_any && !facts.ports.contains(&found[1]) {
                    complaints.push(page.complain(
                        index + 1,
                        format!("nothing here has the port {}", &found[1]),
                    ));
                }
            }
        }
    }
    complaints
}

#[cfg(test)]
mod tests {
    use kafka_event_streaming::config::DEFAULT_BOOTSTRAP_SERVERS;

    use super::{Facts, complaints};
    use crate::fixture::{Fixture, complains};

    #[test]
    fn versions_and_ports_of_the_code_and_of_history_are_left_alone() {
        let facts = Facts::read();
        let (_, kafka) = &facts.versions[0];
        let fixture = Fixture::sound()
            .add(&format!("Apache Kafka {kafka}, since Apache Kafka 2.4, {DEFAULT_BOOTSTRAP_SERVERS}, port 9094, http://127.0.0.1:38381/metrics, 12:34, a 10000 b"));
        assert!(complaints(&fixture.book(), &facts).is_empty());
    }

    #[test]
    fn other_versions_and_ports_are_noticed() {
        let facts = Facts::read();
        for (text, says) in [
            ("Apache Kafka 4.3.0", "Apache Kafka 4.3.0 is "),
            ("Kafka UI 1.0.0", "Kafka UI 1.0.0 is "),
            ("librdkafka 1.2.3", "librdkafka 1.2.3 is "),
            ("rdkafka 0.25.0", "rdkafka 0.25.0 is "),
            ("mdBook 0.4.0", "mdBook 0.4.0 is "),
            ("Rust 1.70", "Rust 1.70 is "),
            ("localhost:9999", "the port 9999"),
            ("port 9093 or port 1234", "the port 1234"),
        ] {
            complains(
                &complaints(&Fixture::sound().add(text).book(), &facts),
                says,
            );
        }
    }
}
