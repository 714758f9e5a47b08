//! Subscriptions by regular expression.

use super::*;

/// The first heartbeat of a member that subscribes by a regular expression.
fn join_pattern(member_id: &str, pattern: &str) -> Heartbeat {
    Heartbeat {
        topic_names: None,
        topic_pattern: Some(pattern.to_owned()),
        ..join(member_id, &[])
    }
}

#[test]
fn a_pattern_is_matched_after_the_answer() {
    let mut fixture = Fixture::new(&[("orders", 2), ("orders-retry", 1), ("payments", 1)]);
    assert_eq!(
        fixture.ok(&join_pattern("a", "orders.*")),
        answer(1, &Assignment::new())
    );
    let orders = &fixture.of("orders", 0..2) | &fixture.of("orders-retry", 0..1);
    assert_eq!(fixture.ok(&keep_alive("a", 1)), answer(2, &orders));
    assert!(fixture.group.subscribed().contains("orders-retry"));
    assert!(!fixture.group.subscribed().contains("payments"));
}

#[test]
fn a_pattern_matches_whole_names_of_topics_created_later() {
    let mut fixture = Fixture::new(&[("orders", 1)]);
    fixture.ok(&join_pattern("a", "orders"));
    fixture.ok(&keep_alive("a", 1));
    fixture.create_topic("orders-retry", 1);
    fixture.ok(&keep_alive("a", 2));
    assert_eq!(fixture.group.epoch(), 2, "a prefix is no match");

    // Until the new pattern is matched, it matches nothing, as in Apache Kafka.
    let change = Heartbeat {
        topic_pattern: Some("orders|new".to_owned()),
        ..keep_alive("a", 2)
    };
    assert_eq!(fixture.ok(&change), answer(2, &Assignment::new()));
    let orders = fixture.of("orders", 0..1);
    assert_eq!(
        fixture.ok(&owning("a", 2, &Assignment::new())),
        answer(3, &orders)
    );

    fixture.create_topic("new", 1);
    assert_eq!(
        fixture.ok(&owning("a", 3, &orders)).assignment,
        None,
        "matched after the answer"
    );
    let both = &orders | &fixture.of("new", 0..1);
    assert_eq!(fixture.ok(&owning("a", 3, &orders)), answer(4, &both));
}

/// The empty regular expression is none: compiled, it would match every topic's name.
#[test]
fn an_empty_pattern_subscribes_to_nothing() {
    let mut fixture = Fixture::new(&[("orders", 2)]);
    let nothing = Assignment::new();
    assert_eq!(fixture.ok(&join_pattern("a", "")), answer(1, &nothing));
    assert_eq!(fixture.ok(&keep_alive("a", 1)).assignment, None);
}

#[test]
fn a_pattern_that_cannot_be_compiled_is_refused_and_changes_nothing() {
    let mut fixture = Fixture::new(&[("orders", 2)]);
    for pattern in ["[", "a)(b", "(?<name"] {
        let rejected = fixture.send(&join_pattern("a", pattern)).unwrap_err();
        assert_eq!(rejected.error, ResponseError::InvalidRegularExpression);
        let start = format!("SubscribedTopicRegex `{pattern}` is not a valid regular expression: ");
        assert!(rejected.message.starts_with(&start), "{}", rejected.message);
    }
    assert!(fixture.group.is_empty());
}

#[test]
fn a_pattern_that_would_take_too_long_is_refused() {
    let mut fixture = Fixture::new(&[("orders", 2)]);
    let long = "orders|".repeat(10_000);
    for pattern in ["((a{100}){100}){100}", &long] {
        let error = fixture.error(&join_pattern("a", pattern));
        assert_eq!(error, ResponseError::InvalidRegularExpression);
    }
}

#[test]
fn patterns_mean_what_they_mean_in_re2() {
    let patterns = [
        r"[\w.-]{1,200}",
        r"\p{L}+",
        "(?i)ORDERS",
        r"[^\d]+",
        "or.*s",
        "^orders$",
        "orders|payments",
    ];
    for pattern in patterns {
        let mut fixture = Fixture::new(&[("orders", 2)]);
        fixture.ok(&join_pattern("a", pattern));
        let orders = fixture.of("orders", 0..2);
        let told = fixture.ok(&keep_alive("a", 1)).assignment;
        assert_eq!(told, Some(orders), "{pattern}");
    }
}

#[test]
fn a_member_that_drops_its_pattern_drops_its_topics() {
    let mut fixture = Fixture::new(&[("orders", 2)]);
    fixture.ok(&join_pattern("a", "orders"));
    let orders = fixture.ok(&keep_alive("a", 1)).assignment.unwrap();
    let without = Heartbeat {
        topic_pattern: Some(String::new()),
        ..owning("a", 2, &orders)
    };
    assert_eq!(fixture.ok(&without), answer(2, &Assignment::new()));
    assert_eq!(
        fixture.ok(&owning("a", 2, &Assignment::new())).member_epoch,
        3
    );
    assert!(!fixture.group.subscribed().contains("orders"));
}
