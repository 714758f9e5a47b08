//! What a group answers, heartbeat by heartbeat.

mod offsets;
mod patterns;
mod static_members;

use std::time::{Duration, Instant};

use kafka_protocol::error::ResponseError;

use super::*;
use crate::config::group::GroupConfig;
use crate::config::{Configs, Overrides};

const SESSION: Duration = Duration::from_secs(10);
const REBALANCE: Duration = Duration::from_secs(5);

/// A group, the topics it reads, and a clock.
pub(super) struct Fixture {
    pub(super) group: ConsumerGroup,
    pub(super) topics: Topics,
    pub(super) now: Instant,
    config: GroupConfig,
}

impl Fixture {
    pub(super) fn new(topics: &[(&str, usize)]) -> Self {
        let mut fixture = Self {
            group: ConsumerGroup::new("group"),
            topics: Topics::default(),
            now: Instant::now(),
            config: GroupConfig {
                heartbeat_interval: Duration::from_millis(200),
                session_timeout: SESSION,
                assignment_interval: Duration::ZERO,
            },
        };
        for (name, partitions) in topics {
            fixture.create_topic(name, *partitions);
        }
        fixture
    }

    pub(super) fn create_topic(&mut self, name: &str, partitions: usize) {
        self.topics.create(
            name,
            vec![vec![0]; partitions],
            Configs::default().topic(Overrides::new()).unwrap(),
        );
    }

    pub(super) fn add_partition(&mut self, name: &str) {
        self.topics.add_partitions(name, vec![vec![0]]);
    }

    /// These partitions of a topic.
    fn of(&self, topic: &str, partitions: impl IntoIterator<Item = i32>) -> Assignment {
        let topic_id = self.topics.get(topic).unwrap().id;
        let partition = |partition| TopicPartition {
            topic_id,
            partition,
        };
        partitions.into_iter().map(partition).collect()
    }

    pub(super) fn send(&mut self, heartbeat: &Heartbeat) -> Result<Answer, Rejected> {
        self.group
            .heartbeat(self.now, heartbeat, self.config, &self.topics)
    }

    #[track_caller]
    fn ok(&mut self, heartbeat: &Heartbeat) -> Answer {
        self.send(heartbeat).unwrap()
    }

    #[track_caller]
    fn error(&mut self, heartbeat: &Heartbeat) -> ResponseError {
        self.send(heartbeat).unwrap_err().error
    }
}

/// A heartbeat that says nothing new.
fn keep_alive(member_id: &str, member_epoch: i32) -> Heartbeat {
    Heartbeat {
        member_id: member_id.to_owned(),
        member_epoch,
        instance_id: None,
        rack_id: None,
        rebalance_timeout: None,
        topic_names: None,
        topic_pattern: None,
        assignor: None,
        owned: None,
        client_id: "client".to_owned(),
        client_host: "/127.0.0.1".to_owned(),
    }
}

/// The first heartbeat of a member that subscribes to these topics.
pub(super) fn join(member_id: &str, topics: &[&str]) -> Heartbeat {
    Heartbeat {
        rebalance_timeout: Some(REBALANCE),
        topic_names: Some(topics.iter().map(|topic| (*topic).to_owned()).collect()),
        owned: Some(Assignment::new()),
        ..keep_alive(member_id, JOINING)
    }
}

/// A heartbeat that says what the member still reads.
pub(super) fn owning(member_id: &str, member_epoch: i32, owned: &Assignment) -> Heartbeat {
    Heartbeat {
        owned: Some(owned.clone()),
        ..keep_alive(member_id, member_epoch)
    }
}

fn answer(member_epoch: i32, assignment: &Assignment) -> Answer {
    Answer {
        member_epoch,
        assignment: Some(assignment.clone()),
    }
}

/// A group of "a" and "b" who have shared the four partitions of "orders" in epoch 3.
fn settled() -> (Fixture, Assignment, Assignment) {
    let mut fixture = Fixture::new(&[("orders", 4)]);
    fixture.ok(&join("a", &["orders"]));
    fixture.ok(&join("b", &["orders"]));
    let a = fixture.ok(&keep_alive("a", 2)).assignment.unwrap();
    assert_eq!(fixture.ok(&owning("a", 2, &a)).member_epoch, 3);
    let b = fixture.ok(&keep_alive("b", 3)).assignment.unwrap();
    assert_eq!(fixture.group.state(), State::Stable);
    assert_eq!([a.len(), b.len()], [2, 2]);
    (fixture, a, b)
}

#[test]
fn the_first_member_gets_everything_at_once() {
    let mut fixture = Fixture::new(&[("orders", 3)]);
    assert_eq!(fixture.group.state(), State::Empty);
    let all = fixture.of("orders", 0..3);
    assert_eq!(fixture.ok(&join("a", &["orders"])), answer(2, &all));
    assert_eq!(fixture.group.state(), State::Stable);
    assert_eq!(
        (fixture.group.epoch(), fixture.group.assignment_epoch()),
        (2, 2)
    );
}

#[test]
fn a_second_member_waits_until_the_first_has_given_up() {
    let mut fixture = Fixture::new(&[("orders", 4)]);
    let all = fixture.of("orders", 0..4);
    let nothing = Assignment::new();
    fixture.ok(&join("a", &["orders"]));
    assert_eq!(fixture.ok(&join("b", &["orders"])), answer(3, &nothing));
    assert_eq!(fixture.group.state(), State::Reconciling);

    // "a" is told to give up two, stays in its epoch, and "b" gets nothing as long as "a" does not say that it has.
    let told = fixture.ok(&keep_alive("a", 2));
    assert_eq!(told.member_epoch, 2);
    let kept = told.assignment.unwrap();
    assert_eq!(kept.len(), 2);
    for heartbeat in [keep_alive("a", 2), owning("a", 2, &all)] {
        let silent = Answer {
            member_epoch: 2,
            assignment: None,
        };
        assert_eq!(fixture.ok(&heartbeat), silent);
        assert_eq!(fixture.ok(&keep_alive("b", 3)).assignment, None);
    }

    assert_eq!(fixture.ok(&owning("a", 2, &kept)).member_epoch, 3);
    let given = fixture.ok(&keep_alive("b", 3)).assignment.unwrap();
    assert_eq!(given, &all - &kept);
    assert_eq!(fixture.group.state(), State::Stable);
}

#[test]
fn who_missed_an_answer_asks_again() {
    let (mut fixture, a, _) = settled();
    assert_eq!(
        fixture.ok(&keep_alive("a", 3)).assignment,
        None,
        "nothing is new"
    );
    let full = Heartbeat {
        member_epoch: 3,
        owned: Some(a.clone()),
        ..join("a", &["orders"])
    };
    assert_eq!(
        fixture.ok(&full),
        answer(3, &a),
        "a full request is answered in full"
    );
    let behind = owning("a", 2, &a);
    assert_eq!(
        fixture.ok(&behind).member_epoch,
        3,
        "one epoch behind is accepted"
    );
    let rejoin = join("a", &["orders"]);
    assert_eq!(
        fixture.ok(&rejoin),
        answer(3, &a),
        "a member that joins again is who it was"
    );
}

#[test]
fn a_member_in_another_epoch_is_fenced() {
    let (mut fixture, a, b) = settled();
    let fenced = ResponseError::FencedMemberEpoch;
    assert_eq!(fixture.error(&keep_alive("a", 4)), fenced, "ahead");
    assert_eq!(fixture.error(&owning("a", 1, &a)), fenced, "two behind");
    assert_eq!(
        fixture.error(&keep_alive("a", 2)),
        fenced,
        "behind, and silent about what it reads"
    );
    assert_eq!(
        fixture.error(&owning("a", 2, &b)),
        fenced,
        "behind, and reads what it may not"
    );
    assert_eq!(
        fixture.error(&keep_alive("c", 3)),
        ResponseError::UnknownMemberId
    );
}

#[test]
fn who_leaves_frees_its_partitions_at_once() {
    let (mut fixture, a, b) = settled();
    fixture.group.leave("b", None, LEAVING).unwrap();
    assert_eq!(
        (fixture.group.epoch(), fixture.group.assignment_epoch()),
        (4, 3)
    );
    assert_eq!(fixture.group.state(), State::Assigning);
    assert_eq!(fixture.ok(&keep_alive("a", 3)), answer(4, &(&a | &b)));
    let again = fixture.group.leave("b", None, LEAVING).unwrap_err();
    assert_eq!(again.error, ResponseError::UnknownMemberId);
    assert_eq!(again.message, "Member b is not a member of group group.");
}

#[test]
fn who_is_silent_for_a_session_is_expelled() {
    let (mut fixture, a, b) = settled();
    assert_eq!(fixture.group.next_deadline(), Some(fixture.now + SESSION));
    fixture.now += SESSION / 2;
    fixture.ok(&keep_alive("a", 3));
    fixture.now += SESSION / 2;
    assert_eq!(fixture.group.expire(fixture.now), ["b"]);
    assert_eq!(fixture.ok(&keep_alive("a", 3)), answer(4, &(&a | &b)));
    assert_eq!(
        fixture.error(&keep_alive("b", 3)),
        ResponseError::UnknownMemberId
    );
}

#[test]
fn who_does_not_give_up_in_time_is_expelled() {
    let mut fixture = Fixture::new(&[("orders", 4)]);
    let all = fixture.of("orders", 0..4);
    fixture.ok(&join("a", &["orders"]));
    fixture.ok(&join("b", &["orders"]));
    fixture.ok(&keep_alive("a", 2));
    let deadline = fixture.now + REBALANCE;
    fixture.now += REBALANCE / 2;
    // Being alive is not enough, and hearing of it again does not prolong the time.
    fixture.ok(&owning("a", 2, &all));
    assert_eq!(fixture.group.next_deadline(), Some(deadline));
    assert!(fixture.group.expire(fixture.now).is_empty());
    fixture.now = deadline;
    assert_eq!(fixture.group.expire(fixture.now), ["a"]);
    assert_eq!(fixture.ok(&keep_alive("b", 3)), answer(4, &all));
}

#[test]
fn giving_up_in_time_ends_the_deadline() {
    let (fixture, ..) = settled();
    assert_eq!(fixture.group.next_deadline(), Some(fixture.now + SESSION));
}

#[test]
fn what_a_member_unsubscribed_from_is_taken_away_even_before_a_new_assignment() {
    let mut fixture = Fixture::new(&[("orders", 1), ("payments", 1)]);
    fixture.ok(&join("a", &["orders"]));
    let orders = fixture.of("orders", 0..1);
    // The pattern is matched after the answer, but orders are gone already.
    let by_pattern = Heartbeat {
        topic_names: Some(BTreeSet::new()),
        topic_pattern: Some("pay.*".to_owned()),
        ..owning("a", 2, &orders)
    };
    assert_eq!(fixture.ok(&by_pattern), answer(2, &Assignment::new()));
}

#[test]
fn changes_of_topics_reach_the_members() {
    let mut fixture = Fixture::new(&[("orders", 1)]);
    fixture.ok(&join("a", &["orders", "payments"]));

    fixture.add_partition("orders");
    let orders = fixture.of("orders", 0..2);
    assert_eq!(fixture.ok(&keep_alive("a", 2)), answer(3, &orders));

    fixture.create_topic("payments", 1);
    let both = &orders | &fixture.of("payments", 0..1);
    assert_eq!(fixture.ok(&keep_alive("a", 3)), answer(4, &both));

    let old_orders = orders;
    fixture.topics.delete("orders");
    fixture.create_topic("orders", 2);
    let payments = fixture.of("payments", 0..1);
    assert_eq!(
        fixture.ok(&keep_alive("a", 4)),
        answer(4, &payments),
        "another topic of that name"
    );
    let new_orders = fixture.of("orders", 0..2);
    assert_ne!(new_orders, old_orders);
    assert_eq!(
        fixture.ok(&owning("a", 4, &payments)),
        answer(5, &(&payments | &new_orders))
    );
}

#[test]
fn most_votes_choose_the_assignor() {
    let mut fixture = Fixture::new(&[("orders", 1)]);
    assert_eq!(fixture.group.assignor(), Assignor::Uniform);
    fixture.ok(&join("a", &["orders"]));
    fixture.ok(&Heartbeat {
        assignor: Some(Assignor::Range),
        ..join("b", &["orders"])
    });
    assert_eq!(
        fixture.group.assignor(),
        Assignor::Range,
        "one vote beats none"
    );
    for member_id in ["c", "d"] {
        fixture.ok(&Heartbeat {
            assignor: Some(Assignor::Uniform),
            ..join(member_id, &["orders"])
        });
    }
    assert_eq!(fixture.group.assignor(), Assignor::Uniform);
}

#[test]
fn changes_in_quick_succession_are_answered_by_one_assignment() {
    let mut fixture = Fixture::new(&[("orders", 3)]);
    let interval = Duration::from_secs(1);
    fixture.config.assignment_interval = interval;
    fixture.ok(&join("a", &["orders"]));
    fixture.ok(&join("b", &["orders"]));
    fixture.ok(&join("c", &["orders"]));
    assert_eq!(fixture.group.state(), State::Assigning);
    assert_eq!(fixture.ok(&keep_alive("a", 2)).assignment, None);
    fixture.now += interval;
    let told = fixture.ok(&keep_alive("a", 2)).assignment;
    assert_eq!(told.map(|kept| kept.len()), Some(1));
    assert_eq!(
        (fixture.group.epoch(), fixture.group.assignment_epoch()),
        (4, 4)
    );
}

#[test]
fn another_coordinator_begins_sessions_anew() {
    let mut fixture = Fixture::new(&[("orders", 4)]);
    fixture.ok(&join("a", &["orders"]));
    fixture.ok(&join("b", &["orders"]));
    fixture.ok(&keep_alive("a", 2));
    fixture.now += REBALANCE / 2;
    fixture.group.begin_sessions_anew(fixture.now);
    assert_eq!(fixture.group.next_deadline(), Some(fixture.now + REBALANCE));
    fixture.now += SESSION;
    assert_eq!(fixture.group.expire(fixture.now), ["a", "b"]);
}
