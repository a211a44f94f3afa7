//! The checkpoint is what stands between a crash and a lost or repeated line. Whatever happens to
//! its file, a start must find the state before or after the write that was under way, or refuse;
//! never an older state and never a mixture.

#[path = "../support/crash_store.rs"]
mod crash_store;

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use crash_store::{CrashStore, Disk};
use flume_ng::checkpoint::aside;
use flume_ng::checkpoint::record::{BatchRecord, ChannelRecord, FileRecord, Record};
use flume_ng::checkpoint::slots::{
    self, FileStore, HEADER_BYTES, Opened, SLOT_BYTES_DEFAULT, SlotFinding, Slots, Store,
    WriteError,
};

type SharedDisk = Rc<RefCell<Disk>>;

/// A state that tells itself from any other by `number`, of about `100 * batches` bytes.
fn record(number: u64, batches: usize) -> Record {
    let batch = |i| BatchRecord { start: number, end: i, lines: number, ..BatchRecord::default() };
    Record {
        agent: "a1".into(),
        source: "r1".into(),
        next_file_id: number,
        channels: vec![ChannelRecord { name: "c1".into(), ..ChannelRecord::default() }],
        files: vec![FileRecord { position: number, ..FileRecord::default() }],
        batches: (0..batches as u64).map(batch).collect(),
        ..Record::default()
    }
}

fn number(record: &Record) -> u64 {
    let number = record.next_file_id;
    assert!(record.files[0].position == number);
    assert!(record.batches.iter().all(|b| b.start == number && b.lines == number));
    number
}

fn open<S: Store>(store: S) -> (Slots<S>, Record, bool, SlotFinding) {
    match Slots::open(store).unwrap() {
        Opened::Valid { slots, record, copied, other } => (slots, record, copied, other),
        Opened::Absent(_) => panic!("absent"),
        Opened::Damaged(damage) => panic!("{damage}"),
    }
}

fn absent<S: Store + std::fmt::Debug>(store: S) -> Slots<S> {
    match Slots::open(store).unwrap() {
        Opened::Absent(slots) => slots,
        other => panic!("{other:?}"),
    }
}

/// A disk on which states 1 to `count` were written.
fn disk(count: u64, batches: usize) -> SharedDisk {
    let disk = SharedDisk::default();
    let mut slots = absent(CrashStore::open(&disk));
    for number in 1..=count {
        slots.write(&mut record(number, batches)).unwrap();
    }
    disk
}

fn bytes(disk: &SharedDisk) -> Vec<u8> {
    let disk = disk.borrow();
    disk.files[disk.named.unwrap()].durable.clone()
}

fn from_bytes(bytes: Vec<u8>) -> SharedDisk {
    let file = crash_store::File { cached: bytes.clone(), durable: bytes, pending: Vec::new() };
    let named = Some(0);
    Rc::new(RefCell::new(Disk {
        files: vec![file],
        named,
        named_durable: named,
        ..Disk::default()
    }))
}

#[test]
fn states_come_back_and_writes_alternate() {
    let disk = disk(1, 3);
    let mut last = 1;
    for next in 2..9 {
        let (mut slots, found, copied, other) = open(CrashStore::open(&disk));
        assert_eq!((number(&found), found.generation, copied), (last, last, false));
        let before = if last == 1 {
            SlotFinding::Empty
        } else {
            SlotFinding::Valid { generation: last - 1 }
        };
        assert_eq!(other, before);
        slots.write(&mut record(next, next as usize % 3)).unwrap();
        last = next;
    }
    assert_eq!(disk.borrow().files.len(), 1);
}

#[test]
fn every_flipped_byte_leaves_the_old_or_the_new_state() {
    for flip in [0x01, 0x80, 0xff] {
        let disk = disk(2, 5);
        let len = bytes(&disk).len();
        let mut older = 0;
        for at in 0..len {
            // Of what neither slot uses, one kind of flip is enough.
            if flip != 0xff && at % SLOT_BYTES_DEFAULT as usize > 1024 {
                continue;
            }
            disk.borrow_mut().files[0].cached[at] ^= flip;
            match Slots::open(ReadOnly(CrashStore::open(&disk))).unwrap() {
                Opened::Valid { record, .. } => {
                    assert!((1..=2).contains(&number(&record)), "{at}");
                    older += usize::from(number(&record) == 1);
                }
                Opened::Damaged(_) => {}
                Opened::Absent(_) => panic!("{at}"),
            }
            disk.borrow_mut().files[0].cached[at] ^= flip;
        }
        assert!(older > 500, "only {older} flips touched the newer slot");
    }
}

/// With one slot in use there is no other state to fall back on.
#[test]
fn every_flipped_byte_of_the_only_slot_is_damage() {
    let disk = disk(1, 1);
    let at = SLOT_BYTES_DEFAULT as usize;
    for at in at..at + HEADER_BYTES + 100 {
        disk.borrow_mut().files[0].cached[at] ^= 4;
        assert!(matches!(
            Slots::open(ReadOnly(CrashStore::open(&disk))).unwrap(),
            Opened::Damaged(_)
        ));
        disk.borrow_mut().files[0].cached[at] ^= 4;
    }
}

#[test]
fn every_truncation_is_damage() {
    let whole = bytes(&disk(2, 5));
    let disk = from_bytes(whole.clone());
    for len in (0..whole.len()).rev() {
        disk.borrow_mut().files[0].cached.truncate(len);
        match Slots::open(ReadOnly(CrashStore::open(&disk))).unwrap() {
            Opened::Damaged(damage) => assert_eq!(damage.file_bytes, len as u64),
            other => panic!("{len}: {other:?}"),
        }
    }
    let longer = [whole.clone(), whole].concat();
    assert!(matches!(
        Slots::open(CrashStore::open(&from_bytes(longer))).unwrap(),
        Opened::Damaged(_)
    ));
}

/// Keeps what opening writes away from the file, so that a flip can be taken back.
#[derive(Debug)]
struct ReadOnly(CrashStore);

impl Store for ReadOnly {
    fn path(&self) -> &Path {
        self.0.path()
    }
    fn file_bytes(&self) -> std::io::Result<Option<u64>> {
        self.0.file_bytes()
    }
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> std::io::Result<()> {
        self.0.read_at(offset, buffer)
    }
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> std::io::Result<()> {
        let mut present = vec![0; bytes.len()];
        self.0.read_at(offset, &mut present)?;
        assert_eq!(present, bytes, "opening changed the newest slot");
        Ok(())
    }
    fn sync(&mut self) -> std::io::Result<()> {
        Ok(())
    }
    fn identity(&self) -> std::io::Result<(u64, u64)> {
        self.0.identity()
    }
    fn successor(&self, len: u64) -> std::io::Result<ReadOnly> {
        self.0.successor(len).map(ReadOnly)
    }
    fn publish(&mut self) -> std::io::Result<()> {
        self.0.publish()
    }
}

/// The power fails after a write and before its sync, with every subset of sectors on the disk.
#[test]
fn every_torn_write_leaves_the_old_or_the_new_state() {
    for (before, after) in [(15, 15), (15, 3), (3, 15), (0, 15)] {
        let mut seen = [0, 0];
        let mut subset = 0u32;
        loop {
            let disk = disk(3, before);
            let (mut slots, ..) = open(CrashStore::open(&disk));
            // The write call arrives, the sync does not.
            disk.borrow_mut().fail_in = Some(1);
            assert!(slots.write(&mut record(4, after)).unwrap_err().is_final());
            let sectors = disk.borrow().undecided();
            disk.borrow_mut().crash(|sector| subset >> sector & 1 == 1);
            let (_, found, ..) = open(CrashStore::open(&disk));
            seen[number(&found) as usize - 3] += 1;
            subset += 1;
            if subset >> sectors == 1 {
                break;
            }
        }
        assert!(seen[0] > 0 && seen[1] > 0, "{seen:?}");
    }
}

/// Every call fails in turn, in first creation, writing in place and growing; then the power
/// does, or only the process; and once more in the middle of what the next start does.
#[test]
fn a_crash_at_any_call_leaves_the_old_or_the_new_state() {
    let large = SLOT_BYTES_DEFAULT as usize / 90 + 50;
    for (existing, batches) in [(0, 3), (1, 3), (2, 3), (2, large)] {
        let calls = {
            let disk = disk(existing, 3);
            write_next(&disk, existing, batches, None);
            disk.borrow().calls
        };
        for call in 0..=calls {
            for pattern in 0..32u32 {
                let disk = disk(existing, 3);
                let new = existing + 1;
                let written = write_next(&disk, existing, batches, Some(call));
                if pattern % 2 == 0 {
                    disk.borrow_mut().crash(|i| mixes(pattern / 2, i));
                }
                disk.borrow_mut().fail_in = None;
                let found = state(&disk);
                assert!(found == existing || found == new, "{call} {pattern}: {found}");
                assert!(!written || found == new, "{call} {pattern}: a done write is lost");
                // What a start has seen may be acted upon: it must not go back behind it, even
                // if the next write is torn.
                disk.borrow_mut().fail_in = None;
                if found > 0 {
                    write_next(&disk, found, 9, Some(3));
                    disk.borrow_mut().crash(|i| mixes(pattern, i));
                    assert!(state(&disk) == found || state(&disk) == found + 1);
                }
            }
        }
    }
}

/// A process is killed between write and sync: the next one sees its state, acts upon it and
/// is torn in its own write. Neither may be lost together with the other.
#[test]
fn a_state_that_was_seen_is_on_the_disk_before_the_next_write() {
    for pattern in 0..64 {
        let disk = disk(2, 15);
        let (mut killed, ..) = open(CrashStore::open(&disk));
        disk.borrow_mut().fail_in = Some(1);
        killed.write(&mut record(3, 15)).unwrap_err();
        disk.borrow_mut().fail_in = None;
        let (mut slots, found, ..) = open(CrashStore::open(&disk));
        assert_eq!(number(&found), 3);
        disk.borrow_mut().fail_in = Some(1);
        slots.write(&mut record(4, 15)).unwrap_err();
        disk.borrow_mut().crash(|sector| pattern >> sector & 1 == 1);
        assert!(matches!(state(&disk), 3 | 4), "{pattern}");
    }
}

/// Opens and writes state `last + 1`; `fail_in`: the call that fails. Did it succeed?
fn write_next(disk: &SharedDisk, last: u64, batches: usize, fail_in: Option<u32>) -> bool {
    disk.borrow_mut().calls = 0;
    disk.borrow_mut().fail_in = fail_in;
    match Slots::open(CrashStore::open(disk)) {
        Ok(Opened::Absent(mut slots) | Opened::Valid { mut slots, .. }) => {
            slots.write(&mut record(last + 1, batches)).is_ok()
        }
        Ok(Opened::Damaged(damage)) => panic!("{damage}"),
        Err(_) => false,
    }
}

/// The state that a start finds; 0 if there is no checkpoint.
fn state(disk: &SharedDisk) -> u64 {
    match Slots::open(CrashStore::open(disk)).unwrap() {
        Opened::Absent(_) => 0,
        Opened::Valid { record, .. } => number(&record),
        Opened::Damaged(damage) => panic!("{damage}"),
    }
}

/// A fixed mixture of yes and no for each pattern; 0 is never, 1 is always.
fn mixes(pattern: u32, i: usize) -> bool {
    match pattern {
        0 => false,
        1 => true,
        _ => {
            (pattern.wrapping_mul(0x9e37_79b9) ^ (i as u32).wrapping_mul(0x85eb_ca6b)).count_ones()
                % 2
                == 1
        }
    }
}

#[test]
fn nothing_is_written_after_a_failure() {
    for call in [0, 1] {
        let disk = disk(2, 3);
        let (mut slots, ..) = open(CrashStore::open(&disk));
        disk.borrow_mut().fail_in = Some(call);
        assert!(matches!(slots.write(&mut record(3, 3)), Err(WriteError::Failed { .. })));
        disk.borrow_mut().fail_in = None;
        let calls = disk.borrow().calls;
        let error = slots.write(&mut record(4, 3)).unwrap_err();
        assert!(matches!(error, WriteError::Refused { .. }) && error.is_final());
        assert_eq!(disk.borrow().calls, calls);
    }
}

#[test]
fn no_room_for_a_larger_file_leaves_the_slots_usable() {
    let disk = disk(2, 3);
    let (mut slots, ..) = open(CrashStore::open(&disk));
    disk.borrow_mut().fail_in = Some(0);
    let error = slots.write(&mut record(3, 5000)).unwrap_err();
    assert!(matches!(error, WriteError::NoRoom { .. }) && !error.is_final());
    disk.borrow_mut().fail_in = None;
    slots.write(&mut record(4, 3)).unwrap();
    assert_eq!(state(&disk), 4);
    slots.write(&mut record(5, 5000)).unwrap();
    slots.write(&mut record(6, 3)).unwrap();
    assert_eq!((state(&disk), disk.borrow().files.len()), (6, 2));
}

#[test]
fn a_record_beyond_every_limit_is_refused() {
    let disk = disk(1, 3);
    let (mut slots, ..) = open(CrashStore::open(&disk));
    let mut huge = record(2, 0);
    huge.files[0].name = vec![b'x'; slots::SLOT_BYTES_MAX as usize];
    assert!(matches!(slots.write(&mut huge), Err(WriteError::TooLarge { .. })));
    slots.write(&mut record(2, 3)).unwrap();
    assert_eq!(state(&disk), 2);
}

/// Seals a slot as another program would: any header, with the right checksum.
fn reseal(bytes: &mut [u8], slot: usize, change: impl FnOnce(&mut [u8])) {
    let slot = &mut bytes[slot * SLOT_BYTES_DEFAULT as usize..][..SLOT_BYTES_DEFAULT as usize];
    change(slot);
    let length = u32::from_le_bytes(slot[24..28].try_into().unwrap()) as usize;
    let sealed = [&slot[..28], &slot[HEADER_BYTES..HEADER_BYTES + length]].concat();
    slot[28..32].copy_from_slice(&crc32fast::hash(&sealed).to_le_bytes());
}

#[test]
fn a_later_version_is_named_even_beside_a_valid_slot() {
    for (at, message) in [(8, "layout version 9"), (HEADER_BYTES, "format version 9")] {
        let mut bytes = bytes(&disk(2, 3));
        reseal(&mut bytes, 0, |slot| slot[at] = 9);
        let disk = from_bytes(bytes.clone());
        match Slots::open(CrashStore::open(&disk)).unwrap() {
            Opened::Damaged(damage) => {
                assert!(damage.is_other_version());
                let text = damage.to_string();
                assert!(
                    text.contains(message) && text.contains("go on with the version"),
                    "{text}"
                );
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(self::bytes(&disk), bytes);
    }
}

#[test]
fn what_was_written_whole_but_makes_no_sense_is_damage() {
    let changes: [fn(&mut [u8]); 4] = [
        |slot| slot[16] = 7,
        |slot| slot[13] = 7,
        |slot| slot[24] += 1,
        |slot| slot[16..24].fill(0xff),
    ];
    for change in changes {
        let mut bytes = bytes(&disk(2, 3));
        reseal(&mut bytes, 0, change);
        match Slots::open(CrashStore::open(&from_bytes(bytes))).unwrap() {
            Opened::Damaged(damage) => assert!(!damage.is_other_version()),
            other => panic!("{other:?}"),
        }
    }
}

struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        let dir =
            std::env::temp_dir().join(format!("flume-ng-slots-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir).unwrap();
        Scratch(dir)
    }

    fn store(&self) -> FileStore {
        FileStore::open(&self.0).unwrap()
    }

    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.0).unwrap();
        let mut names: Vec<String> =
            entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_real_file_is_made_grows_and_is_known_again() {
    let scratch = Scratch::new("file");
    let path = scratch.0.join(slots::FILE_NAME);
    std::fs::write(scratch.0.join(slots::NEW_FILE_NAME), "left by a crash").unwrap();
    let mut slots = absent(scratch.store());
    for number in 1..4 {
        slots.write(&mut record(number, 3)).unwrap();
        assert_eq!(path.metadata().unwrap().len(), 2 * SLOT_BYTES_DEFAULT);
    }
    slots.write(&mut record(4, 2000)).unwrap();
    slots.write(&mut record(5, 3)).unwrap();
    assert!(path.metadata().unwrap().len() > 2 * SLOT_BYTES_DEFAULT);
    let (_, found, copied, other) = open(scratch.store());
    assert_eq!((number(&found), copied), (5, false));
    assert_eq!(other, SlotFinding::Valid { generation: 4 });
    assert_eq!(scratch.names(), [slots::FILE_NAME]);
    let mode = std::os::unix::fs::MetadataExt::mode(&path.metadata().unwrap());
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_copy_is_told_from_the_original_until_it_is_written() {
    let scratch = Scratch::new("copy");
    let path = scratch.0.join(slots::FILE_NAME);
    absent(scratch.store()).write(&mut record(1, 3)).unwrap();
    let original = scratch.0.join("original");
    std::fs::rename(&path, &original).unwrap();
    std::fs::copy(&original, &path).unwrap();
    let (mut slots, _, copied, _) = open(scratch.store());
    assert!(copied);
    assert!(open(scratch.store()).2, "opening alone must not hide it");
    slots.write(&mut record(2, 3)).unwrap();
    assert!(!open(scratch.store()).2);
}

#[test]
fn a_bad_checkpoint_is_kept_aside_under_a_new_name() {
    let scratch = Scratch::new("aside");
    for (content, name) in [("", "checkpoint.bad-17"), ("x", "checkpoint.bad-18")] {
        std::fs::write(scratch.0.join(slots::FILE_NAME), content).unwrap();
        match Slots::open(scratch.store()).unwrap() {
            Opened::Damaged(damage) => {
                assert!(damage.to_string().contains("onBadCheckpoint"), "{damage}");
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(aside::keep_aside(&scratch.0, 17).unwrap(), scratch.0.join(name));
        assert_eq!(std::fs::read(scratch.0.join(name)).unwrap(), content.as_bytes());
        absent(scratch.store());
    }
}

/// A file system of its own, 256 KiB large, that goes with the test. `None` without the right to
/// mount one.
struct SmallDisk(Scratch);

impl SmallDisk {
    fn new(name: &str) -> Option<SmallDisk> {
        let scratch = Scratch::new(name);
        let mut mount = std::process::Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=256k", "tmpfs"]).arg(&scratch.0);
        let mounted = mount.stderr(std::process::Stdio::null()).status();
        mounted.is_ok_and(|status| status.success()).then_some(SmallDisk(scratch))
    }

    /// Writes until there is no room for another byte (in a file called `ballast`).
    fn fill_up(&self) {
        use std::io::Write;
        let mut file = std::fs::File::create(self.0.0.join("ballast")).unwrap();
        while file.write_all(&[1; 512]).is_ok() {}
    }

    /// Makes room again. By a truncation: a removed file keeps its blocks while a process that
    /// another test has just forked holds the descriptor, until that one calls exec.
    fn make_room(&self) {
        std::fs::File::create(self.0.0.join("ballast")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(&self.0.0).status();
    }
}

#[test]
fn a_full_disk_does_not_stop_a_checkpoint_that_exists() {
    let Some(disk) = SmallDisk::new("full") else {
        eprintln!("skipped: mounting a small file system takes root");
        return;
    };
    let mut slots = absent(disk.0.store());
    slots.write(&mut record(1, 3)).unwrap();
    disk.fill_up();
    for number in 2..10 {
        slots.write(&mut record(number, 100)).unwrap();
    }
    let error = slots.write(&mut record(10, 2000)).unwrap_err();
    assert!(matches!(error, WriteError::NoRoom { .. }), "{error}");
    assert_eq!(disk.0.names(), ["ballast", slots::FILE_NAME]);
    slots.write(&mut record(11, 3)).unwrap();
    assert_eq!(number(&open(disk.0.store()).1), 11);
}

#[test]
fn a_full_disk_before_the_first_write_leaves_no_checkpoint() {
    let Some(disk) = SmallDisk::new("full-first") else {
        eprintln!("skipped: mounting a small file system takes root");
        return;
    };
    disk.fill_up();
    let mut slots = absent(disk.0.store());
    assert!(matches!(slots.write(&mut record(1, 3)), Err(WriteError::NoRoom { .. })));
    assert_eq!(disk.0.names(), ["ballast"]);
    disk.make_room();
    slots.write(&mut record(2, 3)).unwrap();
    assert_eq!(number(&open(disk.0.store()).1), 2);
}

#[test]
fn who_does_not_hold_the_lock_reads_the_newest_whole_state_and_writes_nothing() {
    let scratch = Scratch::new("read-newest");
    assert!(slots::read_newest(&scratch.0).unwrap().is_none());
    let mut slots = absent(scratch.store());
    for next in 1..=4 {
        slots.write(&mut record(next, 3)).unwrap();
        assert_eq!(number(&slots::read_newest(&scratch.0).unwrap().unwrap()), next);
    }
    let path = scratch.0.join(slots::FILE_NAME);
    let mut bytes = std::fs::read(&path).unwrap();
    // The newest one is being written.
    bytes[HEADER_BYTES + 9] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    assert_eq!(number(&slots::read_newest(&scratch.0).unwrap().unwrap()), 3);
    assert_eq!(std::fs::read(&path).unwrap(), bytes);
    bytes[SLOT_BYTES_DEFAULT as usize + HEADER_BYTES + 9] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let error = slots::read_newest(&scratch.0).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidData);
    let words = error.to_string();
    for slot in ["slot 0: wrong checksum", "slot 1: wrong checksum"] {
        assert!(words.contains(slot), "{words}");
    }
}
