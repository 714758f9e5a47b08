//! One member of a consumer group.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::assignment::CurrentAssignment;
use crate::group::assignor::Assignor;

/// What a member wants to read: topics by name, by pattern, or both.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Subscription {
    pub(crate) names: BTreeSet<String>,
    /// A regular expression; empty for none.
    pub(crate) pattern: String,
}

/// What of a subscription changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SubscriptionChange {
    pub(super) names: bool,
    pub(super) pattern: bool,
}

impl Subscription {
    /// Takes over what is given.
    pub(super) fn update(
        &mut self,
        names: Option<&BTreeSet<String>>,
        pattern: Option<&str>,
    ) -> SubscriptionChange {
        let names = names.filter(|names| **names != self.names);
        let pattern = pattern.filter(|pattern| *pattern != self.pattern);
        if let Some(names) = names {
            self.names.clone_from(names);
        }
        if let Some(pattern) = pattern {
            pattern.clone_into(&mut self.pattern);
        }
        SubscriptionChange {
            names: names.is_some(),
            pattern: pattern.is_some(),
        }
    }
}

/// A member as the group knows it.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    /// `group.instance.id`, which makes it a static member: it may leave for a while and keep its partitions.
    pub(crate) instance_id: Option<String>,
    pub(crate) rack_id: Option<String>,
    pub(crate) client_id: String,
    pub(crate) client_host: String,
    pub(crate) subscription: Subscription,
    /// The assignor it asks for, if it cares. The group takes the one that most ask for.
    pub(crate) assignor: Option<Assignor>,
    /// How long it may take to give partitions up.
    pub(crate) rebalance_timeout: Duration,
    pub(crate) current: CurrentAssignment,
    /// How long it may be silent, as of its last heartbeat.
    pub(super) session_timeout: Duration,
    /// When it is taken for dead unless it is heard of before.
    pub(super) session_deadline: Instant,
    /// When it is expelled unless it has given up what it has to. Set while it is `Unrevoked`.
    pub(super) revocation_deadline: Option<Instant>,
}

impl Member {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            instance_id: None,
            rack_id: None,
            client_id: String::new(),
            client_host: String::new(),
            subscription: Subscription::default(),
            assignor: None,
            rebalance_timeout: Duration::ZERO,
            current: CurrentAssignment::none(),
            session_timeout: Duration::ZERO,
            session_deadline: now,
            revocation_deadline: None,
        }
    }

    /// It was heard of.
    pub(super) fn extend_session(&mut self, now: Instant) {
        self.session_deadline = now + self.session_timeout;
    }

    /// When something happens to it if it does nothing.
    pub(super) fn deadline(&self) -> Instant {
        match self.revocation_deadline {
            Some(revocation) => revocation.min(self.session_deadline),
            None => self.session_deadline,
        }
    }
}
