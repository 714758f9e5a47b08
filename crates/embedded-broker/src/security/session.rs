//! What one connection has proved so far. The steps and refusals are Apache Kafka's
//! (`org.apache.kafka.common.security.authenticator.SaslServerAuthenticator`).

use std::sync::Arc;

use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::ApiKey;
use parking_lot::Mutex;
use tracing::debug;

use super::sasl::{Exchange, MECHANISMS, Step};
use super::{Credentials, Failure, shown};
use crate::refusal::Refusal;

/// Which of a node's listeners a client came in by. It is told the addresses of the same kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum ListenerKind {
    #[default]
    Plaintext,
    Tls,
}

impl ListenerKind {
    /// The name that Apache Kafka gives to what such a listener speaks (`security.protocol`).
    pub(crate) fn protocol(self, sasl: bool) -> &'static str {
        match (self, sasl) {
            (Self::Plaintext, false) => "PLAINTEXT",
            (Self::Plaintext, true) => "SASL_PLAINTEXT",
            (Self::Tls, false) => "SSL",
            (Self::Tls, true) => "SASL_SSL",
        }
    }
}

/// One connection, as far as it matters who is on it.
#[derive(Debug, Default)]
pub(crate) struct Session {
    pub(crate) listener: ListenerKind,
    /// May be locked while the state is, never before it.
    authentication: Mutex<Authentication>,
}

/// Why a request is not served before its client has authenticated.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NotAdmitted {
    /// The connection is closed, and the log says why: Apache Kafka wants nobody to make it read arbitrary requests.
    Silently(String),
    /// The request is answered with this error: its client has got as far as a handshake. The session has failed.
    Told(ResponseError),
}

/// How far the client has come.
#[derive(Debug, Default)]
enum Authentication {
    /// Anybody may come in.
    #[default]
    NotDemanded,
    /// The client may ask once which versions there are, and has to choose a mechanism.
    Handshake {
        credentials: Arc<Credentials>,
        versions_told: bool,
    },
    /// The client has to send the mechanism's tokens.
    Exchange {
        credentials: Arc<Credentials>,
        exchange: Exchange,
        /// Whether tokens come without a request around them, as after a handshake of version 0.
        bare: bool,
    },
    Done,
    /// The client is told, and the connection closed.
    Failed {
        reason: String,
    },
}

impl Session {
    /// A new connection. Without credentials to compare with, nobody is asked for any.
    pub(crate) fn new(listener: ListenerKind, credentials: Option<Arc<Credentials>>) -> Self {
        let authentication = match credentials {
            None => Authentication::NotDemanded,
            Some(credentials) => Authentication::Handshake {
                credentials,
                versions_told: false,
            },
        };
        Self {
            listener,
            authentication: Mutex::new(authentication),
        }
    }

    /// Whether every request is served.
    pub(crate) fn is_open(&self) -> bool {
        matches!(
            *self.authentication.lock(),
            Authentication::NotDemanded | Authentication::Done
        )
    }

    /// Why the client is not let in, once that is decided.
    pub(crate) fn failure(&self) -> Option<String> {
        match &*self.authentication.lock() {
            Authentication::Failed { reason } => Some(reason.clone()),
            _ => None,
        }
    }

    /// Whether the client's next frame is a token and nothing else.
    pub(crate) fn expects_bare_token(&self) -> bool {
        matches!(
            *self.authentication.lock(),
            Authentication::Exchange { bare: true, .. }
        )
    }

    /// Whether a request of this API is served now.
    ///
    /// # Errors
    /// If the client is to be turned away.
    pub(crate) fn admit(&self, api: ApiKey) -> Result<(), NotAdmitted> {
        let mut authentication = self.authentication.lock();
        let when = match &*authentication {
            Authentication::NotDemanded | Authentication::Done => return Ok(()),
            Authentication::Handshake { versions_told, .. } => match api {
                ApiKey::ApiVersions if !versions_told => return Ok(()),
                ApiKey::SaslHandshake => return Ok(()),
                _ => "without a SASL handshake",
            },
            Authentication::Exchange { .. } => match api {
                ApiKey::SaslAuthenticate => return Ok(()),
                _ => "after a SASL handshake, but before it authenticated",
            },
            Authentication::Failed { .. } => "although it failed to authenticate",
        };
        let protocol = self.listener.protocol(true);
        let reason = format!(
            "the client sent {api:?} {when}; this listener takes clients with security.protocol={protocol}"
        );
        if matches!(*authentication, Authentication::Exchange { .. }) {
            *authentication = Authentication::Failed { reason };
            return Err(NotAdmitted::Told(ResponseError::IllegalSaslState));
        }
        Err(NotAdmitted::Silently(reason))
    }

    /// The client knows the versions now: Apache Kafka tells them once.
    pub(crate) fn versions_told(&self) {
        if let Authentication::Handshake { versions_told, .. } = &mut *self.authentication.lock() {
            *versions_told = true;
        }
    }

    /// The mechanisms that the client may choose from.
    pub(crate) fn mechanisms(&self) -> &'static [&'static str] {
        match *self.authentication.lock() {
            Authentication::NotDemanded | Authentication::Done => &[],
            _ => &MECHANISMS,
        }
    }

    /// The client chooses a mechanism. `bare` says that its tokens will come without a request around them.
    ///
    /// # Errors
    /// What the answer carries.
    pub(crate) fn handshake(&self, mechanism: &str, bare: bool) -> Result<(), ResponseError> {
        let mut authentication = self.authentication.lock();
        let Authentication::Handshake { credentials, .. } = &*authentication else {
            return Err(ResponseError::IllegalSaslState);
        };
        match Exchange::begin(mechanism) {
            Some(exchange) => {
                let credentials = Arc::clone(credentials);
                *authentication = Authentication::Exchange {
                    credentials,
                    exchange,
                    bare,
                };
                Ok(())
            }
            None => {
                let reason = format!(
                    "the SASL mechanism {} is not offered, but {}",
                    shown(mechanism),
                    MECHANISMS.join(" and ")
                );
                *authentication = Authentication::Failed { reason };
                Err(ResponseError::UnsupportedSaslMechanism)
            }
        }
    }

    /// The client sends a token of its mechanism, and gets the mechanism's.
    ///
    /// # Errors
    /// What the answer carries.
    pub(crate) fn authenticate(&self, token: &[u8]) -> Result<Bytes, Refusal> {
        let mut authentication = self.authentication.lock();
        let Authentication::Exchange {
            credentials,
            exchange,
            ..
        } = &mut *authentication
        else {
            return Err(Refusal::new(
                ResponseError::IllegalSaslState,
                "SaslAuthenticate request received after successful authentication",
            ));
        };
        match exchange.step(credentials, token) {
            Ok(Step::Continue(token)) => Ok(token.into()),
            Ok(Step::Done { user, token }) => {
                debug!(user, mechanism = exchange.mechanism(), "authenticated");
                *authentication = Authentication::Done;
                Ok(token.into())
            }
            Err(Failure { told, reason }) => {
                let reason = format!("{reason} (SASL {})", exchange.mechanism());
                *authentication = Authentication::Failed { reason };
                Err(Refusal::new(ResponseError::SaslAuthenticationFailed, told))
            }
        }
    }
}
