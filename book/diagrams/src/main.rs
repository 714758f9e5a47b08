//! An mdBook preprocessor: the book comes in as JSON, and goes out with its diagrams drawn
//! (<https://rust-lang.github.io/mdBook/for_developers/preprocessors.html>).

use std::io::{self, Read, Write};

use anyhow::{Context, Result};
use serde_json::Value;

fn main() -> Result<()> {
    // `supports RENDERER` asks whether there is work to do for it: there is for each, since SVG is part of HTML.
    if std::env::args().nth(1).as_deref() == Some("supports") {
        return Ok(());
    }
    let mut input = String::new();
    io::stdin().read_to_string(&mut input)?;
    // A pair: what mdBook says of itself, and the book.
    let (_context, mut book): (Value, Value) =
        serde_json::from_str(&input).context("this is run by mdBook")?;
    draw_in(&mut book)?;
    io::stdout().write_all(serde_json::to_string(&book)?.as_bytes())?;
    Ok(())
}

/// Parts hold chapters, and chapters hold chapters; whatever has a `content` is a page.
fn draw_in(value: &mut Value) -> Result<()> {
    match value {
        Value::Object(fields) => {
            if let Some(Value::String(page)) = fields.get_mut("content") {
                *page = book_diagrams::draw_all(page)?;
            }
            fields.values_mut().try_for_each(draw_in)
        }
        Value::Array(items) => items.iter_mut().try_for_each(draw_in),
        _ => Ok(()),
    }
}
