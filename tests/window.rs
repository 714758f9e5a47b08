//! Windows whose state survives: on an embedded broker, or on the cluster that `KAFKA_BOOTSTRAP_SERVERS` names.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends by a panic"
)]

#[allow(dead_code, reason = "shops make their topics themselves")]
mod common;

#[path = "window/restart.rs"]
mod restart;
#[path = "window/results.rs"]
mod results;
#[path = "window/shop.rs"]
mod shop;
