//! Who may come in: SASL with users from a file, and what each listener demands.
//!
//! What a connection has proved lives in its [`Session`], so no other connection can see or change it. The mechanisms need the
//! cargo feature `sasl`, for their cryptography; without it nothing can demand them, and the stand-in cannot be made.

#[cfg(feature = "sasl")]
mod sasl;
#[cfg(not(feature = "sasl"))]
#[path = "without_sasl.rs"]
mod sasl;
#[cfg(feature = "sasl")]
mod scram;
mod session;
mod users;

pub(crate) use sasl::Credentials;
pub(crate) use session::{ListenerKind, Session};
pub use users::{SaslUsers, SaslUsersError};

/// Why somebody was not let in, in two versions: the client is told less than the log.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// What the answer says, in the words of Apache Kafka.
    pub(crate) told: String,
    /// What the log says. Never holds a password.
    pub(crate) reason: String,
}

/// A name that came from the network, as the log shows it: quoted, escaped, and not longer than a line.
fn shown(name: &str) -> String {
    let short: String = name.chars().take(64).collect();
    format!("{short:?}")
}
