//! Whatever a client sends, the broker does not panic: `cargo +nightly fuzz run frames`, in `crates/embedded-broker`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    embedded_broker::fuzzing::serve_frames(input).expect("a runtime");
});
