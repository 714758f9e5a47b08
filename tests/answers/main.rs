//! Answers to the exercises, each a whole file as a learner would have it, with the exercise's check mounted in it.
//!
//! A wrong one says in its first line which mistake it makes and in its second what the check has to say of it:
//!
//! ```text
//! //! Wrong answer to 1a: sends without a key.
//! //! Refused with: "the customer is the record's key"
//! ```
//!
//! A right one says in its first line how it differs from the solution. Run one: `cargo test --package answers --test answers wrong_01a_delivery_report_no_key::`. That it fails is right.
#![allow(
    dead_code,
    reason = "an answer is a whole program with a `main`, and nobody calls it here"
)]

#[path = "right/01a_delivery_report_queued_first.rs"]
mod right_01a_delivery_report_queued_first;
#[path = "wrong/01a_delivery_report_no_key.rs"]
mod wrong_01a_delivery_report_no_key;
#[path = "wrong/01a_delivery_report_not_awaited.rs"]
mod wrong_01a_delivery_report_not_awaited;
#[path = "wrong/01a_delivery_report_tries_for_ever.rs"]
mod wrong_01a_delivery_report_tries_for_ever;
