//! The configurations of a topic (<https://kafka.apache.org/documentation/#topicconfigs>), and those that the broker
//! itself acts on with their types.

use std::collections::BTreeMap;

use super::Overrides;
use super::definition::Check::{
    Any, AtLeast, Between, BetweenOr, Fraction, ListOf, OneOf, Throttled,
};
use super::definition::{
    Definition, Invalid, Kind, MAX, boolean, double, elements, int, list, long, string, unset,
};

/// Every configuration that a topic has in Apache Kafka 4.3, by name.
#[rustfmt::skip] // A table, to be read by its rows.
pub(crate) static TOPIC: &[Definition] = &[
    list("cleanup.policy", "delete", ListOf(CLEANUP_POLICIES)),
    int("compression.gzip.level", "-1", BetweenOr(1, 9, -1)),
    int("compression.lz4.level", "9", Between(1, 17)),
    string("compression.type", "producer", OneOf(COMPRESSION_TYPES)),
    int("compression.zstd.level", "3", Between(-131072, 22)),
    long("delete.retention.ms", "86400000", AtLeast(0)),
    long("file.delete.delay.ms", "60000", AtLeast(0)),
    long("flush.messages", MAX, AtLeast(1)),
    long("flush.ms", MAX, AtLeast(0)),
    list("follower.replication.throttled.replicas", "", Throttled),
    int("index.interval.bytes", "4096", AtLeast(0)),
    unset(INTERNAL_SEGMENT_BYTES, Kind::Int),
    list("leader.replication.throttled.replicas", "", Throttled),
    long("local.retention.bytes", "-2", AtLeast(-2)),
    long("local.retention.ms", "-2", AtLeast(-2)),
    long("max.compaction.lag.ms", MAX, AtLeast(1)),
    int("max.message.bytes", "1048588", AtLeast(0)),
    long("message.timestamp.after.max.ms", "3600000", AtLeast(0)),
    long("message.timestamp.before.max.ms", MAX, AtLeast(0)),
    string("message.timestamp.type", "CreateTime", OneOf(TIME_TYPES)),
    double("min.cleanable.dirty.ratio", "0.5", Fraction),
    long("min.compaction.lag.ms", "0", AtLeast(0)),
    int("min.insync.replicas", "1", AtLeast(1)),
    boolean("preallocate", "false", Any),
    boolean("remote.log.copy.disable", "false", Any),
    boolean("remote.log.delete.on.disable", "false", Any),
    boolean("remote.storage.enable", "false", Any),
    long("retention.bytes", "-1", Any),
    long("retention.ms", "604800000", AtLeast(-1)),
    int("segment.bytes", "1073741824", AtLeast(1048576)),
    int("segment.index.bytes", "10485760", AtLeast(4)),
    long("segment.jitter.ms", "0", AtLeast(0)),
    long("segment.ms", "604800000", AtLeast(1)),
    boolean("unclean.leader.election.enable", "false", Any),
];

pub(super) const CLEANUP_POLICIES: &[&str] = &["compact", "delete"];
pub(super) const COMPRESSION_TYPES: &[&str] =
    &["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"];
pub(super) const TIME_TYPES: &[&str] = &["CreateTime", "LogAppendTime"];

/// Not described to anyone, but taken: Apache Kafka's own tests make segments smaller with it than `segment.bytes` allows.
const INTERNAL_SEGMENT_BYTES: &str = "internal.segment.bytes";

/// Whether it is kept from descriptions.
pub(super) fn is_internal(name: &str) -> bool {
    name == INTERNAL_SEGMENT_BYTES
}

const NO_REMOTE_STORAGE: &str = "Tiered Storage functionality is disabled in the broker. \
                                 Topic cannot be configured with remote log storage.";

/// The definition of the configuration with this name.
pub(crate) fn find(name: &str) -> Option<&'static Definition> {
    TOPIC.iter().find(|definition| definition.name == name)
}

/// The values that `given` stands for, if they may be set on a topic.
///
/// # Errors
/// With Apache Kafka's message for the first that may not.
pub(super) fn parse(given: &Overrides) -> Result<Overrides, Invalid> {
    given
        .iter()
        .map(|(name, value)| {
            let unknown = || Invalid(format!("Unknown topic config name: {name}"));
            let value = find(name).ok_or_else(unknown)?.parse(value)?;
            if name == "remote.storage.enable" && value == "true" {
                return Err(Invalid(NO_REMOTE_STORAGE.to_owned()));
            }
            Ok((name.clone(), value))
        })
        .collect()
}

/// A broker configuration that holds for topics that do not set their own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BrokerSynonym {
    pub(crate) name: &'static str,
    /// How many of the topic's units one of the broker's is: `log.retention.hours` counts hours, `retention.ms`
    /// milliseconds.
    unit: i64,
}

impl BrokerSynonym {
    /// The broker's value as the topic's configuration would say it.
    pub(crate) fn in_topic_units(&self, value: &str) -> Option<String> {
        match self.unit {
            1 => Some(value.to_owned()),
            unit => value
                .trim()
                .parse()
                .ok()
                .map(|count: i64| count.saturating_mul(unit).to_string()),
        }
    }
}

const fn same(name: &'static str) -> BrokerSynonym {
    BrokerSynonym { name, unit: 1 }
}

const fn minutes(name: &'static str) -> BrokerSynonym {
    BrokerSynonym { name, unit: 60_000 }
}

const fn hours(name: &'static str) -> BrokerSynonym {
    BrokerSynonym {
        name,
        unit: 3_600_000,
    }
}

/// The broker configurations behind a topic's, the strongest first
/// (`org.apache.kafka.server.config.ServerTopicConfigSynonyms`).
#[rustfmt::skip] // A table, to be read by its rows.
static BROKER_SYNONYMS: &[(&str, &[BrokerSynonym])] = &[
    ("cleanup.policy", &[same("log.cleanup.policy")]),
    ("compression.gzip.level", &[same("compression.gzip.level")]),
    ("compression.lz4.level", &[same("compression.lz4.level")]),
    ("compression.type", &[same("compression.type")]),
    ("compression.zstd.level", &[same("compression.zstd.level")]),
    ("delete.retention.ms", &[same("log.cleaner.delete.retention.ms")]),
    ("file.delete.delay.ms", &[same("log.segment.delete.delay.ms")]),
    ("flush.messages", &[same("log.flush.interval.messages")]),
    ("flush.ms", &[same("log.flush.interval.ms"), same("log.flush.scheduler.interval.ms")]),
    ("index.interval.bytes", &[same("log.index.interval.bytes")]),
    ("local.retention.bytes", &[same("log.local.retention.bytes")]),
    ("local.retention.ms", &[same("log.local.retention.ms")]),
    ("max.compaction.lag.ms", &[same("log.cleaner.max.compaction.lag.ms")]),
    ("max.message.bytes", &[same("message.max.bytes")]),
    ("message.timestamp.after.max.ms", &[same("log.message.timestamp.after.max.ms")]),
    ("message.timestamp.before.max.ms", &[same("log.message.timestamp.before.max.ms")]),
    ("message.timestamp.type", &[same("log.message.timestamp.type")]),
    ("min.cleanable.dirty.ratio", &[same("log.cleaner.min.cleanable.ratio")]),
    ("min.compaction.lag.ms", &[same("log.cleaner.min.compaction.lag.ms")]),
    ("min.insync.replicas", &[same("min.insync.replicas")]),
    ("preallocate", &[same("log.preallocate")]),
    ("retention.bytes", &[same("log.retention.bytes")]),
    ("retention.ms", &[same("log.retention.ms"), minutes("log.retention.minutes"), hours("log.retention.hours")]),
    ("segment.bytes", &[same("log.segment.bytes")]),
    ("segment.index.bytes", &[same("log.index.size.max.bytes")]),
    ("segment.jitter.ms", &[same("log.roll.jitter.ms"), hours("log.roll.jitter.hours")]),
    ("segment.ms", &[same("log.roll.ms"), hours("log.roll.hours")]),
    ("unclean.leader.election.enable", &[same("unclean.leader.election.enable")]),
];

/// The broker configurations behind the topic's of this name, the strongest first.
pub(crate) fn broker_synonyms(topic_config: &str) -> &'static [BrokerSynonym] {
    BROKER_SYNONYMS
        .iter()
        .find(|(name, _)| *name == topic_config)
        .map_or(&[], |(_, synonyms)| synonyms)
}

/// What a topic's configuration is: what was set on it, and what follows from that and from the brokers' values.
#[derive(Clone, Debug)]
pub(crate) struct TopicConfigs {
    /// What was set when the topic was created or altered.
    overrides: Overrides,
    /// What is in force on nodes without values of their own.
    on_every_node: TopicConfig,
    /// What is in force on nodes for which a broker configuration was altered, by node id.
    on_node: BTreeMap<i32, TopicConfig>,
}

impl TopicConfigs {
    pub(super) fn new(
        overrides: Overrides,
        on_every_node: TopicConfig,
        on_node: BTreeMap<i32, TopicConfig>,
    ) -> Self {
        Self {
            overrides,
            on_every_node,
            on_node,
        }
    }

    pub(crate) fn overrides(&self) -> &Overrides {
        &self.overrides
    }

    /// What is in force on a node; a partition goes by the node that leads it.
    pub(crate) fn on(&self, node_id: i32) -> &TopicConfig {
        self.on_node.get(&node_id).unwrap_or(&self.on_every_node)
    }
}

/// The configurations of a topic that the broker acts on. The others are kept and described, but mean nothing to a log in
/// memory with one copy.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TopicConfig {
    /// `cleanup.policy` lists `delete`: old segments go when they exceed the retention.
    pub(crate) delete: bool,
    /// `cleanup.policy` lists `compact`: of records with the same key the last stays.
    pub(crate) compact: bool,
    /// `delete.retention.ms`: how long a tombstone outlives its compaction.
    pub(crate) delete_retention_ms: i64,
    /// `max.compaction.lag.ms`: when a record is compacted at the latest.
    pub(crate) max_compaction_lag_ms: i64,
    /// `max.message.bytes`: the largest record batch, as it is sent.
    pub(crate) max_message_bytes: usize,
    /// `message.timestamp.after.max.ms`: how far ahead of the broker's clock a record's time may be.
    pub(crate) message_timestamp_after_max_ms: i64,
    /// `message.timestamp.before.max.ms`: how far behind.
    pub(crate) message_timestamp_before_max_ms: i64,
    /// `message.timestamp.type` is `LogAppendTime`: records get the time of their append instead of their own.
    pub(crate) log_append_time: bool,
    /// `min.cleanable.dirty.ratio`: how much of a log must be new before it is compacted.
    pub(crate) min_cleanable_dirty_ratio: f64,
    /// `min.compaction.lag.ms`: how long a record is not compacted.
    pub(crate) min_compaction_lag_ms: i64,
    /// `min.insync.replicas`: how many replicas a batch with `acks=all` must reach.
    pub(crate) min_insync_replicas: usize,
    /// `retention.bytes`: how large a partition may grow. None is without limit.
    pub(crate) retention_bytes: Option<u64>,
    /// `retention.ms`: how old records may get. None is without limit.
    pub(crate) retention_ms: Option<i64>,
    /// `segment.bytes`: the size at which a segment is closed.
    pub(crate) segment_bytes: usize,
    /// `segment.ms`: the age at which a segment is closed.
    pub(crate) segment_ms: i64,
}

impl TopicConfig {
    /// Reads the values that `value_of` finds.
    ///
    /// # Errors
    /// If one is not of its type. Values are validated when they are set, so that is a defect of the broker.
    pub(super) fn read(
        value_of: impl Fn(&'static Definition) -> Option<String>,
    ) -> Result<Self, Invalid> {
        let text = |name: &'static str| {
            let definition =
                find(name).ok_or_else(|| Invalid(format!("Unknown topic config name: {name}")))?;
            Ok((definition, value_of(definition).unwrap_or_default()))
        };
        let long = |name| {
            let (definition, text) = text(name)?;
            text.trim()
                .parse::<i64>()
                .map_err(|_| definition.refuse(&text, "Not a number of type LONG"))
        };
        // Negative sizes are no limit where that makes sense, and validated away where it does not.
        let size = |name| long(name).map(|value| usize::try_from(value).unwrap_or(0));
        let (_, cleanup_policy) = text("cleanup.policy")?;
        let (_, timestamp_type) = text("message.timestamp.type")?;
        let (dirty_ratio, dirty_ratio_text) = text("min.cleanable.dirty.ratio")?;
        let (_, internal_segment_bytes) = text(INTERNAL_SEGMENT_BYTES)?;
        Ok(Self {
            delete: elements(&cleanup_policy).contains(&"delete"),
            compact: elements(&cleanup_policy).contains(&"compact"),
            delete_retention_ms: long("delete.retention.ms")?,
            max_compaction_lag_ms: long("max.compaction.lag.ms")?,
            max_message_bytes: size("max.message.bytes")?,
            message_timestamp_after_max_ms: long("message.timestamp.after.max.ms")?,
            message_timestamp_before_max_ms: long("message.timestamp.before.max.ms")?,
            log_append_time: timestamp_type.trim() == "LogAppendTime",
            min_cleanable_dirty_ratio: dirty_ratio_text.trim().parse().map_err(|_| {
                dirty_ratio.refuse(&dirty_ratio_text, "Not a number of type DOUBLE")
            })?,
            min_compaction_lag_ms: long("min.compaction.lag.ms")?,
            min_insync_replicas: size("min.insync.replicas")?,
            retention_bytes: u64::try_from(long("retention.bytes")?).ok(),
            retention_ms: Some(long("retention.ms")?).filter(|limit| *limit >= 0),
            segment_bytes: match internal_segment_bytes.trim().parse::<usize>() {
                Ok(bytes) => bytes,
                Err(_) => size("segment.bytes")?,
            },
            segment_ms: long("segment.ms")?,
        })
    }

    /// Whether the values agree with each other.
    ///
    /// # Errors
    /// With Apache Kafka's message where they do not.
    pub(super) fn check(&self) -> Result<(), Invalid> {
        let (min, max) = (self.min_compaction_lag_ms, self.max_compaction_lag_ms);
        if min > max {
            return Err(Invalid(format!(
                "conflict topic config setting min.compaction.lag.ms ({min}) > max.compaction.lag.ms ({max})"
            )));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Configs;

    fn overrides(pairs: &[(&str, &str)]) -> Overrides {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    fn in_force(topic: &[(&str, &str)], broker: &[(&str, &str)]) -> TopicConfig {
        let configs = Configs::new(overrides(broker), BTreeMap::new());
        configs
            .topic(overrides(topic))
            .expect("the values are legal")
            .on(0)
            .clone()
    }

    #[test]
    fn the_definitions_are_sorted_and_their_defaults_legal() {
        assert!(TOPIC.is_sorted_by_key(|definition| definition.name));
        for definition in TOPIC {
            if let Some(default) = definition.default {
                assert_eq!(definition.parse(default).as_deref(), Ok(default));
            }
        }
    }

    #[test]
    fn without_any_value_the_defaults_are_in_force() {
        let config = in_force(&[], &[]);
        assert!(config.delete && !config.compact && !config.log_append_time);
        assert_eq!(config.max_message_bytes, 1_048_588);
        assert_eq!(config.retention_ms, Some(7 * 24 * 3_600_000));
        assert_eq!(
            (config.retention_bytes, config.segment_bytes),
            (None, 1 << 30)
        );
    }

    #[test]
    fn a_topic_is_stronger_than_the_broker_and_milliseconds_than_hours() {
        let hours = ("log.retention.hours", "2");
        assert_eq!(in_force(&[], &[hours]).retention_ms, Some(7_200_000));
        assert_eq!(
            in_force(&[], &[hours, ("log.retention.ms", "5")]).retention_ms,
            Some(5)
        );
        assert_eq!(
            in_force(&[("retention.ms", "-1")], &[hours]).retention_ms,
            None
        );
    }

    #[test]
    fn cleanup_policies_are_a_list() {
        let config = in_force(&[("cleanup.policy", "compact, delete")], &[]);
        assert!(config.delete && config.compact);
    }
}
