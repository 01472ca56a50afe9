//! The segment after the current one: set aside while the current one is half full, so that a full disk is known while
//! there is room to go on (S60).
//!
//! The files themselves are made in [`super::segment`]; what a lack of room means for clients is the engine's business.

use std::{
    io,
    thread::{self, JoinHandle},
};

use super::{
    disk::Disk,
    error::JournalError,
    log::Journal,
    segment::{Segment, allocate},
};

/// The segment after the current one.
#[derive(Debug)]
pub(super) enum Next<F> {
    None,
    /// Being made. Where that had failed before, the cause: it holds until the segment is there.
    Pending(JoinHandle<io::Result<Segment<F>>>, Option<io::Error>),
    Ready(Segment<F>),
    Failed(io::Error),
}

impl<D: Disk> Journal<D> {
    /// Bytes that can still be written: what is left of the current segment, and the next one
    /// when it is there. A batch takes [`Journal::pending_bytes`].
    pub fn room(&self) -> u64 {
        let next = match &self.next {
            Next::Ready(segment) => segment.capacity,
            _ => 0,
        };
        self.current.capacity - self.offset + next
    }

    /// Whether the next segment could not be set aside, and why: new checkouts are to be
    /// refused, while checkins go on in the room that is left (S60). It is tried again with
    /// every [`Journal::check_path`] that looks, and after a compaction.
    pub fn is_low(&self) -> Option<&io::Error> {
        match &self.next {
            Next::Failed(error) | Next::Pending(_, Some(error)) => Some(error),
            _ => None,
        }
    }

    /// Begins to set the next segment aside when half of the current one is used, and takes
    /// note when that has come to an end.
    pub(super) fn set_next_aside_if_due(&mut self) {
        self.finish_next(false);
        if matches!(self.next, Next::None) && self.offset >= self.current.capacity / 2 {
            self.begin_next(None);
        }
    }

    /// Tries again where the next segment could not be set aside.
    pub(super) fn try_next_again(&mut self) {
        self.finish_next(false);
        match std::mem::replace(&mut self.next, Next::None) {
            Next::Failed(error) => self.begin_next(Some(error)),
            other => self.next = other,
        }
    }

    fn begin_next(&mut self, failed_before: Option<io::Error>) {
        let (disk, dir) = (self.disk.clone(), self.dir.clone());
        let (number, bytes) = (self.current.number + 1, self.options.segment_bytes);
        let work = move || allocate(&disk, &dir, number, bytes);
        self.next = if self.options.threads {
            match thread::Builder::new().name("segment".to_owned()).spawn(work) {
                Ok(handle) => Next::Pending(handle, failed_before),
                Err(error) => Next::Failed(error),
            }
        } else {
            work().map_or_else(Next::Failed, Next::Ready)
        };
    }

    /// Takes note of a segment that has been set aside, or could not be.
    pub(super) fn finish_next(&mut self, wait: bool) {
        let is_done = |handle: &JoinHandle<_>| wait || handle.is_finished();
        if !matches!(&self.next, Next::Pending(handle, _) if is_done(handle)) {
            return;
        }
        if let Next::Pending(handle, _) = std::mem::replace(&mut self.next, Next::None) {
            let panicked = || io::Error::other("the thread that sets segments aside panicked");
            self.next =
                handle.join().unwrap_or_else(|_| Err(panicked())).map_or_else(Next::Failed, Next::Ready);
        }
    }

    /// Goes over to the next segment, waiting for it if it is being made.
    pub(super) fn roll(&mut self, needed: u64) -> Result<(), JournalError> {
        self.finish_next(true);
        if !self.is_next_in_place() {
            let number = self.current.number + 1;
            self.next = match allocate(&self.disk, &self.dir, number, self.options.segment_bytes) {
                Ok(segment) => Next::Ready(segment),
                Err(error) => Next::Failed(error),
            };
        }
        match std::mem::replace(&mut self.next, Next::None) {
            Next::Ready(segment) => {
                self.current = segment;
                self.closed_bytes += self.offset;
                self.offset = 0;
                Ok(())
            }
            Next::Failed(error) => {
                let (room, cause) = (self.current.capacity - self.offset, error.to_string());
                self.next = Next::Failed(error);
                Err(JournalError::Full { needed, room, cause })
            }
            Next::None | Next::Pending(..) => unreachable!("set just above"),
        }
    }

    /// Whether the next segment is there, under its name: what is written to a file that somebody has removed is gone
    /// with the next start.
    fn is_next_in_place(&self) -> bool {
        match &self.next {
            Next::Ready(segment) => self.disk.is_same_file(&segment.path, &segment.file).unwrap_or(false),
            _ => false,
        }
    }
}
