//! Consume, transform, produce, and windows over it: on an embedded broker, or on the cluster that
//! `KAFKA_BOOTSTRAP_SERVERS` names. Tests that make a broker fail bring an embedded one of their own.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends by a panic"
)]

#[allow(dead_code, reason = "pipelines make their topics themselves")]
mod common;

#[path = "transaction/crash.rs"]
mod crash;
#[path = "transaction/faults.rs"]
mod faults;
#[path = "transaction/pipeline.rs"]
mod pipeline;
#[path = "transaction/semantics.rs"]
mod semantics;
