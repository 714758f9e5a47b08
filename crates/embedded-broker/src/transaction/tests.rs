//! A transactional id, driven by hand.

use std::time::Duration;

use kafka_protocol::error::ResponseError;

use super::ProducerIdAndEpoch;
use super::fixture::{Fixture, TIMEOUT_MS, TOPIC};
use super::transactional_id::Phase;
use crate::group::CommittedOffset;
use crate::log::TransactionResult::{Abort, Commit};
use crate::state::State;
use crate::timers::Timer;
use crate::transaction::Participant;

/// The last epoch that a producer is given.
const LAST_EPOCH: i16 = i16::MAX - 1;

fn at(id: i64, epoch: i16) -> ProducerIdAndEpoch {
    ProducerIdAndEpoch { id, epoch }
}

fn phase(fixture: &Fixture, id: &str) -> Phase {
    fixture.state.transactions.get(id).unwrap().phase()
}

/// A state in which the transactional id "t" is at this epoch.
fn at_epoch(epoch: i16) -> (Fixture, ProducerIdAndEpoch) {
    let mut fixture = Fixture::new(1);
    let mut producer = fixture.init("t", None).unwrap();
    while producer.epoch < epoch {
        producer = fixture.init("t", None).unwrap();
    }
    (fixture, producer)
}

#[test]
fn a_transaction_goes_through_its_phases() {
    let (mut fixture, producer) = at_epoch(0);
    assert_eq!(phase(&fixture, "t"), Phase::Empty);
    for (result, complete) in [
        (Commit, Phase::CompleteCommit),
        (Abort, Phase::CompleteAbort),
    ] {
        fixture.add("t", producer, 0).unwrap();
        assert_eq!(phase(&fixture, "t"), Phase::Ongoing);
        fixture.end("t", producer, result).unwrap();
        assert_eq!(phase(&fixture, "t"), complete);
        fixture.end("t", producer, result).unwrap();
    }
    fixture.init("t", None).unwrap();
    assert_eq!(phase(&fixture, "t"), Phase::Empty);
}

#[test]
fn a_transaction_is_aborted_when_its_time_is_over_and_not_before() {
    let (mut fixture, producer) = at_epoch(0);
    let timeout = u64::try_from(TIMEOUT_MS).unwrap();
    fixture.add("t", producer, 0).unwrap();
    fixture.produce("t", producer, 0, 0).unwrap();
    fixture.wait(timeout - 1);
    assert_eq!(phase(&fixture, "t"), Phase::Ongoing);
    fixture.wait(1);
    assert_eq!(phase(&fixture, "t"), Phase::CompleteAbort);
    assert_eq!(fixture.log(0).last_stable_offset(), 2, "record and marker");
    assert_eq!(fixture.committed(0, usize::MAX), [0; 0]);
    assert_eq!(
        fixture.produce("t", producer, 0, 1),
        Err(ResponseError::InvalidProducerEpoch)
    );
    let fenced = Err(ResponseError::ProducerFenced);
    assert_eq!(fixture.add("t", producer, 0), fenced);
    assert_eq!(fixture.end("t", producer, Commit), fenced);
    // Nobody took over: it may go on with the epoch that the abort took.
    let recovered = fixture.init("t", Some(producer));
    assert_eq!(recovered, Ok(at(producer.id, 1)));
}

#[test]
fn the_timer_of_an_ended_transaction_does_not_abort_the_next() {
    let (mut fixture, producer) = at_epoch(0);
    let timeout = u64::try_from(TIMEOUT_MS).unwrap();
    fixture.add("t", producer, 0).unwrap();
    fixture.wait(timeout / 2);
    fixture.end("t", producer, Commit).unwrap();
    fixture.add("t", producer, 0).unwrap();
    fixture.wait(timeout - 1);
    assert_eq!(phase(&fixture, "t"), Phase::Ongoing);
    fixture.wait(1);
    assert_eq!(phase(&fixture, "t"), Phase::CompleteAbort);
}

#[test]
fn many_short_transactions_need_one_timer() {
    let (mut fixture, producer) = at_epoch(0);
    for _ in 0..1_000 {
        fixture.add("t", producer, 0).unwrap();
        fixture.end("t", producer, Commit).unwrap();
    }
    let mut fired = 0;
    while fixture.state.timers.next().is_some() {
        let timer = fixture.now.after(Duration::from_secs(3_600)).instant;
        fired += usize::from(
            fixture.state.timers.pop_due(timer) == Some(Timer::Transaction("t".to_owned())),
        );
    }
    assert_eq!(fired, 1);
}

#[test]
fn a_shorter_timeout_counts_at_once() {
    let (mut fixture, producer) = at_epoch(0);
    fixture.add("t", producer, 0).unwrap();
    fixture.end("t", producer, Commit).unwrap();
    let transactions = &mut fixture.state.transactions;
    let producer = transactions.initialise("t", 10, None).unwrap();
    fixture.add("t", producer, 0).unwrap();
    fixture.wait(10);
    assert_eq!(phase(&fixture, "t"), Phase::CompleteAbort);
}

#[test]
fn adding_more_does_not_extend_the_time() {
    let (mut fixture, producer) = at_epoch(0);
    let timeout = u64::try_from(TIMEOUT_MS).unwrap();
    fixture.add("t", producer, 0).unwrap();
    fixture.wait(timeout - 1);
    fixture.add("t", producer, 0).unwrap();
    fixture.wait(1);
    assert_eq!(phase(&fixture, "t"), Phase::CompleteAbort);
}

#[test]
fn a_zombie_does_not_come_back() {
    let (mut fixture, zombie) = at_epoch(0);
    fixture.add("t", zombie, 0).unwrap();
    let successor = fixture.init("t", None).unwrap();
    assert_eq!(successor, at(zombie.id, 2), "one epoch was used to fence");
    assert_eq!(
        fixture.init("t", Some(zombie)),
        Err(ResponseError::ProducerFenced)
    );
    let foreign = at(zombie.id + 1, 2);
    assert_eq!(
        fixture.init("t", Some(foreign)),
        Err(ResponseError::ProducerFenced)
    );
    fixture.add("t", successor, 0).unwrap();
}

#[test]
fn exhausted_epochs_bring_a_new_producer_id() {
    let (mut fixture, last) = at_epoch(LAST_EPOCH);
    assert_eq!(last.epoch, LAST_EPOCH);
    let next = fixture.init("t", None).unwrap();
    assert_eq!(next.epoch, 0);
    assert_ne!(next.id, last.id);
    // Whoever had the old id is fenced by a new process.
    assert_eq!(
        fixture.init("t", Some(last)),
        Err(ResponseError::ProducerFenced)
    );
}

#[test]
fn a_producer_that_exhausted_its_epochs_may_ask_again() {
    let (mut fixture, last) = at_epoch(LAST_EPOCH);
    let next = fixture.init("t", Some(last)).unwrap();
    assert_eq!(fixture.init("t", Some(last)), Ok(next));
    fixture.add("t", next, 0).unwrap();
    assert_eq!(
        fixture.init("t", Some(last)),
        Err(ResponseError::ProducerFenced),
        "it has gone on since"
    );
}

#[test]
fn the_last_epoch_can_still_be_fenced() {
    let (mut fixture, last) = at_epoch(LAST_EPOCH);
    fixture.add("t", last, 0).unwrap();
    fixture.produce("t", last, 0, 0).unwrap();
    let next = fixture.init("t", None).unwrap();
    assert_ne!(next.id, last.id);
    assert_eq!(next.epoch, 1, "epoch 0 was the abort's");
    let known: Vec<_> = fixture.log(0).active_producers().collect();
    assert_eq!((known[0].id, known[0].epoch), (last.id, i16::MAX));
    assert_eq!(
        fixture.produce("t", last, 0, 1),
        Err(ResponseError::InvalidProducerEpoch)
    );
    assert_eq!(fixture.log(0).last_stable_offset(), 2);
}

#[test]
fn a_topic_that_was_deleted_has_nothing_to_end() {
    let (mut fixture, producer) = at_epoch(0);
    fixture.add("t", producer, 0).unwrap();
    fixture.produce("t", producer, 0, 0).unwrap();
    fixture.state.topics.delete(TOPIC).unwrap();
    fixture.end("t", producer, Commit).unwrap();
    assert_eq!(phase(&fixture, "t"), Phase::CompleteCommit);
}

#[test]
fn offsets_end_with_the_transaction() {
    let (mut fixture, producer) = at_epoch(0);
    for (result, offset, expected) in [(Commit, 5, Some(5)), (Abort, 9, Some(5))] {
        let State {
            transactions,
            timers,
            groups,
            ..
        } = &mut fixture.state;
        let group = Participant::Group("group".to_owned());
        transactions
            .add("t", producer, [group], fixture.now, timers)
            .unwrap();
        let committed = CommittedOffset {
            offset,
            leader_epoch: -1,
            metadata: String::new(),
        };
        let offsets = &mut groups.create("group").offsets;
        offsets.stage(producer.id, TOPIC, 0, committed);
        assert!(offsets.is_unstable(TOPIC, 0));
        fixture.end("t", producer, result).unwrap();
        let offsets = &fixture.state.groups.get("group").unwrap().offsets;
        assert!(!offsets.is_unstable(TOPIC, 0));
        let found = offsets.get(TOPIC, 0).map(|committed| committed.offset);
        assert_eq!(found, expected);
    }
}

#[test]
fn what_was_deleted_is_not_waited_for() {
    let (mut fixture, producer) = at_epoch(0);
    fixture.add("t", producer, 0).unwrap();
    fixture.produce("t", producer, 0, 0).unwrap();
    fixture.produce("t", producer, 0, 1).unwrap();
    fixture.log_mut(0).delete_before(1).unwrap();
    assert_eq!(fixture.log(0).last_stable_offset(), 1);
    fixture.end("t", producer, Abort).unwrap();
    assert_eq!(fixture.log(0).last_stable_offset(), 3);
    assert_eq!(fixture.log(0).aborted_in(1, &[]).count(), 0, "no records");
    assert_eq!(fixture.committed(0, usize::MAX), [0; 0]);
}

#[test]
fn the_aborted_are_forgotten_with_their_records() {
    let (mut fixture, producer) = at_epoch(0);
    for sequence in 0..3 {
        fixture.add("t", producer, 0).unwrap();
        fixture.produce("t", producer, 0, sequence).unwrap();
        fixture.end("t", producer, Abort).unwrap();
    }
    let listed = |fixture: &Fixture| {
        let log = fixture.log(0);
        let records = log.read(log.start_offset(), 6, usize::MAX).unwrap();
        log.aborted_in(0, &records).count()
    };
    assert_eq!(listed(&fixture), 3);
    fixture.log_mut(0).delete_before(3).unwrap();
    assert_eq!(listed(&fixture), 2, "the second's marker is still there");
}

#[test]
fn a_compaction_forgets_what_it_has_removed() {
    let compacted = [
        ("cleanup.policy", "compact"),
        ("segment.ms", "1"),
        ("delete.retention.ms", "0"),
    ];
    let mut fixture = Fixture::with_config(1, &compacted);
    let producer = fixture.init("t", None).unwrap();
    // Each batch in a segment of its own. The last batch of a producer is never removed.
    for (sequence, result) in [(0, Abort), (1, Commit)] {
        fixture.add("t", producer, 0).unwrap();
        fixture.produce("t", producer, 0, sequence).unwrap();
        fixture.wait(10);
        fixture.end("t", producer, result).unwrap();
        fixture.wait(10);
    }
    fixture.produce_plainly(0);
    let listed = |fixture: &Fixture| {
        let log = fixture.log(0);
        let end = log.last_stable_offset();
        let records = log.read(0, end, usize::MAX).unwrap();
        log.aborted_in(0, &records).count()
    };
    assert_eq!(listed(&fixture), 1);
    // The first compaction removes the record, the next one its marker.
    for _ in 0..2 {
        fixture.wait(10);
        fixture.compact(0);
    }
    assert_eq!(listed(&fixture), 0);
    fixture.add("t", producer, 0).unwrap();
    fixture.produce("t", producer, 0, 2).unwrap();
    fixture.end("t", producer, Commit).unwrap();
    assert_eq!(fixture.committed(0, usize::MAX), [4, 5]);
}

#[test]
fn a_compaction_stops_before_an_open_transaction() {
    let compacted = [("cleanup.policy", "compact"), ("segment.ms", "1")];
    let mut fixture = Fixture::with_config(1, &compacted);
    let producer = fixture.init("t", None).unwrap();
    for _ in 0..2 {
        fixture.produce_plainly(0);
        fixture.wait(10);
    }
    fixture.add("t", producer, 0).unwrap();
    fixture.produce("t", producer, 0, 0).unwrap();
    for _ in 0..2 {
        fixture.wait(10);
        fixture.produce_plainly(0);
    }
    fixture.compact(0);
    fixture.end("t", producer, Commit).unwrap();
    // Records without a key go when they are compacted: those behind the transaction's first are still there.
    assert_eq!(fixture.committed(0, usize::MAX), [2, 3, 4]);
}
