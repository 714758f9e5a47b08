//! Finds the diagrams of a page.

use anyhow::{Context, Result, bail};

use crate::draw;

/// What the line begins with that begins a diagram; the rest of that line is its title.
pub const FENCE: &str = "```diagram";

/// The page with SVG in the place of its diagrams, and nothing else changed.
///
/// # Errors
///
/// As [`draw`], or when a diagram does not end.
pub fn draw_all(page: &str) -> Result<String> {
    let mut drawn = String::with_capacity(page.len());
    let mut lines = page.split_inclusive('\n');
    while let Some(line) = lines.next() {
        let Some(title) = line.strip_prefix(FENCE) else {
            drawn.push_str(line);
            continue;
        };
        let title = title.trim();
        let mut drawing = String::new();
        loop {
            match lines.next() {
                Some(line) if line.trim_end() == "```" => break,
                Some(line) => drawing.push_str(line),
                None => bail!("the diagram {title:?} does not end"),
            }
        }
        drawn.push_str(&draw(title, &drawing).context("in a diagram")?);
        drawn.push('\n');
    }
    Ok(drawn)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test ends by a panic")]

    use super::*;

    #[test]
    fn only_the_diagrams_change() {
        let page = "# A\n\n```diagram One line\n──▶ x\n```\n\n```rust\nfn a() {}\n```\nend";
        let drawn = draw_all(page).unwrap();
        assert!(
            drawn.starts_with("# A\n\n<div class=\"diagram\">"),
            "{drawn}"
        );
        assert!(
            drawn.ends_with("</div>\n\n```rust\nfn a() {}\n```\nend"),
            "{drawn}"
        );
    }

    #[test]
    fn a_diagram_without_an_end_is_a_mistake() {
        let error = draw_all("```diagram Open\n──\n").unwrap_err().to_string();
        assert!(error.contains("Open"), "{error}");
    }
}
