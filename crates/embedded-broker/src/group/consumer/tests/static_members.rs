//! Static members, and members that an administrator removes.

use super::*;
use crate::group::LeavingMember;

fn static_join(member_id: &str, instance_id: &str) -> Heartbeat {
    Heartbeat {
        instance_id: Some(instance_id.to_owned()),
        ..join(member_id, &["orders"])
    }
}

#[test]
fn a_static_member_comes_back_to_its_partitions() {
    let mut fixture = Fixture::new(&[("orders", 4)]);
    fixture.ok(&static_join("a", "one"));
    fixture.ok(&join("b", &["orders"]));
    let kept = fixture.ok(&keep_alive("a", 2)).assignment.unwrap();
    fixture.ok(&owning("a", 2, &kept));
    fixture.ok(&keep_alive("b", 3));

    fixture
        .group
        .leave("a", Some("one"), LEAVING_FOR_A_WHILE)
        .unwrap();
    assert_eq!(
        fixture.ok(&keep_alive("b", 3)).assignment,
        None,
        "nobody takes over"
    );
    let back = fixture.ok(&static_join("a2", "one"));
    assert_eq!(back, answer(3, &kept));
    assert_eq!(fixture.group.epoch(), 3, "nobody noticed");
    let old = Heartbeat {
        instance_id: Some("one".to_owned()),
        ..keep_alive("a", 3)
    };
    assert_eq!(fixture.error(&old), ResponseError::FencedInstanceId);
    assert_eq!(
        fixture.error(&keep_alive("a", 3)),
        ResponseError::UnknownMemberId
    );
}

#[test]
fn a_static_member_that_stays_away_is_expelled() {
    let mut fixture = Fixture::new(&[("orders", 4)]);
    fixture.ok(&static_join("a", "one"));
    fixture
        .group
        .leave("a", Some("one"), LEAVING_FOR_A_WHILE)
        .unwrap();
    fixture.now += SESSION;
    assert_eq!(fixture.group.expire(fixture.now), ["a"]);
    assert_eq!(fixture.group.state(), State::Empty);
}

#[test]
fn an_instance_id_has_one_member_at_a_time() {
    let mut fixture = Fixture::new(&[("orders", 4)]);
    fixture.ok(&static_join("a", "one"));
    assert_eq!(
        fixture.error(&static_join("b", "one")),
        ResponseError::UnreleasedInstanceId
    );
    let stranger = Heartbeat {
        instance_id: Some("two".to_owned()),
        ..keep_alive("a", 2)
    };
    assert_eq!(fixture.error(&stranger), ResponseError::UnknownMemberId);
    let fenced = fixture.group.leave("b", Some("one"), LEAVING).unwrap_err();
    assert_eq!(fenced.error, ResponseError::FencedInstanceId);
    fixture.group.leave("a", Some("one"), LEAVING).unwrap();
    fixture.ok(&static_join("b", "one"));
}

#[test]
fn administrators_remove_members_by_either_id() {
    let mut fixture = Fixture::new(&[("orders", 4)]);
    fixture.ok(&static_join("a", "one"));
    fixture.ok(&join("b", &["orders"]));
    let epoch = fixture.group.epoch();
    let leaving = [("", Some("one")), ("b", None), ("c", None)];
    let leaving = leaving.map(|(member_id, instance_id)| LeavingMember {
        member_id,
        instance_id,
    });
    assert_eq!(
        fixture.group.remove_members(&leaving),
        [Ok(()), Ok(()), Err(ResponseError::UnknownMemberId)]
    );
    assert!(fixture.group.is_empty());
    assert_eq!(fixture.group.epoch(), epoch + 1, "one change");
}
