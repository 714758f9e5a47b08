//! Everything the broker knows, behind one lock.
//!
//! One owner makes every request atomic: a metadata answer never shows half a topic, and a commit never races a
//! rebalance. Handlers are plain functions of the state and the time, so a test drives them without a socket. The lock is
//! held for microseconds: decoding, checksums and encoding happen outside, and nothing waits inside.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::clock::Now;
use crate::cluster::Cluster;
use crate::config::Configs;
use crate::fault;
use crate::forgetting::Forgetting;
use crate::group::Groups;
use crate::housekeeping::Housekeeping;
use crate::net::unsent::Unsent;
use crate::requests::RequestLog;
use crate::settings::Settings;
use crate::timers::{Timer, Timers};
use crate::topic::Topics;
use crate::transaction::Transactions;
use crate::workshop::Workshop;

/// What connection tasks share.
#[derive(Debug)]
pub(crate) struct Shared {
    /// Never held across an `.await`.
    pub(crate) state: Mutex<State>,
    /// What a test makes go wrong. May be locked before the state, never after it.
    pub(crate) faults: Arc<fault::Rules>,
    pub(crate) requests: Arc<RequestLog>,
    pub(crate) workshop: Workshop,
    /// The state's, for connections to report to.
    pub(crate) unsent: Unsent,
}

impl Shared {
    pub(crate) fn new(state: State) -> Arc<Self> {
        Arc::new(Self {
            requests: Arc::new(RequestLog::new(state.settings.remembered_requests)),
            unsent: state.unsent.clone(),
            state: Mutex::new(state),
            faults: Arc::default(),
            workshop: Workshop::default(),
        })
    }
}

/// The broker's memory.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) settings: Settings,
    pub(crate) cluster: Cluster,
    pub(crate) configs: Configs,
    pub(crate) topics: Topics,
    pub(crate) groups: Groups,
    pub(crate) transactions: Transactions,
    pub(crate) housekeeping: Housekeeping,
    pub(crate) forgetting: Forgetting,
    pub(crate) timers: Timers,
    /// Connections say in it how much they have to write.
    pub(crate) unsent: Unsent,
}

impl State {
    pub(crate) fn new(settings: Settings, cluster: Cluster) -> Self {
        Self {
            configs: Configs::new(
                settings.static_configs(),
                cluster.static_configs(settings.sasl),
            ),
            settings,
            cluster,
            topics: Topics::default(),
            groups: Groups::default(),
            transactions: Transactions::default(),
            housekeeping: Housekeeping::default(),
            forgetting: Forgetting::default(),
            timers: Timers::default(),
            unsent: Unsent::default(),
        }
    }

    /// Does what has fallen due.
    pub(crate) fn tick(&mut self, now: Now) {
        while let Some(timer) = self.timers.pop_due(now.instant) {
            match timer {
                Timer::Group(group_id) => self.groups.tick(&group_id, now, &mut self.timers),
                Timer::Transaction(id) => {
                    if let Some(ended) = self.transactions.expire(&id, now, &mut self.timers) {
                        self.tell_participants(ended, now);
                    }
                }
                Timer::Logs => self.sweep_logs(now),
                Timer::Forgetting => self.forget(now),
            }
        }
        self.keep_house(now);
    }
}
