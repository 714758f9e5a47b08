//! From a grid of characters to SVG.

use std::fmt::Write;

use anyhow::{Result, bail, ensure};

use crate::strokes::{Mark, Sides};

/// Wider drawings would be unreadable on a phone.
pub const MAX_COLUMNS: usize = 72;

/// One cell in pixels. At this font size a monospaced letter is 0.6 of it wide.
const CELL_WIDTH: f32 = 8.4;
const CELL_HEIGHT: f32 = 18.0;
const FONT_SIZE: f32 = 14.0;
/// How far a narrow page may shrink a diagram: the widest one fits a phone of 390 pixels, and its words can be read.
const LEAST_SCALE: f32 = 0.61;

/// Half the length and half the width of an arrow's head.
const HEAD: f32 = 4.5;

/// The characters of a drawing, by row and column.
struct Grid(Vec<Vec<char>>);

impl Grid {
    fn at(&self, row: Option<usize>, column: Option<usize>) -> char {
        let cell = row.and_then(|row| self.0.get(row));
        let cell = cell.zip(column).and_then(|(row, column)| row.get(column));
        cell.copied().unwrap_or(' ')
    }

    /// The middle of a cell.
    fn middle(row: usize, column: usize) -> (f32, f32) {
        (
            (column as f32 + 0.5) * CELL_WIDTH,
            (row as f32 + 0.5) * CELL_HEIGHT,
        )
    }
}

/// Makes SVG of a drawing. `title` says in words what it shows.
///
/// # Errors
///
/// When there is no title or no drawing, when it is too wide, or when a corner or a crossing meets nothing: one
/// character is out of place then.
pub fn draw(title: &str, drawing: &str) -> Result<String> {
    ensure!(!title.is_empty(), "the diagram has no title");
    let grid = Grid(
        drawing
            .lines()
            .map(|line| line.trim_end().chars().collect())
            .collect(),
    );
    let columns = grid.0.iter().map(Vec::len).max().unwrap_or(0);
    ensure!(columns > 0, "the diagram {title:?} is empty");
    ensure!(
        columns <= MAX_COLUMNS,
        "the diagram {title:?} is {columns} columns wide, more than {MAX_COLUMNS}"
    );
    check(title, &grid)?;

    let (width, height) = (
        columns as f32 * CELL_WIDTH,
        grid.0.len() as f32 * CELL_HEIGHT,
    );
    let mut body = String::new();
    for (row, line) in grid.0.iter().enumerate() {
        draw_strokes(&mut body, row, line)?;
        draw_words(&mut body, row, line)?;
    }
    Ok(format!(
        "<div class=\"diagram\"><svg role=\"img\" aria-label=\"{title}\" viewBox=\"0 0 {width:.0} {height:.0}\" \
         style=\"width:{width:.0}px;min-width:{least:.0}px\" font-size=\"{FONT_SIZE}\" \
         xmlns=\"http://www.w3.org/2000/svg\"><title>{title}</title>{body}</svg></div>",
        title = escape(title),
        least = width * LEAST_SCALE,
    ))
}

/// Every corner and every crossing has to meet something on each side that it reaches.
fn check(title: &str, grid: &Grid) -> Result<()> {
    for (row, line) in grid.0.iter().enumerate() {
        for (column, character) in line.iter().enumerate() {
            let Some(mark) = Mark::of(*character).filter(|mark| mark.must_connect()) else {
                continue;
            };
            let reaches = |row, column, side: fn(Sides) -> bool| {
                Mark::of(grid.at(row, column)).is_some_and(|mark| side(mark.sides()))
            };
            let (here, beside) = (Some(row), Some(column));
            let sides = mark.sides();
            let loose = (sides.up && !reaches(row.checked_sub(1), beside, |next| next.down))
                || (sides.down && !reaches(Some(row + 1), beside, |next| next.up))
                || (sides.left && !reaches(here, column.checked_sub(1), |next| next.right))
                || (sides.right && !reaches(here, Some(column + 1), |next| next.left));
            if loose {
                bail!(
                    "the diagram {title:?}: {character} in line {}, column {} meets nothing",
                    row + 1,
                    column + 1
                );
            }
        }
    }
    Ok(())
}

fn draw_strokes(body: &mut String, row: usize, line: &[char]) -> Result<()> {
    for (column, character) in line.iter().enumerate() {
        let Some(mark) = Mark::of(*character) else {
            continue;
        };
        let (x, y) = Grid::middle(row, column);
        let (half_width, half_height) = (CELL_WIDTH / 2.0, CELL_HEIGHT / 2.0);
        let Sides {
            up,
            down,
            left,
            right,
        } = mark.sides();
        let mut path = String::new();
        // From side to side in one stroke where there is one, so that no seam shows in the middle.
        match (left, right) {
            (true, true) => write!(path, "M{:.1} {y:.1}h{CELL_WIDTH:.1}", x - half_width)?,
            (true, false) => write!(path, "M{:.1} {y:.1}h{half_width:.1}", x - half_width)?,
            (false, true) => write!(path, "M{x:.1} {y:.1}h{half_width:.1}")?,
            (false, false) => {}
        }
        match (up, down) {
            (true, true) => write!(path, "M{x:.1} {:.1}v{CELL_HEIGHT:.1}", y - half_height)?,
            (true, false) => write!(path, "M{x:.1} {:.1}v{half_height:.1}", y - half_height)?,
            (false, true) => write!(path, "M{x:.1} {y:.1}v{half_height:.1}")?,
            (false, false) => {}
        }
        let class = match mark {
            Mark::Dashed(_) => "dashed",
            Mark::Line(_) | Mark::Head(_) => "line",
        };
        write!(body, "<path class=\"{class}\" d=\"{path}\"/>")?;
        if let Mark::Head(stem) = mark {
            draw_head(body, (x, y), stem)?;
        }
    }
    Ok(())
}

/// A triangle that points away from its stem.
fn draw_head(body: &mut String, (x, y): (f32, f32), stem: Sides) -> Result<()> {
    let (dx, dy) = match stem {
        Sides { left: true, .. } => (1.0, 0.0),
        Sides { right: true, .. } => (-1.0, 0.0),
        Sides { down: true, .. } => (0.0, -1.0),
        _ => (0.0, 1.0),
    };
    let tip = (x + dx * HEAD, y + dy * HEAD);
    let (back_x, back_y) = (x - dx * HEAD, y - dy * HEAD);
    write!(
        body,
        "<path class=\"head\" d=\"M{:.1} {:.1}L{:.1} {:.1}L{:.1} {:.1}Z\"/>",
        tip.0,
        tip.1,
        back_x + dy * HEAD,
        back_y + dx * HEAD,
        back_x - dy * HEAD,
        back_y - dx * HEAD,
    )?;
    Ok(())
}

/// Words that are one blank apart are one text: a screen reader and a search take them together.
fn draw_words(body: &mut String, row: usize, line: &[char]) -> Result<()> {
    let written = |column: usize| {
        line.get(column)
            .is_some_and(|character| *character != ' ' && Mark::of(*character).is_none())
    };
    let mut column = 0;
    while column < line.len() {
        if !written(column) {
            column += 1;
            continue;
        }
        let start = column;
        while written(column) || (line.get(column) == Some(&' ') && written(column + 1)) {
            column += 1;
        }
        let text: String = line.iter().skip(start).take(column - start).collect();
        let (_, y) = Grid::middle(row, start);
        write!(
            body,
            "<text x=\"{:.1}\" y=\"{:.1}\" textLength=\"{:.1}\">{}</text>",
            start as f32 * CELL_WIDTH,
            y + FONT_SIZE * 0.35,
            (column - start) as f32 * CELL_WIDTH,
            escape(&text)
        )?;
    }
    Ok(())
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test ends by a panic")]

    use super::*;

    const BOX: &str = "┌───┐\n│ a │──▶ b & c\n└───┘\n";

    #[test]
    fn a_drawing_becomes_lines_heads_and_words() {
        let svg = draw("A \"box\"", BOX).unwrap();
        assert!(svg.contains("aria-label=\"A &quot;box&quot;\""), "{svg}");
        assert_eq!(
            svg.matches("class=\"line\"").count(),
            5 + 2 + 3 + 5,
            "{svg}"
        );
        assert_eq!(svg.matches("class=\"head\"").count(), 1);
        assert!(
            svg.contains(">a</text>") && svg.contains(">b &amp; c</text>"),
            "{svg}"
        );
        // A blank line would end the HTML block that it becomes in the page.
        assert!(!svg.contains('\n'));
    }

    #[test]
    fn a_corner_that_meets_nothing_is_a_mistake() {
        for (broken, place) in [
            ("┌──┐\n│ a│\n└───┘\n", "line 3, column 5"),
            ("┌ ─┐\n└──┘\n", "line 1, column 1"),
            ("└──┐\n", "line 1, column 1"),
        ] {
            let error = draw("t", broken).unwrap_err().to_string();
            assert!(error.contains(place), "{error}");
        }
    }

    #[test]
    fn what_has_no_title_no_content_or_no_end_is_refused() {
        assert!(draw("", BOX).is_err());
        assert!(draw("t", "\n \n").is_err());
        assert!(draw("t", &"─".repeat(MAX_COLUMNS + 1)).is_err());
        assert!(draw("t", &"─".repeat(MAX_COLUMNS)).is_ok());
    }
}
