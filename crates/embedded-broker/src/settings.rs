//! What the broker was started with. Nothing here changes while it runs.

use std::time::Duration;

use crate::config::Overrides;

/// Where tools are told that the logs are.
pub(crate) const LOG_DIRECTORY: &str = "memory";

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The settings that handlers consult, under the names that Apache Kafka's broker configuration gives them
/// (<https://kafka.apache.org/documentation/#brokerconfigs>).
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// `num.partitions`: partitions of a topic that is created without a count.
    pub(crate) default_partitions: i32,
    /// `auto.create.topics.enable`: whether asking for the metadata of an unknown topic creates it.
    pub(crate) auto_create_topics: bool,
    /// Accept a replication factor above the number of nodes (Apache Kafka refuses it).
    pub(crate) lenient_replication: bool,
    /// `group.initial.rebalance.delay.ms`: how long the first join of an empty group waits for company. Apache Kafka
    /// waits 3 s; two consumers that start together need only a moment to land in one generation.
    pub(crate) initial_rebalance_delay: Duration,
    /// `group.min.session.timeout.ms`: lower than Apache Kafka's 6 s so that a lesson on a dead member is short.
    pub(crate) min_session_timeout: Duration,
    /// `group.max.session.timeout.ms`, as in Apache Kafka.
    pub(crate) max_session_timeout: Duration,
    /// `group.consumer.heartbeat.interval.ms`: how often members of consumer groups are told to report. A rebalance takes
    /// one to three of these, so it is not Apache Kafka's 5 s.
    pub(crate) consumer_heartbeat_interval: Duration,
    /// `group.consumer.session.timeout.ms`: how long a silent member of a consumer group is waited for; Apache Kafka waits
    /// 45 s.
    pub(crate) consumer_session_timeout: Duration,
    /// `group.consumer.assignment.interval.ms`: how long a consumer group keeps an assignment at least. Apache Kafka waits
    /// 1 s, to answer many changes at once.
    pub(crate) consumer_assignment_interval: Duration,
    /// `offset.metadata.max.bytes`, as in Apache Kafka.
    pub(crate) max_offset_metadata: usize,
    /// Bytes that the logs of all topics may take together: beyond, the oldest records go. Apache Kafka has no such limit,
    /// its logs lie on disk.
    pub(crate) max_memory: usize,
    /// `transaction.max.timeout.ms`, as in Apache Kafka.
    pub(crate) max_transaction_timeout: Duration,
    /// `transactional.id.expiration.ms`, as in Apache Kafka: how long after its last transaction a transactional id is known.
    pub(crate) transactional_id_expiration: Duration,
    /// `producer.id.expiration.ms`, as in Apache Kafka: how long after a producer's last batch a partition knows it.
    pub(crate) producer_id_expiration: Duration,
    /// `offsets.retention.minutes`, as in Apache Kafka: how long the offsets of a group without members are kept.
    pub(crate) offsets_retention: Duration,
    /// `log.retention.check.interval.ms`: how long after a change the logs are looked through, for retention and compaction
    /// alike. Apache Kafka's 5 minutes are too long for a lesson.
    pub(crate) log_check_interval: Duration,
    /// Whether every listener demands SASL.
    pub(crate) sasl: bool,
    /// How many of the latest requests are remembered for whoever judges a client by them.
    pub(crate) remembered_requests: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            default_partitions: 3,
            auto_create_topics: true,
            lenient_replication: false,
            initial_rebalance_delay: Duration::from_millis(100),
            min_session_timeout: Duration::from_millis(100),
            max_session_timeout: Duration::from_secs(1_800),
            consumer_heartbeat_interval: Duration::from_millis(200),
            consumer_session_timeout: Duration::from_secs(10),
            consumer_assignment_interval: Duration::ZERO,
            max_offset_metadata: 4_096,
            max_memory: 1 << 30,
            max_transaction_timeout: Duration::from_secs(900),
            transactional_id_expiration: 7 * DAY,
            producer_id_expiration: DAY,
            offsets_retention: 7 * DAY,
            log_check_interval: Duration::from_secs(1),
            sasl: false,
            remembered_requests: 10_000,
        }
    }
}

impl Settings {
    /// The settings as configurations that tools describe: those of Apache Kafka's with the values that they have here.
    pub(crate) fn static_configs(&self) -> Overrides {
        let millis = |duration: Duration| duration.as_millis().to_string();
        [
            ("num.partitions", self.default_partitions.to_string()),
            (
                "auto.create.topics.enable",
                self.auto_create_topics.to_string(),
            ),
            (
                "group.initial.rebalance.delay.ms",
                millis(self.initial_rebalance_delay),
            ),
            (
                "group.min.session.timeout.ms",
                millis(self.min_session_timeout),
            ),
            (
                "group.max.session.timeout.ms",
                millis(self.max_session_timeout),
            ),
            (
                "group.consumer.heartbeat.interval.ms",
                millis(self.consumer_heartbeat_interval),
            ),
            (
                "group.consumer.session.timeout.ms",
                millis(self.consumer_session_timeout),
            ),
            (
                "group.consumer.assignment.interval.ms",
                millis(self.consumer_assignment_interval),
            ),
            // How short a group may be told to make them.
            ("group.consumer.min.heartbeat.interval.ms", "100".to_owned()),
            ("group.consumer.min.session.timeout.ms", "500".to_owned()),
            // A group with members stays of its kind.
            ("group.consumer.migration.policy", "disabled".to_owned()),
            (
                "log.retention.check.interval.ms",
                millis(self.log_check_interval),
            ),
            (
                "offset.metadata.max.bytes",
                self.max_offset_metadata.to_string(),
            ),
            (
                "transaction.max.timeout.ms",
                millis(self.max_transaction_timeout),
            ),
            ("process.roles", "broker,controller".to_owned()),
            ("log.dirs", LOG_DIRECTORY.to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }
}
