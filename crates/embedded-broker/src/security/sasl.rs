//! The mechanisms: PLAIN (RFC 4616) here, SCRAM-SHA-512 (RFC 5802) in `scram`. They check as Apache Kafka's do
//! (`org.apache.kafka.common.security.plain.internals.PlainSaslServer`, `…scram.internals.ScramSaslServer`).

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use subtle::ConstantTimeEq;

use super::users::Password;
use super::{Failure, SaslUsers, scram, shown};
use crate::error::StartError;

pub(super) const PLAIN: &str = "PLAIN";
pub(super) const SCRAM_SHA_512: &str = "SCRAM-SHA-512";

/// What is offered (`sasl.enabled.mechanisms`).
pub(super) const MECHANISMS: [&str; 2] = [PLAIN, SCRAM_SHA_512];

/// What Apache Kafka tells a client that asks to act as somebody else, by either mechanism.
const OTHER_AUTHORIZATION_ID: &str =
    "Authentication failed: Client requested an authorization id that is different from username";

/// What each user has to prove.
pub(crate) struct Credentials {
    users: HashMap<String, Credential>,
}

struct Credential {
    /// PLAIN compares the password itself.
    password: Password,
    /// SCRAM compares what was derived from it, once: that is meant to be slow.
    scram: Arc<scram::Keys>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Credentials")
            .finish_non_exhaustive()
    }
}

impl Credentials {
    /// # Errors
    /// None; it has them where the cargo feature is off.
    pub(crate) fn derive(users: &SaslUsers) -> Result<Self, StartError> {
        let credential = |(name, password): (&String, &Password)| {
            let scram = Arc::new(scram::Keys::with_new_salt(password));
            let password = password.clone();
            (name.clone(), Credential { password, scram })
        };
        Ok(Self {
            users: users.iter().map(credential).collect(),
        })
    }
}

/// One client's exchange by one mechanism.
#[derive(Debug)]
pub(super) enum Exchange {
    Plain,
    Scram(scram::Server),
}

/// What the mechanism makes of a token.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The client has to answer this.
    Continue(Vec<u8>),
    /// The client is who it says, and gets this.
    Done { user: String, token: Vec<u8> },
}

impl Exchange {
    /// None if the mechanism is not offered.
    pub(super) fn begin(mechanism: &str) -> Option<Self> {
        match mechanism {
            PLAIN => Some(Self::Plain),
            SCRAM_SHA_512 => Some(Self::Scram(scram::Server::new())),
            _ => None,
        }
    }

    pub(super) fn mechanism(&self) -> &'static str {
        match self {
            Self::Plain => PLAIN,
            Self::Scram(_) => SCRAM_SHA_512,
        }
    }

    /// Takes the client's next token.
    ///
    /// # Errors
    /// If the client is not let in.
    pub(super) fn step(
        &mut self,
        credentials: &Credentials,
        token: &[u8],
    ) -> Result<Step, Failure> {
        match self {
            Self::Plain => plain(credentials, token),
            Self::Scram(server) => {
                let keys = |user: &str| Some(&credentials.users.get(user)?.scram);
                server.step(keys, token)
            }
        }
    }
}

/// Apache Kafka's words where it does not want to say more, so that nobody learns which users there are.
pub(super) fn invalid(mechanism: &str, reason: impl Into<String>) -> Failure {
    Failure {
        told: format!(
            "Authentication failed during authentication due to invalid credentials with SASL mechanism {mechanism}"
        ),
        reason: reason.into(),
    }
}

/// A client may act as itself only.
pub(super) fn check_authorization_id(authorization_id: &str, user: &str) -> Result<(), Failure> {
    match authorization_id.is_empty() || authorization_id == user {
        true => Ok(()),
        false => Err(Failure {
            told: OTHER_AUTHORIZATION_ID.to_owned(),
            reason: format!(
                "the user {} wants to act as {}",
                shown(user),
                shown(authorization_id)
            ),
        }),
    }
}

pub(super) fn unknown_user(user: &str) -> String {
    format!("there is no user {}", shown(user))
}

pub(super) fn wrong_password(user: &str) -> String {
    format!("wrong password for the user {}", shown(user))
}

/// `[authorization id] NUL user NUL password`
fn plain(credentials: &Credentials, token: &[u8]) -> Result<Step, Failure> {
    let failed = |told: &str, reason: String| Failure {
        told: format!("Authentication failed: {told}"),
        reason,
    };
    let text = String::from_utf8_lossy(token);
    let fields: Vec<&str> = text.split('\0').collect();
    let [authorization_id, user, password] = fields[..] else {
        let count = fields.len();
        return Err(Failure {
            told: format!("Invalid SASL/PLAIN response: expected 3 tokens, got {count}"),
            reason: format!("the token of PLAIN does not have three fields, but {count}"),
        });
    };
    if user.is_empty() {
        let reason = "the client gave no user name".to_owned();
        return Err(failed("username not specified", reason));
    }
    if password.is_empty() {
        let reason = format!("the user {} gave no password", shown(user));
        return Err(failed("password not specified", reason));
    }
    let told = "Invalid username or password";
    let Some(credential) = credentials.users.get(user) else {
        return Err(failed(told, unknown_user(user)));
    };
    // How long it takes must not tell how much of a guess was right.
    if !bool::from(password.as_bytes().ct_eq(credential.password.bytes())) {
        return Err(failed(told, wrong_password(user)));
    }
    check_authorization_id(authorization_id, user)?;
    Ok(Step::Done {
        user: user.to_owned(),
        token: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(token: &[u8]) -> Result<Step, Failure> {
        let users = SaslUsers::from_pairs([("alice", "wonderland")]).expect("a user");
        plain(&Credentials::derive(&users).expect("credentials"), token)
    }

    #[test]
    fn plain_lets_in_who_knows_the_password() {
        let done = Step::Done {
            user: "alice".to_owned(),
            token: Vec::new(),
        };
        assert_eq!(check(b"\0alice\0wonderland").as_ref(), Ok(&done));
        assert_eq!(check(b"alice\0alice\0wonderland").as_ref(), Ok(&done));
    }

    #[test]
    fn plain_says_what_apache_kafka_says_and_the_log_says_more() {
        let invalid = "Authentication failed: Invalid username or password";
        for (token, told, reason) in [
            (
                &b"\0alice\0wonder"[..],
                invalid,
                "wrong password for the user \"alice\"",
            ),
            (b"\0bob\0wonderland", invalid, "there is no user \"bob\""),
            (
                b"\0\0wonderland",
                "Authentication failed: username not specified",
                "the client gave no user name",
            ),
            (
                b"\0alice\0",
                "Authentication failed: password not specified",
                "the user \"alice\" gave no password",
            ),
            (
                b"bob\0alice\0wonderland",
                OTHER_AUTHORIZATION_ID,
                "the user \"alice\" wants to act as \"bob\"",
            ),
            (
                b"alice:wonderland",
                "Invalid SASL/PLAIN response: expected 3 tokens, got 1",
                "the token of PLAIN does not have three fields, but 1",
            ),
            (
                b"\0alice\0wonderland\0",
                "Invalid SASL/PLAIN response: expected 3 tokens, got 4",
                "the token of PLAIN does not have three fields, but 4",
            ),
        ] {
            let failure = check(token).expect_err("nobody is let in");
            assert_eq!(
                (failure.told.as_str(), failure.reason.as_str()),
                (told, reason)
            );
        }
    }
}
