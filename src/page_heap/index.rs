//! The scavenge index: one mark per chunk that says "has free pages that are not released", read without a lock.
//!
//! It is the final form of the seed's reservation of address ranges, as the Go runtime itself later replaced the
//! generations by an index: to reserve a chunk is to claim its mark, so two scavengers never search the same place, and
//! what a free adds behind a scavenger's back is marked again. Chunks are tried from the highest down.
//!
//! The hint says where to begin: no chunk above it is marked. It carries a version: marking a chunk that was not marked
//! raises the version along with the hint, and a scavenger lowers the hint only by compare-exchange against the value it
//! started from. A mark set behind the scavenger's search therefore makes the lowering fail, and no free is lost.
//!
//! Orderings: a mark is set (Release) before the hint is raised (AcqRel), and the search reads the hint (Acquire) before
//! the marks; so a search that starts from a hint sees the marks that came with it.
//!
//! Locks: none. Marks are set under the heap lock, after the pages are free.

use core::ptr::null_mut;

use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{const_unless_loom, plain};
use crate::sys;
use crate::units::{Chunk, ROOT_CHUNKS, ROOTS, Run, SHARDS};

const WORDS: usize = ROOT_CHUNKS.div_ceil(64);

/// The marks of the chunks under one root entry.
struct Marks {
    words: [AtomicU64; WORDS],
    /// The shard whose page heap a chunk belongs to. Written before the chunk's first page is handed out.
    owners: [plain::AtomicU8; ROOT_CHUNKS],
    /// Chunks that a search claimed and left alone, because they are dense or huge pages would have to be split.
    postponed: [plain::AtomicU64; WORDS],
}

type Table = [plain::AtomicPtr<Marks>; ROOTS];

/// The index.
pub struct ScavengeIndex {
    table: plain::AtomicPtr<Table>,
    /// Version in the upper half, highest chunk that may be marked plus one in the lower.
    hint: AtomicU64,
}

const _: () = assert!((ROOTS * ROOT_CHUNKS) < u32::MAX as usize);

/// What a search started from; needed to lower the hint.
#[derive(Clone, Copy)]
pub struct Start(u64);

fn end_of(hint: u64) -> usize {
    hint as u32 as usize
}

impl ScavengeIndex {
    const_unless_loom! {
        /// An index without a table: nothing is marked.
        pub fn new() -> Self {
            Self { table: plain::AtomicPtr::new(null_mut()), hint: AtomicU64::new(0) }
        }
    }

    /// Maps the table of roots; without it the heap cannot grow. `false` if the OS gives no memory; may be tried again.
    pub fn initialize(&self) -> bool {
        if self.table.load(plain::Ordering::Relaxed).is_null() {
            let Some(table) = sys::vm::map_metadata(size_of::<Table>()) else { return false };
            self.table.store(table.as_ptr().cast(), plain::Ordering::Release);
        }
        true
    }

    fn root(&self, root: usize) -> Option<&plain::AtomicPtr<Marks>> {
        // SAFETY: null, or zeroed memory of the right size that is never unmapped; null pointers are valid entries.
        unsafe { self.table.load(plain::Ordering::Acquire).as_ref() }?.get(root)
    }

    fn marks(&self, root: usize) -> Option<&Marks> {
        // SAFETY: null, or marks made by `prepare`, never unmapped.
        unsafe { self.root(root)?.load(plain::Ordering::Acquire).as_ref() }
    }

    /// Makes the marks of a root entry. Called under the lock of a page heap before that has pages there.
    pub fn prepare(&self, root: usize) -> bool {
        let Some(cell) = self.root(root) else { return false };
        if !cell.load(plain::Ordering::Relaxed).is_null() {
            return true;
        }
        let Some(memory) = sys::vm::map_metadata(size_of::<Marks>()) else { return false };
        let marks = memory.cast::<Marks>();
        for word in 0..WORDS {
            // SAFETY: inside the fresh mapping.
            unsafe { (&raw mut (*marks.as_ptr()).words[word]).write(AtomicU64::new(0)) };
        }
        // Another shard's heap may have been faster. Its marks stay; ours are address space lost, and no memory to speak of:
        // unmapping is no call for under a lock.
        let _ = cell.compare_exchange(
            core::ptr::null_mut(),
            marks.as_ptr(),
            plain::Ordering::AcqRel,
            plain::Ordering::Relaxed,
        );
        true
    }

    /// Notes whose chunks a run (of whole chunks) consists of.
    pub fn set_owner(&self, run: Run, shard: usize) {
        for part in run.by_chunk() {
            let chunk = part.first.chunk();
            if let Some(marks) = self.marks(chunk.root()) {
                marks.owners[chunk.index_in_root()].store(shard as u8, plain::Ordering::Relaxed);
            }
        }
    }

    /// The shard whose page heap a mapped chunk belongs to.
    pub fn owner(&self, chunk: Chunk) -> usize {
        self.marks(chunk.root()).map_or(0, |marks| {
            marks.owners[chunk.index_in_root()].load(plain::Ordering::Relaxed) as usize & (SHARDS - 1)
        })
    }

    /// Marks every chunk that `run` touches: it has just become free and is not released.
    pub fn mark(&self, run: Run) {
        for part in run.by_chunk() {
            self.mark_chunk(part.first.chunk());
        }
    }

    /// Marks a chunk, for instance one that was claimed and not searched to its end.
    pub fn mark_chunk(&self, chunk: Chunk) {
        let Some(marks) = self.marks(chunk.root()) else { return };
        let index = chunk.index_in_root();
        let (word, bit) = (&marks.words[index / 64], 1 << (index % 64));
        if word.load(Ordering::Relaxed) & bit != 0 {
            // Marked, and not claimed yet: whoever claims it looks at the bitmap under the heap lock, which we hold or
            // take before, so it will see these pages.
            return;
        }
        if word.fetch_or(bit, Ordering::AcqRel) & bit != 0 {
            return;
        }
        let mut hint = self.hint.load(Ordering::Relaxed);
        loop {
            let end = end_of(hint).max(chunk.0 + 1) as u64;
            let raised = ((hint >> 32).wrapping_add(1) << 32) | end;
            match self.hint.compare_exchange_weak(hint, raised, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => hint = now,
            }
        }
    }

    /// Begins a search.
    pub fn start(&self) -> Start {
        Start(self.hint.load(Ordering::Acquire))
    }

    /// The highest marked chunk below `end`, or from the start where there is no end yet. Optimistic: no lock is held, so
    /// the chunk may be claimed by somebody else meanwhile, or hold nothing.
    pub fn find(&self, start: Start, end: Option<Chunk>) -> Option<Chunk> {
        let mut below = end_of(start.0).min(end.map_or(usize::MAX, |chunk| chunk.0));
        while below > 0 {
            let last = Chunk(below - 1);
            let Some(marks) = self.marks(last.root()) else {
                below = last.root() * ROOT_CHUNKS;
                continue;
            };
            let index = last.index_in_root();
            let word = marks.words[index / 64].load(Ordering::Acquire) & (u64::MAX >> (63 - index % 64));
            let word_start = last.0 - index % 64;
            if word != 0 {
                return Some(Chunk(word_start + 63 - word.leading_zeros() as usize));
            }
            below = word_start;
        }
        None
    }

    /// Claims a chunk: `true` if it was marked and this caller took the mark.
    pub fn claim(&self, chunk: Chunk) -> bool {
        let Some(marks) = self.marks(chunk.root()) else { return false };
        let index = chunk.index_in_root();
        let bit = 1 << (index % 64);
        marks.words[index / 64].fetch_and(!bit, Ordering::AcqRel) & bit != 0
    }

    /// Notes that a claimed chunk was left alone.
    pub fn postpone(&self, chunk: Chunk) {
        if let Some(marks) = self.marks(chunk.root()) {
            let index = chunk.index_in_root();
            marks.postponed[index / 64].fetch_or(1 << (index % 64), plain::Ordering::Relaxed);
        }
    }

    /// Marks again what was left alone up to `end`, for a search that spares less.
    pub fn mark_postponed(&self, end: Chunk) {
        for root in 0..=end.root() {
            let Some(marks) = self.marks(root) else { continue };
            for (index, word) in marks.postponed.iter().enumerate() {
                let mut bits = word.swap(0, plain::Ordering::Relaxed);
                while bits != 0 {
                    let bit = bits.trailing_zeros() as usize;
                    bits &= bits - 1;
                    self.mark_chunk(Chunk(root * ROOT_CHUNKS + index * 64 + bit));
                }
            }
        }
    }

    /// Lowers the hint to `end`, unless a chunk was marked since `start`.
    pub fn lower(&self, start: Start, end: Chunk) {
        let lowered = (start.0 & !(u32::MAX as u64)) | end.0 as u64;
        // Only the matching value is lowered: any newly set mark has changed the version.
        let _ = self.hint.compare_exchange(start.0, lowered, Ordering::AcqRel, Ordering::Relaxed);
    }
}
