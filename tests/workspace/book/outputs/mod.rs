//! Outputs that a page shows, compared with what the commands print.
//!
//! ````text
//! <!-- output of `make example-1` (any order) -->
//! ```text
//! sent 10, received 10, lost 0
//! ```
//! ````
//!
//! The commands of a page are run in the order of the page, as a reader would, on a port of their own where nothing runs
//! at first. `<!-- run first: `make infra-up` -->` runs one whose output is not shown. In the brackets, separated by
//! commas:
//!
//! - `any order`: records of several partitions arrive in one order or another
//! - `numbers vary`: measured, so any number will do
//! - `names vary`: which of several members it is, each a capital letter, differs from run to run
//! - `fails`: the command is shown because it fails
//!
//! A line with nothing but `...` stands for any lines.

mod compare;
mod session;

use std::sync::LazyLock;

use regex::Regex;
use workspace_tests::{can_build_tls, is_begun, names};

use crate::book::{Book, Complaint, Fence, Page};
use compare::{Manner, difference};
use session::Session;

static SHOWN: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^output of `([^`]+)`(?: \(([a-z, ]+)\))?$").unwrap());

static RUN_FIRST: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"<!-- run first: `([^`]+)` -->").unwrap());

/// A command whose output is shown.
pub(crate) struct Shown {
    command: String,
    manner: Manner,
    fails: bool,
}

impl Shown {
    /// What the comment above a block says. None if it says nothing of the kind.
    pub(crate) fn of(fence: &Fence) -> Option<Self> {
        let found = SHOWN.captures(fence.comment.as_deref()?)?;
        let mut shown = Self {
            command: found[1].to_owned(),
            manner: Manner::default(),
            fails: false,
        };
        let words = found.get(2).map_or("", |words| words.as_str());
        for word in words.split(", ").filter(|word| !word.is_empty()) {
            match word {
                "any order" => shown.manner.any_order = true,
                "numbers vary" => shown.manner.numbers_vary = true,
                "names vary" => shown.manner.names_vary = true,
                "fails" => shown.fails = true,
                _ => return None,
            }
        }
        Some(shown)
    }
}

/// What a reader does at one place of a page.
enum Step<'a> {
    Run(String),
    Compare(Shown, &'a Fence),
}

impl Step<'_> {
    fn command(&self) -> &str {
        match self {
            Self::Run(command) => command,
            Self::Compare(shown, _) => &shown.command,
        }
    }
}

/// Whether a command builds something with the feature `tls`, for which OpenSSL's headers have to be there, or looks at what
/// that left behind.
fn needs_openssl(command: &str) -> bool {
    let mut words = command.split([' ', ',']);
    let of_example = ["make example-9", "target/example-09-"];
    of_example.iter().any(|words| command.contains(words)) || words.any(|word| word == "tls")
}

pub(crate) fn complaints(book: &Book) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for page in &book.pages {
        let steps = steps(page);
        if steps.is_empty() {
            continue;
        }
        let session = Session::new(&book.root);
        for (line, step) in steps {
            if needs_openssl(step.command()) && !can_build_tls() {
                eprintln!("skipped, for want of OpenSSL: {}", step.command());
                continue;
            }
            let wrong = match step {
                Step::Run(command) => session.run(&command).succeeded(),
                Step::Compare(shown, _) if is_changed_by_the_reader(&shown.command) => {
                    eprintln!("skipped, because you have begun with it: {}", shown.command);
                    None
                }
                Step::Compare(shown, fence) => look(page, &session, &shown, fence),
            };
            complaints.extend(wrong.map(|wrong| page.complain(line, wrong)));
        }
    }
    complaints
}

/// In the order of the page.
fn steps(page: &Page) -> Vec<(usize, Step<'_>)> {
    let mut steps: Vec<(usize, Step<'_>)> = Vec::new();
    for found in RUN_FIRST.captures_iter(&page.text) {
        let line = page.text[..found.get(0).unwrap().start()]
            .matches('\n')
            .count()
            + 1;
        steps.push((line, Step::Run(found[1].to_owned())));
    }
    for fence in &page.fences {
        steps.extend(Shown::of(fence).map(|shown| (fence.line, Step::Compare(shown, fence))));
    }
    steps.sort_by_key(|(line, _)| *line);
    steps
}

/// What is wrong with an output that is shown.
fn look(page: &Page, session: &Session, shown: &Shown, fence: &Fence) -> Option<String> {
    let told = page.fences.iter().any(|other| {
        let mut commands = other
            .body
            .lines()
            .map(|line| line.split(" #").next().unwrap_or_default().trim());
        other.info == "sh"
            && other.line < fence.line
            && commands.any(|command| command == shown.command)
    });
    if !told {
        return Some(format!(
            "no block above tells the reader to type {}",
            shown.command
        ));
    }
    let printed = session.run(&shown.command);
    if printed.success == shown.fails {
        let word = if shown.fails {
            "does not fail"
        } else {
            "fails"
        };
        return Some(format!("{} {word}:\n{}", shown.command, printed.text));
    }
    difference(&fence.body, &printed.text, shown.manner)
        .map(|difference| format!("{} prints something else: {difference}", shown.command))
}

/// Whether the command is about an exercise that a reader has begun, whose check then prints something else.
fn is_changed_by_the_reader(command: &str) -> bool {
    let begun = |wanted: &str| {
        names("exercises", ".rs").iter().any(|name| {
            let number = name
                .split('_')
                .next()
                .unwrap_or_default()
                .trim_start_matches('0');
            number.starts_with(wanted) && is_begun(name)
        })
    };
    match command.strip_prefix("make exercise") {
        Some("s") => begun(""),
        Some(number) => begun(number.trim_start_matches('-')),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::complaints;
    use crate::fixture::{Fixture, complains};

    fn shown(command: &str, words: &str, output: &str) -> String {
        format!(
            "```sh\n{command}\n```\n\n<!-- output of `{command}`{words} -->\n```text\n{output}\n```"
        )
    }

    #[test]
    fn what_a_command_prints_is_left_alone() {
        let fixture = Fixture::sound()
            .add("<!-- run first: `echo one > file` -->")
            .add(&shown("cat file; echo two >&2", "", "one\ntwo"))
            .add(&shown("seq 9", "", "1\n...\n9"))
            .add(&shown("printf '2\\n1\\n'", " (any order)", "1\n2"))
            .add(&shown("echo B leaves", " (names vary)", "C leaves"))
            .add(&shown(
                "echo took 17 ms; false",
                " (numbers vary, fails)",
                "took 4 ms",
            ));
        let complaints: Vec<String> = complaints(&fixture.book())
            .iter()
            .map(ToString::to_string)
            .collect();
        assert!(complaints.is_empty(), "{complaints:#?}");
    }

    #[test]
    fn what_needs_openssl_is_known() {
        for (command, needs) in [
            ("make example-9", true),
            ("make example-1", false),
            ("cat target/example-09-*/orders.log", true),
            ("cargo run -p book-mistakes --features tls --bin x", true),
            ("cargo run --features observability,tls --example x", true),
            ("cargo run --bin 09_tls", false),
        ] {
            assert_eq!(super::needs_openssl(command), needs, "{command}");
        }
    }

    #[test]
    fn what_a_command_does_not_print_is_noticed() {
        for (block, says) in [
            (shown("echo one", "", "two"), "prints something else"),
            (
                shown("echo one; echo two", "", "one"),
                "prints something else",
            ),
            (shown("echo one", "", "one\ntwo"), "prints something else"),
            (shown("echo took 17", "", "took 4"), "prints something else"),
            (shown("echo one; false", "", "one"), "echo one; false fails"),
            (shown("echo one", " (fails)", "one"), "does not fail"),
            (
                "<!-- output of `echo one` -->\n```text\none\n```".to_owned(),
                "tells the reader to type",
            ),
            ("<!-- run first: `exit 3` -->".to_owned(), "exit 3 fails"),
        ] {
            complains(&complaints(&Fixture::sound().add(&block).book()), says);
        }
    }
}
