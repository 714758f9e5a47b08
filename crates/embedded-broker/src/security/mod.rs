//! Who may come in: SASL with users from a file, TLS with certificates, and what each listener demands.
//!
//! What a connection has proved lives in its [`Session`], so no other connection can see or change it. The cryptography
//! needs the cargo features `sasl` and `tls`; without them their stand-ins cannot be made, so nothing can demand them.

#[cfg(feature = "tls")]
mod certificates;
#[cfg(feature = "sasl")]
mod sasl;
#[cfg(not(feature = "sasl"))]
#[path = "without_sasl.rs"]
mod sasl;
#[cfg(feature = "sasl")]
mod scram;
mod session;
#[cfg(feature = "tls")]
mod tls;
#[cfg(not(feature = "tls"))]
#[path = "without_tls.rs"]
mod tls;
mod users;

use std::io;
use std::path::PathBuf;

#[cfg(feature = "tls")]
pub use certificates::write_certificates;
pub(crate) use sasl::Credentials;
pub(crate) use session::{ListenerKind, NotAdmitted, Session};
pub(crate) use tls::Tls;
#[cfg(not(feature = "tls"))]
pub use tls::write_certificates;
pub use users::{SaslUsers, SaslUsersError};

/// Why [`write_certificates`] wrote none.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CertificatesError {
    /// A file cannot be written, most often because it exists: certificates are never overwritten.
    #[error("cannot write `{}`: {source}; choose a new folder, or remove it", path.display())]
    Unwritable {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The certificates cannot be made.
    #[error("cannot make certificates: {reason}")]
    NotMade {
        /// What the library said.
        reason: String,
    },
    /// The program was built without cryptography.
    #[error("`certs` needs the cargo feature `tls`: build embedded-broker with `--features tls`")]
    FeatureMissing,
}

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
