//! The scavenge index: one mark for each chunk, which says "may have retained pages". It is read without a lock.
//!
//! A scavenger claims a chunk's mark before it searches the chunk. So two scavengers never search the same chunk at once. A
//! free that adds pages behind a scavenger's back marks the chunk again. Chunks are tried from the highest down. The idea
//! is the Go runtime's, which later replaced its reservations of address ranges by an index.
//!
//! The hint says where a search begins: no chunk above the hint is marked. The hint carries a version. A thread that marks
//! a chunk raises the hint and its version. A scavenger lowers the hint only by a compare-exchange with the value that its
//! search started from. So a mark that is set behind the search makes the lowering fail, and no free is lost.
//!
//! Orderings: a mark is set (Release) before the hint is raised (AcqRel). A search reads the hint (Acquire) before the
//! marks. So a search that starts from a hint sees the marks that came with it. Owners and postponed chunks are Relaxed: an
//! owner was written before the chunk's first page was handed out.
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
    /// The shard of the page heap that a chunk belongs to. Written before the chunk's first page is handed out.
    owners: [plain::AtomicU8; ROOT_CHUNKS],
    /// Chunks that a search claimed and left alone: they are dense, or their huge pages must not be split.
    postponed: [plain::AtomicU64; WORDS],
}

type Table = [plain::AtomicPtr<Marks>; ROOTS];

/// The index.
pub struct ScavengeIndex {
    table: plain::AtomicPtr<Table>,
    /// The version in the upper half. In the lower half, the highest chunk that may be marked, plus one.
    hint: AtomicU64,
}

const _: () = assert!((ROOTS * ROOT_CHUNKS) < u32::MAX as usize);

/// The hint that a search started from. A search needs it to lower the hint.
#[derive(Clone, Copy)]
pub struct Start(u64);

fn end_of(hint: u64) -> usize {
    hint as u32 as usize
}

impl ScavengeIndex {
    const_unless_loom! {
        /// An index without a table. No chunk is marked.
        pub fn new() -> Self {
            Self { table: plain::AtomicPtr::new(null_mut()), hint: AtomicU64::new(0) }
        }
    }

    /// Maps the table of roots, without which the heap cannot grow. `false` if the OS gives no memory: then the caller may
    /// try again.
    pub fn initialize(&self) -> bool {
        if self.table.load(plain::Ordering::Relaxed).is_null() {
            let Some(table) = sys::vm::map_metadata(size_of::<Table>()) else { return false };
            self.table.store(table.as_ptr().cast(), plain::Ordering::Release);
        }
        true
    }

    fn root(&self, root: usize) -> Option<&plain::AtomicPtr<Marks>> {
        // SAFETY: the pointer is null, or zeroed memory of the right size that is never unmapped. Null pointers are valid
        // entries.
        unsafe { self.table.load(plain::Ordering::Acquire).as_ref() }?.get(root)
    }

    fn marks(&self, root: usize) -> Option<&Marks> {
        // SAFETY: the pointer is null, or marks that `prepare` made and that are never unmapped.
        unsafe { self.root(root)?.load(plain::Ordering::Acquire).as_ref() }
    }

    /// Makes the marks of a root entry. Called under the lock of a page heap, before the page heap has pages there.
    pub fn prepare(&self, root: usize) -> bool {
        let Some(cell) = self.root(root) else { return false };
        if !cell.load(plain::Ordering::Relaxed).is_null() {
            return true;
        }
        let Some(memory) = sys::vm::map_metadata(size_of::<Marks>()) else { return false };
        let marks = memory.cast::<Marks>();
        for word in 0..WORDS {
            // SAFETY: the word is inside the fresh mapping.
            unsafe { (&raw mut (*marks.as_ptr()).words[word]).write(AtomicU64::new(0)) };
        }
        // If another shard's page heap was faster, its marks stay. Ours are lost address space and hardly any memory. To
        // unmap them would be one more system call under a lock.
        let _ = cell.compare_exchange(
            core::ptr::null_mut(),
            marks.as_ptr(),
            plain::Ordering::AcqRel,
            plain::Ordering::Relaxed,
        );
        true
    }

    /// Notes that the chunks of `run`, which consists of whole chunks, belong to the page heap of `shard`.
    pub fn set_owner(&self, run: Run, shard: usize) {
        for part in run.by_chunk() {
            let chunk = part.first.chunk();
            if let Some(marks) = self.marks(chunk.root()) {
                marks.owners[chunk.index_in_root()].store(shard as u8, plain::Ordering::Relaxed);
            }
        }
    }

    /// The shard of the page heap that a mapped chunk belongs to.
    pub fn owner(&self, chunk: Chunk) -> usize {
        self.marks(chunk.root()).map_or(0, |marks| {
            marks.owners[chunk.index_in_root()].load(plain::Ordering::Relaxed) as usize & (SHARDS - 1)
        })
    }

    /// Marks each chunk that `run` touches. The run has just become free and is not released.
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
            // The chunk is marked and not claimed yet. Whoever claims it later looks at the bitmap under the heap lock,
            // after this thread, and sees these pages.
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

    /// The highest marked chunk below `end`, or below the hint that the search started from. The search is optimistic: it
    /// holds no lock, so another thread may claim the chunk meanwhile, or the chunk may have no retained page.
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

    /// Claims a chunk. `true` if the chunk was marked and the caller took the mark.
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

    /// Marks the postponed chunks up to `end` again, for a search that spares fewer chunks.
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
        // Only the hint of the start is lowered: each mark set since has changed the version.
        let _ = self.hint.compare_exchange(start.0, lowered, Ordering::AcqRel, Ordering::Relaxed);
    }
}
