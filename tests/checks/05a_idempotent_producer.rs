//! The check of exercise 5a. The stub in exercises/, the solution in solutions/ and the answers in tests/answers mount it.

#[allow(dead_code, reason = "other checks need more of it")]
#[path = "support/mod.rs"]
mod support;

use std::time::Duration;

use embedded_broker::{ApiKey, Broker, ErrorCode};
use rdkafka::producer::future_producer::OwnedDeliveryResult;
use rdkafka::producer::{DeliveryFuture, FutureProducer, FutureRecord};

use super::settings;
use support::{create_topic, names_its_broker, returns, runtime, start_broker};

const TOPIC: &str = "payments";
const PAYMENTS: usize = 100;
const MISSING: &str = "the producer has not reported on every record";

fn broker() -> Broker {
    let broker = start_broker();
    create_topic(&broker, TOPIC, 1);
    broker
}

/// A producer with the learner's settings, and some that make more of a fault: several requests on their way at once, and
/// short pauses before the next try.
fn producer(broker: &Broker) -> FutureProducer {
    let mut settings = settings(&broker.bootstrap_servers());
    names_its_broker(&settings, broker);
    settings
        .set("linger.ms", "0")
        .set("batch.num.messages", "10")
        .set("retry.backoff.ms", "20")
        .set("reconnect.backoff.ms", "20");
    settings
        .create()
        .unwrap_or_else(|error| panic!("no producer can be made of `settings`: {error}"))
}

/// Sends all payments, and demands that each was delivered, once and in order. The first one is delivered before `faults`
/// begin, the others follow without waiting in between.
///
/// A partition that does not know a producer takes any number as its first. If the very first batch were refused and the
/// second one taken, the first would be lost with the right settings as well: chapter 5, question 6.
fn pay(broker: Broker, faults: impl FnOnce(&Broker) + Send + 'static) {
    let producer = producer(&broker);
    returns(MISSING, move || {
        let payments: Vec<String> = (0..PAYMENTS).map(|number| number.to_string()).collect();
        let (first, others) = payments.split_at(1);
        let mut reports = send(&producer, first);
        faults(&broker);
        reports.extend(send(&producer, others));
        let stored = broker.records(TOPIC, 0).unwrap();
        let stored: Vec<&str> = stored
            .iter()
            .filter_map(|record| record.value_str())
            .collect();
        for (payment, report) in payments.iter().zip(reports) {
            let copies = stored.iter().filter(|stored| *stored == payment).count();
            if let Err((error, _)) = report {
                panic!(
                    "payment {payment} was not delivered ({error}), though the broker was back after a moment; the log holds \
                     it {copies} times. A producer has to try again, for as long as a broker may take to come back. \
                     Chapter 5, 'One copy each'."
                );
            }
            assert!(
                copies > 0,
                "payment {payment} was reported as delivered, and is not in the log: who does not wait for the broker's \
                 answer knows nothing. Chapter 5, 'One copy each'."
            );
            assert!(
                copies == 1,
                "payment {payment} is in the log twice: the broker had written it, its answer was lost, and the producer sent \
                 it again. The broker has to know that it is the same. Chapter 5, 'One copy each'."
            );
        }
        let first = stored.first().copied().unwrap_or_default();
        assert!(
            stored == payments,
            "the payments are in another order than they were sent, beginning with payment {first}: a request failed and \
             was sent again behind later ones. The broker has to know their order. Chapter 5, 'One copy each'."
        );
    });
}

/// Queues payments one after the other, and waits for their reports.
fn send(producer: &FutureProducer, payments: &[String]) -> Vec<OwnedDeliveryResult> {
    let queued: Vec<DeliveryFuture> = payments
        .iter()
        .map(|payment| {
            let record = FutureRecord::<str, str>::to(TOPIC).payload(payment);
            let queued = producer.send_result(record);
            queued
                .map_err(|(error, _)| error)
                .expect("the queue has room")
        })
        .collect();
    runtime().block_on(async {
        let mut reports = Vec::new();
        for queued in queued {
            reports.push(queued.await.expect("a producer reports on every record"));
        }
        reports
    })
}

#[test]
fn a_lost_answer_is_not_a_second_copy() {
    pay(broker(), |broker| {
        let produce = broker.faults().on(ApiKey::Produce);
        produce.times(2).apply_then_drop();
    });
}

#[test]
fn a_request_that_failed_does_not_end_up_behind_later_ones() {
    pay(broker(), |broker| {
        let produce = || broker.faults().on(ApiKey::Produce);
        // Later requests are on their way before the first is answered.
        produce().delay(Duration::from_millis(5));
        // Were the second one refused as well, both would be sent again in their order.
        produce().once().error(ErrorCode::NotEnoughReplicas);
    });
}

#[test]
fn a_broker_that_is_away_for_a_moment_loses_nothing() {
    pay(broker(), |broker| {
        let produce = broker.faults().on(ApiKey::Produce);
        produce.times(4).drop_connection();
    });
}
