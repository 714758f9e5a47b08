//! Days pass on a made-up clock.

use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use tokio::sync::oneshot;

use super::*;
use crate::cluster::Cluster;
use crate::group::{
    ClassicGroup, CommittedOffset, ConsumerGroup, JoinRequest, Kind, LeavingMember, MemberProtocol,
};
use crate::log::testing::TestBatch;
use crate::log::{BatchHeader, Marker, TransactionResult};
use crate::settings::Settings;
use crate::transaction::{Participant, ProducerIdAndEpoch};

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const WEEK: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// Longer than the time between two members' reports.
const SESSION: Duration = Duration::from_secs(365 * 24 * 60 * 60);
const TOPIC: &str = "orders";

struct Fixture {
    state: State,
    now: Now,
}

impl Fixture {
    fn new() -> Self {
        let mut state = State::new(Settings::default(), Cluster::new(Vec::new()));
        // Records stay, whatever their producers do.
        let overrides = [("retention.ms".to_owned(), "-1".to_owned())];
        let config = state.configs.topic(overrides.into()).unwrap();
        state.topics.create(TOPIC, vec![vec![0]], config);
        Self {
            state,
            now: Now::read(),
        }
    }

    /// Lets time pass as the broker does: the state is looked at whenever it asked to be.
    fn wait(&mut self, time: Duration) {
        self.state.keep_house(self.now);
        let end = self.now.after(time);
        while let Some(next) = self.state.timers.next().filter(|at| *at <= end.instant) {
            self.now = self.now.after(next - self.now.instant);
            self.state.tick(self.now);
        }
        self.now = end;
    }

    fn init(&mut self, id: &str) -> ProducerIdAndEpoch {
        // Longer than any test: no transaction times out.
        let transactions = &mut self.state.transactions;
        transactions.initialise(id, i32::MAX, None).unwrap()
    }

    fn add(&mut self, id: &str, producer: ProducerIdAndEpoch) -> Result<(), ResponseError> {
        let participant = Participant::Partition(TOPIC.to_owned(), 0);
        let State {
            transactions,
            timers,
            ..
        } = &mut self.state;
        transactions.add(id, producer, [participant], self.now, timers)
    }

    fn append(&mut self, batch: &TestBatch) {
        let bytes = batch.bytes();
        let header = BatchHeader::check(&bytes).unwrap();
        let led = self.state.topics.led_by_with_config(0, TOPIC, 0);
        let (partition, config) = led.unwrap();
        partition
            .log
            .append(&bytes, &header, 0, config, self.now)
            .unwrap();
    }

    /// The ids of the producers that the partition knows.
    fn producers(&self) -> Vec<i64> {
        let log = &self.state.topics.get(TOPIC).unwrap().partitions[0].log;
        log.active_producers().map(|producer| producer.id).collect()
    }

    fn commit(&mut self, group: &str, partition: i32) {
        let committed = committed();
        let offsets = &mut self.state.groups.create(group).offsets;
        offsets.commit(TOPIC, partition, committed);
    }

    /// The partitions that the group has committed offsets of; none if there is no such group.
    fn offsets(&self, group: &str) -> Option<Vec<i32>> {
        let offsets = &self.state.groups.get(group)?.offsets;
        Some(offsets.iter().flat_map(|(_, indexes)| indexes).collect())
    }

    fn change(&mut self, group: &str, change: impl FnOnce(&mut ClassicGroup, Now)) {
        let State { groups, timers, .. } = &mut self.state;
        groups.create_classic(group);
        let now = self.now;
        groups
            .change_classic(group, timers, |classic| change(classic, now))
            .unwrap();
    }

    fn join(&mut self, group: &str) {
        let request = JoinRequest {
            member_id: String::new(),
            instance_id: None,
            client_id: "client".to_owned(),
            client_host: "/127.0.0.1".to_owned(),
            session_timeout: SESSION,
            rebalance_timeout: SESSION,
            protocol_type: "consumer".to_owned(),
            protocols: vec![MemberProtocol {
                name: "range".to_owned(),
                metadata: Bytes::new(),
            }],
            returns_with_id: false,
            skips_assignment: true,
        };
        // Nobody waits for the answer.
        let (answer, _) = oneshot::channel();
        self.change(group, |classic, now| {
            classic.join(request, Duration::ZERO, now, answer);
        });
        self.wait(Duration::ZERO);
    }

    fn leave(&mut self, group: &str) {
        self.change(group, |classic, now| {
            let member_id = classic.members()[0].id.clone();
            let member = LeavingMember {
                member_id: &member_id,
                instance_id: None,
            };
            assert_eq!(classic.leave(&[member], now), [Ok(())]);
        });
    }

    /// Whether the broker sleeps until somebody asks for something.
    fn sleeps(&self) -> bool {
        self.state.timers.next().is_none()
    }
}

fn committed() -> CommittedOffset {
    CommittedOffset {
        offset: 5,
        leader_epoch: -1,
        metadata: String::new(),
    }
}

#[test]
fn a_transactional_id_is_forgotten_a_week_after_its_last_transaction() {
    let mut fixture = Fixture::new();
    let idle = fixture.init("idle");
    let busy = fixture.init("busy");
    let open = fixture.init("open");
    fixture.add("open", open).unwrap();
    for _ in 0..2 {
        fixture.wait(4 * DAY);
        fixture.add("busy", busy).unwrap();
        let ended = fixture
            .state
            .transactions
            .end("busy", busy, TransactionResult::Commit);
        assert!(ended.unwrap().is_some());
    }
    // Eight days after the others' last request, at once after its own.
    let known: Vec<&str> = fixture
        .state
        .transactions
        .iter()
        .map(|(id, _)| id)
        .collect();
    assert_eq!(known, ["busy", "open"]);
    let unknown = Err(ResponseError::InvalidProducerIdMapping);
    assert_eq!(fixture.add("idle", idle), unknown);
    assert_ne!(fixture.init("idle").id, idle.id, "a new producer id");
    fixture.wait(WEEK + 2 * INTERVAL);
    let known: Vec<&str> = fixture
        .state
        .transactions
        .iter()
        .map(|(id, _)| id)
        .collect();
    assert_eq!(known, ["open"], "a transaction that is open stays");
}

#[test]
fn a_transactional_id_is_known_for_a_week() {
    let mut fixture = Fixture::new();
    fixture.init("idle");
    fixture.wait(WEEK);
    assert!(fixture.state.transactions.get("idle").is_some());
    fixture.wait(2 * INTERVAL);
    assert!(fixture.state.transactions.get("idle").is_none());
    assert!(fixture.sleeps(), "there is nothing left to forget");
}

#[test]
fn a_partition_forgets_a_producer_a_day_after_its_last_batch() {
    let mut fixture = Fixture::new();
    let batch = |fixture: &Fixture, id, sequence| {
        TestBatch::of_size(fixture.now.unix_ms, 10).producer(id, 0, sequence)
    };
    for id in [1, 2] {
        fixture.append(&batch(&fixture, id, 0));
    }
    fixture.append(&batch(&fixture, 3, 0).transactional());
    fixture.wait(DAY - MINUTE);
    fixture.append(&batch(&fixture, 2, 1));
    assert_eq!(fixture.producers(), [1, 2, 3]);
    fixture.wait(MINUTE + INTERVAL);
    assert_eq!(fixture.producers(), [2, 3]);
    // An open transaction keeps its producer; when it has ended the day begins.
    fixture.wait(DAY + INTERVAL);
    assert_eq!(fixture.producers(), [3]);
    let marker = Marker {
        producer_id: 3,
        producer_epoch: 0,
        coordinator_epoch: 0,
        result: TransactionResult::Abort,
    };
    let led = fixture.state.topics.led_by_with_config(0, TOPIC, 0);
    let (partition, config) = led.unwrap();
    let log = &mut partition.log;
    log.append_marker(&marker, 0, config, fixture.now).unwrap();
    fixture.wait(DAY - MINUTE);
    assert_eq!(fixture.producers(), [3]);
    fixture.wait(MINUTE + INTERVAL);
    assert_eq!(fixture.producers(), [] as [i64; 0]);
    // Whoever comes back may go on where it was (KIP-360).
    fixture.append(&batch(&fixture, 1, 1));
    assert_eq!(fixture.producers(), [1]);
}

#[test]
fn offsets_without_members_are_kept_for_a_week_after_each_commit() {
    let mut fixture = Fixture::new();
    fixture.commit("simple", 0);
    fixture.commit("consumers", 0);
    fixture.state.groups.create("consumers").kind = Kind::Consumer(ConsumerGroup::new("consumers"));
    fixture.wait(4 * DAY);
    for group in ["simple", "consumers"] {
        fixture.commit(group, 1);
    }
    fixture.wait(3 * DAY);
    for group in ["simple", "consumers"] {
        assert_eq!(fixture.offsets(group), Some(vec![0, 1]), "{group}");
    }
    fixture.wait(2 * INTERVAL);
    for group in ["simple", "consumers"] {
        assert_eq!(fixture.offsets(group), Some(vec![1]), "{group}");
    }
    fixture.wait(4 * DAY);
    for group in ["simple", "consumers"] {
        assert_eq!(fixture.offsets(group), None, "{group}");
    }
    assert!(fixture.sleeps(), "there is nothing left to forget");
}

#[test]
fn a_classic_groups_offsets_go_a_week_after_the_last_member() {
    let mut fixture = Fixture::new();
    fixture.join("group");
    fixture.commit("group", 0);
    fixture.wait(2 * WEEK);
    assert_eq!(fixture.offsets("group"), Some(vec![0]), "they are read");
    fixture.leave("group");
    fixture.wait(WEEK - DAY);
    // An administrator's commit does not begin the week anew, a member does.
    fixture.commit("group", 1);
    fixture.join("group");
    fixture.wait(INTERVAL);
    fixture.leave("group");
    fixture.wait(WEEK);
    assert_eq!(fixture.offsets("group"), Some(vec![0, 1]));
    fixture.wait(2 * INTERVAL);
    assert_eq!(fixture.offsets("group"), None);
}

#[test]
fn an_offset_that_a_transaction_may_change_stays() {
    let mut fixture = Fixture::new();
    fixture.commit("group", 0);
    let offsets = &mut fixture.state.groups.create("group").offsets;
    offsets.stage(7, TOPIC, 0, committed());
    fixture.wait(2 * WEEK);
    assert_eq!(fixture.offsets("group"), Some(vec![0]));
    fixture.state.groups.create("group").offsets.discard(7);
    fixture.wait(INTERVAL);
    assert_eq!(fixture.offsets("group"), None);
}

#[test]
fn a_group_of_which_nothing_is_left_goes_at_the_second_look() {
    let mut fixture = Fixture::new();
    fixture.join("group");
    fixture.leave("group");
    fixture.wait(INTERVAL);
    assert_eq!(fixture.offsets("group"), Some(Vec::new()));
    fixture.wait(INTERVAL);
    assert_eq!(fixture.offsets("group"), None);
}
