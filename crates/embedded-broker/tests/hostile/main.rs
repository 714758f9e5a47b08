//! Clients that mean harm, against a broker in a process of its own: it neither ends nor grows without bound, it serves others
//! meanwhile, and it comes to rest when they have gone.
#![cfg(target_os = "linux")]
// A test that cannot go on says so by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
// Each test binary uses a part of what they share.
#![allow(dead_code)]

#[path = "../support/mod.rs"]
mod support;

mod bombs;
mod bytes;
mod connections;
mod gone;
mod parked;
mod server;
