//! Files that are followed, and more of them than may be open, told step by step.

use flume_ng::clock::Clock;
use flume_ng::config::model::FirstByte;

use crate::cluster::Version;
use crate::hazards::{Story, ours};
use crate::scenario::{Kind, Scenario};

/// Files that may be open at a time.
const FEW_FILES: usize = 4;

/// Files of two directories are followed, of which the second is not there.
fn followed() -> Story {
    let kind = Kind::Followed { first: FirstByte::Beginning, idle_ms: None };
    Story::begin(Scenario { kind, line_max: 500, ..Scenario::calm(Version::V11) })
}

impl Story {
    fn until_all_sent(&mut self, events: usize) {
        self.until(|cluster| cluster.logs.iter().map(ours).sum::<usize>() == events);
    }

    fn receipts(&self) -> usize {
        self.world.book.borrow().receipts.len()
    }

    fn until_receipt(&mut self) {
        for _ in 0..60 {
            if self.receipts() > 0 {
                return;
            }
            self.pass(1_000);
        }
        self.fail("no file is done");
    }
}

/// A file is renamed, done, and written to once more, while as many others are followed as may be open.
#[test]
fn a_finished_file_that_has_grown_gets_the_descriptor_of_a_quiet_one() {
    let mut story = followed();
    assert_eq!(story.world.stop_in_order(), Ok(true));
    story.world.open_max = Some(FEW_FILES);
    story.start();
    for _ in 0..FEW_FILES + 2 {
        story.write_another();
        story.pass(1_000);
    }
    story.write(3);
    story.until_all_sent(FEW_FILES + 5);
    let path = story.world.path_of(0);
    story.world.writers.hide(&path);
    story.until_receipt();
    let open = (1..FEW_FILES + 3).filter(|at| story.world.is_tracked(*at)).count();
    assert!(open >= FEW_FILES * 3 / 4, "{open} are open");
    let end_ms = story.world.clock.monotonic_ms() + 2_000;
    story.write(1);
    story.until_all_sent(FEW_FILES + 6);
    let now_ms = story.world.clock.monotonic_ms();
    assert!(now_ms < end_ms, "{} ms too late", now_ms - end_ms);
    story.conclude();
}
