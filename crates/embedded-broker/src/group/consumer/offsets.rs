//! Who may commit and fetch offsets.

use kafka_protocol::error::ResponseError;

use super::ConsumerGroup;
use crate::group::Committer;

/// The first version of OffsetCommit that carries a member epoch.
const FIRST_VERSION_WITH_EPOCHS: i16 = 9;

impl ConsumerGroup {
    /// Whether the group takes this commit. Members commit in the epoch of their last heartbeat, or in an older one in which
    /// they already had the partitions (KIP-1251). Whoever is not a member may commit while there is none; a transaction
    /// need not say who it commits for.
    ///
    /// # Errors
    /// UNKNOWN_MEMBER_ID, STALE_MEMBER_EPOCH (in a transaction ILLEGAL_GENERATION, which its producers know), or
    /// UNSUPPORTED_VERSION where the version has no member epochs.
    pub(crate) fn accept_commit(&self, committer: Committer<'_>) -> Result<(), ResponseError> {
        let epoch = committer.generation_or_epoch;
        let is_anonymous =
            committer.member_id.is_empty() && committer.instance_id.is_none() && epoch == -1;
        if (epoch < 0 && self.is_empty()) || (committer.transactional && is_anonymous) {
            return Ok(());
        }
        let stale = match committer.transactional {
            true => ResponseError::IllegalGeneration,
            false => ResponseError::StaleMemberEpoch,
        };
        let current = self
            .current(committer.member_id)
            .map_err(|rejected| rejected.error)?;
        if !committer.transactional && committer.version < FIRST_VERSION_WITH_EPOCHS {
            return Err(ResponseError::UnsupportedVersion);
        }
        let had_then = |partition| {
            let since = current.assigned.get(partition);
            let since = since.or_else(|| current.revoking.get(partition));
            since.is_some_and(|since| *since <= epoch)
        };
        match epoch == current.epoch
            || (epoch < current.epoch && committer.partitions.iter().all(had_then))
        {
            true => Ok(()),
            false => Err(stale),
        }
    }

    /// Whether a member may fetch the group's offsets. Whoever says neither member id nor epoch may.
    ///
    /// # Errors
    /// UNKNOWN_MEMBER_ID or STALE_MEMBER_EPOCH.
    pub(crate) fn check_fetch(
        &self,
        member_id: Option<&str>,
        member_epoch: i32,
    ) -> Result<(), ResponseError> {
        if member_id.is_none() && member_epoch < 0 {
            return Ok(());
        }
        match self.current(member_id.unwrap_or_default()) {
            Ok(current) if current.epoch == member_epoch => Ok(()),
            Ok(_) => Err(ResponseError::StaleMemberEpoch),
            Err(rejected) => Err(rejected.error),
        }
    }
}
