//! Configuration that can be described and altered while the broker runs: of topics, brokers and consumer groups.
//!
//! [`definition`] says what a configuration is; [`topic`], [`broker`] and [`group`] list them with the defaults of Apache
//! Kafka 4.3; [`Configs`] holds what was set, and finds what is in force.

pub(crate) mod definition;
pub(crate) mod topic;

use std::collections::BTreeMap;

use definition::{Definition, Invalid};
use topic::{TopicConfig, TopicConfigs};

/// Values that were set on one resource, by the configuration's name.
pub(crate) type Overrides = BTreeMap<String, String>;

/// What was set for the brokers, at the start and since.
#[derive(Debug, Default)]
pub(crate) struct Configs {
    /// What the process was started with: the same for every node, and not altered by anyone.
    static_values: Overrides,
    /// Set for every node, by altering the broker with the empty name.
    cluster_values: Overrides,
    /// Set for one node, by its id.
    node_values: BTreeMap<i32, Overrides>,
}

impl Configs {
    /// A broker that was started with `static_values` and not altered since.
    pub(crate) fn new(static_values: Overrides) -> Self {
        Self {
            static_values,
            ..Self::default()
        }
    }

    /// What is in force for a topic on which `overrides` are set.
    ///
    /// # Errors
    /// If a name is unknown or a value is not one that its definition allows.
    pub(crate) fn topic(&self, overrides: Overrides) -> Result<TopicConfigs, Invalid> {
        topic::check(&overrides)?;
        let on_every_node = TopicConfig::read(|definition| {
            self.topic_value(&overrides, self.cluster_layers(), definition)
        })?;
        let on_node = self
            .node_values
            .iter()
            .map(|(node_id, values)| {
                let layers = || std::iter::once(values).chain(self.cluster_layers());
                TopicConfig::read(|definition| self.topic_value(&overrides, layers(), definition))
                    .map(|config| (*node_id, config))
            })
            .collect::<Result<_, _>>()?;
        Ok(TopicConfigs::new(overrides, on_every_node, on_node))
    }

    /// The brokers' values that hold on every node, the strongest first.
    fn cluster_layers(&self) -> impl Iterator<Item = &Overrides> {
        [&self.cluster_values, &self.static_values].into_iter()
    }

    /// The value of a topic's configuration: the topic's own, else the first broker configuration that stands behind it
    /// and is set, else the default.
    fn topic_value<'a>(
        &self,
        overrides: &Overrides,
        broker_layers: impl Iterator<Item = &'a Overrides>,
        definition: &'static Definition,
    ) -> Option<String> {
        if let Some(value) = overrides.get(definition.name) {
            return Some(value.clone());
        }
        let synonyms = topic::broker_synonyms(definition.name);
        for layer in broker_layers {
            for synonym in synonyms {
                if let Some(value) = layer.get(synonym.name) {
                    return synonym.in_topic_units(value);
                }
            }
        }
        definition.default.map(str::to_owned)
    }
}
