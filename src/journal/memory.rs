//! A disk in memory that behaves as badly as a real one may, from a seed.
//!
//! It keeps apart what a program sees and what would be there after the power is cut. Between
//! two syncs any sector of 512 bytes may have reached the platter or not, in any order; a new
//! name counts after its directory was synced; a sync that fails leaves bytes that can be read
//! and are not on the platter. It stands in for [`super::RealDisk`] in tests and simulations;
//! it knows no permissions and no partial sectors.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, ErrorKind},
    ops::Range,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::disk::{Disk, DiskFile, Entry};

/// What a disk writes whole or not at all.
pub const SECTOR_BYTES: u64 = 512;

/// The disk. Clones are the same disk.
#[derive(Clone, Debug)]
pub struct MemoryDisk {
    state: Arc<Mutex<State>>,
}

/// A file of a [`MemoryDisk`].
#[derive(Debug)]
pub struct MemoryFile {
    state: Arc<Mutex<State>>,
    inode: u64,
    /// The power cycle it was opened in.
    cycle: u64,
}

#[derive(Debug)]
struct State {
    random: u64,
    cycle: u64,
    inodes: BTreeMap<u64, Inode>,
    inodes_made: u64,
    directories: BTreeSet<PathBuf>,
    names: BTreeMap<PathBuf, u64>,
    durable_names: BTreeMap<PathBuf, u64>,
    /// Changes of names that no sync of their directory has followed, in order.
    pending: Vec<NameChange>,
    capacity: u64,
    operations: u64,
    power_off_at: Option<u64>,
    syncs_until_failure: Option<u64>,
}

#[derive(Debug, Default)]
struct Inode {
    content: Vec<u8>,
    durable_bytes: u64,
    /// What is on the platter in sectors written since the last sync.
    dirty: BTreeMap<u64, Vec<u8>>,
    /// The same for sectors whose sync has failed: the kernel takes them for written.
    forgotten: BTreeMap<u64, Vec<u8>>,
}

#[derive(Clone, Debug)]
enum NameChange {
    Link(PathBuf, u64),
    Rename(PathBuf, PathBuf),
    Remove(PathBuf),
}

impl MemoryDisk {
    /// An empty disk of boundless size; `seed` decides everything that is left to chance.
    pub fn new(seed: u64) -> Self {
        let state = State {
            random: seed,
            cycle: 0,
            inodes: BTreeMap::new(),
            inodes_made: 0,
            directories: BTreeSet::new(),
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            pending: Vec::new(),
            capacity: u64::MAX,
            operations: 0,
            power_off_at: None,
            syncs_until_failure: None,
        };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// Lets the power go at the `operations`-th change from now (1: the next), which may or may
    /// not take effect; all after it fail until [`MemoryDisk::restart`].
    pub fn power_off_after(&self, operations: u64) {
        let mut state = self.lock();
        state.power_off_at = Some(state.operations + operations);
    }

    /// Whether the power has gone.
    pub fn is_off(&self) -> bool {
        self.lock().is_off()
    }

    /// Cuts the power, if it has not gone, and gives it back: what was not synced is there, or
    /// in part, or not. Files opened before are dead.
    pub fn restart(&self) {
        self.lock().restart();
    }

    /// Lets the `n`-th sync of a file from now fail (1: the next).
    pub fn fail_sync(&self, n: u64) {
        self.lock().syncs_until_failure = Some(n);
    }

    /// Sets how many bytes all files together may have.
    pub fn set_capacity(&self, bytes: u64) {
        self.lock().capacity = bytes;
    }

    /// Changes made so far: creations, writes, syncs, renames, removals.
    pub fn operations(&self) -> u64 {
        self.lock().operations
    }

    /// The paths of all files, in order.
    pub fn paths(&self) -> Vec<PathBuf> {
        self.lock().names.keys().cloned().collect()
    }

    /// A file's bytes as a program sees them.
    pub fn content(&self, path: &Path) -> Option<Vec<u8>> {
        let state = self.lock();
        Some(state.inodes.get(state.names.get(path)?)?.content.clone())
    }

    /// Replaces a file's bytes, on the platter too: damage that nobody wrote.
    pub fn set_content(&self, path: &Path, content: Vec<u8>) {
        let mut state = self.lock();
        let inode = state.names.get(path).copied();
        if let Some(inode) = inode.and_then(|inode| state.inodes.get_mut(&inode)) {
            let durable_bytes = content.len() as u64;
            *inode = Inode { content, durable_bytes, ..Inode::default() };
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    fn file(&self, state: &State, inode: u64) -> MemoryFile {
        MemoryFile { state: self.state.clone(), inode, cycle: state.cycle }
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    // A test that panics elsewhere must not hide its own message behind this one.
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    /// SplitMix64: small, and the same on every machine.
    fn chance(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn is_off(&self) -> bool {
        self.power_off_at.is_some_and(|at| self.operations >= at)
    }

    /// Counts a change. `Ok(true)`: the power goes in the middle of it.
    fn operation(&mut self) -> io::Result<bool> {
        if self.is_off() {
            return Err(no_power());
        }
        self.operations += 1;
        Ok(self.is_off())
    }

    fn used(&self) -> u64 {
        let used = |inode| self.inodes.get(inode).map_or(0, |inode| inode.content.len() as u64);
        self.names.values().map(used).sum()
    }

    fn refuse_if_full(&self, more: u64) -> io::Result<()> {
        if self.used().saturating_add(more) > self.capacity {
            return Err(ErrorKind::StorageFull.into());
        }
        Ok(())
    }

    fn change_name(&mut self, change: NameChange) {
        apply(&mut self.names, &change);
        self.pending.push(change);
    }

    fn restart(&mut self) {
        self.power_off_at = None;
        self.syncs_until_failure = None;
        self.cycle += 1;
        // A file system with a journal keeps the order of its changes and loses the last ones;
        // others keep what they like.
        let pending = std::mem::take(&mut self.pending);
        let kept = self.chance() as usize % (pending.len() + 1);
        let is_ordered = self.chance().is_multiple_of(2);
        for (index, change) in pending.iter().enumerate() {
            if if is_ordered { index < kept } else { self.chance().is_multiple_of(2) } {
                apply(&mut self.durable_names, change);
            }
        }
        self.names = self.durable_names.clone();
        let living: BTreeSet<u64> = self.names.values().copied().collect();
        self.inodes.retain(|number, _| living.contains(number));
        for number in living {
            let Some(mut inode) = self.inodes.remove(&number) else { continue };
            let dirty = std::mem::take(&mut inode.dirty);
            // Now and then all or nothing, else each sector by itself.
            let habit = self.chance() % 4;
            for (sector, old) in dirty {
                if habit == 0 || habit > 1 && self.chance().is_multiple_of(2) {
                    inode.restore(sector, &old);
                }
            }
            for (sector, old) in std::mem::take(&mut inode.forgotten) {
                inode.restore(sector, &old);
            }
            let grown = inode.content.len() as u64 - inode.durable_bytes;
            let bytes = inode.durable_bytes + self.chance() % (grown + 1);
            inode.content.truncate(bytes as usize);
            inode.durable_bytes = bytes;
            self.inodes.insert(number, inode);
        }
    }
}

fn apply(names: &mut BTreeMap<PathBuf, u64>, change: &NameChange) {
    match change {
        NameChange::Link(path, inode) => drop(names.insert(path.clone(), *inode)),
        NameChange::Remove(path) => drop(names.remove(path)),
        NameChange::Rename(from, to) => {
            if let Some(inode) = names.remove(from) {
                names.insert(to.clone(), inode);
            }
        }
    }
}

impl Inode {
    fn sector(&self, sector: u64) -> Range<usize> {
        let start = ((sector * SECTOR_BYTES) as usize).min(self.content.len());
        start..(start + SECTOR_BYTES as usize).min(self.content.len())
    }

    fn write(&mut self, bytes: &[u8], offset: u64) {
        let end = offset + bytes.len() as u64;
        if self.content.len() < end as usize {
            self.content.resize(end as usize, 0);
        }
        for sector in offset / SECTOR_BYTES..end.div_ceil(SECTOR_BYTES) {
            if let Some(old) = self.forgotten.remove(&sector) {
                self.dirty.insert(sector, old);
            } else if !self.dirty.contains_key(&sector) {
                let old = self.content[self.sector(sector)].to_vec();
                self.dirty.insert(sector, old);
            }
        }
        self.content[offset as usize..end as usize].copy_from_slice(bytes);
    }

    fn restore(&mut self, sector: u64, old: &[u8]) {
        let range = self.sector(sector);
        let place = &mut self.content[range];
        place.fill(0);
        let bytes = old.len().min(place.len());
        place[..bytes].copy_from_slice(&old[..bytes]);
    }

    fn sync(&mut self) {
        self.dirty.clear();
        self.durable_bytes = self.content.len() as u64;
    }
}

fn no_power() -> io::Error {
    io::Error::other("the power is off")
}

impl Disk for MemoryDisk {
    type File = MemoryFile;

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        // A directory's own name is durable at once; what is in it is not.
        self.lock().directories.insert(path.to_owned());
        Ok(())
    }

    fn create(&self, path: &Path, bytes: u64) -> io::Result<MemoryFile> {
        let mut state = self.lock();
        let goes_off = state.operation()?;
        if state.names.contains_key(path) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        state.refuse_if_full(bytes)?;
        state.inodes_made += 1;
        let number = state.inodes_made;
        let mut inode = Inode { content: vec![0; bytes as usize], ..Inode::default() };
        if !goes_off {
            inode.sync();
        }
        state.inodes.insert(number, inode);
        state.change_name(NameChange::Link(path.to_owned(), number));
        if goes_off { Err(no_power()) } else { Ok(self.file(&state, number)) }
    }

    fn open(&self, path: &Path, _write: bool) -> io::Result<MemoryFile> {
        let state = self.lock();
        if state.is_off() {
            return Err(no_power());
        }
        let inode = state.names.get(path).copied().ok_or(ErrorKind::NotFound)?;
        Ok(self.file(&state, inode))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.lock();
        let goes_off = state.operation()?;
        if !state.names.contains_key(from) {
            return Err(ErrorKind::NotFound.into());
        }
        state.change_name(NameChange::Rename(from.to_owned(), to.to_owned()));
        if goes_off { Err(no_power()) } else { Ok(()) }
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.lock();
        // What is not there is no change.
        if !state.is_off() && !state.names.contains_key(path) {
            return Err(ErrorKind::NotFound.into());
        }
        let goes_off = state.operation()?;
        state.change_name(NameChange::Remove(path.to_owned()));
        if goes_off { Err(no_power()) } else { Ok(()) }
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        let state = self.lock();
        if state.is_off() {
            return Err(no_power());
        }
        let inside = |path: &&PathBuf| path.parent() == Some(dir);
        let entry = |path: &PathBuf| {
            let bytes = state.inodes.get(state.names.get(path)?)?.content.len() as u64;
            Some(Entry { name: path.file_name()?.to_owned(), bytes })
        };
        Ok(state.names.keys().filter(inside).filter_map(entry).collect())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.lock();
        if state.operation()? {
            return Err(no_power());
        }
        let changes = std::mem::take(&mut state.pending);
        for change in changes {
            let path = match &change {
                NameChange::Link(path, _) | NameChange::Remove(path) | NameChange::Rename(path, _) => path,
            };
            if path.parent() == Some(dir) {
                apply(&mut state.durable_names, &change);
            } else {
                state.pending.push(change);
            }
        }
        Ok(())
    }

    fn is_same_file(&self, path: &Path, file: &MemoryFile) -> io::Result<bool> {
        let state = self.lock();
        Ok(state.cycle == file.cycle && state.names.get(path) == Some(&file.inode))
    }
}

impl MemoryFile {
    fn with<T>(&self, act: impl FnOnce(&mut State, u64) -> io::Result<T>) -> io::Result<T> {
        let mut state = lock(&self.state);
        if state.is_off() || state.cycle != self.cycle {
            return Err(no_power());
        }
        act(&mut state, self.inode)
    }
}

impl State {
    fn inode(&mut self, number: u64) -> io::Result<&mut Inode> {
        self.inodes.get_mut(&number).ok_or_else(|| ErrorKind::NotFound.into())
    }
}

impl DiskFile for MemoryFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.with(|state, number| {
            let content = &state.inode(number)?.content;
            let rest = content.get(offset as usize..).unwrap_or_default();
            let bytes = rest.len().min(buffer.len());
            buffer[..bytes].copy_from_slice(&rest[..bytes]);
            Ok(bytes)
        })
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.with(|state, number| {
            let goes_off = state.operation()?;
            let now = state.inode(number)?.content.len() as u64;
            state.refuse_if_full((offset + bytes.len() as u64).saturating_sub(now))?;
            state.inode(number)?.write(bytes, offset);
            if goes_off { Err(no_power()) } else { Ok(()) }
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        self.with(|state, number| {
            if state.operation()? {
                return Err(no_power());
            }
            state.syncs_until_failure = match state.syncs_until_failure {
                Some(0 | 1) => {
                    let dirty = std::mem::take(&mut state.inode(number)?.dirty);
                    for (sector, old) in dirty {
                        if state.chance().is_multiple_of(2) {
                            state.inode(number)?.forgotten.insert(sector, old);
                        }
                    }
                    state.syncs_until_failure = None;
                    return Err(io::Error::other("the disk did not take it"));
                }
                other => other.map(|n| n - 1),
            };
            state.inode(number)?.sync();
            Ok(())
        })
    }

    fn bytes(&self) -> io::Result<u64> {
        self.with(|state, number| Ok(state.inode(number)?.content.len() as u64))
    }

    fn grow(&self, bytes: u64) -> io::Result<()> {
        self.with(|state, number| {
            let goes_off = state.operation()?;
            let now = state.inode(number)?.content.len() as u64;
            state.refuse_if_full(bytes.saturating_sub(now))?;
            let inode = state.inode(number)?;
            inode.content.resize(bytes.max(now) as usize, 0);
            if goes_off {
                return Err(no_power());
            }
            inode.sync();
            Ok(())
        })
    }
}
