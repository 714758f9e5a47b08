//! How the members of a group divide its partitions: the classic protocol, or the one that came with Apache Kafka 4.
//!
//! Each has settings that the other refuses (row X16). As an enum, they cannot be mixed.

use std::str::FromStr;
use std::time::Duration;

use rdkafka::ClientConfig;

/// Which protocol a member speaks. All members of one group should speak the same; a group is moved over by restarting
/// its members one by one (KIP-848).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GroupProtocol {
    /// A member is made leader and divides the partitions; the client says when a member counts as dead.
    Classic(ClassicGroup),
    /// The broker divides the partitions and decides on time-outs (KIP-848). Needs Apache Kafka 4.0.
    New(NewGroup),
}

/// What a client of the classic protocol decides for itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassicGroup {
    /// After this long without a heartbeat a member is dead, and its partitions go to the others.
    pub session_timeout: Duration,
    /// How often a member says that it lives, and learns of a rebalance. At most a third of the session timeout.
    pub heartbeat_interval: Duration,
    /// How the group's leader divides the partitions.
    pub assignor: Assignor,
}

/// How the leader of a classic group divides the partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Assignor {
    /// Topic by topic, in ranges; every member stops while partitions are dealt anew.
    Range,
    /// One by one, over all topics; every member stops while partitions are dealt anew.
    RoundRobin,
    /// Members keep what they have, and go on reading it, while only the surplus moves (KIP-429).
    CooperativeSticky,
}

/// What a client of the new protocol may still wish for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NewGroup {
    /// The broker's way of dividing the partitions; its own choice when there is none.
    pub assignor: Option<ServerAssignor>,
}

/// How the broker divides the partitions (`group.consumer.assignors`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerAssignor {
    /// Evenly, moving as little as can be. The broker's default.
    Uniform,
    /// Topic by topic, in ranges, so that equal partition numbers of several topics meet.
    Range,
}

impl GroupProtocol {
    /// The classic protocol with times and assignor that suit a service.
    pub fn classic() -> Self {
        Self::Classic(ClassicGroup::default())
    }

    /// The new protocol.
    pub fn new_protocol() -> Self {
        Self::New(NewGroup::default())
    }

    /// The same, where a silent member counts as dead after so long. In the new protocol that is the broker's to say
    /// (`group.consumer.session.timeout.ms`), and nothing changes.
    #[must_use]
    pub fn with_session_timeout(&self, session_timeout: Duration) -> Self {
        let mut changed = self.clone();
        if let Self::Classic(group) = &mut changed {
            group.session_timeout = session_timeout;
            // Two may be lost, and the third one is in time.
            group.heartbeat_interval = group.heartbeat_interval.min(session_timeout / 3);
        }
        changed
    }

    /// What tells it from the others: the classic ones by their assignor, and `consumer`, as the property
    /// `group.protocol` has it, for the new one.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Classic(group) => group.assignor.name(),
            Self::New(_) => "consumer",
        }
    }

    pub(super) fn apply(&self, config: &mut ClientConfig) {
        match self {
            Self::Classic(group) => group.apply(config),
            Self::New(group) => group.apply(config),
        }
    }
}

/// There is no such protocol. Says which there are.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is none of range, roundrobin, cooperative-sticky and consumer")]
pub struct UnknownGroupProtocol(String);

impl FromStr for GroupProtocol {
    type Err = UnknownGroupProtocol;

    /// By its [name](Self::name), with times that suit a service.
    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let classic = |assignor| {
            Self::Classic(ClassicGroup {
                assignor,
                ..ClassicGroup::default()
            })
        };
        let all = [
            classic(Assignor::Range),
            classic(Assignor::RoundRobin),
            classic(Assignor::CooperativeSticky),
            Self::new_protocol(),
        ];
        all.into_iter()
            .find(|protocol| protocol.name() == name)
            .ok_or_else(|| UnknownGroupProtocol(name.to_owned()))
    }
}

impl ClassicGroup {
    fn apply(&self, config: &mut ClientConfig) {
        config
            .set("group.protocol", "classic")
            // A member that died keeps its partitions for this long: 300 s, as some guides have it, stops them for
            // five minutes (row X8). It is about dead processes only: slow work is bounded by `max.poll.interval.ms`
            // (KIP-62). Less than 6 s is refused by brokers by default (`group.min.session.timeout.ms`).
            .set(
                "session.timeout.ms",
                self.session_timeout.as_millis().to_string(),
            )
            // Classic groups learn of a rebalance by their next heartbeat: at the default of 3 s every member waits
            // for so long each time another one joins or leaves. Keep it below a third of the session timeout.
            .set(
                "heartbeat.interval.ms",
                self.heartbeat_interval.as_millis().to_string(),
            )
            // With the eager ones every member gives up all its partitions at each rebalance, and the whole group
            // stops.
            .set("partition.assignment.strategy", self.assignor.name());
    }
}

impl NewGroup {
    fn apply(&self, config: &mut ClientConfig) {
        // Session timeout, heartbeat and assignment are the broker's now (`group.consumer.session.timeout.ms` and
        // others). librdkafka refuses to create a client that sets them as well.
        config.set("group.protocol", "consumer");
        if let Some(assignor) = self.assignor {
            config.set("group.remote.assignor", assignor.name());
        }
    }
}

impl Default for ClassicGroup {
    fn default() -> Self {
        Self {
            session_timeout: Duration::from_secs(6),
            heartbeat_interval: Duration::from_millis(500),
            assignor: Assignor::CooperativeSticky,
        }
    }
}

impl Default for GroupProtocol {
    fn default() -> Self {
        Self::classic()
    }
}

impl Assignor {
    /// The name that Kafka knows it by.
    pub fn name(self) -> &'static str {
        match self {
            Self::Range => "range",
            Self::RoundRobin => "roundrobin",
            Self::CooperativeSticky => "cooperative-sticky",
        }
    }
}

impl ServerAssignor {
    /// The name that Kafka knows it by.
    pub fn name(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::Range => "range",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_protocol_is_found_by_its_name() {
        for name in ["range", "roundrobin", "cooperative-sticky", "consumer"] {
            let protocol: GroupProtocol = name.parse().unwrap();
            assert_eq!(protocol.name(), name);
        }
        let unknown = "sticky".parse::<GroupProtocol>().unwrap_err().to_string();
        assert!(unknown.contains("\"sticky\" is none of"), "{unknown}");
    }

    /// X8, X16: only the classic protocol has a session timeout, and heartbeats fit into it three times.
    #[test]
    fn a_session_timeout_brings_its_heartbeats() {
        let second = Duration::from_secs(1);
        let GroupProtocol::Classic(short) = GroupProtocol::classic().with_session_timeout(second)
        else {
            panic!("the classic protocol stays so");
        };
        assert_eq!(short.session_timeout, second);
        assert!(short.heartbeat_interval * 3 <= second);
        let new = GroupProtocol::new_protocol();
        assert_eq!(new.with_session_timeout(second), new);
    }
}
