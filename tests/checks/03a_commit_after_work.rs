//! The check of exercise 3a. The stub in exercises/, the solution in solutions/ and the answers in tests/answers mount it.

#[allow(dead_code, reason = "other checks need more of it")]
#[path = "support/mod.rs"]
mod support;

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use embedded_broker::{ApiKey, Broker, ErrorCode};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::BorrowedMessage;

use super::{TOPIC, order, run, settings};
use support::{create_topic, names_its_broker, returns, start_broker, write};

const GROUP: &str = "kitchen";
/// So many orders are to be stored. There is one more in the log, so that a loop which does not end is seen at once.
const ORDERS: usize = 10;
/// The order at which something goes wrong.
const UNLUCKY: usize = 4;
const MISSING: &str = "`run` has not returned: it has to return when the orders of `count` records are stored, and when one \
                       could not be. Chapter 3, 'Commit after the work'.";

/// A broker with orders from 0 on; each stands at the offset that is its number.
fn kitchen() -> Arc<Broker> {
    let broker = start_broker();
    create_topic(&broker, TOPIC, 1);
    let orders: Vec<String> = (0..=ORDERS).map(|number| number.to_string()).collect();
    let orders: Vec<&str> = orders.iter().map(String::as_str).collect();
    write(&broker, TOPIC, 0, &orders);
    Arc::new(broker)
}

fn consumer(broker: &Broker, client_id: &str) -> BaseConsumer {
    let mut settings = settings(&broker.bootstrap_servers(), GROUP);
    names_its_broker(&settings, broker);
    let begins = settings.get("auto.offset.reset").unwrap_or("largest");
    assert!(
        ["earliest", "smallest", "beginning"].contains(&begins),
        "a new group begins at the end of the topic, so it does not see the orders that are there already: set \
         auto.offset.reset. Chapter 3, 'Where a group begins'."
    );
    settings
        .set("client.id", client_id)
        .set("heartbeat.interval.ms", "100")
        .set("fetch.wait.max.ms", "50");
    let consumer: BaseConsumer = settings
        .create()
        .expect("a consumer can be made of `settings`");
    consumer
        .subscribe(&[TOPIC])
        .expect("only a member of a group can subscribe: set group.id to what `settings` is told");
    consumer
}

fn committed(broker: &Broker) -> usize {
    let committed = broker.snapshot().committed(GROUP, TOPIC, 0);
    committed.map_or(0, |offset| usize::try_from(offset).unwrap())
}

/// The order in a record.
fn number(record: &BorrowedMessage<'_>) -> anyhow::Result<usize> {
    Ok(order(record)?.parse()?)
}

/// How often each order was stored.
type Stored = [usize; ORDERS];

/// Takes note that an order was stored.
fn store(broker: &Broker, stored: &mut Stored, order: usize) {
    if order < ORDERS {
        stored[order] += 1;
        return;
    }
    nothing_is_lost(broker, stored);
    goes_on();
}

fn goes_on() -> ! {
    panic!(
        "`run` was told to store {ORDERS} orders, and goes on with another one: count those that are stored, and return when \
         there are `count` of them. Chapter 3, 'Commit after the work'."
    );
}

/// Runs the program a second time, from where it has to go on, and demands that nothing was lost.
fn run_again(broker: &Broker, stored: &mut Stored) {
    let before = committed(broker);
    let outcome = run(
        &consumer(broker, "second run"),
        ORDERS.saturating_sub(before),
        &mut |record| {
            store(broker, stored, number(record)?);
            Ok(())
        },
    );
    outcome.expect("nothing goes wrong in the second run, so `run` has to return Ok");
    nothing_is_lost(broker, stored);
}

fn nothing_is_lost(broker: &Broker, stored: &Stored) {
    if let Some(lost) = stored.iter().position(|times| *times == 0) {
        panic!(
            "order {lost} was never stored, and the committed offset is {}: nobody will read it again. When an order cannot \
             be stored, return the error, and commit neither it nor what comes after it. The client must not commit by \
             itself what was only polled (enable.auto.commit). Chapter 3, 'Commit after the work'.",
            committed(broker)
        );
    }
}

#[test]
fn an_order_is_stored_before_its_offset_is_committed() {
    let broker = kitchen();
    let watched = Arc::clone(&broker);
    returns(MISSING, move || {
        let consumer = consumer(&watched, "first run");
        let mut next = 0;
        let outcome = run(&consumer, ORDERS, &mut |record| {
            let order = number(record)?;
            if order == ORDERS {
                goes_on();
            }
            // Work that takes a moment, in which a commit that was sent before would arrive.
            thread::sleep(Duration::from_millis(20));
            assert!(
                committed(&watched) <= next,
                "offset {next} was committed before order {order} was stored: a crash here loses it. Chapter 3, 'Commit \
                 after the work'."
            );
            assert_eq!(
                order, next,
                "the next order of the partition has to come next"
            );
            next += 1;
            Ok(())
        });
        outcome.expect("every order was stored, so `run` has to return Ok");
        assert_eq!(next, ORDERS, "`run` was told to store {ORDERS} orders");
    });
    // The consumer was closed: what it still had to commit is there.
    let committed = committed(&broker);
    assert!(
        committed > 0,
        "all {ORDERS} orders are stored, and the group has committed nothing: after a restart all of them come again. \
         Chapter 3, 'Commit after the work'."
    );
    assert!(
        committed != ORDERS - 1,
        "order {committed} is stored, and the committed offset is {committed}: one too few. It is the next offset to be read, \
         so the record's offset plus 1. Chapter 3, 'The committed offset is the next one'."
    );
    assert_eq!(
        committed, ORDERS,
        "all {ORDERS} orders are stored, and this is the committed offset"
    );
}

#[test]
fn an_order_that_could_not_be_stored_comes_again() {
    let broker = kitchen();
    returns(MISSING, move || {
        let mut stored: Stored = [0; ORDERS];
        let mut failures_left = 1;
        let first = consumer(&broker, "first run");
        let outcome = run(&first, ORDERS, &mut |record| {
            let order = number(record)?;
            if order == UNLUCKY && failures_left > 0 {
                failures_left -= 1;
                anyhow::bail!("the disk is full");
            }
            store(&broker, &mut stored, order);
            Ok(())
        });
        // As at the end of a program: whatever the client commits when it is closed.
        drop(first);
        match outcome {
            Err(_) => run_again(&broker, &mut stored),
            // It tried again by itself, perhaps.
            Ok(()) => nothing_is_lost(&broker, &stored),
        }
    });
}

#[test]
fn a_crash_between_the_work_and_the_commit_repeats_the_work() {
    let broker = kitchen();
    returns(MISSING, move || {
        let mut stored: Stored = [0; ORDERS];
        let first = consumer(&broker, "first run");
        let outcome = run(&first, ORDERS, &mut |record| {
            let order = number(record)?;
            assert!(
                order <= UNLUCKY,
                "the work on order {UNLUCKY} has failed, and `run` goes on with order {order}: return the error. Chapter 3, \
                 'Commit after the work'."
            );
            store(&broker, &mut stored, order);
            if order == UNLUCKY {
                // The machine is off: from here on this program commits nothing.
                let commits = broker.faults().on(ApiKey::OffsetCommit);
                let commits = commits.client_id("first run");
                commits.error(ErrorCode::GroupAuthorizationFailed);
                anyhow::bail!("the power failed");
            }
            Ok(())
        });
        // Nothing closes the consumer of a machine that is off.
        std::mem::forget(first);
        assert!(outcome.is_err(), "the power failed, and `run` returned Ok");
        broker
            .expire_member(GROUP, "first run")
            .expect("the consumer of the first run was a member of the group");
        assert!(
            committed(&broker) <= UNLUCKY,
            "order {UNLUCKY} was being stored when the power failed, and was committed already. Chapter 3, 'Commit after \
             the work'."
        );
        run_again(&broker, &mut stored);
        assert!(
            stored[UNLUCKY] > 1,
            "order {UNLUCKY} was not committed when the power failed, so it has to come again"
        );
    });
}
