//! Whose hour is it? Clocks that jump, summer time, time zones, leap days, other granularities.

use std::path::Path;

use flume_ng::clock::ManualClock;

use super::scene::{OLD_S, Scene, reader, skipped, spool};
use crate::support::Hour;
use crate::support::torture::{Group, V010, hazard};

/// 2024-02-28 23:59:59 UTC.
const BEFORE_LEAP_DAY_MS: i64 = 1_709_164_799_000;

#[test]
fn minutes_days_and_months_as_well_as_hours() {
    let clock = ManualClock::new(BEFORE_LEAP_DAY_MS, 0);
    for (pattern, before, after) in [
        ("yyyyMMddHHmm", "202402282359", "202402290000"),
        ("yyyyMMddHH", "2024022823", "2024022900"),
        ("yyyy-MM-dd", "2024-02-28", "2024-02-29"),
        ("yyyyDDD", "2024059", "2024060"),
    ] {
        clock.set_wall(BEFORE_LEAP_DAY_MS);
        let (_scene, mut files) = reader(pattern, &clock);
        let name = |stamp: &str| format!("010_{stamp}.log");
        assert!(files.is_target(Path::new(&name(before)).as_os_str()), "{pattern}");
        assert!(!files.is_target(Path::new(&name(after)).as_os_str()), "{pattern}");
        clock.advance(1_000);
        assert!(!files.is_target(Path::new(&name(before)).as_os_str()), "{pattern}");
        assert!(files.is_target(Path::new(&name(after)).as_os_str()), "{pattern}");
    }
    clock.set_wall(BEFORE_LEAP_DAY_MS + 86_400_000);
    let (_scene, mut files) = reader("yyyy-MM", &clock);
    assert!(files.is_target(Path::new("a.2024-02.log").as_os_str()));
    clock.advance(1_000);
    assert!(files.is_target(Path::new("a.2024-03.log").as_os_str()));
}

/// Central Europe, 2024: the 27th of October has the hour from two to three twice, the 31st of
/// March has none.
fn berlin(epoch_s: i64) -> (i32, &'static str) {
    let is_summer = (1_711_846_800..1_729_990_800).contains(&epoch_s);
    if is_summer { (7_200, "CEST") } else { (3_600, "CET") }
}

#[test]
fn the_repeated_hour_is_one_and_the_skipped_hour_is_none() {
    let clock = ManualClock::with_zone(1_729_990_800_000 - 1_800_000, berlin);
    let (_scene, mut files) = reader("yyyyMMddHH", &clock);
    let mut is_target = |name: &str| files.is_target(Path::new(name).as_os_str());
    assert!(is_target("010_2024102702.log"), "02:30 summer time");
    clock.advance(3_600_000);
    assert!(is_target("010_2024102702.log"), "02:30 winter time");
    clock.advance(3_600_000);
    assert!(is_target("010_2024102703.log") && !is_target("010_2024102702.log"));
    clock.set_wall(1_711_846_799_000);
    assert!(is_target("010_2024033101.log"), "01:59:59");
    clock.advance(1_000);
    assert!(is_target("010_2024033103.log") && !is_target("010_2024033102.log"), "03:00:00");
}

/// The agent under a clock that is told in a file, at that many seconds from now.
struct Faked {
    scene: Scene,
}

const LIBRARY: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";

impl Faked {
    fn new(scene: Scene, offset: &str) -> Option<Faked> {
        if !Path::new(LIBRARY).exists() {
            skipped("libfaketime is not installed");
            return None;
        }
        let file = scene.work.dir().join("clock");
        let mut faked = Faked {
            scene: scene.command(move |c| {
                c.env("LD_PRELOAD", LIBRARY)
                    .env("FAKETIME_TIMESTAMP_FILE", &file)
                    .env("FAKETIME_NO_CACHE", "1")
                    .env("NO_FAKE_STAT", "1")
                    .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
                    .env("DONT_FAKE_MONOTONIC", "1");
            }),
        };
        faked.jumps(offset);
        faked.scene.start();
        Some(faked)
    }

    /// `+3600s`, `-1h`, ...
    fn jumps(&mut self, offset: &str) {
        let (file, new) = (self.scene.work.dir().join("clock"), self.scene.work.dir().join("new"));
        std::fs::write(&new, format!("{offset}\n")).expect("a time");
        std::fs::rename(new, file).expect("a time");
    }
}

#[test]
fn a_clock_set_forward_and_back_loses_and_repeats_nothing() {
    let _row = hazard(Group::Lines, "clock set forward and back", V010);
    let scene = spool("jump").file("a_{H}.log", "one\n", 5);
    let Some(mut faked) = Faked::new(scene, "+0s") else { return };
    faked.scene.arrive(1);
    let mut writer = faked.scene.writer("a_{H}.log");
    // An hour on: a new file, the old one is retired, its writer still has it.
    faked.jumps("+3600s");
    faked.scene.append("a_{H+1}.log", "two\n");
    faked.scene.becomes("a_{H}.log.COMPLETED");
    writer.writes("late\n");
    faked.scene.arrive(3);
    // And back: the file of the hour to come is not the present one any more, but is not past
    // either, and there is a new one under the old name.
    faked.jumps("+0s");
    faked.scene.append("a_{H}.log", "again\n");
    faked.scene.arrive(4);
    faked.scene.append("a_{H+1}.log", "early\n");
    faked.scene.arrive(5);
    faked.jumps("+3600s");
    faked.scene.append("a_{H+1}.log", "second time\n");
    faked.scene.becomes("a_{H}.log.COMPLETED.1");
    faked.scene.in_the_end(&["one", "two", "late", "again", "early", "second time"]);
}

/// A jump of the clock does not end the grace time: half a line stays half a line.
#[test]
fn a_clock_set_forward_does_not_tear_an_unfinished_line() {
    let _row = hazard(Group::Lines, "clock set forward, half a line", V010);
    let scene = spool("jump-line").source("retireGraceMs", 3_000).file("a_{H}.log", "one\nha", 0);
    let Some(mut faked) = Faked::new(scene, "+0s") else { return };
    faked.scene.arrive(1);
    let mut writer = faked.scene.writer("a_{H}.log");
    faked.jumps("+3600s");
    faked.scene.append("a_{H+1}.log", "two\n");
    faked.scene.becomes("a_{H}.log.COMPLETED");
    writer.writes("lf\n");
    faked.scene.arrive(3);
    faked.scene.in_the_end(&["one", "two", "half"]);
}

/// A clock ten minutes ahead of the one that stamps the files: by its stamp the file has long been
/// left alone.
#[test]
fn a_clock_ahead_of_the_files_stamps_does_not_tear_an_unfinished_line() {
    let _row = hazard(Group::Lines, "clock ahead of the file's stamps, half a line", V010);
    let scene = spool("ahead")
        .source("retireGraceMs", 8_000)
        .file("a_{H-1}.log", "one\nha", 0)
        .file("b_{H}.log", "two\n", 0);
    let Some(mut faked) = Faked::new(scene, "+600s") else { return };
    faked.scene.arrive(2);
    faked.scene.becomes("a_{H-1}.log.COMPLETED");
    faked.scene.append("a_{H-1}.log.COMPLETED", "lf\n");
    faked.scene.arrive(3);
    faked.scene.in_the_end_in_any_order(&["one", "two", "half"]);
}

/// Made before its hour, as some rotating tools do: it would have been renamed, or deleted, while it
/// was empty, and its writer had it open.
#[test]
fn a_file_of_a_coming_hour_is_left_alone() {
    let _row = hazard(Group::Lines, "empty file of a coming hour", V010);
    for policy in ["never", "immediate"] {
        let mut scene = spool("coming")
            .source("deletePolicy", policy)
            .file("a_{H-1}.log", "one\n", OLD_S)
            .file("a_{H}.log", "two\n", 0)
            .file("a_{H+1}.log", "", 0)
            .file("a_{H+9}.log", "", OLD_S)
            .agent_runs();
        let mut writer = scene.writer("a_{H+1}.log");
        scene.vanishes("a_{H-1}.log");
        scene.receipts(1);
        assert!(scene.exists("a_{H+1}.log") && scene.exists("a_{H+9}.log"), "{}", scene.log());
        writer.writes("early\n");
        scene.append("a_{H+9}.log", "very early\n");
        scene.in_the_end_in_any_order(&["one", "two", "early", "very early"]);
        assert!(scene.exists("a_{H+1}.log") && scene.exists("a_{H+9}.log"), "{}", scene.log());
    }
}

#[test]
fn an_empty_file_of_this_hour_is_not_retired() {
    let _row = hazard(Group::Lines, "old name, empty and new", V010);
    let mut scene = spool("empty-new")
        .source("deletePolicy", "immediate")
        .file("a_{H-1}.log", "one\n", OLD_S)
        .file("b_{H-1}.log", "", OLD_S)
        .file("new_{H-1}.log", "", 0)
        .file("a_{H}.log", "two\n", 0)
        .agent_runs();
    let mut writer = scene.writer("new_{H-1}.log");
    scene.vanishes("a_{H-1}.log");
    scene.vanishes("b_{H-1}.log");
    assert!(scene.exists("new_{H-1}.log"), "{}", scene.log());
    writer.writes("three\n");
    scene.vanishes("new_{H-1}.log");
    writer.writes("four\n");
    scene.in_the_end_in_any_order(&["one", "two", "three", "four"]);
}

fn present_in(zone: &str, name: &str) {
    let command_zone = zone.to_owned();
    let mut scene = spool("zone")
        .command(move |c| {
            c.env("TZ", &command_zone);
        })
        .file("0_2001010100.log", "old\n", OLD_S)
        .file(name, "present\n", 2 * OLD_S);
    scene.start();
    // The present one is older by its time of modification, and stays all the same.
    scene.becomes("0_2001010100.log.COMPLETED");
    assert!(scene.exists(name), "{zone}: {name}\n{}", scene.log());
    scene.arrive(2);
    scene.stop();
}

#[test]
fn the_zone_of_the_environment_counts() {
    let work_hour = |zone_hours: i64| {
        let hour = Hour::calm("%Y%m%d%H");
        // Tests run in the machine's zone; the name is made for another one.
        let utc_offset = offset_of_this_machine_h();
        hour.name(&format!("a_{{H{:+}}}.log", zone_hours - utc_offset))
    };
    present_in("UTC", &work_hour(0));
    present_in("Asia/Shanghai", &work_hour(8));
    present_in("EST5", &work_hour(-5));
}

fn offset_of_this_machine_h() -> i64 {
    // SAFETY: a tm of zeros is valid; localtime_r writes to it and nowhere else.
    unsafe {
        let mut tm: libc::tm = std::mem::zeroed();
        let now = libc::time(std::ptr::null_mut());
        libc::localtime_r(&now, &mut tm);
        tm.tm_gmtoff / 3600
    }
}

/// Roll-overs by the minute, with a writer that keeps the old file for a while: the original lost
/// 32 late lines of 40.
#[test]
fn roll_overs_under_load_lose_nothing() {
    let _row = hazard(Group::Lines, "roll-overs under load", V010);
    let scene = spool("rolls").file("a_{H}.log", "", 0);
    let Some(mut faked) = Faked::new(scene, "+0s") else { return };
    let mut wanted = Vec::new();
    let mut old = faked.scene.writer("a_{H}.log");
    // Its time of modification is the real one: a file that was first seen after the next jump
    // would be an hour old.
    faked.scene.log_says("spool/a_{H}.log at byte 0");
    for hour in 1..=4 {
        faked.jumps(&format!("+{}s", hour * 3600));
        let mut new = faked.scene.writer(&format!("a_{{H+{hour}}}.log"));
        for n in 0..400 {
            let line = format!("hour {hour} line {n}");
            // One write in ten still goes to the old file.
            let to = if n % 10 == 0 { &mut old } else { &mut new };
            to.writes(format!("{line}\n"));
            wanted.push(line);
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        old = new;
        faked.scene.log_says(&format!("spool/a_{{H+{hour}}}.log at byte 0"));
    }
    faked.scene.receipts(3);
    faked.scene.in_the_end_in_any_order(&wanted);
}
