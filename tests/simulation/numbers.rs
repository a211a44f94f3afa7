//! Runs that failed once, most with events after which nothing but its content tells what a file is.
//! Each is told by the seed that drew it, whatever is drawn for that seed by now.

use flume_ng::log::{self, Level};

use crate::fuse::Trace;
use crate::rng::Rng;
use crate::scenario::{self, Scenario};
use crate::world::World;
use crate::{Ground, Plant, how_to_replay};

fn run(seed: u64, has_new_numbers: bool) {
    log::set_level(Level::Off);
    let ground = Ground::new();
    let scenario = Scenario { has_new_numbers, ..Scenario::draw(&mut Rng::new(!seed)) };
    let mut world = World::new(seed, &ground.0, scenario, Plant::Nothing, Trace::default());
    let result = scenario::run(&mut world);
    let has = u8::from(has_new_numbers);
    assert_eq!(result, Ok(()), "FLUME_NG_SIM_NEW_NUMBERS={has} {}", how_to_replay(seed));
}

/// Files are copied and truncated, replaced by their like, and renumbered, too.
fn run_all(seeds: &[u64]) {
    seeds.iter().for_each(|seed| run(*seed, true));
}

/// A batch is sent again, half a line and a zero behind it; the line is written on, its hour ends,
/// and what comes next is read as the end of the file.
#[test]
fn zeros_behind_a_batch_that_is_read_again_are_not_sent() {
    run(91_014_622, false);
}

/// Half a line is in doubt when its file is truncated: it is told as lost, and its other half is a
/// line of its own.
#[test]
fn the_rest_of_a_line_of_which_the_beginning_is_lost_is_sent() {
    run(401_004_792, false);
}

/// The original is truncated already when its copy has its turn, and nobody has seen it yet.
#[test]
fn a_copy_is_known_before_the_truncation_of_its_original_was_seen() {
    run_all(&[154, 1149, 1872, 15_986]);
}

/// A restart on another disk, where the files cannot be opened at first.
#[test]
fn what_is_waited_for_is_known_by_its_content_when_it_comes_back() {
    run_all(&[1031]);
}

/// A batch is refused as too large, or is in doubt, when its file is truncated. The copy was made
/// before the last lines, and has these.
#[test]
fn what_is_in_doubt_of_a_truncated_file_is_read_from_a_copy_that_lacks_its_last_lines() {
    run_all(&[2017, 8853, 11_223, 11_901, 14_952]);
}

/// A file is deleted, and then the device gets another number.
#[test]
fn what_one_run_has_seen_to_be_gone_is_not_waited_for_by_the_next() {
    run_all(&[6151, 9531, 11_844, 13_066, 8405, 8683]);
}

/// The device has got another number, and one of the files cannot be opened at this start.
#[test]
fn a_new_device_number_is_that_of_what_is_waited_for_too() {
    run_all(&[7947, 8767, 17_750]);
}

/// The directory cannot be listed, or the copy not be opened, when the truncation is seen.
#[test]
fn a_copy_that_cannot_be_asked_now_is_not_read_as_a_new_file() {
    run_all(&[1145, 2275, 15_657]);
}

/// Lines are read behind the copy, and the agent dies before the truncation is seen.
#[test]
fn a_copy_that_lacks_the_last_lines_is_known_after_a_restart_too() {
    run_all(&[3894, 10_805, 32_653]);
}

#[test]
fn a_copy_is_known_though_its_original_was_renamed_since() {
    run_all(&[8]);
}

/// A file is found again under its name, and truncated before it was compared.
#[test]
fn a_copy_is_looked_for_where_a_file_is_truncated_before_it_was_compared() {
    run_all(&[7439]);
}

/// A file that is over is copied and truncated, and nothing of it is left to read.
#[test]
fn a_file_of_which_a_copy_waits_is_not_done() {
    run_all(&[16_997]);
}

/// A file is replaced by its like, and its grace time is over before the new one was compared.
#[test]
fn a_replaced_file_is_not_done_before_what_has_its_name_was_compared() {
    run_all(&[4363, 7377, 29_534]);
}

/// Everything was copied, the files cannot be opened at first, and the agent is started again.
#[test]
fn numbers_in_a_copied_state_say_nothing_at_a_later_start_either() {
    run_all(&[6457, 17_184, 26_737]);
}

/// A state is copied while a batch is on its way, which nothing fences.
#[test]
fn a_late_batch_of_a_copied_state_is_waited_for() {
    run_all(&[12_071, 16_961]);
}

/// Files are renamed or moved while no agent runs, this one sees them there, and the device gets
/// another number before anything is sent.
#[test]
fn an_inode_is_known_by_its_time_of_birth_under_another_name_on_another_device() {
    run_all(&[5247, 6072]);
}

/// The last thing that a run does is to see that a file has another name; then all is copied.
#[test]
fn a_new_name_is_noted_before_the_end() {
    run_all(&[43_693]);
}

/// A finished file that keeps its name is copied with everything, and the agent dies soon after its
/// start.
#[test]
fn numbers_in_copied_receipts_say_nothing_at_a_later_start_either() {
    run_all(&[45_367, 51_605]);
}

/// A file is replaced by its like, then copied and truncated; the old inode is gone at the next start.
#[test]
fn what_is_left_of_a_replaced_file_is_not_found_in_a_copy_of_the_new_one() {
    run_all(&[54_971]);
}

/// Nothing of a file can be opened for a while, a record of its name is empty, and what it waits for comes
/// back.
#[test]
fn who_waits_is_asked_before_an_empty_record_is_read() {
    run_all(&[57_501]);
}

/// A file is copied, truncated and deleted before anybody has seen that.
#[test]
fn a_copy_of_a_file_that_has_no_place_any_more_waits_for_its_truncation() {
    run_all(&[61_522]);
}

/// The device gets another number, and the only file of which something is in doubt was replaced or
/// truncated.
#[test]
fn a_directory_is_known_by_its_time_of_birth_on_another_device() {
    run_all(&[83_535, 900_004_648, 700_022_541]);
}

/// A writer uses the zeros that it had reserved while they are being sent as the last line of a file that
/// seemed finished.
#[test]
fn where_zeros_began_is_known_while_they_are_read() {
    run_all(&[89_869, 900_000_690]);
}

/// A finished file has grown and is read on; then all is copied, and it cannot be opened at first.
#[test]
fn a_grown_file_whose_record_waits_is_not_read_by_its_receipt() {
    run_all(&[900_002_992]);
}

/// An event goes to the dead letters, the agent dies before it notes that, and what was read of its file
/// is found in a copy.
#[test]
fn a_letter_is_known_again_though_its_file_has_another_name() {
    run_all(&[700_027_299]);
}

/// A file is renamed twice before anybody has seen it, and then replaced by its like.
#[test]
fn what_replaced_a_file_under_a_name_that_nobody_has_seen_goes_on() {
    run_all(&[700_023_261]);
}

/// A file is replaced by its like, and that is copied and truncated before it was compared.
#[test]
fn a_replaced_file_is_not_done_before_a_copy_of_it_was_looked_at() {
    run_all(&[700_020_866, 740_040_645]);
}

/// A file is replaced by its like, that is moved out of the directory, and the agent dies before it has
/// compared the two.
#[test]
fn what_replaced_a_file_and_was_moved_away_is_asked_after_a_restart() {
    run_all(&[730_024_747]);
}

/// Few files may be open, and all that are hold an hour that is over and wait for their first line.
#[test]
fn empty_files_of_a_past_hour_leave_room_to_one_of_the_present() {
    run_all(&[710_082_070]);
}

/// A file is copied a moment after its first lines were read.
#[test]
fn the_first_position_of_a_file_tells_a_copy() {
    run_all(&[700_025_186]);
}

/// A file is copied and truncated, then replaced, and all this is seen at once.
#[test]
fn what_a_truncated_file_holds_is_read_once_though_its_old_content_is_found_elsewhere() {
    run_all(&[700_015_862]);
}

/// A file is deleted or replaced, its inode truncated, and a copy that lacks the last lines is there: it is
/// compared as what has taken the file's place when the truncation is seen.
#[test]
fn a_truncated_file_that_has_lost_its_name_goes_on_in_its_copy() {
    run_all(&[710_076_431, 710_080_280, 720_084_093, 720_048_653]);
}

/// A file is replaced by its like, which ends in half a line that its writer has yet to end.
#[test]
fn what_replaces_a_file_has_a_grace_time_of_its_own() {
    run_all(&[710_051_664]);
}

/// A file is copied and truncated, and that is seen while another directory stands in the place of its
/// own.
#[test]
fn a_copy_is_not_looked_for_in_another_directory() {
    run_all(&[710_068_954, 720_007_413, 720_018_933]);
}

/// Everything is copied, the first start is cut off before it has looked, and then the device gets another
/// number: a copy of the only file shows that it is the right directory.
#[test]
fn a_copy_shows_that_a_directory_is_the_one_of_a_copied_state() {
    run_all(&[760_065_577]);
}

/// A file is replaced by its like, of which no descriptor is left to look at it, and ends in half a line.
#[test]
fn half_a_line_of_a_replaced_file_waits_until_what_has_its_name_was_asked() {
    run_all(&[770_046_210, 770_029_295, 730_001_208]);
}

/// A file is renamed, unseen, and replaced by its like there, and the channel is away until its grace time is
/// over.
#[test]
fn a_file_without_a_name_is_not_done_before_all_others_were_asked() {
    run_all(&[760_053_015]);
}

/// A file has a receipt, comes back, is read on, and is replaced by its like.
#[test]
fn a_receipt_of_a_file_that_was_read_on_says_nothing_of_what_replaces_it() {
    run_all(&[760_052_493]);
}

/// A file that ended before it was opened has more zeros than its last bytes show, and is written on there.
#[test]
fn where_zeros_began_is_known_of_a_file_that_ended_before_it_was_opened() {
    run_all(&[760_087_951]);
}

/// `rebuilding` cannot be removed, and nothing is sent before it is gone.
#[test]
fn what_waits_for_the_state_to_be_read_back_is_sent_in_the_end() {
    run(920_000_454, false);
}

/// What was in doubt when its topic was deleted is too large for the next one, or has only its beginning
/// left in a copy.
#[test]
fn what_was_in_doubt_in_a_topic_that_was_deleted_counts_there() {
    run_all(&[56_575, 64_973]);
}

/// What was read of a followed file is in another of its directories when a copy is looked for: neither is
/// away.
#[test]
fn a_file_that_was_moved_to_another_of_its_directories_is_not_waited_for() {
    run_as_drawn(crate::FOLLOWED + 2_122);
}

/// A followed file was moved away with its directory, has given its descriptor to another, and is opened again
/// when the directory is back.
#[test]
fn a_file_that_is_back_in_its_place_is_not_moved() {
    run_as_drawn(crate::FOLLOWED + 1_200_037_539);
}

/// A file of a copied state is deleted before it was compared, lines of it are in doubt, and the device gets another
/// number.
#[test]
fn a_file_that_was_found_by_its_content_is_in_a_directory_though_it_was_deleted_since() {
    run_as_drawn(1_200_050_504);
}

/// A followed file with half a line is moved to another of its directories, where it cannot be asked for a while.
#[test]
fn a_file_that_has_a_name_which_could_not_be_listed_has_not_ended() {
    run_as_drawn(crate::FOLLOWED + 1_200_073_814);
}

/// So little was read of a file that nothing but its name tells what its copy is. The original is truncated and
/// replaced, which leaves the copy alone in a directory that is to be renamed.
#[test]
fn a_copy_that_only_its_name_tells_keeps_its_directory() {
    run_as_drawn(crate::SPOOLED + 1_200_083_964);
}

/// A finished file is renamed where nobody sees it, and the device gets another number.
#[test]
fn a_receipt_is_found_by_the_inode_that_was_born_then() {
    run_as_drawn(951_003_883);
}

/// An event goes to the dead letters, there is no room to note it, and its file gets a shorter name.
#[test]
fn a_letter_that_no_record_knows_is_not_sent() {
    run_as_drawn(910_016_243);
}

/// Lines are read while a file is copied. It is truncated, renamed, and moved away before anybody looks at it.
#[test]
fn a_copy_is_known_though_its_original_was_renamed_and_moved_since() {
    run_as_drawn(1_200_135_578);
}

/// A file of which little was read is copied and truncated, and its directory is renamed, while no agent runs.
#[test]
fn a_copy_is_known_by_its_directory_whatever_that_is_called() {
    run_as_drawn(crate::SPOOLED + 1_200_224_277);
}

/// A finished file has given its descriptor away when its directory is removed: nobody can read what is written to it
/// then.
#[test]
fn what_is_written_to_a_file_without_descriptor_and_name_is_not_missed() {
    run_as_drawn(crate::SPOOLED + 1_206_012_918);
}

/// A file was truncated and written again while no agent ran. At the start it cannot be opened; it is read as a new
/// one a moment later, and truncated.
#[test]
fn a_file_is_not_read_twice_where_it_was_waited_for() {
    run_as_drawn(crate::FOLLOWED + 1_201_002_206);
}

/// Followed files that end in half a line keep their descriptors until that is sent, and others wait for these: nothing
/// happens for longer than usual, and it is not the end.
#[test]
fn files_that_wait_for_descriptors_are_read_before_all_is_over() {
    run_as_drawn(crate::FOLLOWED + 1_206_012_934);
}

/// A file that keeps its name has no grace time, and is read to its end between its copy and its truncation.
#[test]
fn a_file_that_keeps_its_name_is_not_done_before_it_is_left_alone() {
    run_as_drawn(crate::SPOOLED + 1_216_000_841);
}

/// A finished file that keeps its name is copied with everything, and again: the second copy has the inode's first
/// number.
#[test]
fn a_copied_receipt_is_asked_by_its_name_whatever_its_numbers_are() {
    run_as_drawn(crate::SPOOLED + 1_302_002_461);
}

/// A file is replaced by its like, and that is compared when another directory stands in the place of its own. It waits to
/// be deleted in the tracker directory when that is back.
#[test]
fn a_file_that_goes_on_in_its_like_is_not_in_a_directory_that_came_meanwhile() {
    run_as_drawn(crate::SPOOLED + 1_210_038_240);
}

/// Half a line is announced as the last of its file and not yet sent; then another file with the same bytes takes its
/// place, and the line goes on there.
#[test]
fn half_a_line_that_was_announced_as_the_last_goes_on_in_another_file() {
    run_as_drawn(crate::SPOOLED + 1_210_013_957);
}

/// A file is moved to the directory below while no agent runs, and the next start cannot list the one above.
#[test]
fn a_file_is_not_given_up_before_all_directories_are_found() {
    run_as_drawn(crate::SPOOLED + 1_217_010_456);
}

/// Another directory is in the place of the spool directory for a while, and finished files are written to when it is
/// back.
#[test]
fn finished_files_are_where_they_stand_and_not_where_was_listed_last() {
    run_as_drawn(crate::SPOOLED + 1_213_014_392);
}

/// A file that begins at a position of Flume cannot be opened at the first start, and is not truncated before it could.
#[test]
fn what_stands_before_a_position_that_was_given_is_believed() {
    run_as_drawn(crate::FOLLOWED + 1_310_003_905);
}

/// A file that keeps its name is replaced before it is opened first, and done at once.
#[test]
fn a_file_that_was_replaced_since_it_was_listed_is_not_opened_again_and_again() {
    run_as_drawn(crate::SPOOLED + 1_212_000_952);
}

/// A file is written from its end, copied and truncated before anything was read of it, and written from its end again.
#[test]
fn zeros_of_a_truncated_file_say_nothing_of_those_that_come_after() {
    run_as_drawn(1_214_008_557);
}

/// A topic without id in which others have written is not made anew: where nothing of the agent was in it, nothing
/// tells that.
#[test]
fn records_of_others_are_in_no_topic_without_id_that_is_made_anew() {
    run_as_drawn(1_214_007_852);
}

/// A finished file that keeps its name is read on, and replaced by its like after the next start has opened it.
#[test]
fn what_has_the_name_of_a_file_that_is_read_on_is_not_a_grown_one() {
    run_as_drawn(1_355_016_984);
}

/// A file of which little was read is copied and truncated. Another directory is there at the next start, and its own
/// is back before that was listed.
#[test]
fn a_copy_waits_for_its_original_where_the_directory_is_back() {
    run_as_drawn(1_310_012_225);
}

/// So little was read of a file that nothing but its name tells what it is in a copied state. It gets another name, and
/// the agent dies before it could note anything.
#[test]
fn what_only_its_name_tells_keeps_that_until_the_copied_state_is_written_again() {
    run_as_drawn(crate::SPOOLED + 1_400_165_337);
}

/// A file ends in half a line and is replaced by its like, in which the line goes on, before the next listing.
#[test]
fn half_a_line_of_a_file_that_was_replaced_since_the_listing_is_not_its_last() {
    [1_310_016_035, 1_310_021_201].iter().for_each(|seed| run_as_drawn(crate::SPOOLED + seed));
}

/// Everything is copied, and a renamed file of which nothing was read cannot be opened before as many are open as may
/// be. They go on for ever, and no inode number tells that it is there.
#[test]
fn a_file_of_a_copied_state_that_waits_is_given_a_place_by_its_name() {
    run_hard(3_002_059_305);
}

/// Everything is copied while another directory stands in the place of the one that its files were moved away with.
#[test]
fn half_a_line_of_a_copied_state_waits_for_the_directory_that_was_moved_away() {
    run_as_drawn(1_600_083_227);
}

/// A finished file that keeps its name is copied with everything. Its directory is renamed before any agent could look
/// at it there: a copy that somebody has made to have it sent again would be the same.
#[test]
fn a_finished_file_of_a_copied_state_keeps_its_name_until_it_was_seen() {
    run_hard(crate::SPOOLED + 3_002_560_654);
}

/// With the topics and channels that its number draws.
fn run_as_drawn(seed: u64) {
    run_in_world(seed, false);
}

/// Likewise, as `FLUME_NG_SIM_HARD=1` has it.
fn run_hard(seed: u64) {
    run_in_world(seed, true);
}

fn run_in_world(seed: u64, is_hard: bool) {
    log::set_level(Level::Off);
    let ground = Ground::new();
    let mut world = crate::world(seed, is_hard, &ground, Plant::Nothing, Trace::default());
    let result = scenario::run(&mut world);
    assert_eq!(result, Ok(()), "hard: {is_hard}, {}", how_to_replay(seed));
}
