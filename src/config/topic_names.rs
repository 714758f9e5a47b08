//! From the name a program uses for a topic to the name that the cluster has for it.

use std::collections::BTreeMap;

use super::environment;
use crate::Error;

/// What a variable's name starts with: the topic with the key `order_events` is named by `TOPIC_ORDER_EVENTS`.
const PREFIX: &str = "TOPIC_";

const REMEDY: &str = "give a topic's name: up to 249 letters, digits, '.', '_' and '-'";

/// The longest name that a broker takes (Apache Kafka, `org.apache.kafka.common.internals.Topic`).
const LONGEST_NAME: usize = 249;

/// Logical keys and the real names of their topics.
///
/// Code says `orders`; a cluster that is shared by three environments has `staging.orders.v2`. The name comes from
/// outside, so that the same program runs in all of them.
///
/// ```
/// use kafka_event_streaming::config::TopicNames;
///
/// let names = TopicNames::from_environment(&[("orders", "shop.orders")])?;
/// // Unless TOPIC_ORDERS says otherwise.
/// assert_eq!(names.name("orders")?, "shop.orders");
/// assert!(names.name("ordres").is_err());
/// # Ok::<(), kafka_event_streaming::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicNames {
    /// By key, so that an error can list the keys that exist.
    names: BTreeMap<String, String>,
}

impl TopicNames {
    /// Takes each key's name from its variable, or the default beside the key.
    ///
    /// # Errors
    ///
    /// [`Error::Setting`] when a variable holds what cannot be a topic's name.
    pub fn from_environment(defaults: &[(&str, &str)]) -> Result<Self, Error> {
        let mut names = BTreeMap::new();
        for (key, default) in defaults {
            let variable = variable(key);
            let name =
                environment::read(&variable, REMEDY)?.unwrap_or_else(|| (*default).to_owned());
            check(&name)
                .map_err(|reason| environment::invalid(&variable, &name, reason, REMEDY))?;
            names.insert((*key).to_owned(), name);
        }
        Ok(Self { names })
    }

    /// The real name of the topic that the program calls `key`.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownTopicKey`] lists the keys that exist.
    pub fn name(&self, key: &str) -> Result<&str, Error> {
        self.names
            .get(key)
            .map(String::as_str)
            .ok_or_else(|| Error::UnknownTopicKey {
                key: key.to_owned(),
                known: self.names.keys().cloned().collect::<Vec<_>>().join(", "),
            })
    }
}

fn variable(key: &str) -> String {
    let upper = key.to_ascii_uppercase().replace(['-', '.'], "_");
    format!("{PREFIX}{upper}")
}

/// The broker's own rule, applied before anything is sent to it.
fn check(name: &str) -> Result<(), String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if name == "." || name == ".." {
        return Err("'.' and '..' are not names".to_owned());
    }
    if name.len() > LONGEST_NAME {
        return Err(format!("it has {} characters", name.len()));
    }
    match name.chars().find(|c| !allowed(*c)) {
        Some(wrong) => Err(format!("{wrong:?} cannot stand in a topic's name")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// S2-04: an unknown key is an error, and the error helps.
    #[test]
    fn an_unknown_key_is_answered_with_those_that_exist() {
        let names = TopicNames::from_environment(&[
            ("orders", "shop.orders"),
            ("payments", "shop.payments"),
        ])
        .unwrap();
        assert_eq!(names.name("orders").unwrap(), "shop.orders");
        let message = names.name("order").unwrap_err().to_string();
        assert!(message.contains("\"order\""), "{message}");
        assert!(message.contains("orders, payments"), "{message}");
    }

    /// S2-04: the key decides the variable's name.
    #[test]
    fn a_key_names_its_variable() {
        assert_eq!(variable("order-events"), "TOPIC_ORDER_EVENTS");
    }

    /// S2-01: names that a broker refuses are refused here, with the reason.
    #[test]
    fn a_name_that_no_broker_takes_is_refused() {
        for (name, reason) in [
            ("my topic", "' ' cannot stand"),
            ("..", "not names"),
            (&"x".repeat(250), "250 characters"),
        ] {
            let message = TopicNames::from_environment(&[("orders", name)])
                .unwrap_err()
                .to_string();
            assert!(message.contains(reason), "{message}");
            assert!(message.contains("TOPIC_ORDERS"), "{message}");
        }
    }
}
