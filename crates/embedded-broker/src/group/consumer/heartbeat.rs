//! What a heartbeat does: join, stay, leave.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use kafka_protocol::error::ResponseError;
use uuid::Uuid;

use super::assignment::{CurrentAssignment, Goal, Progress};
use super::member::{Member, SubscriptionChange};
use super::{ConsumerGroup, Rejected, patterns};
use crate::config::group::GroupConfig;
use crate::group::LeavingMember;
use crate::group::assignor::{Assignment, Assignor};
use crate::topic::Topics;

/// The member epoch that says: I join.
pub(crate) const JOINING: i32 = 0;
/// The member epoch that says: I leave.
pub(crate) const LEAVING: i32 = -1;
/// The member epoch of a static member that leaves and means to come back.
pub(crate) const LEAVING_FOR_A_WHILE: i32 = -2;

/// What a member says. What it leaves out is as it was.
#[derive(Clone, Debug)]
pub(crate) struct Heartbeat {
    pub(crate) member_id: String,
    pub(crate) member_epoch: i32,
    pub(crate) instance_id: Option<String>,
    pub(crate) rack_id: Option<String>,
    pub(crate) rebalance_timeout: Option<Duration>,
    pub(crate) topic_names: Option<BTreeSet<String>>,
    pub(crate) topic_pattern: Option<String>,
    pub(crate) assignor: Option<Assignor>,
    /// What it still reads.
    pub(crate) owned: Option<Assignment>,
    pub(crate) client_id: String,
    pub(crate) client_host: String,
}

impl Heartbeat {
    /// Whether the member says all that it has to say, as it does after an error: it may have missed an answer.
    fn is_full(&self) -> bool {
        self.rebalance_timeout.is_some()
            && (self.topic_names.is_some() || self.topic_pattern.is_some())
            && self.owned.is_some()
    }
}

/// What the group answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) member_epoch: i32,
    /// What the member may read from now on; nothing if that is what it was last told.
    pub(crate) assignment: Option<Assignment>,
}

/// Who sends a heartbeat.
enum Sender {
    /// Whoever has the heartbeat's member id, or will have it.
    Member,
    /// A static member that is back and takes the place of the member with this id.
    SuccessorOf(String),
}

impl ConsumerGroup {
    /// Takes a member's word, moves it one step towards the assignment and says what it may read.
    ///
    /// # Errors
    /// UNKNOWN_MEMBER_ID, FENCED_MEMBER_EPOCH, UNRELEASED_INSTANCE_ID, FENCED_INSTANCE_ID or
    /// INVALID_REGULAR_EXPRESSION. The group is as it was then.
    pub(crate) fn heartbeat(
        &mut self,
        now: Instant,
        heartbeat: &Heartbeat,
        config: GroupConfig,
        topics: &Topics,
    ) -> Result<Answer, Rejected> {
        let sender = self.sender(heartbeat)?;
        let pattern = heartbeat.topic_pattern.as_deref().unwrap_or_default();
        let new_pattern = match pattern.is_empty() || self.patterns.contains(pattern) {
            true => None,
            false => Some(patterns::compile(pattern)?),
        };
        // From here on nothing fails.
        if let Sender::SuccessorOf(predecessor) = sender {
            self.replace(&predecessor, &heartbeat.member_id);
        }
        // A new pattern raises the epoch when it is matched, below.
        let is_matched_later = new_pattern.is_some();
        if let Some(regex) = new_pattern {
            self.patterns.insert(pattern.to_owned(), regex);
        }
        let change = self.update_member(now, heartbeat, config.session_timeout);
        let needs_assignment = change.names || (change.pattern && !is_matched_later);
        let looks_now = needs_assignment || !is_matched_later;
        let topics_changed = looks_now && self.notice_topics(topics);
        if needs_assignment || topics_changed {
            self.epoch += 1;
        }
        self.update_target(now, config, topics);
        let is_changed = self.reconcile(now, heartbeat, change, topics);
        let is_told = is_changed || heartbeat.member_epoch == JOINING || heartbeat.is_full();
        let current = self.current(&heartbeat.member_id)?;
        let answer = Answer {
            member_epoch: current.epoch,
            assignment: is_told.then(|| current.assigned.keys().copied().collect()),
        };
        // Apache Kafka matches patterns in the background, so that a member that brings one hears of its topics with the
        // next heartbeat.
        if self.patterns.are_due(topics) {
            let matches_others = self.patterns.resolve(topics);
            if matches_others {
                self.noticed = None;
            }
            if self.notice_topics(topics) || matches_others {
                self.epoch += 1;
            }
        }
        Ok(answer)
    }

    /// Lets a member go.
    ///
    /// # Errors
    /// UNKNOWN_MEMBER_ID, or FENCED_INSTANCE_ID where another member has the instance id.
    pub(crate) fn leave(
        &mut self,
        member_id: &str,
        instance_id: Option<&str>,
        member_epoch: i32,
    ) -> Result<(), Rejected> {
        self.check_member(member_id, instance_id)?;
        if instance_id.is_some() && member_epoch == LEAVING_FOR_A_WHILE {
            self.release(member_id);
        } else {
            self.remove(member_id);
            self.epoch += 1;
        }
        Ok(())
    }

    /// Removes members at an administrator's request (LeaveGroup); each has a result of its own.
    pub(crate) fn remove_members(
        &mut self,
        leaving: &[LeavingMember<'_>],
    ) -> Vec<Result<(), ResponseError>> {
        let found: Vec<_> = leaving.iter().map(|member| self.find(*member)).collect();
        for member_id in found.iter().flatten() {
            self.remove(member_id);
        }
        // One change, however many leave.
        self.epoch += i32::from(found.iter().any(Result::is_ok));
        let results = found.into_iter();
        results
            .map(|found| found.map(drop).map_err(|rejected| rejected.error))
            .collect()
    }

    fn find(&self, leaving: LeavingMember<'_>) -> Result<String, Rejected> {
        let LeavingMember {
            member_id,
            instance_id,
        } = leaving;
        let holder = instance_id.and_then(|instance_id| self.static_members.get(instance_id));
        let member_id = match holder {
            Some(holder) if member_id.is_empty() => holder,
            _ => member_id,
        };
        self.check_member(member_id, instance_id)?;
        Ok(member_id.to_owned())
    }

    /// A static member leaves for a while: its partitions wait for it until its session ends.
    fn release(&mut self, member_id: &str) {
        let Some(member) = self.members.get_mut(member_id) else {
            return;
        };
        let mut released = member.current.clone();
        released.epoch = LEAVING_FOR_A_WHILE;
        released.revoking.clear();
        // Its successor has these from the beginning, whatever epoch it commits in.
        released.assigned.values_mut().for_each(|epoch| *epoch = 0);
        member.revocation_deadline = None;
        self.set_current(member_id, released);
    }

    /// Finds out who sends a heartbeat, and whether it may.
    fn sender(&self, heartbeat: &Heartbeat) -> Result<Sender, Rejected> {
        let (member_id, instance_id) = (&heartbeat.member_id, heartbeat.instance_id.as_deref());
        if heartbeat.member_epoch != JOINING {
            self.check_member(member_id, instance_id)?;
            self.check_epoch(heartbeat)?;
            return Ok(Sender::Member);
        }
        let holder = instance_id.and_then(|instance_id| self.static_members.get(instance_id));
        match (instance_id, holder) {
            (Some(_), Some(holder)) if self.current(holder)?.epoch == LEAVING_FOR_A_WHILE => {
                Ok(Sender::SuccessorOf(holder.clone()))
            }
            (Some(instance_id), Some(holder)) => Err(Rejected::new(
                ResponseError::UnreleasedInstanceId,
                format!(
                    "Static member {member_id} with instance id {instance_id} cannot join the group because the instance \
                     id is owned by {holder} member."
                ),
            )),
            _ => Ok(Sender::Member),
        }
    }

    /// Whether there is such a member.
    fn check_member(&self, member_id: &str, instance_id: Option<&str>) -> Result<(), Rejected> {
        let Some(instance_id) = instance_id else {
            return self.current(member_id).map(|_known| ());
        };
        match self.static_members.get(instance_id) {
            Some(holder) if holder == member_id => Ok(()),
            Some(holder) => Err(Rejected::new(
                ResponseError::FencedInstanceId,
                format!(
                    "Static member {member_id} with instance id {instance_id} was fenced by member {holder}."
                ),
            )),
            None => Err(Rejected::new(
                ResponseError::UnknownMemberId,
                format!("Instance id {instance_id} is unknown."),
            )),
        }
    }

    /// Fences a member that is not where the group last sent it. One epoch behind is accepted from a member that reads
    /// nothing it may not: the answer that moved it on got lost.
    fn check_epoch(&self, heartbeat: &Heartbeat) -> Result<(), Rejected> {
        let current = self.current(&heartbeat.member_id)?;
        let (received, known) = (heartbeat.member_epoch, current.epoch);
        let may_read_all = |owned: &Assignment| {
            let mut owned = owned.iter();
            owned.all(|partition| current.assigned.contains_key(partition))
        };
        let missed_the_answer = received < known
            && received == current.previous_epoch
            && heartbeat.owned.as_ref().is_some_and(may_read_all);
        if received == known || missed_the_answer {
            return Ok(());
        }
        let relation = match received > known {
            true => "greater",
            false => "smaller",
        };
        Err(Rejected::new(
            ResponseError::FencedMemberEpoch,
            format!(
                "The consumer group member has a {relation} member epoch ({received}) than the one known by the group \
                 coordinator ({known}). The member must abandon all its partitions and rejoin."
            ),
        ))
    }

    /// Has a static member that is back take over all that its predecessor left, under its new member id.
    fn replace(&mut self, predecessor: &str, member_id: &str) {
        let Some(mut member) = self.members.remove(predecessor) else {
            return;
        };
        if let Some(instance_id) = &member.instance_id {
            self.static_members
                .insert(instance_id.clone(), member_id.to_owned());
        }
        if let Some(target) = self.target.remove(predecessor) {
            self.target.insert(member_id.to_owned(), target);
        }
        let mut current = member.current.clone();
        current.epoch = JOINING;
        current.previous_epoch = JOINING;
        member.current = CurrentAssignment::none();
        self.members.insert(member_id.to_owned(), member);
        self.set_current(member_id, current);
    }

    /// Writes down what the member says about itself.
    fn update_member(
        &mut self,
        now: Instant,
        heartbeat: &Heartbeat,
        session_timeout: Duration,
    ) -> SubscriptionChange {
        let member = self
            .members
            .entry(heartbeat.member_id.clone())
            .or_insert_with(|| Member::new(now));
        member.session_timeout = session_timeout;
        member.extend_session(now);
        member.client_id.clone_from(&heartbeat.client_id);
        member.client_host.clone_from(&heartbeat.client_host);
        if let Some(instance_id) = &heartbeat.instance_id {
            member.instance_id = Some(instance_id.clone());
            self.static_members
                .insert(instance_id.clone(), heartbeat.member_id.clone());
        }
        if let Some(rack_id) = &heartbeat.rack_id {
            member.rack_id = Some(rack_id.clone());
        }
        if let Some(rebalance_timeout) = heartbeat.rebalance_timeout {
            member.rebalance_timeout = rebalance_timeout;
        }
        if let Some(assignor) = heartbeat.assignor {
            member.assignor = Some(assignor);
        }
        let change = member.subscription.update(
            heartbeat.topic_names.as_ref(),
            heartbeat.topic_pattern.as_deref(),
        );
        if change.pattern {
            self.drop_unused_patterns();
        }
        if change.names || change.pattern {
            self.noticed = None;
        }
        change
    }

    /// Looks at the subscribed topics. Returns whether they are others than before, or one has more partitions.
    fn notice_topics(&mut self, topics: &Topics) -> bool {
        if self.noticed == Some(topics.changes()) {
            return false;
        }
        self.noticed = Some(topics.changes());
        let subscribed: BTreeMap<String, (Uuid, usize)> = self
            .subscribed_names()
            .filter_map(|name| {
                let topic = topics.get(name)?;
                Some((name.clone(), (topic.id, topic.partitions.len())))
            })
            .collect();
        let changed = subscribed != self.topics;
        self.topics = subscribed;
        changed
    }

    /// Moves the member one step towards the assignment, if it can take one. Returns whether that changed what it may
    /// read.
    fn reconcile(
        &mut self,
        now: Instant,
        heartbeat: &Heartbeat,
        change: SubscriptionChange,
        topics: &Topics,
    ) -> bool {
        let member_id = heartbeat.member_id.as_str();
        let Some(member) = self.members.get(member_id) else {
            return false;
        };
        let next = member.current.step(&Goal {
            epoch: self.assignment_epoch,
            target: self.target.get(member_id).unwrap_or(&Assignment::new()),
            is_subscribed: &|topic_id| self.subscribes(member, topics.name_of(topic_id)),
            subscription_changed: change.names || change.pattern,
            owned: heartbeat.owned.as_ref(),
            is_taken: &|partition| {
                let owner = self.owners.get(partition);
                owner.is_some_and(|owner| owner != member_id)
            },
        });
        let Some(next) = next else {
            return false;
        };
        let is_changed = next.assigned != member.current.assigned;
        let revocation_deadline = match next.progress {
            Progress::Unrevoked => Some(now + member.rebalance_timeout),
            Progress::Stable | Progress::Unreleased => None,
        };
        self.set_current(member_id, next);
        if let Some(member) = self.members.get_mut(member_id) {
            member.revocation_deadline = revocation_deadline;
        }
        is_changed
    }
}
