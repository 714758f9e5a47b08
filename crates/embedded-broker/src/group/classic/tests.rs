//! A classic group, driven by hand through its cycle, with time that passes when the test says so.

use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use tokio::sync::oneshot;
use tokio::sync::oneshot::error::TryRecvError;

use super::*;

/// `group.initial.rebalance.delay.ms` here.
const DELAY: Duration = Duration::from_millis(100);
const SESSION: Duration = Duration::from_secs(10);
const REBALANCE: Duration = Duration::from_secs(60);

/// A group and its clock.
pub(super) struct Bench {
    pub(super) group: ClassicGroup,
    pub(super) now: Now,
}

/// A JoinGroup with usual settings; a test changes what matters to it.
pub(super) fn joining(member_id: &str) -> JoinRequest {
    JoinRequest {
        member_id: member_id.to_owned(),
        instance_id: None,
        client_id: "client".to_owned(),
        client_host: "/127.0.0.1".to_owned(),
        session_timeout: SESSION,
        rebalance_timeout: REBALANCE,
        protocol_type: "consumer".to_owned(),
        protocols: protocols(&["range"]),
        returns_with_id: false,
        skips_assignment: true,
    }
}

fn protocols(names: &[&str]) -> Vec<MemberProtocol> {
    let protocols = names.iter().map(|name| MemberProtocol {
        name: (*name).to_owned(),
        metadata: Bytes::from(format!("metadata for {name}")),
    });
    protocols.collect()
}

fn as_instance(instance_id: &str, member_id: &str) -> JoinRequest {
    JoinRequest {
        instance_id: Some(instance_id.to_owned()),
        ..joining(member_id)
    }
}

impl Bench {
    pub(super) fn new() -> Self {
        Self {
            group: ClassicGroup::default(),
            now: Now::read(),
        }
    }

    pub(super) fn join(&mut self, request: JoinRequest) -> oneshot::Receiver<JoinAnswer> {
        let (sender, answer) = oneshot::channel();
        self.group.join(request, DELAY, self.now, sender);
        answer
    }

    pub(super) fn sync(
        &mut self,
        member_id: &str,
        assignments: &[(&str, &'static str)],
    ) -> oneshot::Receiver<SyncAnswer> {
        let (sender, answer) = oneshot::channel();
        let assignments = assignments
            .iter()
            .map(|(id, assignment)| ((*id).to_owned(), Bytes::from(*assignment)));
        let request = SyncRequest {
            member_id: member_id.to_owned(),
            instance_id: None,
            generation: self.group.generation,
            protocol_type: None,
            protocol_name: None,
            assignments: assignments.collect(),
        };
        self.group.sync(request, self.now, sender);
        answer
    }

    fn heartbeat(&mut self, member_id: &str) -> Result<(), ResponseError> {
        let generation = self.group.generation;
        self.group.heartbeat(member_id, None, generation, self.now)
    }

    fn leave(&mut self, member_id: &str) -> Result<(), ResponseError> {
        let leaving = LeavingMember {
            member_id,
            instance_id: None,
        };
        self.group.leave(&[leaving], self.now)[0]
    }

    /// Lets time pass as the broker does: the group is looked at whenever it asked to be.
    pub(super) fn pass(&mut self, time: Duration) {
        let end = self.now.after(time);
        let mut looks = 0;
        while let Some(deadline) = self.group.deadline().filter(|at| *at <= end.instant) {
            let wait = deadline.saturating_duration_since(self.now.instant);
            self.now = self.now.after(wait);
            self.group.expire(self.now);
            looks += 1;
            assert!(looks < 1_000, "what is due is not done: the timer spins");
        }
        self.now = end;
    }

    /// A group in the state Stable with so many members, the leader first.
    fn stable(count: usize) -> (Self, Vec<String>) {
        let mut bench = Self::new();
        let joins: Vec<_> = (0..count).map(|_| bench.join(joining(""))).collect();
        bench.pass(2 * DELAY);
        let ids: Vec<String> = joins
            .into_iter()
            .map(|join| joined(join).member_id)
            .collect();
        for id in ids.iter().rev() {
            let _parked = bench.sync(id, &[]);
        }
        assert_eq!(bench.group.state(), "Stable");
        (bench, ids)
    }
}

pub(super) fn joined(mut answer: oneshot::Receiver<JoinAnswer>) -> Joined {
    match answer.try_recv() {
        Ok(JoinAnswer::Joined(joined)) => joined,
        other => panic!("a member's part in a generation was expected, not {other:?}"),
    }
}

fn refused(mut answer: oneshot::Receiver<JoinAnswer>) -> (ResponseError, String) {
    match answer.try_recv() {
        Ok(JoinAnswer::Refused { error, member_id }) => (error, member_id),
        other => panic!("a refusal was expected, not {other:?}"),
    }
}

fn is_parked<T>(answer: &mut oneshot::Receiver<T>) -> bool {
    matches!(answer.try_recv(), Err(TryRecvError::Empty))
}

#[test]
fn members_that_start_together_land_in_one_generation() {
    let mut bench = Bench::new();
    let mut first = bench.join(joining(""));
    bench.pass(DELAY / 2);
    let second = bench.join(joining(""));
    // The delay starts again for the second, and nobody comes during it.
    bench.pass(DELAY);
    assert!(is_parked(&mut first), "the second did not extend the delay");
    bench.pass(DELAY / 2);
    let (first, second) = (joined(first), joined(second));
    assert_eq!((first.generation, second.generation), (1, 1));
    assert_eq!(first.members.len(), 2);
    assert_eq!(second.leader, first.member_id);
}

#[test]
fn the_initial_delay_ends_although_members_keep_coming() {
    let mut bench = Bench::new();
    let mut first = bench.join(JoinRequest {
        rebalance_timeout: 5 * DELAY,
        ..joining("")
    });
    let mut others = Vec::new();
    for _ in 0..9 {
        others.push(bench.join(joining("")));
        bench.pass(DELAY / 2);
        assert!(is_parked(&mut first), "it ended before its time");
    }
    bench.pass(DELAY / 2);
    assert_eq!(joined(first).members.len(), 10);
}

#[test]
fn a_session_starts_anew_when_a_parked_join_is_answered() {
    let (mut bench, ids) = Bench::stable(2);
    let waiting = bench.join(joining(&ids[0]));
    bench.pass(SESSION - Duration::from_millis(1));
    assert_eq!(
        bench.heartbeat(&ids[1]),
        Err(ResponseError::RebalanceInProgress)
    );
    // The first has been parked for longer than its session.
    bench.pass(SESSION - Duration::from_millis(1));
    joined(bench.join(joining(&ids[1])));
    joined(waiting);
    bench.pass(SESSION - Duration::from_millis(1));
    assert_eq!(bench.heartbeat(&ids[0]), Ok(()));
}

#[test]
fn a_client_that_hangs_up_in_a_join_is_gone_after_its_session() {
    let (mut bench, ids) = Bench::stable(2);
    drop(bench.join(joining(&ids[0])));
    // It counts as joined until its session ends; the other one lives on.
    bench.pass(SESSION / 2);
    assert_eq!(
        bench.heartbeat(&ids[1]),
        Err(ResponseError::RebalanceInProgress)
    );
    bench.pass(SESSION / 2);
    assert_eq!(bench.group.members().len(), 1);
    assert_eq!(joined(bench.join(joining(&ids[1]))).members.len(), 1);
}

#[test]
fn a_client_that_waits_in_a_sync_is_alive() {
    let (mut bench, ids) = Bench::stable(2);
    let first = bench.join(joining(&ids[0]));
    joined(bench.join(joining(&ids[1])));
    joined(first);
    let mut parked = bench.sync(&ids[1], &[]);
    for _ in 0..5 {
        bench.pass(SESSION / 2);
        assert_eq!(bench.heartbeat(&ids[0]), Ok(()));
    }
    assert!(is_parked(&mut parked));
    let _own = bench.sync(&ids[0], &[(&ids[1], "partition 1")]);
    let SyncAnswer::Assigned { assignment, .. } = parked.try_recv().unwrap() else {
        panic!("the follower was refused");
    };
    assert_eq!(assignment, "partition 1");
}

#[test]
fn who_does_not_rejoin_in_time_is_left_behind() {
    let (mut bench, ids) = Bench::stable(3);
    let leader = bench.join(joining(&ids[0]));
    let follower = bench.join(joining(&ids[1]));
    for _ in 0..11 {
        bench.pass(REBALANCE / 12);
        assert_eq!(
            bench.heartbeat(&ids[2]),
            Err(ResponseError::RebalanceInProgress)
        );
    }
    bench.pass(REBALANCE / 12);
    assert_eq!(joined(leader).members.len(), 2);
    assert_eq!(joined(follower).generation, 2);
    assert_eq!(
        bench.heartbeat(&ids[2]),
        Err(ResponseError::UnknownMemberId)
    );
}

#[test]
fn a_leader_that_does_not_rejoin_is_replaced() {
    let (mut bench, ids) = Bench::stable(2);
    let follower = bench.join(JoinRequest {
        protocols: protocols(&["range", "cooperative-sticky"]),
        ..joining(&ids[1])
    });
    bench.pass(REBALANCE);
    let joined = joined(follower);
    assert_eq!(joined.leader, ids[1]);
    assert_eq!(joined.members.len(), 1);
}

#[test]
fn a_static_member_that_is_away_keeps_its_place_for_its_session() {
    let mut bench = Bench::new();
    let away = bench.join(JoinRequest {
        session_timeout: 3 * REBALANCE,
        ..as_instance("away", "")
    });
    let present = bench.join(joining(""));
    bench.pass(2 * DELAY);
    let (away, present) = (joined(away).member_id, joined(present).member_id);
    let _assigned = bench.sync(&away, &[]);
    let _assigned = bench.sync(&present, &[]);
    let rejoined = bench.join(JoinRequest {
        protocols: protocols(&["range", "sticky"]),
        ..joining(&present)
    });
    bench.pass(REBALANCE);
    let rejoined = joined(rejoined);
    assert_eq!(rejoined.leader, present, "the leader was away");
    assert_eq!(rejoined.members.len(), 2, "the place was not kept");
}

#[test]
fn a_round_that_nobody_joins_waits_for_static_members() {
    let mut bench = Bench::new();
    let instance = bench.join(JoinRequest {
        session_timeout: 10 * REBALANCE,
        ..as_instance("one", "")
    });
    let dynamic = bench.join(joining(""));
    bench.pass(2 * DELAY);
    let (instance, dynamic) = (joined(instance).member_id, joined(dynamic).member_id);
    let _assigned = bench.sync(&dynamic, &[]);
    let _assigned = bench.sync(&instance, &[]);
    assert_eq!(bench.leave(&dynamic), Ok(()));
    bench.pass(5 * REBALANCE);
    assert_eq!(bench.group.state(), "PreparingRebalance");
    assert_eq!(bench.group.generation, 1);
    // Its next process takes its place and the round ends.
    let back = joined(bench.join(as_instance("one", "")));
    assert_eq!(back.generation, 2);
    assert_ne!(back.member_id, instance);
}

#[test]
fn who_never_syncs_is_expelled() {
    let mut bench = Bench::new();
    let short = |member_id: &str| JoinRequest {
        rebalance_timeout: SESSION / 2,
        ..joining(member_id)
    };
    let (first, second) = (bench.join(short("")), bench.join(short("")));
    bench.pass(DELAY * 2);
    let (first, second) = (joined(first).member_id, joined(second).member_id);
    for id in [&second, &first] {
        let _assigned = bench.sync(id, &[]);
    }
    // It synced in the first generation and does not in the second.
    let leader = bench.join(short(&first));
    joined(bench.join(short(&second)));
    joined(leader);
    let _own = bench.sync(&first, &[]);
    assert_eq!(bench.group.state(), "Stable");
    bench.pass(SESSION / 2);
    assert_eq!(bench.group.state(), "PreparingRebalance");
    assert_eq!(
        bench.heartbeat(&second),
        Err(ResponseError::UnknownMemberId)
    );
    assert_eq!(joined(bench.join(short(&first))).members.len(), 1);
}

#[test]
fn a_stable_group_that_synced_has_nothing_due_but_sessions() {
    let (mut bench, ids) = Bench::stable(1);
    for _ in 0..50 {
        bench.pass(SESSION / 2);
        assert_eq!(bench.heartbeat(&ids[0]), Ok(()));
    }
    assert_eq!(bench.group.generation, 1);
}

#[test]
fn a_round_ends_when_the_ids_it_waits_for_lapse() {
    let (mut bench, ids) = Bench::stable(1);
    let (error, _id) = refused(bench.join(JoinRequest {
        returns_with_id: true,
        session_timeout: SESSION / 2,
        ..joining("")
    }));
    assert_eq!(error, ResponseError::MemberIdRequired);
    let mut waiting = bench.join(joining(&ids[0]));
    bench.pass(SESSION / 2 - Duration::from_millis(1));
    assert!(is_parked(&mut waiting));
    bench.pass(Duration::from_millis(1));
    assert_eq!(joined(waiting).members.len(), 1);
}

#[test]
fn whoever_leaves_has_its_parked_requests_answered() {
    let (mut bench, ids) = Bench::stable(3);
    let parked = bench.join(joining(&ids[0]));
    assert_eq!(bench.leave(&ids[0]), Ok(()));
    assert_eq!(
        refused(parked),
        (ResponseError::UnknownMemberId, String::new())
    );

    let first = bench.join(joining(&ids[1]));
    joined(bench.join(joining(&ids[2])));
    joined(first);
    let mut parked = bench.sync(&ids[2], &[]);
    assert_eq!(bench.leave(&ids[2]), Ok(()));
    let answer = parked.try_recv();
    assert_eq!(
        answer,
        Ok(SyncAnswer::Refused(ResponseError::UnknownMemberId))
    );
}

#[test]
fn the_last_one_to_leave_empties_the_group() {
    let (mut bench, ids) = Bench::stable(1);
    assert_eq!(bench.leave(&ids[0]), Ok(()));
    assert_eq!(bench.group.state(), "Empty");
    assert_eq!(bench.group.generation, 2, "an old commit could fit again");
    assert_eq!(bench.group.protocol_type(), Some("consumer"));
    assert_eq!(bench.group.deadline(), None);
}

#[test]
fn a_restarted_static_member_fences_the_process_before_it() {
    let mut bench = Bench::new();
    let old = bench.join(as_instance("one", ""));
    bench.pass(DELAY);
    let old = joined(old).member_id;
    let mut parked = bench.sync(&old, &[]);
    assert!(
        !is_parked(&mut parked),
        "a leader alone gets its own assignment"
    );
    let new = joined(bench.join(as_instance("one", "")));
    assert_eq!(new.generation, 1, "its restart started a round");
    assert!(new.skip_assignment, "nobody waits for an assignment");
    let mut heartbeat = |id: &str| bench.group.heartbeat(id, Some("one"), 1, bench.now);
    assert_eq!(heartbeat(&old), Err(ResponseError::FencedInstanceId));
    assert_eq!(heartbeat(&new.member_id), Ok(()));
}

#[test]
fn a_restart_during_a_round_answers_the_parked_process() {
    let (mut bench, ids) = Bench::stable(1);
    let parked = bench.join(as_instance("one", ""));
    let again = bench.join(as_instance("one", ""));
    let (error, old_id) = refused(parked);
    assert_eq!(error, ResponseError::FencedInstanceId);
    joined(bench.join(joining(&ids[0])));
    let new_id = joined(again).member_id;
    assert_ne!(new_id, old_id);
    assert_eq!(bench.group.members().len(), 2);
}

#[test]
fn the_protocol_with_most_votes_wins() {
    for (lists, winner) in [
        (&[&["a", "b"][..], &["b", "a"], &["b", "a"]][..], "b"),
        // Not all can do "c", though two would like to.
        (&[&["c", "a"], &["c", "a"], &["b", "a"]], "a"),
        // A tie: the choice of the member that joined first.
        (&[&["a", "b"], &["b", "a"]], "a"),
        (&[&["b", "a"], &["a", "b"]], "b"),
    ] {
        let mut bench = Bench::new();
        let joins: Vec<_> = lists
            .iter()
            .map(|names| {
                bench.join(JoinRequest {
                    protocols: protocols(names),
                    ..joining("")
                })
            })
            .collect();
        bench.pass(REBALANCE);
        for join in joins {
            assert_eq!(
                joined(join).protocol_name.as_deref(),
                Some(winner),
                "{lists:?}"
            );
        }
    }
}

#[test]
fn commits_are_taken_by_the_rules_of_the_state() {
    let (mut bench, ids) = Bench::stable(1);
    let member = Committer {
        member_id: &ids[0],
        instance_id: None,
        generation_or_epoch: 1,
        transactional: false,
        version: 8,
        partitions: &[],
    };
    let nobody = Committer {
        member_id: "",
        generation_or_epoch: -1,
        ..member
    };
    let old_transaction = Committer {
        transactional: true,
        ..nobody
    };
    let old_generation = Committer {
        generation_or_epoch: 0,
        ..member
    };
    let mut commit = |committer| bench.group.accept_commit(committer, bench.now);
    assert_eq!(commit(member), Ok(()));
    assert_eq!(commit(nobody), Err(ResponseError::UnknownMemberId));
    assert_eq!(commit(old_transaction), Ok(()));
    assert_eq!(
        commit(old_generation),
        Err(ResponseError::IllegalGeneration)
    );

    let joined = joined(bench.join(joining(&ids[0])));
    let member = Committer {
        generation_or_epoch: joined.generation,
        ..member
    };
    let transaction = Committer {
        transactional: true,
        ..member
    };
    assert_eq!(bench.group.state(), "CompletingRebalance");
    let mut commit = |committer| bench.group.accept_commit(committer, bench.now);
    assert_eq!(commit(member), Err(ResponseError::RebalanceInProgress));
    assert_eq!(commit(transaction), Ok(()));

    assert_eq!(bench.leave(&ids[0]), Ok(()));
    let mut commit = |committer| bench.group.accept_commit(committer, bench.now);
    assert_eq!(commit(member), Err(ResponseError::UnknownMemberId));
    assert_eq!(commit(nobody), Ok(()));
}

#[test]
fn a_commit_keeps_its_member_alive() {
    let (mut bench, ids) = Bench::stable(1);
    for _ in 0..5 {
        bench.pass(SESSION / 2);
        let committer = Committer {
            member_id: &ids[0],
            instance_id: None,
            generation_or_epoch: 1,
            transactional: false,
            version: 8,
            partitions: &[],
        };
        assert_eq!(bench.group.accept_commit(committer, bench.now), Ok(()));
    }
    bench.pass(SESSION);
    assert_eq!(bench.group.state(), "Empty");
}
