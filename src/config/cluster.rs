//! Where the brokers are, who is calling, and how to be let in.

use rdkafka::ClientConfig;
use uuid::Uuid;

use super::environment;
use super::{BootstrapServers, Security};
use crate::Error;

/// The variable that names this service in `client.id` and in the header `source`.
pub const SERVICE_NAME_VARIABLE: &str = "SERVICE_NAME";

/// The service's name when the variable is not set.
pub const DEFAULT_SERVICE_NAME: &str = "kafka-event-streaming";

/// The longest host name that goes into a `client.id`. It is for people who read logs; more does not help them.
const HOST_LENGTH: usize = 32;

/// Everything that a client of any kind has to know about the cluster. Read it once, near the start of `main`, and hand
/// it on.
#[derive(Debug, Clone)]
pub struct Cluster {
    /// Where to find a first broker.
    servers: BootstrapServers,
    /// Who this is, in words: `orders`, `billing`.
    service: String,
    /// Encryption and identity.
    security: Security,
}

impl Cluster {
    /// Reads `KAFKA_BOOTSTRAP_SERVERS`, `SERVICE_NAME` and the variables of [`Security`].
    ///
    /// # Errors
    ///
    /// [`Error::Setting`] names the variable, what it holds and what to write instead.
    pub fn from_environment() -> Result<Self, Error> {
        let cluster = Self::new(super::bootstrap_servers::from_environment()?)
            .with_security(Security::from_environment()?);
        match environment::read(SERVICE_NAME_VARIABLE, SERVICE_REMEDY)? {
            Some(name) => cluster.with_service(&name),
            None => Ok(cluster),
        }
    }

    /// Brokers that let everybody in, as [`DEFAULT_SERVICE_NAME`].
    pub fn new(servers: BootstrapServers) -> Self {
        Self {
            servers,
            service: DEFAULT_SERVICE_NAME.to_owned(),
            security: Security::default(),
        }
    }

    /// The same cluster, called by the service of this name.
    ///
    /// # Errors
    ///
    /// [`Error::Setting`] when the name is not made of letters, digits, `.`, `_` and `-`: brokers use it in the names
    /// of metrics.
    pub fn with_service(mut self, name: &str) -> Result<Self, Error> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if name.is_empty() || !name.chars().all(allowed) {
            let reason = "a service's name is made of letters, digits, '.', '_' and '-'";
            return Err(environment::invalid(
                SERVICE_NAME_VARIABLE,
                name,
                reason,
                SERVICE_REMEDY,
            ));
        }
        name.clone_into(&mut self.service);
        Ok(self)
    }

    /// The same cluster, entered in this way.
    pub fn with_security(mut self, security: Security) -> Self {
        self.security = security;
        self
    }

    /// Where the brokers are.
    pub fn servers(&self) -> &BootstrapServers {
        &self.servers
    }

    /// How it is entered.
    pub fn security(&self) -> &Security {
        &self.security
    }

    /// The service's name.
    pub fn service(&self) -> &str {
        &self.service
    }

    /// What every client needs, whichever kind it is. Each call gives a `client.id` of its own.
    ///
    /// # Errors
    ///
    /// [`Error::Setting`] when TLS is asked for and this program was built without the cargo feature `tls`.
    pub fn client_config(&self) -> Result<ClientConfig, Error> {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", self.servers.as_str())
            // Two clients of one name share their line in the broker's logs, metrics and quotas: nobody can tell which
            // of them misbehaves.
            .set("client.id", self.client_id())
            // After each connection that was lost librdkafka waits twice as long before the next, up to ten seconds by
            // default: with a bad network that is most of the time that a record or a transaction may take.
            .set("reconnect.backoff.max.ms", "1000");
        self.security.apply(&mut config)?;
        Ok(config)
    }

    /// `service-host-random`: what it is, where it runs, which one of several.
    fn client_id(&self) -> String {
        let host = hostname::get().unwrap_or_default();
        let host: String = host
            .to_string_lossy()
            .chars()
            .filter(|c| c.is_ascii_alphanumeric() || "._-".contains(*c))
            .take(HOST_LENGTH)
            .collect();
        let (random, ..) = Uuid::new_v4().as_fields();
        format!("{}-{host}-{random:08x}", self.service)
    }
}

impl From<BootstrapServers> for Cluster {
    fn from(servers: BootstrapServers) -> Self {
        Self::new(servers)
    }
}

const SERVICE_REMEDY: &str = "give a short name such as orders, or unset it";

#[cfg(test)]
mod tests {
    use super::super::DEFAULT_BOOTSTRAP_SERVERS;
    use super::*;

    fn local() -> Cluster {
        Cluster::new(DEFAULT_BOOTSTRAP_SERVERS.parse().unwrap())
    }

    /// S2-02: service, host and a random part; two clients never share one.
    #[test]
    fn every_client_has_an_id_of_its_own() {
        let cluster = local().with_service("orders").unwrap();
        let id = |config: ClientConfig| config.get("client.id").unwrap().to_owned();
        let first = id(cluster.client_config().unwrap());
        let second = id(cluster.client_config().unwrap());
        assert!(first.starts_with("orders-"), "{first}");
        assert_ne!(first, second);
    }

    /// S2-01: the message names the variable, its value and the remedy.
    #[test]
    fn a_service_name_with_blanks_is_refused() {
        let message = local().with_service("my shop").unwrap_err().to_string();
        for part in ["SERVICE_NAME", "\"my shop\"", "letters, digits", "unset it"] {
            assert!(message.contains(part), "{message:?} does not say {part:?}");
        }
    }
}
