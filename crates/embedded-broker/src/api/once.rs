//! What a request names more than once.
//!
//! An answer about a name takes as much room as there is to say about it. A request that gives the name a hundred thousand
//! times would be answered with a hundred thousand times as much, so each name is answered once.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;

use kafka_protocol::messages::TopicName;

/// The items, each the first time that its key comes.
pub(super) fn each_once<'a, T, K: Eq + Hash>(
    items: &'a [T],
    key: impl Fn(&'a T) -> K,
) -> impl Iterator<Item = &'a T> {
    let mut seen = HashSet::new();
    items.iter().filter(move |item| seen.insert(key(item)))
}

/// What is asked for each partition, by topic. As in Apache Kafka a partition that is named twice counts once, as the last
/// time says.
pub(super) fn last_of_each<T>(
    asked: impl Iterator<Item = (TopicName, i32, T)>,
) -> Vec<(TopicName, Vec<(i32, T)>)> {
    let mut topics: Vec<(TopicName, Vec<(i32, T)>)> = Vec::new();
    let mut places: HashMap<TopicName, (usize, HashMap<i32, usize>)> = HashMap::new();
    for (name, index, asked) in asked {
        let (topic, places) = places.entry(name.clone()).or_insert_with(|| {
            topics.push((name, Vec::new()));
            (topics.len() - 1, HashMap::new())
        });
        let partitions = &mut topics[*topic].1;
        match places.get(&index) {
            Some(place) => partitions[*place].1 = asked,
            None => {
                places.insert(index, partitions.len());
                partitions.push((index, asked));
            }
        }
    }
    topics
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_word_on_a_partition_counts_in_the_place_of_the_first() {
        let name = |name: &'static str| TopicName(name.into());
        let asked = [
            ("a", 1, "x"),
            ("b", 1, "y"),
            ("a", 0, "z"),
            ("a", 1, "last"),
        ];
        let asked = asked.map(|(topic, index, what)| (name(topic), index, what));
        let expected = vec![
            (name("a"), vec![(1, "last"), (0, "z")]),
            (name("b"), vec![(1, "y")]),
        ];
        assert_eq!(last_of_each(asked.into_iter()), expected);
    }

    #[test]
    fn the_first_of_each_stays_in_its_place() {
        let items = [("a", 1), ("b", 2), ("a", 3), ("c", 4), ("b", 5)];
        let left: Vec<i32> = each_once(&items, |item| item.0)
            .map(|item| item.1)
            .collect();
        assert_eq!(left, [1, 2, 4]);
    }
}
