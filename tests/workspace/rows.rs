//! Which test proves which row of `tests/requirements.md`.
//!
//! A test says it itself: its doc comment begins with the rows, `/// S1-08, X4: what is shown`. The `//!` of a file whose
//! tests all belong to a row may say it for them.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::LazyLock;

use regex::Regex;
use syn::visit::Visit;
use syn::{Attribute, Expr, ExprLit, ItemFn, Lit, Meta};

use crate::{files, read, root};

/// The table of rows.
const REQUIREMENTS: &str = "tests/requirements.md";

/// The heading under which rows stand that need no test yet.
const NOT_BUILT_YET: &str = "## Not built yet";

/// Where tests are looked for.
const FOLDERS: [&str; 5] = ["src", "tests", "crates", "examples", "solutions"];

static ROW: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\b(S[0-4]-\d\d|X\d{1,2})\b").expect("the pattern is fixed"));

/// One row and what proves it.
#[derive(Debug)]
pub struct Row {
    /// Such as `S1-08`.
    pub id: String,
    /// What has to work, in words.
    pub requirement: String,
    /// True when it stands under the heading for what comes later.
    pub later: bool,
    /// `file::test`, in order of the files.
    pub tests: Vec<String>,
}

/// Every row of the table, in its order, with its tests.
pub fn rows() -> Vec<Row> {
    let mut proofs = proofs();
    let mut later = false;
    let mut rows = Vec::new();
    for line in read(REQUIREMENTS).lines() {
        later = if line.starts_with("## ") {
            line == NOT_BUILT_YET
        } else {
            later
        };
        let Some(cells) = line.strip_prefix("| ") else {
            continue;
        };
        let Some((id, rest)) = cells.split_once(" | ") else {
            continue;
        };
        if ROW.find(id).is_some_and(|found| found.as_str() == id) {
            rows.push(Row {
                id: id.to_owned(),
                requirement: rest.trim_end_matches(" |").to_owned(),
                later,
                tests: proofs.remove(id).unwrap_or_default(),
            });
        }
    }
    assert!(
        proofs.is_empty(),
        "tests name rows that {REQUIREMENTS} does not have: {proofs:?}"
    );
    rows
}

/// From a row's id to the tests that name it.
fn proofs() -> BTreeMap<String, Vec<String>> {
    let mut proofs: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for folder in FOLDERS {
        let mut paths = Vec::new();
        files(&root().join(folder), ".rs", &mut paths);
        paths.sort();
        for path in paths {
            for (row, test) in proofs_in(&path) {
                proofs.entry(row).or_default().push(test);
            }
        }
    }
    proofs
}

fn proofs_in(path: &Path) -> Vec<(String, String)> {
    let relative = path
        .strip_prefix(root())
        .unwrap_or(path)
        .display()
        .to_string();
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{relative}: {error}"));
    let file = syn::parse_file(&text).unwrap_or_else(|error| panic!("{relative}: {error}"));
    let mut tests = Tests::default();
    tests.visit_file(&file);
    let mut proofs = Vec::new();
    if !tests.found.is_empty() {
        for row in leading_rows(&file.attrs) {
            proofs.push((row, relative.clone()));
        }
    }
    for (name, rows) in tests.found {
        for row in rows {
            proofs.push((row, format!("{relative}::{name}")));
        }
    }
    proofs
}

/// The tests of a file and the rows that each names.
#[derive(Default)]
struct Tests {
    found: Vec<(String, Vec<String>)>,
}

impl<'ast> Visit<'ast> for Tests {
    fn visit_item_fn(&mut self, function: &'ast ItemFn) {
        // `#[test]` and `#[tokio::test(…)]` alike.
        let is_test = function.attrs.iter().any(|attribute| {
            let last = attribute.path().segments.last();
            last.is_some_and(|segment| segment.ident == "test")
        });
        if is_test {
            let name = function.sig.ident.to_string();
            self.found.push((name, leading_rows(&function.attrs)));
        }
    }

    /// Tests made by a macro, as proptest's are, are items inside its braces.
    fn visit_macro(&mut self, found: &'ast syn::Macro) {
        if let Ok(file) = found.parse_body::<syn::File>() {
            self.visit_file(&file);
        }
    }
}

/// The rows named before the first colon or full stop of a doc comment.
fn leading_rows(attributes: &[Attribute]) -> Vec<String> {
    let text: String = attributes
        .iter()
        .filter_map(doc)
        .collect::<Vec<_>>()
        .join(" ");
    let head = text.split([':', '.']).next().unwrap_or_default();
    ROW.find_iter(head)
        .map(|found| found.as_str().to_owned())
        .collect()
}

fn doc(attribute: &Attribute) -> Option<String> {
    let Meta::NameValue(pair) = &attribute.meta else {
        return None;
    };
    match &pair.value {
        Expr::Lit(ExprLit {
            lit: Lit::Str(text),
            ..
        }) if pair.path.is_ident("doc") => Some(text.value()),
        _ => None,
    }
}
