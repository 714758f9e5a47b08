//! The book cannot go stale. Each module looks at one thing that pages say, and complains where it is not so.
//!
//! `mdbook build` exits 0 on an include that is not there, on an empty anchor and on a dead link. These checks do not.
//! That they complain at all is tested on small books that are broken on purpose (`fixture`).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends by a panic"
)]

mod book;
mod code_spans;
mod commands;
mod curriculum;
mod fences;
mod fixture;
mod includes;
mod links;
mod outputs;
mod settings;
mod settings_table;
mod summary;
mod teaching;
mod versions;

use book::{Book, Complaint};
use workspace_tests::root;

fn the_book() -> Book {
    Book::load(root())
}

#[track_caller]
fn nothing_to_complain_of(complaints: &[Complaint]) {
    let lines: Vec<String> = complaints.iter().map(ToString::to_string).collect();
    assert!(lines.is_empty(), "\n{}\n", lines.join("\n"));
}

#[test]
fn summary_and_pages_agree() {
    nothing_to_complain_of(&summary::complaints(&the_book()));
}

#[test]
fn every_include_resolves_and_shows_whole_items() {
    nothing_to_complain_of(&includes::complaints(&the_book()));
}

#[test]
fn every_block_of_code_is_compiled_drawn_or_says_why_not() {
    nothing_to_complain_of(&fences::complaints(&the_book()));
}

#[test]
fn every_link_leads_somewhere() {
    nothing_to_complain_of(&links::complaints(&the_book()));
}

/// S4-20: each lesson has its chapter, with every section of one: the ideas, the example, the mistakes, the exercises.
#[test]
fn every_example_and_exercise_is_reached_from_its_chapter_and_back() {
    nothing_to_complain_of(&curriculum::complaints(&the_book()));
}

/// S4-29, S2-14, S3-11, S3-12: the pages that have to answer these do.
#[test]
fn what_has_to_be_answered_is() {
    let book = the_book();
    for (page, heading) in [
        ("appendix_c_questions.md", "how-do-i-start"),
        ("appendix_c_questions.md", "why-is-nothing-consumed"),
        ("appendix_c_questions.md", "how-do-i-keep-order"),
        ("appendix_c_questions.md", "how-do-i-handle-failure"),
        ("appendix_c_questions.md", "which-schema-practice"),
        ("12_to_production.md", "managed-kafka-and-amazon-msk"),
        ("03_consumer_groups.md", "what-a-group-remembers"),
        ("03_consumer_groups.md", "what-a-rebalance-takes-away"),
        ("03_consumer_groups.md", "where-a-group-begins"),
        (
            "06_retries_and_dead_letters.md",
            "what-can-fail-and-who-mends-it",
        ),
        ("13_troubles.md", "reset-a-group"),
    ] {
        let found = book.page(page).expect(page);
        assert!(
            found.anchors.iter().any(|id| id == heading),
            "{page} has no section {heading}"
        );
    }
    let msk = &book.page("12_to_production.md").unwrap().text;
    for needed in [
        "port 9094",
        "BootstrapBrokerStringTls",
        "The CA bundle",
        "IAM",
    ] {
        assert!(msk.contains(needed), "the notes on MSK do not say {needed}");
    }
    let offsets = &book.page("03_consumer_groups.md").unwrap().text;
    for needed in [
        "`__consumer_offsets`",
        "is the **lag**",
        "`offsets.retention.minutes`",
        "`auto.offset.reset`",
        "13_troubles.md#reset-a-group",
    ] {
        assert!(offsets.contains(needed), "chapter 3 does not say {needed}");
    }
}

#[test]
fn every_command_that_is_shown_exists() {
    nothing_to_complain_of(&commands::complaints(&the_book()));
}

/// S4-24, S4-25, S4-26, S4-27, X1, X2, X3, X4, X5, X6, X10, X13, X14, X15, X16: what is shown was printed, the
/// outcome of each mistake among it.
///
/// Each command is run, in the order of its page, against an embedded broker. `BOOK_PAGE=07` looks at one page alone, for
/// whoever writes it.
#[test]
fn every_output_that_is_shown_is_what_the_command_prints() {
    let mut book = the_book();
    if let Ok(page) = std::env::var("BOOK_PAGE") {
        book.pages.retain(|each| each.name.starts_with(&page));
        assert!(!book.pages.is_empty(), "no page begins with {page}");
    }
    nothing_to_complain_of(&outputs::complaints(&book));
}

#[test]
fn the_teaching_plans_add_up() {
    nothing_to_complain_of(&teaching::complaints(&the_book()));
}

#[test]
fn every_file_that_is_named_exists() {
    nothing_to_complain_of(&code_spans::complaints(&the_book()));
}

#[tokio::test]
async fn every_setting_that_is_named_exists() {
    let known = settings::Known::ask().await;
    nothing_to_complain_of(&settings::complaints(&the_book(), &known));
}

/// S2-07, X3: the table of settings is that of the code, complete, with librdkafka's own defaults.
#[test]
fn the_table_of_settings_is_that_of_the_code() {
    nothing_to_complain_of(&settings_table::complaints(&the_book()));
}

#[test]
fn versions_and_ports_are_those_of_the_code() {
    nothing_to_complain_of(&versions::complaints(&the_book(), &versions::Facts::read()));
}
