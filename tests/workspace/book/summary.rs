//! The table of contents and the pages: the same files, the same titles, in order.

use regex::Regex;

use crate::book::{Book, Complaint};

const SUMMARY: &str = "book/src/SUMMARY.md";

pub(crate) fn complaints(book: &Book) -> Vec<Complaint> {
    let entry = Regex::new(r"\[([^\]]+)\]\(([^)]*)\)").unwrap();
    let summary = book.read(SUMMARY).expect("the book has a summary");
    let mut complaints = Vec::new();
    let mut listed: Vec<&str> = Vec::new();
    for (index, line) in summary.lines().enumerate() {
        for found in entry.captures_iter(line) {
            let [title, file] = found.extract().1;
            let mut complain =
                |what: String| complaints.push(Complaint::new(SUMMARY, index + 1, what));
            match book.page(file) {
                None => complain(format!("there is no page {file:?}")),
                Some(_) if listed.contains(&file) => complain(format!("{file} is listed twice")),
                Some(page) if page.title != title => {
                    complain(format!(
                        "{file} has the title {:?}, not {title:?}",
                        page.title
                    ));
                }
                Some(_) if listed.last().is_some_and(|last| *last > file) => {
                    complain(format!("{file} is not in its place"));
                }
                Some(_) => {}
            }
            listed.push(file);
        }
    }
    for page in &book.pages {
        if !listed.contains(&page.name.as_str()) {
            complaints.push(page.complain(1, "the summary does not list this page"));
        }
    }
    complaints
}

#[cfg(test)]
mod tests {
    use super::complaints;
    use crate::fixture::{Fixture, complains};

    #[test]
    fn a_sound_summary_is_left_alone() {
        assert!(complaints(&Fixture::sound().book()).is_empty());
    }

    #[test]
    fn what_is_listed_twice_missing_renamed_or_forgotten_is_noticed() {
        let add = |line: &str| {
            let summary = "- [1. First](01_first.md)\n";
            Fixture::sound().replace(
                "book/src/SUMMARY.md",
                summary,
                &format!("{summary}{line}\n"),
            )
        };
        complains(
            &complaints(&add("- [2. Second](02_second.md)").book()),
            "no page \"02_second.md\"",
        );
        complains(&complaints(&add("- [2. Draft]()").book()), "no page \"\"");
        complains(
            &complaints(&add("- [1. First](01_first.md)").book()),
            "listed twice",
        );
        let renamed = Fixture::sound().replace("book/src/01_first.md", "# 1. First", "# 1. Then");
        complains(&complaints(&renamed.book()), "has the title \"1. Then\"");
        let forgotten = Fixture::sound();
        forgotten.write("book/src/02_second.md", "# 2. Second\n");
        complains(&complaints(&forgotten.book()), "does not list this page");
        let swapped = Fixture::sound();
        swapped.write(
            "book/src/SUMMARY.md",
            "- [1. First](01_first.md)\n- [0. Start here](00_start_here.md)\n",
        );
        complains(&complaints(&swapped.book()), "not in its place");
    }
}
