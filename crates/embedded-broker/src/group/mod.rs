//! Consumer groups.

use std::collections::HashMap;

use crate::clock::Now;
use crate::timers::Timers;

/// All groups, by id.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    by_id: HashMap<String, ()>,
}

impl Groups {
    /// Lets the group do what has fallen due.
    pub(crate) fn tick(&mut self, _group_id: &str, _now: Now, _timers: &mut Timers) {}
}
