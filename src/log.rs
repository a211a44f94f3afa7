//! Log lines as log4j would write them: `yy/MM/dd HH:mm:ss LEVEL pkg.Class: message`, to stderr.
//!
//! A line is one write(2), but for long ones that a reader takes in pieces, so that lines of several
//! processes do not mix. A write that fails (stderr closed, disk full) loses the line and nothing else: the
//! agent must not stop over its log. Nor may it over a reader that has stopped: that one is waited for once,
//! then lines are lost until it reads again, and how many is the next line.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt::{self, Write as _};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use crate::clock::{Clock as _, LocalTime, SystemClock};
use crate::os::{self, Taken};

/// Severity, in log4j's order; as a threshold, `Off` lets nothing pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Level {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
    Fatal,
    Off,
}

impl Level {
    const ALL: [(Level, &'static str); 7] = [
        (Level::Trace, "TRACE"),
        (Level::Debug, "DEBUG"),
        (Level::Info, "INFO"),
        (Level::Warn, "WARN"),
        (Level::Error, "ERROR"),
        (Level::Fatal, "FATAL"),
        (Level::Off, "OFF"),
    ];

    /// The level of that name in any letter case; `ALL` is `TRACE`.
    pub fn for_name(name: &str) -> Option<Level> {
        if name.eq_ignore_ascii_case("ALL") {
            return Some(Level::Trace);
        }
        Level::ALL.iter().find(|(_, n)| n.eq_ignore_ascii_case(name)).map(|(level, _)| *level)
    }

    pub fn name(self) -> &'static str {
        Level::ALL[self as usize].1
    }
}

/// How lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Format {
    /// As log4j does.
    Text,
    /// One JSON object for each line.
    Json,
}

/// What a line is about, for who searches lines by it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct About<'a> {
    pub file: Option<&'a str>,
    pub topic: Option<&'a str>,
    pub partition: Option<i32>,
    pub offset: Option<i64>,
}

static FORMAT: AtomicU8 = AtomicU8::new(Format::Text as u8);

/// Sets how lines are written (`Text` at first).
pub fn set_format(format: Format) {
    FORMAT.store(format as u8, Ordering::Relaxed);
}

thread_local! {
    /// The lowest level that is written. The program has one thread; of tests each has its own.
    static THRESHOLD: Cell<Level> = const { Cell::new(Level::Info) };
    /// Lines of this thread, while a test listens.
    static CAPTURED: RefCell<Option<Vec<String>>> = const { RefCell::new(None) };
    static CLOCK: SystemClock = SystemClock::new();
    /// The last warnings, for those who look without the log at hand.
    static WARNINGS: RefCell<VecDeque<String>> = const { RefCell::new(VecDeque::new()) };
    static LOST: Cell<Lost> = const { Cell::new(Lost { lines: 0, is_torn: false }) };
}

/// Lines that were not taken.
#[derive(Debug, Clone, Copy, Default)]
struct Lost {
    lines: u64,
    /// The last one was taken in part.
    is_torn: bool,
}

/// For how long a reader that is slow, and may have stopped, is waited for.
const PATIENCE: Duration = Duration::from_millis(100);

/// How many warnings are kept, and how many characters of each.
const WARNINGS_MAX: usize = 50;
const WARNING_CHARS_MAX: usize = 1_000;

/// The last fifty lines of WARN and above that this thread wrote, the oldest first; long ones are cut.
pub fn last_warnings() -> Vec<String> {
    WARNINGS.with_borrow(|warnings| warnings.iter().cloned().collect())
}

fn keep(line: &str) {
    WARNINGS.with_borrow_mut(|warnings| {
        if warnings.len() == WARNINGS_MAX {
            warnings.pop_front();
        }
        warnings.push_back(line.chars().take(WARNING_CHARS_MAX).collect());
    });
}

/// Sets the lowest level that this thread writes (`Info` at first).
pub fn set_level(level: Level) {
    THRESHOLD.set(level);
}

/// Would a line of that level be written? For messages that are costly to build.
pub fn enabled(level: Level) -> bool {
    level >= THRESHOLD.get() && level != Level::Off
}

pub fn info(class: &str, message: fmt::Arguments<'_>) {
    log(Level::Info, class, message);
}

pub fn warn(class: &str, message: fmt::Arguments<'_>) {
    log(Level::Warn, class, message);
}

pub fn error(class: &str, message: fmt::Arguments<'_>) {
    log(Level::Error, class, message);
}

pub fn fatal(class: &str, message: fmt::Arguments<'_>) {
    log(Level::Fatal, class, message);
}

/// Troubles that come again with every try: each is to be told when it begins, when it changes, once a
/// minute at most as long as it lasts, and when it is over.
#[derive(Debug, Default)]
pub struct Repeats {
    told: Vec<Told>,
}

#[derive(Debug)]
struct Told {
    subject: String,
    what: String,
    /// Monotonic, ms.
    at_ms: u64,
}

/// The longest silence about what goes on, ms.
const REPEAT_MS: u64 = 60_000;
/// Subjects that are kept; whose trouble ended with themselves falls out.
const REPEATS_MAX: usize = 256;

impl Repeats {
    /// Is this to be told now? `now_ms`: the monotonic time.
    pub fn is_due(&mut self, subject: &str, what: &str, now_ms: u64) -> bool {
        let last = self.told.iter().position(|told| told.subject == subject);
        if let Some(at) = last {
            let told = &self.told[at];
            if told.what == what && now_ms < told.at_ms.saturating_add(REPEAT_MS) {
                return false;
            }
            self.told.remove(at);
        }
        if self.told.len() == REPEATS_MAX {
            self.told.remove(0);
        }
        self.told.push(Told { subject: subject.to_owned(), what: what.to_owned(), at_ms: now_ms });
        true
    }

    /// Nothing is wrong with it any more. Was it told?
    pub fn is_over(&mut self, subject: &str) -> bool {
        let last = self.told.iter().position(|told| told.subject == subject);
        last.map(|at| self.told.remove(at)).is_some()
    }
}

/// `1 line`, `2 lines`, `3 batches`.
pub fn counted(count: u64, what: &str) -> String {
    format!("{count} {}", plural(count, what))
}

/// The word, in the singular or the plural.
pub fn plural(count: u64, what: &str) -> String {
    let ending = match count {
        1 => "",
        _ if what.ends_with("ch") => "es",
        _ => "s",
    };
    format!("{what}{ending}")
}

/// Writes a line; `class` is the two last parts of Flume's class name, as in
/// `source.SpoolDirectoryTailFileSource`.
pub fn log(level: Level, class: &str, message: fmt::Arguments<'_>) {
    log_about(level, class, &About::default(), message);
}

/// Writes a line of which is known what it is about; only JSON shows that beside the message.
pub fn log_about(level: Level, class: &str, about: &About<'_>, message: fmt::Arguments<'_>) {
    if !enabled(level) {
        return;
    }
    let now = CLOCK.with(|clock| clock.local(clock.now_ms()));
    let mut line = now.log_stamp().to_string();
    // Writing to a String fails only if a Display does; what came before is logged all the same.
    let _ = write!(line, " {} {class}: ", level.name());
    let _ = write!(OneLine(&mut line), "{message}");
    let line = without_numbers(&line).into_owned();
    if level >= Level::Warn {
        keep(&line);
    }
    match FORMAT.load(Ordering::Relaxed) == Format::Json as u8 {
        true => emit(json_line(Some(&now), level, class, about, message)),
        false => emit(line),
    }
}

/// A line without a class or a stamp has none in JSON either.
fn json_line(
    at: Option<&LocalTime>,
    level: Level,
    class: &str,
    about: &About<'_>,
    message: fmt::Arguments<'_>,
) -> String {
    let mut text = String::new();
    let _ = write!(text, "{message}");
    let mut line = serde_json::Map::new();
    let mut add = |key: &str, value: Option<serde_json::Value>| {
        line.extend(value.map(|value| (key.to_string(), value)));
    };
    add("time", at.map(|at| at.rfc3339().into()));
    add("level", Some(level.name().into()));
    add("class", Some(class).filter(|class| !class.is_empty()).map(Into::into));
    add("message", Some(without_numbers(&text).into()));
    add("file", about.file.map(Into::into));
    add("topic", about.topic.map(Into::into));
    add("partition", about.partition.map(Into::into));
    add("offset", about.offset.map(Into::into));
    json_text(&serde_json::Value::Object(line))
}

/// Writes a line without a stamp behind one of that level, as the lines of a stack trace are.
pub fn continuation(level: Level, text: fmt::Arguments<'_>) {
    if !enabled(level) {
        return;
    }
    if FORMAT.load(Ordering::Relaxed) == Format::Json as u8 {
        return emit(json_line(None, level, "", &About::default(), text));
    }
    let mut line = String::new();
    let _ = write!(OneLine(&mut line), "{text}");
    emit(without_numbers(&line).into_owned());
}

/// Runs `action` and returns what this thread logged meanwhile (the threshold applies).
pub fn capture<R>(action: impl FnOnce() -> R) -> (R, Vec<String>) {
    let outer = CAPTURED.replace(Some(Vec::new()));
    let result = action();
    let lines = CAPTURED.replace(outer).unwrap_or_default();
    (result, lines)
}

fn emit(mut line: String) {
    let captured = CAPTURED.with_borrow_mut(|lines| match lines {
        Some(lines) => {
            lines.push(std::mem::take(&mut line));
            true
        }
        None => false,
    });
    if !captured {
        line.push('\n');
        write(&line);
    }
}

/// What was lost before is told first, and while there is no room for that nobody is waited for.
fn write(line: &str) {
    let mut lost = LOST.get();
    if lost.lines > 0 {
        let mut told = lost_line(lost.lines) + "\n";
        if lost.is_torn {
            told.insert(0, '\n');
        }
        if os::write_stderr(told.as_bytes(), Duration::ZERO) != Taken::Whole {
            lost.lines += 1;
            return LOST.set(lost);
        }
    }
    let taken = os::write_stderr(line.as_bytes(), PATIENCE);
    LOST.set(Lost { lines: u64::from(taken != Taken::Whole), is_torn: taken == Taken::Part });
}

fn lost_line(lines: u64) -> String {
    const CLASS: &str = "node.Application";
    let text = format!("{} of this log lost: nobody has read them.", counted(lines, "line"));
    let now = CLOCK.with(|clock| clock.local(clock.now_ms()));
    match FORMAT.load(Ordering::Relaxed) == Format::Json as u8 {
        true => {
            let about = About::default();
            json_line(Some(&now), Level::Warn, CLASS, &about, format_args!("{text}"))
        }
        false => format!("{} WARN {CLASS}: {text}", now.log_stamp()),
    }
}

/// Without the numbers of the system's errors, ` (os error 2)`: what they say stands before them.
pub fn without_numbers(text: &str) -> Cow<'_, str> {
    const START: &str = " (os error ";
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(START) {
        let behind = &rest[at + START.len()..];
        let digits = behind.bytes().take_while(u8::is_ascii_digit).count();
        let is_number = digits > 0 && behind[digits..].starts_with(')');
        let end = at + START.len() + if is_number { digits + 1 } else { 0 };
        out.push_str(&rest[..if is_number { at } else { end }]);
        rest = &rest[end..];
    }
    match out.is_empty() && rest.len() == text.len() {
        true => Cow::Borrowed(text),
        false => Cow::Owned(out + rest),
    }
}

/// Does the character move the cursor, end the line, turn the direction of what follows, or show
/// nothing? With those, one text is made to look like another.
pub fn is_disguise(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}')
}

/// JSON on one line, for scripts and for eyes: what would make one text look like another is an escape, which
/// whoever reads JSON takes for the character.
pub fn json_text(value: &serde_json::Value) -> String {
    let text = value.to_string();
    // Outside of strings JSON has nothing of the kind.
    if !text.contains(is_disguise) {
        return text;
    }
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match is_disguise(c) {
            true => c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| {
                // Writing to a String does not fail.
                let _ = write!(out, "\\u{unit:04x}");
            }),
            false => out.push(c),
        }
    }
    out
}

/// Keeps a line a line, and what it seems to be: of what a file name may hold, an end of line, an
/// escape sequence and their like are written as escapes.
struct OneLine<'a>(&'a mut String);

impl fmt::Write for OneLine<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            if is_disguise(c) && c != '\t' {
                self.0.extend(c.escape_default());
            } else {
                self.0.push(c);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(action: impl FnOnce()) -> String {
        let ((), mut lines) = capture(action);
        assert_eq!(lines.len(), 1, "{lines:?}");
        lines.remove(0)
    }

    #[test]
    fn the_last_warnings_are_kept_and_no_more() {
        let ((), _) = capture(|| {
            for n in 0..200 {
                warn("x.Y", format_args!("{n} {}", "é".repeat(5_000)));
                info("x.Y", format_args!("nothing"));
            }
        });
        let warnings = last_warnings();
        assert_eq!(warnings.len(), WARNINGS_MAX);
        assert!(warnings[0].contains(" WARN x.Y: 150 é"), "{}", warnings[0]);
        assert!(warnings.iter().all(|line| line.chars().count() <= WARNING_CHARS_MAX));
    }

    #[test]
    fn a_line_has_log4j_form() {
        let line = one(|| warn("node.Application", format_args!("{} of {}", 1, 2)));
        let (stamp, rest) = line.split_at(17);
        assert_eq!(rest, " WARN node.Application: 1 of 2");
        let shape: String =
            stamp.chars().map(|c| if c.is_ascii_digit() { '9' } else { c }).collect();
        assert_eq!(shape, "99/99/99 99:99:99");
    }

    /// Whatever a name holds, a line is one object.
    #[test]
    fn a_json_line_is_one_object_on_one_line() {
        let name = "a\n\"b\u{202e}gol\u{9b}\u{e0041}";
        let about = About { file: Some(name), partition: Some(2), ..About::default() };
        let at = LocalTime::new(1_709_164_799_250, 20_700, "X");
        let message = "No such file (os error 2)\n\u{1b}[2J";
        let line = json_line(Some(&at), Level::Warn, "x.Y", &about, format_args!("{message}"));
        assert!(!line.contains(is_disguise), "{line}");
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["time"], "2024-02-29T05:44:59.250+05:45");
        assert_eq!((&value["level"], &value["class"]), (&"WARN".into(), &"x.Y".into()));
        assert_eq!(value["message"], "No such file\n\u{1b}[2J");
        assert_eq!((&value["file"], &value["partition"]), (&name.into(), &2.into()));
        assert!(value.get("topic").is_none());
    }

    #[test]
    fn a_line_stays_a_line() {
        let line = one(|| info("a.B", format_args!("x\ny\r\u{1b}[2J\u{85}\tz 中\u{2028}")));
        assert!(line.ends_with("a.B: x\\ny\\r\\u{1b}[2J\\u{85}\tz 中\\u{2028}"), "{line}");
    }

    #[test]
    fn captures_nest_and_end() {
        let ((_, inner), outer) = capture(|| {
            info("a.B", format_args!("one"));
            capture(|| continuation(Level::Error, format_args!("two")))
        });
        assert_eq!(inner, ["two"]);
        assert_eq!(outer.len(), 1);
    }

    #[test]
    fn levels_have_log4j_names() {
        for (index, (level, name)) in Level::ALL.iter().enumerate() {
            assert_eq!(*level as usize, index);
            assert_eq!(level.name(), *name);
            assert_eq!(Level::for_name(&name.to_lowercase()), Some(*level));
        }
        assert_eq!(Level::for_name("ALL"), Some(Level::Trace));
        assert_eq!(Level::for_name("LOUD"), None);
    }

    #[test]
    fn errors_are_words() {
        let error = std::io::Error::from_raw_os_error(2);
        let line = one(|| info("a.B", format_args!("x: {error}; y: {error}. (os error z)")));
        let words = "x: No such file or directory; y: No such file or directory. (os error z)";
        assert!(line.ends_with(words), "{line}");
        assert!(matches!(without_numbers("plain"), Cow::Borrowed("plain")));
    }

    #[test]
    fn what_repeats_is_told_when_it_begins_changes_and_once_a_minute() {
        let mut repeats = Repeats::default();
        let told = |repeats: &mut Repeats, what: &str, at| repeats.is_due("r1", what, at);
        assert!(told(&mut repeats, "full", 0));
        assert!(!told(&mut repeats, "full", 4_000));
        assert!(repeats.is_due("r2", "full", 4_000));
        assert!(told(&mut repeats, "broken", 5_000));
        assert!(!told(&mut repeats, "broken", 64_999));
        assert!(told(&mut repeats, "broken", 65_000));
        assert!(repeats.is_over("r1") && !repeats.is_over("r1"));
        assert!(told(&mut repeats, "broken", 66_000));
    }

    #[test]
    fn one_is_one() {
        let counts = [(0, "line"), (1, "line"), (1, "batch"), (2, "batch")];
        let texts = counts.map(|(count, what)| counted(count, what));
        assert_eq!(texts, ["0 lines", "1 line", "1 batch", "2 batches"]);
    }

    #[test]
    fn debug_is_below_the_first_threshold() {
        let ((), lines) = capture(|| log(Level::Debug, "a.B", format_args!("quiet")));
        assert!(lines.is_empty() && !enabled(Level::Off));
    }
}
