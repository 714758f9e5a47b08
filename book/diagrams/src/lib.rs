//! Diagrams drawn in box characters, and the SVG that is made of them.
//!
//! A page holds a diagram as text, which anyone can read and change in an editor:
//!
//! ````text
//! ```diagram What it shows, in words, for those who cannot see it
//!              ┌───┬───┐
//! partition 0  │ 0 │ 1 │──▶ next
//!              └───┴───┘
//! ```
//! ````
//!
//! The SVG takes its colours from the page, so one drawing suits the light and the dark themes, and needs neither a
//! script nor the network. Mermaid would need 2.6 MB of script in every page, tells of a mistake only in the reader's
//! browser, and cannot draw the cells of a log.

mod draw;
mod page;
mod strokes;

pub use draw::{MAX_COLUMNS, draw};
pub use page::{FENCE, draw_all};
