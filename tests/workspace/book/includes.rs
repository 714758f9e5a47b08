//! What a page takes from files of the repository: it is there, it is not empty, and it is whole.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};
use std::sync::LazyLock;

use regex::Regex;

use crate::book::{Book, Complaint};

/// More would cut a file into pieces that no longer read from top to bottom.
const MOST_ANCHORS: usize = 3;

pub(crate) static INCLUDE: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\{\{#(\w+)\s+([^}]*?)\s*\}\}").unwrap());

/// Where anchors are looked for that no page shows.
const FOLDERS: [&str; 7] = [
    "src",
    "examples",
    "exercises",
    "solutions",
    "tests",
    "crates",
    "book/diagrams",
];

/// The file, relative to the repository, and the anchor that an include names.
pub(crate) fn target(include: &str) -> (String, Option<&str>) {
    let (file, anchor) = match include.split_once(':') {
        Some((file, anchor)) => (file, Some(anchor)),
        None => (include, None),
    };
    (from_root(file), anchor)
}

/// `../../src/a.rs`, as a page has it, is `src/a.rs`.
fn from_root(path: &str) -> String {
    let mut whole = PathBuf::from("book/src");
    for part in Path::new(path).components() {
        match part {
            Component::ParentDir => {
                whole.pop();
            }
            part => whole.push(part),
        }
    }
    whole.to_string_lossy().into_owned()
}

pub(crate) fn complaints(book: &Book) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    let mut shown = BTreeSet::new();
    for page in &book.pages {
        for found in INCLUDE.captures_iter(&page.text) {
            let line = page.text[..found.get(0).unwrap().start()]
                .matches('\n')
                .count()
                + 1;
            let [kind, include] = found.extract().1;
            let (file, anchor) = target(include);
            let wrong = if kind == "include" {
                let text = book.read(&file);
                shown.insert((file.clone(), anchor.unwrap_or_default().to_owned()));
                text.map_or_else(
                    || Some(format!("there is no file {file}")),
                    |text| look(&file, &text, anchor),
                )
            } else {
                Some(format!("{kind} is not used here: only include"))
            };
            complaints.extend(wrong.map(|wrong| page.complain(line, wrong)));
        }
    }
    complaints.extend(look_at_anchors(book, &shown));
    complaints
}

/// What is wrong with an include.
fn look(file: &str, text: &str, anchor: Option<&str>) -> Option<String> {
    let part = match anchor {
        None => text.to_owned(),
        Some(anchor) if anchor.starts_with(|first: char| first.is_ascii_digit()) => {
            return Some(format!("{file}: lines by number go stale, name an anchor"));
        }
        Some(anchor) => match anchored(text, anchor) {
            Some(part) => part,
            None => {
                return Some(format!(
                    "{file} has no anchor {anchor} that begins and ends"
                ));
            }
        },
    };
    if part.trim().is_empty() {
        return Some(format!("{file}: nothing is included"));
    }
    if file.ends_with(".rs") && syn::parse_file(&part).is_err() {
        return Some(format!(
            "{file}: the anchor {} cuts an item in two",
            anchor.unwrap_or_default()
        ));
    }
    None
}

/// The lines between an anchor's two marks, without the marks of others.
fn anchored(text: &str, anchor: &str) -> Option<String> {
    let is = |line: &str, mark: &str| {
        line.split_once(mark)
            .is_some_and(|(_, name)| name.trim() == anchor)
    };
    let lines: Vec<&str> = text.lines().collect();
    let start = lines.iter().position(|line| is(line, "ANCHOR:"))?;
    let length = lines[start..]
        .iter()
        .position(|line| is(line, "ANCHOR_END:"))?;
    let inside = lines[start + 1..start + length]
        .iter()
        .filter(|line| !line.contains("ANCHOR"));
    Some(inside.copied().collect::<Vec<_>>().join("\n"))
}

/// Anchors that no page shows, and files with too many.
fn look_at_anchors(book: &Book, shown: &BTreeSet<(String, String)>) -> Vec<Complaint> {
    let mut files = Vec::new();
    for folder in FOLDERS {
        let folder = book.root.join(folder);
        if folder.exists() {
            workspace_tests::files(&folder, ".rs", &mut files);
        }
    }
    // The checker's own small books are full of marks.
    files.retain(|path| !path.starts_with(book.root.join("tests/workspace")));
    let mut complaints = Vec::new();
    for path in files {
        let file = path
            .strip_prefix(&book.root)
            .unwrap()
            .to_string_lossy()
            .into_owned();
        let text = std::fs::read_to_string(&path).unwrap();
        let mut count = 0;
        for (index, line) in text.lines().enumerate() {
            let Some(anchor) = line.trim().strip_prefix("// ANCHOR: ") else {
                continue;
            };
            count += 1;
            if !shown.contains(&(file.clone(), anchor.to_owned())) {
                let what = format!("no page shows the anchor {anchor}");
                complaints.push(Complaint::new(&file, index + 1, what));
            }
        }
        if count > MOST_ANCHORS {
            complaints.push(Complaint::new(
                &file,
                1,
                format!("it has {count} anchors, more than {MOST_ANCHORS}"),
            ));
        }
    }
    complaints
}

#[cfg(test)]
mod tests {
    use super::complaints;
    use crate::fixture::{Fixture, complains};

    const EXAMPLE: &str = "examples/01_first.rs";

    #[test]
    fn a_sound_include_is_left_alone() {
        assert!(complaints(&Fixture::sound().book()).is_empty());
    }

    #[test]
    fn an_include_of_nothing_is_noticed() {
        let file = Fixture::sound().add("{{#include ../../examples/02_second.rs}}");
        complains(&complaints(&file.book()), "no file examples/02_second.rs");
        let anchor = Fixture::sound().add("{{#include ../../examples/01_first.rs:other}}");
        complains(&complaints(&anchor.book()), "no anchor other");
        let open = Fixture::sound().replace(EXAMPLE, "// ANCHOR_END: main", "");
        complains(&complaints(&open.book()), "no anchor main");
        let empty = Fixture::sound().replace(EXAMPLE, "fn main() {}", "");
        complains(&complaints(&empty.book()), "nothing is included");
    }

    #[test]
    fn an_include_by_lines_and_half_an_item_are_noticed() {
        let lines = Fixture::sound().add("{{#include ../../examples/01_first.rs:1:3}}");
        complains(&complaints(&lines.book()), "name an anchor");
        let half = Fixture::sound().replace(EXAMPLE, "fn main() {}", "fn main() {");
        complains(&complaints(&half.book()), "cuts an item in two");
        let other = Fixture::sound().add("{{#rustdoc_include ../../examples/01_first.rs}}");
        complains(&complaints(&other.book()), "only include");
    }

    #[test]
    fn an_anchor_that_nobody_shows_and_too_many_are_noticed() {
        let unused = Fixture::sound().replace(EXAMPLE, "fn main", "// ANCHOR: other\nfn main");
        complains(
            &complaints(&unused.book()),
            "no page shows the anchor other",
        );
        let mut pieces = String::new();
        let mut fixture = Fixture::sound();
        for name in ["a", "b", "c", "d"] {
            pieces += &format!("// ANCHOR: {name}\nfn {name}() {{}}\n// ANCHOR_END: {name}\n");
            fixture = fixture.add(&format!("{{{{#include ../../src/a.rs:{name}}}}}"));
        }
        fixture.write("src/a.rs", &pieces);
        complains(&complaints(&fixture.book()), "4 anchors");
    }
}
