//! A broker with certificates and passwords, for one run.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use embedded_broker::{Broker, SaslUsers, write_certificates};
use kafka_event_streaming::config::{Cluster, Security};

/// A broker for those who speak TLS and know the password.
pub(crate) struct Vault {
    pub(crate) servers: String,
    /// The certificate of an authority that exists since a moment ago, and signed the broker's.
    pub(crate) authority: PathBuf,
    _broker: Broker,
}

impl Vault {
    /// Makes certificates in `folder`, and starts the broker with them.
    pub(crate) async fn open(folder: &Path, user: (&str, &str)) -> Result<Self> {
        write_certificates(folder)?;
        let broker = Broker::builder()
            .tls_listen("127.0.0.1:0")
            .tls_dir(folder)
            .sasl_users(SaslUsers::from_pairs([user])?)
            .start()
            .await?;
        let servers = broker.tls_bootstrap_servers();
        Ok(Self {
            servers: servers.context("the broker has a listener with TLS")?,
            authority: folder.join("ca.pem"),
            _broker: broker,
        })
    }

    /// The cluster that this broker is, entered in this way.
    pub(crate) fn cluster(&self, security: Security) -> Result<Cluster> {
        Ok(Cluster::new(self.servers.parse()?).with_security(security))
    }
}

// ANCHOR: environment
impl Vault {
    /// The way in for another process, which reads it with [`Cluster::from_environment`].
    pub(crate) fn environment(&self, (name, password): (&str, &str)) -> Vec<(&str, String)> {
        vec![
            ("KAFKA_BOOTSTRAP_SERVERS", self.servers.clone()),
            ("KAFKA_SECURITY_PROTOCOL", "SASL_SSL".to_owned()),
            ("SSL_CA_LOCATION", self.authority.display().to_string()),
            ("SASL_MECHANISM", "SCRAM-SHA-512".to_owned()),
            ("SASL_USERNAME", name.to_owned()),
            ("SASL_PASSWORD", password.to_owned()),
        ]
    }
}
// ANCHOR_END: environment
