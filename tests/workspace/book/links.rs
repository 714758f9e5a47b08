//! Links: pages and headings of the book, and addresses that are written in full.

use crate::book::{Book, Complaint, Page};

pub(crate) fn complaints(book: &Book) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for page in &book.pages {
        for link in &page.links {
            complaints
                .extend(look(book, page, &link.text).map(|wrong| page.complain(link.line, wrong)));
        }
    }
    complaints
}

/// What is wrong with a link.
fn look(book: &Book, page: &Page, link: &str) -> Option<String> {
    if link.starts_with("https://") || link.starts_with("http://localhost:") {
        return None;
    }
    if link.contains("://") {
        return Some(format!("{link} is not https"));
    }
    let (file, anchor) = match link.split_once('#') {
        Some((file, anchor)) => (file, Some(anchor)),
        None => (link, None),
    };
    // The book is served from a folder of its own: a file of the repository is named, not linked to.
    let target = if file.is_empty() {
        Some(page)
    } else {
        book.page(file)
    };
    match (target, anchor) {
        (None, _) => Some(format!("there is no page {file:?}")),
        (Some(target), Some(anchor)) if !target.anchors.iter().any(|id| id == anchor) => {
            Some(format!("{} has no heading {anchor:?}", target.name))
        }
        (Some(_), _) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::complaints;
    use crate::fixture::{Fixture, complains};

    #[test]
    fn sound_links_are_left_alone() {
        let fixture = Fixture::sound()
            .add("[a](https://kafka.apache.org), [b](00_start_here.md), [c](#run-it), [d](http://localhost:8080)");
        assert!(complaints(&fixture.book()).is_empty());
    }

    #[test]
    fn dead_links_are_noticed() {
        for (link, says) in [
            ("[a](02_second.md)", "no page \"02_second.md\""),
            ("[a](00_start_here.md#nowhere)", "no heading \"nowhere\""),
            ("[a](#nowhere)", "no heading \"nowhere\""),
            ("[a](../../examples/01_first.rs)", "no page"),
            ("[a](http://example.com)", "not https"),
            ("![a](picture.png)", "no page \"picture.png\""),
        ] {
            complains(&complaints(&Fixture::sound().add(link).book()), says);
        }
    }
}
