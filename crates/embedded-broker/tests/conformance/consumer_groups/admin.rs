//! Consumer groups as an administrator sees them: described, listed, deleted, members removed.

use kafka_protocol::error::{ParseResponseErrorCode, ResponseError};
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::{
    ApiVersionsRequest, ConsumerGroupDescribeRequest, DeleteGroupsRequest, DescribeGroupsRequest,
    LeaveGroupRequest, ListGroupsRequest,
};
use kafka_protocol::protocol::StrBytes;

use crate::support::broker::unique;
use crate::support::consumer_group::{Consumer, describe, of, settle, sharing, topic};
use crate::support::group::{LEAVE, Member, group_id};
use crate::support::raw::RawClient;
use crate::support::topic::only;

/// Tools and clients read from the feature that the protocol is there. Version 3 of ApiVersions knows no features that may
/// be switched off (KIP-1022), so that the feature is finalized there and yet not supported.
#[tokio::test]
async fn the_feature_group_version_is_finalized() {
    let mut client = RawClient::connect().await;
    for version in [3, 4] {
        let request = ApiVersionsRequest::default()
            .with_client_software_name("suite".into())
            .with_client_software_version("1.0".into());
        let answer = client.send(version, request).await;
        let mut supported = answer.supported_features.iter();
        let supported = supported.find(|feature| feature.name.as_str() == "group.version");
        let supported = supported.map(|feature| (feature.min_version, feature.max_version));
        assert_eq!(
            supported,
            (version == 4).then_some((0, 1)),
            "version {version}"
        );
        let mut finalized = answer.finalized_features.iter();
        let finalized = finalized.find(|feature| feature.name.as_str() == "group.version");
        let finalized = finalized.expect("finalized");
        assert_eq!(
            (finalized.min_version_level, finalized.max_version_level),
            (1, 1)
        );
        assert!(answer.finalized_features_epoch >= 0);
    }
}

/// The state's way: Empty, Assigning, Reconciling, Stable.
#[tokio::test]
async fn a_group_shows_what_it_is_doing() {
    let topic = topic(2).await;
    let group = unique("group");
    let mut first = Consumer::alone(&group, &[&topic]).await;
    let described = describe(&mut first.client, &group).await;
    assert_eq!(
        (described.error_code.err(), described.group_state.as_str()),
        (None, "Stable")
    );
    assert_eq!((described.group_epoch, described.assignment_epoch), (2, 2));
    assert_eq!(described.assignor_name.as_str(), "uniform");
    assert_eq!(described.authorized_operations, i32::MIN, "nobody asked");

    let mut second = Consumer::new(&group, &[&topic]).await;
    second.join().await;
    assert_eq!(
        describe(&mut first.client, &group)
            .await
            .group_state
            .as_str(),
        "Reconciling"
    );
    first.beat().await;
    assert_eq!(
        describe(&mut first.client, &group)
            .await
            .group_state
            .as_str(),
        "Reconciling"
    );
    settle(&mut [&mut first, &mut second]).await;

    first.leave(-1).await;
    let described = describe(&mut first.client, &group).await;
    assert_eq!(described.group_state.as_str(), "Assigning");
    assert_eq!((described.group_epoch, described.assignment_epoch), (4, 3));
    second.leave(-1).await;
    let described = describe(&mut first.client, &group).await;
    assert_eq!(
        (described.group_state.as_str(), described.members.len()),
        ("Empty", 0)
    );
    assert_eq!((described.group_epoch, described.assignment_epoch), (5, 3));
}

/// Members with all that they said, what they have and what they shall have.
#[tokio::test]
async fn members_are_described() {
    let topic = topic(2).await;
    let group = unique("group");
    let mut first = Consumer::instance(&group, &[&topic], "one").await;
    first
        .ok(first.joining().with_rack_id(Some("rack".into())))
        .await;
    let mut second = Consumer::new(&group, &[&topic]).await;
    second.join().await;
    second
        .ok(second
            .keep_alive()
            .with_subscribed_topic_regex(Some("no.match".into())))
        .await;
    first.beat().await;

    let described = describe(&mut first.client, &group).await;
    assert_eq!(described.members.len(), 2);
    let mut members = described.members.iter();
    let shown = members
        .find(|member| member.member_id == first.id)
        .expect("the first");
    assert_eq!(shown.instance_id.as_deref(), Some("one"));
    assert_eq!(shown.rack_id.as_deref(), Some("rack"));
    assert_eq!((shown.member_epoch, shown.member_type), (2, 1));
    assert_eq!(
        (shown.client_id.as_str(), shown.client_host.as_str()),
        ("conformance", "/127.0.0.1")
    );
    assert_eq!(shown.subscribed_topic_names, [topic.topic_name()]);
    assert_eq!(shown.subscribed_topic_regex.as_deref(), Some(""));
    // What it has to give up is its own until it has.
    let has = only(shown.assignment.topic_partitions.clone());
    assert_eq!(
        (has.topic_id, &has.topic_name),
        (topic.id, &topic.topic_name())
    );
    let mut partitions = has.partitions;
    partitions.sort_unstable();
    assert_eq!(partitions, [0, 1]);
    let shall_have = only(shown.target_assignment.topic_partitions.clone());
    assert_eq!(of(&topic, shall_have.partitions), first.assigned);

    let mut members = described.members.iter();
    let shown = members
        .find(|member| member.member_id == second.id)
        .expect("the second");
    assert_eq!(
        (shown.instance_id.as_deref(), shown.rack_id.as_deref()),
        (None, None)
    );
    assert_eq!(shown.subscribed_topic_regex.as_deref(), Some("no.match"));
    assert!(shown.assignment.topic_partitions.is_empty());
    let shall_have = only(shown.target_assignment.topic_partitions.clone());
    assert_eq!(shall_have.partitions.len(), 1);
}

#[tokio::test]
async fn version_0_describes_without_member_types() {
    let topic = topic(1).await;
    let mut consumer = Consumer::alone(&unique("group"), &[&topic]).await;
    let request = ConsumerGroupDescribeRequest::default()
        .with_group_ids(vec![group_id(&consumer.group), group_id("nobody")])
        .with_include_authorized_operations(true);
    let groups = consumer.client.send(0, request).await.groups;
    assert_eq!(groups.len(), 2);
    // Not necessarily in the order in which they were asked for.
    let (known, unknown): (Vec<_>, Vec<_>) =
        groups.into_iter().partition(|group| group.error_code == 0);
    let (known, unknown) = (only(known), only(unknown));
    // READ, DELETE, DESCRIBE, DESCRIBE_CONFIGS and ALTER_CONFIGS.
    assert_eq!(known.authorized_operations, 0b1101_0100_1000);
    assert_eq!(only(known.members).member_type, -1, "not said");
    assert_eq!(
        unknown.error_code.err(),
        Some(ResponseError::GroupIdNotFound)
    );
    assert_eq!(
        unknown.error_message.as_deref(),
        Some("Group nobody not found.")
    );
    assert_eq!(unknown.authorized_operations, i32::MIN);
}

/// "Java 4.x tries it first, falls back on 69": each API describes groups of its own kind.
#[tokio::test]
async fn each_kind_of_group_is_described_by_its_api() {
    let topic = topic(1).await;
    let mut consumer = Consumer::alone(&unique("group"), &[&topic]).await;
    let classic = Member::alone(&unique("group")).await;
    let described = describe(&mut consumer.client, &classic.group).await;
    assert_eq!(
        described.error_code.err(),
        Some(ResponseError::GroupIdNotFound)
    );
    let message = format!("Group {} is not a consumer group.", classic.group);
    assert_eq!(described.error_message.as_deref(), Some(message.as_str()));

    for version in [5, 6] {
        let request = DescribeGroupsRequest::default().with_groups(vec![group_id(&consumer.group)]);
        let described = only(consumer.client.send(version, request).await.groups);
        assert_eq!(
            (described.group_state.as_str(), described.members.len()),
            ("Dead", 0)
        );
        let error = (version == 6).then_some(ResponseError::GroupIdNotFound);
        assert_eq!(described.error_code.err(), error);
        if version == 6 {
            let message = format!("Group {} is not a classic group.", consumer.group);
            assert_eq!(described.error_message.as_deref(), Some(message.as_str()));
        }
    }
}

#[tokio::test]
async fn groups_are_listed_with_their_type() {
    let topic = topic(2).await;
    let mut consumer = Consumer::alone(&unique("group"), &[&topic]).await;
    let cases: [(&[&str], &[&str], bool); 6] = [
        (&[], &[], true),
        (&[], &["Consumer"], true),
        (&[], &["classic"], false),
        (&["stable"], &[], true),
        (&["Empty", "Assigning", "Reconciling"], &[], false),
        (&["STABLE"], &["consumer", "classic"], true),
    ];
    let texts = |texts: &[&str]| {
        texts
            .iter()
            .map(|text| StrBytes::from((*text).to_owned()))
            .collect()
    };
    for (states, types, is_listed) in cases {
        let request = ListGroupsRequest::default()
            .with_states_filter(texts(states))
            .with_types_filter(texts(types));
        let groups = consumer.client.send(5, request).await.groups;
        let mut groups = groups.iter();
        let listed = groups.find(|group| **group.group_id == *consumer.group);
        assert_eq!(listed.is_some(), is_listed, "{states:?} {types:?}");
        if let Some(listed) = listed {
            let shown = (listed.group_type.as_str(), listed.group_state.as_str());
            assert_eq!(
                (shown, listed.protocol_type.as_str()),
                (("consumer", "Stable"), "consumer")
            );
        }
    }
}

#[tokio::test]
async fn a_group_is_deleted_when_its_members_are_gone() {
    let topic = topic(1).await;
    let mut consumer = Consumer::alone(&unique("group"), &[&topic]).await;
    let request = DeleteGroupsRequest::default().with_groups_names(vec![group_id(&consumer.group)]);
    let answer = consumer.client.send(2, request.clone()).await;
    assert_eq!(
        only(answer.results).error_code.err(),
        Some(ResponseError::NonEmptyGroup)
    );
    consumer.leave(-1).await;
    let answer = consumer.client.send(2, request).await;
    assert_eq!(only(answer.results).error_code.err(), None);
    let described = describe(&mut consumer.client, &consumer.group).await;
    assert_eq!(
        described.error_code.err(),
        Some(ResponseError::GroupIdNotFound)
    );
    // A group of that name begins anew.
    consumer.join().await;
    assert_eq!(consumer.epoch, 2);
}

/// LeaveGroup is how an administrator removes members, also of this kind.
#[tokio::test]
async fn members_are_removed_by_an_administrator() {
    let topic = topic(2).await;
    let group = unique("group");
    let mut fixed = Consumer::instance(&group, &[&topic], "one").await;
    fixed.join().await;
    let mut other = Consumer::new(&group, &[&topic]).await;
    other.join().await;
    let identity = |id: &StrBytes, instance: Option<&'static str>| {
        MemberIdentity::default()
            .with_member_id(id.clone())
            .with_group_instance_id(instance.map(StrBytes::from))
    };
    let request = LeaveGroupRequest::default()
        .with_group_id(group_id(&group))
        .with_members(vec![
            identity(&StrBytes::new(), Some("one")),
            identity(&"stranger".into(), None),
            identity(&StrBytes::new(), Some("two")),
            identity(&other.id, Some("one")),
        ]);
    let answer = other.client.send(LEAVE, request).await;
    assert_eq!(answer.error_code.err(), None);
    let errors: Vec<_> = answer
        .members
        .iter()
        .map(|member| member.error_code.err())
        .collect();
    let unknown = Some(ResponseError::UnknownMemberId);
    assert_eq!(
        errors,
        [
            None,
            unknown,
            unknown,
            Some(ResponseError::FencedInstanceId)
        ]
    );
    assert_eq!(
        fixed.refused(fixed.keep_alive()).await,
        ResponseError::UnknownMemberId
    );
    assert_eq!(other.beat().await, Some(of(&topic, 0..2)));
    assert_eq!(other.epoch, 4);
}

/// A member that was removed is told so, and its group goes on.
#[tokio::test]
async fn a_removed_member_joins_again() {
    let topic = topic(2).await;
    let (mut first, mut second) = sharing(&unique("group"), &topic).await;
    let identity = MemberIdentity::default().with_member_id(first.id.clone());
    let request = LeaveGroupRequest::default()
        .with_group_id(group_id(&first.group))
        .with_members(vec![identity]);
    let answer = second.client.send(LEAVE, request).await;
    assert_eq!(only(answer.members).error_code.err(), None);
    assert_eq!(
        first.refused(first.keep_alive()).await,
        ResponseError::UnknownMemberId
    );
    first.join().await;
    settle(&mut [&mut first, &mut second]).await;
    assert_eq!([first.assigned.len(), second.assigned.len()], [1, 1]);
}
