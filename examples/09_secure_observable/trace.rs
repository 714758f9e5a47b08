//! The logs of the services, as a person looks through them: one trace, in all files.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use jiff::Timestamp;
use serde_json::Value;

use crate::shop::SERVICES;

/// The widest that a line becomes.
const COLUMNS: usize = 78;

/// A line of a log.
struct Line {
    service: &'static str,
    time: Timestamp,
    /// All of it.
    json: Value,
}

impl Line {
    fn parse(service: &'static str, line: &str) -> Option<Self> {
        let json: Value = serde_json::from_str(line).ok()?;
        Some(Self {
            service,
            time: json["timestamp"].as_str()?.parse().ok()?,
            json,
        })
    }

    /// A field of the span in which it was written.
    fn of_span(&self, field: &str) -> &str {
        self.json["span"][field].as_str().unwrap_or_default()
    }
}

/// Prints the lines of all logs that belong to the trace of this order, and returns in how many logs there are some.
pub(crate) fn show(order: u64, folder: &Path) -> Result<usize> {
    let mut lines = Vec::new();
    for service in SERVICES {
        let log = fs::read_to_string(folder.join(format!("{service}.log")))?;
        lines.extend(log.lines().filter_map(|line| Line::parse(service, line)));
    }
    let placed = lines
        .iter()
        .find(|line| line.json["fields"]["order"] == order);
    let Some(placed) = placed else { return Ok(0) };
    let trace = placed.of_span("trace_id").to_owned();
    let begin = placed.time;
    lines.retain(|line| line.of_span("trace_id") == trace);
    lines.sort_by_key(|line| line.time);
    println!("\nOrder {order} in the logs of all three:");
    println!("grep {trace} {}/*.log\n", folder.display());
    println!("     after  service   span     span id           parent            says");
    for line in &lines {
        let after = line.time.duration_since(begin).as_secs_f64() * 1_000.0;
        let message = line.json["fields"]["message"].as_str();
        println!(
            "{after:>7.1} ms  {:<9} {:<8} {:<16}  {:<16}  {}",
            line.service,
            line.of_span("name"),
            line.of_span("span_id"),
            line.of_span("parent_id"),
            message.context("a line without a message")?,
        );
    }
    let services: BTreeSet<&str> = lines.iter().map(|line| line.service).collect();
    Ok(services.len())
}

/// What librdkafka says, without the address in front and the time behind.
pub(crate) fn brief(reason: &str) -> &str {
    let reason = reason
        .split_once("/bootstrap: ")
        .map_or(reason, |(_, what)| what);
    reason
        .split_once(" (after ")
        .map_or(reason, |(what, _)| what)
}

/// Prints `text` behind `label`, on as many lines as it takes.
pub(crate) fn print_wrapped(label: &str, text: &str) {
    let indent = label.chars().count();
    let mut line = label.to_owned();
    let mut is_empty = true;
    for word in text.split_whitespace() {
        if !is_empty && line.chars().count() + 1 + word.chars().count() > COLUMNS {
            println!("{line}");
            line = " ".repeat(indent);
            is_empty = true;
        }
        if !is_empty {
            line.push(' ');
        }
        line.push_str(word);
        is_empty = false;
    }
    println!("{line}");
}
