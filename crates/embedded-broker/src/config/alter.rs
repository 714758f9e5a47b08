//! How configurations are altered: single changes, or all values of a resource at once.

use std::collections::HashSet;

use kafka_protocol::error::ResponseError;

use super::definition::{Definition, Invalid, Kind, elements};
use super::{Configs, Overrides, broker, group, topic};
use crate::refusal::Refusal;
use crate::state::State;

/// What has configurations of its own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Resource {
    Topic(String),
    /// One broker.
    Node(i32),
    /// All brokers.
    Cluster,
    Group(String),
}

/// One change of one configuration (KIP-339).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Set(String),
    /// Back to what holds without it.
    Delete,
    /// Adds elements to a list.
    Append(String),
    /// Removes elements from a list.
    Subtract(String),
}

impl Resource {
    fn find(&self, name: &str) -> Option<&'static Definition> {
        match self {
            Self::Topic(_) => topic::find(name),
            Self::Group(_) => group::find(name),
            Self::Node(_) | Self::Cluster => broker::find(name),
        }
    }

    /// Makes the changes to what is set.
    ///
    /// # Errors
    /// INVALID_CONFIG if something that is no list is to be appended to.
    pub(crate) fn change(
        &self,
        mut overrides: Overrides,
        changes: impl IntoIterator<Item = (String, Change)>,
    ) -> Result<Overrides, Refusal> {
        for (name, change) in changes {
            let value = match change {
                Change::Delete => None,
                Change::Set(value) => Some(value),
                Change::Append(value) => {
                    let mut list = self.list(&overrides, &name, "APPEND")?;
                    let mut present: HashSet<String> = list.iter().cloned().collect();
                    for value in elements(&value) {
                        if present.insert(value.to_owned()) {
                            list.push(value.to_owned());
                        }
                    }
                    Some(list.join(","))
                }
                Change::Subtract(value) => {
                    let mut list = self.list(&overrides, &name, "SUBTRACT")?;
                    let removed: HashSet<&str> = elements(&value).into_iter().collect();
                    list.retain(|value| !removed.contains(value.as_str()));
                    Some(list.join(","))
                }
            };
            match value {
                Some(value) => overrides.insert(name, value),
                None => overrides.remove(&name),
            };
        }
        Ok(overrides)
    }

    /// The list that a change begins with: what is set, else the default. A broker's value behind a topic's counts for
    /// nothing here (`ConfigurationControlManager.getParts`).
    fn list(
        &self,
        overrides: &Overrides,
        name: &str,
        operation: &str,
    ) -> Result<Vec<String>, Refusal> {
        let definition = self.find(name).filter(|found| found.kind == Kind::List);
        let Some(definition) = definition else {
            let message = match self {
                Self::Topic(_) | Self::Group(_) => {
                    format!("Can't {operation} to key {name} because its type is not LIST.")
                }
                Self::Node(_) | Self::Cluster => format!(
                    "Config value {} is not allowed for config key: {name}",
                    operation.to_lowercase()
                ),
            };
            return Err(Refusal::new(ResponseError::InvalidConfig, message));
        };
        let list = overrides.get(name).map(String::as_str);
        let list = elements(list.or(definition.default).unwrap_or_default());
        Ok(list.into_iter().map(str::to_owned).collect())
    }
}

impl State {
    /// What is set on a resource. Nothing, if there is no such topic.
    pub(crate) fn overrides(&self, resource: &Resource) -> Overrides {
        let configs = &self.configs;
        match resource {
            Resource::Topic(name) => self
                .topics
                .get(name)
                .map(|topic| topic.config.overrides().clone()),
            Resource::Node(id) => configs.node_values.get(id).cloned(),
            Resource::Cluster => Some(configs.cluster_values.clone()),
            Resource::Group(id) => configs.group_values.get(id).cloned(),
        }
        .unwrap_or_default()
    }

    /// Sets these values on a resource, and no others. `validate_only` changes nothing.
    ///
    /// # Errors
    /// UNKNOWN_TOPIC_OR_PARTITION, INVALID_CONFIG, or INVALID_REQUEST for a broker's value.
    pub(crate) fn set_overrides(
        &mut self,
        resource: &Resource,
        given: Overrides,
        validate_only: bool,
    ) -> Result<(), Refusal> {
        match resource {
            Resource::Topic(name) => {
                let config = self.configs.topic(given).map_err(invalid_config)?;
                let topic = self.topics.get_mut(name).ok_or_else(|| {
                    let message = format!("The topic '{name}' does not exist.");
                    Refusal::new(ResponseError::UnknownTopicOrPartition, message)
                })?;
                if !validate_only {
                    topic.config = config;
                    self.topics.upkeep.want_sweep();
                }
            }
            Resource::Group(id) => {
                let values = self.configs.parse_group(&given).map_err(invalid_config)?;
                if !validate_only {
                    self.configs.set_group_values(id, values);
                }
            }
            Resource::Node(_) | Resource::Cluster => {
                let values = check_broker(resource, &given)?;
                self.set_broker_values(resource, values, validate_only)?;
            }
        }
        Ok(())
    }

    /// Topics whose configuration is the broker's go along.
    fn set_broker_values(
        &mut self,
        resource: &Resource,
        values: Overrides,
        validate_only: bool,
    ) -> Result<(), Refusal> {
        let mut configs = self.configs.clone();
        match resource {
            Resource::Node(id) if values.is_empty() => {
                configs.node_values.remove(id);
            }
            Resource::Node(id) => {
                configs.node_values.insert(*id, values);
            }
            _ => configs.cluster_values = values,
        }
        let invalid = |Invalid(message)| Refusal::new(ResponseError::InvalidRequest, message);
        let topics = self
            .topics
            .iter()
            .map(|(_, topic)| configs.topic(topic.config.overrides().clone()))
            .collect::<Result<Vec<_>, _>>()
            .map_err(invalid)?;
        if !validate_only {
            self.configs = configs;
            for (topic, config) in self.topics.iter_mut().zip(topics) {
                topic.config = config;
            }
            self.topics.upkeep.want_sweep();
        }
        Ok(())
    }
}

impl Configs {
    /// The values that may be set on a group.
    ///
    /// # Errors
    /// With Apache Kafka's message (`GroupConfig.validate`).
    fn parse_group(&self, given: &Overrides) -> Result<Overrides, Invalid> {
        let mut values = Overrides::new();
        for (name, value) in given {
            let definition = group::find(name)
                .ok_or_else(|| Invalid(format!("Unknown group config name: {name}")))?;
            values.insert(name.clone(), definition.parse(value)?);
        }
        for definition in group::GROUP {
            let name = definition.name;
            let value = self.group_number(&values, name);
            let (min, max) = (
                group::broker_bound(name, "min"),
                group::broker_bound(name, "max"),
            );
            if value < self.broker_number(&min) {
                return Err(Invalid(format!(
                    "{name} must be greater than or equal to {min}"
                )));
            }
            if value > self.broker_number(&max) {
                return Err(Invalid(format!(
                    "{name} must be less than or equal to {max}"
                )));
            }
        }
        let (session, heartbeat) = (group::SESSION_TIMEOUT, group::HEARTBEAT_INTERVAL);
        if self.group_number(&values, session) <= self.group_number(&values, heartbeat) {
            return Err(Invalid(format!(
                "{session} must be greater than {heartbeat}"
            )));
        }
        Ok(values)
    }

    /// The groups on which something is set, in the order of their ids.
    pub(crate) fn configured_groups(&self) -> impl Iterator<Item = &str> {
        self.group_values.keys().map(String::as_str)
    }

    fn set_group_values(&mut self, group_id: &str, values: Overrides) {
        if values.is_empty() {
            self.group_values.remove(group_id);
        } else {
            self.group_values.insert(group_id.to_owned(), values);
        }
    }
}

fn invalid_config(Invalid(message): Invalid) -> Refusal {
    Refusal::new(ResponseError::InvalidConfig, message)
}

/// The values that may be set on one broker or on all of them.
fn check_broker(resource: &Resource, given: &Overrides) -> Result<Overrides, Refusal> {
    let refuse = |message: String| Err(Refusal::new(ResponseError::InvalidRequest, message));
    let names = |refused: &dyn Fn(&str) -> bool| {
        let names: Vec<&str> = given.keys().map(String::as_str).collect();
        let refused: Vec<&str> = names.into_iter().filter(|name| refused(name)).collect();
        (!refused.is_empty()).then(|| refused.join(", "))
    };
    let is_fixed = |name: &str| broker::find(name).is_some() && broker::is_read_only(name);
    if let Some(names) = names(&is_fixed) {
        return refuse(format!(
            "Cannot update these configs dynamically: [{names}]"
        ));
    }
    let is_cluster = *resource == Resource::Cluster;
    if let Some(names) = names(&|name| broker::LISTENERS.contains(&name)) {
        return refuse(match is_cluster {
            true => format!(
                "Cannot update these configs at default cluster level, broker id must be specified: [{names}]"
            ),
            false => {
                format!("The embedded broker's listeners are those it was started with: [{names}]")
            }
        });
    }
    let mut values = Overrides::new();
    for (name, value) in given {
        let value = match broker::find(name) {
            Some(definition) => definition
                .parse(value)
                .map_err(|Invalid(message)| Refusal::new(ResponseError::InvalidRequest, message))?,
            // Apache Kafka keeps what a plug-in might know.
            None => value.clone(),
        };
        values.insert(name.clone(), value);
    }
    // Eligible leader replicas (KIP-966) need one minimum for all brokers.
    let has_minimum = values.contains_key(broker::MIN_INSYNC_REPLICAS);
    let minimum = match (is_cluster, has_minimum) {
        (true, false) => {
            "Cluster-level min.insync.replicas cannot be removed while ELR is enabled."
        }
        (false, true) => "Broker-level min.insync.replicas cannot be altered while ELR is enabled.",
        _ => return Ok(values),
    };
    Err(Refusal::new(ResponseError::InvalidConfig, minimum))
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::cluster::{Cluster, Node};
    use crate::settings::Settings;

    const TOPIC: &str = "topic";

    /// Two nodes and a topic.
    fn state() -> State {
        let node = |id| Node {
            id,
            address: SocketAddr::from(([127, 0, 0, 1], 9092)),
            advertised_host: "127.0.0.1".to_owned(),
            tls: None,
            running: true,
        };
        let cluster = Cluster::new((0..2).map(node).collect());
        let mut state = State::new(Settings::default(), cluster);
        let config = state.configs.topic(Overrides::new()).unwrap();
        state.topics.create(TOPIC, vec![vec![0], vec![1]], config);
        state
    }

    fn set(state: &mut State, resource: &Resource, name: &str, value: &str) {
        let change = (name.to_owned(), Change::Set(value.to_owned()));
        let changed = resource.change(state.overrides(resource), [change]);
        state
            .set_overrides(resource, changed.unwrap(), false)
            .unwrap();
    }

    fn retention_on(state: &State, node_id: i32) -> Option<i64> {
        let topic = state.topics.get(TOPIC).unwrap();
        topic.config.on(node_id).retention_ms
    }

    #[test]
    fn a_topic_follows_the_broker_that_leads_it_then_all_brokers_then_itself() {
        let mut state = state();
        set(&mut state, &Resource::Cluster, "log.retention.ms", "200");
        assert_eq!(retention_on(&state, 0), Some(200));
        set(&mut state, &Resource::Node(1), "log.retention.ms", "100");
        assert_eq!(
            (retention_on(&state, 0), retention_on(&state, 1)),
            (Some(200), Some(100))
        );
        let topic = Resource::Topic(TOPIC.to_owned());
        set(&mut state, &topic, "retention.ms", "-1");
        assert_eq!(
            (retention_on(&state, 0), retention_on(&state, 1)),
            (None, None)
        );
        // Without anything of its own the node has what all have.
        state
            .set_overrides(&topic, Overrides::new(), false)
            .unwrap();
        state
            .set_overrides(&Resource::Node(1), Overrides::new(), false)
            .unwrap();
        assert_eq!(retention_on(&state, 1), Some(200));
    }

    #[test]
    fn a_brokers_value_that_a_topic_could_not_live_with_is_refused() {
        let mut state = state();
        let topic = Resource::Topic(TOPIC.to_owned());
        set(&mut state, &topic, "min.compaction.lag.ms", "10");
        let lag = (
            "log.cleaner.max.compaction.lag.ms".to_owned(),
            "5".to_owned(),
        );
        let mut values = state.overrides(&Resource::Cluster);
        values.extend([lag]);
        let refused = state.set_overrides(&Resource::Cluster, values, false);
        assert_eq!(
            refused.unwrap_err().code(),
            ResponseError::InvalidRequest.code()
        );
    }

    /// Observed on Apache Kafka 4.3.1. The conformance suite cannot ask: the broker's policy would hold for its other cases.
    #[test]
    fn a_list_does_not_begin_with_what_the_broker_has() {
        let mut state = state();
        set(
            &mut state,
            &Resource::Cluster,
            "log.cleanup.policy",
            "compact",
        );
        let topic = Resource::Topic(TOPIC.to_owned());
        let append = Change::Append("delete".to_owned());
        let changed = topic.change(
            state.overrides(&topic),
            [("cleanup.policy".to_owned(), append)],
        );
        assert_eq!(changed.unwrap()["cleanup.policy"], "delete");
    }

    #[test]
    fn a_group_has_its_own_timing_until_that_is_taken_away() {
        let mut state = state();
        let group = Resource::Group("group".to_owned());
        let before = state.configs.group("group");
        set(&mut state, &group, "consumer.session.timeout.ms", "20000");
        set(&mut state, &group, "consumer.heartbeat.interval.ms", "3000");
        let own = state.configs.group("group");
        assert_eq!(
            (
                own.session_timeout.as_millis(),
                own.heartbeat_interval.as_millis()
            ),
            (20_000, 3_000)
        );
        assert_eq!(own.assignment_interval, before.assignment_interval);
        assert_eq!(state.configs.group("other"), before);
        state
            .set_overrides(&group, Overrides::new(), false)
            .unwrap();
        assert_eq!(state.configs.group("group"), before);
        assert_eq!(state.configs.configured_groups().count(), 0);
    }
}
