//! Groups as an administrator sees them: described, listed, deleted, and their offsets deleted.

use bytes::Bytes;
use kafka_protocol::error::{ParseResponseErrorCode, ResponseError};
use kafka_protocol::messages::describe_groups_response::DescribedGroup;
use kafka_protocol::messages::list_groups_response::ListedGroup;
use kafka_protocol::messages::offset_delete_request::{
    OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopics,
};
use kafka_protocol::messages::{
    DeleteGroupsRequest, DescribeGroupsRequest, ListGroupsRequest, OffsetDeleteRequest,
    OffsetDeleteResponse, OffsetFetchRequest, TopicName,
};
use kafka_protocol::protocol::StrBytes;

use crate::support::broker::unique;
use crate::support::group::{
    COMMIT, Member, commit_request, group_id, joined_pair_of, pair_of, sync_together,
};
use crate::support::raw::RawClient;
use crate::support::topic::{Topic, only, topic_name};

/// The newest versions in use here.
const DESCRIBE: i16 = 6;
const LIST: i16 = 5;
const DELETE: i16 = 2;

/// The connection's address as Kafka shows it: as Java prints one, without the host's name.
const HOST: &str = "/127.0.0.1";

async fn describe(client: &mut RawClient, version: i16, group: &str) -> DescribedGroup {
    let request = DescribeGroupsRequest::default().with_groups(vec![group_id(group)]);
    let described = only(client.send(version, request).await.groups);
    assert_eq!(&**described.group_id, group);
    described
}

/// The groups of `ours` that are listed, in their order in `ours`.
async fn list(
    client: &mut RawClient,
    ours: &[&str],
    states: &[&'static str],
    types: &[&'static str],
) -> Vec<ListedGroup> {
    let texts = |texts: &[&'static str]| texts.iter().map(|text| StrBytes::from(*text)).collect();
    let request = ListGroupsRequest::default()
        .with_states_filter(texts(states))
        .with_types_filter(texts(types));
    let answer = client.send(LIST, request).await;
    assert_eq!(answer.error_code.err(), None);
    let of_ours = |name: &&str| {
        let mut groups = answer.groups.iter();
        groups.find(|group| &**group.group_id == *name).cloned()
    };
    ours.iter().filter_map(of_ours).collect()
}

fn ids(groups: &[ListedGroup]) -> Vec<&str> {
    groups.iter().map(|group| &**group.group_id).collect()
}

async fn delete_groups(
    client: &mut RawClient,
    version: i16,
    groups: &[&str],
) -> Vec<Option<ResponseError>> {
    let names = groups.iter().map(|name| group_id(name)).collect();
    let request = DeleteGroupsRequest::default().with_groups_names(names);
    let answer = client.send(version, request).await;
    let results = answer.results.iter();
    results.map(|result| result.error_code.err()).collect()
}

/// Commits to partition 0 as nobody in particular.
async fn commit(client: &mut RawClient, group: &str, topic: &Topic, partition: i32, offset: i64) {
    let request = commit_request(group, topic, partition, offset);
    let answer = only(only(client.send(COMMIT, request).await.topics).partitions);
    assert_eq!(answer.error_code.err(), None);
}

/// The committed offset; -1 if there is none.
async fn committed(client: &mut RawClient, group: &str, topic: &Topic, partition: i32) -> i64 {
    let topic = OffsetFetchRequestTopics::default()
        .with_name(topic.topic_name())
        .with_partition_indexes(vec![partition]);
    let group = OffsetFetchRequestGroup::default()
        .with_group_id(group_id(group))
        .with_topics(Some(vec![topic]));
    let request = OffsetFetchRequest::default().with_groups(vec![group]);
    let answer = only(client.send(8, request).await.groups);
    only(only(answer.topics).partitions).committed_offset
}

async fn delete_offset(
    client: &mut RawClient,
    group: &str,
    topic: TopicName,
    partition: i32,
) -> OffsetDeleteResponse {
    let partition = OffsetDeleteRequestPartition::default().with_partition_index(partition);
    let topic = OffsetDeleteRequestTopic::default()
        .with_name(topic)
        .with_partitions(vec![partition]);
    let request = OffsetDeleteRequest::default()
        .with_group_id(group_id(group))
        .with_topics(vec![topic]);
    client.send(0, request).await
}

/// The error of the one partition in the answer, which as a whole is none.
fn of_partition(answer: OffsetDeleteResponse) -> Option<ResponseError> {
    assert_eq!(answer.error_code.err(), None);
    only(only(answer.topics).partitions).error_code.err()
}

/// A consumer whose subscription names these topics, alone in its group and synced.
async fn consumer(group: &str, topics: &[&str]) -> Member {
    let mut subscription = vec![0, 0];
    subscription.extend(
        i32::try_from(topics.len())
            .expect("few topics")
            .to_be_bytes(),
    );
    for topic in topics {
        subscription.extend(
            i16::try_from(topic.len())
                .expect("a short name")
                .to_be_bytes(),
        );
        subscription.extend(topic.as_bytes());
    }
    // No user data.
    subscription.extend((-1_i32).to_be_bytes());
    let mut member = Member::expected(group).await;
    let mut request = member.join_request().with_protocol_type("consumer".into());
    request.protocols[0].metadata = Bytes::from(subscription);
    let joined = member.client.send(9, request).await;
    assert_eq!(joined.error_code.err(), None);
    member.generation = joined.generation_id;
    let request = member
        .sync_request(&[(member.id.clone(), "all")])
        .with_protocol_type(Some("consumer".into()));
    assert_eq!(member.client.send(5, request).await.error_code.err(), None);
    member
}

/// Who the members are, where they connect from, what they said and what they were given.
#[tokio::test]
async fn every_version_describes_a_stable_group() {
    let group = unique("described");
    let leader = Member::stranger(&group).await;
    let follower = Member::instance(&group, "instance").await;
    let (leader, follower) = pair_of(leader, follower).await;
    let mut client = RawClient::connect().await;
    for version in 0..=DESCRIBE {
        let described = describe(&mut client, version, &group).await;
        assert_eq!(described.error_code.err(), None, "version {version}");
        assert_eq!(described.error_message, None);
        assert_eq!(&*described.group_state, "Stable");
        assert_eq!(&*described.protocol_type, "test");
        assert_eq!(&*described.protocol_data, "plan");
        assert_eq!(described.authorized_operations, i32::MIN, "not asked for");
        assert_eq!(described.members.len(), 2);
        for (member, assignment) in [(&leader, "first"), (&follower, "second")] {
            let mut members = described.members.iter();
            let shown = members.find(|shown| shown.member_id == member.id);
            let shown = shown.expect("a member of the group");
            let instance = member.instance.clone().filter(|_| version >= 4);
            assert_eq!(shown.group_instance_id, instance, "version {version}");
            assert_eq!(&*shown.client_id, "conformance");
            assert_eq!(&*shown.client_host, HOST);
            assert_eq!(&shown.member_metadata[..], b"metadata");
            assert_eq!(&shown.member_assignment[..], assignment.as_bytes());
        }
    }
}

/// Between two generations nobody can say which protocol counts, so nothing that depends on it is shown.
#[tokio::test]
async fn a_round_is_described_as_far_as_it_is_known() {
    let mut client = RawClient::connect().await;
    let group = unique("expected");
    let _expected = Member::expected(&group).await;
    let described = describe(&mut client, DESCRIBE, &group).await;
    assert_eq!(&*described.group_state, "Empty", "an id is no member");
    assert_eq!(
        (&*described.protocol_type, described.members.len()),
        ("", 0)
    );

    let group = unique("round");
    let leader = Member::stranger(&group).await;
    let follower = Member::instance(&group, "instance").await;
    let (mut leader, mut follower) = joined_pair_of(leader, follower).await;
    let described = describe(&mut client, DESCRIBE, &group).await;
    assert_eq!(&*described.group_state, "CompletingRebalance");
    assert_eq!(
        (&*described.protocol_type, &*described.protocol_data),
        ("test", "")
    );
    assert_eq!(described.members.len(), 2);
    for member in described.members {
        assert_eq!(
            (member.member_metadata.len(), member.member_assignment.len()),
            (0, 0)
        );
    }

    sync_together(&mut leader, &mut follower).await;
    let join = leader.start_join().await;
    follower.is_told_to_rejoin().await;
    let described = describe(&mut client, DESCRIBE, &group).await;
    assert_eq!(&*described.group_state, "PreparingRebalance");
    assert_eq!(
        (&*described.protocol_type, &*described.protocol_data),
        ("test", "")
    );
    let mut shown: Vec<_> = described.members.iter().collect();
    shown.sort_by_key(|member| member.member_assignment.clone());
    assert_eq!(
        &shown[0].member_assignment[..],
        b"first",
        "the assignment that still holds"
    );
    assert_eq!(&shown[1].member_assignment[..], b"second");
    assert!(shown.iter().all(|member| member.member_metadata.is_empty()));
    follower.join().await;
    leader.finish_join(join).await;
}

/// A group that everybody left remembers what it was; one that only keeps offsets never was anything.
#[tokio::test]
async fn a_group_without_members_is_empty() {
    let (left, simple) = (unique("left"), unique("simple"));
    let mut member = Member::alone(&left).await;
    member.leave().await;
    let topic = Topic::create(1).await;
    let client = &mut member.client;
    commit(client, &simple, &topic, 0, 1).await;
    for (group, protocol_type) in [(&left, "test"), (&simple, "")] {
        let described = describe(client, DESCRIBE, group).await;
        assert_eq!(described.error_code.err(), None);
        assert_eq!(&*described.group_state, "Empty");
        assert_eq!(&*described.protocol_type, protocol_type);
        assert_eq!(&*described.protocol_data, "");
        assert!(described.members.is_empty());
    }
    let listed = list(client, &[&left, &simple], &[], &[]).await;
    let types: Vec<&str> = listed.iter().map(|group| &*group.protocol_type).collect();
    assert_eq!(types, ["test", ""]);
}

/// "Unknown group: state "Dead", error 0 (v<=5) or GROUP_ID_NOT_FOUND(69) (v6)."
#[tokio::test]
async fn an_unknown_group_is_dead() {
    let mut client = RawClient::connect().await;
    for version in 0..=DESCRIBE {
        let group = unique("nowhere");
        let described = describe(&mut client, version, &group).await;
        assert_eq!(&*described.group_state, "Dead", "version {version}");
        assert!(described.members.is_empty());
        let (error, message) = match version {
            ..6 => (None, None),
            6.. => (
                Some(ResponseError::GroupIdNotFound),
                Some(format!("Group {group} not found.")),
            ),
        };
        assert_eq!(described.error_code.err(), error, "version {version}");
        assert_eq!(described.error_message.as_deref(), message.as_deref());
    }
}

/// Nobody is refused anything: all that can be done to a group is allowed.
#[tokio::test]
async fn allowed_operations_are_told_if_asked_for() {
    let group = unique("allowed");
    let mut member = Member::alone(&group).await;
    let request = DescribeGroupsRequest::default()
        .with_groups(vec![group_id(&group)])
        .with_include_authorized_operations(true);
    let described = only(member.client.send(DESCRIBE, request).await.groups);
    // READ, DELETE, DESCRIBE, DESCRIBE_CONFIGS, ALTER_CONFIGS: a bit for each operation's code.
    assert_eq!(
        described.authorized_operations,
        1 << 3 | 1 << 6 | 1 << 8 | 1 << 10 | 1 << 11
    );
}

/// Several groups are described in one answer, each by its own fate.
#[tokio::test]
async fn several_groups_are_described_at_once() {
    let (known, unknown) = (unique("known"), unique("unknown"));
    let mut member = Member::alone(&known).await;
    let groups = vec![group_id(&unknown), group_id(&known)];
    let request = DescribeGroupsRequest::default().with_groups(groups);
    let described = member.client.send(DESCRIBE, request).await.groups;
    let state = |name: &str| {
        let mut groups = described.iter();
        let group = groups.find(|group| &**group.group_id == name);
        group.map(|group| group.group_state.to_string())
    };
    assert_eq!(state(&known).as_deref(), Some("Stable"));
    assert_eq!(state(&unknown).as_deref(), Some("Dead"));
}

/// What a version has is told; what it has not is not.
#[tokio::test]
async fn every_version_lists_groups() {
    let group = unique("listed");
    let mut member = Member::alone(&group).await;
    for version in 0..=LIST {
        let answer = member
            .client
            .send(version, ListGroupsRequest::default())
            .await;
        assert_eq!(answer.error_code.err(), None);
        let mut groups = answer.groups.into_iter();
        let listed = groups.find(|listed| &**listed.group_id == group.as_str());
        let listed = listed.expect("the group in the list");
        assert_eq!(&*listed.protocol_type, "test");
        assert_eq!(
            &*listed.group_state,
            if version >= 4 { "Stable" } else { "" }
        );
        assert_eq!(
            &*listed.group_type,
            if version >= 5 { "classic" } else { "" }
        );
    }
}

/// "States filter (v4), types filter (v5); match case-insensitively."
#[tokio::test]
async fn listings_are_filtered() {
    let (stable, empty) = (unique("stable"), unique("empty"));
    let mut present = Member::alone(&stable).await;
    let mut member = Member::alone(&empty).await;
    member.leave().await;
    let ours = [stable.as_str(), empty.as_str()];
    let client = &mut present.client;
    for (states, types, expected) in [
        (&[][..], &[][..], &ours[..]),
        (&["Stable"], &[], &ours[..1]),
        (&["sTABLE"], &[], &ours[..1]),
        (&[" stable "], &[], &ours[..1]),
        (&["Empty"], &[], &ours[1..]),
        (&["Empty", "Stable"], &[], &ours[..]),
        (&["Dead"], &[], &[]),
        (&["nonsense"], &[], &[]),
        (&["nonsense", "Stable"], &[], &ours[..1]),
        (&[], &["classic"], &ours[..]),
        (&[], &["CLASSIC"], &ours[..]),
        (&[], &["consumer"], &[]),
        (&[], &["nonsense"], &[]),
        (&["Stable"], &["classic"], &ours[..1]),
        (&["Stable"], &["consumer"], &[]),
    ] {
        let listed = list(client, &ours, states, types).await;
        assert_eq!(ids(&listed), expected, "states {states:?}, types {types:?}");
    }
}

/// A group without members is deleted with all that it remembers.
#[tokio::test]
async fn every_version_deletes_an_empty_group() {
    let topic = Topic::create(1).await;
    for version in 0..=DELETE {
        let group = unique("deleted");
        let mut member = Member::alone(&group).await;
        assert_eq!(member.commit(&topic, 5).await, None);
        member.leave().await;
        let client = &mut member.client;
        assert_eq!(committed(client, &group, &topic, 0).await, 5);
        assert_eq!(delete_groups(client, version, &[&group]).await, [None]);
        assert_eq!(committed(client, &group, &topic, 0).await, -1);
        assert_eq!(
            &*describe(client, DESCRIBE, &group).await.group_state,
            "Dead"
        );
        assert!(list(client, &[&group], &[], &[]).await.is_empty());
        // Generations begin anew: nothing is left.
        let mut again = Member::alone(&group).await;
        assert_eq!(again.generation, 1);
        again.leave().await;
    }
}

/// "NON_EMPTY_GROUP(68), GROUP_ID_NOT_FOUND(69)", each group by itself.
#[tokio::test]
async fn a_group_with_members_is_not_deleted() {
    let (full, simple, nowhere) = (unique("full"), unique("simple"), unique("nowhere"));
    let mut member = Member::alone(&full).await;
    let topic = Topic::create(1).await;
    let client = &mut member.client;
    commit(client, &simple, &topic, 0, 1).await;
    let names = [full.as_str(), &simple, &nowhere];
    let request = DeleteGroupsRequest::default()
        .with_groups_names(names.iter().map(|name| group_id(name)).collect());
    let results = client.send(DELETE, request).await.results;
    let error = |name: &str| {
        let mut results = results.iter();
        let result = results.find(|result| &**result.group_id == name);
        result.expect("a result for each group").error_code.err()
    };
    assert_eq!(error(&full), Some(ResponseError::NonEmptyGroup));
    assert_eq!(error(&simple), None);
    assert_eq!(error(&nowhere), Some(ResponseError::GroupIdNotFound));
    assert_eq!(member.heartbeat().await, None, "nobody was disturbed");
}

/// A group that is named twice is deleted, and answered, once. A group without a name is as unknown as any.
#[tokio::test]
async fn each_group_is_deleted_once() {
    let group = unique("twice");
    let mut member = Member::alone(&group).await;
    member.leave().await;
    let client = &mut member.client;
    assert_eq!(
        delete_groups(client, DELETE, &[&group, &group]).await,
        [None]
    );
    let unknown = [Some(ResponseError::GroupIdNotFound)];
    assert_eq!(delete_groups(client, DELETE, &[&group]).await, unknown);
}

/// An id that was given out and not used yet is no member: it goes with its group.
#[tokio::test]
async fn an_expected_member_does_not_keep_a_group() {
    let group = unique("expected");
    let mut expected = Member::expected(&group).await;
    assert_eq!(
        delete_groups(&mut expected.client, DELETE, &[&group]).await,
        [None]
    );
    let error = expected.join().await.error_code.err();
    assert_eq!(error, Some(ResponseError::UnknownMemberId));
}

/// One offset is forgotten, the others stay.
#[tokio::test]
async fn an_offset_is_deleted() {
    let group = unique("offsets");
    let topic = Topic::create(2).await;
    let mut client = RawClient::connect().await;
    commit(&mut client, &group, &topic, 0, 5).await;
    commit(&mut client, &group, &topic, 1, 6).await;
    let answer = delete_offset(&mut client, &group, topic.topic_name(), 0).await;
    assert_eq!(of_partition(answer), None);
    assert_eq!(committed(&mut client, &group, &topic, 0).await, -1);
    assert_eq!(committed(&mut client, &group, &topic, 1).await, 6);
    // What is not there is deleted as well.
    let answer = delete_offset(&mut client, &group, topic.topic_name(), 0).await;
    assert_eq!(of_partition(answer), None);
}

/// UNKNOWN_TOPIC_OR_PARTITION(3) is the partition's own error, GROUP_ID_NOT_FOUND(69) that of the whole answer.
#[tokio::test]
async fn an_offset_of_nothing_is_not_deleted() {
    let group = unique("offsets");
    let topic = Topic::create(1).await;
    let mut client = RawClient::connect().await;
    commit(&mut client, &group, &topic, 0, 5).await;
    for (name, partition) in [(topic.topic_name(), 1), (topic_name(&unique("nowhere")), 0)] {
        let answer = delete_offset(&mut client, &group, name, partition).await;
        assert_eq!(
            of_partition(answer),
            Some(ResponseError::UnknownTopicOrPartition)
        );
    }
    let answer = delete_offset(&mut client, &unique("nowhere"), topic.topic_name(), 0).await;
    assert_eq!(
        answer.error_code.err(),
        Some(ResponseError::GroupIdNotFound)
    );
    assert!(answer.topics.is_empty());
    assert_eq!(committed(&mut client, &group, &topic, 0).await, 5);
}

/// "GROUP_SUBSCRIBED_TO_TOPIC(86)": consumers that read a topic keep its offsets; of other topics they may go.
#[tokio::test]
async fn offsets_of_a_subscribed_topic_are_kept() {
    let group = unique("subscribed");
    let (read, unread) = (Topic::create(1).await, Topic::create(1).await);
    let mut member = consumer(&group, &["another-topic", &read.name]).await;
    assert_eq!(member.commit(&read, 5).await, None);
    assert_eq!(member.commit(&unread, 6).await, None);
    let answer = delete_offset(&mut member.client, &group, read.topic_name(), 0).await;
    assert_eq!(
        of_partition(answer),
        Some(ResponseError::GroupSubscribedToTopic)
    );
    let answer = delete_offset(&mut member.client, &group, unread.topic_name(), 0).await;
    assert_eq!(of_partition(answer), None);
    assert_eq!(committed(&mut member.client, &group, &read, 0).await, 5);
    assert_eq!(committed(&mut member.client, &group, &unread, 0).await, -1);
    // Nobody is subscribed any more.
    member.leave().await;
    let answer = delete_offset(&mut member.client, &group, read.topic_name(), 0).await;
    assert_eq!(of_partition(answer), None);
}

/// What members of another type read cannot be known: NON_EMPTY_GROUP(68) while there are any.
#[tokio::test]
async fn offsets_of_other_members_are_kept() {
    let group = unique("opaque");
    let topic = Topic::create(1).await;
    let mut member = Member::alone(&group).await;
    assert_eq!(member.commit(&topic, 5).await, None);
    let answer = delete_offset(&mut member.client, &group, topic.topic_name(), 0).await;
    assert_eq!(answer.error_code.err(), Some(ResponseError::NonEmptyGroup));
    member.leave().await;
    let answer = delete_offset(&mut member.client, &group, topic.topic_name(), 0).await;
    assert_eq!(of_partition(answer), None);
    assert_eq!(committed(&mut member.client, &group, &topic, 0).await, -1);
}

/// A subscription that cannot be read may name any topic.
#[tokio::test]
async fn offsets_of_an_unreadable_subscription_are_kept() {
    let group = unique("unreadable");
    let topic = Topic::create(1).await;
    let mut member = Member::expected(&group).await;
    let mut request = member.join_request().with_protocol_type("consumer".into());
    request.protocols[0].metadata = Bytes::from_static(&[0]);
    let joined = member.client.send(9, request).await;
    assert_eq!(joined.error_code.err(), None);
    member.generation = joined.generation_id;
    let request = member
        .sync_request(&[(member.id.clone(), "all")])
        .with_protocol_type(Some("consumer".into()));
    assert_eq!(member.client.send(5, request).await.error_code.err(), None);
    let answer = delete_offset(&mut member.client, &group, topic.topic_name(), 0).await;
    assert_eq!(
        of_partition(answer),
        Some(ResponseError::GroupSubscribedToTopic)
    );
}

/// A client that was refused at the door has created the group all the same.
#[tokio::test]
async fn a_refused_first_member_leaves_an_empty_group() {
    let group = unique("refused");
    let mut stranger = Member::stranger(&group).await;
    let request = stranger.join_request().with_protocols(vec![]);
    let answer = stranger.client.send(9, request).await;
    assert_eq!(
        answer.error_code.err(),
        Some(ResponseError::InconsistentGroupProtocol)
    );
    let described = describe(&mut stranger.client, DESCRIBE, &group).await;
    assert_eq!(&*described.group_state, "Empty");
}
