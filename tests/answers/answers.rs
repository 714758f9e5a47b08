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
#![allow(
    clippy::all,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "every answer mounts its exercise's check, as the exercise does, and is written as a learner writes"
)]

#[path = "right/01a_delivery_report_queued_first.rs"]
mod right_01a_delivery_report_queued_first;
#[path = "right/01b_flush_before_exit_awaits_the_reports.rs"]
mod right_01b_flush_before_exit_awaits_the_reports;
#[path = "right/02a_typed_events_match_on_the_headers.rs"]
mod right_02a_typed_events_match_on_the_headers;
#[path = "right/02b_evolve_a_schema_a_struct_for_version_1.rs"]
mod right_02b_evolve_a_schema_a_struct_for_version_1;
#[path = "right/03a_commit_after_work_a_list_for_each_batch.rs"]
mod right_03a_commit_after_work_a_list_for_each_batch;
#[path = "right/03a_commit_after_work_async_commits.rs"]
mod right_03a_commit_after_work_async_commits;
#[path = "right/03a_commit_after_work_stored_offsets.rs"]
mod right_03a_commit_after_work_stored_offsets;
#[path = "right/03b_commit_on_revoke_only_what_is_revoked.rs"]
mod right_03b_commit_on_revoke_only_what_is_revoked;
#[path = "right/04a_translate_orders_collected.rs"]
mod right_04a_translate_orders_collected;
#[path = "right/05a_idempotent_producer_every_setting_by_name.rs"]
mod right_05a_idempotent_producer_every_setting_by_name;
#[path = "right/06a_never_skip_pauses_everything.rs"]
mod right_06a_never_skip_pauses_everything;
#[path = "right/06a_never_skip_seeks_when_it_resumes.rs"]
mod right_06a_never_skip_seeks_when_it_resumes;
#[path = "right/07a_exactly_once_awaits_each_report.rs"]
mod right_07a_exactly_once_awaits_each_report;
#[path = "right/07a_exactly_once_offset_list.rs"]
mod right_07a_exactly_once_offset_list;
#[path = "right/10a_pipeline_sends_in_chunks.rs"]
mod right_10a_pipeline_sends_in_chunks;
#[path = "wrong/01a_delivery_report_no_key.rs"]
mod wrong_01a_delivery_report_no_key;
#[path = "wrong/01a_delivery_report_not_awaited.rs"]
mod wrong_01a_delivery_report_not_awaited;
#[path = "wrong/01a_delivery_report_tries_for_ever.rs"]
mod wrong_01a_delivery_report_tries_for_ever;
#[path = "wrong/01b_flush_before_exit_flush_is_all.rs"]
mod wrong_01b_flush_before_exit_flush_is_all;
#[path = "wrong/01b_flush_before_exit_flush_per_record.rs"]
mod wrong_01b_flush_before_exit_flush_per_record;
#[path = "wrong/01b_flush_before_exit_no_flush.rs"]
mod wrong_01b_flush_before_exit_no_flush;
#[path = "wrong/01b_flush_before_exit_result_ignored.rs"]
mod wrong_01b_flush_before_exit_result_ignored;
#[path = "wrong/01b_flush_before_exit_waits_for_ever.rs"]
mod wrong_01b_flush_before_exit_waits_for_ever;
#[path = "wrong/02a_typed_events_denies_unknown_fields.rs"]
mod wrong_02a_typed_events_denies_unknown_fields;
#[path = "wrong/02a_typed_events_forgets_the_headers.rs"]
mod wrong_02a_typed_events_forgets_the_headers;
#[path = "wrong/02a_typed_events_ignores_the_type.rs"]
mod wrong_02a_typed_events_ignores_the_type;
#[path = "wrong/02a_typed_events_unwraps.rs"]
mod wrong_02a_typed_events_unwraps;
#[path = "wrong/02b_evolve_a_schema_header_stays_1.rs"]
mod wrong_02b_evolve_a_schema_header_stays_1;
#[path = "wrong/02b_evolve_a_schema_kilograms_as_grams.rs"]
mod wrong_02b_evolve_a_schema_kilograms_as_grams;
#[path = "wrong/02b_evolve_a_schema_missing_fields_are_zero.rs"]
mod wrong_02b_evolve_a_schema_missing_fields_are_zero;
#[path = "wrong/02b_evolve_a_schema_version_1_is_over.rs"]
mod wrong_02b_evolve_a_schema_version_1_is_over;
#[path = "wrong/03a_commit_after_work_auto_commit.rs"]
mod wrong_03a_commit_after_work_auto_commit;
#[path = "wrong/03a_commit_after_work_commit_first.rs"]
mod wrong_03a_commit_after_work_commit_first;
#[path = "wrong/03a_commit_after_work_error_swallowed.rs"]
mod wrong_03a_commit_after_work_error_swallowed;
#[path = "wrong/03a_commit_after_work_never_commits.rs"]
mod wrong_03a_commit_after_work_never_commits;
#[path = "wrong/03a_commit_after_work_never_ends.rs"]
mod wrong_03a_commit_after_work_never_ends;
#[path = "wrong/03a_commit_after_work_offset_of_the_record.rs"]
mod wrong_03a_commit_after_work_offset_of_the_record;
#[path = "wrong/03b_commit_on_revoke_commit_on_assign.rs"]
mod wrong_03b_commit_on_revoke_commit_on_assign;
#[path = "wrong/03b_commit_on_revoke_done_is_kept.rs"]
mod wrong_03b_commit_on_revoke_done_is_kept;
#[path = "wrong/03b_commit_on_revoke_forgotten_without_a_commit.rs"]
mod wrong_03b_commit_on_revoke_forgotten_without_a_commit;
#[path = "wrong/03b_commit_on_revoke_nothing_on_revoke.rs"]
mod wrong_03b_commit_on_revoke_nothing_on_revoke;
#[path = "wrong/04a_translate_orders_bad_lines_left_out.rs"]
mod wrong_04a_translate_orders_bad_lines_left_out;
#[path = "wrong/04a_translate_orders_field_not_named.rs"]
mod wrong_04a_translate_orders_field_not_named;
#[path = "wrong/04a_translate_orders_prices_as_floats.rs"]
mod wrong_04a_translate_orders_prices_as_floats;
#[path = "wrong/04a_translate_orders_quantity_made_up.rs"]
mod wrong_04a_translate_orders_quantity_made_up;
#[path = "wrong/04a_translate_orders_total_believed.rs"]
mod wrong_04a_translate_orders_total_believed;
#[path = "wrong/05a_idempotent_producer_contradiction.rs"]
mod wrong_05a_idempotent_producer_contradiction;
#[path = "wrong/05a_idempotent_producer_defaults.rs"]
mod wrong_05a_idempotent_producer_defaults;
#[path = "wrong/05a_idempotent_producer_no_acks.rs"]
mod wrong_05a_idempotent_producer_no_acks;
#[path = "wrong/05a_idempotent_producer_no_broker.rs"]
mod wrong_05a_idempotent_producer_no_broker;
#[path = "wrong/05a_idempotent_producer_no_patience.rs"]
mod wrong_05a_idempotent_producer_no_patience;
#[path = "wrong/05a_idempotent_producer_no_retries.rs"]
mod wrong_05a_idempotent_producer_no_retries;
#[path = "wrong/05a_idempotent_producer_one_in_flight.rs"]
mod wrong_05a_idempotent_producer_one_in_flight;
#[path = "wrong/06a_never_skip_logs_and_goes_on.rs"]
mod wrong_06a_never_skip_logs_and_goes_on;
#[path = "wrong/06a_never_skip_never_resumes.rs"]
mod wrong_06a_never_skip_never_resumes;
#[path = "wrong/06a_never_skip_only_pauses.rs"]
mod wrong_06a_never_skip_only_pauses;
#[path = "wrong/06a_never_skip_only_seeks.rs"]
mod wrong_06a_never_skip_only_seeks;
#[path = "wrong/06a_never_skip_sleeps.rs"]
mod wrong_06a_never_skip_sleeps;
#[path = "wrong/06b_dead_letter_commits_first.rs"]
mod wrong_06b_dead_letter_commits_first;
#[path = "wrong/06b_dead_letter_forgets_the_headers.rs"]
mod wrong_06b_dead_letter_forgets_the_headers;
#[path = "wrong/06b_dead_letter_makes_text_of_it.rs"]
mod wrong_06b_dead_letter_makes_text_of_it;
#[path = "wrong/06b_dead_letter_swallows_the_report.rs"]
mod wrong_06b_dead_letter_swallows_the_report;
#[path = "wrong/07a_exactly_once_commits_the_last_offset.rs"]
mod wrong_07a_exactly_once_commits_the_last_offset;
#[path = "wrong/07a_exactly_once_consumer_commits.rs"]
mod wrong_07a_exactly_once_consumer_commits;
#[path = "wrong/07a_exactly_once_does_not_abort.rs"]
mod wrong_07a_exactly_once_does_not_abort;
#[path = "wrong/07a_exactly_once_does_not_go_back.rs"]
mod wrong_07a_exactly_once_does_not_go_back;
#[path = "wrong/07a_exactly_once_swallows_errors.rs"]
mod wrong_07a_exactly_once_swallows_errors;
#[path = "wrong/07b_fence_the_zombie_begins_anew.rs"]
mod wrong_07b_fence_the_zombie_begins_anew;
#[path = "wrong/07b_fence_the_zombie_does_not_abort.rs"]
mod wrong_07b_fence_the_zombie_does_not_abort;
#[path = "wrong/07b_fence_the_zombie_swallows_the_error.rs"]
mod wrong_07b_fence_the_zombie_swallows_the_error;
#[path = "wrong/07b_fence_the_zombie_tries_for_ever.rs"]
mod wrong_07b_fence_the_zombie_tries_for_ever;
#[path = "wrong/08a_tumbling_window_no_grace.rs"]
mod wrong_08a_tumbling_window_no_grace;
#[path = "wrong/08a_tumbling_window_opens_again.rs"]
mod wrong_08a_tumbling_window_opens_again;
#[path = "wrong/08a_tumbling_window_rounds_towards_zero.rs"]
mod wrong_08a_tumbling_window_rounds_towards_zero;
#[path = "wrong/08a_tumbling_window_saves_only_the_windows.rs"]
mod wrong_08a_tumbling_window_saves_only_the_windows;
#[path = "wrong/08a_tumbling_window_time_goes_back.rs"]
mod wrong_08a_tumbling_window_time_goes_back;
#[path = "wrong/09a_trace_headers_adds_a_second.rs"]
mod wrong_09a_trace_headers_adds_a_second;
#[path = "wrong/09a_trace_headers_begins_anew.rs"]
mod wrong_09a_trace_headers_begins_anew;
#[path = "wrong/09a_trace_headers_believes_everything.rs"]
mod wrong_09a_trace_headers_believes_everything;
#[path = "wrong/09a_trace_headers_copies_the_header.rs"]
mod wrong_09a_trace_headers_copies_the_header;
#[path = "wrong/10a_pipeline_sends_a_task_for_each.rs"]
mod wrong_10a_pipeline_sends_a_task_for_each;
#[path = "wrong/10a_pipeline_sends_awaits_each.rs"]
mod wrong_10a_pipeline_sends_awaits_each;
#[path = "wrong/10a_pipeline_sends_drops_when_full.rs"]
mod wrong_10a_pipeline_sends_drops_when_full;
#[path = "wrong/10a_pipeline_sends_flushes_each.rs"]
mod wrong_10a_pipeline_sends_flushes_each;
#[path = "wrong/10a_pipeline_sends_ignores_reports.rs"]
mod wrong_10a_pipeline_sends_ignores_reports;
#[path = "wrong/10a_pipeline_sends_not_idempotent.rs"]
mod wrong_10a_pipeline_sends_not_idempotent;
