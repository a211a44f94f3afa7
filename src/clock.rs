//! Time: the wall clock, a monotonic clock, and local time.

use std::cell::Cell;
use std::fmt;
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use time::{OffsetDateTime, UtcOffset};

use crate::os;

/// Where the agent takes its time from.
pub trait Clock {
    /// The wall clock: milliseconds since 1970-01-01 00:00 UTC. It may jump
    /// in both directions.
    fn now_ms(&self) -> i64;

    /// Milliseconds from some fixed point; never goes back. For timeouts.
    fn monotonic_ms(&self) -> u64;

    /// A point of the wall clock as local time shows it. `epoch_ms` as in
    /// [`Clock::now_ms`]; what is outside the years -9999 to 9999 is taken
    /// for the nearest point inside.
    fn local(&self, epoch_ms: i64) -> LocalTime;
}

/// The first wait between two tries, ms, which is Flume's; the longest cannot be shorter.
pub const BACKOFF_MS_MIN: u64 = 250;

/// Waits between tries, each twice as long as the one before.
#[derive(Debug, Clone, Copy)]
pub struct Backoff {
    next_ms: u64,
}

impl Default for Backoff {
    fn default() -> Backoff {
        Backoff { next_ms: BACKOFF_MS_MIN }
    }
}

impl Backoff {
    /// How long to wait before the next try, ms; not longer than `max_ms`.
    pub fn next_ms(&mut self, max_ms: u64) -> u64 {
        let wait_ms = self.next_ms.min(max_ms);
        self.next_ms = (wait_ms * 2).min(max_ms);
        wait_ms
    }
}

/// The abbreviation of a time zone, such as `CST`; at most 15 bytes are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct ZoneName {
    bytes: [u8; 15],
    length: u8,
}

impl ZoneName {
    fn new(name: &str) -> ZoneName {
        let mut bytes = [0; 15];
        let mut length = name.len().min(bytes.len());
        while !name.is_char_boundary(length) {
            length -= 1;
        }
        bytes[..length].copy_from_slice(&name.as_bytes()[..length]);
        ZoneName { bytes, length: length as u8 }
    }

    fn as_str(&self) -> &str {
        // `new` copied whole characters.
        std::str::from_utf8(&self.bytes[..usize::from(self.length)]).unwrap_or("")
    }
}

/// A point in time with the offset and name of its zone.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct LocalTime {
    at: OffsetDateTime,
    epoch_ms: i64,
    zone: ZoneName,
}

impl LocalTime {
    /// Local time at `epoch_ms` (since 1970 UTC), `offset_s` seconds east of
    /// UTC, in a zone abbreviated as `zone`.
    ///
    /// A time outside the years -9999 to 9999 becomes the nearest inside; an
    /// offset of a day or more, which no zone has, becomes 0.
    pub fn new(epoch_ms: i64, offset_s: i32, zone: &str) -> LocalTime {
        // A day inside the range of years, for the offset to fit as well.
        const DAY_MS: i64 = 86_400_000;
        const FIRST: i64 = -377_705_116_800_000 + DAY_MS;
        const LAST: i64 = 253_402_300_799_999 - DAY_MS;
        let epoch_ms = epoch_ms.clamp(FIRST, LAST);
        let utc = OffsetDateTime::from_unix_timestamp_nanos(i128::from(epoch_ms) * 1_000_000)
            .unwrap_or(OffsetDateTime::UNIX_EPOCH);
        let offset = UtcOffset::from_whole_seconds(offset_s).unwrap_or(UtcOffset::UTC);
        LocalTime { at: utc.to_offset(offset), epoch_ms, zone: ZoneName::new(zone) }
    }

    /// Milliseconds since 1970-01-01 00:00 UTC.
    pub fn epoch_ms(&self) -> i64 {
        self.epoch_ms
    }

    /// Seconds east of UTC.
    pub fn offset_s(&self) -> i32 {
        self.at.offset().whole_seconds()
    }

    /// The abbreviation of the zone, such as `CST`, as the system has it.
    pub fn zone(&self) -> &str {
        self.zone.as_str()
    }

    /// The calendar date and time of day.
    pub fn date_time(&self) -> OffsetDateTime {
        self.at
    }

    /// As `2026-11-28T14:02:33.250+01:00`.
    pub fn rfc3339(&self) -> String {
        let (at, offset_s) = (self.at, self.offset_s());
        let sign = if offset_s < 0 { '-' } else { '+' };
        format!(
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}{sign}{:02}:{:02}",
            at.year(),
            u8::from(at.month()),
            at.day(),
            at.hour(),
            at.minute(),
            at.second(),
            at.millisecond(),
            offset_s.abs() / 3_600,
            offset_s.abs() / 60 % 60
        )
    }

    /// The stamp of a log line: `yy/MM/dd HH:mm:ss`.
    pub fn log_stamp(&self) -> LogStamp {
        let two = |n: i32| [b'0' + (n / 10 % 10) as u8, b'0' + (n % 10) as u8];
        let fields = [
            self.at.year().rem_euclid(100),
            i32::from(u8::from(self.at.month())),
            i32::from(self.at.day()),
            i32::from(self.at.hour()),
            i32::from(self.at.minute()),
            i32::from(self.at.second()),
        ];
        let mut bytes = *b"00/00/00 00:00:00";
        for (place, field) in bytes.chunks_mut(3).zip(fields) {
            place[..2].copy_from_slice(&two(field));
        }
        LogStamp(bytes)
    }
}

impl fmt::Debug for LocalTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.at, self.zone())
    }
}

/// The stamp of a log line, ready to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogStamp([u8; 17]);

impl LogStamp {
    /// The 17 characters, all ASCII.
    pub fn as_str(&self) -> &str {
        // Digits and separators only.
        std::str::from_utf8(&self.0).unwrap_or("")
    }
}

impl fmt::Display for LogStamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Zones change their offset only at full quarters of an hour UTC.
const QUARTER_S: i64 = 15 * 60;

/// The real clock, in the zone of `TZ` or else of the system.
///
/// The zone is read once, as the JVM does it: a change of `/etc/localtime` is
/// seen at the next start. Offsets are remembered for a quarter of an hour,
/// the unit in which zones have changed since 1973.
#[derive(Debug)]
pub struct SystemClock {
    start: Instant,
    /// The quarter asked for last, with its offset and name.
    last: Cell<Option<(i64, i32, ZoneName)>>,
}

impl SystemClock {
    /// Reads the time zone and starts the monotonic clock at 0.
    pub fn new() -> SystemClock {
        os::read_time_zone();
        SystemClock { start: Instant::now(), last: Cell::new(None) }
    }
}

impl Default for SystemClock {
    fn default() -> SystemClock {
        SystemClock::new()
    }
}

impl Clock for SystemClock {
    fn now_ms(&self) -> i64 {
        let ms = |d: Duration| i64::try_from(d.as_millis()).unwrap_or(i64::MAX);
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => ms(since),
            Err(before) => -ms(before.duration()),
        }
    }

    fn monotonic_ms(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn local(&self, epoch_ms: i64) -> LocalTime {
        let epoch_s = epoch_ms.div_euclid(1000);
        let quarter = epoch_s.div_euclid(QUARTER_S);
        let (offset, zone) = match self.last.get() {
            Some((at, offset, zone)) if at == quarter => (offset, zone),
            _ => {
                let (offset, zone) = system_zone(epoch_s);
                self.last.set(Some((quarter, offset, zone)));
                (offset, zone)
            }
        };
        LocalTime::new(epoch_ms, offset, zone.as_str())
    }
}

/// The offset, in seconds east of UTC, and the name of the local zone; UTC for a year that does not
/// fit.
fn system_zone(epoch_s: i64) -> (i32, ZoneName) {
    match os::local_zone(epoch_s) {
        Some((offset_s, name)) => (offset_s, ZoneName::new(&name)),
        None => (0, ZoneName::new("UTC")),
    }
}

/// A zone as a function: epoch seconds to the offset in seconds east of UTC
/// and the zone's abbreviation.
type ZoneRule = dyn Fn(i64) -> (i32, &'static str);

/// A clock that stands still until it is set, for tests and simulations.
/// Clones share their time.
#[derive(Clone)]
pub struct ManualClock {
    wall: Rc<Cell<i64>>,
    monotonic: Rc<Cell<u64>>,
    zone: Rc<ZoneRule>,
}

impl ManualClock {
    /// A clock at `epoch_ms` (since 1970 UTC), `offset_s` seconds east of
    /// UTC; its monotonic time is 0.
    pub fn new(epoch_ms: i64, offset_s: i32) -> ManualClock {
        let name = if offset_s == 0 { "UTC" } else { "" };
        ManualClock::with_zone(epoch_ms, move |_| (offset_s, name))
    }

    /// A clock whose zone is given by a rule: epoch seconds to the offset in
    /// seconds east of UTC and the abbreviation.
    pub fn with_zone(
        epoch_ms: i64,
        rule: impl Fn(i64) -> (i32, &'static str) + 'static,
    ) -> ManualClock {
        ManualClock {
            wall: Rc::new(Cell::new(epoch_ms)),
            monotonic: Rc::new(Cell::new(0)),
            zone: Rc::new(rule),
        }
    }

    /// Lets time pass on both clocks.
    pub fn advance(&self, ms: u64) {
        let step = i64::try_from(ms).unwrap_or(i64::MAX);
        self.wall.set(self.wall.get().saturating_add(step));
        self.monotonic.set(self.monotonic.get().saturating_add(ms));
    }

    /// Makes the wall clock jump; the monotonic one does not notice.
    pub fn set_wall(&self, epoch_ms: i64) {
        self.wall.set(epoch_ms);
    }
}

impl fmt::Debug for ManualClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ManualClock")
            .field("wall", &self.wall.get())
            .field("monotonic", &self.monotonic.get())
            .finish_non_exhaustive()
    }
}

impl Clock for ManualClock {
    fn now_ms(&self) -> i64 {
        self.wall.get()
    }

    fn monotonic_ms(&self) -> u64 {
        self.monotonic.get()
    }

    fn local(&self, epoch_ms: i64) -> LocalTime {
        let (offset, name) = (self.zone)(epoch_ms.div_euclid(1000));
        LocalTime::new(epoch_ms, offset, name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_stamp_has_two_digits_everywhere() {
        let at = |ms, offset| LocalTime::new(ms, offset, "X").log_stamp().to_string();
        assert_eq!(at(0, 0), "70/01/01 00:00:00");
        assert_eq!(at(-1, 0), "69/12/31 23:59:59");
        assert_eq!(at(1_709_164_799_999, 20_700), "24/02/29 05:44:59");
    }

    #[test]
    fn absurd_times_and_offsets_do_not_panic() {
        for ms in [i64::MIN, i64::MAX] {
            for offset in [i32::MIN, -86_399, 86_399, i32::MAX] {
                LocalTime::new(ms, offset, "a name that is much too long é").log_stamp();
            }
        }
        let clock = SystemClock::new();
        clock.local(i64::MIN);
        clock.local(i64::MAX);
    }

    #[test]
    fn manual_clock_is_shared_and_jumps() {
        let clock = ManualClock::new(1_000, 3_600);
        let other = clock.clone();
        clock.advance(500);
        assert_eq!((other.now_ms(), other.monotonic_ms()), (1_500, 500));
        clock.set_wall(0);
        assert_eq!((other.now_ms(), other.monotonic_ms()), (0, 500));
        assert_eq!(other.local(0).offset_s(), 3_600);
    }

    #[test]
    fn system_clock_goes_forward() {
        let clock = SystemClock::new();
        assert!(clock.now_ms() > 1_700_000_000_000);
        let before = clock.monotonic_ms();
        std::thread::sleep(Duration::from_millis(3));
        assert!(clock.monotonic_ms() >= before + 2);
    }

    /// What the child process of the next test prints.
    #[test]
    #[ignore = "run by system_clock_follows_tz with TZ set"]
    fn child_prints_zones() {
        let clock = SystemClock::new();
        for ms in CHANGES {
            let local = clock.local(ms);
            println!("zone={} {} {}", ms, local.offset_s(), local.zone());
        }
    }

    /// A second before and after New York and Lord Howe change to summer
    /// time in 2024, and a summer's day.
    const CHANGES: [i64; 5] = [
        1_710_053_999_000,
        1_710_054_000_000,
        1_720_000_000_000,
        1_728_142_199_000,
        1_728_142_200_000,
    ];

    #[test]
    fn system_clock_follows_tz() {
        // POSIX rules, so that no zone files are needed.
        let cases = [
            ("UTC0", [0, 0, 0, 0, 0], ["UTC"; 5]),
            ("NPT-5:45", [20_700; 5], ["NPT"; 5]),
            (
                "EST5EDT,M3.2.0,M11.1.0",
                [-18_000, -14_400, -14_400, -14_400, -14_400],
                ["EST", "EDT", "EDT", "EDT", "EDT"],
            ),
            (
                "LHST-10:30LHDT-11,M10.1.0,M4.1.0",
                [39_600, 39_600, 37_800, 37_800, 39_600],
                ["LHDT", "LHDT", "LHST", "LHST", "LHDT"],
            ),
        ];
        let test = std::env::current_exe().expect("the test knows its own path");
        for (tz, offsets, names) in cases {
            let output = std::process::Command::new(&test)
                .args(["--ignored", "--nocapture", "--exact", "clock::tests::child_prints_zones"])
                .env("TZ", tz)
                .output()
                .expect("the test starts itself");
            let text = String::from_utf8_lossy(&output.stdout);
            for ((ms, offset), name) in CHANGES.iter().zip(offsets).zip(names) {
                let line = format!("zone={ms} {offset} {name}\n");
                assert!(text.contains(&line), "{tz}: no {line:?} in {text}");
            }
        }
    }
}
