//! The teaching plans: their minutes add up, and what they name can be taught.

use regex::Regex;
use workspace_tests::names as names_in;

use crate::book::{Book, Complaint, Page};
use crate::curriculum::LESSONS;

const PAGE: &str = "appendix_d_teaching.md";

pub(crate) fn complaints(book: &Book) -> Vec<Complaint> {
    let Some(page) = book.page(PAGE) else {
        let file = format!("book/src/{PAGE}");
        return vec![Complaint::new(file, 1, "this page is missing")];
    };
    let mut complaints = look_at_minutes(page);
    complaints.extend(look_at_exercises(book, page));
    complaints
}

/// In a plan each row begins where the one before ends.
fn look_at_minutes(page: &Page) -> Vec<Complaint> {
    let row = Regex::new(r"^\| (\d+):(\d\d) \| (\d+) \| .+ \|$").unwrap();
    let mut complaints = Vec::new();
    let (mut end, mut rows) = (0, 0);
    for (index, line) in page.text.lines().enumerate() {
        let Some(found) = row.captures(line) else {
            // Another plan begins anew.
            end = 0;
            continue;
        };
        let number = |group: usize| -> u32 { found[group].parse().unwrap() };
        let begins = 60 * number(1) + number(2);
        if begins != end {
            let what = format!("this begins at {begins} minutes, and what is before ends at {end}");
            complaints.push(page.complain(index + 1, what));
        }
        end = begins + number(3);
        rows += 1;
    }
    if rows == 0 {
        complaints.push(page.complain(1, "there is no plan"));
    }
    complaints
}

/// Every lesson and exercise that is named exists, and every one of them is named.
fn look_at_exercises(book: &Book, page: &Page) -> Vec<Complaint> {
    let named = |pattern: &str| {
        let pattern = Regex::new(pattern).unwrap();
        let names = pattern.captures_iter(&page.text);
        let names: Vec<String> = names.map(|found| found[1].to_owned()).collect();
        names
    };
    let exercises: Vec<String> = names_in(&book.root.join("exercises").to_string_lossy(), ".rs")
        .iter()
        .filter_map(|name| Some(name.split_once('_')?.0.trim_start_matches('0').to_owned()))
        .collect();
    let mut wrong = Vec::new();
    let told = named(r"\b(\d+[a-z])\b");
    for exercise in told.iter().filter(|name| !exercises.contains(name)) {
        wrong.push(format!("there is no exercise {exercise}"));
    }
    for exercise in exercises.iter().filter(|name| !told.contains(name)) {
        wrong.push(format!("it does not name exercise {exercise}"));
    }
    for lesson in named(r"[Ll]esson (\d+)") {
        if !LESSONS.contains(&lesson.parse().unwrap()) {
            wrong.push(format!("there is no lesson {lesson}"));
        }
    }
    let complain = |what: String| page.complain(1, what);
    wrong.into_iter().map(complain).collect()
}

#[cfg(test)]
mod tests {
    use super::{PAGE, complaints};
    use crate::fixture::{Fixture, complains};

    const PLAN: &str = "# Plans\n\n| from | minutes | what |\n|---|---|---|\n| 0:00 | 45 | Lesson 1, with exercise 1a |\n| 0:45 | 75 | Lunch |\n| 2:00 | 5 | Close |\n";

    fn with(page: &str) -> Fixture {
        let fixture = Fixture::sound();
        fixture.write(&format!("book/src/{PAGE}"), page);
        fixture
    }

    #[test]
    fn plans_that_add_up_are_left_alone() {
        let twice = format!("{PLAN}\n{PLAN}");
        assert!(complaints(&with(&twice).book()).is_empty());
    }

    #[test]
    fn plans_that_do_not_add_up_or_name_what_is_not_there_are_noticed() {
        for (from, to, says) in [
            (
                "| 45 |",
                "| 40 |",
                "begins at 45 minutes, and what is before ends at 40",
            ),
            ("0:00", "0:10", "begins at 10 minutes"),
            ("1a", "1b", "no exercise 1b"),
            ("with exercise 1a", "and go", "does not name exercise 1a"),
            ("Lesson 1", "Lesson 11", "no lesson 11"),
        ] {
            let broken = PLAN.replace(from, to);
            let complaints = complaints(&with(&broken).book());
            let says_so = |complaint: &crate::book::Complaint| complaint.to_string().contains(says);
            assert!(
                complaints.iter().any(says_so),
                "{from}: nothing says {says:?}"
            );
        }
        complains(
            &complaints(&with("# Plans, and exercise 1a\n").book()),
            "no plan",
        );
        complains(&complaints(&Fixture::sound().book()), "missing");
    }
}
