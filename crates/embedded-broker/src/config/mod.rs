//! Configuration that can be described and altered while the broker runs: of topics, brokers and consumer groups.
//!
//! [`definition`] says what a configuration is; [`topic`], [`broker`] and [`group`] list them with the defaults of Apache
//! Kafka 4.3; [`Configs`] holds what was set and finds what is in force; [`describe`] and [`alter`] are what clients do.

pub(crate) mod alter;
pub(crate) mod broker;
pub(crate) mod definition;
pub(crate) mod describe;
pub(crate) mod group;
pub(crate) mod topic;

use std::collections::BTreeMap;
use std::time::Duration;

use definition::{Definition, Invalid};
use describe::Source;
use group::GroupConfig;
use topic::{TopicConfig, TopicConfigs};

/// Values that were set on one resource, by the configuration's name.
pub(crate) type Overrides = BTreeMap<String, String>;

/// What was set for brokers and groups, at the start and since. What was set on a topic is kept with the topic.
#[derive(Clone, Debug, Default)]
pub(crate) struct Configs {
    /// What the process was started with: the same for every node, and not altered by anyone.
    static_values: Overrides,
    /// What each node was started with, by its id.
    static_node_values: BTreeMap<i32, Overrides>,
    /// Set for every node, by altering the broker with the empty name.
    cluster_values: Overrides,
    /// Set for one node, by its id.
    node_values: BTreeMap<i32, Overrides>,
    /// Set for one group, by its id.
    group_values: BTreeMap<String, Overrides>,
}

impl Configs {
    /// Brokers that were started with these values, common and by node id, and not altered since.
    pub(crate) fn new(
        static_values: Overrides,
        static_node_values: BTreeMap<i32, Overrides>,
    ) -> Self {
        Self {
            static_values,
            static_node_values,
            // A cluster that keeps track of eligible leader replicas (KIP-966), as new ones do, is created with it.
            cluster_values: [(broker::MIN_INSYNC_REPLICAS.to_owned(), "1".to_owned())].into(),
            ..Self::default()
        }
    }

    /// What is in force for a topic on which `given` is set.
    ///
    /// # Errors
    /// If a name is unknown, a value is not one that its definition allows, or two values contradict each other.
    pub(crate) fn topic(&self, given: Overrides) -> Result<TopicConfigs, Invalid> {
        let overrides = topic::parse(&given)?;
        let read = |node_id| {
            let config =
                TopicConfig::read(|definition| self.topic_value(&overrides, node_id, definition))?;
            config.check().map(|()| config)
        };
        let on_every_node = read(None)?;
        let on_node = self
            .node_values
            .keys()
            .map(|node_id| Ok((*node_id, read(Some(*node_id))?)))
            .collect::<Result<_, _>>()?;
        Ok(TopicConfigs::new(overrides, on_every_node, on_node))
    }

    /// What is in force for a consumer group.
    pub(crate) fn group(&self, group_id: &str) -> GroupConfig {
        let none = Overrides::new();
        let overrides = self.group_values.get(group_id).unwrap_or(&none);
        let millis = |name| {
            let value = self.group_number(overrides, name);
            Duration::from_millis(u64::try_from(value).unwrap_or(0))
        };
        GroupConfig {
            assignment_interval: millis(group::ASSIGNMENT_INTERVAL),
            heartbeat_interval: millis(group::HEARTBEAT_INTERVAL),
            session_timeout: millis(group::SESSION_TIMEOUT),
        }
    }

    /// What brokers are told, the strongest first; without a node, what holds for all of them.
    fn broker_layers(
        &self,
        node_id: Option<i32>,
    ) -> impl Iterator<Item = (Source, &Overrides)> + Clone {
        let own = node_id.and_then(|id| self.node_values.get(&id));
        let own_static = node_id.and_then(|id| self.static_node_values.get(&id));
        [
            (Source::Broker, own),
            (Source::AllBrokers, Some(&self.cluster_values)),
            (Source::Static, own_static),
            (Source::Static, Some(&self.static_values)),
        ]
        .into_iter()
        .filter_map(|(source, values)| Some((source, values?)))
    }

    /// The value of a topic's configuration: the topic's own, else the first broker configuration that stands behind it
    /// and is set, else the default.
    fn topic_value(
        &self,
        overrides: &Overrides,
        node_id: Option<i32>,
        definition: &'static Definition,
    ) -> Option<String> {
        if let Some(value) = overrides.get(definition.name) {
            return Some(value.clone());
        }
        let synonyms = topic::broker_synonyms(definition.name);
        for (_, layer) in self.broker_layers(node_id) {
            for synonym in synonyms {
                if let Some(value) = layer.get(synonym.name) {
                    return synonym.in_topic_units(value);
                }
            }
        }
        definition.default.map(str::to_owned)
    }

    /// The value of a broker's configuration on every node that has none of its own.
    fn broker_value(&self, name: &str) -> Option<String> {
        self.broker_layers(None)
            .find_map(|(_, layer)| layer.get(name).cloned())
            .or_else(|| Some(broker::find(name)?.default?.to_owned()))
    }

    /// The same as a number; 0 if it is none.
    fn broker_number(&self, name: &str) -> i64 {
        number(self.broker_value(name))
    }

    /// The number that a group's configuration has in force, with `overrides` set on it.
    fn group_number(&self, overrides: &Overrides, name: &str) -> i64 {
        let own = overrides.get(name).cloned();
        number(own.or_else(|| self.broker_value(&group::broker_synonym(name))))
    }
}

/// Values are parsed when they are set, so one that should be a number is.
fn number(value: Option<String>) -> i64 {
    value.and_then(|value| value.parse().ok()).unwrap_or(0)
}
