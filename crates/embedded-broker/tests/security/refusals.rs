//! What a client is told that is not let in, byte for byte: the same by both brokers. Asked of the broker at
//! `KAFKA_SASL_BOOTSTRAP_SERVERS`, which `scripts/with-apache-kafka.sh` sets, or of an embedded broker.

use std::sync::OnceLock;

use bytes::{BufMut, BytesMut};
use embedded_broker::{Broker, ErrorCode, SaslUsers};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{
    ApiKey, ApiVersionsRequest, DescribeClusterRequest, FindCoordinatorRequest, ListGroupsRequest,
    MetadataRequest, SaslAuthenticateRequest, SaslHandshakeRequest,
};
use kafka_protocol::protocol::StrBytes;
use tokio::net::TcpStream;
use tokio::sync::OnceCell;

use crate::client::Client;
use crate::log;
use crate::support::raw::frame;

/// Set once, by the first test that asks.
static ADDRESS: OnceCell<String> = OnceCell::const_new();
/// Here it lives as long as the process.
static EMBEDDED: OnceLock<Broker> = OnceLock::new();

/// Of the user `alice`, here and in `scripts/with-apache-kafka.sh`.
const PASSWORD: &str = "wonderland-7";
const MECHANISMS: [&str; 2] = ["PLAIN", "SCRAM-SHA-512"];

async fn connect() -> Client<TcpStream> {
    let address = ADDRESS.get_or_init(|| async {
        log::keep();
        if let Ok(address) = std::env::var("KAFKA_SASL_BOOTSTRAP_SERVERS") {
            return address;
        }
        let users = SaslUsers::from_pairs([("alice", PASSWORD)]).expect("users");
        let broker = Broker::builder().sasl_users(users).start().await;
        let broker = broker.expect("start the embedded broker");
        EMBEDDED.get_or_init(|| broker).bootstrap_servers()
    });
    Client::connect(address.await).await
}

/// A client that has chosen a mechanism, by this version of the handshake.
async fn chosen(mechanism: &str, version: i16) -> Client<TcpStream> {
    let mut client = connect().await;
    let request = SaslHandshakeRequest::default().with_mechanism(mechanism.to_owned().into());
    let answer = client.send(version, request).await;
    assert_eq!(answer.error_code, 0);
    assert_eq!(answer.mechanisms, MECHANISMS.map(StrBytes::from_static_str));
    client
}

/// `[authorization id] NUL user NUL password`
fn plain(fields: &[&str]) -> String {
    fields.join("\0")
}

/// SaslHandshake is offered from version 0, as long as Apache Kafka does.
#[tokio::test]
async fn both_versions_of_the_handshake_are_offered() {
    let answer = connect().await.versions().await;
    let offered = |key| {
        let mut apis = answer.api_keys.iter();
        let api = apis.find(|api| api.api_key == key as i16).expect("offered");
        (api.min_version, api.max_version)
    };
    assert_eq!(offered(ApiKey::SaslHandshake), (0, 1));
    assert_eq!(offered(ApiKey::SaslAuthenticate), (0, 2));
}

/// After a handshake of version 0 tokens come as they are, one a frame, and so do the answers (KIP-43).
#[tokio::test]
async fn tokens_need_no_request_after_a_handshake_of_version_0() {
    let mut client = chosen("PLAIN", 0).await;
    let token = plain(&["", "alice", PASSWORD]);
    client.write(&frame(token.as_bytes())).await;
    assert!(client.read().await.expect("an answer").is_empty());
    client.metadata().await.expect("served");

    let mut client = chosen("SCRAM-SHA-512", 0).await;
    // Cut in two: a token is whole when its length says so.
    let token = frame(b"n,,n=alice,r=abc");
    client.write(&token[..7]).await;
    client.write(&token[7..]).await;
    let answer = client.read().await.expect("an answer");
    assert!(answer.starts_with(b"r=abc"), "{answer:?}");
}

/// Without a request around the token there is no field that could say what was wrong.
#[tokio::test]
async fn a_failure_after_a_handshake_of_version_0_closes_the_connection() {
    let wrong = plain(&["", "alice", "guess"]);
    let of_plain = [wrong.as_bytes(), b"", b"no token"];
    let of_scram = [&b"n,,n=mallory,r=abc"[..], b"", b"no token"];
    for (mechanism, tokens) in MECHANISMS.iter().zip([of_plain, of_scram]) {
        for token in tokens {
            let mut client = chosen(mechanism, 0).await;
            client.write(&frame(token)).await;
            client.is_closed().await;
        }
        // A request is no token.
        let mut client = chosen(mechanism, 0).await;
        client.metadata().await.expect_err("not served");
    }
}

/// What PLAIN says of a token that lets nobody in.
#[tokio::test]
async fn plain_says_what_is_wrong_with_a_token() {
    let unknown = "Authentication failed: Invalid username or password";
    let cases: &[(&[&str], &str)] = &[
        (&["", "alice", "guess"], unknown),
        (&["", "mallory", PASSWORD], unknown),
        (
            &["", "", PASSWORD],
            "Authentication failed: username not specified",
        ),
        (
            &["", "alice", ""],
            "Authentication failed: password not specified",
        ),
        (
            &["mallory", "alice", PASSWORD],
            "Authentication failed: Client requested an authorization id that is different from username",
        ),
        (&[], "Invalid SASL/PLAIN response: expected 3 tokens, got 1"),
        (
            &["alice", PASSWORD],
            "Invalid SASL/PLAIN response: expected 3 tokens, got 2",
        ),
        (
            &["", "", "", ""],
            "Invalid SASL/PLAIN response: expected 3 tokens, got 4",
        ),
    ];
    for (fields, told) in cases {
        let mut client = chosen("PLAIN", 1).await;
        let answer = client.authenticate(plain(fields).as_bytes()).await;
        let expected = ErrorCode::SaslAuthenticationFailed.code();
        assert_eq!(answer.error_code, expected, "{fields:?}");
        assert_eq!(answer.error_message.as_deref(), Some(*told), "{fields:?}");
        client.is_closed().await;
    }
}

/// SCRAM tells nobody which users there are, nor what it expected.
#[tokio::test]
async fn scram_says_the_same_of_every_token() {
    let invalid = "Authentication failed during authentication due to invalid credentials with SASL mechanism SCRAM-SHA-512";
    let other = "Authentication failed: Client requested an authorization id that is different from username";
    for (token, told) in [
        ("n,,n=mallory,r=abc", invalid),
        ("hello", invalid),
        ("", invalid),
        ("c=biws,r=abc,p=aaaa", invalid),
        ("n,a=mallory,n=alice,r=abc", other),
    ] {
        let mut client = chosen("SCRAM-SHA-512", 1).await;
        let answer = client.authenticate(token.as_bytes()).await;
        let expected = ErrorCode::SaslAuthenticationFailed.code();
        assert_eq!(answer.error_code, expected, "{token:?}");
        assert_eq!(answer.error_message.as_deref(), Some(told), "{token:?}");
        client.is_closed().await;
    }
}

/// Success has an empty text in place of an error's, and a lifetime of 0: nobody authenticates twice.
#[tokio::test]
async fn success_says_nothing() {
    let mut client = chosen("PLAIN", 1).await;
    let token = plain(&["alice", "alice", PASSWORD]);
    let answer = client.authenticate(token.as_bytes()).await;
    assert_eq!((answer.error_code, answer.session_lifetime_ms), (0, 0));
    assert_eq!(answer.error_message.as_deref(), Some(""));
    client.metadata().await.expect("served");
}

#[tokio::test]
async fn an_unknown_mechanism_is_answered_with_those_that_are_known() {
    for version in 0..=1 {
        for mechanism in ["GSSAPI", ""] {
            let mut client = connect().await;
            let mechanism = StrBytes::from_static_str(mechanism);
            let request = SaslHandshakeRequest::default().with_mechanism(mechanism);
            let answer = client.send(version, request).await;
            let expected = ErrorCode::UnsupportedSaslMechanism.code();
            assert_eq!(answer.error_code, expected);
            assert_eq!(answer.mechanisms, MECHANISMS.map(StrBytes::from_static_str));
            client.is_closed().await;
        }
    }
}

/// Before a handshake a client may ask for the versions, once. Whatever else it sends closes the connection.
#[tokio::test]
async fn before_a_handshake_nothing_else_is_answered() {
    let mut client = connect().await;
    client.metadata().await.expect_err("not served");
    let mut client = connect().await;
    client.versions().await;
    client.metadata().await.expect_err("not served");
    let mut client = connect().await;
    client.versions().await;
    let again = client.try_send(0, ApiVersionsRequest::default()).await;
    again.expect_err("not served");
    let mut client = connect().await;
    let token = SaslAuthenticateRequest::default();
    client.try_send(1, token).await.expect_err("not served");
    // A token with neither a handshake nor a request, an impossible length, and one that is too long for who is unknown.
    let lengths = [&[0, 0, 0, 0][..], &[0, 0, 0, 2, 0, 0], &[0, 9, 0, 0]];
    let bare = frame(plain(&["", "alice", PASSWORD]).as_bytes());
    for bytes in lengths.into_iter().chain([&bare[..]]) {
        let mut client = connect().await;
        client.write(bytes).await;
        client.is_closed().await;
    }
}

/// After a handshake every request but SaslAuthenticate is answered with ILLEGAL_SASL_STATE where it has a place for an error,
/// and the connection is closed.
#[tokio::test]
async fn after_a_handshake_other_requests_are_told_so() {
    let illegal = ErrorCode::IllegalSaslState.code();
    for mechanism in MECHANISMS {
        let mut client = chosen(mechanism, 1).await;
        assert_eq!(client.versions().await.error_code, illegal);
        client.is_closed().await;

        let mut client = chosen(mechanism, 1).await;
        let answer = client.handshake(mechanism).await;
        assert_eq!(answer.error_code, illegal);
        assert!(answer.mechanisms.is_empty());
        client.is_closed().await;

        let mut client = chosen(mechanism, 1).await;
        let answer = client.send(4, ListGroupsRequest::default()).await;
        assert_eq!(answer.error_code, illegal);
        client.is_closed().await;

        let mut client = chosen(mechanism, 1).await;
        let request = FindCoordinatorRequest::default().with_key("group".into());
        assert_eq!(client.send(0, request).await.error_code, illegal);
        client.is_closed().await;

        let mut client = chosen(mechanism, 1).await;
        let request = DescribeClusterRequest::default();
        let answer = client.send(0, request).await;
        assert_eq!(answer.error_code, illegal);
        assert!(answer.brokers.is_empty());
        client.is_closed().await;

        // Its only place for an error is with a topic, before version 13.
        let mut client = chosen(mechanism, 1).await;
        let name = StrBytes::from_static_str("topic");
        let topic = MetadataRequestTopic::default().with_name(Some(name.into()));
        let request = MetadataRequest::default().with_topics(Some(vec![topic]));
        let answer = client.send(12, request).await;
        assert!(answer.brokers.is_empty(), "{answer:?}");
        let codes: Vec<i16> = answer.topics.iter().map(|topic| topic.error_code).collect();
        assert_eq!(codes, [illegal]);
        client.is_closed().await;
    }
}

/// An ApiVersions request of a version from the future has its place among these.
#[tokio::test]
async fn versions_from_the_future_are_answered_in_version_0() {
    let mut future = BytesMut::new();
    future.put_i16(ApiKey::ApiVersions as i16);
    future.put_i16(99);
    future.put_i32(7);
    // No client id, no tagged fields, and a body that nobody knows.
    future.put_slice(&[0xff, 0xff, 0, 1, 2, 3]);
    let future = frame(&future);

    // Correlation id, UNSUPPORTED_VERSION, one API: 18 from 0 to 4. It does not count as having asked.
    let mut client = connect().await;
    client.write(&future).await;
    let answer = client.read().await.expect("an answer");
    let expected = [0, 0, 0, 7, 0, 35, 0, 0, 0, 1, 0, 18, 0, 0, 0, 4];
    assert_eq!(&answer[..], expected);
    assert_eq!(client.versions().await.error_code, 0);

    // Correlation id, ILLEGAL_SASL_STATE, no API.
    let mut client = chosen("PLAIN", 1).await;
    client.write(&future).await;
    let answer = client.read().await.expect("an answer");
    assert_eq!(&answer[..], [0, 0, 0, 7, 0, 34, 0, 0, 0, 0]);
    client.is_closed().await;
}

/// Requests that cannot be read are not answered, however far the client has come.
#[tokio::test]
async fn after_a_handshake_what_cannot_be_read_closes_the_connection() {
    for (key, version, body) in [
        (ApiKey::Metadata as i16, 99, &[][..]),
        (999, 0, &[]),
        (ApiKey::SaslAuthenticate as i16, 9, &[]),
        (ApiKey::SaslAuthenticate as i16, 1, &[0, 0, 0, 100, 1]),
        (ApiKey::Metadata as i16, 1, &[0x7f, 0xff, 0xff, 0xff]),
    ] {
        let mut client = chosen("PLAIN", 1).await;
        let mut request = BytesMut::new();
        request.put_i16(key);
        request.put_i16(version);
        request.put_i32(7);
        request.put_i16(-1); // no client id
        request.put_slice(body);
        client.write(&frame(&request)).await;
        client.is_closed().await;
    }
}

/// Who is in, by either version of the handshake, has nothing to prove any more.
#[tokio::test]
async fn after_authentication_there_is_no_more_of_it() {
    let illegal = ErrorCode::IllegalSaslState.code();
    let token = plain(&["", "alice", PASSWORD]);
    let mut old = chosen("PLAIN", 0).await;
    old.write(&frame(token.as_bytes())).await;
    assert!(old.read().await.expect("an answer").is_empty());
    let mut new = chosen("PLAIN", 1).await;
    assert_eq!(new.authenticate(token.as_bytes()).await.error_code, 0);
    for client in [&mut old, &mut new] {
        for mechanism in ["PLAIN", "GSSAPI"] {
            let answer = client.handshake(mechanism).await;
            assert_eq!(answer.error_code, illegal);
            assert!(answer.mechanisms.is_empty());
        }
        let answer = client.authenticate(token.as_bytes()).await;
        let told = "SaslAuthenticate request received after successful authentication";
        assert_eq!(answer.error_code, illegal);
        assert_eq!(answer.error_message.as_deref(), Some(told));
        client.metadata().await.expect("served");
    }
}
