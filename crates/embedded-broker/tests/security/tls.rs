//! TLS: certificates, and who is turned away with or without them.

use std::path::Path;
use std::sync::Arc;

use embedded_broker::{Broker, CertificatesError, SaslUsers, StartError, write_certificates};
use kafka_protocol::messages::metadata_response::MetadataResponse;
use kafka_protocol::messages::{
    DescribeClusterRequest, FindCoordinatorRequest, find_coordinator_response::Coordinator,
};
use kafka_protocol::protocol::StrBytes;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::client::Client;
use crate::log;

pub(crate) fn certificates() -> TempDir {
    log::keep();
    let dir = TempDir::new().expect("a folder");
    write_certificates(dir.path()).expect("certificates");
    dir
}

async fn start(dir: &TempDir, client_auth: bool) -> Broker {
    let builder = Broker::builder()
        .tls_listen("127.0.0.1:0")
        .tls_dir(dir.path())
        .tls_client_auth(client_auth);
    builder.start().await.expect("a broker")
}

pub(crate) fn tls_address(broker: &Broker) -> String {
    broker.tls_bootstrap_servers().expect("a listener with TLS")
}

/// What a client trusts and shows, from folders with certificates.
pub(crate) fn config(trusted: &Path, shown: Option<&Path>) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    let ca = CertificateDer::from_pem_file(trusted.join("ca.pem")).expect("a certificate");
    roots.add(ca).expect("a CA");
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots);
    match shown {
        None => config.with_no_client_auth(),
        Some(dir) => {
            let own = CertificateDer::from_pem_file(dir.join("client.pem")).expect("a certificate");
            let key = PrivateKeyDer::from_pem_file(dir.join("client.key")).expect("a key");
            let config = config.with_client_auth_cert(vec![own], key);
            config.expect("a certificate with its key")
        }
    }
}

/// The client's address, and the connection if there is one.
pub(crate) async fn try_connect(
    address: &str,
    name: &str,
    config: ClientConfig,
) -> (String, std::io::Result<Client<TlsStream<TcpStream>>>) {
    let stream = TcpStream::connect(address).await.expect("connect");
    let own = stream.local_addr().expect("its own address").to_string();
    let name = ServerName::try_from(name.to_owned()).expect("a name");
    let connected = TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await;
    let client = connected.map(|stream| Client::over(stream, own.clone()));
    (own, client)
}

async fn connect(address: &str, config: ClientConfig) -> Client<TlsStream<TcpStream>> {
    let (_, client) = try_connect(address, "127.0.0.1", config).await;
    client.expect("a connection with TLS")
}

fn ports(metadata: &MetadataResponse) -> Vec<i32> {
    metadata.brokers.iter().map(|broker| broker.port).collect()
}

/// The ports of addresses joined with commas.
fn ports_of(servers: &str) -> Vec<i32> {
    let ports = servers.split(',').map(|server| server.rsplit(':').next());
    ports
        .map(|port| port.expect("a port").parse().expect("a number"))
        .collect()
}

#[tokio::test]
async fn who_trusts_the_ca_comes_in_by_every_name_of_this_machine() {
    let dir = certificates();
    let broker = start(&dir, false).await;
    for name in ["localhost", "127.0.0.1", "::1"] {
        let (_, client) = try_connect(&tls_address(&broker), name, config(dir.path(), None)).await;
        let mut client = client.expect("the certificate is for this name");
        client.metadata().await.expect("served");
    }
}

#[tokio::test]
async fn who_does_not_trust_us_goes_and_the_log_says_why() {
    let (dir, other) = (certificates(), certificates());
    let broker = start(&dir, false).await;
    let address = tls_address(&broker);
    let (own, client) = try_connect(&address, "127.0.0.1", config(other.path(), None)).await;
    assert!(client.is_err(), "another CA is trusted");
    log::says(&own, "the client does not trust our certificate").await;
    let (own, client) = try_connect(&address, "kafka.example", config(dir.path(), None)).await;
    assert!(client.is_err(), "the certificate is for another machine");
    log::says(&own, "a host name that is in it").await;
}

#[tokio::test]
async fn plaintext_is_turned_away_from_the_port_with_tls_and_tls_from_the_other() {
    let dir = certificates();
    let broker = start(&dir, false).await;
    let mut plaintext = Client::connect(&tls_address(&broker)).await;
    plaintext.metadata().await.expect_err("not served");
    log::says(&plaintext.address, "the client does not speak TLS").await;
    let servers = broker.bootstrap_servers();
    let (own, client) = try_connect(&servers, "127.0.0.1", config(dir.path(), None)).await;
    assert!(client.is_err(), "TLS works on a port without it");
    log::says(&own, "the client speaks TLS").await;
}

#[tokio::test]
async fn a_client_certificate_is_demanded_where_it_is_said_so() {
    let (dir, other) = (certificates(), certificates());
    let broker = start(&dir, true).await;
    let address = tls_address(&broker);
    let shown = config(dir.path(), Some(dir.path()));
    connect(&address, shown)
        .await
        .metadata()
        .await
        .expect("served");
    for (shown, reason) in [
        (None, "the client gave no certificate"),
        (Some(other.path()), "it is not from our CA"),
    ] {
        // With TLS 1.3 the client believes to be in before the broker has looked at its certificate.
        let config = config(dir.path(), shown);
        let (own, client) = try_connect(&address, "127.0.0.1", config).await;
        if let Ok(mut client) = client {
            client.metadata().await.expect_err("not served");
        }
        log::says(&own, reason).await;
    }
    // Who is not asked for one may have one all the same.
    let broker = start(&dir, false).await;
    let shown = config(dir.path(), Some(other.path()));
    let mut client = connect(&tls_address(&broker), shown).await;
    client.metadata().await.expect("served");
}

#[tokio::test]
async fn clients_are_told_the_addresses_of_the_kind_that_they_came_by() {
    let dir = certificates();
    let builder = Broker::builder()
        .nodes(3)
        .tls_listen("127.0.0.1:0")
        .tls_dir(dir.path());
    let broker = builder.start().await.expect("a broker");
    let (plaintext, tls) = (broker.bootstrap_servers(), tls_address(&broker));
    let node_0 = tls.split(',').next().expect("an address");
    let mut by_tls = connect(node_0, config(dir.path(), None)).await;
    let mut by_plaintext = Client::connect(&broker.node_address(0).expect("node 0")).await;

    let metadata = by_tls.metadata().await.expect("served");
    assert_eq!(ports(&metadata), ports_of(&tls));
    let metadata = by_plaintext.metadata().await.expect("served");
    assert_eq!(ports(&metadata), ports_of(&plaintext));

    let cluster = by_tls.send(0, DescribeClusterRequest::default()).await;
    let told: Vec<i32> = cluster.brokers.iter().map(|broker| broker.port).collect();
    assert_eq!(told, ports_of(&tls));

    let keys = vec![StrBytes::from_static_str("a-group")];
    let request = FindCoordinatorRequest::default().with_coordinator_keys(keys);
    let found = by_tls.send(4, request).await.coordinators;
    let [Coordinator { port, node_id, .. }] = &found[..] else {
        panic!("{found:?} is not one coordinator");
    };
    let id = usize::try_from(node_id.0).expect("an id");
    assert_eq!(*port, ports_of(&tls)[id]);
}

#[tokio::test]
async fn a_node_that_is_stopped_and_started_has_both_listeners_again() {
    let dir = certificates();
    let broker = start(&dir, false).await;
    let address = tls_address(&broker);
    broker.stop_node(0).expect("stop");
    TcpStream::connect(&address)
        .await
        .expect_err("nobody listens");
    broker.start_node(0).expect("start");
    let mut client = connect(&address, config(dir.path(), None)).await;
    client.metadata().await.expect("served");
    let mut client = Client::connect(&broker.bootstrap_servers()).await;
    client.metadata().await.expect("served");
}

#[tokio::test]
async fn sasl_is_demanded_behind_tls_too() {
    let dir = certificates();
    let users = SaslUsers::from_pairs([("alice", "wonderland")]).expect("users");
    let builder = Broker::builder()
        .tls_listen("127.0.0.1:0")
        .tls_dir(dir.path())
        .sasl_users(users);
    let broker = builder.start().await.expect("a broker");
    let mut client = connect(&tls_address(&broker), config(dir.path(), None)).await;
    client.metadata().await.expect_err("not served");
    log::says(&client.address, "security.protocol=SASL_SSL").await;
    let mut client = connect(&tls_address(&broker), config(dir.path(), None)).await;
    assert_eq!(client.handshake("PLAIN").await.error_code, 0);
    let answer = client.authenticate(b"\0alice\0wonderland").await;
    assert_eq!(answer.error_code, 0);
    client.metadata().await.expect("served");
}

#[tokio::test]
async fn certificates_are_never_overwritten_and_keys_are_for_their_owner() {
    let dir = certificates();
    let key = std::fs::read(dir.path().join("server.key")).expect("a key");
    let again = write_certificates(dir.path());
    assert!(matches!(again, Err(CertificatesError::Unwritable { .. })));
    let kept = std::fs::read(dir.path().join("server.key")).expect("a key");
    assert_eq!(key, kept);
    #[cfg(unix)]
    for name in ["server.key", "client.key"] {
        use std::os::unix::fs::PermissionsExt;
        let metadata = std::fs::metadata(dir.path().join(name)).expect("a file");
        assert_eq!(metadata.permissions().mode() & 0o777, 0o600, "{name}");
    }
}

#[tokio::test]
async fn certificates_that_are_missing_or_wrong_are_named() {
    let dir = certificates();
    let builder = || Broker::builder().tls_listen("127.0.0.1:0");
    let error = builder().start().await.expect_err("no folder was given");
    assert!(matches!(error, StartError::NoCertificates), "{error}");
    std::fs::write(dir.path().join("server.pem"), "nonsense").expect("write");
    let error = builder().tls_dir(dir.path()).start().await;
    let error = error.expect_err("there is no certificate").to_string();
    assert!(error.contains("server.pem"), "{error}");
    assert!(error.contains("embedded-broker certs"), "{error}");
}
