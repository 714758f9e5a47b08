//! TLS on a listener, through rustls with its ring provider.

use std::io;
use std::path::Path;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::server::danger::ClientCertVerifier;
use tokio_rustls::rustls::{
    AlertDescription, CertificateError, Error, RootCertStore, ServerConfig,
};
use tokio_rustls::server::TlsStream;

use crate::error::StartError;

/// The broker's certificate, and what it asks of clients.
#[derive(Clone)]
pub(crate) struct Tls(TlsAcceptor);

impl std::fmt::Debug for Tls {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Tls").finish_non_exhaustive()
    }
}

impl Tls {
    /// Reads `server.pem` and `server.key`, and `ca.pem` if clients have to show a certificate of that CA.
    ///
    /// # Errors
    /// If a file cannot be read, or is not what its name says.
    pub(crate) fn load(dir: &Path, client_auth: bool) -> Result<Self, StartError> {
        let chain = certificates(&dir.join("server.pem"))?;
        let key_file = dir.join("server.key");
        let key = PrivateKeyDer::from_pem_file(&key_file).map_err(|error| bad(&key_file, error))?;
        let provider = Arc::new(ring::default_provider());
        let verifier = match client_auth {
            true => Some(verifier(&dir.join("ca.pem"), Arc::clone(&provider))?),
            false => None,
        };
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| bad(dir, error))?;
        let config = match verifier {
            Some(verifier) => config.with_client_cert_verifier(verifier),
            None => config.with_no_client_auth(),
        };
        let config = config
            .with_single_cert(chain, key)
            .map_err(|error| bad(&key_file, error))?;
        Ok(Self(TlsAcceptor::from(Arc::new(config))))
    }

    /// Agrees with a client on keys.
    ///
    /// # Errors
    /// Why the client is not let in, in words for the log.
    pub(crate) async fn accept(&self, stream: TcpStream) -> Result<TlsStream<TcpStream>, String> {
        let accepted = self.0.accept(stream).await;
        accepted.map_err(|error| in_words(&error))
    }
}

fn bad(path: &Path, error: impl std::fmt::Display) -> StartError {
    StartError::Certificates {
        path: path.to_owned(),
        reason: error.to_string(),
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, StartError> {
    let found = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    match found {
        Ok(found) if Vec::is_empty(&found) => Err(bad(path, "there is no certificate in it")),
        Ok(found) => Ok(found),
        Err(error) => Err(bad(path, error)),
    }
}

fn verifier(
    ca: &Path,
    provider: Arc<tokio_rustls::rustls::crypto::CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, StartError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(ca)? {
        roots.add(certificate).map_err(|error| bad(ca, error))?;
    }
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .map_err(|error| bad(ca, error))
}

/// What went wrong during a handshake, and what to do about it.
fn in_words(error: &io::Error) -> String {
    let Some(error) = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<Error>())
    else {
        return match error.kind() {
            io::ErrorKind::UnexpectedEof => {
                "the client hung up during the TLS handshake".to_owned()
            }
            _ => format!("the connection broke during the TLS handshake: {error}"),
        };
    };
    match error {
        Error::InvalidMessage(_) => {
            "the client does not speak TLS; this listener takes clients with security.protocol=SSL or SASL_SSL".to_owned()
        }
        // The alerts by which OpenSSL, Java and rustls turn a server's certificate down (RFC 8446, section 6.2).
        Error::AlertReceived(
            alert @ (AlertDescription::UnknownCA
            | AlertDescription::BadCertificate
            | AlertDescription::CertificateUnknown
            | AlertDescription::CertificateExpired
            | AlertDescription::UnsupportedCertificate),
        ) => format!(
            "the client does not trust our certificate ({alert:?}): it needs the ca.pem that was made with it, and a host name that is in it"
        ),
        Error::NoCertificatesPresented => {
            "the client gave no certificate, which this listener demands (most clients keep one of another CA to themselves)".to_owned()
        }
        Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            "we do not trust the client's certificate: it is not from our CA".to_owned()
        }
        Error::InvalidCertificate(why) => format!("we do not trust the client's certificate: {why}"),
        Error::PeerIncompatible(why) => {
            format!("the client's TLS and ours have nothing in common: {why:?}")
        }
        other => format!("the TLS handshake failed: {other}"),
    }
}
