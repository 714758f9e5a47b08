//! A broker that speaks the Apache Kafka protocol, in one process, for learning and for tests.
//!
//! It keeps its records in memory, listens on loopback and starts in milliseconds, so that a lesson or a test needs
//! neither Docker nor a JVM. Clients cannot tell it from Apache Kafka by what they see: one conformance suite runs
//! against both.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), embedded_broker::StartError> {
//! let broker = embedded_broker::Broker::builder()
//!     .listen("127.0.0.1:0")
//!     .start()
//!     .await?;
//! // Any Kafka client connects here; the broker stops when the handle is dropped.
//! assert!(broker.bootstrap_servers().starts_with("127.0.0.1:"));
//! # Ok(())
//! # }
//! ```
//!
//! # How a request travels
//! `net` reads a frame and writes the answer, `api` decodes it and asks [`State`](state) (one owner, one lock, no
//! `.await` inside), which keeps topics in `log`, members in `group` and transactional ids in `transaction`.
//! What a test makes go wrong ([`Faults`]) is consulted in one place, before and after an API.

mod api;
mod broker;
mod builder;
mod clock;
mod cluster;
mod config;
mod error;
mod fault;
mod forgetting;
/// For `fuzz/`; no part of the crate's interface.
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod group;
mod housekeeping;
mod log;
mod net;
mod nodes;
mod probe;
mod record_view;
mod refusal;
mod requests;
mod security;
mod settings;
mod snapshot;
mod state;
mod timers;
mod topic;
mod transaction;
mod workshop;

pub use broker::Broker;
pub use builder::Builder;
pub use error::{ControlError, StartError};
pub use fault::{Fault, FaultBuilder, Faults};
pub use probe::{ProbeError, probe};
pub use record_view::{RecordState, RecordView};
pub use requests::{RequestView, Requests};
pub use security::{CertificatesError, SaslUsers, SaslUsersError, write_certificates};
pub use snapshot::{
    GroupSnapshot, MemberSnapshot, NodeSnapshot, NodeState, OffsetSnapshot, PartitionSnapshot,
    Snapshot, TopicPartition, TopicSnapshot, TransactionSnapshot,
};

/// An error of the protocol, under its name there (<https://kafka.apache.org/protocol#protocol_error_codes>).
pub use kafka_protocol::error::ResponseError as ErrorCode;
/// An API of the protocol (<https://kafka.apache.org/protocol#protocol_api_keys>).
pub use kafka_protocol::messages::ApiKey;
