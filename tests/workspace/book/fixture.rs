//! A small repository with a sound book, to be broken in one place.

use std::fs;

use tempfile::TempDir;

use crate::book::{Book, Complaint};

/// Its files, in a folder that goes when this is dropped.
pub(crate) struct Fixture {
    folder: TempDir,
}

const SUMMARY: &str =
    "# Summary\n\n- [0. Start here](00_start_here.md)\n- [1. First](01_first.md)\n";

const START: &str = "# 0. Start here\n\nGo on with [chapter 1](01_first.md#run-it).\n";

const FIRST: &str = "\
# 1. First

## What you can do afterwards

## The idea

```diagram An arrow
──▶
```

## Predict

## The example

The example is `examples/01_first.rs`:

```rust
{{#include ../../examples/01_first.rs:main}}
```

## Run it

```sh
make example-1
```

## Common mistakes

## Exercises

It is `exercises/01a_first.rs`:

```sh
make exercise-1a
```

<!-- output of `make exercise-1a` (fails) -->
```text
...
not yet implemented
...
```

## Questions

<details><summary>Why?</summary>

Because.

</details>

## Where it is documented
";

const EXAMPLE: &str = "\
//! Example 1: first. Chapter 1 of the book explains it: book/src/01_first.md.
// ANCHOR: main
fn main() {}
// ANCHOR_END: main
";

const EXERCISE: &str =
    "//! Exercise 1a. It belongs to chapter 1: book/src/01_first.md.\nfn main() {}\n";

const MAKEFILE: &str = "example-%: ## Run one\n\t@echo\n\nexercise-%: ## Check one\n\t@echo not yet implemented; false\n\nbook: ## Build\n\t@echo\n";

impl Fixture {
    /// Nothing complains about it.
    pub(crate) fn sound() -> Self {
        let fixture = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        for (path, text) in [
            ("book/src/SUMMARY.md", SUMMARY),
            ("book/src/00_start_here.md", START),
            ("book/src/01_first.md", FIRST),
            ("examples/01_first.rs", EXAMPLE),
            ("exercises/01a_first.rs", EXERCISE),
            ("Makefile", MAKEFILE),
        ] {
            fixture.write(path, text);
        }
        fixture
    }

    /// Writes a file.
    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Adds to the end of chapter 1.
    pub(crate) fn add(self, text: &str) -> Self {
        let page = self.folder.path().join("book/src/01_first.md");
        let before = fs::read_to_string(&page).unwrap();
        fs::write(page, format!("{before}\n{text}\n")).unwrap();
        self
    }

    /// Puts `to` in the place of `from`, which has to be there.
    pub(crate) fn replace(self, path: &str, from: &str, to: &str) -> Self {
        let file = self.folder.path().join(path);
        let before = fs::read_to_string(&file).unwrap();
        assert!(before.contains(from), "{path} does not hold {from:?}");
        fs::write(file, before.replace(from, to)).unwrap();
        self
    }

    pub(crate) fn book(&self) -> Book {
        Book::load(self.folder.path())
    }
}

/// Demands that there is exactly one complaint, and that it says this.
#[track_caller]
pub(crate) fn complains(complaints: &[Complaint], says: &str) {
    let lines: Vec<String> = complaints.iter().map(ToString::to_string).collect();
    assert!(
        lines.len() == 1 && lines[0].contains(says),
        "expected one complaint that says {says:?}: {lines:#?}"
    );
}
