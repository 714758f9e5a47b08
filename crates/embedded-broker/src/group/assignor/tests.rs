//! Examples for both assignors, and random groups that hold the promises of each.

use super::*;

fn topic(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

fn partitions(topic_number: u128, partitions: impl IntoIterator<Item = i32>) -> Assignment {
    partitions
        .into_iter()
        .map(|partition| TopicPartition {
            topic_id: topic(topic_number),
            partition,
        })
        .collect()
}

fn subscriber<'a>(member_id: &'a str, topics: &[u128], current: Assignment) -> Subscriber<'a> {
    Subscriber {
        member_id,
        instance_id: None,
        topics: topics.iter().copied().map(topic).collect(),
        current,
    }
}

fn counts(counts: &[(u128, usize)]) -> BTreeMap<Uuid, usize> {
    counts
        .iter()
        .map(|(number, count)| (topic(*number), *count))
        .collect()
}

#[test]
fn names_are_those_of_the_protocol() {
    for assignor in Assignor::ALL {
        assert_eq!(Assignor::named(assignor.name()), Some(assignor));
    }
    assert_eq!(Assignor::DEFAULT.name(), "uniform");
    assert_eq!(Assignor::named("sticky"), None);
}

#[test]
fn range_gives_the_same_partition_numbers_of_each_topic() {
    let members = [
        subscriber("a", &[1, 2], Assignment::new()),
        subscriber("b", &[1, 2], Assignment::new()),
    ];
    let assignments = Assignor::Range.assign(&members, &counts(&[(1, 3), (2, 3)]));
    assert_eq!(assignments[0], &partitions(1, 0..2) | &partitions(2, 0..2));
    assert_eq!(assignments[1], &partitions(1, 2..3) | &partitions(2, 2..3));
}

#[test]
fn range_leaves_out_who_has_not_subscribed() {
    let members = [
        subscriber("a", &[1], Assignment::new()),
        subscriber("b", &[1, 2], Assignment::new()),
        subscriber("c", &[], Assignment::new()),
    ];
    let assignments = Assignor::Range.assign(&members, &counts(&[(1, 4), (2, 2)]));
    assert_eq!(assignments[0], partitions(1, 0..2));
    assert_eq!(assignments[1], &partitions(1, 2..4) | &partitions(2, 0..2));
    assert!(assignments[2].is_empty());
}

#[test]
fn range_puts_static_members_first_by_their_instance_ids() {
    let mut members = [
        subscriber("a", &[1], Assignment::new()),
        subscriber("b", &[1], Assignment::new()),
        subscriber("c", &[1], Assignment::new()),
    ];
    members[1].instance_id = Some("two");
    members[2].instance_id = Some("one");
    let assignments = Assignor::Range.assign(&members, &counts(&[(1, 3)]));
    assert_eq!(assignments[2], partitions(1, 0..1));
    assert_eq!(assignments[1], partitions(1, 1..2));
    assert_eq!(assignments[0], partitions(1, 2..3));
}

#[test]
fn uniform_evens_out_over_topics_together() {
    let members = [
        subscriber("a", &[1, 2], Assignment::new()),
        subscriber("b", &[1, 2], Assignment::new()),
    ];
    let assignments = Assignor::Uniform.assign(&members, &counts(&[(1, 3), (2, 3)]));
    assert_eq!(
        [assignments[0].len(), assignments[1].len()],
        [3, 3],
        "range would give 4 and 2"
    );
}

#[test]
fn uniform_moves_only_what_a_new_member_gets() {
    let members = [
        subscriber("a", &[1], partitions(1, [0, 2, 4])),
        subscriber("b", &[1], partitions(1, [1, 3, 5])),
        subscriber("c", &[1], Assignment::new()),
    ];
    let assignments = Assignor::Uniform.assign(&members, &counts(&[(1, 6)]));
    for (before, after) in members.iter().zip(&assignments).take(2) {
        assert!(
            after.is_subset(&before.current),
            "an old member got something new"
        );
    }
    assert!(assignments.iter().all(|assignment| assignment.len() == 2));
}

#[test]
fn uniform_takes_from_who_can_give() {
    // "a" has most, but only topic 1, which nobody else wants.
    let members = [
        subscriber("a", &[1], partitions(1, 0..6)),
        subscriber("b", &[2, 3], &partitions(2, 0..3) | &partitions(3, 0..1)),
        subscriber("c", &[2], Assignment::new()),
    ];
    let assignments = Assignor::Uniform.assign(&members, &counts(&[(1, 6), (2, 3), (3, 1)]));
    assert_eq!(assignments[0], partitions(1, 0..6));
    assert_eq!([assignments[1].len(), assignments[2].len()], [2, 2]);
}

/// A group of up to six members that subscribe to some of up to four topics.
struct RandomGroup {
    topics: Vec<BTreeSet<Uuid>>,
    counts: BTreeMap<Uuid, usize>,
    current: Vec<Assignment>,
}

impl RandomGroup {
    fn new(random: &mut fastrand::Rng, same_topics: bool) -> Self {
        let counts: BTreeMap<Uuid, usize> = (0..random.u128(1..=4))
            .map(|number| (topic(number), random.usize(1..=9)))
            .collect();
        let some_topics = |random: &mut fastrand::Rng| {
            let some = counts.keys().copied().filter(|_| random.u8(0..3) > 0);
            some.collect::<BTreeSet<Uuid>>()
        };
        let everyones = some_topics(random);
        let members = random.usize(1..=6);
        let topics: Vec<_> = (0..members)
            .map(|_| match same_topics {
                true => everyones.clone(),
                false => some_topics(random),
            })
            .collect();
        // Whatever an earlier assignment may have been: also of topics that a member no longer wants.
        let mut current = vec![Assignment::new(); members];
        for partition in counts.keys().flat_map(|id| partitions_of(*id, &counts)) {
            if let Some(owner) = current.get_mut(random.usize(0..members * 2)) {
                owner.insert(partition);
            }
        }
        Self {
            topics,
            counts,
            current,
        }
    }

    fn subscribers(&self) -> Vec<Subscriber<'static>> {
        const IDS: [&str; 6] = ["a", "b", "c", "d", "e", "f"];
        let members = IDS.into_iter().zip(&self.topics).zip(&self.current);
        members
            .map(|((member_id, topics), current)| Subscriber {
                member_id,
                instance_id: None,
                topics: topics.clone(),
                current: current.clone(),
            })
            .collect()
    }

    /// Every partition of a topic that somebody wants has one owner, who wants it.
    fn check_complete(&self, assignments: &[Assignment]) {
        let wanted: Assignment = self
            .topics
            .iter()
            .flatten()
            .flat_map(|topic_id| partitions_of(*topic_id, &self.counts))
            .collect();
        let assigned: Assignment = assignments.iter().flatten().copied().collect();
        assert_eq!(assigned, wanted);
        let count: usize = assignments.iter().map(Assignment::len).sum();
        assert_eq!(count, wanted.len(), "a partition has two owners");
        for (topics, assignment) in self.topics.iter().zip(assignments) {
            assert!(
                assignment
                    .iter()
                    .all(|partition| topics.contains(&partition.topic_id))
            );
        }
    }
}

#[test]
fn random_groups_are_assigned_completely_by_both() {
    let mut random = fastrand::Rng::with_seed(848);
    for round in 0..2_000 {
        let group = RandomGroup::new(&mut random, round % 2 == 0);
        for assignor in Assignor::ALL {
            group.check_complete(&assignor.assign(&group.subscribers(), &group.counts));
        }
    }
}

#[test]
fn uniform_is_even_and_moves_least_where_all_want_the_same() {
    let mut random = fastrand::Rng::with_seed(849);
    for _ in 0..2_000 {
        let group = RandomGroup::new(&mut random, true);
        let assignments = Assignor::Uniform.assign(&group.subscribers(), &group.counts);
        let sizes = assignments.iter().map(Assignment::len);
        let (smallest, largest) = (
            sizes.clone().min().unwrap_or(0),
            sizes.clone().max().unwrap_or(0),
        );
        assert!(largest - smallest <= 1, "{smallest} and {largest}");

        let total: usize = sizes.sum();
        let (quota, extras) = (total / assignments.len(), total % assignments.len());
        let wanted_before = group
            .current
            .iter()
            .zip(&group.topics)
            .map(|(had, topics)| {
                had.iter()
                    .filter(|partition| topics.contains(&partition.topic_id))
                    .count()
            });
        let over = wanted_before.clone().filter(|had| *had > quota).count();
        let most_kept = wanted_before.map(|had| had.min(quota)).sum::<usize>() + over.min(extras);
        let kept: usize = group
            .current
            .iter()
            .zip(&assignments)
            .map(|(had, has)| had.intersection(has).count())
            .sum();
        assert_eq!(
            kept, most_kept,
            "{:?} became {assignments:?}",
            group.current
        );
    }
}

#[test]
fn uniform_leaves_no_move_that_would_even_the_load() {
    let mut random = fastrand::Rng::with_seed(850);
    for _ in 0..2_000 {
        let group = RandomGroup::new(&mut random, false);
        let assignments = Assignor::Uniform.assign(&group.subscribers(), &group.counts);
        for (owner, assignment) in assignments.iter().enumerate() {
            for partition in assignment {
                let takers = (0..assignments.len())
                    .filter(|taker| group.topics[*taker].contains(&partition.topic_id));
                for taker in takers {
                    let (from, to) = (assignment.len(), assignments[taker].len());
                    assert!(
                        from <= to + 1,
                        "{partition:?} of {owner} with {from} belongs to {taker} with {to}"
                    );
                }
            }
        }
        // What is even stays where it is.
        let settled = RandomGroup {
            current: assignments.clone(),
            ..group
        };
        assert_eq!(
            Assignor::Uniform.assign(&settled.subscribers(), &settled.counts),
            assignments
        );
    }
}
