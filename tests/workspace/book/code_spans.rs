//! Files and tests that are named within a sentence.

use regex::Regex;

use crate::book::{Book, Complaint};

/// Names with these endings are files wherever they stand.
const ENDINGS: [&str; 7] = [".rs", ".md", ".sh", ".toml", ".yml", ".css", ".pem"];

/// Made by a command, so not there before it was run; or a file of a reader's own.
const NOT_OURS: [&str; 4] = ["target/", "certs/", "build.rs", "main.rs"];

pub(crate) fn complaints(book: &Book) -> Vec<Complaint> {
    // `src/topics.rs`, or `tests/library.rs::name_of_a_test`.
    let path = Regex::new(r"^([A-Za-z0-9_.-]+(?:/[A-Za-z0-9_.-]+)*/?)(?:::(\w+))?$").unwrap();
    let mut complaints = Vec::new();
    for page in &book.pages {
        for span in &page.code {
            let Some(found) = path.captures(&span.text) else {
                continue;
            };
            let file = &found[1];
            let first = file.split('/').next().unwrap_or_default();
            let in_repository = file.contains('/') && book.root.join(first).is_dir();
            let is_file = ENDINGS
                .iter()
                .any(|ending| file.ends_with(ending) && file.len() > ending.len());
            if !(in_repository || is_file) || NOT_OURS.iter().any(|other| file.starts_with(other)) {
                continue;
            }
            if !book.root.join(file).exists() {
                complaints.push(page.complain(span.line, format!("there is no {file}")));
            } else if let Some(function) = found.get(2) {
                let text = book.read(file).unwrap_or_default();
                if !text.contains(&format!("fn {}(", function.as_str())) {
                    let what = format!("{file} has no function {}", function.as_str());
                    complaints.push(page.complain(span.line, what));
                }
            }
        }
    }
    complaints
}

#[cfg(test)]
mod tests {
    use super::complaints;
    use crate::fixture::{Fixture, complains};

    #[test]
    fn what_exists_or_is_no_file_is_left_alone() {
        let fixture = Fixture::sound().add(
            "`examples/`, `examples/01_first.rs::main`, `Makefile`, `and/or`, `group.id`, `target/book`, `Broker::builder`",
        );
        assert!(complaints(&fixture.book()).is_empty());
    }

    #[test]
    fn files_and_tests_that_are_not_there_are_noticed() {
        for (span, says) in [
            ("`examples/02_second.rs`", "no examples/02_second.rs"),
            ("`examples/other`", "no examples/other"),
            ("`scripts/none.sh`", "no scripts/none.sh"),
            ("`none.toml`", "no none.toml"),
            ("`examples/01_first.rs::other`", "no function other"),
        ] {
            complains(&complaints(&Fixture::sound().add(span).book()), says);
        }
    }
}
