//! What holds whatever members do, in whatever order: thousands of random steps, and a check after each.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::sync::oneshot::error::TryRecvError;

use super::tests::{Bench, joining};
use super::*;

/// A client that follows the protocol, hangs up at will and forgets what it likes.
#[derive(Default)]
struct Client {
    /// As the group gave it; empty before the first answer.
    id: String,
    join: Option<oneshot::Receiver<JoinAnswer>>,
    sync: Option<oneshot::Receiver<SyncAnswer>>,
}

/// Numbers that look random and are the same in every run (xorshift).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

impl Client {
    /// Takes what the group has answered. A request of a client that is still there is answered or parked, never dropped.
    fn take_answers(&mut self, step: usize) {
        match self.join.as_mut().map(oneshot::Receiver::try_recv) {
            Some(Ok(JoinAnswer::Joined(joined))) => self.id = joined.member_id,
            Some(Ok(JoinAnswer::Refused { error, member_id })) => {
                self.id = match error {
                    ResponseError::MemberIdRequired => member_id,
                    _ => String::new(),
                };
            }
            Some(Err(TryRecvError::Closed)) => panic!("step {step}: a JoinGroup was forgotten"),
            Some(Err(TryRecvError::Empty)) | None => return,
        }
        self.join = None;
    }

    fn take_sync(&mut self, step: usize) {
        match self.sync.as_mut().map(oneshot::Receiver::try_recv) {
            Some(Ok(_)) => self.sync = None,
            Some(Err(TryRecvError::Closed)) => panic!("step {step}: a SyncGroup was forgotten"),
            Some(Err(TryRecvError::Empty)) | None => {}
        }
    }
}

#[test]
fn random_steps_leave_no_request_unanswered_and_no_member_behind() {
    for seed in 1..=60 {
        walk(seed);
    }
}

fn walk(seed: u64) {
    let mut numbers = Numbers(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let mut bench = Bench::new();
    let mut clients: Vec<Client> = (0..6).map(|_| Client::default()).collect();
    for step in 0..400 {
        let index = usize::try_from(numbers.below(6)).unwrap();
        act(&mut bench, &mut clients[index], &mut numbers);
        for client in &mut clients {
            client.take_answers(step);
            client.take_sync(step);
        }
        check(&bench.group, &clients, step);
    }
    // Everybody falls silent and hangs up: nothing may be left.
    clients.clear();
    bench.pass(Duration::from_secs(3_600));
    assert_eq!(bench.group.state(), "Empty", "seed {seed}");
    assert_eq!(bench.group.deadline(), None, "seed {seed}");
    assert!(bench.group.pending.is_empty());
}

fn act(bench: &mut Bench, client: &mut Client, numbers: &mut Numbers) {
    let waits = client.join.is_some() || client.sync.is_some();
    let generation = bench.group.generation;
    match numbers.below(10) {
        // A connection that breaks.
        0 => *client = Client::default(),
        1 if client.join.is_some() => client.join = None,
        1 if client.sync.is_some() => client.sync = None,
        2 => bench.pass(Duration::from_millis(numbers.below(4_000))),
        3..=6 if !waits => client.join = Some(bench.join(request(client, numbers))),
        7 | 8 if !waits && !client.id.is_empty() => {
            client.sync = Some(bench.sync(&client.id, &[(&client.id, "a part")]));
        }
        9 if !client.id.is_empty() => {
            let leaving = LeavingMember {
                member_id: &client.id,
                instance_id: None,
            };
            bench.group.leave(&[leaving], bench.now);
        }
        _ => {
            let _told = bench
                .group
                .heartbeat(&client.id, None, generation, bench.now);
        }
    }
}

fn request(client: &Client, numbers: &mut Numbers) -> JoinRequest {
    let mut request = joining(&client.id);
    request.session_timeout = Duration::from_millis(1_000 + numbers.below(3_000));
    request.rebalance_timeout = Duration::from_millis(1_000 + numbers.below(5_000));
    request.returns_with_id = numbers.below(2) == 0;
    // Static members never say who they are here, so each of their joins is a restart.
    if numbers.below(4) == 0 {
        request.member_id = String::new();
        request.instance_id = Some(format!("instance {}", numbers.below(2)));
    }
    if numbers.below(3) == 0 {
        request.protocols[0].metadata = numbers.below(100).to_string().into();
    }
    request
}

fn check(group: &ClassicGroup, clients: &[Client], step: usize) {
    let members = group.members();
    let ids: HashSet<&str> = members.iter().map(|member| member.id.as_str()).collect();
    assert_eq!(
        ids.len(),
        members.len(),
        "step {step}: two members share an id"
    );
    assert_eq!(
        group.is_empty(),
        members.is_empty() && !is_preparing(group),
        "step {step}"
    );
    let has_leader = group.leader.as_deref().is_some_and(|id| ids.contains(id));
    assert_eq!(
        has_leader,
        !members.is_empty(),
        "step {step}: the leader is a member"
    );
    let mut instances = HashMap::new();
    for member in members {
        if let Some(instance) = &member.instance_id {
            let other = instances.insert(instance, &member.id);
            assert_eq!(other, None, "step {step}: two members share an instance id");
        }
        if !is_preparing(group) {
            assert!(
                !member.has_joined(),
                "step {step}: a JoinGroup is parked outside a round"
            );
        }
    }
    for client in clients {
        if client.join.is_some() || client.sync.is_some() {
            assert!(
                group.deadline().is_some(),
                "step {step}: a client waits for no deadline"
            );
        }
        if client.sync.is_some() {
            assert_eq!(
                group.state(),
                "CompletingRebalance",
                "step {step}: a SyncGroup is parked"
            );
        }
    }
}

fn is_preparing(group: &ClassicGroup) -> bool {
    matches!(group.phase, Phase::PreparingRebalance { .. })
}
