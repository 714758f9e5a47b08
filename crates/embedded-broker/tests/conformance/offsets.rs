//! OffsetCommit and OffsetFetch: where a group stopped reading.

use kafka_protocol::error::{ParseResponseErrorCode, ResponseError};
use kafka_protocol::messages::offset_commit_request::OffsetCommitRequestPartition;
use kafka_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use kafka_protocol::messages::{DeleteTopicsRequest, OffsetCommitRequest, OffsetFetchRequest};
use uuid::Uuid;

use crate::support::broker::unique;
use crate::support::group::{COMMIT, Member, commit_request, group_id};
use crate::support::raw::RawClient;
use crate::support::topic::{Topic, only};
use crate::support::wait::{DEADLINE, eventually};

/// Before version 8 one group is asked about, from then on several.
const FETCH_ONE_GROUP: i16 = 7;
const FETCH_GROUPS: i16 = 9;

/// What is committed for a partition: offset, leader epoch, metadata.
type Committed = (i64, i32, Option<String>);

async fn commit(client: &mut RawClient, request: OffsetCommitRequest) -> Option<ResponseError> {
    only(only(client.send(COMMIT, request).await.topics).partitions)
        .error_code
        .err()
}

async fn committed(
    client: &mut RawClient,
    group: &str,
    topic: &Topic,
    partition: i32,
) -> Committed {
    let topic = OffsetFetchRequestTopic::default()
        .with_name(topic.topic_name())
        .with_partition_indexes(vec![partition]);
    let request = OffsetFetchRequest::default()
        .with_group_id(group_id(group))
        .with_topics(Some(vec![topic]));
    let answer = client.send(FETCH_ONE_GROUP, request).await;
    assert_eq!(answer.error_code.err(), None);
    let found = only(only(answer.topics).partitions);
    assert_eq!(found.error_code.err(), None);
    (
        found.committed_offset,
        found.committed_leader_epoch,
        found.metadata.map(|text| text.to_string()),
    )
}

fn nothing() -> Committed {
    (-1, -1, Some(String::new()))
}

/// Every version of one reads what every version of the other wrote.
#[tokio::test]
async fn every_version_commits_and_fetches() {
    let topic = Topic::create(1).await;
    let mut client = RawClient::connect().await;
    let group = unique("versions");
    for version in 2..=9 {
        let mut request = commit_request(&group, &topic, 0, i64::from(version));
        if version > 4 {
            request.retention_time_ms = -1;
        }
        let answer = only(only(client.send(version, request).await.topics).partitions);
        assert_eq!(answer.error_code.err(), None, "version {version}");
        assert_eq!(
            committed(&mut client, &group, &topic, 0).await.0,
            i64::from(version)
        );
    }
    for version in 1..=7 {
        let asked = OffsetFetchRequestTopic::default()
            .with_name(topic.topic_name())
            .with_partition_indexes(vec![0]);
        let request = OffsetFetchRequest::default()
            .with_group_id(group_id(&group))
            .with_topics(Some(vec![asked]));
        let answer = client.send(version, request).await;
        assert_eq!(answer.error_code.err(), None, "version {version}");
        let found = only(only(answer.topics).partitions);
        assert_eq!(
            (found.error_code.err(), found.committed_offset),
            (None, 9),
            "version {version}"
        );
    }
    for version in 8..=9 {
        let asked = OffsetFetchRequestTopics::default()
            .with_name(topic.topic_name())
            .with_partition_indexes(vec![0]);
        let group = OffsetFetchRequestGroup::default()
            .with_group_id(group_id(&group))
            .with_member_epoch(-1)
            .with_topics(Some(vec![asked]));
        let request = OffsetFetchRequest::default().with_groups(vec![group]);
        let found = only(client.send(version, request).await.groups);
        assert_eq!(found.error_code.err(), None, "version {version}");
        let found = only(only(found.topics).partitions);
        assert_eq!(
            (found.error_code.err(), found.committed_offset),
            (None, 9),
            "version {version}"
        );
    }
}

/// "Fetch from an unknown group or partition: offset -1, epoch -1, metadata **""**, error 0."
#[tokio::test]
async fn nothing_committed_is_no_error() {
    let topic = Topic::create(2).await;
    let missing = Topic {
        name: unique("missing"),
        id: Uuid::nil(),
    };
    let mut client = RawClient::connect().await;
    let group = unique("nothing");
    assert_eq!(
        committed(&mut client, &group, &topic, 0).await,
        nothing(),
        "an unknown group"
    );
    assert_eq!(
        commit(&mut client, commit_request(&group, &topic, 0, 5)).await,
        None
    );
    assert_eq!(
        committed(&mut client, &group, &topic, 1).await,
        nothing(),
        "another partition"
    );
    assert_eq!(
        committed(&mut client, &group, &topic, 99).await,
        nothing(),
        "no such partition"
    );
    assert_eq!(
        committed(&mut client, &group, &missing, 0).await,
        nothing(),
        "no such topic"
    );
}

/// "Commit to an unknown group with generation -1 creates a "simple" Empty group", which a consumer may join later.
#[tokio::test]
async fn a_commit_without_members_is_taken() {
    let topic = Topic::create(1).await;
    let mut client = RawClient::connect().await;
    let group = unique("simple");
    assert_eq!(
        commit(&mut client, commit_request(&group, &topic, 0, 5)).await,
        None
    );
    let mut member = Member::expected(&group).await;
    member.settle().await;
    assert_eq!(committed(&mut client, &group, &topic, 0).await.0, 5);
    // Now that it has members, only they may commit.
    let error = commit(&mut client, commit_request(&group, &topic, 0, 6)).await;
    assert_eq!(error, Some(ResponseError::UnknownMemberId));
    assert_eq!(member.leave().await.error_code.err(), None);
    assert_eq!(
        commit(&mut client, commit_request(&group, &topic, 0, 7)).await,
        None
    );
    assert_eq!(committed(&mut client, &group, &topic, 0).await.0, 7);
}

/// "With a generation: v9+ GROUP_ID_NOT_FOUND, older ILLEGAL_GENERATION."
#[tokio::test]
async fn a_commit_to_an_unknown_group_needs_no_generation() {
    let topic = Topic::create(1).await;
    let mut client = RawClient::connect().await;
    let request = commit_request(&unique("unknown"), &topic, 0, 5)
        .with_generation_id_or_member_epoch(1)
        .with_member_id("member".into());
    for (version, expected) in [
        (8, ResponseError::IllegalGeneration),
        (9, ResponseError::GroupIdNotFound),
    ] {
        let answer = only(only(client.send(version, request.clone()).await.topics).partitions);
        assert_eq!(answer.error_code.err(), Some(expected), "version {version}");
    }
}

/// "Keep leader_epoch", and the metadata; both are replaced together with the offset.
#[tokio::test]
async fn leader_epoch_and_metadata_are_kept() {
    let topic = Topic::create(1).await;
    let mut client = RawClient::connect().await;
    let group = unique("kept");
    let mut request = commit_request(&group, &topic, 0, 5);
    request.topics[0].partitions[0].committed_leader_epoch = 7;
    request.topics[0].partitions[0].committed_metadata = Some("a note".into());
    assert_eq!(commit(&mut client, request).await, None);
    assert_eq!(
        committed(&mut client, &group, &topic, 0).await,
        (5, 7, Some("a note".to_owned()))
    );
    let mut request = commit_request(&group, &topic, 0, 3);
    request.topics[0].partitions[0].committed_leader_epoch = -1;
    request.topics[0].partitions[0].committed_metadata = None;
    assert_eq!(
        commit(&mut client, request).await,
        None,
        "an offset may go back"
    );
    assert_eq!(
        committed(&mut client, &group, &topic, 0).await,
        (3, -1, Some(String::new()))
    );
}

/// "Metadata > 4096 bytes => OFFSET_METADATA_TOO_LARGE(12)", for its partition alone.
#[tokio::test]
async fn metadata_is_limited() {
    let topic = Topic::create(3).await;
    let mut client = RawClient::connect().await;
    let group = unique("large");
    let mut request = commit_request(&group, &topic, 0, 1);
    let partition = |index: i32, length: usize| {
        OffsetCommitRequestPartition::default()
            .with_partition_index(index)
            .with_committed_offset(1)
            .with_committed_metadata(Some("x".repeat(length).into()))
    };
    request.topics[0].partitions = vec![partition(0, 4096), partition(1, 4097), partition(2, 0)];
    let answer = only(client.send(COMMIT, request).await.topics).partitions;
    let errors: Vec<_> = answer
        .iter()
        .map(|partition| partition.error_code.err())
        .collect();
    assert_eq!(
        errors,
        [None, Some(ResponseError::OffsetMetadataTooLarge), None]
    );
    assert_eq!(committed(&mut client, &group, &topic, 0).await.0, 1);
    assert_eq!(committed(&mut client, &group, &topic, 1).await, nothing());
}

/// A topic or partition that is not there cannot be committed; the others can.
#[tokio::test]
async fn a_commit_needs_its_partition() {
    let topic = Topic::create(1).await;
    let missing = Topic {
        name: unique("missing"),
        id: Uuid::nil(),
    };
    let mut client = RawClient::connect().await;
    let group = unique("partition");
    let mut request = commit_request(&group, &topic, 0, 5);
    request
        .topics
        .extend(commit_request(&group, &missing, 0, 5).topics);
    request
        .topics
        .extend(commit_request(&group, &topic, 9, 5).topics);
    let answer = client.send(COMMIT, request).await;
    let mut errors: Vec<_> = answer
        .topics
        .iter()
        .flat_map(|topic| {
            topic.partitions.iter().map(|partition| {
                (
                    topic.name.to_string(),
                    partition.partition_index,
                    partition.error_code.err(),
                )
            })
        })
        .collect();
    errors.sort_by_key(|(name, partition, _)| (*name == missing.name, *partition));
    let unknown = Some(ResponseError::UnknownTopicOrPartition);
    let expected = [
        (topic.name.clone(), 0, None),
        (topic.name.clone(), 9, unknown),
        (missing.name.clone(), 0, unknown),
    ];
    assert_eq!(errors, expected);
    assert_eq!(committed(&mut client, &group, &topic, 0).await.0, 5);
}

/// "Null topics = all" that the group has committed, from version 2 on.
#[tokio::test]
async fn null_asks_for_all_topics() {
    let (one, two) = (Topic::create(2).await, Topic::create(1).await);
    let mut client = RawClient::connect().await;
    let group = unique("all");
    for (topic, partition, offset) in [(&one, 0, 10), (&one, 1, 11), (&two, 0, 20)] {
        assert_eq!(
            commit(
                &mut client,
                commit_request(&group, topic, partition, offset)
            )
            .await,
            None
        );
    }
    let mut expected = vec![
        (one.name.clone(), 0, 10),
        (one.name.clone(), 1, 11),
        (two.name.clone(), 0, 20),
    ];
    expected.sort();
    for version in 2..=7 {
        let request = OffsetFetchRequest::default()
            .with_group_id(group_id(&group))
            .with_topics(None);
        let mut found: Vec<_> = client
            .send(version, request)
            .await
            .topics
            .into_iter()
            .flat_map(|topic| {
                let name = topic.name.to_string();
                topic.partitions.into_iter().map(move |partition| {
                    (
                        name.clone(),
                        partition.partition_index,
                        partition.committed_offset,
                    )
                })
            })
            .collect();
        found.sort();
        assert_eq!(found, expected, "version {version}");
    }
    // An empty list asks for none.
    let request = OffsetFetchRequest::default()
        .with_group_id(group_id(&group))
        .with_topics(Some(vec![]));
    assert!(
        client
            .send(FETCH_ONE_GROUP, request)
            .await
            .topics
            .is_empty()
    );
}

/// "v8 batch of groups": each is answered with its own topics.
#[tokio::test]
async fn several_groups_are_asked_at_once() {
    let topic = Topic::create(1).await;
    let mut client = RawClient::connect().await;
    let groups = [unique("one"), unique("two"), unique("none")];
    for (group, offset) in groups.iter().zip([1, 2]) {
        assert_eq!(
            commit(&mut client, commit_request(group, &topic, 0, offset)).await,
            None
        );
    }
    let asked = groups.iter().map(|group| {
        OffsetFetchRequestGroup::default()
            .with_group_id(group_id(group))
            .with_member_epoch(-1)
            .with_topics(None)
    });
    let request = OffsetFetchRequest::default().with_groups(asked.collect());
    let mut answer = client.send(FETCH_GROUPS, request).await.groups;
    answer.sort_by_key(|group| groups.iter().position(|name| *name == *group.group_id.0));
    let found: Vec<_> = answer
        .iter()
        .map(|group| {
            let offsets = group.topics.iter().flat_map(|topic| &topic.partitions);
            (
                group.error_code.err(),
                offsets
                    .map(|partition| partition.committed_offset)
                    .collect(),
            )
        })
        .collect();
    assert_eq!(found, [(None, vec![1]), (None, vec![2]), (None, vec![])]);
}

/// Whoever insists on stable offsets gets them where no transaction is open.
#[tokio::test]
async fn offsets_are_stable_without_transactions() {
    let topic = Topic::create(1).await;
    let mut client = RawClient::connect().await;
    let group = unique("stable");
    assert_eq!(
        commit(&mut client, commit_request(&group, &topic, 0, 5)).await,
        None
    );
    let asked = OffsetFetchRequestTopic::default()
        .with_name(topic.topic_name())
        .with_partition_indexes(vec![0]);
    let request = OffsetFetchRequest::default()
        .with_group_id(group_id(&group))
        .with_topics(Some(vec![asked]))
        .with_require_stable(true);
    let found = only(only(client.send(FETCH_ONE_GROUP, request).await.topics).partitions);
    assert_eq!((found.error_code.err(), found.committed_offset), (None, 5));
}

/// Groups do not see each other's offsets.
#[tokio::test]
async fn groups_commit_alone() {
    let topic = Topic::create(1).await;
    let mut client = RawClient::connect().await;
    let (one, two) = (unique("one"), unique("two"));
    assert_eq!(
        commit(&mut client, commit_request(&one, &topic, 0, 5)).await,
        None
    );
    assert_eq!(committed(&mut client, &two, &topic, 0).await, nothing());
}

/// A deleted topic takes its offsets with it: a new one of that name is read from its beginning.
#[tokio::test]
async fn deleting_a_topic_deletes_its_offsets() {
    let (topic, other) = (Topic::create(1).await, Topic::create(1).await);
    let mut client = RawClient::connect().await;
    let group = unique("deleted");
    for topic in [&topic, &other] {
        assert_eq!(
            commit(&mut client, commit_request(&group, topic, 0, 5)).await,
            None
        );
    }
    let delete = DeleteTopicsRequest::default()
        .with_topic_names(vec![topic.topic_name()])
        .with_timeout_ms(10_000);
    client.send(4, delete).await;
    eventually(DEADLINE, "the offsets to be gone", async || {
        (committed(&mut client, &group, &topic, 0).await == nothing()).then_some(())
    })
    .await;
    assert_eq!(committed(&mut client, &group, &other, 0).await.0, 5);
}

/// The offset itself is not judged: beyond the log, or negative.
#[tokio::test]
async fn any_offset_is_taken() {
    let topic = Topic::create(1).await;
    let mut client = RawClient::connect().await;
    let group = unique("any");
    for offset in [i64::MAX, 0, -7] {
        assert_eq!(
            commit(&mut client, commit_request(&group, &topic, 0, offset)).await,
            None,
            "{offset}"
        );
        assert_eq!(committed(&mut client, &group, &topic, 0).await.0, offset);
    }
}

/// A group without a name cannot be joined, but clients of long ago committed in it: that is still possible.
#[tokio::test]
async fn the_group_without_a_name_has_offsets() {
    let topic = Topic::create(1).await;
    let mut client = RawClient::connect().await;
    assert_eq!(
        commit(&mut client, commit_request("", &topic, 0, 5)).await,
        None
    );
    assert_eq!(committed(&mut client, "", &topic, 0).await.0, 5);
}
