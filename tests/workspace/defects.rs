//! Defects that a search can find, so that they stay out. Those that show only when a program runs have their tests next
//! to the program: `make rows`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends by a panic"
)]

use std::path::{Path, PathBuf};

use workspace_tests::{files, root};

/// Where learners and engineers copy from.
const COPIED: [&str; 4] = ["src", "examples", "exercises", "solutions"];

fn rust_in(folders: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for folder in folders {
        files(&root().join(folder), ".rs", &mut found);
    }
    assert!(!found.is_empty(), "nothing is found in {folders:?}");
    found
}

fn relative(path: &Path) -> &Path {
    path.strip_prefix(root()).unwrap()
}

/// The lines of a program that do something: neither comments nor its tests.
fn code(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap();
    let (program, _tests) = text.split_once("#[cfg(test)]\nmod ").unwrap_or((&text, ""));
    program
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .map(str::to_owned)
        .collect()
}

/// Where in the code of `folders` one of `needles` stands.
fn places(folders: &[&str], needles: &[&str]) -> Vec<String> {
    let mut places = Vec::new();
    for path in rust_in(folders) {
        for line in code(&path) {
            if needles.iter().any(|needle| line.contains(needle)) {
                places.push(format!("{}: {}", relative(&path).display(), line.trim()));
            }
        }
    }
    places
}

/// The search itself: it sees code, and neither comments nor tests.
#[test]
fn the_search_finds_what_is_there() {
    let found = places(&["src/order"], &["minor_units: i64"]);
    assert!(found.len() > 2, "{found:?}");
    let told = places(&["src/order"], &["0.30000000000000004"]);
    assert!(told.is_empty(), "{told:?}");
}

/// X11: there is no float where there is money, not even in between.
#[test]
fn orders_know_no_floats() {
    let floats = places(&["src/order"], &["f32", "f64"]);
    assert!(floats.is_empty(), "{floats:#?}");
}

/// S1-12, S3-07: the domain and its translation know no client, no clock and no file.
#[test]
fn orders_are_pure() {
    let impure = places(
        &["src/order"],
        &[
            "rdkafka",
            "tokio",
            "tracing",
            "Timestamp::now",
            "SystemTime",
            "Instant",
            "std::env",
            "std::fs",
            "std::io",
            "std::net",
        ],
    );
    assert!(impure.is_empty(), "{impure:#?}");
}

/// X3: names that Java's client knows and librdkafka refuses.
#[test]
fn no_property_is_javas() {
    let javas = places(&COPIED, &["\"max.poll.records\"", "\"fetch.max.wait.ms\""]);
    assert!(javas.is_empty(), "{javas:#?}");
}

/// X7: how many copies a topic has is decided in one place, which looks at the cluster.
#[test]
fn replication_is_decided_in_one_place() {
    let fixed = places(
        &COPIED,
        &["TopicReplication::Fixed(", "\"min.insync.replicas\""],
    );
    assert_eq!(fixed.len(), 2, "{fixed:#?}");
    for place in fixed {
        assert!(place.starts_with("src/topics/design.rs: "), "{place}");
    }
}

/// X17: nothing connects to ZooKeeper, asks for it or waits for its port. Comments may say that it is gone.
#[test]
fn nothing_needs_zookeeper() {
    let mut paths = vec![root().join("Makefile")];
    for suffix in [".rs", ".toml", ".sh", ".yml", ".yaml", ".properties"] {
        files(root(), suffix, &mut paths);
    }
    assert!(paths.len() > 50, "the search does not look everywhere");
    for path in paths {
        let name = relative(&path);
        // The tests that look for it.
        if name.starts_with("tests/workspace") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        for line in text.lines() {
            let is_comment = line.trim_start().starts_with(['#', '/']);
            let lower = line.to_lowercase();
            assert!(
                is_comment || !(lower.contains("zookeeper") || lower.contains(":2181")),
                "{}: {}",
                name.display(),
                line.trim()
            );
        }
    }
}

/// X17: pages that people follow name it in the book and in the table of requirements alone, where it is explained.
#[test]
fn only_the_book_speaks_of_zookeeper() {
    let mut pages = Vec::new();
    files(root(), ".md", &mut pages);
    assert!(
        pages.len() > 2,
        "the search does not look everywhere: {pages:?}"
    );
    for page in pages {
        let name = relative(&page);
        if name.starts_with("book") || name == Path::new("tests/requirements.md") {
            continue;
        }
        let text = std::fs::read_to_string(&page).unwrap().to_lowercase();
        assert!(
            !text.contains("zookeeper") && !text.contains(":2181"),
            "{} speaks of ZooKeeper",
            name.display()
        );
    }
}
