//! What a test does to the cluster: nodes that stop and start, leaders and coordinators that move, members that expire,
//! transactions that are aborted.

use crate::clock::Now;
use crate::error::ControlError;
use crate::group::Kind;
use crate::state::State;

impl State {
    /// Others take over what the node led and coordinated.
    pub(crate) fn stop_node(&mut self, node_id: i32, now: Now) -> Result<(), ControlError> {
        self.check_node(node_id)?;
        if self.cluster.is_running(node_id) {
            let ids = self.groups.iter().map(|(id, _)| id);
            let coordinated = |id: &&str| self.cluster.is_coordinator(node_id, id);
            let groups: Vec<String> = ids.filter(coordinated).map(str::to_owned).collect();
            self.cluster.stop(node_id);
            self.topics.stop_node(node_id);
            for group in groups {
                self.groups.move_coordinator(&group, now, &mut self.timers);
            }
        }
        Ok(())
    }

    /// The node serves again, and takes nothing away from others.
    pub(crate) fn start_node(&mut self, node_id: i32) -> Result<(), ControlError> {
        self.check_node(node_id)?;
        if !self.cluster.is_running(node_id) {
            self.cluster.start(node_id);
            self.topics.start_node(node_id);
        }
        Ok(())
    }

    /// Has a running node lead a partition.
    pub(crate) fn move_leader(
        &mut self,
        topic: &str,
        partition: i32,
        node_id: i32,
    ) -> Result<(), ControlError> {
        self.check_running(node_id)?;
        match self.topics.move_leader(topic, partition, node_id) {
            true => Ok(()),
            false => Err(ControlError::UnknownPartition {
                topic: topic.to_owned(),
                partition,
            }),
        }
    }

    /// Has a running node coordinate a group or a transactional id.
    pub(crate) fn move_coordinator(
        &mut self,
        key: &str,
        node_id: i32,
        now: Now,
    ) -> Result<(), ControlError> {
        self.check_running(node_id)?;
        if !self.cluster.is_coordinator(node_id, key) {
            self.cluster.move_coordinator(key, node_id);
            self.groups.move_coordinator(key, now, &mut self.timers);
        }
        Ok(())
    }

    /// Removes a member from its group, as when its session ends.
    pub(crate) fn expire_member(
        &mut self,
        group: &str,
        member: &str,
        now: Now,
    ) -> Result<(), ControlError> {
        let expired = self.groups.change(group, &mut self.timers, |found| {
            let id = find_member(&found.kind, member)?;
            found.kind.expel(&id, now);
            Some(())
        });
        match expired {
            Some(Some(())) => Ok(()),
            Some(None) => Err(ControlError::UnknownMember {
                group: group.to_owned(),
                member: member.to_owned(),
            }),
            None => Err(ControlError::UnknownGroup {
                group: group.to_owned(),
            }),
        }
    }

    /// Aborts the transaction that is open under this id and fences its producer, as when its time is over.
    pub(crate) fn abort_transaction(
        &mut self,
        transactional_id: &str,
        now: Now,
    ) -> Result<(), ControlError> {
        let aborted = self
            .transactions
            .abort_before_initialising(transactional_id, None);
        // Without a claim to compare, there is nothing that could be refused.
        let ended = aborted
            .ok()
            .flatten()
            .ok_or_else(|| ControlError::NoOpenTransaction {
                transactional_id: transactional_id.to_owned(),
            })?;
        self.tell_participants(ended, now);
        Ok(())
    }

    fn check_node(&self, node_id: i32) -> Result<(), ControlError> {
        let mut nodes = self.cluster.nodes.iter();
        match nodes.any(|node| node.id == node_id) {
            true => Ok(()),
            false => Err(ControlError::UnknownNode { node_id }),
        }
    }

    fn check_running(&self, node_id: i32) -> Result<(), ControlError> {
        self.check_node(node_id)?;
        match self.cluster.is_running(node_id) {
            true => Ok(()),
            false => Err(ControlError::NodeStopped { node_id }),
        }
    }
}

/// The id of the member that is known by this member id, `group.instance.id` or `client.id`, the first that fits.
fn find_member(kind: &Kind, known_by: &str) -> Option<String> {
    let members: Vec<(&str, Option<&str>, &str)> = match kind {
        Kind::Classic(classic) => {
            let members = classic.members().iter();
            members
                .map(|member| {
                    let instance_id = member.instance_id.as_deref();
                    (member.id.as_str(), instance_id, member.client_id.as_str())
                })
                .collect()
        }
        Kind::Consumer(consumer) => {
            let members = consumer.members();
            members
                .map(|(id, member, _)| {
                    let instance_id = member.instance_id.as_deref();
                    (id, instance_id, member.client_id.as_str())
                })
                .collect()
        }
    };
    let by_id = members.iter().find(|(id, ..)| *id == known_by);
    let by_instance = members
        .iter()
        .find(|(_, instance_id, _)| *instance_id == Some(known_by));
    let by_client = members
        .iter()
        .find(|(.., client_id)| *client_id == known_by);
    let (id, ..) = by_id.or(by_instance).or(by_client)?;
    Some((*id).to_owned())
}
