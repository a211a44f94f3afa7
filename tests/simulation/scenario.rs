//! What a seed makes of a run: how everything is set up, and what happens in which order.

mod address;
mod divided;
mod followed;
mod hard;
mod mischief;
mod spooled;

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use crate::destination::{destination, source};
use flume_ng::channel::outlet::ROUND_BYTES_MAX;
use flume_ng::clock::{Clock, ManualClock};
use flume_ng::config::model::{
    ConsumeOrder, DecodePolicy, DeletePolicy, Destination, EventText, InterceptorConfig,
    PartitionBy, Serializer, SourceConfig,
};
use flume_ng::java::date::DatePattern;
use flume_ng::java::pattern::{Groups, Pattern};

use crate::Plant;
use crate::cluster::{Cluster, Log, Trouble, Version};
use crate::fuse::Trace;
use crate::rng::Rng;
use crate::world::{End, World};
use crate::writers::{FILTERED, Writers};
pub use address::Detour;
pub use divided::Division;
pub use followed::Kind;
use mischief::{hide_files, misbehave, renumber};

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: u64 = 86_400_000;
const PARTITIONS_MAX: usize = 6;

thread_local! {
    /// Compiled once; clones share the automata.
    static PATTERNS: [Pattern; 3] =
        [r".*\.log(\.\d+)?", "^$", FILTERED].map(|p| Pattern::compile(p).expect("a pattern"));
    static GROUPS: RefCell<HashMap<&'static str, Arc<Groups>>> = RefCell::default();
}

/// Compiled once, likewise.
fn groups(pattern: &'static str) -> Arc<Groups> {
    let compile = || Arc::new(Groups::compile(pattern).expect("a pattern"));
    GROUPS.with_borrow_mut(|groups| Arc::clone(groups.entry(pattern).or_insert_with(compile)))
}

/// Everything about a run that stays as it is.
#[derive(Debug, Clone)]
pub struct Scenario {
    pub actions: u64,
    pub channels: usize,
    pub partitions: usize,
    pub version: Version,
    pub replicas: usize,
    /// The topic's format may become an old one, the brokers may become newer ones.
    pub has_changes: bool,
    pub old_format: bool,
    /// The topic is deleted and made anew, the cluster replaced by another one.
    pub has_other_logs: bool,
    /// Time stamps that differ by more from the broker's clock are refused, ms.
    pub stamp_limit_ms: i64,
    pub limit: usize,
    pub expiry_ms: u64,
    /// Percentages are drawn up to this.
    pub trouble: u64,
    pub has_crashes: bool,
    pub has_rogue_writers: bool,
    /// Calls on names fail, and the spool directory is not there, for a while.
    pub has_absences: bool,
    /// Files are copied and truncated, replaced by their like, and renumbered.
    pub has_new_numbers: bool,
    pub line_max: u64,
    pub batch_size: usize,
    pub has_filter: bool,
    pub has_headers: bool,
    /// One of them is the record's key, and chooses the partition.
    pub has_keys: bool,
    pub delete: DeletePolicy,
    pub order: ConsumeOrder,
    pub partition_by: PartitionBy,
    pub default_partition: Option<i32>,
    pub grace_ms: u64,
    pub request_timeout_ms: u32,
    /// How often the brokers are asked how the topic is.
    pub metadata_ms: u64,
    /// How far the clock of the files' stamps is ahead of the agent's.
    pub stamps_off_ms: i64,
    /// Writers reserve the length of their files, and write out of order.
    pub has_zeros: bool,
    /// Files are made before their hour; so many of 100 under names that have no room for a suffix.
    pub long_names: Option<u64>,
    /// The tracker directory is deleted now and then, and the topic has to tell.
    pub loses_tracker: bool,
    /// What a round may hold; the brokers close the connection on much more.
    pub round_bytes: usize,
    pub kind: Kind,
    pub division: Division,
}

impl Scenario {
    /// Most of them with new numbers.
    pub fn usual(rng: &mut Rng) -> Scenario {
        let scenario = Scenario::draw(rng);
        let has_new_numbers = !scenario.loses_tracker && rng.chance(75);
        Scenario { has_new_numbers, ..scenario }
    }

    pub fn draw(rng: &mut Rng) -> Scenario {
        use Version::{V09, V010, V011, V11, V28};
        let partitions = rng.between(1, 4) as usize;
        let mut scenario = Scenario {
            actions: rng.between(10, 70),
            channels: if rng.chance(15) { 2 } else { 1 },
            partitions,
            version: rng.pick(&[V09, V010, V011, V11, V28, V28]),
            replicas: rng.pick(&[1, 1, 3]),
            has_changes: rng.chance(20),
            old_format: rng.chance(8),
            has_other_logs: false,
            stamp_limit_ms: i64::MAX,
            limit: if rng.chance(30) { rng.between(150, 1_500) as usize } else { usize::MAX },
            expiry_ms: rng.pick(&[7 * DAY_MS, DAY_MS, 40_000]),
            trouble: rng.pick(&[0, 3, 10, 25]),
            has_crashes: rng.chance(80),
            has_rogue_writers: rng.chance(60),
            has_absences: false,
            has_new_numbers: false,
            line_max: rng.pick(&[5, 40, 300]),
            batch_size: rng.pick(&[1, 3, 20, 100]),
            has_filter: rng.chance(20),
            has_headers: rng.chance(30),
            has_keys: false,
            delete: rng.pick(&[DeletePolicy::Never, DeletePolicy::Immediate]),
            order: rng.pick(&[ConsumeOrder::Oldest, ConsumeOrder::Youngest, ConsumeOrder::Random]),
            partition_by: rng.pick(&[PartitionBy::Transaction, PartitionBy::File]),
            default_partition: rng.chance(15).then(|| rng.below(partitions as u64) as i32),
            grace_ms: rng.pick(&[0, 1_000, 5_000, 30_000]),
            request_timeout_ms: rng.pick(&[500, 2_000, 10_000]),
            metadata_ms: rng.pick(&[1_000, 20_000, 300_000]),
            stamps_off_ms: rng.pick(&[0, 0, 0, -600_000, 600_000]),
            has_zeros: rng.chance(30),
            long_names: rng.chance(30).then_some(15),
            loses_tracker: false,
            round_bytes: rng.pick(&[ROUND_BYTES_MAX, 1_000, 3_000]),
            kind: Kind::SpoolTail,
            division: Division::None,
        };
        scenario.has_absences = rng.chance(30);
        if scenario.version == V011 && scenario.channels > 1 {
            // While one channel waits its minute out, a producer forgotten within half of that
            // is so in the other, which then lets the first one wait: each step takes a minute.
            scenario.expiry_ms = scenario.expiry_ms.max(DAY_MS);
        }
        if rng.chance(10) {
            scenario.loses_tracker = true;
            // The headers of a file that was renamed would be others'.
            scenario.has_headers = false;
            (scenario.has_zeros, scenario.long_names) = (false, None);
            scenario.stamps_off_ms = 0;
            // A dead letter is tried again, and may fit in another format, behind later lines.
            if scenario.limit != usize::MAX {
                (scenario.has_changes, scenario.old_format) = (false, false);
            }
        }
        // Of those whose events are made one by one, without a draw of its own.
        scenario.has_keys = scenario.has_headers && scenario.has_filter && scenario.line_max != 5;
        scenario.has_other_logs = !scenario.loses_tracker && rng.chance(30);
        if !scenario.loses_tracker && rng.chance(25) {
            scenario.stamp_limit_ms = HOUR_MS + 1_800_000;
        }
        scenario
    }

    /// Short, for a crash at each of its calls: a few files, an hour that ends, connections that
    /// break.
    pub fn short(version: Version) -> Scenario {
        let is_old = version <= Version::V010;
        Scenario {
            actions: 12,
            channels: if version == Version::V11 { 2 } else { 1 },
            partitions: 2,
            version,
            replicas: 1,
            has_changes: false,
            old_format: false,
            has_other_logs: false,
            stamp_limit_ms: i64::MAX,
            limit: if is_old { usize::MAX } else { 400 },
            expiry_ms: DAY_MS,
            trouble: 20,
            has_crashes: false,
            has_rogue_writers: false,
            has_absences: false,
            has_new_numbers: false,
            line_max: 100,
            batch_size: 3,
            has_filter: version == Version::V011,
            has_headers: false,
            has_keys: false,
            delete: if is_old { DeletePolicy::Immediate } else { DeletePolicy::Never },
            order: ConsumeOrder::Oldest,
            partition_by: PartitionBy::Transaction,
            default_partition: None,
            grace_ms: 1_000,
            request_timeout_ms: 2_000,
            metadata_ms: 1_000,
            stamps_off_ms: 0,
            has_zeros: false,
            long_names: None,
            loses_tracker: false,
            round_bytes: 1_000,
            kind: Kind::SpoolTail,
            division: Division::None,
        }
    }

    /// Nothing goes wrong of itself, and everything has one partition.
    pub fn calm(version: Version) -> Scenario {
        Scenario {
            partitions: 1,
            limit: usize::MAX,
            trouble: 0,
            line_max: 1,
            batch_size: 100,
            has_filter: false,
            delete: DeletePolicy::Never,
            round_bytes: ROUND_BYTES_MAX,
            ..Scenario::short(version)
        }
    }

    /// The largest request that the brokers take: a round, and the event that carried its last
    /// batch over the limit; twice that, since a batch may have to be sent over the older wire,
    /// where each event takes more.
    fn request_limit(&self) -> usize {
        2 * (self.round_bytes + self.line_max as usize + 400)
    }

    pub fn channel_config(&self, at: usize) -> Destination {
        Destination {
            name: format!("c{at}"),
            default_partition: self.default_partition,
            partition_by: self.partition_by,
            request_timeout_ms: self.request_timeout_ms,
            metadata_ms: self.metadata_ms,
            rule: self.record_rule(),
            base: self.division.names_topics().then_some(at),
            ..destination("localhost:9092", &self.division.topic(at))
        }
    }

    pub fn source_config(&self, writers: &Writers) -> SourceConfig {
        let [target, ignore, filter] = PATTERNS.with(Clone::clone);
        let filter = InterceptorConfig::RegexFilter { pattern: filter, exclude_events: true };
        SourceConfig {
            name: "r1".to_owned(),
            kind: self.kind.source_kind(&target),
            destinations: (0..self.channels).collect(),
            selector: self.division.selector(),
            optional: self.division.optional(),
            spool_dir_text: writers.spool.display().to_string(),
            spool_dir: writers.spool.clone(),
            tracker_dir: writers.tracker.clone(),
            file_suffix: if self.is_followed() { "" } else { ".COMPLETED" }.into(),
            delete_policy: self.delete,
            ignore_pattern: ignore,
            target_pattern: target,
            target_filename: DatePattern::parse("yyyyMMddHH").expect("a date pattern"),
            target_filename_text: "yyyyMMddHH".to_owned(),
            consume_order: self.order,
            batch_size: self.batch_size,
            decode_policy: DecodePolicy::Fail,
            max_line_units: 2048,
            basename_header: self.has_headers.then(|| "basename".to_owned()),
            interceptors: self.interceptors(filter),
            event_text: EventText::default(),
            backoff_ms_max: 4_000,
            retire_grace_ms: self.grace_ms,
            ..source()
        }
    }

    /// With headers, some that are made of each event by itself.
    fn interceptors(&self, filter: InterceptorConfig) -> Vec<InterceptorConfig> {
        let groups = groups(self.division.pattern());
        let header = |header: &str| Serializer { header: header.to_owned(), time: None };
        // Of the last one there is a group only where events are divided.
        let serializers = ["word", "content", "key", divided::HEADER].map(header).to_vec();
        match (self.has_filter, self.has_headers) {
            (false, _) => Vec::new(),
            (true, false) => vec![filter],
            (true, true) => vec![
                InterceptorConfig::Timestamp {
                    header: "timestamp".to_owned(),
                    preserve_existing: false,
                },
                InterceptorConfig::RegexExtractor { groups, serializers },
                filter,
                InterceptorConfig::Uuid {
                    header: "id".to_owned(),
                    prefix: String::new(),
                    preserve_existing: true,
                },
            ],
        }
    }

    fn draw_trouble(&self, rng: &mut Rng, settle_ms: u64) -> Trouble {
        let percent = |rng: &mut Rng| if rng.chance(40) { 0 } else { rng.below(self.trouble + 1) };
        let may_be_nameless = self.version <= Version::V010
            || self.old_format
            || self.has_changes
            || self.loses_tracker;
        let bound_ms = (self.expiry_ms / 8).min(u64::from(self.request_timeout_ms) + 11_000);
        let bound_ms = if may_be_nameless { bound_ms.min(settle_ms) } else { bound_ms };
        Trouble {
            request_lost: percent(rng),
            answer_lost: percent(rng),
            request_late: percent(rng),
            answer_late: percent(rng),
            question_fails: percent(rng),
            doubtful: percent(rng),
            invisible: percent(rng),
            // A cut connection may add half of the first to itself.
            late_max_ms: bound_ms / 2 - 20,
            invisible_max_ms: bound_ms / 4 - 20,
        }
    }
}

/// The clusters of a run, one for each channel, or for each topic that a line may name.
pub fn clusters(
    scenario: &Scenario,
    clock: &ManualClock,
    rng: &mut Rng,
    trace: &Trace,
    plant: Plant,
) -> Vec<Rc<RefCell<Cluster>>> {
    let cluster = |at: usize| {
        let mut draws = rng.fork();
        let name = scenario.division.cluster(at);
        let rng = draws.fork();
        let mut cluster = Cluster::new(&name, scenario.partitions, clock.clone(), rng);
        cluster.version = scenario.version;
        cluster.old_format = scenario.old_format && scenario.version > Version::V010;
        cluster.replicas = scenario.replicas;
        cluster.limit = scenario.limit;
        cluster.request_limit = scenario.request_limit();
        cluster.expiry_ms = scenario.expiry_ms;
        cluster.stamp_limit_ms = scenario.stamp_limit_ms;
        cluster.request_timeout_ms = u64::from(scenario.request_timeout_ms);
        cluster.trouble = scenario.draw_trouble(&mut draws, cluster.settle_ms());
        cluster.trace = trace.clone();
        cluster.plant = plant;
        Rc::new(RefCell::new(cluster))
    };
    (0..scenario.division.clusters(scenario.channels)).map(cluster).collect()
}

/// The present hour as file names hold it.
pub fn hour(clock: &ManualClock) -> String {
    hour_at(clock, clock.now_ms())
}

/// Is the hour in this name over, or does it hold none?
pub fn is_past(name: &str, hour: &str) -> bool {
    let is_hour = |part: &&[u8]| part.iter().all(u8::is_ascii_digit);
    !name.as_bytes().windows(hour.len()).filter(is_hour).any(|part| part >= hour.as_bytes())
}

fn hour_at(clock: &ManualClock, wall_ms: i64) -> String {
    let local = clock.local(wall_ms);
    let at = local.date_time();
    format!("{:04}{:02}{:02}{:02}", at.year(), u8::from(at.month()), at.day(), at.hour())
}

/// Another candidate of the present hour, so that every other file can be retired.
pub fn write_last_file(world: &mut World) {
    let wall_ms = world.clock.now_ms();
    world.clock.set_wall(wall_ms.div_euclid(HOUR_MS) * HOUR_MS + 60_000);
    let name = format!("last-{}.log", hour(&world.clock));
    let wall_ms = world.clock.now_ms();
    let at = world.writers.create(&name, wall_ms);
    write_lines(world, at, 1);
}

pub fn write_lines(world: &mut World, at: usize, count: u64) {
    let required = world.is_read(at);
    world.excuse_sent_half(at);
    let wall_ms = world.clock.now_ms();
    world.writers.now_ms = world.clock.monotonic_ms();
    world.say(|| {
        let number = world.writers.inodes[at].number;
        format!("{count} lines to file {at} (inode {number}), required: {required}")
    });
    world.writers.append(at, count, wall_ms, &mut world.rng, required);
    world.notice(at);
}

/// One thing that happens.
pub fn act(world: &mut World) -> Result<(), String> {
    address::go_on(world);
    if world.filling.is_some() {
        let count = world.rng.below(3);
        world.turns(count)?;
        world.fill();
    }
    match world.rng.below(100) {
        0..=34 => {
            if world.is_alive() {
                let count = world.rng.between(1, 12);
                world.turns(count)
            } else if world.rng.chance(70) {
                world.start().map(drop)
            } else {
                let ms = world.rng.below(3_000);
                world.clock.advance(ms);
                Ok(())
            }
        }
        // What is old and what is new is decided by then.
        35..=71 if world.scenario.is_followed() && !world.is_recorded() => followed::wait(world),
        35..=64 => {
            world.writers.bring_back();
            write(world);
            Ok(())
        }
        66..=71 if world.scenario.has_absences => {
            hide_files(world);
            Ok(())
        }
        65..=71 => {
            world.writers.bring_back();
            misbehave(world)
        }
        72..=79 => {
            pass_time(world);
            Ok(())
        }
        80..=87 => {
            trouble(world);
            Ok(())
        }
        _ => crash(world),
    }
}

fn write(world: &mut World) {
    let wall_ms = world.clock.now_ms();
    let is_new = world.writers.inodes.is_empty() || world.rng.chance(20);
    if is_new && world.scenario.is_spooled() && world.rng.chance(60) {
        return spooled::drop_file(world);
    }
    if is_new {
        let name = new_name(world);
        world.writers.now_ms = world.clock.monotonic_ms();
        world.writers.create(&name, wall_ms);
        if world.scenario.long_names.is_some() && world.rng.chance(30) {
            // Its lines come later.
            return;
        }
    }
    let at = recent(world);
    if world.scenario.has_zeros && world.rng.chance(30) && reserve(world, at) {
        return;
    }
    world.writers.now_ms = world.clock.monotonic_ms();
    // A line that was sent as its file's last and gets its other half is another one, for a topic.
    if !world.scenario.loses_tracker && world.rng.chance(20) {
        let required = world.is_read(at);
        world.excuse_sent_half(at);
        world.say(|| format!("half a line to file {at}, required: {required}"));
        world.writers.append_half(at, wall_ms, &mut world.rng, required);
        world.notice(at);
        return;
    }
    let count = match world.rng.below(10) {
        0 => world.rng.between(30, 90),
        1..=4 => 1,
        _ => world.rng.between(1, 9),
    };
    write_lines(world, at, count);
}

fn new_name(world: &mut World) -> String {
    let serial = world.writers.inodes.len();
    let long = world.scenario.long_names;
    let ahead = if long.is_some() && world.rng.chance(30) { world.rng.below(4) } else { 0 };
    let hour = hour_at(&world.clock, world.clock.now_ms() + ahead as i64 * HOUR_MS);
    // With the suffix it would be longer than a name can be.
    let is_long = long.is_some_and(|percent| world.rng.chance(percent));
    let filler = if is_long { "y".repeat(230) } else { String::new() };
    let place = world.writers.place_of(serial);
    let name = format!("{place}f{serial}-{filler}{hour}.log");
    world.say(|| format!("new file {serial}: {name}"));
    name
}

/// Zeros where lines will be. `false`: not in this file now, since it would end with them.
fn reserve(world: &mut World, at: usize) -> bool {
    let places = world.writers.places();
    let number = world.writers.inodes[at].number;
    let Some(path) = places.get(&number) else { return false };
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let is_current = !is_past(&name, &hour(&world.clock));
    if !world.writers.is_candidate_now(&places, number) || !is_current {
        return false;
    }
    let wall_ms = world.clock.now_ms();
    world.writers.now_ms = world.clock.monotonic_ms();
    if world.scenario.grace_ms >= 5_000 && world.rng.chance(40) {
        if !world.is_read(at) {
            return false;
        }
        world.excuse_sent_half(at);
        world.say(|| format!("lines to file {at}, the last ones first"));
        // What was on the disk as zeros and has text behind it would be text.
        world.writers.trim(at, wall_ms);
        let bytes = world.writers.append_backwards(at, wall_ms, &mut world.rng);
        world.filling = Some((at, bytes));
        return true;
    }
    let bytes = world.rng.pick(&[1, 100, 5_000, 300_000]);
    let is_hole = world.rng.chance(50);
    world.excuse_sent_half(at);
    world.say(|| format!("{bytes} zeros behind file {at}, a hole: {is_hole}"));
    world.writers.reserve(at, bytes, is_hole, wall_ms);
    true
}

/// One of the newest files mostly.
fn recent(world: &mut World) -> usize {
    let count = world.writers.inodes.len() as u64;
    let back = if world.rng.chance(80) { world.rng.below(3) } else { world.rng.below(count) };
    let mut at = (count - 1).saturating_sub(back) as usize;
    // A copy is left alone.
    while at > 0 && world.writers.inodes[at].is_copy {
        at -= 1;
    }
    at
}

fn pass_time(world: &mut World) {
    let kind = world.rng.below(10);
    let wall_ms = world.clock.now_ms();
    // After an hour another directory is believed.
    world.writers.remove_stand_in();
    match kind {
        0..=4 => {
            let ms = world.rng.below(20_000);
            world.clock.advance(ms);
        }
        5 | 6 => {
            // Over the hour.
            let next_ms = (wall_ms.div_euclid(HOUR_MS) + 1) * HOUR_MS - wall_ms;
            let beyond_ms = world.rng.below(5_000);
            world.clock.advance(next_ms as u64 + beyond_ms);
        }
        7 => {
            let hours = world.rng.between(1, 5) as i64;
            world.has_jumped = true;
            world.clock.set_wall(wall_ms + hours * HOUR_MS);
        }
        8 => {
            let hours = world.rng.between(1, 5) as i64;
            world.has_jumped = true;
            world.clock.set_wall(wall_ms - hours * HOUR_MS);
        }
        _ => {
            let days = world.rng.between(1, 9);
            world.clock.advance(days * DAY_MS);
        }
    }
    let leap_ms = u64::try_from(world.clock.now_ms() - wall_ms).unwrap_or(0);
    world.has_leapt |= leap_ms >= world.scenario.expiry_ms;
    world.say(|| format!("time passes ({kind}), hour {}", hour(&world.clock)));
    world.clusters.iter().for_each(|c| c.borrow_mut().pump());
}

fn trouble(world: &mut World) {
    let at = world.rng.below(world.clusters.len() as u64) as usize;
    let cluster = world.clusters[at].clone();
    let mut cluster = cluster.borrow_mut();
    if world.rng.chance(8) && cluster.logs.len() < PARTITIONS_MAX {
        world.say(|| "a partition is added".to_owned());
        cluster.logs.push(Log::default());
        return;
    }
    let kind = world.rng.below(if world.scenario.has_other_logs { 12 } else { 8 });
    world.say(|| format!("trouble {kind}"));
    match kind {
        0 => {
            let settle_ms = cluster.settle_ms();
            cluster.trouble = world.scenario.draw_trouble(&mut world.rng, settle_ms);
        }
        1 => {
            let ms = world.rng.below(6_000);
            // Longer than an optional channel is waited for.
            let times = if world.scenario.division.is_optional(at) { 10 } else { 1 };
            cluster.restart(times * ms);
        }
        2 | 3 => {
            let partition = world.rng.below(cluster.logs.len() as u64) as i32;
            let ms = world.rng.pick(&[500, 3_000, 120_000]);
            let ms = world.rng.below(ms);
            cluster.lose_leader(partition, ms);
        }
        // Of a log without topic id the end says something only where it is known whose it is.
        4 | 5 if world.scenario.has_other_logs && !cluster.tells_topic_id() => {}
        4 | 5 => cluster.write_foreign(),
        6 if world.scenario.has_changes && cluster.version > Version::V010 => {
            cluster.old_format = cluster.version != Version::V40 && !cluster.old_format;
        }
        7 if world.scenario.has_changes && cluster.version < Version::V40 => {
            // An upgrade is a restart.
            use Version::{V010, V011, V11, V28, V40};
            let later = [V010, V011, V11, V28, V40].into_iter().filter(|v| *v > cluster.version);
            let later: Vec<Version> = later.collect();
            cluster.version = world.rng.pick(&later);
            cluster.old_format &= cluster.version != V40;
            cluster.restart(1_000);
        }
        // Of what is in doubt there nothing tells then that it may stand before the records of others.
        8 if cluster.has_others() && !cluster.tells_topic_id() => {}
        8 => {
            world.has_other_log = true;
            cluster.remake_topic();
        }
        9 => {
            world.has_other_log = true;
            drop(cluster);
            address::lead_elsewhere(world, at);
        }
        11 => world.has_other_log |= cluster.go_back(500),
        10 => cluster.compacted_until_ms = cluster.now_ms() + world.rng.below(30_000),
        _ => {
            if let Some(connection) = &mut cluster.connection {
                connection.breaks_at_ms = Some(0);
            }
        }
    }
}

fn crash(world: &mut World) -> Result<(), String> {
    if world.scenario.loses_tracker && world.rng.chance(30) {
        world.lose_tracker();
        return Ok(());
    }
    if !world.scenario.has_crashes || !world.is_alive() {
        return Ok(());
    }
    match world.rng.below(10) {
        0 => world.end(End::Kill),
        1 => world.end(End::PowerCut),
        2 if world.scenario.has_new_numbers && world.rng.chance(50) => renumber(world)?,
        2 => world.stop()?,
        3 => {
            let calls = world.rng.below(4) as u32;
            world.fail_disk(calls);
        }
        4 => world.no_room.for_writes(world.rng.between(1, 4)),
        _ => {
            let calls = world.rng.between(1, 200);
            world.fuse.light(calls);
        }
    }
    Ok(())
}

/// A whole run. What the fuse has left when the actions are over burns on while all calms down.
pub fn run(world: &mut World) -> Result<(), String> {
    followed::prepare(world);
    spooled::prepare(world);
    world.start()?;
    for _ in 0..world.scenario.actions {
        act(world)?;
    }
    world.conclude()
}
