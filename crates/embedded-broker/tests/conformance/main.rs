//! What a client may rely on, asked of the broker at `KAFKA_BOOTSTRAP_SERVERS`, or of an embedded broker.
//!
//! The same cases run on both, so that a lesson learned on the embedded broker is true on Apache Kafka:
//! `scripts/with-apache-kafka.sh cargo test -p embedded-broker --test conformance` asks Apache Kafka.
//! Where a case and Apache Kafka differ, the case is wrong.

// A test that cannot go on says so by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../support/mod.rs"]
mod support;

mod admin;
mod cluster;
mod configs;
mod consumer_groups;
mod coordinators;
mod delete_records;
mod fetch;
mod group_admin;
mod groups_join;
mod groups_rebalance;
mod groups_static;
mod groups_sync;
mod hostile;
mod idempotence;
mod leader_epochs;
mod librdkafka;
mod list_offsets;
mod log_cleaning;
mod metadata;
mod named_twice;
mod offsets;
mod produce;
mod topics;
mod transactions;
mod versions;
