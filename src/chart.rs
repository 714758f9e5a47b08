//! A bar chart as SVG, which every browser shows.

use std::fmt::Write;
use std::path::Path;
use std::{fs, io};

/// In pixels: room for the labels, the longest bar, and the numbers behind it; the height of a bar and its distance to
/// the next one.
const LABELS: f64 = 240.0;
const BARS: f64 = 480.0;
const NUMBERS: f64 = 120.0;
const BAR: f64 = 20.0;
const STEP: f64 = 28.0;
const TITLE: f64 = 40.0;

/// A horizontal bar for each label and value, the longest one as wide as there is room. Values below 0 have no bar.
pub fn bars(title: &str, values: &[(&str, f64)]) -> String {
    let longest = values.iter().map(|(_, value)| *value).fold(0.0, f64::max);
    let mut lines = String::new();
    let mut top = TITLE;
    for (label, value) in values {
        let width = if longest > 0.0 {
            (value / longest).max(0.0) * BARS
        } else {
            0.0
        };
        let (label, middle) = (escaped(label), top + BAR * 0.75);
        let (end, number) = (LABELS + width + 6.0, value.round());
        let before = LABELS - 8.0;
        // Writing to a string cannot fail.
        let _ = write!(
            lines,
            r##"<text x="{before}" y="{middle}" text-anchor="end">{label}</text>
<rect x="{LABELS}" y="{top}" width="{width:.1}" height="{BAR}" fill="#3b6ea5"/>
<text x="{end:.1}" y="{middle}">{number}</text>
"##
        );
        top += STEP;
    }
    let (width, title) = (LABELS + BARS + NUMBERS, escaped(title));
    format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{top}" font-family="sans-serif" font-size="14">
<rect width="100%" height="100%" fill="#ffffff"/>
<text x="8" y="24" font-size="16">{title}</text>
{lines}</svg>
"##
    )
}

/// Writes the [bars] to a file, and makes its folder.
///
/// # Errors
///
/// When the file system refuses.
pub fn write_bars(path: &Path, title: &str, values: &[(&str, f64)]) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, bars(title, values))
}

/// As text inside of an element.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_bar_fills_the_room_and_the_others_their_share() {
        let svg = bars(
            "a < b & c",
            &[("half", 50.0), ("whole", 100.0), ("none", 0.0)],
        );
        let width = |of: &str| {
            let bar = svg.split(&format!(">{of}</text>")).nth(1).unwrap();
            let number = bar.split("width=\"").nth(1).unwrap().split('"').next();
            number.unwrap().parse::<f64>().unwrap()
        };
        assert_eq!(
            (width("half"), width("whole"), width("none")),
            (240.0, 480.0, 0.0)
        );
        assert!(svg.contains("a &lt; b &amp; c"), "{svg}");
        assert!(
            svg.starts_with("<svg ") && svg.ends_with("</svg>\n"),
            "{svg}"
        );
    }

    #[test]
    fn a_chart_of_nothing_is_a_chart() {
        assert!(bars("nothing", &[]).contains("nothing"));
        assert!(bars("zeros", &[("zero", 0.0)]).contains("width=\"0.0\""));
    }
}
