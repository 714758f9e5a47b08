//! Apache Kafka's own command line tools on the broker under test: each says what it says on Apache Kafka.
//!
//! `scripts/with-apache-kafka.sh cargo test -p embedded-broker --test kafka_tools` runs them on Apache Kafka,
//! `scripts/with-apache-kafka.sh --tools-only cargo test -p embedded-broker --test kafka_tools` on an embedded broker.
//! Without the script, which fetches the tools, every case is skipped.

// A test that cannot go on says so by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

// Shared with the conformance suite, which uses the other half of it.
#[path = "../support/mod.rs"]
#[allow(dead_code)]
mod support;

mod configs;
mod groups;
mod performance;
mod records;
mod topics;
mod transactions;

use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::support::broker::broker;
use crate::support::wait::within;

/// Starting a Java virtual machine takes about a second of one core; several may start at once.
const DEADLINE: Duration = Duration::from_secs(60);

/// The tools, and the broker that they are pointed at.
struct Tools {
    class_path: String,
    address: &'static str,
}

impl Tools {
    /// The tools that `scripts/with-apache-kafka.sh` fetched; without it the case is skipped.
    async fn find() -> Option<Self> {
        let Ok(class_path) = std::env::var("KAFKA_TOOLS_CLASSPATH") else {
            println!(
                "skipped: KAFKA_TOOLS_CLASSPATH is not set; scripts/with-apache-kafka.sh sets it"
            );
            return None;
        };
        Some(Self {
            class_path,
            address: broker().await,
        })
    }

    /// Runs the tool of this class, pointed at the broker, to its end.
    async fn run(&self, class: &str, arguments: &[&str]) -> Said {
        self.run_with_input(class, arguments, "").await
    }

    /// The same, with something to read.
    async fn run_with_input(&self, class: &str, arguments: &[&str], input: &str) -> Said {
        let mut child = Command::new("java")
            // A quick start counts for more than peak speed.
            .args([
                "-XX:TieredStopAtLevel=1",
                "-Xshare:auto",
                "-Xmx256m",
                "-cp",
                &self.class_path,
            ])
            .args([class, "--bootstrap-server", self.address])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("start java");
        let mut stdin = child.stdin.take().expect("standard input");
        stdin
            .write_all(input.as_bytes())
            .await
            .expect("write to the tool");
        drop(stdin);
        let output = within(
            DEADLINE,
            &format!("{class} {arguments:?} to end"),
            child.wait_with_output(),
        )
        .await;
        let output = output.expect("wait for the tool");
        Said {
            what: format!("{class} {arguments:?}"),
            success: output.status.success(),
            output: String::from_utf8_lossy(&output.stdout).into_owned(),
            errors: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// What a tool printed, and how it ended.
struct Said {
    what: String,
    success: bool,
    output: String,
    errors: String,
}

impl Said {
    /// Its standard output, if it ended well.
    fn well(&self) -> &str {
        assert!(self.success, "{self}");
        &self.output
    }

    /// Its standard output, if it ended badly.
    fn badly(&self) -> &str {
        assert!(!self.success, "{self}");
        &self.output
    }

    /// The lines of [`Said::well`] as words: columns are aligned with as many spaces as it takes.
    fn rows(&self) -> Vec<Vec<&str>> {
        let lines = self.well().lines();
        lines
            .map(|line| line.split_whitespace().collect())
            .filter(|row: &Vec<_>| !row.is_empty())
            .collect()
    }

    /// The row that begins with these words.
    fn row(&self, beginning: &[&str]) -> Vec<&str> {
        let row = self
            .rows()
            .into_iter()
            .find(|row| row.starts_with(beginning));
        row.unwrap_or_else(|| panic!("no row begins with {beginning:?}: {self}"))
    }
}

impl std::fmt::Display for Said {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            formatter,
            "{} said:\n{}{}",
            self.what, self.output, self.errors
        )
    }
}
