//! The check of exercise 6b. The stub in exercises/, the solution in solutions/ and the answers in tests/answers mount it.

#[allow(dead_code, reason = "other checks need more of it")]
#[path = "support/mod.rs"]
mod support;

use embedded_broker::{ApiKey, Broker, ErrorCode, RecordView};
use rdkafka::ClientConfig;
use rdkafka::consumer::{Consumer, StreamConsumer};
use rdkafka::message::{Header, Headers, OwnedHeaders};
use rdkafka::producer::{BaseRecord, FutureProducer};

use super::{
    DEAD_LETTERS, ERROR_HEADER, OFFSET_HEADER, ORDERS, PARTITION_HEADER, TOPIC_HEADER,
    consumer_settings, run,
};
use support::{create_topics, returns, runtime, start_broker, write_records};

const GROUP: &str = "stock";
/// What stands in the middle of good orders: no text, with a key and headers that are none either.
const POISON: &[u8] = b"\xff\xfe\x00 12 \xc3";
const POISON_KEY: &[u8] = b"customer-\x80";
const POISON_OFFSET: i64 = 1;

fn poison_headers() -> OwnedHeaders {
    OwnedHeaders::new()
        .insert(Header {
            key: "source",
            value: Some("shop".as_bytes()),
        })
        .insert(Header {
            key: "signature",
            value: Some(&[0_u8, 159, 146, 150][..]),
        })
        // A name may come twice, and a value may be missing.
        .insert(Header {
            key: "source",
            value: Some("till".as_bytes()),
        })
        .insert(Header::<&[u8]> {
            key: "empty",
            value: None,
        })
}

/// Orders of 2, poison, of 3, of 4 with no payload at all, and of 5.
fn stock() -> Broker {
    let broker = start_broker();
    create_topics(&broker, 1, &[ORDERS, DEAD_LETTERS]);
    let record = || BaseRecord::<[u8], [u8]>::to(ORDERS).partition(0);
    let records = [
        record().key(b"customer-1").payload(b"2"),
        record()
            .key(POISON_KEY)
            .payload(POISON)
            .headers(poison_headers()),
        record().payload(b"3"),
        // A tombstone: an order that was withdrawn, which nobody told this program of.
        record().key(b"customer-4"),
        record().key(b"customer-1").payload(b"5"),
    ];
    write_records(&broker, records.into_iter());
    broker
}

/// Runs the loop over all five records.
fn work(broker: &Broker) -> anyhow::Result<u64> {
    let servers = broker.bootstrap_servers();
    let missing = "the loop did not end: `set_aside` has to return when the dead letter's delivery report is there";
    let run_all = async move || {
        let producer: FutureProducer = ClientConfig::new()
            .set("bootstrap.servers", &servers)
            .create()
            .unwrap();
        let consumer: StreamConsumer = consumer_settings(&servers, GROUP)
            .set("fetch.wait.max.ms", "50")
            .create()
            .unwrap();
        consumer.subscribe(&[ORDERS]).unwrap();
        run(&consumer, &producer, 5).await
    };
    returns(missing, move || runtime().block_on(run_all()))
}

fn letters(broker: &Broker) -> Vec<RecordView> {
    broker.records(DEAD_LETTERS, 0).unwrap()
}

fn text(bytes: Option<&[u8]>) -> String {
    bytes.map_or_else(
        || "nothing".to_owned(),
        |bytes| format!("{:?}", String::from_utf8_lossy(bytes)),
    )
}

fn headers_text(headers: &[(String, Option<Vec<u8>>)]) -> String {
    let headers = headers.iter();
    let texts: Vec<String> = headers
        .map(|(key, value)| format!("{key}={}", text(value.as_deref())))
        .collect();
    texts.join(", ")
}

#[test]
fn a_dead_letter_is_its_record_and_says_where_it_was() {
    let broker = stock();
    let ordered = work(&broker)
        .expect("a poison record is no reason to stop, and the broker took its dead letter");
    assert!(
        ordered == 10,
        "2, 3 and 5 were ordered, which is not {ordered}"
    );
    let letters = letters(&broker);
    assert!(
        letters.len() == 2,
        "two records could not be worked on, and {} dead letters are there: one for each. Chapter 6, 'Dead letters'.",
        letters.len()
    );
    let letter = &letters[0];
    assert!(
        letter.value.as_deref() == Some(POISON),
        "the dead letter does not hold the record's payload, but {}: hand the bytes over as they are. Whoever takes \
         them for text loses what was wrong with them. Chapter 6, 'Dead letters'.",
        text(letter.value.as_deref())
    );
    assert!(
        letter.key.as_deref() == Some(POISON_KEY),
        "the dead letter does not hold the record's key, but {}: hand the bytes over as they are. Chapter 6, 'Dead \
         letters'.",
        text(letter.key.as_deref())
    );
    let originals: Vec<(String, Option<Vec<u8>>)> = poison_headers()
        .iter()
        .map(|header| (header.key.to_owned(), header.value.map(<[u8]>::to_vec)))
        .collect();
    assert!(
        letter.headers.starts_with(&originals),
        "the dead letter does not begin with the record's headers, but has {}: keep all of them, in their order, a name \
         that comes twice and one without a value too. Chapter 6, 'Dead letters'.",
        headers_text(&letter.headers)
    );
    for (letter, offset) in letters.iter().zip([POISON_OFFSET, 3]) {
        for (header, expected) in [
            (TOPIC_HEADER, ORDERS.to_owned()),
            (PARTITION_HEADER, "0".to_owned()),
            (OFFSET_HEADER, offset.to_string()),
        ] {
            assert!(
                letter.header(header) == Some(expected.as_bytes()),
                "the header {header} of the dead letter says {}, and the record was at {expected:?}: nobody finds it \
                 again. Chapter 6, 'Dead letters'.",
                text(letter.header(header))
            );
        }
        assert!(
            letter
                .header(ERROR_HEADER)
                .is_some_and(|error| !error.is_empty()),
            "the header {ERROR_HEADER} of the dead letter does not say what was wrong. Chapter 6, 'Dead letters'."
        );
    }
    let withdrawn = &letters[1];
    assert!(
        withdrawn.value.is_none() && withdrawn.key.as_deref() == Some(b"customer-4"),
        "a record without a payload became a dead letter with the payload {} and the key {}. Chapter 6, 'Dead letters'.",
        text(withdrawn.value.as_deref()),
        text(withdrawn.key.as_deref())
    );
    let committed = broker.snapshot().committed(GROUP, ORDERS, 0);
    assert!(
        committed == Some(5),
        "all five records are dealt with, and the group has committed {committed:?}: a record that was set aside is \
         committed too. Chapter 6, 'First the dead letter, then the commit'."
    );
}

#[test]
fn what_is_not_set_aside_is_not_committed() {
    let broker = stock();
    broker
        .faults()
        .on(ApiKey::Produce)
        .topic(DEAD_LETTERS)
        .error(ErrorCode::TopicAuthorizationFailed);
    let outcome = work(&broker);
    let committed = broker.snapshot().committed(GROUP, ORDERS, 0);
    assert!(
        committed.is_none_or(|committed| committed <= POISON_OFFSET),
        "the broker did not take the dead letter of record {POISON_OFFSET}, and offset {} was committed: the record is \
         lost. Send, await the delivery report, and commit only when it is good. Chapter 6, 'First the dead letter, then \
         the commit'.",
        committed.unwrap_or_default()
    );
    assert!(letters(&broker).is_empty());
    assert!(
        outcome.is_err(),
        "the broker did not take the dead letter, and `run` returned {outcome:?}: make the delivery report's error \
         yours, or nobody learns of it. Chapter 6, 'First the dead letter, then the commit'."
    );
}
