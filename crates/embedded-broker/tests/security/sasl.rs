//! SASL: PLAIN and SCRAM-SHA-512, and who comes in by neither.

use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use embedded_broker::{ApiKey, Broker, ErrorCode, SaslUsers};
use hmac::{Hmac, KeyInit, Mac};
use kafka_protocol::messages::{ListGroupsRequest, SaslAuthenticateResponse};
use sha2::{Digest, Sha512};
use tokio::net::TcpStream;

use crate::client::Client;
use crate::log;
use crate::support::raw::{frame, request_frame};

const PASSWORD: &str = "wonderland-7";

async fn start() -> Broker {
    log::keep();
    let users = SaslUsers::from_pairs([("alice", PASSWORD), ("b,o=b", "builder")]);
    let builder = Broker::builder().sasl_users(users.expect("users"));
    builder.start().await.expect("a broker")
}

async fn connect(broker: &Broker) -> Client<TcpStream> {
    Client::connect(&broker.bootstrap_servers()).await
}

/// A client that has chosen this mechanism.
async fn chosen(broker: &Broker, mechanism: &str) -> Client<TcpStream> {
    let mut client = connect(broker).await;
    assert_eq!(client.versions().await.error_code, 0);
    let answer = client.handshake(mechanism).await;
    assert_eq!(answer.error_code, 0);
    let mechanisms: Vec<&str> = answer.mechanisms.iter().map(|name| &**name).collect();
    assert_eq!(mechanisms, ["PLAIN", "SCRAM-SHA-512"]);
    client
}

/// Authenticates by SCRAM-SHA-512 as far as the broker lets it. `name` is escaped as the mechanism wants it.
async fn scram(
    client: &mut Client<TcpStream>,
    name: &str,
    password: &str,
) -> SaslAuthenticateResponse {
    let first = format!("n={name},r=client-nonce");
    let answer = client.authenticate(format!("n,,{first}").as_bytes()).await;
    if answer.error_code != 0 {
        return answer;
    }
    let server_first = str::from_utf8(&answer.auth_bytes).expect("text").to_owned();
    let fields: Vec<&str> = server_first.split(',').collect();
    let [nonce, salt, "i=4096"] = fields[..] else {
        panic!("{server_first} is not what Apache Kafka sends");
    };
    let salt = BASE64.decode(&salt[2..]).expect("base64");
    let mut salted = [0; 64];
    pbkdf2::pbkdf2_hmac::<Sha512>(password.as_bytes(), &salt, 4_096, &mut salted);
    let last = format!("c=biws,{nonce}");
    let messages = format!("{first},{server_first},{last}");
    let client_key = hmac(&salted, "Client Key");
    let signature = hmac(&Sha512::digest(&client_key), &messages);
    let proof: Vec<u8> = client_key
        .iter()
        .zip(signature)
        .map(|(a, b)| a ^ b)
        .collect();
    let answer = client
        .authenticate(format!("{last},p={}", BASE64.encode(proof)).as_bytes())
        .await;
    if answer.error_code == 0 {
        let expected = hmac(&hmac(&salted, "Server Key"), &messages);
        let expected = format!("v={}", BASE64.encode(expected));
        assert_eq!(
            answer.auth_bytes,
            expected.as_bytes(),
            "the broker's own proof"
        );
    }
    answer
}

fn hmac(key: &[u8], message: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha512>::new_from_slice(key).expect("a key");
    mac.update(message.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

#[tokio::test]
async fn the_right_password_lets_a_client_in_by_either_mechanism() {
    let broker = start().await;
    let mut plain = chosen(&broker, "PLAIN").await;
    let token = format!("\0alice\0{PASSWORD}");
    let answer = plain.authenticate(token.as_bytes()).await;
    assert_eq!((answer.error_code, answer.session_lifetime_ms), (0, 0));
    plain.metadata().await.expect("served");

    for (name, password) in [("alice", PASSWORD), ("b=2Co=3Db", "builder")] {
        let mut client = chosen(&broker, "SCRAM-SHA-512").await;
        let answer = scram(&mut client, name, password).await;
        assert_eq!((answer.error_code, answer.session_lifetime_ms), (0, 0));
        client.metadata().await.expect("served");
    }
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_user_are_told_apart_by_the_log_alone() {
    let broker = start().await;
    let by_plain = "Authentication failed: Invalid username or password";
    let by_scram = "Authentication failed during authentication due to invalid credentials with SASL mechanism SCRAM-SHA-512";
    for (mechanism, told) in [("PLAIN", by_plain), ("SCRAM-SHA-512", by_scram)] {
        for (name, password, reason) in [
            (
                "alice",
                "not-the-password",
                "wrong password for the user \"alice\"",
            ),
            ("mallory", PASSWORD, "there is no user \"mallory\""),
        ] {
            let mut client = chosen(&broker, mechanism).await;
            let asked = Instant::now();
            let answer = match mechanism {
                "PLAIN" => {
                    let token = format!("\0{name}\0{password}");
                    client.authenticate(token.as_bytes()).await
                }
                _ => scram(&mut client, name, password).await,
            };
            assert_eq!(
                answer.error_code,
                ErrorCode::SaslAuthenticationFailed.code()
            );
            assert_eq!(answer.error_message.as_deref(), Some(told));
            // connection.failed.authentication.delay.ms
            assert!(asked.elapsed() >= Duration::from_millis(100));
            client.is_closed().await;
            log::says(&client.address, reason).await;
        }
    }
    let logged = log::all();
    for password in [PASSWORD, "not-the-password"] {
        assert!(!logged.contains(password), "a password is in the log");
    }
}

#[tokio::test]
async fn a_mechanism_that_is_not_offered_is_answered_with_those_that_are() {
    let broker = start().await;
    let mut client = connect(&broker).await;
    let answer = client.handshake("SCRAM-SHA-256").await;
    assert_eq!(
        answer.error_code,
        ErrorCode::UnsupportedSaslMechanism.code()
    );
    let mechanisms: Vec<&str> = answer.mechanisms.iter().map(|name| &**name).collect();
    assert_eq!(mechanisms, ["PLAIN", "SCRAM-SHA-512"]);
    client.is_closed().await;
    log::says(
        &client.address,
        "\"SCRAM-SHA-256\" is not offered, but PLAIN and SCRAM-SHA-512",
    )
    .await;
}

#[tokio::test]
async fn without_authentication_nothing_else_is_served() {
    let broker = start().await;
    let hint = "security.protocol=SASL_PLAINTEXT";
    // A client that knows nothing of SASL asks for the versions first, or not.
    for asks in [true, false] {
        let mut client = connect(&broker).await;
        if asks {
            client.versions().await;
        }
        client.metadata().await.expect_err("not served");
        log::says(&client.address, "without a SASL handshake").await;
        log::says(&client.address, hint).await;
    }
    // The versions are told once.
    let mut client = connect(&broker).await;
    client.versions().await;
    client
        .write(&request_frame(
            3,
            2,
            &kafka_protocol::messages::ApiVersionsRequest::default(),
        ))
        .await;
    client.is_closed().await;
    // A token needs a handshake before it, and a handshake a token after it.
    let mut client = connect(&broker).await;
    let token = kafka_protocol::messages::SaslAuthenticateRequest::default();
    client.try_send(2, token).await.expect_err("not served");
    let mut client = chosen(&broker, "PLAIN").await;
    let groups = client.send(4, ListGroupsRequest::default()).await;
    assert_eq!(groups.error_code, ErrorCode::IllegalSaslState.code());
    client.is_closed().await;
    log::says(
        &client.address,
        "after a SASL handshake, but before it authenticated",
    )
    .await;
    assert_eq!(
        broker.requests().count(ApiKey::Metadata),
        0,
        "they were turned away unread"
    );
}

#[tokio::test]
async fn a_client_that_has_not_authenticated_gets_little_memory() {
    let broker = start().await;
    let mut client = connect(&broker).await;
    // The key of Produce, of which a client that is let in may send 100 MiB.
    client.write(&frame(&vec![0; 600 * 1024])[..8]).await;
    client.is_closed().await;
    log::says(&client.address, "from a client that has not authenticated").await;
}

#[tokio::test]
async fn who_is_in_has_nothing_to_prove_any_more() {
    log::keep();
    let open = Broker::builder().start().await.expect("a broker");
    let mut anybody = connect(&open).await;
    let demanding = start().await;
    let mut alice = chosen(&demanding, "PLAIN").await;
    let token = format!("\0alice\0{PASSWORD}");
    assert_eq!(alice.authenticate(token.as_bytes()).await.error_code, 0);
    for client in [&mut anybody, &mut alice] {
        let answer = client.handshake("PLAIN").await;
        assert_eq!(answer.error_code, ErrorCode::IllegalSaslState.code());
        assert!(answer.mechanisms.is_empty());
        let answer = client.authenticate(token.as_bytes()).await;
        assert_eq!(answer.error_code, ErrorCode::IllegalSaslState.code());
        let told = "SaslAuthenticate request received after successful authentication";
        assert_eq!(answer.error_message.as_deref(), Some(told));
        client.versions().await;
        client.metadata().await.expect("served");
    }
}

#[tokio::test]
async fn each_connection_authenticates_for_itself() {
    let broker = start().await;
    let mut alice = chosen(&broker, "PLAIN").await;
    let mut other = chosen(&broker, "PLAIN").await;
    let token = format!("\0alice\0{PASSWORD}");
    assert_eq!(alice.authenticate(token.as_bytes()).await.error_code, 0);
    alice.metadata().await.expect("served");
    let turned_away = other.metadata().await.expect("an answer");
    assert!(turned_away.brokers.is_empty(), "not served");
    other.is_closed().await;
}
