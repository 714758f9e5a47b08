//! Subscriptions by regular expression: the broker matches, so that all members see the same topics (KIP-848).

use std::collections::{BTreeMap, BTreeSet};

use kafka_protocol::error::ResponseError;
use regex::Regex;

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

/// Compiles what a member subscribes to; a topic's whole name has to match.
///
/// # Errors
/// INVALID_REGULAR_EXPRESSION, with what is wrong with it.
pub(super) fn compile(source: &str) -> Result<Regex, Rejected> {
    // By itself first: `a)(b` must not become valid by what is put around it.
    Regex::new(source)
        .and_then(|_| Regex::new(&format!("^(?:{source})$")))
        .map_err(|error| {
            // The crate draws the expression with a mark under the place; the last line says what is wrong.
            let description = error.to_string();
            let reason = description.lines().last().unwrap_or_default();
            let reason = reason.strip_prefix("error: ").unwrap_or(reason);
            Rejected::new(
                ResponseError::InvalidRegularExpression,
                format!(
                    "SubscribedTopicRegex `{source}` is not a valid regular expression: {reason}."
                ),
            )
        })
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
                .filter(|name| pattern.regex.is_match(name))
                .map(str::to_owned)
                .collect();
            changed |= matching != pattern.topics;
            pattern.topics = matching;
        }
        changed
    }
}
