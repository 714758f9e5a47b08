//! Stands in for TLS where the cargo feature `tls` is off: nobody can make it, so no listener has it.

use std::convert::Infallible;
use std::path::Path;

use tokio::net::TcpStream;

use super::CertificatesError;
use crate::error::StartError;

#[derive(Clone, Debug)]
pub(crate) struct Tls(Infallible);

impl Tls {
    pub(crate) fn load(_: &Path, _: bool) -> Result<Self, StartError> {
        Err(StartError::FeatureMissing {
            setting: "tls-listen",
            feature: "tls",
        })
    }

    // As the real one, which waits for the client.
    #[allow(clippy::unused_async, reason = "the real one waits")]
    pub(crate) async fn accept(&self, _: TcpStream) -> Result<TcpStream, String> {
        match self.0 {}
    }
}

/// Makes certificates, with the cargo feature `tls`.
///
/// # Errors
/// Always: the cargo feature is off.
pub fn write_certificates(_: impl AsRef<Path>) -> Result<(), CertificatesError> {
    Err(CertificatesError::FeatureMissing)
}
