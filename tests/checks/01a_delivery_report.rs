//! The check of exercise 1a. The stub in exercises/, the solution in solutions/ and the answers in tests/answers mount it.

#[allow(dead_code, reason = "other checks need more of it")]
#[path = "support/mod.rs"]
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpListener;
use std::time::Duration;

use embedded_broker::Broker;
use rdkafka::ClientConfig;
use rdkafka::producer::FutureProducer;

use super::{address, deliver};
use support::{PATIENCE, create_topic, runtime, start_broker};

const TOPIC: &str = "orders";
const PARTITIONS: i32 = 3;
/// How long a producer without a broker tries.
const DELIVERY_TIMEOUT: Duration = Duration::from_millis(500);
/// By then its report is there: rdkafka looks for those that ran out once a second.
const GIVES_UP: Duration = Duration::from_secs(3);

/// What is stored at a partition's offset: key and payload.
type Log = BTreeMap<(i32, i64), (String, String)>;

#[test]
fn a_record_says_where_it_goes() {
    let record = address("orders", "customer-1", "2 coffees");
    assert_eq!(
        record.topic, "orders",
        "a record is addressed to its topic: FutureRecord::to(topic)"
    );
    assert_eq!(
        record.payload,
        Some("2 coffees"),
        "the order is the record's payload: .payload(order)"
    );
    assert_eq!(
        record.key,
        Some("customer-1"),
        "the customer is the record's key: .key(customer). Without it one customer's orders are spread over all \
         partitions, and are read in any order"
    );
    assert_eq!(
        record.partition, None,
        "leave the partition to the producer, which takes it from the key"
    );
}

#[test]
fn every_order_is_in_the_log_where_its_report_says() {
    let broker = start_broker();
    create_topic(&broker, TOPIC, PARTITIONS);
    let producer = producer(&broker.bootstrap_servers(), PATIENCE);
    let orders: Vec<_> = (0..12)
        .map(|number| {
            (
                format!("customer-{}", number % 4),
                format!("order {number}"),
            )
        })
        .collect();

    let mut reported = Log::new();
    for (customer, order) in &orders {
        let delivery = deliver(&producer, address(TOPIC, customer, order));
        let report = runtime().block_on(in_time(delivery)).expect(
            "the broker runs and took the record, so `deliver` has to return Ok with the delivery report",
        );
        let place = (report.partition, report.offset);
        let before = reported.insert(place, (customer.clone(), order.clone()));
        assert!(
            before.is_none(),
            "two orders were reported at partition {}, offset {}: an offset is given once. Return what the delivery \
             report says, not something of your own. Chapter 1, 'Read the report'.",
            place.0,
            place.1
        );
    }

    let stored = log(&broker);
    assert_eq!(
        stored.len(),
        reported.len(),
        "of {} orders that you reported as delivered, {} are in the log: hand every record to the producer once, and \
         return when its report is there",
        reported.len(),
        stored.len()
    );
    for (place, (customer, order)) in &reported {
        let (partition, offset) = place;
        let (stored_key, stored_payload) = stored.get(place).cloned().unwrap_or_default();
        assert_eq!(
            &stored_payload, order,
            "you reported {order:?} at partition {partition}, offset {offset}, and that is not what the log holds \
             there: return the partition and offset of this record's delivery report. Chapter 1, 'Read the report'."
        );
        assert_eq!(
            &stored_key, customer,
            "{order:?} is in the log, but not with its customer as the key"
        );
    }
    for customer in reported.values().map(|(customer, _)| customer) {
        let of_this_customer = reported.iter().filter(|(_, (other, _))| other == customer);
        let partitions: BTreeSet<i32> = of_this_customer
            .map(|((partition, _), _)| *partition)
            .collect();
        assert_eq!(
            partitions.len(),
            1,
            "the orders of {customer} are in partitions {partitions:?}: equal keys have to meet in one partition"
        );
    }
}

#[test]
fn a_record_that_did_not_arrive_is_an_error() {
    // Bound and freed again: nothing listens on this port.
    let nobody = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let producer = producer(&nobody.to_string(), DELIVERY_TIMEOUT);
    let outcome = deliver(&producer, address("orders", "customer-1", "2 coffees"));
    let outcome = runtime().block_on(async { tokio::time::timeout(GIVES_UP, outcome).await }).expect(
        "`deliver` was still trying long after the producer had given the record up: report the error, once. How long \
         to try is the producer's `message.timeout.ms`, and the caller has to learn that it was in vain. Chapter 1, 'Read \
         the report'.",
    );
    assert!(
        outcome.is_err(),
        "no broker was running, and `deliver` returned {outcome:?}: the record was queued and never arrived. Only the \
         delivery report tells; make its error yours. Chapter 1, 'Read the report'."
    );
}

/// A future that ends by itself, or a message that says what it waited for.
async fn in_time<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.expect(
        "`deliver` did not return: await the delivery report of this record, and nothing else. Chapter 1, 'Read the report'.",
    )
}

fn producer(servers: &str, delivery_timeout: Duration) -> FutureProducer {
    ClientConfig::new()
        .set("bootstrap.servers", servers)
        .set(
            "message.timeout.ms",
            delivery_timeout.as_millis().to_string(),
        )
        .create()
        .unwrap()
}

/// What the broker has written.
fn log(broker: &Broker) -> Log {
    let mut log = Log::new();
    for partition in 0..PARTITIONS {
        for record in broker.records(TOPIC, partition).unwrap() {
            let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
            let entry = (text(record.key_str()), text(record.value_str()));
            log.insert((partition, record.offset), entry);
        }
    }
    log
}
