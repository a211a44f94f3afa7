//! Files and directories that no group of a source takes any more, since its configuration is another one. What was
//! announced of such a file is brought to its end, and no more is read; its directory is listed for what the
//! records tell of, and for nothing else.

use std::ffi::{OsStr, OsString};

use super::Files;
use super::directories::place_of;
use super::policy::Names;
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

    /// Is that a directory that no group has any more?
    pub(super) fn is_place_left(&self, place: &OsStr) -> bool {
        self.places_left.iter().any(|left| left == place)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::MetadataExt;

    use crate::checkpoint::flume_positions::FlumePosition;
    use crate::checkpoint::record::Record;
    use crate::config::model::FirstByte;
    use crate::source::reach;
    use crate::source::restore::Announced;
    use crate::source::scene::Scene;
    use crate::source::tracked::Tie;

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
        let mut record = Record {
            names_from: scene.files.config.spool_dir.as_os_str().as_bytes().to_vec(),
            files: scene.files.records().cloned().collect(),
            ..Record::default()
        };
        let next_id = scene.files.next_file_id;
        scene.reconfigure(&conf(groups));
        record.tell_names_from(&scene.files.config.spool_dir);
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
}
