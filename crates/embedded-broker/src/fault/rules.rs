//! The faults that are set, and which of them a request runs into.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::ApiKey;
use parking_lot::Mutex;
use uuid::Uuid;

use super::answers;
use super::request::{Asked, Selected, Selector, TopicSelector};
use crate::api::Context;
use crate::net::gate::Gate;

/// What happens to a request.
#[derive(Clone, Copy, Debug)]
pub(super) enum Action {
    /// It is not done, and the answer says so.
    Error(ResponseError),
    /// It is done, and the answer says that it is not.
    ApplyThenError(ResponseError),
    /// It is not done, and the connection is closed.
    Drop,
    /// It is done, and the connection is closed.
    ApplyThenDrop,
    /// It is done later.
    Delay(Duration),
    /// It is done when the fault is cleared.
    Hold,
}

/// Which requests a fault is about. What is not set is about all of them.
#[derive(Clone, Debug, Default)]
pub(super) struct Filter {
    pub(super) api: Option<ApiKey>,
    pub(super) node_id: Option<i32>,
    pub(super) client_id: Option<String>,
    pub(super) topic: Option<String>,
    pub(super) group: Option<String>,
    pub(super) transactional_id: Option<String>,
}

impl Filter {
    /// Whether it may be about a request that was not looked into.
    fn may_cover(&self, api: ApiKey, cx: &Context) -> bool {
        self.api.is_none_or(|key| key == api)
            && self.node_id.is_none_or(|id| id == cx.node_id)
            && self.client_id.as_ref().is_none_or(|id| *id == cx.client_id)
    }

    fn selector(&self, topic_id: impl FnOnce(&str) -> Option<Uuid>) -> Selector {
        Selector {
            topic: self.topic.as_ref().map(|name| TopicSelector {
                name: name.clone(),
                id: topic_id(name),
            }),
            group: self.group.clone(),
            transactional_id: self.transactional_id.clone(),
        }
    }
}

/// A coin that falls the same way in each run (the SplitMix64 generator).
#[derive(Clone, Copy, Debug)]
pub(super) struct Chance {
    probability: f64,
    state: u64,
}

impl Chance {
    /// A probability outside 0 to 1 counts as the nearer of the two.
    pub(super) fn new(probability: f64, seed: u64) -> Self {
        Self {
            probability,
            state: seed,
        }
    }

    fn strikes(&mut self) -> bool {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        // The upper 53 bits as a number from 0 up to but not including 1.
        ((mixed >> 11) as f64) < self.probability * (1_u64 << 53) as f64
    }
}

/// A fault that was set.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) filter: Filter,
    pub(super) action: Action,
    /// How many requests it struck.
    pub(super) hits: AtomicU64,
    /// Opened when the fault is cleared: requests that it delays or holds go on.
    pub(super) cleared: Gate,
}

/// How much of a fault is left.
#[derive(Debug)]
struct Armed {
    rule: Arc<Rule>,
    /// How many more requests it strikes; none if there is no limit.
    remaining: Option<u64>,
    chance: Option<Chance>,
}

impl Armed {
    /// Whether the fault strikes a request that it is about.
    fn strikes(&mut self) -> bool {
        if self.remaining == Some(0) || self.chance.as_mut().is_some_and(|chance| !chance.strikes())
        {
            return false;
        }
        if let Some(remaining) = &mut self.remaining {
            *remaining -= 1;
        }
        self.rule.hits.fetch_add(1, Ordering::Relaxed);
        true
    }
}

/// All faults that are set, in the order in which they were.
#[derive(Debug, Default)]
pub(crate) struct Rules {
    /// Whether there are any: all that a request without faults looks at.
    any: AtomicBool,
    armed: Mutex<Vec<Armed>>,
}

/// What a request runs into.
#[derive(Default)]
pub(super) struct Verdict {
    /// Faults that make it wait, one after the other.
    pub(super) waits: Vec<Arc<Rule>>,
    /// The one that then decides what becomes of it.
    pub(super) fate: Option<Fate>,
}

/// A fault that struck, and what it struck.
pub(super) struct Fate {
    pub(super) action: Action,
    pub(super) selected: Box<dyn Selected>,
}

impl Rules {
    /// Whether any fault is set.
    pub(crate) fn are_set(&self) -> bool {
        self.any.load(Ordering::Relaxed)
    }

    pub(super) fn add(
        &self,
        filter: Filter,
        action: Action,
        times: Option<u64>,
        chance: Option<Chance>,
    ) -> Arc<Rule> {
        let rule = Arc::new(Rule {
            filter,
            action,
            hits: AtomicU64::new(0),
            cleared: Gate::closed(),
        });
        let mut armed = self.armed.lock();
        armed.push(Armed {
            rule: Arc::clone(&rule),
            remaining: times,
            chance,
        });
        self.any.store(true, Ordering::Relaxed);
        rule
    }

    /// Takes away one fault, and lets go whom it holds.
    pub(super) fn clear(&self, rule: &Arc<Rule>) {
        let mut armed = self.armed.lock();
        armed.retain(|other| !Arc::ptr_eq(&other.rule, rule));
        self.any.store(!armed.is_empty(), Ordering::Relaxed);
        rule.cleared.open();
    }

    /// Takes away all faults.
    pub(super) fn clear_all(&self) {
        let mut armed = self.armed.lock();
        self.any.store(false, Ordering::Relaxed);
        for armed in armed.drain(..) {
            armed.rule.cleared.open();
        }
    }

    /// What the request runs into: every fault that makes it wait, and the first other one. A request that cannot be decoded
    /// runs into nothing but its own refusal.
    pub(super) fn judge(
        &self,
        api: ApiKey,
        cx: &Context,
        body: &Bytes,
        topic_id: impl Fn(&str) -> Option<Uuid>,
    ) -> Verdict {
        let mut verdict = Verdict::default();
        let mut asked: Option<Box<dyn Asked>> = None;
        let mut armed = self.armed.lock();
        for fault in armed.iter_mut() {
            if !fault.rule.filter.may_cover(api, cx) {
                continue;
            }
            if asked.is_none() {
                asked = answers::examine(api, cx.version, body).ok();
            }
            let selector = fault.rule.filter.selector(&topic_id);
            let selected = asked.as_ref().and_then(|asked| asked.split(&selector));
            let Some(selected) = selected.filter(|_| fault.strikes()) else {
                continue;
            };
            let action = fault.rule.action;
            match action {
                Action::Delay(_) | Action::Hold => verdict.waits.push(Arc::clone(&fault.rule)),
                _ => {
                    verdict.fate = Some(Fate { action, selected });
                    break;
                }
            }
        }
        armed.retain(|fault| fault.remaining != Some(0));
        self.any.store(!armed.is_empty(), Ordering::Relaxed);
        verdict
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strikes(probability: f64, seed: u64) -> Vec<bool> {
        let mut chance = Chance::new(probability, seed);
        (0..2_000).map(|_| chance.strikes()).collect()
    }

    #[test]
    fn chance_is_the_same_in_each_run_and_near_its_probability() {
        assert_eq!(strikes(0.3, 7), strikes(0.3, 7));
        assert_ne!(strikes(0.3, 7), strikes(0.3, 8));
        let hits = strikes(0.3, 7).iter().filter(|hit| **hit).count();
        assert!((500..700).contains(&hits), "{hits} of 2,000 are not 30 %");
    }

    #[test]
    fn chance_is_bounded() {
        assert!(strikes(1.0, 1).iter().all(|hit| *hit));
        assert!(strikes(7.5, 1).iter().all(|hit| *hit));
        assert!(!strikes(0.0, 1).iter().any(|hit| *hit));
        assert!(!strikes(-1.0, 1).iter().any(|hit| *hit));
        assert!(!strikes(f64::NAN, 1).iter().any(|hit| *hit));
    }
}
