//! The check of exercise 1b. The stub in exercises/, the solution in solutions/ and the answers in tests/answers mount it.

#[allow(dead_code, reason = "other checks need more of it")]
#[path = "support/mod.rs"]
mod support;

use std::thread;
use std::time::{Duration, Instant};

use embedded_broker::{ApiKey, Broker, ErrorCode};
use rdkafka::ClientConfig;
use rdkafka::producer::{DeliveryFuture, FutureProducer, Producer};

use super::{enqueue, finish};
use support::{create_topic, returns, runtime, start_broker};

type Reports = Vec<DeliveryFuture>;

const TOPIC: &str = "readings";
/// By then a record without an answer is given up, so that a program which waits for that returns as well.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(2);
/// Queueing takes less than a millisecond.
const AT_ONCE: Duration = Duration::from_secs(1);
const MISSING: &str = "`finish` did not return. Chapter 1, 'Flush before exit'.";

fn broker() -> Broker {
    let broker = start_broker();
    create_topic(&broker, TOPIC, 1);
    broker
}

fn producer(broker: &Broker) -> FutureProducer {
    let producer: FutureProducer = ClientConfig::new()
        .set("bootstrap.servers", broker.bootstrap_servers())
        .set("linger.ms", "5")
        // One request after the other, so that most of 1000 readings are still in the queue when the first is answered.
        .set("batch.num.messages", "100")
        .set("max.in.flight.requests.per.connection", "1")
        .set(
            "message.timeout.ms",
            DELIVERY_TIMEOUT.as_millis().to_string(),
        )
        .create()
        .unwrap();
    // It knows the partitions from here on, so that what is counted below is records.
    let client = producer.client();
    client
        .fetch_metadata(Some(TOPIC), support::PATIENCE)
        .unwrap();
    producer
}

fn readings(count: usize) -> Vec<String> {
    (0..count)
        .map(|number| format!("{number} degrees"))
        .collect()
}

fn count(broker: &Broker) -> usize {
    broker.records(TOPIC, 0).unwrap().len()
}

/// `enqueue`, which must not wait for a broker that is slow or says nothing.
fn queue(producer: FutureProducer, count: usize) -> (FutureProducer, anyhow::Result<Reports>) {
    let enqueued = thread::spawn(move || {
        let reports = enqueue(&producer, TOPIC, &readings(count));
        (producer, reports)
    });
    let deadline = Instant::now() + AT_ONCE;
    while !enqueued.is_finished() {
        assert!(
            Instant::now() < deadline,
            "`enqueue` was still waiting after {AT_ONCE:?}: whoever waits for one record before the next is queued can send \
             nothing together. Queue them all, and wait once, in `finish`. Chapter 1, 'Flush before exit'."
        );
        thread::sleep(Duration::from_millis(1));
    }
    enqueued
        .join()
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

#[test]
fn everything_arrives_though_the_broker_is_slow() {
    let broker = broker();
    let slow = broker.faults().on(ApiKey::Produce);
    slow.delay(Duration::from_millis(50));
    let (producer, reports) = queue(producer(&broker), 1000);
    let reports = reports.expect("the queue has room, so `enqueue` has to return Ok");
    assert_eq!(
        reports.len(),
        1000,
        "every reading has a delivery report of its own: return one future each"
    );
    let outcome = returns(MISSING, move || {
        runtime().block_on(finish(producer, reports, support::PATIENCE))
    });
    let arrived = count(&broker);
    assert_eq!(
        arrived, 1000,
        "of 1000 readings {arrived} are in the log, and the program has ended (`finish` returned {outcome:?}). The others \
         were in the producer's queue, which is memory: wait until it is empty. Chapter 1, 'Flush before exit'."
    );
    outcome.expect("everything was delivered, so `finish` has to return Ok");
}

#[test]
fn what_is_left_is_an_error_that_says_how_many() {
    let broker = broker();
    broker.faults().on(ApiKey::Produce).hold();
    let patience = Duration::from_millis(300);
    let (producer, reports) = queue(producer(&broker), 7);
    let reports = reports.expect("the queue has room, so `enqueue` has to return Ok");
    let (outcome, waited) = returns(MISSING, move || {
        let started = Instant::now();
        let outcome = runtime().block_on(finish(producer, reports, patience));
        // A producer that is dropped with records in it takes up to half a second to throw them away.
        (outcome, started.elapsed())
    });
    let Err(error) = outcome else {
        panic!(
            "the broker answered nothing, 7 records were still in the queue after {patience:?}, and `finish` returned Ok: \
             they are lost, and nobody knows. Pass on the error of `flush`. Chapter 1, 'Flush before exit'."
        );
    };
    assert!(
        waited < Duration::from_millis(1500),
        "`finish` took {waited:.1?}, and its patience was {patience:?}: whoever stops a program kills it when it takes too \
         long. Wait with a limit. Chapter 1, 'Flush before exit'."
    );
    let text = format!("{error:#}");
    assert!(
        text.contains('7'),
        "7 records are left, and the error does not say so: {text:?}. `in_flight_count` counts them. Chapter 1, 'Flush \
         before exit'."
    );
}

#[test]
fn a_record_that_the_broker_refused_is_an_error() {
    let broker = broker();
    broker
        .faults()
        .on(ApiKey::Produce)
        .error(ErrorCode::TopicAuthorizationFailed);
    let (producer, reports) = queue(producer(&broker), 3);
    let outcome = returns(MISSING, move || {
        runtime().block_on(finish(producer, reports?, support::PATIENCE))
    });
    assert!(
        outcome.is_err(),
        "the broker refused all 3 records, and `finish` returned Ok: `flush` waits until every record was answered, and a \
         refusal is an answer. Look at each delivery report. Chapter 1, 'Flush before exit'."
    );
}
