//! The check of exercise 7b. The stub in exercises/, the solution in solutions/ and the answers in tests/answers mount it.

#[allow(dead_code, reason = "other checks need more of it")]
#[path = "support/mod.rs"]
mod support;

use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use embedded_broker::{ApiKey, Broker, ErrorCode};

use super::{BOOKINGS, MOST_ATTEMPTS, Till, Transfer};
use support::{
    Verdict, all_at_once, committed_records, create_topics, eventually, finishes, returns,
    start_broker,
};

/// The `transactional.id`.
const INSTANCE: &str = "till-1";
/// An instance that is fenced off learns it from the next answer. Whoever goes on for this long does not listen.
const STOPS_WITHIN: Duration = Duration::from_secs(1);
/// How often a transfer that fails each time may be begun before the check stops counting.
const FAR_TOO_OFTEN: u64 = 2 * MOST_ATTEMPTS as u64 + 2;

const TRANSFERS: [Transfer; 3] = [
    Transfer {
        from: "alice",
        to: "bob",
        euros: 1,
    },
    Transfer {
        from: "bob",
        to: "carol",
        euros: 2,
    },
    Transfer {
        from: "carol",
        to: "dave",
        euros: 3,
    },
];

const ZOMBIES: &str = "Chapter 7, 'Zombies and fencing'.";

fn bank() -> Broker {
    let broker = start_broker();
    create_topics(&broker, 1, &[BOOKINGS]);
    broker
}

fn open(broker: &Broker) -> Till {
    Till::open(&broker.bootstrap_servers(), INSTANCE).expect("`open` is part of the stub")
}

/// The bookings that can be read, as `account euros`.
fn bookings(broker: &Broker) -> Vec<String> {
    let records = committed_records(broker, BOOKINGS, 0);
    let bookings = records.iter().map(|record| {
        let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
        format!("{} {}", text(record.key_str()), text(record.value_str()))
    });
    bookings.collect()
}

fn bookings_of(transfers: &[Transfer]) -> Vec<String> {
    let bookings = transfers.iter().flat_map(|Transfer { from, to, euros }| {
        [format!("{from} -{euros}"), format!("{to} +{euros}")]
    });
    bookings.collect()
}

/// One instance makes a transfer and hangs, in its next one at the request `hangs_at` or else ahead of it. Another one takes
/// over, and then the first goes on.
fn fence(hangs_at: Option<ApiKey>) -> Verdict {
    let what = match hangs_at {
        None => "fenced off between two transfers".to_owned(),
        Some(api) => format!("fenced off at its {api:?}"),
    };
    let broker = bank();
    let zombie = open(&broker);
    zombie.run(&TRANSFERS[..1]).map_err(|error| {
        format!("nothing went wrong yet, and the first transfer ended with the error {error:#}")
    })?;

    let hang = hangs_at.map(|api| broker.faults().on(api).hold());
    let (take_over, taken_over) = channel();
    let run = thread::spawn(move || {
        if hangs_at.is_none() {
            let _it_is = taken_over.recv();
        }
        zombie.run(&TRANSFERS[1..])
    });
    if let Some(hang) = &hang {
        eventually("the first instance asks for nothing", || {
            (hang.hits() > 0 || run.is_finished()).then_some(())
        });
    }
    let successor = open(&broker);
    if let Some(hang) = hang {
        hang.clear();
    }
    let _it_waits = take_over.send(());
    let missing = format!(
        "{what}: `run` still goes on. A fatal error stays, whatever is tried: stop, and return it. {ZOMBIES}"
    );
    let outcome = finishes(STOPS_WITHIN, &missing, run);
    // Looked at first: who begins anew goes on as well, and this is why.
    let opened = broker.requests().count(ApiKey::InitProducerId);
    // Whoever aborts asks for a new epoch so, and learns that somebody else has a newer one (KIP-360).
    if opened > 2 + u64::from(hangs_at.is_some()) {
        return Err(format!(
            "{what}: the first instance has initialised itself again under the same transactional id, and so has fenced off \
             its own successor. Stop. {ZOMBIES}"
        ));
    }
    let Err(error) = outcome? else {
        return Err(format!(
            "{what}: `run` returned Ok, and the transfers were not made. Return the fatal error, so that whoever started \
             this instance learns of it. {ZOMBIES}"
        ));
    };
    let error = format!("{error:#}");
    if !error.contains("fenced") {
        return Err(format!(
            "{what}: `run` returned the error {error:?}, which does not say that this instance was fenced off: hand on what \
             rdkafka says. {ZOMBIES}"
        ));
    }
    let booked = bookings(&broker);
    if booked != bookings_of(&TRANSFERS[..1]) {
        return Err(format!(
            "{what}: nothing of its transfers may be read, and these bookings can: {booked:?}. {ZOMBIES}"
        ));
    }

    successor.run(&TRANSFERS[1..]).map_err(|error| {
        format!(
            "{what}: the second instance could not go on: {error:#}. The first one has to leave it alone. {ZOMBIES}"
        )
    })?;
    match bookings(&broker) {
        booked if booked == bookings_of(&TRANSFERS) => Ok(()),
        booked => Err(format!(
            "{what}: together they made three transfers, and these bookings can be read: {booked:?}"
        )),
    }
}

#[test]
fn an_instance_that_is_fenced_off_stops() {
    let verdict = returns("an instance hangs", || {
        all_at_once(vec![
            Box::new(|| fence(None)),
            Box::new(|| fence(Some(ApiKey::Produce))),
            Box::new(|| fence(Some(ApiKey::EndTxn))),
        ])
    });
    if let Err(missing) = verdict {
        panic!("{missing}");
    }
}

#[test]
fn a_transfer_that_was_aborted_is_tried_again() {
    let broker = bank();
    let till = open(&broker);
    let refused = broker
        .faults()
        .on(ApiKey::Produce)
        .once()
        .error(ErrorCode::MessageTooLarge);
    let outcome = returns("`run` does not return", move || till.run(&TRANSFERS));
    assert!(refused.hits() == 1, "no booking was written at all");
    if let Err(error) = outcome {
        panic!(
            "one booking was refused once, and `run` returned the error {error:#}. It is not fatal: abort the transaction, \
             return `Failure::Aborted`, and try the transfer again. Chapter 7, 'Three kinds of errors'."
        );
    }
    let booked = bookings(&broker);
    assert!(
        booked == bookings_of(&TRANSFERS),
        "one booking was refused once, and these can be read: {booked:?}. A transfer that was aborted is made again, once, \
         before the next one. Chapter 7, 'Three kinds of errors'."
    );
}

#[test]
fn a_transfer_that_is_aborted_each_time_ends_with_an_error() {
    let broker = bank();
    let till = open(&broker);
    broker
        .faults()
        .on(ApiKey::Produce)
        .error(ErrorCode::MessageTooLarge);
    let run = thread::spawn(move || till.run(&TRANSFERS));
    let attempts = || broker.requests().count(ApiKey::AddPartitionsToTxn);
    eventually("`run` does not return", || {
        assert!(
            attempts() < FAR_TOO_OFTEN,
            "every booking is refused, and the transfer was begun {} times: try again, but not for ever. {MOST_ATTEMPTS} \
             times in all, and then it is an error. Chapter 7, 'Three kinds of errors'.",
            attempts()
        );
        run.is_finished().then_some(())
    });
    let outcome = run
        .join()
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    assert!(
        outcome.is_err(),
        "every booking is refused, no transfer was made, and `run` returned Ok. Chapter 7, 'Three kinds of errors'."
    );
    assert!(
        attempts() == MOST_ATTEMPTS as u64,
        "every booking is refused, and transfers were begun {} times: {MOST_ATTEMPTS} times in all, and none behind it. \
         Chapter 7, 'Three kinds of errors'.",
        attempts()
    );
    assert!(
        bookings(&broker).is_empty(),
        "nothing can be read of transfers that were aborted"
    );
}
