//! Random members that join, leave, die, come back, miss answers and dawdle, while topics come, grow and go.
//!
//! Whatever they do, no partition is ever held twice, no epoch goes back, and once they behave, everything is assigned.

use std::collections::BTreeMap;
use std::time::Duration;

use kafka_protocol::error::ResponseError;

use super::tests::{Fixture, join, owning};
use super::*;

const TOPICS: [&str; 3] = ["apples", "pears", "plums"];

/// A client as KIP-848 describes it.
struct Client {
    member_id: String,
    instance_id: Option<String>,
    epoch: i32,
    topics: Vec<&'static str>,
    /// By regular expression instead of by name.
    by_pattern: bool,
    /// What it reads.
    owned: Assignment,
    /// What it was last told to read. It gives up what is missing there before it takes up what is new.
    told: Assignment,
    /// The answer to its last heartbeat was lost, so that it says everything with the next.
    missed_answer: bool,
}

impl Client {
    fn new(member_id: String, random: &mut fastrand::Rng) -> Self {
        let topics = TOPICS.into_iter().filter(|_| random.u8(0..3) > 0);
        Self {
            member_id,
            instance_id: None,
            epoch: JOINING,
            topics: topics.collect(),
            by_pattern: random.u8(0..3) == 0,
            owned: Assignment::new(),
            told: Assignment::new(),
            missed_answer: false,
        }
    }

    fn heartbeat(&self) -> Heartbeat {
        let mut heartbeat = match self.epoch == JOINING || self.missed_answer {
            true => Heartbeat {
                member_epoch: self.epoch,
                owned: Some(self.owned.clone()),
                ..join(&self.member_id, &self.topics)
            },
            false => owning(&self.member_id, self.epoch, &self.owned),
        };
        if self.by_pattern && heartbeat.topic_names.take().is_some() {
            heartbeat.topic_pattern = Some(self.topics.join("|"));
        }
        heartbeat.instance_id.clone_from(&self.instance_id);
        heartbeat
    }

    /// Gives up what it was told to; with `all` it also takes up what is new. After a missed answer it takes up nothing:
    /// what it was told before may no longer hold.
    fn follow(&mut self, all: bool) {
        self.owned = match all && !self.missed_answer {
            true => self.told.clone(),
            false => &self.owned & &self.told,
        };
    }

    fn start_over(&mut self) {
        self.epoch = JOINING;
        self.owned.clear();
        self.told.clear();
    }
}

struct Walk {
    fixture: Fixture,
    random: fastrand::Rng,
    clients: Vec<Client>,
    /// Static members that left for a while.
    away: Vec<Client>,
    joined: u32,
    /// The group epoch and the assignment epoch at the last look.
    epochs: (i32, i32),
}

impl Walk {
    fn new(seed: u64) -> Self {
        Self {
            fixture: Fixture::new(&[("apples", 4), ("pears", 3)]),
            random: fastrand::Rng::with_seed(seed),
            clients: Vec::new(),
            away: Vec::new(),
            joined: 0,
            epochs: (0, 0),
        }
    }

    fn step(&mut self) {
        match self.random.u8(0..20) {
            0 | 1 if self.clients.len() < 6 => self.arrive(),
            2 => self.depart(),
            3 => self.change_topics(),
            4 => {
                let millis = self.random.u64(0..4_000);
                self.pass_time(Duration::from_millis(millis));
            }
            5 => self.resubscribe(),
            _ => self.one_heartbeat(),
        }
        self.check();
    }

    fn arrive(&mut self) {
        self.joined += 1;
        let member_id = format!("member-{}", self.joined);
        if let Some(mut back) = self.away.pop() {
            back.start_over();
            back.member_id = member_id;
            self.clients.push(back);
            return;
        }
        let mut client = Client::new(member_id, &mut self.random);
        if self.random.bool() {
            client.instance_id = Some(format!("instance-{}", self.joined));
        }
        self.clients.push(client);
    }

    /// A client leaves for good, for a while, or dies without a word.
    fn depart(&mut self) {
        let Some(index) = self.random_client() else {
            return;
        };
        let client = self.clients.swap_remove(index);
        let group = &mut self.fixture.group;
        let instance_id = client.instance_id.as_deref();
        match (self.random.u8(0..3), instance_id) {
            (0, _) => {
                let _not_a_member_yet = group.leave(&client.member_id, instance_id, LEAVING);
            }
            (1, Some(_)) => {
                let left = group.leave(&client.member_id, instance_id, LEAVING_FOR_A_WHILE);
                if left.is_ok() {
                    self.away.push(client);
                }
            }
            _ => {}
        }
    }

    fn change_topics(&mut self) {
        let name = TOPICS[self.random.usize(0..TOPICS.len())];
        match self
            .fixture
            .topics
            .get(name)
            .map(|topic| topic.partitions.len())
        {
            None => self.fixture.create_topic(name, self.random.usize(1..5)),
            Some(partitions) if partitions < 8 && self.random.bool() => {
                self.fixture.add_partition(name);
            }
            Some(_) => {
                self.fixture.topics.delete(name);
            }
        }
    }

    fn pass_time(&mut self, time: Duration) {
        self.fixture.now += time;
        self.fixture.group.expire(self.fixture.now);
    }

    /// A client wants other topics from now on.
    fn resubscribe(&mut self) {
        let Some(index) = self.random_client() else {
            return;
        };
        let client = &mut self.clients[index];
        if client.epoch == JOINING {
            return;
        }
        client.topics = TOPICS.into_iter().filter(|_| self.random.bool()).collect();
        let mut heartbeat = client.heartbeat();
        let names = client
            .topics
            .iter()
            .map(|name| (*name).to_owned())
            .collect();
        heartbeat.topic_names = Some(if client.by_pattern {
            BTreeSet::new()
        } else {
            names
        });
        heartbeat.topic_pattern = client.by_pattern.then(|| client.topics.join("|"));
        self.send(index, &heartbeat, false);
    }

    fn one_heartbeat(&mut self) {
        if let Some(index) = self.random_client() {
            let heartbeat = self.clients[index].heartbeat();
            let is_lost = self.random.u8(0..10) == 0;
            self.send(index, &heartbeat, is_lost);
            // Some are slow to give up what they must.
            if self.random.u8(0..3) > 0 {
                self.clients[index].follow(true);
            } else if self.random.bool() {
                self.clients[index].follow(false);
            }
        }
    }

    fn random_client(&mut self) -> Option<usize> {
        let count = self.clients.len();
        (count > 0).then(|| self.random.usize(0..count))
    }

    fn send(&mut self, index: usize, heartbeat: &Heartbeat, is_lost: bool) {
        let result = self.fixture.send(heartbeat);
        let client = &mut self.clients[index];
        match result {
            Ok(_) if is_lost => client.missed_answer = true,
            Ok(answer) => {
                client.missed_answer = false;
                assert!(
                    answer.member_epoch >= client.epoch,
                    "{} was sent back to {} from {}",
                    client.member_id,
                    answer.member_epoch,
                    client.epoch
                );
                client.epoch = answer.member_epoch;
                if let Some(told) = answer.assignment {
                    client.told = told;
                }
            }
            Err(Rejected {
                error: ResponseError::UnreleasedInstanceId,
                ..
            }) => {}
            Err(rejected) => {
                assert!(
                    matches!(
                        rejected.error,
                        ResponseError::UnknownMemberId
                            | ResponseError::FencedMemberEpoch
                            | ResponseError::FencedInstanceId
                    ),
                    "{rejected:?}"
                );
                client.start_over();
            }
        }
    }

    /// What must hold at any time.
    fn check(&mut self) {
        let group = &self.fixture.group;
        let mut holders: BTreeMap<TopicPartition, &str> = BTreeMap::new();
        for (member_id, member, _) in group.members() {
            for partition in member.current.held() {
                let other = holders.insert(*partition, member_id);
                assert_eq!(other, None, "{partition:?} is also held by {member_id}");
            }
        }
        assert_eq!(holders.len(), group.owners.len());
        for client in &self.clients {
            // One that was expelled reads on until it hears of it; nothing can be done about that.
            if group.members.contains_key(&client.member_id) {
                for partition in &client.owned {
                    let holder = holders.get(partition).copied();
                    assert_eq!(
                        holder,
                        Some(client.member_id.as_str()),
                        "reads {partition:?}"
                    );
                }
            }
        }
        let epochs = (group.epoch(), group.assignment_epoch());
        assert!(
            epochs.0 >= self.epochs.0 && epochs.1 >= self.epochs.1 && epochs.1 <= epochs.0,
            "{:?} became {epochs:?}",
            self.epochs
        );
        self.epochs = epochs;
    }

    /// From now on everybody behaves, and the group has to come to rest.
    fn settle(&mut self) {
        self.away.clear();
        for _ in 0..20 {
            for index in 0..self.clients.len() {
                let heartbeat = self.clients[index].heartbeat();
                self.send(index, &heartbeat, false);
                self.clients[index].follow(true);
                self.check();
            }
            self.pass_time(Duration::from_secs(1));
        }
        let expected = match self.clients.is_empty() {
            true => State::Empty,
            false => State::Stable,
        };
        assert_eq!(self.fixture.group.state(), expected);
        let read: Assignment = self
            .clients
            .iter()
            .flat_map(|client| &client.owned)
            .copied()
            .collect();
        let mut wanted = Assignment::new();
        for name in self.clients.iter().flat_map(|client| &client.topics) {
            if let Some(topic) = self.fixture.topics.get(name) {
                let count = i32::try_from(topic.partitions.len()).unwrap();
                wanted.extend((0..count).map(|partition| TopicPartition {
                    topic_id: topic.id,
                    partition,
                }));
            }
        }
        assert_eq!(read, wanted, "everything is read");
    }
}

#[test]
fn no_partition_is_ever_held_twice_and_all_are_in_the_end() {
    for seed in 0..40 {
        let mut walk = Walk::new(seed);
        for _ in 0..3 {
            for _ in 0..150 {
                walk.step();
            }
            walk.settle();
        }
    }
}
