//! The check of exercise 8a. The stub in exercises/, the solution in solutions/ and the answers in tests/answers mount it.

use std::collections::BTreeMap;

use super::{Sale, Total, Windows};

const SIZE: i64 = 60;
const GRACE: i64 = 10;

/// Adds sales, given as `(at, cents)`, and collects the windows that were closed, as `(start, cents)`.
fn add(windows: &mut Windows, sales: &[(i64, u64)]) -> Vec<(i64, u64)> {
    let sales = sales.iter().map(|&(at, cents)| Sale { at, cents });
    let closed = sales.flat_map(|sale| windows.add(sale));
    closed
        .map(|Total { start, cents }| (start, cents))
        .collect()
}

#[test]
fn a_window_begins_at_a_multiple_of_its_size() {
    let windows = Windows::new(SIZE, GRACE);
    for (at, start) in [
        (0, 0),
        (59, 0),
        (60, 60),
        (61, 60),
        (600, 600),
        (-1, -60),
        (-60, -60),
        (-61, -120),
    ] {
        let found = windows.start_of(at);
        assert!(
            found == start,
            "with windows of {SIZE}, a sale at {at} belongs to the window from {start}, not from {found}: a window's first \
             instant is in it, its end is in the next one, and before 0 they go on (`rem_euclid`). Chapter 8, 'Event time \
             and windows'."
        );
    }
}

#[test]
fn a_window_waits_for_its_grace_period() {
    let mut windows = Windows::new(SIZE, GRACE);
    let too_early = add(&mut windows, &[(5, 100), (60, 1), (69, 1)]);
    assert!(
        too_early.is_empty(),
        "the window from 0 ends at {SIZE}, its grace period at 70, and at stream time 69 it was closed: {too_early:?}. \
         Sales of it may still be under way. Chapter 8, 'Late records and grace'."
    );
    let closed = add(&mut windows, &[(70, 1)]);
    assert!(
        closed == [(0, 100)],
        "the window from 0 ends at {SIZE}, its grace period at 70, and a sale at 70 has to close it with its 100 cents, and \
         no other: {closed:?} was closed. Chapter 8, 'Late records and grace'."
    );
}

#[test]
fn sales_count_by_when_they_happened() {
    let mut windows = Windows::new(SIZE, GRACE);
    let closed = add(
        &mut windows,
        &[
            (50, 1),
            (10, 2),
            (65, 4),
            (55, 8),
            (60, 16),
            (59, 32),
            (70, 64),
        ],
    );
    assert!(
        closed == [(0, 1 + 2 + 8 + 32)],
        "sales came out of order and within the grace period: the window from 0 has 43 cents, and {closed:?} was closed. \
         Each sale counts in the window of its own time. Chapter 8, 'Event time and windows'."
    );
    let closed = add(&mut windows, &[(130, 0)]);
    assert!(
        closed == [(60, 4 + 16 + 64)],
        "the window from 60 has 84 cents, and {closed:?} was closed. Chapter 8, 'Event time and windows'."
    );
}

#[test]
fn what_comes_too_late_is_counted_and_left_out() {
    let mut windows = Windows::new(SIZE, GRACE);
    let closed = add(&mut windows, &[(5, 100), (75, 1)]);
    assert!(
        closed == [(0, 100)],
        "a sale at 75 closes the window from 0, and {closed:?} was closed. Chapter 8, 'Late records and grace'."
    );
    let again = add(&mut windows, &[(6, 1000), (76, 2), (7, 1000)]);
    assert!(
        again.is_empty(),
        "the window from 0 was closed, its total sent, and then {again:?} was closed: a total is final, and a second one \
         would be added up with it. Leave the late sale out. Chapter 8, 'Late records and grace'."
    );
    assert!(
        windows.state.late == 2,
        "two sales came too late, and {} were counted: nobody sees that the grace period is too short. Chapter 8, 'Late \
         records and grace'.",
        windows.state.late
    );
    let closed = add(&mut windows, &[(130, 0)]);
    assert!(
        closed == [(60, 3)],
        "the window from 60 has 3 cents, and {closed:?} was closed. Chapter 8, 'Late records and grace'."
    );
}

#[test]
fn stream_time_never_goes_back() {
    let mut windows = Windows::new(SIZE, GRACE);
    let closed = add(&mut windows, &[(5, 1), (65, 2), (30, 4)]);
    assert!(closed.is_empty(), "{closed:?} was closed at 65");
    assert!(
        windows.state.stream_time == Some(65),
        "sales came at 5, 65 and 30: stream time is 65, the latest of them, and you have {:?}. Chapter 8, 'Stream time'.",
        windows.state.stream_time
    );
    add(&mut windows, &[(70, 0)]);
    let again = add(&mut windows, &[(31, 8)]);
    let late = windows.state.late;
    assert!(
        again.is_empty() && late == 1,
        "after a sale at 70 the window from 0 is closed, whatever comes then: a sale at 31 is late. Stream time never goes \
         back. Chapter 8, 'Stream time'."
    );
}

#[test]
fn a_sale_far_ahead_closes_all_windows_in_their_order() {
    let mut windows = Windows::new(SIZE, 300);
    let closed = add(&mut windows, &[(185, 8), (5, 1), (61, 2), (100_000, 16)]);
    assert!(
        closed == [(0, 1), (60, 2), (180, 8)],
        "a sale far ahead closes the windows from 0, 60 and 180, the earliest first, and not that from 120, in which nothing \
         was sold: {closed:?} was closed. Chapter 8, 'Stream time'."
    );
}

/// Sales of about twenty minutes, each up to 40 late.
fn sales() -> Vec<(i64, u64)> {
    let numbers = 0..240;
    numbers
        .map(|number| (number * 5 - number * number * 7 % 41, 1 << (number % 8)))
        .collect()
}

/// What is right, worked out in another way: each sale is judged by all that came before it.
fn totals(sales: &[(i64, u64)]) -> (BTreeMap<i64, u64>, u64) {
    let (mut totals, mut late) = (BTreeMap::new(), 0);
    for (index, (at, cents)) in sales.iter().enumerate() {
        let start = at.div_euclid(SIZE) * SIZE;
        let latest = sales[..=index].iter().map(|(at, _)| *at).max();
        match latest.is_some_and(|latest| latest >= start + SIZE + GRACE) {
            true => late += 1,
            false => *totals.entry(start).or_default() += cents,
        }
    }
    (totals, late)
}

/// The first total that is not right, in words.
fn difference(closed: &[(i64, u64)], expected: &[(i64, u64)]) -> String {
    let index = closed
        .iter()
        .zip(expected)
        .take_while(|(found, right)| found == right)
        .count();
    let total = |totals: &[(i64, u64)]| {
        totals
            .get(index)
            .map_or("none".to_owned(), |(start, cents)| {
                format!("{cents} cents from {start} on")
            })
    };
    format!(
        "{} windows were closed instead of {}, of which number {index} is {} instead of {}",
        closed.len(),
        expected.len(),
        total(closed),
        total(expected)
    )
}

#[test]
fn a_restart_changes_nothing() {
    let mut sales = sales();
    sales.push((10_000, 0));
    let (mut expected, late) = totals(&sales);
    expected.remove(&(10_000 / SIZE * SIZE));
    assert!(late > 5 && expected.len() > 15, "the check's own sales");
    let expected: Vec<(i64, u64)> = expected.into_iter().collect();

    let mut windows = Windows::new(SIZE, GRACE);
    let closed = add(&mut windows, &sales);
    assert!(
        closed == expected && windows.state.late == late,
        "of {} sales {} came too late instead of {late}, and {}, even without a restart: see what the other tests say first.",
        sales.len(),
        windows.state.late,
        difference(&closed, &expected)
    );
    for restart in 0..sales.len() {
        let (before, after) = sales.split_at(restart);
        let mut windows = Windows::new(SIZE, GRACE);
        let mut closed = add(&mut windows, before);
        let saved = windows.save().expect("the state can be written as text");
        let mut windows =
            Windows::restore(SIZE, GRACE, &saved).expect("it is what `save` returned");
        closed.extend(add(&mut windows, after));
        assert!(
            closed == expected && windows.state.late == late,
            "with a restart after {restart} of {} sales, {} came too late instead of {late}, and {}. Save all of the state: \
             the open windows, stream time and the count of late sales. Chapter 8, 'State that survives'.",
            sales.len(),
            windows.state.late,
            difference(&closed, &expected)
        );
    }
    assert!(
        Windows::restore(SIZE, GRACE, "{\"open\":").is_err(),
        "text that was cut off is no saved state: return the error. Chapter 8, 'State that survives'."
    );
}
