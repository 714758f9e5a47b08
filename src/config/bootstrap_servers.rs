//! Which brokers to talk to. The environment variable is read here and nowhere else.

use std::fmt;
use std::str::FromStr;

use super::environment;
use crate::Error;

/// The variable that names the brokers.
pub const BOOTSTRAP_SERVERS_VARIABLE: &str = "KAFKA_BOOTSTRAP_SERVERS";

/// Where a broker is looked for when the variable is not set: the address that `make infra-up` serves.
pub const DEFAULT_BOOTSTRAP_SERVERS: &str = "localhost:9092";

/// A checked, comma-separated list of `host:port`.
///
/// A client needs one live address of the list: the first broker that answers names all others
/// (<https://kafka.apache.org/documentation/#producerconfigs_bootstrap.servers>).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootstrapServers {
    /// The list as clients take it: no blanks, at least one entry.
    list: String,
    /// Whether a person chose this list. Tools that may start a broker do so only when nobody did.
    is_default: bool,
}

/// Reads [`BOOTSTRAP_SERVERS_VARIABLE`], or takes [`DEFAULT_BOOTSTRAP_SERVERS`].
pub(super) fn from_environment() -> Result<BootstrapServers, Error> {
    match environment::read(BOOTSTRAP_SERVERS_VARIABLE, REMEDY)? {
        Some(value) => value.parse(),
        None => Ok(BootstrapServers {
            list: DEFAULT_BOOTSTRAP_SERVERS.to_owned(),
            is_default: true,
        }),
    }
}

impl BootstrapServers {
    /// The list in the form of the client setting `bootstrap.servers`.
    pub fn as_str(&self) -> &str {
        &self.list
    }

    /// True when the variable was not set and this is [`DEFAULT_BOOTSTRAP_SERVERS`].
    pub fn is_default(&self) -> bool {
        self.is_default
    }
}

impl fmt::Display for BootstrapServers {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.list)
    }
}

impl FromStr for BootstrapServers {
    type Err = Error;

    fn from_str(value: &str) -> Result<Self, Self::Err> {
        let mut servers = Vec::new();
        for entry in value.split(',').map(str::trim) {
            check_entry(entry).map_err(|reason| invalid(value, reason))?;
            servers.push(entry);
        }
        Ok(Self {
            list: servers.join(","),
            is_default: false,
        })
    }
}

/// Checked here because librdkafka takes almost any text for an address and then fails to resolve it, again and
/// again, in its log instead of in an error.
fn check_entry(entry: &str) -> Result<(), String> {
    if entry.is_empty() {
        return Err("an address is empty".to_owned());
    }
    if entry.contains("://") {
        return Err(format!("{entry:?} starts with a protocol"));
    }
    let Some((host, port)) = entry.rsplit_once(':') else {
        return Err(format!("{entry:?} has no port"));
    };
    let bracketed = host.starts_with('[') && host.ends_with(']');
    if host.contains(':') && !bracketed {
        return Err(format!("the IPv6 address in {entry:?} needs brackets"));
    }
    let is_host_character = |c: char| c.is_alphanumeric() || "-._:[]%".contains(c);
    if host.is_empty() || !host.chars().all(is_host_character) {
        return Err(format!("{host:?} is not a host name"));
    }
    // Digits only: a number's parser also takes a sign.
    let digits = port.bytes().all(|byte| byte.is_ascii_digit());
    match port.parse::<u16>() {
        Ok(1..) if digits => Ok(()),
        _ => Err(format!("{port:?} is not a port (1 to 65535)")),
    }
}

fn invalid(value: &str, reason: String) -> Error {
    environment::invalid(BOOTSTRAP_SERVERS_VARIABLE, value, reason, REMEDY)
}

const REMEDY: &str =
    "give host:port, several with commas between them, or unset it for a broker on this machine";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_kept_in_order_and_freed_of_blanks() {
        let servers: BootstrapServers = " one.example:9092 , [::1]:19092 ".parse().unwrap();
        assert_eq!(servers.as_str(), "one.example:9092,[::1]:19092");
        assert!(!servers.is_default());
    }

    #[test]
    fn the_default_is_itself_valid() {
        DEFAULT_BOOTSTRAP_SERVERS
            .parse::<BootstrapServers>()
            .unwrap();
    }

    #[test]
    fn a_bad_value_is_answered_with_variable_value_reason_and_remedy() {
        for (value, reason) in [
            ("", "an address is empty"),
            ("localhost", "has no port"),
            ("localhost:", "is not a port"),
            ("localhost:0", "is not a port"),
            ("localhost:99999", "is not a port"),
            ("localhost:+92", "is not a port"),
            (":9092", "is not a host name"),
            ("local host:9092", "is not a host name"),
            ("http://localhost:9092", "starts with a protocol"),
            ("::1:9092", "needs brackets"),
            ("localhost:9092,,", "an address is empty"),
        ] {
            let message = value.parse::<BootstrapServers>().unwrap_err().to_string();
            for part in [
                BOOTSTRAP_SERVERS_VARIABLE,
                &format!("{value:?}"),
                reason,
                "unset it",
            ] {
                assert!(
                    message.contains(part),
                    "{value:?} gave {message:?}, which does not say {part:?}"
                );
            }
        }
    }
}
