//! Everything that a consumer is configured with, and why.

use std::time::Duration;

use rdkafka::ClientConfig;

use super::{Cluster, GroupProtocol};
use crate::Error;

/// A consumer's settings. Start from a profile and change what differs:
///
/// ```
/// use kafka_event_streaming::config::{ConsumerSettings, FirstOffset, GroupProtocol};
///
/// let settings = ConsumerSettings {
///     first_offset: FirstOffset::Latest,
///     protocol: GroupProtocol::new_protocol(),
///     ..ConsumerSettings::reliable("dashboard")
/// };
/// # assert_eq!(settings.group, "dashboard");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerSettings {
    /// The group to be a member of. Every group reads everything; within one, each record goes to one member.
    pub group: String,
    /// How the group divides the partitions.
    pub protocol: GroupProtocol,
    /// Where a group starts that has committed nothing yet.
    pub first_offset: FirstOffset,
    /// Whether records of open and aborted transactions are seen.
    pub isolation: IsolationLevel,
    /// How long the work on one record may take. Whoever does not ask for the next one within this time loses its
    /// partitions.
    pub max_poll_interval: Duration,
    /// A name that stays the same over restarts: a member that is back within the session timeout finds its
    /// partitions waiting, without a rebalance (KIP-345).
    pub instance_id: Option<String>,
    /// How many bytes the broker collects before it answers a fetch.
    pub fetch_min_bytes: u32,
    /// How long the broker may wait for that many.
    pub fetch_wait: Duration,
    /// Whether the end of a partition is told of. Programs that stop there need it; services do not.
    pub partition_end: bool,
    /// How often librdkafka reports on itself; nothing switches it off.
    pub statistics_interval: Option<Duration>,
}

/// Where a group starts that has committed nothing yet. A committed offset always wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FirstOffset {
    /// With the oldest record that is still there.
    Earliest,
    /// With what is written from now on. What came before the first assignment is never seen (row X15).
    Latest,
    /// Nowhere: reading fails, for services that must not guess.
    Fail,
}

/// Whether records of open and aborted transactions are seen (KIP-98).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IsolationLevel {
    /// Only what was committed, in order: a reader waits at the first open transaction.
    ReadCommitted,
    /// Everything, at once: also what is aborted later.
    ReadUncommitted,
}

impl ConsumerSettings {
    /// For a service whose work on a record takes seconds at most.
    pub fn reliable(group: &str) -> Self {
        Self {
            group: group.to_owned(),
            protocol: GroupProtocol::classic(),
            first_offset: FirstOffset::Earliest,
            isolation: IsolationLevel::ReadCommitted,
            max_poll_interval: Duration::from_secs(300),
            instance_id: None,
            fetch_min_bytes: 1,
            fetch_wait: Duration::from_millis(100),
            partition_end: true,
            statistics_interval: None,
        }
    }

    /// For work of up to half an hour a record: reports, video, calls to people (row S2-08). The session timeout stays
    /// short, since heartbeats go on while the work does: a process that died is still noticed within seconds.
    pub fn long_work(group: &str) -> Self {
        Self {
            max_poll_interval: Duration::from_secs(30 * 60),
            ..Self::reliable(group)
        }
    }

    /// As many records a second as can be: the broker collects 64 KiB before it answers.
    pub fn high_throughput(group: &str) -> Self {
        Self {
            fetch_min_bytes: 64 * 1024,
            fetch_wait: Duration::from_millis(500),
            ..Self::reliable(group)
        }
    }

    /// Each record as soon as it is there.
    pub fn low_latency(group: &str) -> Self {
        Self {
            fetch_min_bytes: 1,
            ..Self::reliable(group)
        }
    }

    /// All properties, each with what goes wrong without it. Copy this function.
    ///
    /// # Errors
    ///
    /// [`Error::Setting`] as [`Cluster::client_config`] has it.
    pub fn client_config(&self, cluster: &Cluster) -> Result<ClientConfig, Error> {
        let mut config = cluster.client_config()?;
        self.protocol.apply(&mut config);
        config
            .set("group.id", &self.group)
            // Where a group starts that has committed nothing yet. With `latest`, the default, it never sees what was
            // written before its first member was assigned its partitions (row X15).
            .set("auto.offset.reset", self.first_offset.name())
            // Left on, a timer commits what was handed out, processed or not: a crash then loses records.
            .set("enable.auto.commit", "false")
            // With `read_uncommitted` a reader sees what a transaction wrote and then took back.
            .set("isolation.level", self.isolation.name())
            // A member that does not ask for records for so long is taken for stuck and loses its partitions, though
            // its heartbeats go on (KIP-62).
            .set(
                "max.poll.interval.ms",
                self.max_poll_interval.as_millis().to_string(),
            )
            // Tells that a partition was read to its end, so that a program can stop there instead of guessing by
            // time.
            .set("enable.partition.eof", self.partition_end.to_string())
            // More makes fewer and larger answers; each record may wait for `fetch.wait.max.ms`.
            .set("fetch.min.bytes", self.fetch_min_bytes.to_string())
            // The broker holds an answer back until there is enough, or for this long. The end of a partition shows
            // only in an answer without records, so at the default of 500 ms every reader to the end waits half a
            // second. Java calls it `fetch.max.wait.ms`, which librdkafka refuses (row X3).
            .set("fetch.wait.max.ms", self.fetch_wait.as_millis().to_string())
            // When 100,000 records wait in the local queue, fetching pauses for this long. At librdkafka's default of
            // 1,000 ms a consumer of small records sleeps through most of each second: 195,000 records/s were measured
            // with it, and 1,120,000 with this.
            .set("fetch.queue.backoff.ms", "1");
        if let Some(instance) = &self.instance_id {
            config.set("group.instance.id", instance);
        }
        if let Some(interval) = self.statistics_interval {
            config.set("statistics.interval.ms", interval.as_millis().to_string());
        }
        Ok(config)
    }
}

impl FirstOffset {
    /// The name that Kafka knows it by, as librdkafka has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Earliest => "earliest",
            Self::Latest => "latest",
            Self::Fail => "error",
        }
    }
}

impl IsolationLevel {
    /// The name that Kafka knows it by.
    pub fn name(self) -> &'static str {
        match self {
            Self::ReadCommitted => "read_committed",
            Self::ReadUncommitted => "read_uncommitted",
        }
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::consumer::BaseConsumer;

    use super::super::{
        Assignor, ClassicGroup, DEFAULT_BOOTSTRAP_SERVERS, NewGroup, ServerAssignor,
    };
    use super::*;

    fn cluster() -> Cluster {
        Cluster::new(DEFAULT_BOOTSTRAP_SERVERS.parse().unwrap())
    }

    /// X3, X16, S3-01: librdkafka takes every property of every profile, with either protocol.
    #[test]
    fn librdkafka_takes_every_property() {
        let mut protocols = vec![
            GroupProtocol::new_protocol(),
            GroupProtocol::New(NewGroup {
                assignor: Some(ServerAssignor::Range),
            }),
        ];
        for assignor in [
            Assignor::Range,
            Assignor::RoundRobin,
            Assignor::CooperativeSticky,
        ] {
            protocols.push(GroupProtocol::Classic(ClassicGroup {
                assignor,
                ..ClassicGroup::default()
            }));
        }
        for protocol in protocols {
            for profile in [
                ConsumerSettings::reliable,
                ConsumerSettings::long_work,
                ConsumerSettings::high_throughput,
                ConsumerSettings::low_latency,
            ] {
                let settings = ConsumerSettings {
                    protocol: protocol.clone(),
                    instance_id: Some("one".to_owned()),
                    statistics_interval: Some(Duration::from_secs(1)),
                    ..profile("test")
                };
                let config = settings.client_config(&cluster()).unwrap();
                if let Err(error) = config.create::<BaseConsumer>() {
                    panic!("{settings:?}: {error}");
                }
            }
        }
    }

    /// X3, X16: what the types make unwritable is what librdkafka refuses, so the types are not stricter than need be.
    #[test]
    fn librdkafka_refuses_what_cannot_be_written_here() {
        for (property, value) in [
            ("max.poll.records", "500"),
            ("fetch.max.wait.ms", "500"),
            ("session.timeout.ms", "6000"),
            ("heartbeat.interval.ms", "500"),
            ("partition.assignment.strategy", "range"),
        ] {
            let mut config = ConsumerSettings {
                protocol: GroupProtocol::new_protocol(),
                ..ConsumerSettings::reliable("test")
            }
            .client_config(&cluster())
            .unwrap();
            config.set(property, value);
            assert!(
                config.create::<BaseConsumer>().is_err(),
                "librdkafka takes {property} with the new protocol"
            );
        }
    }

    /// X8, S2-08: work of half an hour, and still a dead member is noticed within seconds.
    #[test]
    fn long_work_keeps_the_session_timeout_short() {
        let config = ConsumerSettings::long_work("test")
            .client_config(&cluster())
            .unwrap();
        for (property, value) in [
            ("max.poll.interval.ms", "1800000"),
            ("session.timeout.ms", "6000"),
            ("partition.assignment.strategy", "cooperative-sticky"),
            ("enable.auto.commit", "false"),
            ("auto.offset.reset", "earliest"),
        ] {
            assert_eq!(config.get(property), Some(value), "{property}");
        }
    }
}
