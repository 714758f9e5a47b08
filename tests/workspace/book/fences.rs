//! Blocks of code: compiled because they are included, drawn, run, or with a reason why not.

use crate::book::{Book, Complaint, Fence};
use crate::includes::{self, INCLUDE};
use crate::outputs::Shown;

/// Blocks in other languages, which no tool of this repository can check.
const FOREIGN: [&str; 3] = ["python", "java", "properties"];

/// Blocks that hold a part of a file.
const FILES: [&str; 3] = ["toml", "yaml", "json"];

pub(crate) fn complaints(book: &Book) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for page in &book.pages {
        for fence in &page.fences {
            complaints.extend(look(fence).map(|wrong| page.complain(fence.line, wrong)));
        }
    }
    complaints
}

/// What is wrong with a block.
fn look(fence: &Fence) -> Option<String> {
    let (language, title) = fence.info.split_once(' ').unwrap_or((&fence.info, ""));
    match language {
        "rust" => (!is_one_include(fence, ".rs"))
            .then(|| "Rust is included from a file that is compiled".to_owned()),
        "diagram" => book_diagrams::draw(title, &fence.body)
            .err()
            .map(|error| error.to_string()),
        // The commands in it are looked at one by one.
        "sh" => None,
        "text" => (Shown::of(fence).is_none() && reason(fence, "not run").is_none())
            .then(|| "say of what command this is the output, or why it is not run".to_owned()),
        file if FILES.contains(&file) => (!is_one_include(fence, "")
            && reason(fence, "not included").is_none())
        .then(|| "include it from a file, or say why not".to_owned()),
        foreign if FOREIGN.contains(&foreign) => reason(fence, "not compiled")
            .is_none()
            .then(|| "say why this is not compiled".to_owned()),
        other => Some(format!("a block of {other:?} is not known")),
    }
}

fn is_one_include(fence: &Fence, suffix: &str) -> bool {
    let mut lines = fence.body.lines();
    let (Some(line), None) = (lines.next(), lines.next()) else {
        return false;
    };
    INCLUDE.captures(line).is_some_and(|found| {
        let [_, include] = found.extract().1;
        found.get(0).unwrap().as_str() == line && includes::target(include).0.ends_with(suffix)
    })
}

/// `<!-- not run: the reason -->`
fn reason<'a>(fence: &'a Fence, word: &str) -> Option<&'a str> {
    let reason = fence.comment.as_deref()?.strip_prefix(word)?;
    let reason = reason.strip_prefix(':')?.trim();
    (!reason.is_empty()).then_some(reason)
}

#[cfg(test)]
mod tests {
    use super::complaints;
    use crate::fixture::{Fixture, complains};

    #[test]
    fn blocks_that_are_included_drawn_or_explained_are_left_alone() {
        let fixture = Fixture::sound()
            .add("<!-- not run: it needs an account -->\n```text\nhello\n```")
            .add("<!-- output of `make book` -->\n```text\nhello\n```")
            .add("<!-- not compiled: a Java client -->\n```java\nint a;\n```")
            .add(
                "<!-- not included: a fragment of another project's file -->\n```toml\na = 1\n```",
            );
        assert!(complaints(&fixture.book()).is_empty());
    }

    #[test]
    fn code_that_nobody_checks_is_noticed() {
        for (block, says) in [
            ("```rust\nfn a() {}\n```", "is included from a file"),
            (
                "```rust\n{{#include ../../Makefile}}\n```",
                "is included from a file",
            ),
            (
                "```rust\n{{#include ../../a.rs}}\nfn b() {}\n```",
                "is included from a file",
            ),
            ("```text\nhello\n```", "of what command"),
            ("<!-- not run: -->\n```text\nhello\n```", "of what command"),
            ("```java\nint a;\n```", "why this is not compiled"),
            ("```toml\na = 1\n```", "include it"),
            ("```\nhello\n```", "a block of \"\""),
            ("```ruby\nhello\n```", "a block of \"ruby\""),
            ("    indented\n", "a block of \"\""),
            ("```diagram\n──▶\n```", "no title"),
            ("```diagram Broken\n──┐\n```", "meets nothing"),
        ] {
            complains(&complaints(&Fixture::sound().add(block).book()), says);
        }
    }
}
