//! The pages of a book, taken apart once for all checks.

use std::fmt;
use std::path::{Path, PathBuf};

use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};

/// A repository with a book in it.
pub(crate) struct Book {
    /// The repository's directory.
    pub(crate) root: PathBuf,
    /// In the order of their file names, the summary excepted.
    pub(crate) pages: Vec<Page>,
}

/// One page.
pub(crate) struct Page {
    /// The file's name, such as `01_produce_and_consume.md`.
    pub(crate) name: String,
    /// All of it.
    pub(crate) text: String,
    /// What its first heading says.
    pub(crate) title: String,
    /// The ids of its headings, as mdBook makes them.
    pub(crate) anchors: Vec<String>,
    /// Where its links and pictures lead.
    pub(crate) links: Vec<Span>,
    /// Code within a sentence.
    pub(crate) code: Vec<Span>,
    /// Blocks of code.
    pub(crate) fences: Vec<Fence>,
    /// Words outside blocks of code and comments.
    pub(crate) words: usize,
}

/// A piece of a page.
pub(crate) struct Span {
    /// Counted from 1.
    pub(crate) line: usize,
    pub(crate) text: String,
}

/// A block of code.
pub(crate) struct Fence {
    /// The line of the opening fence, counted from 1.
    pub(crate) line: usize,
    /// What stands behind the opening fence, such as `rust`.
    pub(crate) info: String,
    pub(crate) body: String,
    /// The comment on the line before, without its brackets.
    pub(crate) comment: Option<String>,
}

/// What is wrong, and where.
pub(crate) struct Complaint {
    file: String,
    line: usize,
    what: String,
}

impl Book {
    /// Reads the book of the repository at `root`.
    pub(crate) fn load(root: &Path) -> Self {
        let source = root.join("book/src");
        let mut names: Vec<String> = std::fs::read_dir(&source)
            .unwrap_or_else(|error| panic!("{}: {error}", source.display()))
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.ends_with(".md") && name != "SUMMARY.md")
            .collect();
        names.sort();
        let pages = names
            .into_iter()
            .map(|name| {
                let text = std::fs::read_to_string(source.join(&name)).unwrap();
                Page::parse(name, text)
            })
            .collect();
        Self {
            root: root.to_path_buf(),
            pages,
        }
    }

    /// The page of this name.
    pub(crate) fn page(&self, name: &str) -> Option<&Page> {
        self.pages.iter().find(|page| page.name == name)
    }

    /// A file of the repository, if it is there.
    pub(crate) fn read(&self, path: &str) -> Option<String> {
        std::fs::read_to_string(self.root.join(path)).ok()
    }
}

impl Page {
    fn parse(name: String, text: String) -> Self {
        let mut page = Self {
            name,
            title: String::new(),
            anchors: Vec::new(),
            links: Vec::new(),
            code: Vec::new(),
            fences: Vec::new(),
            words: 0,
            text: String::new(),
        };
        let line_of = |place: usize| text[..place].matches('\n').count() + 1;
        let mut heading: Option<String> = None;
        let mut fence: Option<Fence> = None;
        let options =
            Options::ENABLE_TABLES | Options::ENABLE_FOOTNOTES | Options::ENABLE_STRIKETHROUGH;
        for (event, place) in Parser::new_ext(&text, options).into_offset_iter() {
            let line = line_of(place.start);
            match event {
                Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
                Event::End(TagEnd::Heading(_)) => {
                    page.add_heading(heading.take().unwrap_or_default())
                }
                Event::Start(Tag::CodeBlock(kind)) => {
                    let info = match kind {
                        CodeBlockKind::Fenced(info) => info.to_string(),
                        CodeBlockKind::Indented => String::new(),
                    };
                    let comment = comment_before(&text, line);
                    let body = String::new();
                    fence = Some(Fence {
                        line,
                        info,
                        body,
                        comment,
                    });
                }
                Event::End(TagEnd::CodeBlock) => page.fences.extend(fence.take()),
                Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                    page.links.push(Span {
                        line,
                        text: dest_url.to_string(),
                    });
                }
                Event::Text(part) => match (&mut fence, &mut heading) {
                    (Some(fence), _) => fence.body.push_str(&part),
                    (None, heading) => {
                        page.words += part.split_whitespace().count();
                        if let Some(heading) = heading {
                            heading.push_str(&part);
                        }
                    }
                },
                Event::Code(part) => {
                    page.words += part.split_whitespace().count();
                    if let Some(heading) = &mut heading {
                        heading.push_str(&part);
                    }
                    page.code.push(Span {
                        line,
                        text: part.to_string(),
                    });
                }
                _ => {}
            }
        }
        page.text = text;
        page
    }

    fn add_heading(&mut self, heading: String) {
        let id = heading_id(&heading);
        // mdBook numbers those that are there already.
        let same =
            |taken: &&String| **taken == id || taken.strip_prefix(&id).is_some_and(is_number);
        let id = match self.anchors.iter().filter(same).count() {
            0 => id,
            count => format!("{id}-{count}"),
        };
        if self.title.is_empty() {
            self.title = heading;
        }
        self.anchors.push(id);
    }

    /// A complaint about a line of this page.
    pub(crate) fn complain(&self, line: usize, what: impl Into<String>) -> Complaint {
        Complaint::new(format!("book/src/{}", self.name), line, what)
    }

    /// The chapter's number: 1 of `01_produce_and_consume.md`. None for an appendix.
    pub(crate) fn number(&self) -> Option<u32> {
        self.name.split_once('_')?.0.parse().ok()
    }
}

impl Complaint {
    pub(crate) fn new(file: impl Into<String>, line: usize, what: impl Into<String>) -> Self {
        Self {
            file: file.into(),
            line,
            what: what.into(),
        }
    }
}

impl fmt::Display for Complaint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}: {}", self.file, self.line, self.what)
    }
}

/// Letters, digits, `_` and `-` in lower case, with `-` for blanks (mdBook, `normalize_id`).
pub(crate) fn heading_id(heading: &str) -> String {
    heading
        .chars()
        .filter_map(|character| match character {
            letter if letter.is_alphanumeric() || "_-".contains(letter) => {
                Some(letter.to_ascii_lowercase())
            }
            blank if blank.is_whitespace() => Some('-'),
            _ => None,
        })
        .collect()
}

fn is_number(suffix: &str) -> bool {
    suffix
        .strip_prefix('-')
        .is_some_and(|digits| digits.parse::<u32>().is_ok())
}

/// The text of the comment that ends on the line before `line`, if it is one of a single line.
fn comment_before(text: &str, line: usize) -> Option<String> {
    let before = text.lines().nth(line.checked_sub(2)?)?;
    let comment = before.trim().strip_prefix("<!--")?.strip_suffix("-->")?;
    Some(comment.trim().to_owned())
}

#[test]
fn a_page_is_taken_apart() {
    let text = "# 1. A `b`\n\nSee [x](y.md#z), `a.b.c`.\n\n<!-- why -->\n```rust\nfn a() {}\n```\n\n## Run it\n\n## Run it\n";
    let page = Page::parse("01_a.md".to_owned(), text.to_owned());
    assert_eq!(page.title, "1. A b");
    assert_eq!(page.number(), Some(1));
    assert_eq!(page.anchors, ["1-a-b", "run-it", "run-it-1"]);
    assert_eq!(
        (page.links[0].line, page.links[0].text.as_str()),
        (3, "y.md#z")
    );
    assert_eq!(page.code[1].text, "a.b.c");
    let fence = &page.fences[0];
    assert_eq!(
        (fence.line, fence.info.as_str(), fence.body.as_str()),
        (6, "rust", "fn a() {}\n")
    );
    assert_eq!(fence.comment.as_deref(), Some("why"));
}
