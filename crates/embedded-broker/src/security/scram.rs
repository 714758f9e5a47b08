//! SCRAM-SHA-512, the server's side (RFC 5802 with SHA-512, KIP-84): client and server prove to each other that they know the
//! password, and neither sends it.

use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha512};
use subtle::ConstantTimeEq;
use uuid::Uuid;

use super::sasl::{
    SCRAM_SHA_512, Step, check_authorization_id, invalid, unknown_user, wrong_password,
};
use super::users::Password;
use super::{Failure, shown};

/// As many as Apache Kafka's tools use, and as few as it accepts.
const ITERATIONS: u32 = 4_096;

const HASH_BYTES: usize = 64;

/// What the server keeps of a password: enough to check a proof, not enough to make one.
pub(super) struct Keys {
    salt: Vec<u8>,
    stored_key: [u8; HASH_BYTES],
    server_key: [u8; HASH_BYTES],
}

impl fmt::Debug for Keys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Keys").finish_non_exhaustive()
    }
}

impl Keys {
    /// Derives the keys of a password with a salt that nobody else has.
    pub(super) fn with_new_salt(password: &Password) -> Self {
        let salt = [Uuid::new_v4(), Uuid::new_v4()].map(Uuid::into_bytes);
        Self::with_salt(password.bytes(), salt.concat())
    }

    fn with_salt(password: &[u8], salt: Vec<u8>) -> Self {
        let mut salted_password = [0; HASH_BYTES];
        pbkdf2::pbkdf2_hmac::<Sha512>(password, &salt, ITERATIONS, &mut salted_password);
        Self {
            salt,
            stored_key: Sha512::digest(hmac(&salted_password, b"Client Key")).into(),
            server_key: hmac(&salted_password, b"Server Key"),
        }
    }
}

fn hmac(key: &[u8; HASH_BYTES], message: &[u8]) -> [u8; HASH_BYTES] {
    // RFC 2104: a key shorter than a block of the hash is padded with zeros.
    let mut block = hmac::digest::Key::<Hmac<Sha512>>::default();
    block[..HASH_BYTES].copy_from_slice(key);
    let mut mac = Hmac::<Sha512>::new(&block);
    mac.update(message);
    mac.finalize().into_bytes().into()
}

/// One client's exchange.
#[derive(Debug)]
pub(super) struct Server {
    /// The server's part of the nonce.
    nonce: String,
    /// None until the client has said who it is.
    challenge: Option<Challenge>,
}

/// What the client's last message is checked against.
#[derive(Debug)]
struct Challenge {
    user: String,
    keys: Arc<Keys>,
    /// The client's part and the server's.
    nonce: String,
    /// The header of the client's first message, which says that it binds the exchange to no channel.
    gs2_header: String,
    /// The client's first message without that header, and the server's, joined by a comma.
    messages: String,
}

impl Server {
    pub(super) fn new() -> Self {
        Self::with_nonce(Uuid::new_v4().simple().to_string())
    }

    fn with_nonce(nonce: String) -> Self {
        Self {
            nonce,
            challenge: None,
        }
    }

    /// Takes the client's next message. `find` gives the keys of a user.
    ///
    /// # Errors
    /// If the client is not let in.
    pub(super) fn step<'k>(
        &mut self,
        find: impl FnOnce(&str) -> Option<&'k Arc<Keys>>,
        token: &[u8],
    ) -> Result<Step, Failure> {
        let Ok(message) = str::from_utf8(token) else {
            return Err(failed("a message of SCRAM is not UTF-8"));
        };
        match self.challenge.take() {
            None => {
                let (challenge, answer) = self.first(find, message)?;
                self.challenge = Some(challenge);
                Ok(Step::Continue(answer.into_bytes()))
            }
            Some(challenge) => challenge.last(message),
        }
    }

    fn first<'k>(
        &self,
        find: impl FnOnce(&str) -> Option<&'k Arc<Keys>>,
        message: &str,
    ) -> Result<(Challenge, String), Failure> {
        let client = ClientFirst::parse(message)
            .ok_or_else(|| failed("the first message of SCRAM is malformed"))?;
        let keys = find(&client.user).ok_or_else(|| failed(unknown_user(&client.user)))?;
        check_authorization_id(&client.authorization_id, &client.user)?;
        let nonce = format!("{}{}", client.nonce, self.nonce);
        let salt = BASE64.encode(&keys.salt);
        let answer = format!("r={nonce},s={salt},i={ITERATIONS}");
        let challenge = Challenge {
            keys: Arc::clone(keys),
            messages: format!("{},{answer}", client.bare),
            gs2_header: client.gs2_header.to_owned(),
            user: client.user,
            nonce,
        };
        Ok((challenge, answer))
    }
}

impl Challenge {
    fn last(self, message: &str) -> Result<Step, Failure> {
        let client = ClientLast::parse(message)
            .ok_or_else(|| failed("the last message of SCRAM is malformed"))?;
        if client.channel_binding != self.gs2_header.as_bytes() || client.nonce != self.nonce {
            return Err(failed(format!(
                "the messages of SCRAM by the user {} do not belong together",
                shown(&self.user)
            )));
        }
        let authenticated = format!("{},{}", self.messages, client.without_proof);
        let mut client_key = hmac(&self.keys.stored_key, authenticated.as_bytes());
        for (byte, proof) in client_key.iter_mut().zip(client.proof) {
            *byte ^= proof;
        }
        let stored_key = Sha512::digest(client_key);
        if !bool::from(stored_key[..].ct_eq(&self.keys.stored_key)) {
            return Err(failed(wrong_password(&self.user)));
        }
        let signature = hmac(&self.keys.server_key, authenticated.as_bytes());
        Ok(Step::Done {
            user: self.user,
            token: format!("v={}", BASE64.encode(signature)).into_bytes(),
        })
    }
}

fn failed(reason: impl Into<String>) -> Failure {
    invalid(SCRAM_SHA_512, reason)
}

/// `n,[a=authorization id],n=user,r=nonce[,extensions]`
struct ClientFirst<'m> {
    gs2_header: &'m str,
    authorization_id: String,
    bare: &'m str,
    user: String,
    nonce: &'m str,
}

impl<'m> ClientFirst<'m> {
    fn parse(message: &'m str) -> Option<Self> {
        let (authorization_id, bare) = message.strip_prefix("n,")?.split_once(',')?;
        let gs2_header = message.strip_suffix(bare)?;
        let authorization_id = match authorization_id {
            "" => String::new(),
            named => unescaped(named.strip_prefix("a=")?)?,
        };
        let (user, rest) = bare.strip_prefix("n=")?.split_once(',')?;
        // Extensions may follow. None is known, and those that are not are to be ignored.
        let nonce = rest.strip_prefix("r=")?.split(',').next()?;
        let user = unescaped(user)?;
        let is_complete = !user.is_empty() && !nonce.is_empty();
        is_complete.then_some(Self {
            gs2_header,
            authorization_id,
            bare,
            user,
            nonce,
        })
    }
}

/// A name, in which `=2C` stands for a comma and `=3D` for an equals sign.
fn unescaped(name: &str) -> Option<String> {
    let mut parts = name.split('=');
    let mut plain = parts.next()?.to_owned();
    for part in parts {
        let (sign, rest) = match (part.strip_prefix("2C"), part.strip_prefix("3D")) {
            (Some(rest), _) => (',', rest),
            (_, Some(rest)) => ('=', rest),
            _ => return None,
        };
        plain.push(sign);
        plain.push_str(rest);
    }
    Some(plain)
}

/// `c=channel binding,r=nonce[,extensions],p=proof`
struct ClientLast<'m> {
    channel_binding: Vec<u8>,
    nonce: &'m str,
    proof: [u8; HASH_BYTES],
    without_proof: &'m str,
}

impl<'m> ClientLast<'m> {
    fn parse(message: &'m str) -> Option<Self> {
        let (without_proof, proof) = message.rsplit_once(",p=")?;
        let (channel_binding, rest) = without_proof.strip_prefix("c=")?.split_once(',')?;
        Some(Self {
            channel_binding: BASE64.decode(channel_binding).ok()?,
            nonce: rest.strip_prefix("r=")?.split(',').next()?,
            proof: BASE64.decode(proof).ok()?.try_into().ok()?,
            without_proof,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7677's example with SHA-512 in place of SHA-256; the values were computed with Python's `hashlib` and `hmac`.
    const CLIENT_FIRST: &str = "n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
    const SERVER_NONCE: &str = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
    const SALT: &str = "W22ZaJ0SNY7soEsUEjb6gQ==";
    const SERVER_FIRST: &str =
        "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
    const CLIENT_LAST: &str = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=gMGXRcevScNtxZ6/8lQYpGtnsNAc3mGcmNomv+xnoOMw+3R2xNJdMNnzMlTN8PPC6wdp6dybEmDYXYTxwnYPJQ==";
    const SERVER_LAST: &str = "v=ZQnYEgWQMFmmsM8aQMF0nDDCy/AgCzkwk8CmMZYcMg0vSVlKDanekLtifDSeVGT4+5ZxXnJq199RVG2rR7N7Zw==";

    /// What the server makes of two messages, with this password for the user `user`.
    fn exchange(password: &str, first: &str, last: &str) -> Result<Step, Failure> {
        let salt = BASE64.decode(SALT).expect("base64");
        let keys = Arc::new(Keys::with_salt(password.as_bytes(), salt));
        let find = |user: &str| (user == "user").then_some(&keys);
        let mut server = Server::with_nonce(SERVER_NONCE.to_owned());
        let answer = server.step(find, first.as_bytes())?;
        assert_eq!(answer, Step::Continue(SERVER_FIRST.into()));
        server.step(find, last.as_bytes())
    }

    fn reason(password: &str, first: &str, last: &str) -> String {
        let failure = exchange(password, first, last).expect_err("nobody is let in");
        assert_eq!(
            failure.told,
            "Authentication failed during authentication due to invalid credentials with SASL mechanism SCRAM-SHA-512"
        );
        failure.reason
    }

    #[test]
    fn the_example_of_the_rfc_is_let_in_and_gets_the_signature_of_the_server() {
        let done = Step::Done {
            user: "user".to_owned(),
            token: SERVER_LAST.into(),
        };
        assert_eq!(exchange("pencil", CLIENT_FIRST, CLIENT_LAST), Ok(done));
    }

    #[test]
    fn another_password_user_or_exchange_is_refused() {
        let wrong = "wrong password for the user \"user\"";
        assert_eq!(reason("pencils", CLIENT_FIRST, CLIENT_LAST), wrong);
        let stranger = CLIENT_FIRST.replace("n=user", "n=us=2Cer");
        let nobody = "there is no user \"us,er\"";
        assert_eq!(reason("pencil", &stranger, CLIENT_LAST), nobody);
        let mixed = "the messages of SCRAM by the user \"user\" do not belong together";
        for (from, to) in [("NEkqO%", "NEkqO"), ("c=biws", "c=eSws")] {
            let last = CLIENT_LAST.replace(from, to);
            assert_eq!(reason("pencil", CLIENT_FIRST, &last), mixed);
        }
    }

    #[test]
    fn malformed_messages_are_refused() {
        for first in [
            "",
            "n,",
            "y,,n=user,r=a",
            "p=tls-unique,,n=user,r=a",
            "n,,m=x,n=user,r=a",
            "n,,n=,r=a",
            "n,,n=user",
            "n,,n=user,r=",
            "n,,n=us=er,r=a",
            "n,b=user,n=user,r=a",
            "n,a==2,n=user,r=a",
        ] {
            let malformed = "the first message of SCRAM is malformed";
            assert_eq!(reason("pencil", first, ""), malformed, "{first}");
        }
        for last in [
            "",
            "c=biws",
            "c=biws,r=a",
            "c=?,r=a,p=",
            "c=biws,r=a,p=?",
            "c=biws,r=a,p=AAAA",
        ] {
            let malformed = "the last message of SCRAM is malformed";
            assert_eq!(reason("pencil", CLIENT_FIRST, last), malformed, "{last}");
        }
    }

    #[test]
    fn a_client_acts_as_itself_only() {
        let first = CLIENT_FIRST.replace("n,,", "n,a=other,");
        let failure = exchange("pencil", &first, CLIENT_LAST).expect_err("another identity");
        assert_eq!(
            failure.reason,
            "the user \"user\" wants to act as \"other\""
        );
    }

    #[test]
    fn keys_do_not_show_and_have_their_own_salt() {
        let derive = || Keys::with_salt(b"pencil", [Uuid::new_v4().into_bytes(); 2].concat());
        let (one, other) = (derive(), derive());
        assert_ne!(one.salt, other.salt);
        assert_ne!(one.stored_key, other.stored_key);
        assert_eq!(format!("{one:?}"), "Keys { .. }");
    }
}
