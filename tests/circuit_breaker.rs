//! A circuit breaker around a producer whose broker is away, and comes up.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends by a panic"
)]

use std::net::TcpListener;
use std::time::{Duration, Instant};

use embedded_broker::Broker;
use kafka_event_streaming::Error;
use kafka_event_streaming::circuit_breaker::{CallError, CircuitBreaker, Settings, State};
use kafka_event_streaming::config::{Cluster, ProducerSettings};
use kafka_event_streaming::producer::RecordProducer;

const PATIENCE: Duration = Duration::from_secs(20);

/// S1-18: while the broker is away nobody waits for it, and records flow again once it is there.
#[tokio::test]
async fn a_broker_that_is_away_is_waited_for_by_probes_alone() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let settings = ProducerSettings {
        delivery_timeout: Duration::from_millis(300),
        ..ProducerSettings::reliable()
    };
    let cluster = Cluster::new(address.parse().unwrap());
    let producer = RecordProducer::new(&cluster, &settings).unwrap();
    let breaker = CircuitBreaker::new(Settings {
        failures: 2,
        open_for: Duration::from_millis(500),
        probes: 1,
    });
    let send = || breaker.call(|| producer.send("orders", b"order-1", b"2 coffees"));

    for _ in 0..2 {
        let error = send().await.unwrap_err();
        assert!(
            matches!(error, CallError::Failed(Error::NotDelivered { .. })),
            "{error:?}"
        );
    }
    let started = Instant::now();
    let error = send().await.unwrap_err();
    assert!(matches!(error, CallError::Open { .. }), "{error:?}");
    assert!(
        started.elapsed() < settings.delivery_timeout,
        "a refused call waited for the broker: {:?}",
        started.elapsed()
    );

    let _broker = Broker::builder().listen(&address).start().await.unwrap();
    let deadline = Instant::now() + PATIENCE;
    while breaker.snapshot().state != State::Closed {
        assert!(
            Instant::now() < deadline,
            "the broker is up and the circuit still is not closed: {:?}",
            breaker.snapshot()
        );
        if let Err(CallError::Open { retry_after }) = send().await {
            tokio::time::sleep(retry_after).await;
        }
    }
    let snapshot = breaker.snapshot();
    assert_eq!(snapshot.succeeded, 1, "{snapshot:?}");
    assert!(
        snapshot.opened >= 1 && snapshot.refused >= 1,
        "{snapshot:?}"
    );
    send().await.unwrap();
}
