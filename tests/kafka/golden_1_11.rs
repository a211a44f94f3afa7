//! What Flume 1.6 and 1.11 were recorded doing from other sources and through other channels and
//! sinks, case by case (`tests/golden-1.11/README.md` has the format): the same records, and the same
//! files in the end. Where the original is defective, the case says what is asked for instead.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::support::case::play;

/// What was recorded after longer waits shows here sooner, if it is wrong.
const SLEEP_MAX: Duration = Duration::from_secs(1);

macro_rules! cases {
    ($($test:ident = $case:literal,)*) => {
        $(#[test] fn $test() { play($case, SLEEP_MAX); })*
        const CASES: &[&str] = &[$($case),*];
    };
}

include!("golden_1_11_cases.rs");

/// Every recorded case runs.
#[test]
fn every_case_is_known() {
    // Those about sources are in another file.
    let known = CASES.iter().chain(crate::golden_flume::CASES);
    let mut known: Vec<&str> = known.copied().collect();
    let mut recorded: Vec<String> =
        fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden-1.11"))
            .expect("the cases")
            .map(|entry| entry.expect("an entry").path())
            .filter(|path| path.join("case.json").exists())
            .map(|path| path.file_name().expect("a name").to_string_lossy().into_owned())
            .collect();
    known.sort_unstable();
    recorded.sort_unstable();
    assert_eq!(known, recorded);
}
