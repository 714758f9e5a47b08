//! The check of exercise 10a. The stub in exercises/, the solution in solutions/ and the answers in tests/answers mount it.

#[allow(dead_code, reason = "other checks need more of it")]
#[path = "support/mod.rs"]
mod support;

use std::thread;
use std::time::{Duration, Instant};

use embedded_broker::{ApiKey, Broker, ErrorCode};
use rdkafka::producer::{FutureProducer, Producer, PurgeConfig};

use super::{Reading, TOPIC, send_all, settings};
use support::{PATIENCE, committed_records, create_topics, names_its_broker, start_broker};

const PARTITIONS: i32 = 3;
const SENSORS: usize = 6;
const READINGS: usize = 2_000;
/// A request that carries fewer readings on average is no batch worth the name.
const READINGS_A_REQUEST: u64 = 20;
/// Less than all readings: the queue is full in between.
const QUEUE: &str = "500";

fn broker() -> Broker {
    let broker = start_broker();
    create_topics(&broker, PARTITIONS, &[TOPIC]);
    broker
}

/// Each sensor counts up.
fn readings() -> Vec<Reading> {
    (0..READINGS)
        .map(|number| Reading {
            sensor: format!("sensor-{}", number % SENSORS),
            value: (number / SENSORS).to_string(),
        })
        .collect()
}

fn producer(broker: &Broker) -> FutureProducer {
    let mut settings = settings(&broker.bootstrap_servers());
    names_its_broker(&settings, broker);
    settings
        .set("client.id", "gateway")
        .set("queue.buffering.max.messages", QUEUE)
        .set("retry.backoff.ms", "10")
        .create()
        .expect("librdkafka has to accept what `settings` returns, with a queue of 500 records")
}

/// How many requests with readings came, and how many readings are in the log.
fn counts(broker: &Broker) -> (u64, u64) {
    let snapshot = broker.snapshot();
    let partitions = snapshot.topic(TOPIC).map(|topic| &topic.partitions);
    let partitions = partitions.into_iter().flatten();
    let stored: i64 = partitions.map(|partition| partition.high_watermark).sum();
    let requests = broker.requests().client_id("gateway");
    (requests.count(ApiKey::Produce), stored.unsigned_abs())
}

/// Each reading is in the log once, and each sensor's are in their order.
fn judge(broker: &Broker) {
    let records: Vec<_> = (0..PARTITIONS)
        .flat_map(|partition| committed_records(broker, TOPIC, partition))
        .collect();
    for sensor in 0..SENSORS {
        let sensor = format!("sensor-{sensor}");
        let of_sensor = records
            .iter()
            .filter(|record| record.key_str() == Some(&sensor));
        let found: Vec<&str> = of_sensor.filter_map(|record| record.value_str()).collect();
        let all = readings();
        let expected = all.iter().filter(|reading| reading.sensor == sensor);
        for reading in expected.clone() {
            let copies = found
                .iter()
                .filter(|value| **value == reading.value)
                .count();
            assert!(
                copies > 0,
                "`send_all` returned Ok, and reading {} of {sensor} was not in the log then: await every delivery report, and \
                 when the queue is full wait for room instead of leaving the reading out. Chapter 10, 'Pipelining'.",
                reading.value
            );
            assert!(
                copies == 1,
                "reading {} of {sensor} is in the log {copies} times. A batch was written, its answer was lost, and it was \
                 sent again: only an idempotent producer (`enable.idempotence`) can do that. And hand each reading to the \
                 producer once. Chapter 10, 'Fast and safe'.",
                reading.value
            );
        }
        let swapped = found.windows(2).find(|pair| {
            let number = |text: &str| text.parse::<usize>().unwrap_or_default();
            number(pair[0]) > number(pair[1])
        });
        if let Some(pair) = swapped {
            panic!(
                "reading {} of {sensor} is in the log behind reading {}: hand over one reading after the other. When the queue \
                 is full, wait for room before the next one, and do not leave it to tasks that each try again. Chapter 10, \
                 'Pipelining'.",
                pair[1], pair[0]
            );
        }
    }
}

/// Runs `send_all`, and ends early where each reading has a request of its own: that would take a minute.
fn send(broker: &Broker) -> anyhow::Result<()> {
    let producer = producer(broker);
    let run = thread::spawn(move || {
        // Of several threads, so that tasks which race each other do.
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let outcome = runtime.block_on(send_all(&producer, &readings()));
        // Kept until then: what is queued is lost with it.
        (outcome, producer)
    });
    let deadline = Instant::now() + PATIENCE;
    while !run.is_finished() {
        let (requests, stored) = counts(broker);
        assert!(
            requests < 15 || stored > 3 * requests,
            "{requests} requests have carried {stored} readings, and there are {READINGS}: nearly every one has a request of \
             its own. Hand the next reading over before the report of this one is there, flush nothing, and await the \
             reports afterwards. Chapter 10, 'Pipelining'."
        );
        assert!(
            Instant::now() < deadline,
            "after {PATIENCE:?} `send_all` has not returned, and {stored} of {READINGS} readings are in the log"
        );
        thread::sleep(Duration::from_millis(2));
    }
    let finished = run.join();
    let (outcome, producer) = finished.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    // Where a reading was not delivered by now, it is not to be delivered after the verdict.
    producer.purge(PurgeConfig::default().queue().inflight());
    outcome
}

#[test]
fn readings_travel_in_batches() {
    let broker = broker();
    if let Err(error) = send(&broker) {
        panic!(
            "the broker takes everything, and `send_all` returned the error {error:#}. A full queue is no error: wait for the \
             oldest report, and hand the reading over again. Chapter 10, 'Pipelining'."
        );
    }
    judge(&broker);
    let (requests, _) = counts(&broker);
    assert!(
        requests * READINGS_A_REQUEST <= READINGS as u64,
        "{READINGS} readings took {requests} requests: fewer than {READINGS_A_REQUEST} readings a request. Let a batch wait for \
         more (`linger.ms`), and hand readings over without waiting. Chapter 10, 'Pipelining'."
    );
}

#[test]
fn an_answer_that_is_lost_doubles_and_swaps_nothing() {
    let broker = broker();
    let faults = broker.faults();
    let produce = || faults.on(ApiKey::Produce).client_id("gateway").once();
    produce().apply_then_drop();
    produce().error(ErrorCode::NotLeaderOrFollower);
    produce().apply_then_error(ErrorCode::RequestTimedOut);
    if let Err(error) = send(&broker) {
        panic!(
            "answers were lost, which a producer deals with by itself, and `send_all` returned the error {error:#}. Chapter \
             10, 'Fast and safe'."
        );
    }
    judge(&broker);
}

#[test]
fn a_reading_that_is_refused_is_an_error() {
    let broker = broker();
    let faults = broker.faults();
    let refused = faults.on(ApiKey::Produce).client_id("gateway").once();
    let refused = refused.error(ErrorCode::TopicAuthorizationFailed);
    let outcome = send(&broker);
    assert!(refused.hits() > 0, "no reading was sent");
    assert!(
        outcome.is_err(),
        "the broker refused a batch, and `send_all` returned Ok: those readings are lost, and nobody learns of it. Look at \
         every delivery report. Chapter 10, 'Fast and safe'."
    );
}
