//! The configurations of a broker (<https://kafka.apache.org/documentation/#brokerconfigs>).
//!
//! Most of them say how a broker with disks, replicas and threads works and mean nothing here, but tools list them and
//! clients ask for some of them; they are described with Apache Kafka's defaults. Those behind a topic's configuration
//! are acted on through it. Left out are families about what this broker does not have, or is told by other means:
//! controllers of a quorum, delegation tokens, remote storage, SASL, TLS, share groups, streams groups, and classes that
//! are plugged in.

use super::definition::Check::{Any, AtLeast, Between, BetweenOr, Fraction, ListOf, OneOf};
use super::definition::{
    Definition, Kind, MAX, boolean, double, int, list, long, short, string, unset,
};
use super::topic::{CLEANUP_POLICIES, COMPRESSION_TYPES, TIME_TYPES};

/// Those that may be altered while a broker runs (KIP-226).
#[rustfmt::skip] // A table, to be read by its rows.
pub(crate) static DYNAMIC: &[Definition] = &[
    int("background.threads", "10", AtLeast(1)),
    int("compression.gzip.level", "-1", BetweenOr(1, 9, -1)),
    int("compression.lz4.level", "9", Between(1, 17)),
    string("compression.type", "producer", OneOf(COMPRESSION_TYPES)),
    int("compression.zstd.level", "3", Between(-131072, 22)),
    int("group.consumer.assignment.interval.ms", "1000", AtLeast(0)),
    int("group.coordinator.cached.buffer.max.bytes", "1048588", AtLeast(524288)),
    string("listener.security.protocol.map", "SASL_SSL:SASL_SSL,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT", Any),
    list("listeners", "PLAINTEXT://:9092", Any),
    long("log.cleaner.backoff.ms", "15000", AtLeast(0)),
    long("log.cleaner.dedupe.buffer.size", "134217728", Any),
    long("log.cleaner.delete.retention.ms", "86400000", AtLeast(0)),
    double("log.cleaner.io.buffer.load.factor", "0.9", Any),
    int("log.cleaner.io.buffer.size", "524288", AtLeast(0)),
    double("log.cleaner.io.max.bytes.per.second", "1.7976931348623157E308", Any),
    long("log.cleaner.max.compaction.lag.ms", MAX, AtLeast(1)),
    double("log.cleaner.min.cleanable.ratio", "0.5", Fraction),
    long("log.cleaner.min.compaction.lag.ms", "0", AtLeast(0)),
    int("log.cleaner.threads", "1", AtLeast(0)),
    list("log.cleanup.policy", "delete", ListOf(CLEANUP_POLICIES)),
    long("log.flush.interval.messages", MAX, AtLeast(1)),
    unset("log.flush.interval.ms", Kind::Long),
    int("log.index.interval.bytes", "4096", AtLeast(0)),
    int("log.index.size.max.bytes", "10485760", AtLeast(4)),
    long("log.local.retention.bytes", "-2", AtLeast(-2)),
    long("log.local.retention.ms", "-2", AtLeast(-2)),
    long("log.message.timestamp.after.max.ms", "3600000", AtLeast(0)),
    long("log.message.timestamp.before.max.ms", MAX, AtLeast(0)),
    string("log.message.timestamp.type", "CreateTime", OneOf(TIME_TYPES)),
    boolean("log.preallocate", "false", Any),
    long("log.retention.bytes", "-1", Any),
    unset("log.retention.ms", Kind::Long),
    unset("log.roll.jitter.ms", Kind::Long),
    unset("log.roll.ms", Kind::Long),
    int("log.segment.bytes", "1073741824", AtLeast(1048576)),
    long("log.segment.delete.delay.ms", "60000", AtLeast(0)),
    int("max.connection.creation.rate", "2147483647", AtLeast(0)),
    int("max.connections", "2147483647", AtLeast(0)),
    int("max.connections.per.ip", "2147483647", AtLeast(0)),
    string("max.connections.per.ip.overrides", "", Any),
    int("message.max.bytes", "1048588", AtLeast(0)),
    int(MIN_INSYNC_REPLICAS, "1", AtLeast(1)),
    int("num.io.threads", "8", AtLeast(1)),
    int("num.network.threads", "3", AtLeast(1)),
    int("num.recovery.threads.per.data.dir", "2", AtLeast(1)),
    int("num.replica.fetchers", "1", AtLeast(1)),
    int("producer.id.expiration.ms", "86400000", AtLeast(1)),
    boolean("transaction.partition.verification.enable", "true", Any),
    boolean("unclean.leader.election.enable", "false", Any),
];

/// Those that a broker is started with.
#[rustfmt::skip] // A table, to be read by its rows.
pub(crate) static READ_ONLY: &[Definition] = &[
    int("add.partitions.to.txn.retry.backoff.max.ms", "100", Any),
    int("add.partitions.to.txn.retry.backoff.ms", "20", Any),
    unset("advertised.listeners", Kind::List),
    int("alter.log.dirs.replication.quota.window.num", "11", Any),
    int("alter.log.dirs.replication.quota.window.size.seconds", "1", Any),
    boolean("auto.create.topics.enable", "true", Any),
    boolean("auto.leader.rebalance.enable", "true", Any),
    int("broker.heartbeat.interval.ms", "2000", Any),
    int("broker.id", "-1", Any),
    unset("broker.rack", Kind::String),
    int("broker.session.timeout.ms", "9000", Any),
    int("connection.failed.authentication.delay.ms", "100", Any),
    long("connections.max.idle.ms", "600000", Any),
    long("connections.max.reauth.ms", "0", Any),
    boolean("controlled.shutdown.enable", "true", Any),
    int("default.replication.factor", "1", Any),
    int("delete.records.purgatory.purge.interval.requests", "1", Any),
    boolean("delete.topic.enable", "true", Any),
    int("fetch.max.bytes", "57671680", Any),
    int("fetch.purgatory.purge.interval.requests", "1000", Any),
    list("group.consumer.assignors", "uniform,range", Any),
    int("group.consumer.heartbeat.interval.ms", "5000", Any),
    int("group.consumer.max.assignment.interval.ms", "15000", Any),
    int("group.consumer.max.heartbeat.interval.ms", "15000", Any),
    int("group.consumer.max.session.timeout.ms", "60000", Any),
    int("group.consumer.max.size", "2147483647", Any),
    string("group.consumer.migration.policy", "bidirectional", Any),
    int("group.consumer.min.assignment.interval.ms", "0", Any),
    int("group.consumer.min.heartbeat.interval.ms", "5000", Any),
    int("group.consumer.min.session.timeout.ms", "45000", Any),
    int("group.consumer.session.timeout.ms", "45000", Any),
    int("group.coordinator.append.linger.ms", "-1", Any),
    int("group.coordinator.background.threads", "2", Any),
    list("group.coordinator.rebalance.protocols", "classic,consumer,streams", Any),
    int("group.coordinator.threads", "4", Any),
    int("group.initial.rebalance.delay.ms", "3000", Any),
    int("group.max.session.timeout.ms", "1800000", Any),
    int("group.max.size", "2147483647", Any),
    int("group.min.session.timeout.ms", "6000", Any),
    int("initial.broker.registration.timeout.ms", "60000", Any),
    unset("inter.broker.listener.name", Kind::String),
    long("leader.imbalance.check.interval.seconds", "300", Any),
    boolean("log.cleaner.enable", "true", Any),
    list("log.dir", "/tmp/kafka-logs", Any),
    long("log.dir.failure.timeout.ms", "30000", Any),
    unset("log.dirs", Kind::List),
    int("log.flush.offset.checkpoint.interval.ms", "60000", Any),
    long("log.flush.scheduler.interval.ms", MAX, Any),
    int("log.flush.start.offset.checkpoint.interval.ms", "60000", Any),
    long("log.retention.check.interval.ms", "300000", Any),
    int("log.retention.hours", "168", Any),
    unset("log.retention.minutes", Kind::Int),
    int("log.roll.hours", "168", Any),
    int("log.roll.jitter.hours", "0", Any),
    int("max.incremental.fetch.session.cache.slots", "1000", Any),
    int("max.request.partition.size.limit", "2000", Any),
    int("metrics.num.samples", "2", Any),
    string("metrics.recording.level", "INFO", Any),
    long("metrics.sample.window.ms", "30000", Any),
    unset("node.id", Kind::Int),
    int("num.partitions", "1", Any),
    unset("num.replica.alter.log.dirs.threads", Kind::Int),
    int("offset.metadata.max.bytes", "4096", Any),
    int("offsets.commit.timeout.ms", "5000", Any),
    int("offsets.load.buffer.size", "5242880", Any),
    long("offsets.retention.check.interval.ms", "600000", Any),
    int("offsets.retention.minutes", "10080", Any),
    int("offsets.topic.compression.codec", "0", Any),
    int("offsets.topic.num.partitions", "50", Any),
    short("offsets.topic.replication.factor", "3", Any),
    int("offsets.topic.segment.bytes", "104857600", Any),
    unset("process.roles", Kind::List),
    int("producer.purgatory.purge.interval.requests", "1000", Any),
    long("queued.max.request.bytes", "-1", Any),
    int("queued.max.requests", "500", Any),
    int("quota.window.num", "11", Any),
    int("quota.window.size.seconds", "1", Any),
    int("replica.fetch.backoff.ms", "1000", Any),
    int("replica.fetch.max.bytes", "1048576", Any),
    int("replica.fetch.min.bytes", "1", Any),
    int("replica.fetch.response.max.bytes", "10485760", Any),
    int("replica.fetch.wait.max.ms", "500", Any),
    long("replica.high.watermark.checkpoint.interval.ms", "5000", Any),
    long("replica.lag.time.max.ms", "30000", Any),
    int("replica.socket.receive.buffer.bytes", "65536", Any),
    int("replica.socket.timeout.ms", "30000", Any),
    int("replication.quota.window.num", "11", Any),
    int("replication.quota.window.size.seconds", "1", Any),
    int("request.timeout.ms", "30000", Any),
    string("security.inter.broker.protocol", "PLAINTEXT", Any),
    long("socket.connection.setup.timeout.max.ms", "30000", Any),
    long("socket.connection.setup.timeout.ms", "10000", Any),
    int("socket.listen.backlog.size", "50", Any),
    int("socket.receive.buffer.bytes", "102400", Any),
    int("socket.request.max.bytes", "104857600", Any),
    int("socket.send.buffer.bytes", "102400", Any),
    int("telemetry.max.bytes", "1048576", Any),
    int("transaction.abort.timed.out.transaction.cleanup.interval.ms", "10000", Any),
    int("transaction.max.timeout.ms", "900000", Any),
    int("transaction.remove.expired.transaction.cleanup.interval.ms", "3600000", Any),
    int("transaction.state.log.load.buffer.size", "5242880", Any),
    int("transaction.state.log.min.isr", "2", Any),
    int("transaction.state.log.num.partitions", "50", Any),
    short("transaction.state.log.replication.factor", "3", Any),
    int("transaction.state.log.segment.bytes", "104857600", Any),
    boolean("transaction.two.phase.commit.enable", "false", Any),
    int("transactional.id.expiration.ms", "604800000", Any),
];
pub(super) const MIN_INSYNC_REPLICAS: &str = "min.insync.replicas";

/// Where a node listens: part of a broker's own configuration, never of all brokers'.
pub(crate) const LISTENERS: &[&str] = &["listeners", "listener.security.protocol.map"];

/// The definition of the configuration with this name. Others may be set, as Apache Kafka allows for its plug-ins.
pub(crate) fn find(name: &str) -> Option<&'static Definition> {
    let named = |definition: &&Definition| definition.name == name;
    DYNAMIC
        .iter()
        .find(named)
        .or_else(|| READ_ONLY.iter().find(named))
}

/// All definitions, by name.
pub(crate) fn all() -> impl Iterator<Item = &'static Definition> {
    DYNAMIC.iter().chain(READ_ONLY)
}

/// Whether only a restart changes it.
pub(crate) fn is_read_only(name: &str) -> bool {
    !DYNAMIC.iter().any(|definition| definition.name == name)
}

/// The names under which a configuration may be given, the strongest first: a time in milliseconds, minutes or hours
/// (`DynamicBrokerConfig.brokerConfigSynonyms`).
pub(crate) fn synonyms(name: &str) -> Vec<&str> {
    const FAMILIES: &[&[&str]] = &[
        &[
            "log.retention.ms",
            "log.retention.minutes",
            "log.retention.hours",
        ],
        &["log.roll.ms", "log.roll.hours"],
        &["log.roll.jitter.ms", "log.roll.jitter.hours"],
    ];
    match FAMILIES.iter().find(|family| family.contains(&name)) {
        Some(family) => family.to_vec(),
        None if name == "log.flush.interval.ms" => vec![name, "log.flush.scheduler.interval.ms"],
        None => vec![name],
    }
}
