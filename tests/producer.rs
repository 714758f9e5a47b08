//! Producers against a broker: what arrives, what is counted, and what is said when it does not arrive. Tests that make
//! things go wrong start an embedded broker of their own.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends by a panic"
)]

mod common;
mod producing;

use std::collections::BTreeSet;
use std::error::Error as _;
use std::time::{Duration, Instant};

use common::Kafka;
use embedded_broker::{ApiKey, ErrorCode};
use jiff::Timestamp;
use kafka_event_streaming::Error;
use kafka_event_streaming::config::{ConsumerSettings, Guarantee, ProducerSettings};
use kafka_event_streaming::consumer::{Polled, RecordConsumer};
use kafka_event_streaming::event::{self, Event};
use kafka_event_streaming::event_producer::EventProducer;
use kafka_event_streaming::ledger::Ledger;
use kafka_event_streaming::order::OrderEvent;
use kafka_event_streaming::producer::{Record, RecordProducer};
use kafka_event_streaming::topics::unique_name;
use kafka_event_streaming::trace_context::{self, TraceContext};
use producing::{Own, PATIENCE, Step, Unspeakable, order, steps};
use rdkafka::Message;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::{Header, OwnedHeaders, OwnedMessage};

/// All records of a topic with `count` of them, by a consumer group.
async fn read(kafka: &Kafka, topic: &str, count: usize) -> Vec<OwnedMessage> {
    let settings = ConsumerSettings::reliable(&unique_name("group"));
    let consumer = RecordConsumer::new(kafka.cluster(), &settings, &[topic]).unwrap();
    let deadline = Instant::now() + PATIENCE;
    let mut records = Vec::new();
    while records.len() < count {
        if let Ok(Polled::Record(record)) = consumer.next(Duration::from_millis(200)).await {
            records.push(record);
        }
        assert!(
            Instant::now() < deadline,
            "{} of {count} records within {PATIENCE:?}",
            records.len()
        );
    }
    consumer.close().await.unwrap();
    records
}

fn text<'a>(record: &'a OwnedMessage, name: &str) -> Option<&'a str> {
    event::header(record, name).map(|value| std::str::from_utf8(value).unwrap())
}

/// S1-20, S1-04, S2-05: basic use. The order's id is the key; timestamp and source are on every record, with type and
/// version.
#[tokio::test]
async fn an_event_arrives_with_its_key_and_headers() {
    let kafka = Kafka::start().await;
    let topic = kafka.topic(3).await;
    let cluster = kafka.cluster().clone().with_service("shop").unwrap();
    let producer = EventProducer::new(&cluster, &topic, &ProducerSettings::reliable()).unwrap();
    let before = Timestamp::now() - Duration::from_millis(1);
    let delivery = producer.send(&order(1)).await.unwrap();
    assert_eq!((&*delivery.topic, delivery.offset), (topic.as_str(), 0));

    let records = read(&kafka, &topic, 1).await;
    let record = &records[0];
    assert_eq!(
        (record.partition(), record.offset()),
        (delivery.partition, delivery.offset)
    );
    assert_eq!(record.key(), Some(&b"order-1"[..]));
    assert_eq!(
        event::decode_record::<OrderEvent>(record).unwrap(),
        order(1)
    );
    assert_eq!(text(record, "source"), Some("shop"));
    assert_eq!(text(record, "event-type"), Some("order"));
    assert_eq!(text(record, "schema-version"), Some("2"));
    assert_eq!(text(record, "traceparent"), None);
    let timestamp = text(record, "timestamp").unwrap();
    assert!(
        timestamp.ends_with('Z') && timestamp.len() == 24,
        "{timestamp}"
    );
    let sent: Timestamp = timestamp.parse().unwrap();
    assert!((before..=Timestamp::now()).contains(&sent), "{timestamp}");
}

/// S1-20: multi-topic routing. Two typed producers share one client, and a match chooses.
#[tokio::test]
async fn events_are_routed_to_topics_by_what_they_hold() {
    let kafka = Kafka::start().await;
    let (paid_topic, open_topic) = (kafka.topic(1).await, kafka.topic(1).await);
    let records = RecordProducer::new(kafka.cluster(), &ProducerSettings::reliable()).unwrap();
    let paid = EventProducer::sharing(&records, &paid_topic);
    let open = EventProducer::sharing(&records, &open_topic);
    let mut pending = Vec::new();
    for number in 0..10 {
        let mut event = order(number);
        if number % 2 == 0 {
            event.status = "paid".to_owned();
        }
        let producer = match event.status.as_str() {
            "paid" => &paid,
            _ => &open,
        };
        pending.push(producer.enqueue(&event).await.unwrap());
    }
    records.flush(PATIENCE).await.unwrap();
    for (topic, status) in [(&paid_topic, "paid"), (&open_topic, "placed")] {
        for record in read(&kafka, topic, 5).await {
            let event: OrderEvent = event::decode_record(&record).unwrap();
            assert_eq!(event.status, status);
        }
    }
}

/// S1-20: throughput tuning and low latency. The profiles carry events like any other settings.
#[tokio::test]
async fn every_profile_delivers_every_event() {
    let kafka = Kafka::start().await;
    for settings in [
        ProducerSettings::reliable(),
        ProducerSettings::high_throughput(),
        ProducerSettings::low_latency(),
    ] {
        let topic = kafka.topic(3).await;
        let producer = EventProducer::new(kafka.cluster(), &topic, &settings).unwrap();
        let sent = producer.send_all(steps(20, 50)).await.unwrap();
        assert_eq!(sent, 1_000);
        producer.close(PATIENCE).await;
        assert_eq!(read(&kafka, &topic, sent).await.len(), sent);
    }
}

/// Raw records keep what they were given, and get nothing added: a dead letter stays what it was.
#[tokio::test]
async fn a_record_of_bytes_keeps_its_headers_and_partition() {
    let kafka = Kafka::start().await;
    let topic = kafka.topic(3).await;
    let producer = RecordProducer::new(kafka.cluster(), &ProducerSettings::reliable()).unwrap();
    let headers = OwnedHeaders::new().insert(Header {
        key: "origin",
        value: Some("orders-2@7"),
    });
    // Not so long ago that retention takes it away.
    let an_hour_ago = Timestamp::now().as_millisecond() - 3_600_000;
    let record = Record {
        key: None,
        partition: Some(2),
        timestamp: Some(an_hour_ago),
        ..Record::new(&topic, b"", b"payload").with_headers(headers)
    };
    let pending = producer.enqueue_record(record).await.unwrap();
    assert_eq!(pending.await.unwrap().partition, 2);
    let tombstone = Record {
        payload: None,
        ..Record::new(&topic, b"key", b"")
    };
    let pending = producer.enqueue_record(tombstone).await.unwrap();
    pending.await.unwrap();

    let mut records = read(&kafka, &topic, 2).await;
    records.sort_by_key(|record| record.payload().is_none());
    assert_eq!(records[0].key(), None);
    assert_eq!(records[0].timestamp().to_millis(), Some(an_hour_ago));
    assert_eq!(text(&records[0], "origin"), Some("orders-2@7"));
    assert_eq!(text(&records[0], "timestamp"), None);
    assert_eq!(
        (records[1].key(), records[1].payload()),
        (Some(&b"key"[..]), None)
    );
}

/// S1-03: what librdkafka refuses is a typed error when the producer is made, not at the first record.
#[tokio::test]
async fn settings_that_librdkafka_refuses_are_an_error_at_construction() {
    let own = Own::start().await;
    let settings = ProducerSettings {
        queue_records: u32::MAX,
        ..ProducerSettings::reliable()
    };
    let error = EventProducer::<OrderEvent>::new(&own.cluster, "orders", &settings).unwrap_err();
    assert!(matches!(error, Error::Client { .. }), "{error:?}");
    let cause = error.source().unwrap().to_string();
    assert!(cause.contains("queue.buffering.max.messages"), "{cause}");
}

/// S1-03, X4: linger and batch size decide how many requests carry a thousand records; a flush after each one makes a
/// request of every record.
#[tokio::test]
async fn records_travel_in_batches_unless_each_is_flushed() {
    let own = Own::start().await;
    let topic = own.topic(1).await;
    let produced = || own.broker.requests().count(ApiKey::Produce);
    let settings = ProducerSettings {
        linger: Duration::from_millis(50),
        ..ProducerSettings::reliable()
    };
    let producer = EventProducer::new(&own.cluster, &topic, &settings).unwrap();
    producer.send_all(steps(10, 100)).await.unwrap();
    assert!(
        produced() <= 10,
        "{} requests for 1,000 records",
        produced()
    );

    own.broker.requests().clear();
    let settings = ProducerSettings::low_latency();
    let producer = EventProducer::new(&own.cluster, &topic, &settings).unwrap();
    for step in steps(1, 20) {
        let _pending = producer.enqueue(&step).await.unwrap();
        producer.flush(PATIENCE).await.unwrap();
    }
    assert_eq!(produced(), 20);
}

/// S1-06, X5: why an event was not encoded or not delivered is one typed error with its source, and `send` returns it.
#[tokio::test]
async fn a_failure_to_encode_or_to_deliver_is_returned_with_its_source() {
    let own = Own::start().await;
    let topic = own.topic(1).await;
    let records = RecordProducer::new(&own.cluster, &ProducerSettings::reliable()).unwrap();
    let error = EventProducer::sharing(&records, &topic)
        .send(&Unspeakable::default())
        .await
        .unwrap_err();
    assert!(matches!(
        error,
        Error::Encode {
            event_type: "unspeakable",
            ..
        }
    ));
    assert_eq!(error.source().unwrap().to_string(), "key must be a string");

    let producer = EventProducer::sharing(&records, &topic);
    let refusal = own
        .broker
        .faults()
        .on(ApiKey::Produce)
        .error(ErrorCode::TopicAuthorizationFailed);
    let error = producer.send(&order(1)).await.unwrap_err();
    assert!(error.to_string().contains(&topic), "{error}");
    let Error::NotDelivered { source, .. } = &error else {
        panic!("{error:?}");
    };
    assert_eq!(
        source.rdkafka_error_code(),
        Some(RDKafkaErrorCode::TopicAuthorizationFailed)
    );
    assert!(error.source().is_some());
    // The client is as good as before, once it has a new epoch for the sequence numbers that were refused: librdkafka
    // asks for one half a second later, and until then gives every record the same answer.
    refusal.clear();
    let deadline = Instant::now() + PATIENCE;
    while let Err(error) = producer.send(&order(1)).await {
        assert!(
            Instant::now() < deadline,
            "still after {PATIENCE:?}: {error}"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// X5, S1-20: many at a time. The first failure ends it, and the count of what arrived all the same is exact.
#[tokio::test]
async fn sending_many_stops_at_the_first_failure_and_counts_what_arrived() {
    let own = Own::start().await;
    let topic = own.topic(1).await;
    let producer = EventProducer::new(&own.cluster, &topic, &ProducerSettings::reliable()).unwrap();
    // The tenth does not fit in a request.
    let events = (0..20).map(|number| {
        let mut event = order(number);
        if number == 9 {
            event.customer_id = "x".repeat(2_000_000);
        }
        event
    });
    let error = producer.send_all(events).await.unwrap_err();
    let Error::SendAllStopped { delivered, source } = error else {
        panic!("{error:?}");
    };
    assert_eq!(delivered, 9);
    assert!(matches!(*source, Error::NotDelivered { .. }), "{source:?}");
    assert_eq!(own.broker.records(&topic, 0).unwrap().len(), 9);

    // Borrowed events do as well, and a refusal by the broker stops them.
    let refusal = own
        .broker
        .faults()
        .on(ApiKey::Produce)
        .error(ErrorCode::TopicAuthorizationFailed);
    let events: Vec<OrderEvent> = (0..20).map(order).collect();
    let error = producer.send_all(&events).await.unwrap_err();
    assert!(
        matches!(error, Error::SendAllStopped { delivered: 0, .. }),
        "{error:?}"
    );
    refusal.clear();
}

/// S1-04, S1-05: acknowledgements are lost again and again, and still there is one copy of each record, and those of one
/// key are in order.
#[tokio::test]
async fn lost_answers_leave_one_copy_in_order() {
    let (own, topic, ledger) = send_with_lost_answers(Guarantee::Idempotent).await;
    for partition in 0..3 {
        for record in own.broker.records(&topic, partition).unwrap() {
            let step: Step = event::decode(&record.value.unwrap(), None, None).unwrap();
            ledger.seen(&step.order, step.number);
        }
    }
    let report = ledger.report();
    assert!(
        report.is_exactly_once() && report.reordered == 0,
        "{report}"
    );
    assert_eq!(report.sent, 2_000);
}

/// S1-05: without sequence numbers the same lost answers leave second copies. Nothing is lost.
#[tokio::test]
async fn without_idempotence_lost_answers_leave_duplicates() {
    let (own, topic, ledger) = send_with_lost_answers(Guarantee::AtLeastOnce).await;
    for partition in 0..3 {
        for record in own.broker.records(&topic, partition).unwrap() {
            let step: Step = event::decode(&record.value.unwrap(), None, None).unwrap();
            ledger.seen(&step.order, step.number);
        }
    }
    let report = ledger.report();
    assert!(report.is_at_least_once(), "{report}");
    assert!(report.duplicated > 0, "{report}");
}

/// A limit that Kafka and librdkafka 2.12 have together, and that nobody should have to find out at night. A partition that
/// does not know a producer takes any number as its first (KIP-360). So it takes the second batch when it has refused the
/// first one, and librdkafka concludes that the first one is there too (`rd_kafka_dr_implicit_ack`). When this fails, one of
/// them was mended: say so in chapter 5 of the book.
#[tokio::test]
async fn a_refused_first_batch_is_lost_when_the_second_is_taken() {
    for is_known in [false, true] {
        let own = Own::start().await;
        let topic = own.topic(1).await;
        let settings = ProducerSettings {
            // Each record is a batch.
            batch_bytes: 1,
            ..ProducerSettings::low_latency()
        };
        let producer = RecordProducer::new(&own.cluster, &settings).unwrap();
        if is_known {
            producer.send(&topic, b"key", b"known").await.unwrap();
        }
        let produce = || own.broker.faults().on(ApiKey::Produce).topic(&topic);
        // All are on their way before the first is answered.
        produce().delay(Duration::from_millis(100));
        let refused = produce().once().error(ErrorCode::NotEnoughReplicas);
        let mut reports = Vec::new();
        for payload in ["1", "2", "3"] {
            let report = producer.enqueue(&topic, b"key", payload.as_bytes());
            reports.push(report.await.unwrap());
        }
        for report in reports {
            report.await.unwrap();
        }
        assert_eq!(refused.hits(), 1);
        let written = own.broker.records(&topic, 0).unwrap();
        let written: Vec<&str> = written
            .iter()
            .filter_map(|record| record.value_str())
            .collect();
        if is_known {
            assert_eq!(written, ["known", "1", "2", "3"]);
        } else {
            assert_eq!(written, ["2", "3"]);
        }
    }
}

/// Sends 2,000 steps of 20 orders in small batches, every fourth of which is written and never confirmed.
async fn send_with_lost_answers(guarantee: Guarantee) -> (Own, String, Ledger) {
    let own = Own::start().await;
    let topic = own.topic(3).await;
    let settings = ProducerSettings {
        guarantee,
        batch_bytes: 2_000,
        ..ProducerSettings::reliable()
    };
    let producer = EventProducer::new(&own.cluster, &topic, &settings).unwrap();
    let lost = own
        .broker
        .faults()
        .on(ApiKey::Produce)
        .topic(&topic)
        .probability(0.25, 1)
        .times(4)
        .apply_then_drop();
    let sent = producer.send_all(steps(20, 100)).await.unwrap();
    assert_eq!(sent, 2_000);
    assert!(lost.hits() == 4, "only {} answers were lost", lost.hits());
    let ledger = Ledger::new();
    for step in steps(20, 100) {
        ledger.sent(&step.order, step.number);
    }
    (own, topic, ledger)
}

/// S1-08: a flush that runs out of time says how many records are left, and a later one finds none.
#[tokio::test]
async fn a_flush_on_a_silent_broker_counts_what_is_left() {
    let own = Own::start().await;
    let topic = own.topic(1).await;
    let producer = EventProducer::new(&own.cluster, &topic, &ProducerSettings::reliable()).unwrap();
    producer.send(&order(0)).await.unwrap();
    own.pause();
    let mut pending = Vec::new();
    for number in 1..=5 {
        pending.push(producer.enqueue(&order(number)).await.unwrap());
    }
    let error = producer
        .flush(Duration::from_millis(200))
        .await
        .unwrap_err();
    assert!(
        matches!(error, Error::FlushIncomplete { remaining: 5, .. }),
        "{error:?}"
    );
    own.resume();
    producer.flush(PATIENCE).await.unwrap();
    for (number, report) in (1..).zip(pending) {
        assert_eq!(report.await.unwrap().offset, number);
    }
}

/// A full queue makes senders wait, and no longer than the delivery timeout.
#[tokio::test]
async fn a_full_queue_makes_senders_wait_with_a_bound() {
    let own = Own::start().await;
    let topic = own.topic(1).await;
    let settings = ProducerSettings {
        queue_records: 5,
        ..ProducerSettings::reliable()
    };
    let producer = EventProducer::new(&own.cluster, &topic, &settings).unwrap();
    producer.send(&order(0)).await.unwrap();
    own.pause();
    let mut pending = Vec::new();
    for number in 1..=5 {
        pending.push(producer.enqueue(&order(number)).await.unwrap());
    }
    let sixth = order(6);
    let mut waiting = std::pin::pin!(producer.enqueue(&sixth));
    let early = tokio::time::timeout(Duration::from_millis(100), &mut waiting).await;
    assert!(
        early.is_err(),
        "the sixth record found room in a queue of five"
    );
    own.resume();
    let report = tokio::time::timeout(PATIENCE, waiting)
        .await
        .expect("there has to be room again after a batch has gone");
    assert_eq!(report.unwrap().await.unwrap().offset, 6);

    let settings = ProducerSettings {
        queue_records: 2,
        delivery_timeout: Duration::from_secs(1),
        ..ProducerSettings::reliable()
    };
    let producer = EventProducer::new(&own.cluster, &topic, &settings).unwrap();
    own.pause();
    let events = (0..4).map(order);
    let error = tokio::time::timeout(PATIENCE, producer.send_all(events))
        .await
        .expect("waiting for room has to end")
        .unwrap_err();
    assert!(
        matches!(error, Error::SendAllStopped { delivered: 0, .. }),
        "{error:?}"
    );
}

/// S2-06: a process's producers for three topics are one client at the broker, however many clones there are.
#[tokio::test]
async fn producers_that_share_are_one_client_at_the_broker() {
    let own = Own::start().await;
    let topics = [own.topic(1).await, own.topic(1).await, own.topic(1).await];
    own.broker.requests().clear();
    let records = RecordProducer::new(&own.cluster, &ProducerSettings::reliable()).unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for topic in &topics {
        let producer = EventProducer::sharing(&records, topic);
        for _ in 0..3 {
            let producer = producer.clone();
            tasks.spawn(async move { producer.send(&order(1)).await.unwrap() });
        }
    }
    assert_eq!(tasks.join_all().await.len(), 9);
    let requests = own.broker.requests();
    let clients: BTreeSet<String> = requests
        .latest()
        .into_iter()
        .filter(|request| request.api != ApiKey::ApiVersions)
        .map(|request| request.client_id)
        .collect();
    assert_eq!(clients.len(), 1, "{clients:?}");
    // An idempotent producer asks for its id once.
    assert_eq!(requests.count(ApiKey::InitProducerId), 1);

    // A producer with a client of its own is another one.
    let other =
        EventProducer::new(&own.cluster, &topics[0], &ProducerSettings::reliable()).unwrap();
    other.send(&order(1)).await.unwrap();
    assert_eq!(requests.count(ApiKey::InitProducerId), 2);
}

/// S2-06: closed once, for everybody: the second call has nothing to do, and nobody's record is taken and then lost.
#[tokio::test]
async fn closing_one_closes_the_shared_client_once() {
    let own = Own::start().await;
    let topic = own.topic(1).await;
    let records = RecordProducer::new(&own.cluster, &ProducerSettings::reliable()).unwrap();
    let first = EventProducer::sharing(&records, &topic);
    let second = EventProducer::sharing(&records, &topic);
    let pending = first.enqueue(&order(1)).await.unwrap();
    first.close(PATIENCE).await;
    assert_eq!(pending.await.unwrap().offset, 0);
    let error = second.send(&order(2)).await.unwrap_err();
    assert!(matches!(error, Error::ProducerClosed { .. }), "{error:?}");

    own.pause();
    let again = Instant::now();
    second.close(PATIENCE).await;
    assert!(again.elapsed() < PATIENCE / 2, "it flushed again");
    assert_eq!(own.broker.records(&topic, 0).unwrap().len(), 1);
}

/// S1-10: an event that is sent within a trace carries it on, and no other does.
#[tokio::test]
async fn an_event_carries_the_trace_that_it_is_sent_in() {
    let kafka = Kafka::start().await;
    let topic = kafka.topic(1).await;
    let producer =
        EventProducer::new(kafka.cluster(), &topic, &ProducerSettings::reliable()).unwrap();
    let example = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let trace = TraceContext::parse(example, Some("congo=t61rcWkgMzE")).unwrap();
    trace_context::within(trace, producer.send(&order(1)))
        .await
        .unwrap();
    producer.send(&order(2)).await.unwrap();

    let records = read(&kafka, &topic, 2).await;
    assert_eq!(text(&records[0], "traceparent"), Some(example));
    assert_eq!(text(&records[0], "tracestate"), Some("congo=t61rcWkgMzE"));
    assert_eq!(text(&records[1], "traceparent"), None);

    // What is sent while a record is worked on belongs to its trace.
    trace_context::follow(&records[0], producer.send(&order(3)))
        .await
        .unwrap();
    let records = read(&kafka, &topic, 3).await;
    assert_eq!(text(&records[2], "traceparent"), Some(example));
}

/// The contract of the trait that tests of this file rely on.
#[test]
fn a_step_is_keyed_by_its_order() {
    let step = steps(1, 1).next().unwrap();
    assert_eq!(step.key(), "order-0");
}
