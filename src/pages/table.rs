//! The root level: a summary and a pointer for each root entry of the address space.
//!
//! All-zero memory is a valid empty table. Two pieces of state spare searches a walk over all entries: the allocator knows
//! the lowest and the highest mapped chunk, and a bitmap marks the roots with mapped chunks, so every walk steps over gaps.
//!
//! The table propagates changes lazily. First fit takes from the same chunk again and again, and most changes there are
//! undone before a search looks at the nodes above. So the change of one chunk, the one edited last, stays *pending*: its
//! leaf is up to date, the nodes above are not. The table propagates it when another chunk is edited, or when a search
//! leaves its own chunk, and until then remembers which summary of the chunk the nodes above go by.
//!
//! Invariants:
//! 1. A root's summary is the merge of its level 1. Entries without a root, or with nothing mapped, are zero.
//! 2. The nodes above the chunk `pending` are what they would be if its summary were `propagated`.
//!
//! Locks: none; the caller holds the heap lock.
#![forbid(unsafe_code)]

use crate::units::{CHUNK_PAGES, Chunk, Page, ROOT_CHUNKS, ROOT_PAGES_SHIFT, ROOTS, Run};

use super::bits::ChunkBits;
use super::fault::{Fault, FaultKind};
use super::root::{PAGE_IN_ROOT, Root};
use super::summary::Summary;

/// Pages under a root entry.
pub(super) const ROOT_PAGES: usize = 1 << ROOT_PAGES_SHIFT;

const ROOT_WORDS: usize = ROOTS.div_ceil(64);

/// The root level of the tree. Valid and empty when zeroed; a process touches only the pages for the roots it uses.
#[repr(C, align(64))]
pub struct RootTable {
    pub(super) summaries: [Summary; ROOTS],
    roots: [Option<&'static mut Root>; ROOTS],
    /// One bit for each root; set if the root has mapped chunks.
    mapped: [u64; ROOT_WORDS],
    /// The chunk that was edited last. Its change may be pending.
    pub(super) pending: Chunk,
    /// The summary of `pending` that the nodes above go by.
    pub(super) propagated: Summary,
}

impl RootTable {
    /// A table without roots, equal to zeroed memory. Large: meant for zeroed mappings, statics and tests.
    pub const fn new() -> Self {
        Self {
            summaries: [Summary::FULL; ROOTS],
            roots: [const { None }; ROOTS],
            mapped: [0; ROOT_WORDS],
            pending: Chunk(0),
            propagated: Summary::FULL,
        }
    }

    #[inline]
    pub(super) fn root(&self, root: usize) -> Option<&Root> {
        self.roots.get(root)?.as_deref()
    }

    /// Supplies the memory below entry `root`. False if there is no such entry, or if it has its root already.
    pub(super) fn add_root(&mut self, root: usize, memory: &'static mut Root) -> bool {
        match self.roots.get_mut(root) {
            Some(slot @ None) => {
                *slot = Some(memory);
                true
            }
            _ => false,
        }
    }

    /// Empties the memory below entry `root` and hands it back to a test that will use it again.
    #[cfg(any(test, feature = "internals"))]
    pub fn remove_root(&mut self, root: usize) -> Option<&'static mut Root> {
        self.propagate();
        let memory = self.roots.get_mut(root)?.take()?;
        self.summaries[root] = Summary::FULL;
        self.mapped[root / 64] &= !(1 << (root % 64));
        memory.clear();
        self.propagated = self.leaf(self.pending);
        Some(memory)
    }

    /// The lowest root not below `from` that has mapped chunks.
    #[inline]
    pub(super) fn next_mapped_root(&self, from: usize) -> Option<usize> {
        let mut keep = u64::MAX << (from % 64);
        for word in from / 64..ROOT_WORDS {
            let found = self.mapped[word] & keep;
            keep = u64::MAX;
            if found != 0 {
                return Some(word * 64 + found.trailing_zeros() as usize);
            }
        }
        None
    }

    #[inline]
    pub(super) fn is_mapped(&self, chunk: Chunk) -> bool {
        self.root(chunk.root()).is_some_and(|root| root.is_mapped(chunk.index_in_root()))
    }

    /// The bitmaps of a mapped chunk.
    #[inline]
    pub(super) fn bits(&self, chunk: Chunk) -> Option<&ChunkBits> {
        let root = self.root(chunk.root())?;
        root.is_mapped(chunk.index_in_root()).then(|| root.bits(chunk.index_in_root()))
    }

    /// Checks that the run is mapped and wholly in use.
    #[inline]
    pub(super) fn check_in_use(&self, run: Run) -> Result<(), Fault> {
        if run.first.index_in_chunk() + run.pages <= CHUNK_PAGES {
            return self.check_part_in_use(run);
        }
        run.by_chunk().try_for_each(|part| self.check_part_in_use(part))
    }

    #[inline]
    fn check_part_in_use(&self, part: Run) -> Result<(), Fault> {
        let Some(bits) = self.bits(part.first.chunk()) else {
            return Err(Fault::new(FaultKind::NotMapped, part.first));
        };
        let from = part.first.index_in_chunk();
        if bits.is_any_free(from, part.pages) {
            let first = bits.first_free(from, part.pages).unwrap_or(from);
            return Err(Fault::new(FaultKind::DoubleFree, part.first.plus(first - from)));
        }
        Ok(())
    }

    /// Whether the run is mapped and wholly free.
    pub(super) fn is_free(&self, run: Run) -> bool {
        run.by_chunk().all(|part| {
            self.bits(part.first.chunk())
                .is_some_and(|bits| bits.count_free(part.first.index_in_chunk(), part.pages) == part.pages)
        })
    }

    /// Takes a run that is known to be free. Returns how many of its pages were released.
    #[inline]
    pub(super) fn take(&mut self, run: Run) -> usize {
        let mut scavenged = 0;
        self.edit_run(run, false, |bits, from, pages| scavenged += bits.take(from, pages));
        scavenged
    }

    /// Frees a run that is known to be in use.
    #[inline]
    pub(super) fn give(&mut self, run: Run, scavenged: bool) {
        self.edit_run(run, true, |bits, from, pages| bits.give(from, pages, scavenged));
    }

    /// Applies `edit` to a chunk that has a root, and updates the chunk's summary. The change stays pending.
    #[inline]
    pub(super) fn edit<R>(&mut self, chunk: Chunk, edit: impl FnOnce(&mut ChunkBits) -> R) -> Option<R> {
        self.defer(chunk);
        let (root, _) = self.root_mut(chunk.root())?;
        Some(root.edit(chunk.index_in_root(), edit))
    }

    /// Propagates the pending change to the nodes above its chunk.
    #[inline]
    pub(super) fn propagate(&mut self) {
        let (chunk, propagated) = (self.pending, self.propagated);
        if let Some((root, summary)) = self.root_mut(chunk.root()) {
            self.propagated = root.propagate(summary, chunk.index_in_root(), propagated);
        }
    }

    /// Prepares an edit of `chunk` that will stay pending: propagates the change of any other chunk first.
    #[inline]
    fn defer(&mut self, chunk: Chunk) {
        if chunk != self.pending {
            self.propagate();
            self.pending = chunk;
            self.propagated = self.leaf(chunk);
        }
    }

    /// Makes an edit that reaches beyond one chunk. The edit updates the nodes above itself.
    fn edit_eagerly(&mut self, edit: impl FnOnce(&mut Self)) {
        self.propagate();
        edit(self);
        self.propagated = self.leaf(self.pending);
    }

    #[inline]
    fn leaf(&self, chunk: Chunk) -> Summary {
        self.root(chunk.root()).map_or(Summary::FULL, |root| root.leaf(chunk.index_in_root()))
    }

    /// Maps chunks; they arrive free and released. The caller has checked that their roots exist.
    pub(super) fn map(&mut self, low: Chunk, chunks: usize) {
        self.edit_eagerly(|table| table.map_roots(low, chunks));
    }

    fn map_roots(&mut self, low: Chunk, chunks: usize) {
        let (mut next, end) = (low.0, low.0 + chunks);
        while next < end {
            let root = Chunk(next).root();
            let stop = end.min((root + 1) * ROOT_CHUNKS);
            if let Some((memory, summary)) = self.root_mut(root) {
                memory.map(summary, Chunk(next).index_in_root(), Chunk(stop - 1).index_in_root());
                self.mapped[root / 64] |= 1 << (root % 64);
            }
            next = stop;
        }
    }

    #[inline]
    fn edit_run(&mut self, run: Run, freed: bool, edit: impl FnMut(&mut ChunkBits, usize, usize)) {
        let chunk = run.first.chunk();
        let from = run.first.index_in_chunk();
        if from + run.pages <= CHUNK_PAGES {
            self.defer(chunk);
            if let Some((root, _)) = self.root_mut(chunk.root()) {
                root.edit_part(chunk.index_in_root(), (from, run.pages), freed, edit);
            }
        } else {
            self.edit_long_run(run, freed, edit);
        }
    }

    #[inline(never)]
    fn edit_long_run(&mut self, run: Run, freed: bool, edit: impl FnMut(&mut ChunkBits, usize, usize)) {
        self.edit_eagerly(|table| table.edit_roots(run, freed, edit));
    }

    fn edit_roots(&mut self, run: Run, freed: bool, mut edit: impl FnMut(&mut ChunkBits, usize, usize)) {
        let (mut next, end) = (run.first, run.end());
        while next < end {
            let root = next.chunk().root();
            let stop = end.min(Page((root + 1) << ROOT_PAGES_SHIFT));
            if let Some((memory, summary)) = self.root_mut(root) {
                memory.edit_run(summary, next.0 & PAGE_IN_ROOT, stop.0 - next.0, freed, &mut edit);
            }
            next = stop;
        }
    }

    #[inline]
    fn root_mut(&mut self, root: usize) -> Option<(&mut Root, &mut Summary)> {
        Some((self.roots.get_mut(root)?.as_deref_mut()?, self.summaries.get_mut(root)?))
    }
}

impl Default for RootTable {
    fn default() -> Self {
        Self::new()
    }
}
