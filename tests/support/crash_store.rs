//! A disk in memory that loses and tears what was not synced.
//!
//! A write reaches the kernel's memory at once, where every later reader sees it, and the disk
//! only with a sync. When the power fails, any subset of the sectors written since may be on the
//! disk; a rename that was not made durable may have happened or not.

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::path::Path;
use std::rc::Rc;

use flume_ng::checkpoint::slots::Store;

pub const SECTOR_BYTES: usize = 512;

#[derive(Clone, Default)]
pub struct File {
    /// As readers see it.
    pub cached: Vec<u8>,
    pub durable: Vec<u8>,
    /// Sectors that differ from the durable ones, as (number, content), in the order of writing.
    pub pending: Vec<(usize, Vec<u8>)>,
}

/// Short: a failed assertion may show one.
impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "File of {} bytes, {} sectors pending", self.cached.len(), self.pending.len())
    }
}

#[derive(Clone, Debug, Default)]
pub struct Disk {
    pub files: Vec<File>,
    /// Which file has the name now, and on the disk.
    pub named: Option<usize>,
    pub named_durable: Option<usize>,
    /// The call from now on that fails, counted down.
    pub fail_in: Option<u32>,
    pub calls: u32,
}

impl Disk {
    fn call(&mut self) -> io::Result<()> {
        self.calls += 1;
        match &mut self.fail_in {
            Some(0) => Err(io::Error::other("the disk fails")),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Cuts the power. `arrived` says of each pending sector (numbered through) and at last of
    /// the rename whether it is on the disk.
    pub fn crash(&mut self, mut arrived: impl FnMut(usize) -> bool) {
        let mut number = 0;
        for file in &mut self.files {
            for (sector, content) in std::mem::take(&mut file.pending) {
                if arrived(number) {
                    let at = sector * SECTOR_BYTES;
                    file.durable[at..at + content.len()].copy_from_slice(&content);
                }
                number += 1;
            }
            file.cached = file.durable.clone();
        }
        if self.named != self.named_durable && !arrived(number) {
            self.named = self.named_durable;
        }
        self.named_durable = self.named;
        self.fail_in = None;
    }

    /// Sectors (and names) that [`Disk::crash`] would ask about.
    pub fn undecided(&self) -> usize {
        let sectors: usize = self.files.iter().map(|f| f.pending.len()).sum();
        sectors + usize::from(self.named != self.named_durable)
    }
}

/// An open file of a [`Disk`].
#[derive(Debug)]
pub struct CrashStore {
    disk: Rc<RefCell<Disk>>,
    file: Option<usize>,
}

impl CrashStore {
    /// Opens what has the name, and makes the name durable.
    pub fn open(disk: &Rc<RefCell<Disk>>) -> CrashStore {
        let file = disk.borrow().named;
        disk.borrow_mut().named_durable = file;
        CrashStore { disk: Rc::clone(disk), file }
    }

    fn with<T>(&self, act: impl FnOnce(&mut File) -> T) -> T {
        act(&mut self.disk.borrow_mut().files[self.file.expect("no file is open")])
    }
}

impl Store for CrashStore {
    fn path(&self) -> &Path {
        Path::new("checkpoint")
    }

    fn file_bytes(&self) -> io::Result<Option<u64>> {
        Ok(self.file.map(|_| self.with(|f| f.cached.len() as u64)))
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let at = offset as usize;
        let end = at + buffer.len();
        self.with(|f| f.cached.get(at..end).map(|bytes| buffer.copy_from_slice(bytes)))
            .ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    /// A write that fails may have been made none the less.
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let at = offset as usize;
        self.with(|f| {
            f.cached[at..at + bytes.len()].copy_from_slice(bytes);
            for sector in at / SECTOR_BYTES..(at + bytes.len()).div_ceil(SECTOR_BYTES) {
                let start = sector * SECTOR_BYTES;
                let end = (start + SECTOR_BYTES).min(f.cached.len());
                f.pending.push((sector, f.cached[start..end].to_vec()));
            }
        });
        self.disk.borrow_mut().call()
    }

    fn sync(&mut self) -> io::Result<()> {
        self.disk.borrow_mut().call()?;
        self.with(|f| {
            // Elsewhere both are alike.
            for (sector, content) in f.pending.drain(..) {
                let at = sector * SECTOR_BYTES;
                f.durable[at..at + content.len()].copy_from_slice(&content);
            }
        });
        Ok(())
    }

    fn identity(&self) -> io::Result<(u64, u64)> {
        Ok((1, self.file.map_or(0, |file| file as u64 + 100)))
    }

    fn successor(&self, len: u64) -> io::Result<CrashStore> {
        let mut disk = self.disk.borrow_mut();
        disk.call()?;
        let zeros = vec![0; len as usize];
        disk.files.push(File { cached: zeros.clone(), durable: zeros, pending: Vec::new() });
        Ok(CrashStore { disk: Rc::clone(&self.disk), file: Some(disk.files.len() - 1) })
    }

    fn publish(&mut self) -> io::Result<()> {
        self.sync()?;
        self.disk.borrow_mut().named = self.file;
        self.disk.borrow_mut().call()?;
        self.disk.borrow_mut().named_durable = self.file;
        Ok(())
    }
}
