//! The library behind the examples, the exercises and the book: Apache Kafka in Rust, one noun a file.
//!
//! Each room can be read, used and copied alone:
//!
//! - [`config`]: where the brokers are, who is calling, and every client property with its reason
//! - [`event`]: typed events, their headers, and versions
//! - [`event_producer`]: send typed events, with headers and many at a time
//! - [`trace_context`]: W3C trace context through headers
//! - [`metrics`]: numbers for Prometheus
//! - `metrics_server`, with the cargo feature `observability`: these numbers at `/metrics`
//! - [`topic_contents`]: everything that stands in a topic, read without joining a group
//! - [`topics`]: bring a topic into being, safely from several processes at once
//! - [`producer`]: send records, and know where each one was written
//! - [`delivery`]: delivery reports, from librdkafka's thread to whoever waits for them
//! - [`in_flight`]: many records on their way, and their reports counted
//! - [`producer_health`]: a producer's queue, errors and round trips, to be watched
//! - [`consumer`]: read records in a group, commit what was processed, leave at once
//! - [`event_consumer`]: read typed events; what cannot be decoded is data, and commits come before partitions go
//! - [`consumed_record`]: a record as it was read, and [`assignment`]: which partitions are this member's
//! - [`processor`]: the loop that never skips: decode, handle, retry, put aside, commit
//! - [`dead_letter`]: put records aside with the reason, and [`redrive`]: send them back
//! - [`order`]: what the business calls an order, what travels between services, and the translation between them
//! - [`publish_orders`]: a use case behind traits, tested without a broker
//! - [`ledger`]: count what was sent, seen once, duplicated, lost and reordered
//! - [`numbered_records`]: records that a ledger can count
//! - [`trial`]: an input, an output, and a count of what became of the records between them
//! - [`lag`]: how far a group is behind, asked of the cluster
//! - [`diagnosis`]: why is nothing consumed? The four usual reasons, looked up
//! - `avro`, with the cargo feature of that name: orders in Avro, and how old records fit new readers by rule
//! - [`transaction`]: consume, transform, produce, exactly once
//! - [`window`]: totals by key and window of time, whose state survives restarts
//! - [`reachability`]: ask whether a Kafka broker answers before the real work starts
//! - [`measurement`]: how many records a second, and how long each takes
//! - [`chart`]: a bar chart as SVG
//! - [`group_watch`]: who holds which partition, while members join, leave and die
//! - [`child`]: this program again, as a process that can be killed
//! - [`shutdown`]: turn Ctrl-C and SIGTERM into a token that loops look at
//! - [`logging`]: quiet by default; `RUST_LOG` opens it, `LOG_FORMAT=json` is for machines
//! - [`retry`]: try again, later each time, and stop in time
//! - [`circuit_breaker`]: stop calling what does not answer, and find out carefully when it does again
//! - [`error_kind`]: which errors pass, which stay, and which end a transaction or a client
//! - [`error_route`]: which errors of a consumer are passed over, told, or raised
//! - [`error`]: everything that can go wrong, in one documented enum
//!

pub mod assignment;
#[cfg(feature = "avro")]
pub mod avro;
pub mod chart;
pub mod child;
pub mod circuit_breaker;
pub mod config;
pub mod consumed_record;
pub mod consumer;
pub mod dead_letter;
pub mod delivery;
pub mod diagnosis;
pub mod error;
pub mod error_kind;
pub mod error_route;
pub mod event;
pub mod event_consumer;
pub mod event_producer;
pub mod group_watch;
pub mod in_flight;
pub mod lag;
pub mod ledger;
pub mod logging;
pub mod measurement;
mod member;
pub mod metrics;
#[cfg(feature = "observability")]
pub mod metrics_server;
pub mod numbered_records;
pub mod order;
pub mod processor;
pub mod producer;
pub mod producer_health;
pub mod publish_orders;
pub mod reachability;
pub mod redrive;
pub mod retry;
pub mod shutdown;
pub mod topic_contents;
pub mod topics;
pub mod trace_context;
pub mod transaction;
pub mod trial;
pub mod window;

pub use error::Error;
