//! How it looks: 80 columns, and colour only where a person sees it.

use std::collections::BTreeSet;
use std::io::{self, IsTerminal};

use jiff::Timestamp;

use crate::account::{Account, Totals, sales};
use crate::shop::Takings;
use crate::undisturbed::{Undisturbed, minute};

/// The longest bar.
const BAR: u64 = 42;

/// What a terminal calls these colours.
const CYAN: u8 = 36;
const YELLOW: u8 = 33;

/// What was sent, and how it arrived.
pub(crate) fn sent(sent: &Undisturbed) {
    let sold = || sent.sales.iter().map(|(sale, _)| sale.sold_at);
    let written = || sent.sales.iter().map(|(_, written)| *written);
    let (Some(first), Some(last)) = (sold().min(), sold().max()) else {
        return;
    };
    let (sold_in, written_in) = (minutes(sold()), minutes(written()));
    let took = written().max().zip(written().min());
    let took = took.map_or(0, |(last, first)| {
        last.as_millisecond() - first.as_millisecond()
    });
    println!(
        "{} sales, made from {} to {}, written within {took} ms.",
        sent.sales.len(),
        clock(first),
        clock(last)
    );
    println!(
        "By when they were made they belong to {sold_in} minutes, by arrival to {written_in}.\n"
    );
}

/// What one life of the service told: a line for each partition that it restored, and one for each sale.
pub(crate) fn life(number: u32, told: &[String], end: &str) {
    let restored = told.iter().filter_map(|line| {
        let (totals, records) = line.strip_prefix("restored ")?.split_once(' ')?;
        Some((
            totals.parse::<usize>().ok()?,
            records.parse::<usize>().ok()?,
        ))
    });
    let (totals, records) = restored.fold((0, 0), |sum, (totals, records)| {
        (sum.0 + totals, sum.1 + records)
    });
    let added = told.iter().filter(|line| *line == "added").count();
    println!(
        "service {number}  restored {totals:>2} totals from {records:>3} records, added {added:>3} sales, {end}"
    );
}

/// The open totals that a service left behind.
pub(crate) fn left_behind(open: &Totals) {
    println!("           In its changelog are now these open totals:");
    for ((start, product), Takings { cents, sales }) in open {
        let (start, cents) = (clock_minute(*start), amount(*cents));
        println!("             {start}  {product:<8}{sales:>4} sales{cents:>9}");
    }
}

/// A bar for each total that is final.
pub(crate) fn chart(found: &Account, expected: &Undisturbed) {
    let most = found.closed.values().map(|takings| takings.cents).max();
    let length = |cents: u64| (cents * BAR).div_ceil(most.unwrap_or_default().max(1)) as usize;
    let late_of = |cell| expected.late.get(cell).copied().unwrap_or_default();
    let late: u64 = found.closed.keys().map(|cell| late_of(cell).sales).sum();
    println!("\nminute  product  sales  revenue   (▒ came late, within the grace: {late} sales)");
    let mut minute_before = None;
    for (cell @ (start, product), total) in &found.closed {
        let minute = (minute_before != Some(start)).then(|| clock_minute(*start));
        minute_before = Some(start);
        let (minute, sales, cents) = (minute.unwrap_or_default(), total.sales, amount(total.cents));
        let late = length(late_of(cell).cents);
        let in_time = length(total.cents).saturating_sub(late);
        let bar = paint("█", in_time, CYAN) + &paint("▒", late, YELLOW);
        println!("{minute:<8}{product:<9}{sales:>5}{cents:>9}   {bar}");
    }
    let open: BTreeSet<_> = found
        .open
        .keys()
        .map(|(start, _)| clock_minute(*start))
        .collect();
    let open = Vec::from_iter(open).join(", ");
    println!(
        "{} sales are in minutes that are open: {open}",
        sales(&found.open)
    );
}

/// What counts nowhere, and is not lost all the same.
pub(crate) fn set_aside(found: &Account, expected: &Undisturbed) {
    println!("\nset aside, because their minute had closed:");
    println!("made at   product  amount   when the latest was of");
    for sale in &found.too_late {
        let (sold_at, cents) = (clock(sale.sold_at), amount(sale.cents));
        let by_then = expected.too_late.iter().find(|(other, _)| other == sale);
        let latest = by_then.map_or("?".to_owned(), |(_, latest)| clock(*latest));
        println!("{sold_at}  {:<8}{cents:>7}   {latest}", sale.product);
    }
}

fn minutes(times: impl Iterator<Item = Timestamp>) -> usize {
    times.map(minute).collect::<BTreeSet<_>>().len()
}

/// With the hours first, as a clock shows it.
fn clock(time: Timestamp) -> String {
    time.strftime("%H:%M:%S").to_string()
}

fn clock_minute(time: Timestamp) -> String {
    time.strftime("%H:%M").to_string()
}

fn amount(cents: u64) -> String {
    format!("{}.{:02}", cents / 100, cents % 100)
}

/// So many of it. A file or a pipe gets the text alone, and so does who does not want colours (<https://no-color.org>).
fn paint(part: &str, count: usize, colour: u8) -> String {
    let text = part.repeat(count);
    let is_unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    if is_unwanted || !io::stdout().is_terminal() {
        return text;
    }
    format!("\x1b[{colour}m{text}\x1b[0m")
}
