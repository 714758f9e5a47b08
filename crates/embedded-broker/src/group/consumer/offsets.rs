//! Who may commit and fetch offsets.

use kafka_protocol::error::ResponseError;

use super::{ConsumerGroup, Rejected};
use crate::group::assignor::TopicPartition;

/// The first version of OffsetCommit that carries a member epoch.
const FIRST_VERSION_WITH_EPOCHS: i16 = 9;

impl ConsumerGroup {
    /// Whether a member may commit offsets of these partitions. Members of the new protocol commit in the epoch of their
    /// last heartbeat, or in an older one in which they already had the partition (KIP-1251). Whoever is not a member may
    /// commit while there is none.
    ///
    /// `version` is that of OffsetCommit; nothing for a commit in a transaction, which may leave out who makes it.
    ///
    /// # Errors
    /// UNKNOWN_MEMBER_ID, STALE_MEMBER_EPOCH, or UNSUPPORTED_VERSION where the version has no member epochs.
    pub(crate) fn check_commit(
        &self,
        member_id: &str,
        instance_id: Option<&str>,
        member_epoch: i32,
        version: Option<i16>,
        partitions: impl IntoIterator<Item = TopicPartition>,
    ) -> Result<(), Rejected> {
        let is_anonymous = member_id.is_empty() && instance_id.is_none() && member_epoch == -1;
        if (member_epoch < 0 && self.is_empty()) || (version.is_none() && is_anonymous) {
            return Ok(());
        }
        let current = self.current(member_id)?;
        if version.is_some_and(|version| version < FIRST_VERSION_WITH_EPOCHS) {
            return Err(Rejected::new(
                ResponseError::UnsupportedVersion,
                "OffsetCommit version 9 or above must be used by members using the consumer group protocol",
            ));
        }
        if member_epoch == current.epoch {
            return Ok(());
        }
        if member_epoch > current.epoch {
            return Err(stale(format!(
                "Received member epoch {member_epoch} is newer than current member epoch {}.",
                current.epoch
            )));
        }
        for partition in partitions {
            let since = current
                .assigned
                .get(&partition)
                .or_else(|| current.revoking.get(&partition));
            match since {
                Some(since) if member_epoch >= *since => {}
                Some(since) => {
                    return Err(stale(format!(
                        "Received member epoch {member_epoch} is older than assignment epoch {since} of partition {}.",
                        partition.partition
                    )));
                }
                None => {
                    return Err(stale(format!(
                        "Partition {} is not assigned or pending revocation for member.",
                        partition.partition
                    )));
                }
            }
        }
        Ok(())
    }

    /// Whether a member may fetch the group's offsets. Whoever says neither member id nor epoch may.
    ///
    /// # Errors
    /// UNKNOWN_MEMBER_ID or STALE_MEMBER_EPOCH.
    pub(crate) fn check_fetch(
        &self,
        member_id: Option<&str>,
        member_epoch: i32,
    ) -> Result<(), Rejected> {
        if member_id.is_none() && member_epoch < 0 {
            return Ok(());
        }
        let current = self.current(member_id.unwrap_or_default())?;
        if member_epoch == current.epoch {
            return Ok(());
        }
        Err(stale(format!(
            "The received member epoch {member_epoch} does not match the expected member epoch {}.",
            current.epoch
        )))
    }
}

fn stale(message: String) -> Rejected {
    Rejected::new(ResponseError::StaleMemberEpoch, message)
}
