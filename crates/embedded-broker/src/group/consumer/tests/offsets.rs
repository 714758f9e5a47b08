//! Who may commit and fetch offsets.

use super::*;
use crate::group::Committer;

/// A commit of these partitions with the first version of OffsetCommit that has member epochs.
fn committer<'a>(
    member_id: &'a str,
    member_epoch: i32,
    partitions: &'a [TopicPartition],
) -> Committer<'a> {
    Committer {
        member_id,
        instance_id: None,
        generation_or_epoch: member_epoch,
        transactional: false,
        version: 9,
        partitions,
    }
}

#[test]
fn commits_are_of_the_member_and_its_epoch() {
    let (fixture, a, b) = settled();
    let commit = |member_id: &str, epoch: i32, partitions: &Assignment| {
        let partitions: Vec<_> = partitions.iter().copied().collect();
        fixture
            .group
            .accept_commit(committer(member_id, epoch, &partitions))
    };
    let stale = Err(ResponseError::StaleMemberEpoch);
    assert_eq!(commit("a", 3, &a), Ok(()));
    assert_eq!(
        commit("a", 3, &b),
        Ok(()),
        "whose partition it is was not asked before KIP-1251 either"
    );
    assert_eq!(commit("a", 2, &a), Ok(()), "had it in epoch 2 already");
    assert_eq!(commit("b", 2, &b), stale, "got it in epoch 3");
    assert_eq!(commit("a", 2, &b), stale, "not its own");
    assert_eq!(commit("a", 4, &a), stale, "ahead");
    assert_eq!(commit("c", 3, &a), Err(ResponseError::UnknownMemberId));
    assert_eq!(
        commit("", -1, &a),
        Err(ResponseError::UnknownMemberId),
        "there are members"
    );
}

#[test]
fn others_commit_while_there_are_no_members() {
    let group = ConsumerGroup::new("group");
    let nobody = Committer {
        version: 8,
        ..committer("", -1, &[])
    };
    assert_eq!(group.accept_commit(nobody), Ok(()));
    let unknown = Err(ResponseError::UnknownMemberId);
    assert_eq!(group.accept_commit(committer("a", 2, &[])), unknown);
}

#[test]
fn members_commit_with_versions_that_have_epochs() {
    let (fixture, ..) = settled();
    let old = Committer {
        version: 8,
        ..committer("a", 3, &[])
    };
    let unsupported = Err(ResponseError::UnsupportedVersion);
    assert_eq!(fixture.group.accept_commit(old), unsupported);
}

#[test]
fn transactions_need_not_say_who_commits() {
    let (fixture, ..) = settled();
    let commit = |member_id, epoch| {
        fixture.group.accept_commit(Committer {
            transactional: true,
            version: 3,
            ..committer(member_id, epoch, &[])
        })
    };
    assert_eq!(commit("", -1), Ok(()));
    assert_eq!(commit("a", 3), Ok(()));
    assert_eq!(commit("a", 4), Err(ResponseError::IllegalGeneration));
    assert_eq!(commit("c", 3), Err(ResponseError::UnknownMemberId));
}

#[test]
fn offsets_are_fetched_in_the_current_epoch() {
    let (fixture, ..) = settled();
    let fetch = |member_id, epoch| fixture.group.check_fetch(member_id, epoch);
    assert_eq!(fetch(None, -1), Ok(()), "nobody in particular");
    assert_eq!(fetch(Some("a"), 3), Ok(()));
    assert_eq!(fetch(Some("a"), 2), Err(ResponseError::StaleMemberEpoch));
    assert_eq!(fetch(Some("a"), 4), Err(ResponseError::StaleMemberEpoch));
    assert_eq!(fetch(Some("c"), 3), Err(ResponseError::UnknownMemberId));
}
