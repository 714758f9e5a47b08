//! The assignors `uniform` and `range`, as members see them.

use crate::support::broker::unique;
use crate::support::consumer_group::{Consumer, Partitions, describe, of, settle, topic};
use crate::support::topic::Topic;

/// Two members of one topic each with three partitions.
async fn shared_by(assignor: Option<&'static str>) -> (Topic, Topic, Vec<Partitions>, String) {
    let (left, right) = (topic(3).await, topic(3).await);
    let group = unique("group");
    let mut first = Consumer::new(&group, &[&left, &right]).await;
    let mut second = Consumer::new(&group, &[&left, &right]).await;
    first.id = "a".into();
    second.id = "b".into();
    first.assignor = assignor;
    second.assignor = assignor;
    first.join().await;
    second.join().await;
    settle(&mut [&mut first, &mut second]).await;
    let described = describe(&mut first.client, &group).await;
    let name = described.assignor_name.to_string();
    (left, right, vec![first.assigned, second.assigned], name)
}

/// "Range": neighbouring partitions topic by topic, members in the order of their ids.
#[tokio::test]
async fn range_gives_the_same_partition_numbers_of_each_topic() {
    let (left, right, shares, name) = shared_by(Some("range")).await;
    assert_eq!(name, "range");
    assert_eq!(shares[0], &of(&left, 0..2) | &of(&right, 0..2));
    assert_eq!(shares[1], &of(&left, 2..3) | &of(&right, 2..3));
}

/// "Uniform" is the default: even over all topics together.
#[tokio::test]
async fn uniform_evens_out_over_topics_together() {
    let (left, right, shares, name) = shared_by(None).await;
    assert_eq!(name, "uniform");
    assert_eq!([shares[0].len(), shares[1].len()], [3, 3]);
    assert_eq!(
        &shares[0] | &shares[1],
        &of(&left, 0..3) | &of(&right, 0..3)
    );
}

/// "Sticky": a new member gets its share, and otherwise everything stays where it is.
#[tokio::test]
async fn uniform_moves_only_what_a_new_member_gets() {
    let topic = topic(6).await;
    let group = unique("group");
    let mut first = Consumer::alone(&group, &[&topic]).await;
    let mut second = Consumer::new(&group, &[&topic]).await;
    second.join().await;
    settle(&mut [&mut first, &mut second]).await;
    let before = [first.assigned.clone(), second.assigned.clone()];
    let mut third = Consumer::new(&group, &[&topic]).await;
    third.join().await;
    settle(&mut [&mut first, &mut second, &mut third]).await;
    assert!(first.assigned.is_subset(&before[0]) && second.assigned.is_subset(&before[1]));
    assert_eq!(
        [
            first.assigned.len(),
            second.assigned.len(),
            third.assigned.len()
        ],
        [2, 2, 2]
    );

    let its_own = third.assigned.clone();
    second.leave(-1).await;
    settle(&mut [&mut first, &mut third]).await;
    assert!(
        third.assigned.is_superset(&its_own),
        "a member that leaves moves only its own"
    );
    assert_eq!([first.assigned.len(), third.assigned.len()], [3, 3]);
}

/// Members with different topics share what they have in common so that their load is even.
#[tokio::test]
async fn uniform_weighs_different_subscriptions() {
    let (common, own) = (topic(4).await, topic(2).await);
    let group = unique("group");
    let mut both = Consumer::alone(&group, &[&common, &own]).await;
    let mut one = Consumer::new(&group, &[&common]).await;
    one.join().await;
    settle(&mut [&mut both, &mut one]).await;
    assert!(both.assigned.is_superset(&of(&own, 0..2)));
    assert_eq!([both.assigned.len(), one.assigned.len()], [3, 3]);
}

/// Most votes choose the assignor.
#[tokio::test]
async fn members_vote_for_the_assignor() {
    let topic = topic(1).await;
    let group = unique("group");
    let mut first = Consumer::alone(&group, &[&topic]).await;
    let mut second = Consumer::new(&group, &[&topic]).await;
    second.assignor = Some("range");
    second.join().await;
    let described = describe(&mut first.client, &group).await;
    assert_eq!(
        described.assignor_name.as_str(),
        "range",
        "one vote beats none"
    );
    for _ in 0..2 {
        let mut another = Consumer::new(&group, &[&topic]).await;
        another.assignor = Some("uniform");
        another.join().await;
    }
    let described = describe(&mut first.client, &group).await;
    assert_eq!(described.assignor_name.as_str(), "uniform");
}
