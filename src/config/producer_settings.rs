//! Everything that a producer is configured with, and why.

use std::time::Duration;

use rdkafka::ClientConfig;

use super::Cluster;
use crate::Error;

/// A producer's settings. Start from one of the three profiles; they differ in what they give up.
///
/// | profile | gives up |
/// |---|---|
/// | [`reliable`](Self::reliable) | nothing that matters to most services |
/// | [`high_throughput`](Self::high_throughput) | tens of milliseconds, so that batches grow |
/// | [`low_latency`](Self::low_latency) | company: with little to send, every record is a request of its own |
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProducerSettings {
    /// What a record's fate may be when answers are lost and brokers die.
    pub guarantee: Guarantee,
    /// How long a record waits for others to share its batch.
    pub linger: Duration,
    /// The size at which a batch is sent without waiting any longer, in bytes.
    pub batch_bytes: u32,
    /// How a batch is made smaller on the wire and on the broker's disk.
    pub compression: Compression,
    /// From the queue to the delivery report, retries included. What takes longer is reported as not delivered.
    pub delivery_timeout: Duration,
    /// How many records may wait in the queue before a sender has to.
    pub queue_records: u32,
    /// How often librdkafka reports on itself; nothing switches it off.
    pub statistics_interval: Option<Duration>,
}

/// What a record's fate may be when answers are lost and brokers die.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Guarantee {
    /// Sent once, never confirmed, never sent again: it may be lost, and nobody hears of it.
    AtMostOnce,
    /// Sent until it is confirmed, without numbers: a lost answer leaves a second copy.
    AtLeastOnce,
    /// Sent until it is confirmed, with sequence numbers by which the broker knows a copy (KIP-98): one copy, in order,
    /// for as long as this producer lives.
    Idempotent,
    /// Idempotent, and several records become visible together with the consumer's offsets or not at all (KIP-98).
    Transactional {
        /// Stays the same over restarts: with it the broker fences the instance that came before.
        transactional_id: String,
    },
}

/// How a batch is made smaller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not at all: for data that is compressed already.
    None,
    /// Cheap, and halves most JSON.
    Lz4,
    /// About as cheap as LZ4.
    Snappy,
    /// Smaller and several times slower.
    Gzip,
}

impl ProducerSettings {
    /// One copy of every record, in order, within a few milliseconds.
    pub fn reliable() -> Self {
        Self {
            guarantee: Guarantee::Idempotent,
            linger: Duration::from_millis(5),
            batch_bytes: 1_000_000,
            compression: Compression::Lz4,
            delivery_timeout: Duration::from_secs(30),
            queue_records: 100_000,
            statistics_interval: None,
        }
    }

    /// As many records a second as can be: large batches, which are worth waiting for.
    pub fn high_throughput() -> Self {
        Self {
            linger: Duration::from_millis(50),
            // With a full queue a sender waits until a batch has gone. Half a million small records are about a
            // second's worth.
            queue_records: 500_000,
            ..Self::reliable()
        }
    }

    /// Each record at once.
    pub fn low_latency() -> Self {
        Self {
            linger: Duration::ZERO,
            // There is next to nothing in a batch to be compressed.
            compression: Compression::None,
            ..Self::reliable()
        }
    }

    /// The reliable profile inside transactions.
    pub fn transactional(transactional_id: &str) -> Self {
        Self {
            guarantee: Guarantee::Transactional {
                transactional_id: transactional_id.to_owned(),
            },
            ..Self::reliable()
        }
    }

    /// All properties, each with what goes wrong without it. Copy this function.
    ///
    /// # Errors
    ///
    /// [`Error::Setting`] as [`Cluster::client_config`] has it.
    pub fn client_config(&self, cluster: &Cluster) -> Result<ClientConfig, Error> {
        let mut config = cluster.client_config()?;
        self.guarantee.apply(&mut config);
        config
            // Wait this long for more records to share a batch. 0 sends a request for every record as long as there
            // is little to send; more makes each record wait longer.
            .set("linger.ms", self.linger.as_millis().to_string())
            // A batch that is full is sent at once. Too small, and a fast sender is back to a request for every few
            // records; it costs no memory while there is little to send.
            .set("batch.size", self.batch_bytes.to_string())
            // The producer compresses a whole batch once, and broker and consumers handle fewer bytes. The best ratio
            // comes from full batches, so this goes with `linger.ms`.
            .set("compression.type", self.compression.name())
            // librdkafka retries for five minutes by default. A caller should hear of a dead cluster sooner.
            .set(
                "delivery.timeout.ms",
                self.delivery_timeout.as_millis().to_string(),
            )
            // The queue is memory. Without a bound, a slow cluster turns into a process that is killed for its size.
            .set(
                "queue.buffering.max.messages",
                self.queue_records.to_string(),
            )
            // The default, `consistent_random`, hashes keys with CRC-32. The Java clients use murmur2: with two hashes
            // one entity's records are spread over two partitions and lose their order.
            .set("partitioner", "murmur2_random");
        if let Some(interval) = self.statistics_interval {
            // The only way to see the queue, round trips and errors of a running client.
            config.set("statistics.interval.ms", interval.as_millis().to_string());
        }
        Ok(config)
    }
}

impl Guarantee {
    fn apply(&self, config: &mut ClientConfig) {
        match self {
            Self::AtMostOnce => config
                // Nobody answers, so nobody knows.
                .set("acks", "0")
                // A retry could write a record twice.
                .set("message.send.max.retries", "0")
                .set("enable.idempotence", "false"),
            Self::AtLeastOnce => config
                .set("acks", "all")
                // Without numbers the broker cannot tell a retry from a new record.
                .set("enable.idempotence", "false"),
            Self::Idempotent => config
                // Confirmed means: every in-sync replica has it. With `acks=1` a record that was confirmed is gone
                // when the leader dies before its followers copied it.
                .set("acks", "all")
                // A retry after a lost answer would write the record a second time; with sequence numbers the broker
                // sees that it has it (KIP-98). It also keeps the order when one of several batches in flight fails.
                .set("enable.idempotence", "true")
                // Up to five batches may be on their way, and stay in order all the same. One at a time, the usual
                // advice from before KIP-98, waits for a round trip after each batch.
                .set("max.in.flight.requests.per.connection", "5"),
            Self::Transactional { transactional_id } => {
                Self::Idempotent.apply(config);
                config.set("transactional.id", transactional_id)
            }
        };
    }
}

impl Compression {
    /// The name that Kafka knows it by.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Lz4 => "lz4",
            Self::Snappy => "snappy",
            Self::Gzip => "gzip",
        }
    }
}

impl Default for ProducerSettings {
    fn default() -> Self {
        Self::reliable()
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::producer::BaseProducer;

    use super::super::DEFAULT_BOOTSTRAP_SERVERS;
    use super::*;

    fn cluster() -> Cluster {
        Cluster::new(DEFAULT_BOOTSTRAP_SERVERS.parse().unwrap())
    }

    /// X3, S1-05: librdkafka takes every property of every profile and guarantee.
    #[test]
    fn librdkafka_takes_every_property() {
        let mut all = vec![
            ProducerSettings::reliable(),
            ProducerSettings::high_throughput(),
            ProducerSettings::low_latency(),
            ProducerSettings::transactional("test"),
        ];
        for guarantee in [Guarantee::AtMostOnce, Guarantee::AtLeastOnce] {
            all.push(ProducerSettings {
                guarantee,
                ..ProducerSettings::reliable()
            });
        }
        for compression in [Compression::Snappy, Compression::Gzip] {
            all.push(ProducerSettings {
                compression,
                statistics_interval: Some(Duration::from_secs(1)),
                ..ProducerSettings::reliable()
            });
        }
        for settings in all {
            let config = settings.client_config(&cluster()).unwrap();
            if let Err(error) = config.create::<BaseProducer>() {
                panic!("{settings:?}: {error}");
            }
        }
    }

    /// S1-05: acks from all, idempotent, compressed, five in flight.
    #[test]
    fn the_reliable_profile_keeps_one_copy_in_order() {
        let config = ProducerSettings::reliable()
            .client_config(&cluster())
            .unwrap();
        for (property, value) in [
            ("acks", "all"),
            ("enable.idempotence", "true"),
            ("max.in.flight.requests.per.connection", "5"),
            ("compression.type", "lz4"),
        ] {
            assert_eq!(config.get(property), Some(value), "{property}");
        }
    }
}
