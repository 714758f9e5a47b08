//! Metrics over HTTP, as a client on the other end of a connection sees them. Needs the cargo feature `observability`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends by a panic"
)]

use std::sync::Arc;
use std::time::Duration;

use kafka_event_streaming::delivery::DeliveryObserver;
use kafka_event_streaming::metrics::Metrics;
use kafka_event_streaming::metrics_server::{CONTENT_TYPE, MetricsServer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const PATIENCE: Duration = Duration::from_secs(20);

async fn serve() -> MetricsServer {
    let metrics = Arc::new(Metrics::new());
    metrics.delivered("orders", Duration::from_millis(2));
    MetricsServer::start("127.0.0.1:0", metrics).await.unwrap()
}

/// Sends a request, byte for byte, and returns all that comes back: head and body.
async fn ask(server: &MetricsServer, first_line: &str) -> (String, String) {
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    let request = format!("{first_line}\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    let read = stream.read_to_string(&mut answer);
    tokio::time::timeout(PATIENCE, read).await.unwrap().unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_lowercase(), body.to_owned())
}

/// S1-19: what Prometheus asks for, and with which type.
#[tokio::test]
async fn the_numbers_are_at_metrics() {
    let server = serve().await;
    let (head, body) = ask(&server, "GET /metrics HTTP/1.1").await;
    assert!(head.starts_with("http/1.1 200 "), "{head}");
    assert!(
        head.contains(&format!("content-type: {CONTENT_TYPE}")),
        "{head}"
    );
    let line = "kafka_producer_records_total{topic=\"orders\",outcome=\"delivered\"} 1";
    assert!(body.lines().any(|found| found == line), "{body}");
    assert!(body.ends_with("# EOF\n"), "{body}");
    assert_eq!(server.url(), format!("http://{}/metrics", server.address()));
}

#[tokio::test]
async fn nothing_else_is_there() {
    let server = serve().await;
    for (first_line, status, says) in [
        ("GET / HTTP/1.1", "404", "/metrics"),
        ("GET /metrics/ HTTP/1.1", "404", "/metrics"),
        ("POST /metrics HTTP/1.1", "405", ""),
        ("HEAD /metrics HTTP/1.1", "200", ""),
    ] {
        let (head, body) = ask(&server, first_line).await;
        assert!(head.starts_with(&format!("http/1.1 {status} ")), "{head}");
        assert!(body.contains(says), "{first_line}: {body}");
        assert_eq!(body.is_empty(), says.is_empty(), "{first_line}: {body}");
    }
}

/// Clients that say nothing, and nonsense, hold up nobody.
#[tokio::test]
async fn strange_clients_hold_up_nobody() {
    let server = serve().await;
    let silent = TcpStream::connect(server.address()).await.unwrap();
    let mut strange = TcpStream::connect(server.address()).await.unwrap();
    strange.write_all(&[0x16, 3, 1, 2, 0, 1]).await.unwrap();
    let (head, _) = ask(&server, "GET /metrics HTTP/1.1").await;
    assert!(head.starts_with("http/1.1 200 "), "{head}");
    drop(silent);
}

#[tokio::test]
async fn it_stops_when_it_is_dropped() {
    let server = serve().await;
    let address = server.address();
    let mut open = TcpStream::connect(address).await.unwrap();
    open.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await
        .unwrap();
    let mut first = [0; 1];
    open.read_exact(&mut first).await.unwrap();
    drop(server);
    // The connection that is open ends, too.
    let mut rest = Vec::new();
    let _ = tokio::time::timeout(PATIENCE, open.read_to_end(&mut rest))
        .await
        .expect("the connection is still there");
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while TcpStream::connect(address).await.is_ok() {
        assert!(tokio::time::Instant::now() < deadline, "it still listens");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
