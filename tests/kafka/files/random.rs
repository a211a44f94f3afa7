//! Everything in any order: write, rename, truncate, replace, delete, write late, kill, restart,
//! against a model that knows the lines. A seed that fails says so and runs alone with
//! `FLUME_NG_SEED=… cargo test --test kafka files::random`; `FLUME_NG_RUNS=…` runs that many.

use crate::support::torture::{Group, V010, hazard};
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::time::Duration;

use super::scene::{Scene, differ, spool};

/// The seeds of a usual run.
const RUNS: u64 = 3;
const STEPS: u32 = 70;

#[test]
fn any_order_of_events_gives_each_line_once() {
    let _row = hazard(Group::Deaths, "random acts of writers and kills", V010);
    let number = |name: &str| std::env::var(name).ok().and_then(|v| v.parse::<u64>().ok());
    let seeds: Vec<u64> = match (number("FLUME_NG_SEED"), number("FLUME_NG_RUNS")) {
        (Some(seed), _) => vec![seed],
        (None, Some(runs)) => (0..runs).map(|n| n + u64::from(std::process::id())).collect(),
        (None, None) => (1..=RUNS).collect(),
    };
    for chunk in seeds.chunks(3) {
        let runs: Vec<_> = chunk
            .iter()
            .map(|&seed| (seed, std::thread::spawn(move || Run::new(seed).run())))
            .collect();
        for (seed, run) in runs {
            assert!(run.join().is_ok(), "FLUME_NG_SEED={seed} fails");
        }
    }
}

/// xorshift64*: the same numbers everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % n
    }
}

struct ModelFile {
    /// Its template while it has a name that is one of ours.
    name: Option<String>,
    writer: File,
    /// Begun and without its newline.
    half: Option<String>,
    /// Written to since all was seen in the topic.
    is_dirty: bool,
    /// Of the present hour: not retired under us.
    is_present: bool,
}

struct Run {
    seed: u64,
    random: Random,
    scene: Scene,
    files: Vec<ModelFile>,
    lines: Vec<String>,
    next: u32,
    is_running: bool,
    deletes: bool,
    story: Vec<String>,
}

impl Run {
    fn new(seed: u64) -> Run {
        let mut scene = spool("random").source("retireGraceMs", 1_500);
        if seed.is_multiple_of(3) {
            scene = scene.source("deletePolicy", "immediate");
        }
        if seed.is_multiple_of(2) {
            scene = scene.source("consumeOrder", "youngest");
        }
        let mut run = Run {
            seed,
            random: Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1),
            scene,
            files: Vec::new(),
            lines: Vec::new(),
            next: 0,
            is_running: false,
            deletes: seed.is_multiple_of(3),
            story: Vec::new(),
        };
        run.create();
        run
    }

    fn run(mut self) {
        for _ in 0..STEPS {
            self.step();
        }
        self.start();
        self.tell("the end");
        for at in 0..self.files.len() {
            self.finish_line(at);
        }
        // What grew after its receipt is found at a start.
        self.scene.agent().term();
        self.scene.start();
        self.scene.log_says("producing");
        self.sync();
        // Whatever it would send too much.
        std::thread::sleep(Duration::from_millis(700));
        self.scene.stop();
        self.compare();
    }

    fn step(&mut self) {
        match self.random.below(20) {
            0..=6 => self.write(),
            7 | 8 => self.create(),
            9 => self.rename(),
            10 => self.move_away(),
            11 => self.truncate(),
            12 => self.replace(),
            13 => self.delete(),
            14 => self.retire(),
            15 if self.is_running => {
                self.tell("kill");
                self.scene.kill();
                self.is_running = false;
            }
            16 if self.is_running => {
                self.tell("stop");
                // Perhaps before it catches signals: then it is a kill.
                self.scene.agent().term();
                self.is_running = false;
            }
            17 => self.sync(),
            18 => std::thread::sleep(Duration::from_millis(self.random.below(40) as u64)),
            _ => self.start(),
        }
    }

    fn tell(&mut self, what: impl Into<String>) {
        self.story.push(what.into());
    }

    fn start(&mut self) {
        if !self.is_running {
            self.tell("start");
            self.scene.start();
            self.is_running = true;
        }
    }

    /// Everything whole that was written is in the topic, and nothing more.
    fn sync(&mut self) {
        self.start();
        self.tell("sync");
        let (topic, wanted) = (self.scene.topic.clone(), self.lines.len());
        let is_late = self.files.iter().any(|f| f.is_dirty && !f.is_present);
        let grace = Duration::from_secs(4);
        if is_late && !crate::support::wait_for(grace, || topic.count() >= wanted) {
            // Written after the receipt: found at a start, or in an hour.
            self.tell("restart for what came late");
            self.scene.kill();
            self.scene.start();
        }
        if !crate::support::wait_for(Duration::from_secs(40), || topic.count() >= wanted) {
            self.compare();
        }
        if self.scene.topic.count() > wanted {
            self.compare();
        }
        self.files.iter_mut().for_each(|f| f.is_dirty = false);
    }

    fn compare(&self) {
        let mut found = self.scene.topic.bodies();
        let mut wanted: Vec<&str> = self.lines.iter().map(String::as_str).collect();
        found.sort();
        wanted.sort_unstable();
        assert!(
            found == wanted,
            "seed {}: {}\n{}\n{}",
            self.seed,
            differ(&found, &wanted),
            self.story.join("\n"),
            self.scene.log()
        );
    }

    fn fresh(&mut self, what: &str) -> u32 {
        self.next += 1;
        self.tell(format!("{} {what}", self.next));
        self.next
    }

    fn create(&mut self) {
        let is_present = self.random.below(3) > 0;
        let hour = if is_present { "{H}" } else { "{H-1}" };
        let n = self.fresh(&format!("create {hour}"));
        let name = format!("f{n}_{hour}.log");
        let writer = OpenOptions::new().append(true).create(true).open(self.scene.path(&name));
        let writer = writer.expect("a new file");
        let file = ModelFile { name: Some(name), writer, half: None, is_dirty: false, is_present };
        self.files.push(file);
        let at = self.files.len() - 1;
        self.write_to(at);
    }

    fn write(&mut self) {
        if !self.files.is_empty() {
            let at = self.random.below(self.files.len());
            // What was deleted at the end of its grace time cannot be read any more.
            if self.files[at].is_present || !self.deletes {
                self.write_to(at);
            }
        }
    }

    fn write_to(&mut self, at: usize) {
        let count = 1 + self.random.below(12);
        let n = self.fresh(&format!("write {count} to {at} {:?}", self.files[at].name));
        let may_pause = self.files[at].is_present && self.random.below(4) == 0;
        let file = &mut self.files[at];
        let mut content = String::new();
        for i in 0..count {
            let line = format!("{n}.{i} Zeile 行");
            let whole = match file.half.take() {
                Some(half) => format!("{half}{line}"),
                None => line.clone(),
            };
            content.push_str(&line);
            if i + 1 == count && may_pause {
                file.half = Some(whole);
            } else {
                content.push('\n');
                self.lines.push(whole);
            }
        }
        file.is_dirty = true;
        file.writer.write_all(content.as_bytes()).expect("a write");
    }

    fn finish_line(&mut self, at: usize) {
        let file = &mut self.files[at];
        if let Some(half) = file.half.take() {
            file.writer.write_all(b"\n").expect("a write");
            file.is_dirty = true;
            self.lines.push(half);
        }
    }

    /// A file with a name, of which everything is in the topic.
    fn settled(&mut self) -> Option<usize> {
        if self.files.is_empty() {
            return None;
        }
        let at = self.random.below(self.files.len());
        self.files[at].name.as_ref()?;
        if self.files[at].half.is_some() {
            self.finish_line(at);
        }
        if self.files[at].is_dirty {
            self.sync();
        }
        // A file of a past hour may have been completed by now.
        let name = self.files[at].name.clone()?;
        self.scene.exists(&name).then_some(at)
    }

    fn rename(&mut self) {
        let Some(at) = self.settled() else { return };
        let n = self.fresh(&format!("rename {at}"));
        let hour = if self.files[at].is_present { "{H}" } else { "{H-1}" };
        let (old, new) = (self.files[at].name.clone(), format!("r{n}_{hour}.log"));
        let old = self.scene.path(&old.expect("a name"));
        if fs::rename(old, self.scene.path(&new)).is_ok() {
            self.files[at].name = Some(new);
        }
    }

    /// Out of the pattern, and perhaps back.
    fn move_away(&mut self) {
        let Some(at) = self.settled() else { return };
        let n = self.fresh(&format!("move away {at}"));
        let name = self.files[at].name.clone().expect("a name");
        let away = format!("away{n}");
        if fs::rename(self.scene.path(&name), self.scene.path(&away)).is_err() {
            return;
        }
        self.write_to(at);
        self.finish_line(at);
        if self.random.below(2) == 0 {
            self.tell("and back");
            std::thread::sleep(Duration::from_millis(self.random.below(600) as u64));
            self.scene.rename(&away, &name);
        } else {
            // The agent has to have seen it go, to know it where it is.
            self.sync();
            self.files[at].name = None;
            self.files[at].is_present = false;
        }
    }

    fn truncate(&mut self) {
        let Some(at) = self.settled().filter(|&at| self.files[at].is_present) else { return };
        self.fresh(&format!("truncate {at}"));
        let name = self.files[at].name.clone().expect("a name");
        self.scene.truncate(&name);
        self.write_to(at);
        if self.random.below(2) == 0 {
            self.write_to(at);
        }
    }

    fn replace(&mut self) {
        let Some(at) = self.settled().filter(|&at| self.files[at].is_present) else { return };
        self.start();
        self.sync();
        let n = self.fresh(&format!("replace {at}"));
        let name = self.files[at].name.clone().expect("a name");
        let new = format!("new{n}");
        let writer = OpenOptions::new().append(true).create(true).open(self.scene.path(&new));
        self.scene.rename(&new, &name);
        self.lose_name(at);
        let file = ModelFile {
            name: Some(name),
            writer: writer.expect("a new file"),
            half: None,
            is_dirty: false,
            is_present: true,
        };
        self.files.push(file);
        self.write();
    }

    fn delete(&mut self) {
        let Some(at) = self.settled().filter(|&at| self.files[at].is_present) else { return };
        self.start();
        self.sync();
        self.fresh(&format!("delete {at}"));
        let name = self.files[at].name.clone().expect("a name");
        self.scene.delete(&name);
        self.lose_name(at);
    }

    /// The last lines through the descriptor; behind them nobody can read the file any more.
    fn lose_name(&mut self, at: usize) {
        self.write_to(at);
        self.finish_line(at);
        self.sync();
        self.files.swap_remove(at);
    }

    /// Its hour is over.
    fn retire(&mut self) {
        let Some(at) = self.settled().filter(|&at| self.files[at].is_present) else { return };
        let n = self.fresh(&format!("retire {at}"));
        let (old, new) = (self.files[at].name.clone(), format!("o{n}_{{H-1}}.log"));
        self.scene.rename(&old.expect("a name"), &new);
        self.files[at].name = Some(new);
        self.files[at].is_present = false;
        self.write_to(at);
    }
}
