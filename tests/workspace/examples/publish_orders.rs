//! The use case that knows no Kafka, behind a topic and without one.

use kafka_event_streaming::config::IsolationLevel::ReadCommitted;
use kafka_event_streaming::event;
use kafka_event_streaming::order::OrderEvent;
use kafka_event_streaming::topic_contents;
use workspace_tests::free_port;

use crate::common::Kafka;
use crate::program::{Example, assert_readable, last_line};

static EXAMPLE: Example = Example::new("publish_orders");

/// S1-20, S1-13, S1-14: two topics and one client, behind traits, in a scope that flushes.
#[tokio::test]
async fn orders_go_to_the_topic_that_their_total_asks_for() {
    let kafka = Kafka::start().await;
    let output = EXAMPLE.run(kafka.cluster().servers().as_str(), &[]);
    assert!(output.success, "{output:#?}");
    assert_readable(&output);
    let words: Vec<&str> = last_line(&output).split_whitespace().collect();
    let ["published", "6", "orders", "to", retail, "and", wholesale] = words[..] else {
        panic!("{output:#?}")
    };
    assert_eq!(
        orders(&kafka, retail).await,
        ["order-of-1", "order-of-2", "order-of-3", "order-of-7"]
    );
    assert_eq!(
        orders(&kafka, wholesale).await,
        ["order-of-250", "order-of-40"]
    );
}

/// The ids of the orders that stand in a topic, sorted.
async fn orders(kafka: &Kafka, topic: &str) -> Vec<String> {
    let mut ids = Vec::new();
    topic_contents::read(kafka.cluster(), topic, ReadCommitted, |record| {
        ids.push(event::decode_record::<OrderEvent>(record).unwrap().order_id);
    })
    .await
    .unwrap();
    ids.sort();
    ids
}

/// S1-20: the same code without a broker.
#[test]
fn a_rehearsal_needs_no_broker() {
    let nobody = format!("127.0.0.1:{}", free_port());
    let output = EXAMPLE.run(&nobody, &["--rehearse"]);
    assert!(output.success, "{output:#?}");
    assert!(
        output.stdout.contains("order-of-250   875.00\n"),
        "{output:#?}"
    );
    assert_eq!(last_line(&output), "rehearsed 6 orders, sent 0");
}

/// Without a broker it says so at once, and what to do.
#[test]
fn without_a_broker_it_says_so() {
    EXAMPLE.assert_says_that_no_broker_answers();
}
