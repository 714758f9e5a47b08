//! How configurations are described: each value, where it comes from, and what would hold if it were not set.

use super::definition::{Definition, Kind};
use super::topic::TopicConfigs;
use super::{Configs, Overrides, broker, group, topic};

/// Where a value comes from, with its number in DescribeConfigs (`ConfigEntry.ConfigSource`, KIP-226).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i8)]
pub(crate) enum Source {
    /// Set on the topic.
    Topic = 1,
    /// Set on one broker while it runs.
    Broker = 2,
    /// Set on all brokers while they run.
    AllBrokers = 3,
    /// What the broker was started with.
    Static = 4,
    Default = 5,
    /// Set on the group.
    Group = 8,
}

/// One configuration of a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Description {
    pub(crate) name: String,
    pub(crate) value: Option<String>,
    pub(crate) source: Source,
    pub(crate) read_only: bool,
    /// None for a name that is not Apache Kafka's, which a plug-in might know.
    pub(crate) kind: Option<Kind>,
    /// The value in force first.
    pub(crate) synonyms: Vec<Synonym>,
}

impl Description {
    /// A value of a type that nobody knows may be a secret: it is not shown.
    pub(crate) fn is_sensitive(&self) -> bool {
        self.kind.is_none()
    }
}

/// One value that a configuration has, or would have if the stronger ones were removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Synonym {
    pub(crate) name: String,
    pub(crate) value: Option<String>,
    pub(crate) source: Source,
}

impl Configs {
    /// A topic's configurations as `node_id` has them in force.
    pub(crate) fn describe_topic(&self, configs: &TopicConfigs, node_id: i32) -> Vec<Description> {
        let overrides = configs.overrides();
        let described = |definition: &'static Definition| {
            let value = self.topic_value(overrides, Some(node_id), definition);
            let behind = topic::broker_synonyms(definition.name)
                .first()
                .map(|synonym| self.broker_chain(synonym.name, node_id))
                .unwrap_or_default();
            describe(definition, value, overrides, Source::Topic, behind)
        };
        topic::TOPIC
            .iter()
            .filter(|definition| !topic::is_internal(definition.name))
            .map(described)
            .collect()
    }

    /// The configurations of a group, as the group coordinator `node_id` has them in force.
    pub(crate) fn describe_group(&self, group_id: &str, node_id: i32) -> Vec<Description> {
        let none = Overrides::new();
        let overrides = self.group_values.get(group_id).unwrap_or(&none);
        let described = |definition: &'static Definition| {
            let behind = self.broker_chain(&group::broker_synonym(definition.name), node_id);
            let value = match overrides.get(definition.name) {
                Some(value) => Some(value.clone()),
                None => behind.first().and_then(|synonym| synonym.value.clone()),
            };
            describe(definition, value, overrides, Source::Group, behind)
        };
        group::GROUP.iter().map(described).collect()
    }

    /// All configurations of one node.
    pub(crate) fn describe_node(&self, node_id: i32) -> Vec<Description> {
        let mut names: Vec<&str> = self
            .broker_layers(Some(node_id))
            .flat_map(|(_, layer)| layer.keys().map(String::as_str))
            .chain(broker::all().map(|definition| definition.name))
            .collect();
        names.sort_unstable();
        names.dedup();
        names
            .into_iter()
            .map(|name| {
                let synonyms = self.broker_chain(name, node_id);
                self.describe_broker_config(name, synonyms)
            })
            .collect()
    }

    /// What was set for all nodes while they run.
    pub(crate) fn describe_cluster(&self) -> Vec<Description> {
        self.cluster_values
            .iter()
            .map(|(name, value)| {
                let synonym = broker_synonym(name, value, Source::AllBrokers);
                self.describe_broker_config(name, vec![synonym])
            })
            .collect()
    }

    fn describe_broker_config(&self, name: &str, synonyms: Vec<Synonym>) -> Description {
        let in_force = synonyms.first();
        Description {
            name: name.to_owned(),
            value: in_force.and_then(|synonym| synonym.value.clone()),
            source: in_force.map_or(Source::Default, |synonym| synonym.source),
            read_only: broker::is_read_only(name),
            kind: broker::find(name).map(|definition| definition.kind),
            synonyms,
        }
    }

    /// The values of a broker's configuration, the strongest first. Values of its other names that are stronger are left
    /// out, so that a time in milliseconds has no synonyms while only its name in hours is set; so it is in Apache Kafka
    /// (`ConfigHelper.configSynonyms`).
    fn broker_chain(&self, name: &str, node_id: i32) -> Vec<Synonym> {
        let names = broker::synonyms(name);
        let set = self
            .broker_layers(Some(node_id))
            .flat_map(|(source, layer)| {
                names
                    .iter()
                    .filter_map(move |name| Some(broker_synonym(name, layer.get(*name)?, source)))
            });
        let defaults = names.iter().filter_map(|name| {
            let default = broker::find(name)?.default?;
            Some(broker_synonym(name, default, Source::Default))
        });
        set.chain(defaults)
            .skip_while(|synonym| synonym.name != name)
            .collect()
    }
}

fn broker_synonym(name: &str, value: &str, source: Source) -> Synonym {
    Synonym {
        name: name.to_owned(),
        value: broker::find(name).map(|_| value.to_owned()),
        source,
    }
}

/// A configuration of a topic or a group: its own value stands before those of the broker `behind` it.
fn describe(
    definition: &'static Definition,
    value: Option<String>,
    overrides: &Overrides,
    own_source: Source,
    behind: Vec<Synonym>,
) -> Description {
    let own = overrides.get(definition.name).map(|value| Synonym {
        name: definition.name.to_owned(),
        value: Some(value.clone()),
        source: own_source,
    });
    let synonyms: Vec<Synonym> = own.into_iter().chain(behind).collect();
    Description {
        name: definition.name.to_owned(),
        value,
        source: synonyms
            .first()
            .map_or(Source::Default, |synonym| synonym.source),
        read_only: false,
        kind: Some(definition.kind),
        synonyms,
    }
}
