//! Files and directories that no group of a source takes any more, since its configuration is another one. What was
//! announced of such a file is brought to its end, and no more is read; its directory is listed for what the
//! records tell of, and for nothing else.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use super::absent::told;
use super::directories::place_of;
use super::policy::Names;
use super::root::{self, Entry};
use super::tracked::Tie;
use super::{Files, reach};
use crate::checkpoint::record::FileRecord;

impl Files {
    /// Is what was read under this name still to be read? Where there are groups, one may have gone with the
    /// configuration before.
    pub(super) fn takes_still(&self, name: &OsStr) -> bool {
        match self.policy.names {
            Names::Grouped(_) => self.accepts(name),
            Names::Matched { .. } => true,
        }
    }

    /// How a file whose content is there stands to its name. Without one it is still of the group under whose
    /// name, `read_as`, it was read: its lines go out with the headers of that one, or not at all.
    pub(super) fn tie_of(&self, is_named: bool, read_as: &[u8]) -> Tie {
        if !is_named && !self.takes_still(OsStr::from_bytes(read_as)) {
            return Tie::Released;
        }
        Tie::of(is_named)
    }

    /// The name under which the file of a record was read, as it is called now that its directory has another name, or
    /// was copied to where the file was `found`, if a group takes that alone: then the configuration has followed, and
    /// has lost none. Where another directory than the file's stands in the old place, the file alone was moved, and
    /// its group is another one.
    pub(super) fn name_that_followed(
        &self,
        record: &FileRecord,
        found: &OsStr,
    ) -> Option<OsString> {
        let name = OsStr::from_bytes(&record.name);
        if self.takes_still(name) {
            return None;
        }
        let (old, leaf) = root::split(name);
        let is_free = self.root.stat_place(old).is_err_and(|e| reach::is_nothing_there(&e));
        if !is_free && !self.is_directory_at(record, old) {
            return None;
        }
        let renamed = self.scanner.places().filter(|place| self.is_directory_at(record, place));
        let copied = is_free.then(|| root::split(found).0);
        let places = renamed.chain(copied);
        places.map(|place| root::below(place, leaf)).find(|name| self.accepts(name))
    }

    /// The configuration may have lost directories since these records were written.
    pub(super) fn note_places_left(&mut self, records: &[FileRecord]) {
        if !matches!(self.policy.names, Names::Grouped(_)) {
            return;
        }
        let mut places: Vec<OsString> =
            records.iter().map(|record| place_of(record).to_owned()).collect();
        places.sort_unstable();
        places.dedup();
        places.retain(|place| !self.scanner.places().any(|p| p == place));
        self.places_left = places;
    }

    /// Goes through the names in the directories that no group has any more. Returns in which there may be others, and
    /// why.
    pub(super) fn for_each_name_left(&self, mut act: impl FnMut(Entry)) -> Vec<(OsString, String)> {
        let mut unlisted = Vec::new();
        for place in &self.places_left {
            let listed = self.root.list(place).and_then(|mut entries| {
                entries.try_for_each(|entry| {
                    act(entry?);
                    Ok(())
                })
            });
            if let Err(e) = listed
                && !reach::is_nothing_there(&e)
            {
                unlisted.push((place.clone(), told(&self.root.place(place), &e)));
            }
        }
        unlisted
    }

    /// Is that a directory that no group has any more?
    pub(super) fn is_place_left(&self, place: &OsStr) -> bool {
        self.places_left.iter().any(|left| left == place)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::fs::{self, File};
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::MetadataExt;

    use crate::checkpoint::flume_positions::FlumePosition;
    use crate::checkpoint::record::Record;
    use crate::config::model::FirstByte;
    use crate::source::absent::{Absence, ELSEWHERE_MS};
    use crate::source::hints::Hints;
    use crate::source::quest::{Quest, Suspect, Whose, prefix_crc};
    use crate::source::reach;
    use crate::source::restore::{Announced, AnnouncedRange};
    use crate::source::scene::Scene;
    use crate::source::tracked::Tie;
    use crate::source::window::TailBytes;

    /// Of one line in a scene.
    const LINE: u64 = 16;

    /// With these groups, each of which has its pattern.
    fn conf(groups: &[&str]) -> String {
        let names: Vec<&str> = groups.iter().map(|group| &group[..2]).collect();
        let group = |group: &&str| {
            let (name, pattern) = (&group[..2], &group[3..]);
            format!("a1.sources.r1.filegroups.{name} = @DIR@/spool/{pattern}\n")
        };
        format!(
            "a1.sources = r1\na1.channels = c1\na1.sources.r1.type = TAILDIR\n\
             a1.sources.r1.channels = c1\na1.sources.r1.positionFile = @DIR@/tracker/position.json\n\
             a1.channels.c1.type = org.apache.flume.channel.kafka.KafkaChannel\n\
             a1.channels.c1.kafka.bootstrap.servers = h:1\na1.channels.c1.kafka.topic = t\n\
             a1.sources.r1.filegroups = {}\n{}",
            names.join(" "),
            groups.iter().map(group).collect::<String>()
        )
    }

    const ONE: &str = "f1 one/a.*log";

    fn scene(name: &str, groups: &[&str]) -> Scene {
        let mut scene = Scene::of(name, &conf(groups));
        for dir in ["one", "two"].map(|place| scene.path(place)) {
            fs::create_dir(dir).unwrap();
        }
        fs::create_dir(&scene.files.config.tracker_dir).unwrap();
        scene.files.refresh(true);
        scene
    }

    /// Another agent goes on with what this one has, and with these groups.
    fn restart(scene: &mut Scene, groups: &[&str], reached: Option<&Announced>) {
        restart_with(scene, groups, reached, false);
    }

    /// Likewise; its state may have been copied.
    fn restart_with(
        scene: &mut Scene,
        groups: &[&str],
        reached: Option<&Announced>,
        is_copied_state: bool,
    ) {
        let mut record = Record {
            names_from: scene.files.config.spool_dir.as_os_str().as_bytes().to_vec(),
            files: scene.files.records().cloned().collect(),
            ..Record::default()
        };
        let next_id = scene.files.next_file_id;
        scene.reconfigure(&conf(groups));
        record.tell_names_from(&scene.files.config.spool_dir);
        scene.files.hints_are_void = is_copied_state;
        scene.files.restore(record.files, next_id, |_| reached.cloned());
        scene.files.refresh(true);
    }

    /// Under which name the file at `path` was read, how it stands to that, and how many of its lines were read.
    fn stands(scene: &Scene, path: &str) -> Option<(String, Tie, u64)> {
        let stat = scene.path(path).metadata().unwrap();
        let tracked = scene.files.tracked.iter().find(|t| t.is_inode(stat.dev(), stat.ino()))?;
        let name = scene.files.path(tracked.name());
        let name = name.strip_prefix(scene.path("")).unwrap().to_str().unwrap().to_owned();
        Some((name, tracked.tie, tracked.read_position / LINE))
    }

    fn expected(name: &str, tie: Tie, lines: u64) -> Option<(String, Tie, u64)> {
        Some((name.to_owned(), tie, lines))
    }

    /// Flume has read three lines of the file that is `now` there, when it was called `then`.
    fn position(scene: &Scene, now: &str, then: &str) -> FlumePosition {
        let inode = scene.path(now).metadata().unwrap().ino();
        FlumePosition { inode, pos: 3 * LINE, file: scene.path(then).display().to_string() }
    }

    fn take_over(scene: &mut Scene, now: &str, then: &str) {
        let position = position(scene, now, then);
        scene.files.take_over_positions(&[position], FirstByte::Beginning).unwrap();
        scene.files.refresh(true);
    }

    /// The second start took its present name for the one under which it was read, which no group takes, and
    /// left what the first had not read.
    #[test]
    fn a_file_that_was_renamed_before_the_take_over_is_read_on_by_each_start() {
        let mut scene = scene("released-taken-over", &[ONE]);
        scene.write("one/a.log.1", 0..10);
        scene.write("one/a.log", 10..12);
        take_over(&mut scene, "one/a.log.1", "one/a.log");
        for start in 1..4 {
            let found = stands(&scene, "one/a.log.1");
            assert_eq!(found, expected("one/a.log", Tie::Nameless, 3), "start {start}");
            restart(&mut scene, &[ONE], None);
        }
    }

    /// It was not read by any start.
    #[test]
    fn a_renamed_file_that_cannot_be_opened_at_the_take_over_is_read_when_it_can() {
        for is_restarted in [false, true] {
            let mut scene = scene(&format!("released-waits-{is_restarted}"), &[ONE]);
            scene.write("one/a.log.1", 0..10);
            let path = scene.path("one/a.log.1");
            let error = || std::io::Error::from_raw_os_error(libc::EACCES);
            reach::set_mishap(Some(Box::new(move |asked| (asked == path).then(error))));
            take_over(&mut scene, "one/a.log.1", "one/a.log");
            assert_eq!(stands(&scene, "one/a.log.1"), None);
            if is_restarted {
                restart(&mut scene, &[ONE], None);
            }
            reach::set_mishap(None);
            scene.clock.advance(2_000);
            scene.files.refresh(true);
            let found = stands(&scene, "one/a.log.1");
            assert_eq!(found, expected("one/a.log", Tie::Nameless, 3), "{is_restarted}");
        }
    }

    #[test]
    fn a_file_that_was_renamed_before_the_take_over_is_of_the_group_that_takes_its_name_there() {
        let mut scene = scene("released-moved-before", &[ONE]);
        scene.write("one/a.log.1", 0..10);
        take_over(&mut scene, "one/a.log.1", "elsewhere/a.log");
        let found = stands(&scene, "one/a.log.1");
        assert_eq!(found, expected("one/a.log", Tie::Nameless, 3));
    }

    /// `verify` expected what Flume had sent of it.
    #[test]
    fn where_a_renamed_file_began_is_kept_for_verify() {
        let mut scene = scene("released-kept", &[ONE]);
        scene.write("one/a.log.1", 0..10);
        take_over(&mut scene, "one/a.log.1", "one/a.log");
        let FlumePosition { inode, pos, file } = position(&scene, "one/a.log.1", "one/a.log");
        assert_eq!(scene.files.positions_taken_over(), [(inode, pos, file)]);
        // It has no name for Flume any more.
        assert_eq!(scene.files.flume_positions(), []);
    }

    const BESIDE: &str = "f2 one/b.*log";
    const TWO: &str = "f3 two/.*log";
    const THREE: &str = "f4 three/.*log";

    /// So many lines of the file were read. Its id.
    fn read(scene: &mut Scene, path: &str, lines: u64) -> u64 {
        let path = scene.path(path);
        let file = File::open(&path).unwrap();
        let name = path.strip_prefix(&scene.files.config.spool_dir).unwrap().as_os_str();
        let bytes_crc = prefix_crc(&file, lines * LINE).unwrap();
        let handle = scene.files.push_tracked(name.to_owned(), file, lines * LINE);
        let record = &mut scene.files.tracked[handle].record;
        record.bytes_crc = bytes_crc;
        record.id
    }

    /// The first start read all of it, without the headers of its group, and a second one nothing.
    #[test]
    fn a_file_at_the_take_over_that_no_group_takes_is_left_by_each_start() {
        let mut scene = scene("released-at-once", &[ONE]);
        scene.write("one/b.log.1", 0..10);
        take_over(&mut scene, "one/b.log.1", "one/b.log");
        for start in 1..3 {
            let found = stands(&scene, "one/b.log.1");
            assert_eq!(found, expected("one/b.log", Tie::Released, 3), "start {start}");
            restart(&mut scene, &[ONE], None);
        }
    }

    /// Its lines were sent without the headers of its group.
    #[test]
    fn a_renamed_file_of_a_removed_group_is_read_no_further() {
        for (group, name) in [(BESIDE, "one/b.log"), (TWO, "two/b.log")] {
            let mut scene = scene(&format!("released-renamed-{}", &name[..3]), &[ONE, group]);
            scene.write(name, 0..10);
            read(&mut scene, name, 3);
            let renamed = format!("{name}.1");
            fs::rename(scene.path(name), scene.path(&renamed)).unwrap();
            restart(&mut scene, &[ONE, group], None);
            assert_eq!(stands(&scene, &renamed), expected(name, Tie::Nameless, 3));
            restart(&mut scene, &[ONE], None);
            assert_eq!(stands(&scene, &renamed), expected(name, Tie::Released, 3));
            // It goes on where it was left.
            restart(&mut scene, &[ONE, group], None);
            assert_eq!(stands(&scene, &renamed), expected(name, Tie::Nameless, 3));
        }
    }

    /// The configuration followed it: no group was lost.
    #[test]
    fn a_renamed_file_whose_directory_has_another_name_as_well_is_read_on() {
        let mut scene = scene("released-directory", &[ONE, TWO]);
        scene.write("two/b.log", 0..10);
        read(&mut scene, "two/b.log", 3);
        fs::rename(scene.path("two/b.log"), scene.path("two/b.log.1")).unwrap();
        fs::rename(scene.path("two"), scene.path("three")).unwrap();
        for _ in 0..2 {
            restart(&mut scene, &[ONE, THREE], None);
            let found = stands(&scene, "three/b.log.1");
            assert_eq!(found, expected("three/b.log", Tie::Nameless, 3));
        }
    }

    /// It was left where it was read to, for good: its directory has other numbers there.
    #[test]
    fn a_renamed_file_whose_directory_was_copied_to_another_path_is_read_on() {
        for is_copied_state in [true, false] {
            // So much that its content tells which file it is.
            let mut scene = scene(&format!("released-moved-{is_copied_state}"), &[ONE, TWO]);
            scene.write("two/b.log", 0..30);
            read(&mut scene, "two/b.log", 20);
            fs::create_dir(scene.path("three")).unwrap();
            fs::copy(scene.path("two/b.log"), scene.path("three/b.log.1")).unwrap();
            fs::remove_dir_all(scene.path("two")).unwrap();
            for start in 1..3 {
                restart_with(&mut scene, &[ONE, THREE], None, is_copied_state && start == 1);
                for _ in 0..3 {
                    scene.files.recognise(|_| None);
                }
                let found = stands(&scene, "three/b.log.1");
                assert_eq!(
                    found,
                    expected("three/b.log", Tie::Nameless, 20),
                    "{is_copied_state}, start {start}"
                );
            }
        }
    }

    /// It was read on with the headers of the group whose directory it was put into.
    #[test]
    fn a_file_of_a_removed_group_is_not_taken_over_where_it_was_moved_to() {
        const SAME: &str = "f3 two/a.*log";
        let mut scene = scene("released-put-elsewhere", &[ONE, SAME]);
        scene.write("two/a.log", 0..10);
        read(&mut scene, "two/a.log", 3);
        fs::rename(scene.path("two/a.log"), scene.path("one/a.log.1")).unwrap();
        restart(&mut scene, &[ONE, SAME], None);
        assert_eq!(stands(&scene, "one/a.log.1"), expected("two/a.log", Tie::Nameless, 3));
        for start in 1..3 {
            restart(&mut scene, &[ONE], None);
            let found = stands(&scene, "one/a.log.1");
            assert_eq!(found, expected("two/a.log", Tie::Released, 3), "start {start}");
        }
        restart(&mut scene, &[ONE, SAME], None);
        assert_eq!(stands(&scene, "one/a.log.1"), expected("two/a.log", Tie::Nameless, 3));
    }

    /// The rest of it was read without the headers of its group.
    #[test]
    fn what_a_successor_leaves_of_a_file_of_a_removed_group_is_read_no_further() {
        let mut scene = scene("released-succeeded", &[ONE, BESIDE, TWO]);
        scene.write("one/b.log", 0..12);
        let id = read(&mut scene, "one/b.log", 3);
        restart(&mut scene, &[ONE, TWO], None);
        assert_eq!(stands(&scene, "one/b.log"), expected("one/b.log", Tie::Released, 3));
        scene.write("one/a.log", 0..10);
        let file = File::open(scene.path("one/a.log")).unwrap();
        let by = Hints::of(&file.metadata().unwrap());
        let suspect = Suspect::new("one/a.log".into(), by, Some(file));
        let whose = Whose::Replaced { id, by };
        scene.files.quests.push(Quest::new(whose, VecDeque::from([suspect]), true));
        for _ in 0..3 {
            scene.files.recognise(|_| None);
        }
        assert_eq!(stands(&scene, "one/a.log"), expected("one/a.log", Tie::Named, 3));
        assert_eq!(stands(&scene, "one/b.log"), expected("one/b.log", Tie::Released, 10));
    }

    /// Three lines of a file of a group that is removed are acknowledged, the others are in doubt when it is copied
    /// and truncated. Where its bytes are then, how it stands to its name, and how many of its lines were read.
    fn truncated_in_doubt(name: &str, group: &str, path: &str) -> (String, Tie, u64) {
        let mut scene = scene(name, &[ONE, group]);
        scene.write(path, 0..100);
        let id = read(&mut scene, path, 3);
        let file = File::open(scene.path(path)).unwrap();
        let crc = crc32fast::hash(&fs::read(scene.path(path)).unwrap()[3 * LINE as usize..]);
        let reached = Announced {
            end: 100 * LINE,
            tail_crc: Some(TailBytes::read(&file, 100 * LINE).unwrap().crc()),
            is_final: false,
            ranges: vec![AnnouncedRange { start: 3 * LINE, end: 100 * LINE, crc }],
        };
        restart(&mut scene, &[ONE], Some(&reached));
        assert_eq!(stands(&scene, path), expected(path, Tie::Released, 100));
        scene.write(path, 100..110);
        fs::copy(scene.path(path), scene.path(&format!("{path}.1"))).unwrap();
        fs::write(scene.path(path), "").unwrap();
        // As before what is in doubt is read again.
        scene.files.look_again(id);
        for _ in 0..3 {
            scene.files.recognise(|_| Some(reached.clone()));
        }
        // What it holds now is no more of a group than what it held.
        assert_eq!(stands(&scene, path), expected(path, Tie::Released, 0));
        let tracked = &scene.files.tracked[scene.files.handle_of(id).unwrap()];
        let now_at = scene.files.path(&tracked.current_name());
        let now_at = now_at.strip_prefix(scene.path("")).unwrap().to_str().unwrap().to_owned();
        (now_at, tracked.tie, tracked.read_position / LINE)
    }

    /// Nobody looked at the file before its bytes were read again, and they were LOST.
    #[test]
    fn what_is_in_doubt_of_a_removed_group_is_read_in_the_copy_of_its_file() {
        let found = truncated_in_doubt("released-copied", BESIDE, "one/b.log");
        assert_eq!(found, ("one/b.log.1".to_owned(), Tie::Released, 100));
    }

    /// A file that was deleted elsewhere was waited for without end.
    #[test]
    fn a_directory_that_no_group_has_and_that_cannot_be_listed_hides_no_other_file() {
        let mut scene = scene("released-unlisted", &[ONE, TWO]);
        let [(_, here), (_, there)] = ["one/a.log", "two/b.log"].map(|name| {
            scene.write(name, 0..10);
            (name, read(&mut scene, name, 3))
        });
        fs::remove_file(scene.path("one/a.log")).unwrap();
        let two = scene.path("two");
        let error = || std::io::Error::from_raw_os_error(libc::EACCES);
        reach::set_mishap(Some(Box::new(move |asked| asked.starts_with(&two).then(error))));
        restart(&mut scene, &[ONE], None);
        for _ in 0..3 {
            scene.files.recognise(|_| None);
        }
        let waiting: Vec<u64> = scene.files.absent.waiting().map(|a| a.record.id).collect();
        reach::set_mishap(None);
        assert_eq!(waiting, [there]);
        let absence = scene.files.absent.find(here).map(|absent| &absent.absence);
        assert_eq!(absence, Some(&Absence::Gone));
    }

    /// Its channel stood for as long as the agent ran: what stands in its place is on another file system.
    #[test]
    fn a_directory_that_no_group_has_and_that_is_gone_with_its_file_system_is_waited_for_an_hour() {
        let mut scene = scene("released-unmounted", &[ONE, TWO]);
        scene.write("two/b.log", 0..10);
        let id = read(&mut scene, "two/b.log", 3);
        // As if it were one that is mounted no more.
        let handle = scene.files.handle_of(id).unwrap();
        scene.files.tracked[handle].record.device += 1;
        fs::remove_dir_all(scene.path("two")).unwrap();
        restart(&mut scene, &[ONE], None);
        for (passed_ms, waiting) in [(0, 1), (ELSEWHERE_MS - 10_000, 1), (20_000, 0)] {
            scene.clock.advance(passed_ms);
            scene.files.refresh(true);
            scene.files.recognise(|_| None);
            assert_eq!(scene.files.absent.waiting().count(), waiting, "{passed_ms}");
        }
        let absence = scene.files.absent.find(id).map(|absent| &absent.absence);
        assert_eq!(absence, Some(&Absence::Gone));
    }

    /// Only directories that have a group were searched.
    #[test]
    fn the_copy_may_be_in_a_directory_that_no_group_has_any_more() {
        let found = truncated_in_doubt("released-copied-there", TWO, "two/b.log");
        assert_eq!(found, ("two/b.log.1".to_owned(), Tie::Released, 100));
    }

    /// Nobody has a group there: what does not belong to a record is nobody's.
    #[test]
    fn what_else_is_in_a_directory_that_no_group_has_any_more_is_nobodys_copy() {
        let mut scene = scene("released-others", &[ONE, TWO]);
        scene.write("two/b.log", 0..10);
        read(&mut scene, "two/b.log", 10);
        scene.write("one/a.log", 0..100);
        let id = read(&mut scene, "one/a.log", 100);
        restart(&mut scene, &[ONE], None);
        fs::copy(scene.path("one/a.log"), scene.path("two/a.copy")).unwrap();
        fs::write(scene.path("one/a.log"), "").unwrap();
        scene.files.look_again(id);
        for _ in 0..3 {
            scene.files.recognise(|_| None);
        }
        let tracked = &scene.files.tracked[scene.files.handle_of(id).unwrap()];
        assert_eq!((tracked.tie, stands(&scene, "two/a.copy")), (Tie::Superseded, None));
    }
}
