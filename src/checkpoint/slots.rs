//! The file `checkpoint`: the newest [`Record`] of a source, in one of two slots.
//!
//! ```text
//! 0            slot 0                              slot 1                     2 x slot size
//! |header|record|  rest of the slot, unused  |header|record|  unused                |
//!
//! header   0  magic         8 bytes  "FlumeCkp"
//!          8  layout        u32      LAYOUT_VERSION
//!         12  slot size     u32      bytes; half of the file's length
//!         16  generation    u64      its parity is the slot's number
//!         24  length        u32      bytes of the record
//!         28  crc           u32      CRC-32 of the header before it and of the record
//! ```
//!
//! Little endian throughout. The place and meaning of magic, layout, length and crc stay the same
//! in every layout to come, so that an older program can tell a newer file from a broken one.
//!
//! A write goes to the slot that holds the older generation, and is on the disk (fdatasync)
//! before it counts. Cut short, it leaves that slot with a wrong CRC and the other one untouched.
//! The file is made at its full length, with every byte written, and renamed into place with its
//! first record in it. A write in place therefore needs no space, and a `checkpoint` without a
//! valid slot is damage, never the trace of a crash.
//!
//! A record that outgrows the slots goes into a new file in the same way.
//!
//! What a start reads may stand in the kernel's memory only, if the writer was killed before its
//! fdatasync. Opening therefore writes the newest slot once more, the same bytes to the same
//! place, and syncs: from then on it is on the disk, and the next write may destroy the other one.

use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::codec::{self, DecodeError};
use super::lock::{self, Place};
use super::record::{FileRecord, Record};
use crate::os;

/// Name of the file in the tracker directory.
pub const FILE_NAME: &str = "checkpoint";
/// Name under which a new one is made before it takes the place of the old one.
pub const NEW_FILE_NAME: &str = "checkpoint.new";
/// Version of the layout that is drawn above; the record has one of its own.
pub const LAYOUT_VERSION: u32 = 1;
/// Size of a slot unless a record needs more, bytes.
pub const SLOT_BYTES_DEFAULT: u64 = 64 * 1024;
/// No record needs more (it would describe some 300,000 files), bytes.
pub const SLOT_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Slots begin at multiples of this, so that none shares a page or a sector with the other.
pub const SLOT_ALIGN: u64 = 4096;

const MAGIC: [u8; 8] = *b"FlumeCkp";
const LAYOUT_AT: usize = MAGIC.len();
const SLOT_BYTES_AT: usize = LAYOUT_AT + 4;
const GENERATION_AT: usize = SLOT_BYTES_AT + 4;
const LENGTH_AT: usize = GENERATION_AT + 8;
const CRC_AT: usize = LENGTH_AT + 4;
/// Size of a slot's header, bytes.
pub const HEADER_BYTES: usize = CRC_AT + 4;

const _: () = assert!(SLOT_BYTES_DEFAULT.is_multiple_of(SLOT_ALIGN));
const _: () =
    assert!(SLOT_BYTES_MAX.is_multiple_of(SLOT_ALIGN) && SLOT_BYTES_MAX < u32::MAX as u64);

/// Where the checkpoint stands: a file that may not exist yet. A store that simulates crashes
/// takes the place of [`FileStore`] in tests.
pub trait Store: Sized {
    /// For messages.
    fn path(&self) -> &Path;
    /// Length of the file, bytes; `None` if there is none.
    fn file_bytes(&self) -> io::Result<Option<u64>>;
    /// Fills `buffer` from `offset` on, or fails.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()>;
    /// Writes all of `bytes` within the present length. Durable only after [`Store::sync`].
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// Makes what was written durable (fdatasync). Never called again after it has failed.
    fn sync(&mut self) -> io::Result<()>;
    /// Device and inode.
    fn identity(&self) -> io::Result<(u64, u64)>;
    /// A new file of `len` zeros, all space reserved, which is not in place yet. This store is
    /// left as it is, and fails without a trace if there is no room.
    fn successor(&self, len: u64) -> io::Result<Self>;
    /// Puts a successor in place: syncs file and length, renames it over the old one, syncs the
    /// directory. Atomic: whenever it is cut short, the old or the new file has the name.
    fn publish(&mut self) -> io::Result<()>;
    /// Is the file still the one under its name?
    fn place(&self) -> Place {
        Place::Held
    }
}

/// The checkpoint on a disk.
#[derive(Debug)]
pub struct FileStore {
    dir: PathBuf,
    /// Its name once it is in place.
    path: PathBuf,
    file: Option<File>,
    /// The directory, held open until the file has its name there: what fails from then on is the
    /// disk, and not a lack of descriptors.
    to_publish: Option<File>,
}

impl FileStore {
    /// Opens the checkpoint in the tracker directory `dir`, if there is one, and makes its name
    /// durable: who published it may have been killed before the directory was synced.
    pub fn open(dir: &Path) -> io::Result<FileStore> {
        let path = dir.join(FILE_NAME);
        let file = match os::open_own(&path, File::options().read(true).write(true)) {
            Ok(file) => {
                os::sync_directory(dir)?;
                Some(file)
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => None,
            Err(e) => return Err(e),
        };
        Ok(FileStore { dir: dir.to_owned(), path, file, to_publish: None })
    }

    /// None yet; what stands there is replaced by the first record.
    pub fn anew(dir: &Path) -> FileStore {
        FileStore { dir: dir.to_owned(), path: dir.join(FILE_NAME), file: None, to_publish: None }
    }

    fn file(&self) -> io::Result<&File> {
        self.file.as_ref().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Store for FileStore {
    fn path(&self) -> &Path {
        &self.path
    }

    fn place(&self) -> Place {
        self.file.as_ref().map_or(Place::Held, |file| lock::place(file, &self.path))
    }

    fn file_bytes(&self) -> io::Result<Option<u64>> {
        self.file.as_ref().map(|file| Ok(file.metadata()?.len())).transpose()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.file()?.read_exact_at(buffer, offset)
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file()?.write_all_at(bytes, offset)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file()?.sync_data()
    }

    fn identity(&self) -> io::Result<(u64, u64)> {
        Ok(os::identity(&self.file()?.metadata()?))
    }

    fn successor(&self, len: u64) -> io::Result<FileStore> {
        let to_publish = Some(File::open(&self.dir)?);
        let path = self.dir.join(NEW_FILE_NAME);
        // One that a crash has left behind may be of any length and mode.
        match std::fs::remove_file(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        let mut options = File::options();
        let file = options.read(true).write(true).create_new(true).mode(0o600).open(&path)?;
        if let Err(e) = fill(&file, len) {
            // Give the space back at once: others are short of it.
            let _ = std::fs::remove_file(&path);
            return Err(e);
        }
        let (dir, path) = (self.dir.clone(), self.path.clone());
        Ok(FileStore { dir, path, file: Some(file), to_publish })
    }

    fn publish(&mut self) -> io::Result<()> {
        self.file()?.sync_all()?;
        std::fs::rename(self.dir.join(NEW_FILE_NAME), &self.path)?;
        match self.to_publish.take() {
            Some(dir) => dir.sync_all(),
            None => os::sync_directory(&self.dir),
        }
    }
}

/// Reserves the space and writes it as well: the first write into a merely reserved block changes
/// the file system's own records, which costs a journal commit and can fail on a full disk.
pub(super) fn fill(file: &File, len: u64) -> io::Result<()> {
    os::preallocate(file, len)?;
    let zeros = [0; 16 * SLOT_ALIGN as usize];
    for offset in (0..len).step_by(zeros.len()) {
        file.write_all_at(&zeros[..zeros.len().min((len - offset) as usize)], offset)?;
    }
    Ok(())
}

/// What a slot was found to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlotFinding {
    Valid {
        generation: u64,
    },
    /// Never written.
    Empty,
    /// Does not begin like a slot.
    Magic,
    /// The length of its record cannot be, bytes.
    Length(u32),
    /// CRC-32 as it stands there and as it is computed: a write was cut short, or the disk errs.
    Checksum {
        stored: u32,
        computed: u32,
    },
    // From here on the checksum is right: it was written whole, but not so as to be read here.
    /// Written by a program with another layout.
    Layout(u32),
    /// Written for slots of this size, bytes: the file was shortened or lengthened.
    SlotBytes(u32),
    /// Its generation does not belong in this slot.
    Generation(u64),
    /// Its content is not a record of this version.
    Content(DecodeError),
}

impl SlotFinding {
    /// Was it written whole, and yet cannot be used? The other slot may be older then and must
    /// not be taken for the newest state.
    fn is_sealed_but_foreign(self) -> bool {
        matches!(
            self,
            SlotFinding::Layout(_)
                | SlotFinding::SlotBytes(_)
                | SlotFinding::Generation(_)
                | SlotFinding::Content(_)
        )
    }

    /// Was it written by another version of this program?
    fn is_other_version(self) -> bool {
        matches!(self, SlotFinding::Layout(_) | SlotFinding::Content(DecodeError::Version(_)))
    }
}

impl fmt::Display for SlotFinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SlotFinding::Valid { generation } => write!(f, "valid, generation {generation}"),
            SlotFinding::Empty => f.write_str("never written"),
            SlotFinding::Magic => f.write_str("does not begin with the magic bytes"),
            SlotFinding::Length(bytes) => write!(f, "an impossible length of {bytes} bytes"),
            SlotFinding::Checksum { stored, computed } => {
                write!(f, "wrong checksum ({stored:08x} is stored, {computed:08x} is computed)")
            }
            SlotFinding::Layout(found) => {
                write!(f, "layout version {found}, this program knows {LAYOUT_VERSION}")
            }
            SlotFinding::SlotBytes(found) => {
                write!(f, "written for slots of {found} bytes, which the file does not have")
            }
            SlotFinding::Generation(found) => {
                write!(f, "generation {found} does not belong in this slot")
            }
            SlotFinding::Content(error) => error.fmt(f),
        }
    }
}

/// A checkpoint that must not be used, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    pub path: PathBuf,
    /// Length of the file, bytes.
    pub file_bytes: u64,
    /// `None` if two slots cannot have this length.
    pub slots: Option<[SlotFinding; 2]>,
}

impl Damage {
    /// Not damaged, but written by another (later) version of this program.
    pub fn is_other_version(&self) -> bool {
        self.slots.is_some_and(|slots| slots.iter().any(|s| s.is_other_version()))
    }

    /// Without a way out.
    pub fn what(&self) -> String {
        let path = self.path.display();
        match self.slots {
            None => format!(
                "{path}: a checkpoint is never {} bytes long, so it was cut off or is not one",
                self.file_bytes
            ),
            Some([first, second]) => {
                format!("{path}: cannot be used: slot 0: {first}; slot 1: {second}")
            }
        }
    }

    /// No write in progress looks so.
    fn is_sealed(&self) -> bool {
        self.slots.is_some_and(|slots| slots.iter().any(|s| s.is_sealed_but_foreign()))
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; ", self.what())?;
        if self.is_other_version() {
            f.write_str("go on with the version of the program that wrote it")
        } else {
            f.write_str(
                "set onBadCheckpoint = topic (reads the topic back and sends what it lacks), \
                 beginning (sends every file again) or end (skips what stands in them) to go on \
                 without it; it is kept aside then",
            )
        }
    }
}

/// What [`Slots::open`] found.
#[derive(Debug)]
pub enum Opened<S> {
    /// There is no checkpoint: the first write makes one.
    Absent(Slots<S>),
    Valid {
        slots: Slots<S>,
        record: Record,
        /// The record was written into another file: this one is a copy or was restored.
        copied: bool,
        /// What the older slot holds; anything but `Valid` and `Empty` is the trace of a crash
        /// and worth a line in the log.
        other: SlotFinding,
    },
    /// Never to be overwritten: see [`super::aside`].
    Damaged(Damage),
}

impl<S: Store> Opened<S> {
    /// Makes sure that the record which counts is on the disk. Only for who holds the lock.
    pub fn confirm(&mut self) -> io::Result<()> {
        match self {
            Opened::Valid { slots, record, .. } => slots.confirm(record),
            Opened::Absent(_) | Opened::Damaged(_) => Ok(()),
        }
    }
}

/// A write that did not happen, or may not have.
#[derive(Debug)]
pub enum WriteError {
    /// The record is larger than any slot, bytes. Nothing was written; the slots are as before.
    TooLarge { path: PathBuf, bytes: u64 },
    /// No larger file could be made. Nothing was written; the slots are as before.
    NoRoom { path: PathBuf, bytes: u64, error: io::Error },
    /// It is not known what stands on the disk. Final: a second fdatasync would report success
    /// without having written anything.
    Failed { path: PathBuf, error: io::Error },
    /// A write failed before; no further one is made.
    Refused { path: PathBuf },
}

impl WriteError {
    /// Must the agent end? A start reads what truly stands on the disk.
    pub fn is_final(&self) -> bool {
        matches!(self, WriteError::Failed { .. } | WriteError::Refused { .. })
    }
}

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WriteError::TooLarge { path, bytes } => write!(
                f,
                "{}: the record has {bytes} bytes and {SLOT_BYTES_MAX} is the limit; let fewer \
                 files match at a time",
                path.display()
            ),
            WriteError::NoRoom { path, bytes, error } => write!(
                f,
                "{}: a new checkpoint of {bytes} bytes cannot be made beside it: {error}; free \
                 disk space and let this user write there",
                path.display()
            ),
            WriteError::Failed { path, error } => write!(
                f,
                "{}: writing the checkpoint failed: {error}; nothing is sent any more; check \
                 the disk, then start again",
                path.display()
            ),
            WriteError::Refused { path } => write!(
                f,
                "{}: not written, since an earlier write failed; start again",
                path.display()
            ),
        }
    }
}

impl std::error::Error for WriteError {}

/// The two slots, open for writing.
#[derive(Debug)]
pub struct Slots<S> {
    store: S,
    /// 0 while there is no file.
    slot_bytes: u64,
    /// That of the newest record; 0 before the first.
    generation: u64,
    identity: (u64, u64),
    /// A slot as it is written; kept so that a write allocates nothing, unless it is a large one.
    buffer: Vec<u8>,
    failed: bool,
}

impl<S: Store> Slots<S> {
    /// Without a record; the first write makes the file.
    pub fn anew(store: S) -> Slots<S> {
        Slots {
            store,
            slot_bytes: 0,
            generation: 0,
            identity: (0, 0),
            buffer: Vec::new(),
            failed: false,
        }
    }

    /// Reads both slots and makes sure that the newer one is on the disk. Only for who holds the
    /// lock of the directory. An error is one of the disk, not of what was read.
    pub fn open(store: S) -> io::Result<Opened<S>> {
        let mut opened = Slots::find(store)?;
        opened.confirm()?;
        Ok(opened)
    }

    /// Reads both slots and writes nothing.
    pub fn find(store: S) -> io::Result<Opened<S>> {
        let mut slots = Slots::anew(store);
        let Some(file_bytes) = slots.store.file_bytes()? else {
            return Ok(Opened::Absent(slots));
        };
        let damage = |path: &Path, slots| {
            Ok(Opened::Damaged(Damage { path: path.to_owned(), file_bytes, slots }))
        };
        if file_bytes == 0
            || !file_bytes.is_multiple_of(2 * SLOT_ALIGN)
            || file_bytes > 2 * SLOT_BYTES_MAX
        {
            return damage(slots.store.path(), None);
        }
        slots.slot_bytes = file_bytes / 2;
        let (first, first_record) = slots.read(0)?;
        let (second, second_record) = slots.read(1)?;
        let findings = Some([first, second]);
        if first.is_sealed_but_foreign() || second.is_sealed_but_foreign() {
            return damage(slots.store.path(), findings);
        }
        // The parity of the generations keeps them from being equal.
        let (record, other) = match (first_record, second_record) {
            (None, None) => return damage(slots.store.path(), findings),
            (Some(record), None) => (record, second),
            (None, Some(record)) => (record, first),
            (Some(a), Some(b)) if a.generation > b.generation => (a, second),
            (Some(_), Some(b)) => (b, first),
        };
        slots.generation = record.generation;
        slots.identity = slots.store.identity()?;
        let copied = (record.own_device, record.own_inode) != slots.identity;
        Ok(Opened::Valid { slots, record, copied, other })
    }

    /// Writes the newest slot as it is. A record has one encoding, so these are the same bytes,
    /// and a cut in mid-write changes nothing where they have arrived before.
    fn confirm(&mut self, record: &Record) -> io::Result<()> {
        self.encode(record, &Vec::from_iter(&record.files));
        self.seal(record.generation, self.slot_bytes);
        self.store.write_at(record.generation % 2 * self.slot_bytes, &self.buffer)?;
        self.let_go();
        self.store.sync()
    }

    /// Of the memory for ten thousand files, which would be held for ever and needed seldom.
    fn let_go(&mut self) {
        self.buffer.clear();
        self.buffer.shrink_to(SLOT_BYTES_DEFAULT as usize);
    }

    fn read(&self, slot: u64) -> io::Result<(SlotFinding, Option<Record>)> {
        let offset = slot * self.slot_bytes;
        let mut header = [0; HEADER_BYTES];
        self.store.read_at(offset, &mut header)?;
        if header == [0; HEADER_BYTES] {
            return Ok((SlotFinding::Empty, None));
        }
        if header[..LAYOUT_AT] != MAGIC {
            return Ok((SlotFinding::Magic, None));
        }
        let length = u32_at(&header, LENGTH_AT);
        if u64::from(length) > self.slot_bytes - HEADER_BYTES as u64 {
            return Ok((SlotFinding::Length(length), None));
        }
        let mut content = vec![0; length as usize];
        self.store.read_at(offset + HEADER_BYTES as u64, &mut content)?;
        let finding = self.judge(slot, &header, &content);
        Ok(match finding {
            Ok(record) => (SlotFinding::Valid { generation: record.generation }, Some(record)),
            Err(finding) => (finding, None),
        })
    }

    fn judge(&self, slot: u64, header: &[u8], content: &[u8]) -> Result<Record, SlotFinding> {
        let stored = u32_at(header, CRC_AT);
        let computed = checksum(header, content);
        if stored != computed {
            return Err(SlotFinding::Checksum { stored, computed });
        }
        let layout = u32_at(header, LAYOUT_AT);
        if layout != LAYOUT_VERSION {
            return Err(SlotFinding::Layout(layout));
        }
        let slot_bytes = u32_at(header, SLOT_BYTES_AT);
        if u64::from(slot_bytes) != self.slot_bytes {
            return Err(SlotFinding::SlotBytes(slot_bytes));
        }
        let generation = u64::from_le_bytes(std::array::from_fn(|i| header[GENERATION_AT + i]));
        if generation % 2 != slot || generation == 0 || generation == u64::MAX {
            return Err(SlotFinding::Generation(generation));
        }
        let record = codec::decode(content).map_err(SlotFinding::Content)?;
        if record.generation != generation {
            return Err(SlotFinding::Generation(record.generation));
        }
        Ok(record)
    }

    /// Is the file still the one under its name?
    pub fn place(&self) -> Place {
        self.store.place()
    }

    /// Device and inode of the file.
    pub fn identity(&self) -> (u64, u64) {
        self.identity
    }

    /// Makes `record` the newest one: gives it its generation and the file's identity, writes it
    /// into the older slot and waits until it is on the disk. One pwrite and one fdatasync, or a
    /// new file where there is none or its slots are too small.
    pub fn write(&mut self, record: &mut Record) -> Result<(), WriteError> {
        let files = std::mem::take(&mut record.files);
        let written = self.write_with(record, &Vec::from_iter(&files));
        record.files = files;
        written
    }

    /// The same with `files` in place of the record's own: who has thousands of them elsewhere does not
    /// copy them for each write.
    pub fn write_with(
        &mut self,
        record: &mut Record,
        files: &[&FileRecord],
    ) -> Result<(), WriteError> {
        if self.failed {
            return Err(WriteError::Refused { path: self.path() });
        }
        let generation = self.generation + 1;
        record.generation = generation;
        (record.own_device, record.own_inode) = self.identity;
        self.encode(record, files);
        let bytes = self.buffer.len() as u64;
        if bytes > SLOT_BYTES_MAX {
            return Err(WriteError::TooLarge { path: self.path(), bytes });
        }
        if bytes > self.slot_bytes {
            self.write_new_file(record, files)?;
        } else {
            self.seal(generation, self.slot_bytes);
            let offset = generation % 2 * self.slot_bytes;
            let written = self.store.write_at(offset, &self.buffer);
            written.and_then(|()| self.store.sync()).map_err(|e| self.fail(e))?;
        }
        self.let_go();
        self.generation = generation;
        Ok(())
    }

    fn write_new_file(
        &mut self,
        record: &mut Record,
        files: &[&FileRecord],
    ) -> Result<(), WriteError> {
        let needed = (self.buffer.len() as u64).next_power_of_two();
        let slot_bytes = needed.clamp(SLOT_BYTES_DEFAULT, SLOT_BYTES_MAX);
        let bytes = 2 * slot_bytes;
        let mut store = match self.store.successor(bytes) {
            Ok(store) => store,
            Err(error) => return Err(WriteError::NoRoom { path: self.path(), bytes, error }),
        };
        let identity = store.identity().map_err(|e| self.fail(e))?;
        (record.own_device, record.own_inode) = identity;
        self.encode(record, files);
        self.seal(record.generation, slot_bytes);
        let offset = record.generation % 2 * slot_bytes;
        let written = store.write_at(offset, &self.buffer);
        // A publication that fails leaves either file under the name: only a start can tell.
        written.and_then(|()| store.publish()).map_err(|e| self.fail(e))?;
        self.store = store;
        self.slot_bytes = slot_bytes;
        self.identity = identity;
        Ok(())
    }

    fn encode(&mut self, record: &Record, files: &[&FileRecord]) {
        self.buffer.clear();
        self.buffer.resize(HEADER_BYTES, 0);
        codec::encode_into(record, files, &mut self.buffer);
    }

    /// Completes the header of the slot in the buffer.
    fn seal(&mut self, generation: u64, slot_bytes: u64) {
        let (header, content) = self.buffer.split_at_mut(HEADER_BYTES);
        header[..LAYOUT_AT].copy_from_slice(&MAGIC);
        header[LAYOUT_AT..SLOT_BYTES_AT].copy_from_slice(&LAYOUT_VERSION.to_le_bytes());
        // Both are at most SLOT_BYTES_MAX, which is below u32::MAX.
        header[SLOT_BYTES_AT..GENERATION_AT].copy_from_slice(&(slot_bytes as u32).to_le_bytes());
        header[GENERATION_AT..LENGTH_AT].copy_from_slice(&generation.to_le_bytes());
        header[LENGTH_AT..CRC_AT].copy_from_slice(&(content.len() as u32).to_le_bytes());
        let crc = checksum(header, content);
        header[CRC_AT..].copy_from_slice(&crc.to_le_bytes());
    }

    fn fail(&mut self, error: io::Error) -> WriteError {
        self.failed = true;
        WriteError::Failed { path: self.path(), error }
    }

    fn path(&self) -> PathBuf {
        self.store.path().to_owned()
    }

    /// Generation of the newest record; 0 before the first.
    pub fn generation(&self) -> u64 {
        self.generation
    }
}

fn checksum(header: &[u8], content: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&header[..CRC_AT]);
    hasher.update(content);
    hasher.finalize()
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(std::array::from_fn(|i| bytes[at + i]))
}

/// Tries to read a checkpoint that is being written to, and the pause between, ms.
const READ_TRIES: u32 = 20;
const READ_PAUSE_MS: u64 = 25;

/// What stands in the tracker directory `dir`, for those who do not hold its lock. Writes nothing. A
/// slot that is being written at the moment does not count; if both are, or the file is just being
/// replaced, it is read again.
pub fn look(dir: &Path) -> io::Result<Opened<FileStore>> {
    let path = dir.join(FILE_NAME);
    let mut tries = 0;
    loop {
        let file = match os::read_own(&path) {
            Ok(file) => Some(file),
            Err(e) if e.kind() == io::ErrorKind::NotFound => None,
            Err(e) => return Err(e),
        };
        let (dir, path) = (dir.to_owned(), path.clone());
        match Slots::find(FileStore { dir, path, file, to_publish: None })? {
            Opened::Damaged(damage) if !damage.is_sealed() && tries < READ_TRIES => {
                tries += 1;
                std::thread::sleep(std::time::Duration::from_millis(READ_PAUSE_MS));
            }
            opened => return Ok(opened),
        }
    }
}

/// The newest record there, likewise; `None` without a checkpoint.
///
/// # Errors
/// Of the disk; `InvalidData` if no slot becomes valid, with what is wrong with each.
pub fn read_newest(dir: &Path) -> io::Result<Option<Record>> {
    match look(dir)? {
        Opened::Absent(_) => Ok(None),
        Opened::Valid { record, .. } => Ok(Some(record)),
        Opened::Damaged(damage) => {
            Err(io::Error::new(io::ErrorKind::InvalidData, damage.to_string()))
        }
    }
}
