//! What a topic should be like, in three tiers, fitted to the cluster it is created on.

use std::time::Duration;

use rdkafka::admin::{NewTopic, TopicReplication};

use super::{dead_letter_topic, error_topic};

/// Two brokers may be lost without losing a record. More copies cost disk and network, and few have use for them.
const MOST_REPLICAS: usize = 3;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// What a topic is for. It decides what a lost or late record costs, and so how many copies, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Tier {
    /// Events. Read soon, by several members of a group.
    Standard,
    /// Records that a service failed on and may take up again. Few.
    Error,
    /// Records that a person has to look at. Few, and kept over a holiday.
    DeadLetter,
    /// The state of a service: the last record of each key, kept for as long as nobody deletes the key.
    Changelog,
}

/// A topic to be. Two services that name the same topic should have the same design for it: the first one to start
/// creates it, and later ones leave it as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicDesign {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub tier: Tier,
    /// The upper limit of a group's parallelism. Adding some later moves keys to other partitions.
    pub partitions: i32,
    /// How long records are kept. The broker deletes whole segments, so some stay longer.
    pub retention: Duration,
}

// ANCHOR: tiers
impl Tier {
    /// How many partitions, when nobody thought about it.
    pub fn partitions(self) -> i32 {
        match self {
            // A changelog has as many as what it is made of: say how many.
            Self::Standard | Self::Changelog => 3,
            // One, so that whoever looks into it sees the failures in their order.
            Self::Error | Self::DeadLetter => 1,
        }
    }

    /// How long records are kept.
    pub fn retention(self) -> Duration {
        match self {
            Self::Standard => 7 * DAY,
            Self::Error | Self::DeadLetter => 30 * DAY,
            Self::Changelog => Duration::MAX,
        }
    }

    /// How many copies have to be in sync, for a record with `acks=all` to be taken. A failure that cannot be written
    /// stops the service that reports it, so for those one is enough.
    fn min_insync_replicas(self) -> i32 {
        match self {
            Self::Standard | Self::Changelog => 2,
            Self::Error | Self::DeadLetter => 1,
        }
    }
}
// ANCHOR_END: tiers

impl TopicDesign {
    /// A topic with the numbers of its tier.
    pub fn new(name: impl Into<String>, tier: Tier) -> Self {
        Self {
            name: name.into(),
            tier,
            partitions: tier.partitions(),
            retention: tier.retention(),
        }
    }

    /// The same, with so many partitions.
    pub fn with_partitions(self, partitions: i32) -> Self {
        Self { partitions, ..self }
    }

    /// The two topics that every service has besides those of its events.
    pub fn of_service(service: &str) -> [Self; 2] {
        [
            Self::new(error_topic(service), Tier::Error),
            Self::new(dead_letter_topic(service), Tier::DeadLetter),
        ]
    }

    // ANCHOR: replication
    /// How many copies there are of each partition, on a cluster of so many brokers.
    ///
    /// A fixed 3 is refused by a cluster of one broker (row X7), and a fixed 1 loses everything with its broker.
    pub fn replication(&self, brokers: usize) -> i32 {
        i32::try_from(brokers.clamp(1, MOST_REPLICAS)).unwrap_or(1)
    }

    /// How many of the copies have to be in sync, on a cluster of so many brokers.
    ///
    /// One less than there are, so that a broker may be restarted. Where all are needed, `acks=all` fails with
    /// NOT_ENOUGH_REPLICAS while any of them is away.
    pub fn min_insync_replicas(&self, brokers: usize) -> i32 {
        let all_but_one = self.replication(brokers) - 1;
        self.tier.min_insync_replicas().min(all_but_one.max(1))
    }
    // ANCHOR_END: replication

    /// The settings of the topic, by Kafka's names
    /// (<https://kafka.apache.org/documentation/#topicconfigs>).
    pub(super) fn settings(&self, brokers: usize) -> [(&'static str, String); 2] {
        let upkeep = match self.tier {
            // By age, the state of a key that has not changed for a while would be gone.
            Tier::Changelog => ("cleanup.policy", "compact".to_owned()),
            _ => ("retention.ms", self.retention.as_millis().to_string()),
        };
        [
            upkeep,
            (
                "min.insync.replicas",
                self.min_insync_replicas(brokers).to_string(),
            ),
        ]
    }

    /// The request to create it.
    pub(super) fn request<'a>(
        &'a self,
        brokers: usize,
        settings: &'a [(&'static str, String)],
    ) -> NewTopic<'a> {
        let replication = TopicReplication::Fixed(self.replication(brokers));
        let topic = NewTopic::new(&self.name, self.partitions, replication);
        settings
            .iter()
            .fold(topic, |topic, (name, value)| topic.set(name, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// S2-12: partitions 3/1/1, retention of 7/30/30 days, min ISR 2/1/1.
    #[test]
    fn tiers_have_their_numbers() {
        for (tier, partitions, days, min_insync_replicas) in [
            (Tier::Standard, 3, 7, 2),
            (Tier::Error, 1, 30, 1),
            (Tier::DeadLetter, 1, 30, 1),
        ] {
            let design = TopicDesign::new("orders", tier);
            assert_eq!(design.partitions, partitions, "{tier:?}");
            assert_eq!(design.retention.as_secs(), days * 86_400, "{tier:?}");
            assert_eq!(
                design.min_insync_replicas(3),
                min_insync_replicas,
                "{tier:?}"
            );
        }
    }

    /// S2-12, X7: copies are as many as there are brokers, up to three, and one broker may always be away if there is
    /// more than one.
    #[test]
    fn replication_is_scaled_to_the_cluster() {
        let design = TopicDesign::new("orders", Tier::Standard);
        for (brokers, replication, min_insync_replicas) in
            [(0, 1, 1), (1, 1, 1), (2, 2, 1), (3, 3, 2), (12, 3, 2)]
        {
            assert_eq!(design.replication(brokers), replication, "{brokers}");
            assert_eq!(
                design.min_insync_replicas(brokers),
                min_insync_replicas,
                "{brokers}"
            );
        }
    }

    /// S2-11: a service has an error topic and a dead-letter topic.
    #[test]
    fn a_service_has_two_topics_for_failures() {
        let [error, dead_letter] = TopicDesign::of_service("billing");
        assert_eq!(
            (error.tier, error.name.as_str()),
            (Tier::Error, "billing.error")
        );
        assert_eq!(
            (dead_letter.tier, dead_letter.name.as_str()),
            (Tier::DeadLetter, "billing.dead-letter")
        );
    }
}
