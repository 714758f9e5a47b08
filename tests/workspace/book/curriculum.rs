//! Chapters, examples and exercises: the number holds them together, and each leads to the others.

use std::collections::BTreeSet;

use regex::Regex;
use workspace_tests::names as names_in;

use crate::book::{Book, Complaint, Page, heading_id};

/// Chapters with an example of their own.
pub(crate) const LESSONS: std::ops::RangeInclusive<u32> = 1..=10;

/// The sections of every lesson, in order. Others may stand between them.
const SECTIONS: [&str; 9] = [
    "what-you-can-do-afterwards",
    "the-idea",
    "predict",
    "the-example",
    "run-it",
    "common-mistakes",
    "exercises",
    "questions",
    "where-it-is-documented",
];

pub(crate) fn complaints(book: &Book) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    let is_lesson = |page: &&Page| {
        page.number()
            .is_some_and(|number| LESSONS.contains(&number))
    };
    for page in book.pages.iter().filter(is_lesson) {
        complaints.extend(look_at_lesson(page));
    }
    complaints.extend(look_at_references(book));
    for (folder, kind) in [("examples", "example"), ("exercises", "exercise")] {
        if !book.root.join(folder).exists() {
            continue;
        }
        // An absolute path stays itself when it is joined to the repository's.
        for name in names_in(&book.root.join(folder).to_string_lossy(), ".rs") {
            complaints.extend(look_at_program(book, folder, kind, &name));
        }
    }
    complaints
}

/// The skeleton of a lesson, and its picture.
fn look_at_lesson(page: &Page) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    let mut place = 0;
    for section in SECTIONS {
        match page.anchors.iter().skip(place).position(|id| id == section) {
            Some(found) => place += found + 1,
            None => complaints.push(page.complain(
                1,
                format!("the section {section} is missing, or not in its place"),
            )),
        }
    }
    if !page
        .fences
        .iter()
        .any(|fence| fence.info.starts_with("diagram "))
    {
        complaints.push(page.complain(1, "this lesson has no diagram"));
    }
    if !page.text.contains("<details>") {
        complaints.push(page.complain(1, "the questions have no folded answers"));
    }
    complaints
}

/// Sections that a learner is sent to, by a stub, a hint or a check: they have to be there. And each check has to send to its
/// chapter: it says which idea is missing, and the chapter explains it.
fn look_at_references(book: &Book) -> Vec<Complaint> {
    let mut files = vec!["info.toml".to_owned()];
    for folder in ["exercises", "tests/checks"] {
        if book.root.join(folder).exists() {
            let names = names_in(&book.root.join(folder).to_string_lossy(), ".rs");
            files.extend(names.iter().map(|name| format!("{folder}/{name}.rs")));
        }
    }
    let mut complaints = Vec::new();
    for file in files {
        let sections = sections_in(&book.read(&file).unwrap_or_default());
        for (lesson, section) in &sections {
            let page = book
                .pages
                .iter()
                .find(|page| page.number() == Some(*lesson));
            if page.is_none_or(|page| !page.anchors.contains(&heading_id(section))) {
                let what = format!("the chapter has no section {section:?}");
                complaints.push(Complaint::new(file.as_str(), 1, what));
            }
        }
        if let Some(name) = file.strip_prefix("tests/checks/") {
            let own = name.split_once('_').and_then(|(number, _)| lesson(number));
            if !sections.iter().any(|(lesson, _)| Some(*lesson) == own) {
                let what = "it sends nobody to a section of its chapter";
                complaints.push(Complaint::new(file.as_str(), 1, what));
            }
        }
    }
    complaints
}

/// `Chapter 3, 'Commit after the work'`, wherever a source or a hint says so.
fn sections_in(text: &str) -> BTreeSet<(u32, String)> {
    let reference = Regex::new(r"Chapter (\d+), '([^']+)'").unwrap();
    // A text that goes on in the next line of the source.
    let continued = Regex::new(r"\\\n\s*").unwrap();
    let text = continued.replace_all(text, "");
    let found = reference.captures_iter(&text);
    found
        .filter_map(|found| Some((found[1].parse().ok()?, found[2].to_owned())))
        .collect()
}

/// 3 for `03b`.
fn lesson(number: &str) -> Option<u32> {
    let letter = |letter: char| letter.is_ascii_lowercase();
    number.trim_end_matches(letter).parse().ok()
}

/// A program and its chapter name each other.
fn look_at_program(book: &Book, folder: &str, kind: &str, name: &str) -> Option<Complaint> {
    let file = format!("{folder}/{name}.rs");
    let number = name.split_once('_')?.0;
    let lesson = lesson(number)?;
    let Some(page) = book.pages.iter().find(|page| page.number() == Some(lesson)) else {
        let what = format!("there is no chapter {lesson} for it");
        return Some(Complaint::new(file, 1, what));
    };
    let command = format!("make {kind}-{}", number.trim_start_matches('0'));
    for needed in [file.as_str(), &command] {
        let is_there = |text: &str| {
            text.split_once(needed)
                .is_some_and(|(_, rest)| !rest.starts_with(char::is_alphanumeric))
        };
        if !is_there(&page.text) {
            return Some(page.complain(1, format!("it does not name {needed}")));
        }
    }
    // Red comes first, and a learner has to see that it is right.
    let expected = format!("output of `{command}` (");
    let is_shown = |comment: &str| comment.starts_with(&expected) && comment.contains("fails");
    let mut comments = page
        .fences
        .iter()
        .filter_map(|fence| fence.comment.as_deref());
    if kind == "exercise" && !comments.any(is_shown) {
        return Some(page.complain(1, format!("it does not show how {command} fails")));
    }
    let back = format!("book/src/{}", page.name);
    let program = book.read(&file)?;
    (!program.contains(&back))
        .then(|| Complaint::new(file, 1, format!("it does not name its chapter, {back}")))
}

#[cfg(test)]
mod tests {
    use super::complaints;
    use crate::fixture::{Fixture, complains};

    const PAGE: &str = "book/src/01_first.md";

    #[test]
    fn a_lesson_and_its_programs_that_name_each_other_are_left_alone() {
        assert!(complaints(&Fixture::sound().book()).is_empty());
    }

    #[test]
    fn a_program_that_its_chapter_does_not_reach_is_noticed() {
        for (from, to, says) in [
            (
                "`examples/01_first.rs`",
                "the one",
                "not name examples/01_first.rs",
            ),
            ("make example-1", "make book", "not name make example-1"),
            (
                "`exercises/01a_first.rs`",
                "it",
                "not name exercises/01a_first.rs",
            ),
            (
                "make exercise-1a",
                "make exercise-1ab",
                "not name make exercise-1a",
            ),
            (
                "`make exercise-1a` (fails)",
                "`make exercise-1a`",
                "not show how make exercise-1a fails",
            ),
        ] {
            let fixture = Fixture::sound().replace(PAGE, "../../examples/01_first.rs", "x");
            complains(&complaints(&fixture.replace(PAGE, from, to).book()), says);
        }
    }

    #[test]
    fn a_program_that_does_not_lead_back_is_noticed() {
        for file in ["examples/01_first.rs", "exercises/01a_first.rs"] {
            let fixture = Fixture::sound().replace(file, "book/src/01_first.md", "the book");
            complains(&complaints(&fixture.book()), "does not name its chapter");
        }
    }

    #[test]
    fn a_check_that_sends_its_learner_nowhere_is_noticed() {
        let fixture = Fixture::sound();
        let check = |section: &str| {
            let text = format!("\"Read on. Chapter 1, \\\n     '{section}'.\"");
            fixture.write("tests/checks/01a_first.rs", &text);
        };
        check("Run it");
        assert!(complaints(&fixture.book()).is_empty());
        check("Walk it");
        complains(&complaints(&fixture.book()), "no section \"Walk it\"");
        fixture.write("tests/checks/01a_first.rs", "\"This is wrong.\"");
        complains(&complaints(&fixture.book()), "sends nobody");
    }

    #[test]
    fn a_hint_and_a_stub_that_send_their_learner_nowhere_are_noticed() {
        for file in ["info.toml", "exercises/01a_first.rs"] {
            let text = "book/src/01_first.md. Chapter 1, 'Walk it'.";
            let fixture = Fixture::sound();
            fixture.write(file, text);
            complains(&complaints(&fixture.book()), "no section \"Walk it\"");
        }
    }

    #[test]
    fn a_program_without_a_chapter_is_noticed() {
        let fixture = Fixture::sound();
        fixture.write("examples/02_second.rs", "//! Example 2.\n");
        complains(&complaints(&fixture.book()), "no chapter 2");
    }

    #[test]
    fn a_lesson_without_a_section_a_picture_or_answers_is_noticed() {
        for (from, to, says) in [
            ("## Predict", "## Guess", "the section predict"),
            ("```diagram An arrow\n──▶\n```", "", "no diagram"),
            ("<details>", "", "folded answers"),
        ] {
            complains(
                &complaints(&Fixture::sound().replace(PAGE, from, to).book()),
                says,
            );
        }
        let swapped = Fixture::sound()
            .replace(PAGE, "## Predict", "## X")
            .replace(PAGE, "## Run it", "## Run it\n\n## Predict");
        assert!(!complaints(&swapped.book()).is_empty());
    }
}
