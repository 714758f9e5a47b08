//! Whether two outputs are the same but for what varies from run to run.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use regex::Regex;

/// How exact a comparison is.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Manner {
    pub(super) any_order: bool,
    pub(super) numbers_vary: bool,
    pub(super) names_vary: bool,
}

/// A line that stands for any lines.
const ELISION: &str = "...";

/// What varies wherever it stands: patterns, and what is put in their place.
static VARYING: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
    [
        (r"\x1b\[[0-9;]*m", ""),
        (r"\S*infra/\d+/broker\.log", "target/infra/PORT/broker.log"),
        (r"(localhost|127\.0\.0\.1):\d+", "$1:PORT"),
        (r"(Starting the embedded broker): .*", "$1: REASON"),
        (r"-[0-9a-f]{8}\b", "-RANDOM"),
        (r"\bprocess \d+", "process N"),
        // The ids of traces and spans, and bars.
        (r"\b[0-9a-f]{32}\b", "TRACE"),
        (r"\b[0-9a-f]{16}\b", "SPAN"),
        (r" *■+", ""),
        (r"\d{4}-\d\d-\d\dT[0-9:.]+Z", "TIME"),
        // Blanks in front fill a column.
        (r" *\b\d+(\.\d+)? ?(ns|µs|ms|s)\b", " DURATION"),
        (r"thread '([^']+)' \(\d+\)", "thread '$1'"),
        (r"\.rs:\d+:\d+", ".rs:LINE"),
    ]
    .map(|(pattern, replacement)| (Regex::new(pattern).unwrap(), replacement))
    .into()
});

/// What cargo says of its own work depends on what was built before.
static OF_CARGO: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^\s*(Compiling|Finished|Running|Blocking|Building|Downloading|Downloaded|Locking|Updating|Adding)\b").unwrap()
});

/// What the compiler warns of is another test's concern: a line, and those below it that are indented or numbered.
static WARNING: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"(?m)^warning: .+\n(?:[ \t\d.].*\n)*\n?").unwrap());

static NUMBER: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r" *(?:\d[\d,._]*|DURATION)").unwrap());

static NAME: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\b[A-Z]\b").unwrap());

/// How the printed text differs from the shown one. None if it does not.
pub(super) fn difference(shown: &str, printed: &str, manner: Manner) -> Option<String> {
    let (expected, found) = (lines(shown, manner), lines(printed, manner));
    let same = if manner.any_order {
        same_in_any_order(&expected, &found)
    } else {
        same_in_order(&expected, &found)
    };
    (!same).then(|| {
        format!(
            "\n{}\n--- instead of ---\n{}",
            found.join("\n"),
            expected.join("\n")
        )
    })
}

fn lines(text: &str, manner: Manner) -> Vec<String> {
    WARNING
        .replace_all(text, "")
        .trim()
        .lines()
        .filter(|line| !OF_CARGO.is_match(line))
        .map(|line| {
            let mut line = line.trim_end().to_owned();
            for (varying, replacement) in VARYING.iter() {
                line = varying.replace_all(&line, *replacement).into_owned();
            }
            if manner.numbers_vary {
                line = NUMBER.replace_all(&line, " N").into_owned();
            }
            if manner.names_vary {
                line = NAME.replace_all(&line, "X").into_owned();
            }
            line
        })
        .collect()
}

/// As with a pattern of file names: the pieces between elisions follow one another.
fn same_in_order(expected: &[String], found: &[String]) -> bool {
    match expected.split_first() {
        None => found.is_empty(),
        Some((first, rest)) if first == ELISION => {
            (0..=found.len()).any(|skipped| same_in_order(rest, &found[skipped..]))
        }
        Some((first, rest)) => {
            found.first().is_some_and(|line| line == first) && same_in_order(rest, &found[1..])
        }
    }
}

fn same_in_any_order(expected: &[String], found: &[String]) -> bool {
    let count = |lines: &[String]| {
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for line in lines.iter().filter(|line| *line != ELISION) {
            *counts.entry(line.clone()).or_default() += 1;
        }
        counts
    };
    let (wanted, there) = (count(expected), count(found));
    if expected.iter().any(|line| line == ELISION) {
        wanted
            .iter()
            .all(|(line, count)| there.get(line) >= Some(count))
    } else {
        wanted == there
    }
}

#[test]
fn what_varies_is_the_same() {
    let exact = Manner::default();
    for (shown, printed) in [
        (
            "on localhost:19092 (process 7)",
            "on localhost:23456 (process 40127)",
        ),
        ("topic example-01-3f9a1c7e", "topic example-01-00000000"),
        (
            "log target/infra/9092/broker.log",
            "log /x/y/infra/20001/broker.log",
        ),
        ("in 2.41s", "in 10 ms"),
        ("a65e284087dc0a7e ■■", "9d47ca1c140c9224 ■■■■"),
        (
            "grep 0bce820e940f01c6dd080f50fd03c1e0 x.log",
            "grep d524737de266a79a0b0420dea5fb4da2 x.log",
        ),
        ("took  98.4 ms", "took 100.2 ms"),
        ("ready", "   Compiling x v0.1.0\nready"),
        (
            "ready",
            "warning: unused\n --> a.rs:1:2\n...\n9 | fn a\n\nwarning: 1 warning\nready",
        ),
        ("panicked at a.rs:1:2", "panicked at a.rs:30:12"),
        ("a\n...\nd", "a\nb\nc\nd"),
        ("...\nd", "d"),
    ] {
        assert_eq!(difference(shown, printed, exact), None);
    }
}

#[test]
fn what_does_not_vary_is_not() {
    let exact = Manner::default();
    for (shown, printed) in [
        ("sent 10", "sent 9"),
        ("a\nb", "b\na"),
        ("a\n...\nd", "a\nb\nc"),
        ("a", "a\nb"),
        ("a", ""),
    ] {
        assert!(
            difference(shown, printed, exact).is_some(),
            "{shown:?} {printed:?}"
        );
    }
    let any_order = Manner {
        any_order: true,
        ..exact
    };
    assert!(difference("a\na\nb", "a\nb\nb", any_order).is_some());
    assert!(difference("a\nb\n...", "c\nb\na", any_order).is_none());
    let numbers_vary = Manner {
        numbers_vary: true,
        ..exact
    };
    assert!(difference("sent 10 in all", "sent 10,000 in all", numbers_vary).is_none());
    assert!(difference("sent 10", "lost 10", numbers_vary).is_some());
    assert!(difference("a   7.5 ms  b", "a  17.5 ms  b", numbers_vary).is_none());
    let names_vary = Manner {
        names_vary: true,
        ..exact
    };
    assert!(difference("p0 A", "p0 D", names_vary).is_none());
    assert!(difference("A joins", "A leaves", names_vary).is_some());
    assert!(difference("p0 A", "p0 -", names_vary).is_some());
}
