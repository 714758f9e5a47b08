//! Who is let in and who is not, by SASL and TLS: what the client is told, and what the log says of it.
//!
//!     cargo test -p embedded-broker --features tls,sasl --test security

// A test that cannot go on says so by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[allow(dead_code, reason = "other tests need more of it")]
#[path = "../support/mod.rs"]
mod support;

mod client;
mod log;
mod refusals;
mod sasl;
mod timeouts;
mod tls;
