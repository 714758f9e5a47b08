//! Subscriptions by regular expression: the broker matches, so that all members see the same topics (KIP-848).

use std::collections::{BTreeMap, BTreeSet};

use kafka_protocol::error::ResponseError;
use regex::bytes::{Regex, RegexBuilder};

use super::Rejected;
use crate::topic::Topics;

/// The regular expressions that a group's members subscribe to.
#[derive(Debug, Default)]
pub(super) struct Patterns {
    by_source: BTreeMap<String, Pattern>,
    /// How many topics had been created when all expressions were last matched; 0 while one was not matched yet.
    topics_created: u64,
}

#[derive(Debug)]
struct Pattern {
    regex: Regex,
    /// What it matched at the last look. Names of topics deleted since are still among them and mean nothing.
    topics: BTreeSet<String>,
}

/// Longer expressions are refused: they would keep everybody waiting while they are compiled.
const MAX_LENGTH: usize = 64 * 1024;

/// What an expression may come to in memory, which is also a bound for the time that matching takes.
const MAX_COMPILED: usize = 256 * 1024;

/// Compiles what a member subscribes to; a topic's whole name has to match. The syntax is close to that of RE2, which Apache
/// Kafka uses (<https://github.com/google/re2/wiki/Syntax>).
///
/// # Errors
/// INVALID_REGULAR_EXPRESSION, with what is wrong with it.
pub(super) fn compile(source: &str) -> Result<Regex, Rejected> {
    let invalid = |reason: &str| {
        Rejected::new(
            ResponseError::InvalidRegularExpression,
            format!("SubscribedTopicRegex `{source}` is not a valid regular expression: {reason}."),
        )
    };
    if source.len() > MAX_LENGTH {
        return Err(invalid("it is too long"));
    }
    // By itself first: `a)(b` must not become valid by what is put around it.
    build(source)
        .and_then(|_| build(&format!("^(?:{source})$")))
        .map_err(|error| {
            // The crate draws the expression with a mark under the place; the last line says what is wrong.
            let description = error.to_string();
            let reason = description.lines().last().unwrap_or_default();
            let reason = reason.strip_prefix("error: ").unwrap_or(reason);
            invalid(reason.trim_end_matches('.'))
        })
}

/// Classes as `\w` are of ASCII, as in RE2 and as the names of topics are; an expression that names Unicode classes gets
/// them.
fn build(source: &str) -> Result<Regex, regex::Error> {
    let with_unicode = |on| {
        RegexBuilder::new(source)
            .unicode(on)
            .size_limit(MAX_COMPILED)
            .build()
    };
    with_unicode(false).or_else(|_| with_unicode(true))
}

impl Patterns {
    pub(super) fn contains(&self, source: &str) -> bool {
        self.by_source.contains_key(source)
    }

    /// Adds an expression, which matches nothing before the next [`Patterns::resolve`].
    pub(super) fn insert(&mut self, source: String, regex: Regex) {
        let topics = BTreeSet::new();
        self.by_source.insert(source, Pattern { regex, topics });
        self.topics_created = 0;
    }

    /// Keeps the expressions that somebody still subscribes to.
    pub(super) fn retain(&mut self, is_subscribed: impl Fn(&str) -> bool) {
        self.by_source.retain(|source, _| is_subscribed(source));
    }

    /// What the expression matched at the last look; nothing for the empty one, which means that there is none.
    pub(super) fn topics(&self, source: &str) -> impl Iterator<Item = &String> {
        self.by_source
            .get(source)
            .into_iter()
            .flat_map(|pattern| &pattern.topics)
    }

    /// Whether the expression matched the topic at the last look.
    pub(super) fn matches(&self, source: &str, topic: &str) -> bool {
        let pattern = self.by_source.get(source);
        pattern.is_some_and(|pattern| pattern.topics.contains(topic))
    }

    /// Whether there may be something new to match: an expression, or a topic.
    pub(super) fn are_due(&self, topics: &Topics) -> bool {
        !self.by_source.is_empty() && self.topics_created != topics.created()
    }

    /// Matches all expressions against all topics. Returns whether one matches others than before.
    pub(super) fn resolve(&mut self, topics: &Topics) -> bool {
        self.topics_created = topics.created();
        let mut changed = false;
        for pattern in self.by_source.values_mut() {
            // That a topic is gone is noticed elsewhere.
            pattern.topics.retain(|name| topics.get(name).is_some());
            let matching: BTreeSet<String> = topics
                .iter()
                .map(|(name, _)| name)
                .filter(|name| pattern.regex.is_match(name.as_bytes()))
                .map(str::to_owned)
                .collect();
            changed |= matching != pattern.topics;
            pattern.topics = matching;
        }
        changed
    }
}
