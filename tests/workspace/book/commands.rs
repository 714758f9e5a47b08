//! Commands that a reader types: the targets of make and the arguments of cargo that they name.

use std::sync::LazyLock;

use regex::Regex;
use workspace_tests::{Target, targets};

use crate::book::{Book, Complaint};

static TARGETS: LazyLock<Vec<Target>> = LazyLock::new(targets);

static QUOTED: LazyLock<Regex> = LazyLock::new(|| Regex::new("\"[^\"]*\"").unwrap());

/// Those that have a default member of the workspace for a package: cargo finds them without its name.
const ROOT: &str = "kafka-event-streaming";

pub(crate) fn complaints(book: &Book) -> Vec<Complaint> {
    let makefile = book
        .read("Makefile")
        .expect("the repository has a Makefile");
    let targets = make_targets(&makefile);
    let mut complaints = Vec::new();
    for page in &book.pages {
        let in_text = page.code.iter().map(|span| (span.line, span.text.as_str()));
        let in_blocks = page
            .fences
            .iter()
            .filter(|fence| fence.info == "sh")
            .flat_map(|fence| {
                let lines = fence.body.lines().enumerate();
                lines.map(|(index, text)| (fence.line + 1 + index, text))
            });
        for (line, command) in in_text.chain(in_blocks) {
            let wrong = look(&targets, command);
            complaints.extend(wrong.map(|wrong| page.complain(line, wrong)));
        }
    }
    complaints
}

/// The names in front of the colons; `example-%` for a family.
fn make_targets(makefile: &str) -> Vec<String> {
    let heads = makefile.lines().filter_map(|line| line.split_once(':'));
    heads
        .map(|(name, _)| name.to_owned())
        .filter(|name| {
            name.chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-%".contains(c))
        })
        .collect()
}

/// What is wrong with a command.
fn look(targets: &[String], command: &str) -> Option<String> {
    // A comment ends it; what is in quotes belongs to a variable; variables may stand in front.
    let command = command.split(" #").next().unwrap_or_default();
    let command = QUOTED.replace_all(command, "");
    let words: Vec<&str> = command
        .split_whitespace()
        .skip_while(|word| {
            word.contains('=') && word.starts_with(|first: char| first.is_ascii_uppercase())
        })
        .collect();
    match words.as_slice() {
        ["make", rest @ ..] => rest
            .iter()
            .filter(|word| !word.contains('=') && !word.starts_with('-'))
            .find(|target| !is_target(targets, target))
            .map(|target| format!("there is no make {target}")),
        ["cargo", "run" | "test" | "build" | "bench", rest @ ..] => look_at_cargo(rest),
        _ => None,
    }
}

/// `example-1` is one of the family `example-%`, and so is `example-N` in a sentence about all of them.
fn is_target(targets: &[String], name: &str) -> bool {
    let of_family = |family: &str| {
        name.strip_prefix(family).is_some_and(|rest| {
            rest == "N" || rest.starts_with(|first: char| first.is_ascii_digit())
        })
    };
    targets
        .iter()
        .any(|target| target == name || target.strip_suffix('%').is_some_and(of_family))
}

fn look_at_cargo(words: &[&str]) -> Option<String> {
    // What follows belongs to the program.
    let end = words
        .iter()
        .position(|word| *word == "--")
        .unwrap_or(words.len());
    let words = &words[..end];
    let value = |names: &[&str]| {
        let place = words.iter().position(|word| names.contains(word))?;
        words.get(place + 1).copied()
    };
    let package = value(&["-p", "--package"]);
    if let Some(package) = package
        && !TARGETS.iter().any(|target| target.package == package)
    {
        return Some(format!("there is no package {package}"));
    }
    for (option, kind) in [
        ("--example", "example"),
        ("--bin", "bin"),
        ("--test", "test"),
    ] {
        let Some(name) = value(&[option]) else {
            continue;
        };
        let found = TARGETS.iter().find(|target| {
            let named = package.is_some_and(|package| package == target.package);
            let found_without =
                package.is_none() && [ROOT, "exercises", "solutions"].contains(&&*target.package);
            (named || found_without) && target.kind == kind && target.name == name
        });
        let Some(target) = found else {
            return Some(format!("there is no {kind} {name} there"));
        };
        if !has_features(target, value(&["-F", "--features"])) {
            let features = target.features.join(",");
            return Some(format!(
                "{kind} {name} is only built with --features {features}"
            ));
        }
    }
    None
}

/// Whether a command names the features that a target needs, as `sqlite` or as `kafka-event-streaming/sqlite`.
fn has_features(target: &Target, named: Option<&str>) -> bool {
    let named: Vec<&str> = named.unwrap_or_default().split(',').collect();
    target.features.iter().all(|feature| {
        let with_package = format!("{}/{feature}", target.package);
        named
            .iter()
            .any(|name| name == feature || *name == with_package)
    })
}

#[cfg(test)]
mod tests {
    use super::complaints;
    use crate::fixture::{Fixture, complains};

    #[test]
    fn commands_that_exist_are_left_alone() {
        let fixture = Fixture::sound()
            .add("`make example-1 ARGS=\"--records 3\"`, `make exercise-N`, make sure.")
            .add("```sh\nINFRA_PORT=1 make book # builds\ncargo test --test library\ncargo run -p embedded-broker -- --bin x\n```")
            .add("`cargo test --features avro --test avro`, `cargo test -p embedded-broker --features embedded-broker/sasl,tls --test security`");
        assert!(complaints(&fixture.book()).is_empty());
    }

    #[test]
    fn commands_that_do_not_exist_are_noticed() {
        for (command, says) in [
            ("`make nothing`", "no make nothing"),
            ("`make example-x`", "no make example-x"),
            ("```sh\nmake book\nmake books\n```", "no make books"),
            ("```sh\ncargo test --test none\n```", "no test none"),
            (
                "```sh\ncargo run --example 99_none\n```",
                "no example 99_none",
            ),
            ("`cargo test -p none`", "no package none"),
            (
                "`cargo test -p embedded-broker --test library`",
                "no test library there",
            ),
            ("`cargo test --bin 99z_none`", "no bin 99z_none"),
            ("`cargo test --test avro`", "with --features avro"),
            (
                "`cargo test -p embedded-broker --features tls --test security`",
                "with --features sasl,tls",
            ),
        ] {
            complains(&complaints(&Fixture::sound().add(command).book()), says);
        }
    }
}
