//! S4-17: every example as a process, against a broker in this process or the one that is named, and what it printed.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends by a panic"
)]

#[path = "../../common/mod.rs"]
#[allow(dead_code, reason = "the examples create their topics themselves")]
mod common;
mod program;

// One file an example, named after it.
mod consumer_groups;
mod delivery_ledger;
mod event_schemas;
mod exactly_once;
mod order_processing;
mod produce_consume;
mod publish_orders;
mod quick_start;
mod retry_dead_letter;
mod secure_observable;
mod tuning;
mod windowed_totals;
