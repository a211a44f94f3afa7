//! Each binary is the target of its own name.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| flume_ng::fuzz::run(env!("CARGO_BIN_NAME"), data));
