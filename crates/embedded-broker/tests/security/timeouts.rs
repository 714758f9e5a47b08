//! A client that connects and says nothing, or not enough, does not hold its connection for ever.

use std::time::Duration;

use embedded_broker::{Broker, SaslUsers};
use kafka_protocol::messages::SaslHandshakeRequest;
use kafka_protocol::protocol::StrBytes;

use crate::client::Client;
use crate::log;
use crate::tls::{certificates, config, tls_address, try_connect};

/// Long enough for an honest client in this process, short enough to wait for.
const TIMEOUT: Duration = Duration::from_millis(300);

fn users() -> SaslUsers {
    SaslUsers::from_pairs([("alice", "wonderland-7")]).expect("users")
}

#[tokio::test]
async fn a_client_that_does_not_authenticate_is_not_waited_for() {
    log::keep();
    let builder = Broker::builder()
        .sasl_users(users())
        .authentication_timeout(TIMEOUT);
    let broker = builder.start().await.expect("a broker");
    let address = broker.bootstrap_servers();

    // Who is in is in for good: this one says nothing for longer than the others may.
    let mut alice = Client::connect(&address).await;
    assert_eq!(alice.handshake("PLAIN").await.error_code, 0);
    let answer = alice.authenticate(b"\0alice\0wonderland-7").await;
    assert_eq!(answer.error_code, 0);

    let silent = Client::connect(&address).await;
    let mut asked = Client::connect(&address).await;
    assert_eq!(asked.versions().await.error_code, 0);
    let mut began = Client::connect(&address).await;
    began.write(&[0, 0]).await;
    let mut chose = Client::connect(&address).await;
    assert_eq!(chose.handshake("SCRAM-SHA-512").await.error_code, 0);
    let mut chose_bare = Client::connect(&address).await;
    let request =
        SaslHandshakeRequest::default().with_mechanism(StrBytes::from_static_str("PLAIN"));
    assert_eq!(chose_bare.send(0, request).await.error_code, 0);
    for mut client in [silent, asked, began, chose, chose_bare] {
        client.is_closed().await;
        log::says(&client.address, "did not authenticate in time").await;
    }
    alice.metadata().await.expect("served");
}

#[tokio::test]
async fn a_client_that_does_not_finish_the_tls_handshake_is_not_waited_for() {
    let dir = certificates();
    let builder = Broker::builder()
        .tls_listen("127.0.0.1:0")
        .tls_dir(dir.path())
        .authentication_timeout(TIMEOUT);
    let broker = builder.start().await.expect("a broker");
    let (_, honest) =
        try_connect(&tls_address(&broker), "localhost", config(dir.path(), None)).await;
    let mut honest = honest.expect("a connection");

    let mut silent = Client::connect(&tls_address(&broker)).await;
    let mut began = Client::connect(&tls_address(&broker)).await;
    // The head of a ClientHello that never comes.
    began.write(&[0x16, 3, 1, 2, 0]).await;
    for client in [&mut silent, &mut began] {
        client.is_closed().await;
        log::says(&client.address, "did not finish the TLS handshake in time").await;
    }
    // Who has done the handshake is in for good.
    honest.metadata().await.expect("served");
}

#[tokio::test]
async fn sasl_behind_tls_has_no_time_of_its_own() {
    let dir = certificates();
    let builder = Broker::builder()
        .sasl_users(users())
        .tls_listen("127.0.0.1:0")
        .tls_dir(dir.path())
        .authentication_timeout(TIMEOUT);
    let broker = builder.start().await.expect("a broker");
    let (address, client) =
        try_connect(&tls_address(&broker), "localhost", config(dir.path(), None)).await;
    client.expect("a connection").is_closed().await;
    log::says(&address, "did not authenticate in time").await;
}
