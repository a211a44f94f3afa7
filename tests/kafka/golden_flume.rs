//! What Flume 1.11 was recorded doing, case by case (`tests/golden-1.11`).

use std::time::Duration;

use crate::support::case::play;

macro_rules! cases {
    ($($test:ident = $case:literal,)*) => {
        $(#[test] fn $test() { play($case, Duration::MAX); })*
        pub(crate) const CASES: &[&str] = &[$($case),*];
    };
}

cases! {
    one_file = "01-one-file",
    groups_to_topics = "02-groups-to-topics",
    headers_of_file_and_offset = "03-headers-of-file-and-offset",
    skip_to_end = "04-skip-to-end",
    empty_lines_and_cr = "05-empty-lines-and-cr",
    long_lines = "06-long-lines",
    bytes_not_text = "07-bytes-not-text",
    last_line_waits = "08-last-line-waits",
    last_line_at_idle_timeout = "09-last-line-at-idle-timeout",
    files_appear_later = "10-files-appear-later",
    append_after_idle_close = "11-append-after-idle-close",
    renamed_within_the_pattern = "12-renamed-within-the-pattern",
    rotated_out_of_the_pattern = "13-rotated-out-of-the-pattern",
    truncated = "14-truncated",
    stop_and_start = "15-stop-and-start",
    kill_before_the_first_position = "16-kill-before-the-first-position",
    order_of_files_and_batches = "17-order-of-files-and-batches",
    position_file_is_garbage = "18-position-file-is-garbage",
    position_file_of_flume_taken_over = "19-position-file-of-flume-taken-over",
    misspelt_properties = "20-misspelt-properties",
    default_position_file = "28-default-position-file",
    spool_three_files = "21-spool-three-files",
    spool_empty_and_overlong = "22-spool-empty-and-overlong",
    spool_charsets = "23-spool-charsets",
    spool_which_files = "24-spool-which-files",
    spool_tracker_dir_policy = "26-spool-tracker-dir-policy",
    spool_delete_and_youngest = "25-spool-delete-and-youngest",
    spool_written_while_read = "27-spool-written-while-read",
    exec_tail_from_start = "31-exec-tail-from-start",
    exec_tail_restart = "32-exec-tail-F-restart",
    exec_shell_rotation = "33-exec-shell-n0-rotation",
}
