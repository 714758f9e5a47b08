//! The configurations of a consumer group (KIP-848): how the members of one group heartbeat, where it is not as the
//! broker's `group.consumer.*` say. Those of share and streams groups are left out, as such groups are.

use std::time::Duration;

use super::definition::Check::AtLeast;
use super::definition::{Definition, int};

#[rustfmt::skip] // A table, to be read by its rows.
pub(crate) static GROUP: &[Definition] = &[
    int(ASSIGNMENT_INTERVAL, "1000", AtLeast(0)),
    int(HEARTBEAT_INTERVAL, "5000", AtLeast(1)),
    int(SESSION_TIMEOUT, "45000", AtLeast(1)),
];

pub(super) const ASSIGNMENT_INTERVAL: &str = "consumer.assignment.interval.ms";
pub(super) const HEARTBEAT_INTERVAL: &str = "consumer.heartbeat.interval.ms";
pub(super) const SESSION_TIMEOUT: &str = "consumer.session.timeout.ms";

/// What is in force for one consumer group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GroupConfig {
    /// `consumer.assignment.interval.ms`: how long an assignment is kept at least.
    pub(crate) assignment_interval: Duration,
    /// `consumer.heartbeat.interval.ms`: how often members are told to report.
    pub(crate) heartbeat_interval: Duration,
    /// `consumer.session.timeout.ms`: how long a silent member is waited for.
    pub(crate) session_timeout: Duration,
}

/// The definition of the configuration with this name.
pub(crate) fn find(name: &str) -> Option<&'static Definition> {
    GROUP.iter().find(|definition| definition.name == name)
}

/// The broker configuration that holds for groups that do not set their own.
pub(crate) fn broker_synonym(name: &str) -> String {
    format!("group.{name}")
}

/// The broker configuration that bounds it: `edge` is `min` or `max`.
pub(super) fn broker_bound(name: &str, edge: &str) -> String {
    let name = name.strip_prefix("consumer.").unwrap_or(name);
    format!("group.consumer.{edge}.{name}")
}
