//! What a transactional processor is configured with, and why.

use std::time::Duration;

use rdkafka::ClientConfig;

use crate::Error;
use crate::config::{Cluster, ConsumerSettings, Guarantee, ProducerSettings};

/// A transactional processor's settings.
///
/// ```
/// use std::time::Duration;
/// use kafka_event_streaming::transaction::TransactionSettings;
///
/// let settings = TransactionSettings {
///     batch_time: Duration::from_millis(20),
///     ..TransactionSettings::new("invoicing", "invoicing-0")
/// };
/// # assert_eq!(settings.consumer.group, "invoicing");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransactionSettings {
    /// Names this instance, and stays the same over its restarts: the broker then aborts what the process before left
    /// open, and fences it if it still lives. Two instances that run at once need two of them, for example with the
    /// number of the pod (KIP-447).
    pub transactional_id: String,
    /// The group, and how it is read. `read_committed` unless you change it: with `read_uncommitted`, results would
    /// be made of records that other transactions took back.
    pub consumer: ConsumerSettings,
    /// The profile of the results' producer. Its guarantee and delivery timeout are overridden by what stands here.
    pub producer: ProducerSettings,
    /// A transaction is committed when it holds this many records.
    pub batch_records: usize,
    /// And when it has been open for this long. A transaction costs about five round trips, whether it holds one
    /// record or a thousand; but its results are seen only after it was committed.
    pub batch_time: Duration,
    /// When the broker aborts a transaction by itself (`transaction.timeout.ms`). It must be longer than a batch with
    /// its commit takes. Until it is over, readers of the results wait behind a transaction whose process died and did
    /// not come back.
    pub transaction_timeout: Duration,
    /// After so many aborts in a row the processor stops: what failed so often does not heal by itself. Aborts because
    /// of a rebalance do not count.
    pub attempts: u32,
}

impl TransactionSettings {
    /// A commit every 100 ms or 10,000 records, as Kafka Streams has it with exactly-once on, and 10 s until the
    /// broker gives up on a transaction.
    pub fn new(group: &str, transactional_id: &str) -> Self {
        Self {
            transactional_id: transactional_id.to_owned(),
            consumer: ConsumerSettings::reliable(group),
            producer: ProducerSettings::reliable(),
            batch_records: 10_000,
            batch_time: Duration::from_millis(100),
            transaction_timeout: Duration::from_secs(10),
            attempts: 10,
        }
    }

    /// The properties of the results' producer.
    ///
    /// # Errors
    ///
    /// [`Error::Setting`] as [`Cluster::client_config`] has it.
    pub fn producer_config(&self, cluster: &Cluster) -> Result<ClientConfig, Error> {
        let producer = ProducerSettings {
            guarantee: Guarantee::Transactional {
                transactional_id: self.transactional_id.clone(),
            },
            // A record that outlives its transaction is of no use; librdkafka refuses a longer time.
            delivery_timeout: self.transaction_timeout,
            ..self.producer.clone()
        };
        let mut config = producer.client_config(cluster)?;
        config
            // The default is a minute: for so long readers wait behind a transaction whose process died.
            .set(
                "transaction.timeout.ms",
                self.transaction_timeout.as_millis().to_string(),
            );
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::producer::BaseProducer;

    use super::*;
    use crate::config::DEFAULT_BOOTSTRAP_SERVERS;

    /// X3: librdkafka takes the properties, also where the profile's delivery timeout is longer than the transaction's.
    #[test]
    fn librdkafka_takes_every_property() {
        let cluster = Cluster::new(DEFAULT_BOOTSTRAP_SERVERS.parse().unwrap());
        let settings = TransactionSettings {
            transaction_timeout: Duration::from_secs(1),
            ..TransactionSettings::new("group", "id")
        };
        let config = settings.producer_config(&cluster).unwrap();
        assert_eq!(config.get("transactional.id"), Some("id"));
        assert_eq!(config.get("transaction.timeout.ms"), Some("1000"));
        if let Err(error) = config.create::<BaseProducer>() {
            panic!("{error}");
        }
        let config = settings.consumer.client_config(&cluster).unwrap();
        assert_eq!(config.get("isolation.level"), Some("read_committed"));
        assert_eq!(config.get("enable.auto.commit"), Some("false"));
    }
}
