//! The heap's units: pages, chunks and the levels of the summary tree.
//!
//! All code above the system calls counts in heap pages of 8 KiB, whatever the kernel's page size is. The constants are
//! those of the Go runtime's page heap (commit 4f543b59). Under loom the tree is narrower, so a model can build a fresh
//! heap for each execution. Its shape stays: five levels, and chunks of 512 pages.
//!
//! Locks: none. Never: touches memory.
#![forbid(unsafe_code)]

/// log2 of the heap page size in bytes.
pub const PAGE_SHIFT: u32 = 13;
/// Bytes in a heap page (8 KiB).
pub const PAGE_BYTES: usize = 1 << PAGE_SHIFT;

/// log2 of the pages in a chunk.
pub const CHUNK_PAGES_SHIFT: u32 = 9;
/// Pages in a chunk: the pages under one bitmap leaf.
pub const CHUNK_PAGES: usize = 1 << CHUNK_PAGES_SHIFT;
/// 64-bit words in a chunk's bitmap.
pub const CHUNK_WORDS: usize = CHUNK_PAGES / 64;
/// log2 of the bytes in a chunk.
pub const CHUNK_SHIFT: u32 = PAGE_SHIFT + CHUNK_PAGES_SHIFT;
/// Bytes in a chunk (4 MiB).
pub const CHUNK_BYTES: usize = 1 << CHUNK_SHIFT;

/// Levels of the summary tree, the root level included.
pub const LEVELS: usize = 5;
/// log2 of the children of a node below the root level.
pub const LEVEL_BITS: u32 = if cfg!(loom) { 1 } else { 3 };

/// log2 of the chunks under one root entry.
pub const ROOT_CHUNKS_SHIFT: u32 = LEVEL_BITS * (LEVELS as u32 - 1);
/// Chunks under one root entry (4096: 16 GiB).
pub const ROOT_CHUNKS: usize = 1 << ROOT_CHUNKS_SHIFT;
/// log2 of the pages under one root entry.
pub const ROOT_PAGES_SHIFT: u32 = CHUNK_PAGES_SHIFT + ROOT_CHUNKS_SHIFT;
/// log2 of the bytes under one root entry.
pub const ROOT_SHIFT: u32 = PAGE_SHIFT + ROOT_PAGES_SHIFT;

/// log2 of the address space that the heap can describe. User space has at most 47 bits on x86-64 and 48 on AArch64,
/// unless a program asks for more with a hint, and the arena never does.
pub const ADDRESS_BITS: u32 = if cfg!(loom) { 30 } else { 48 };
/// Entries of the root level.
pub const ROOTS: usize = 1 << (ADDRESS_BITS - ROOT_SHIFT);

/// The most shards of a heap: a power of two.
pub const SHARDS: usize = if cfg!(loom) { 2 } else { 8 };

/// A page's number: its address divided by [`PAGE_BYTES`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Page(pub usize);

impl Page {
    /// The page that holds `address`.
    #[inline]
    pub const fn containing(address: usize) -> Self {
        Self(address >> PAGE_SHIFT)
    }

    /// The page's first byte.
    #[inline]
    pub const fn address(self) -> usize {
        self.0 << PAGE_SHIFT
    }

    /// The chunk that holds the page.
    #[inline]
    pub const fn chunk(self) -> Chunk {
        Chunk(self.0 >> CHUNK_PAGES_SHIFT)
    }

    /// The page's place in its chunk, below [`CHUNK_PAGES`].
    #[inline]
    pub const fn index_in_chunk(self) -> usize {
        self.0 & (CHUNK_PAGES - 1)
    }

    /// The page `pages` further on.
    #[inline]
    pub const fn plus(self, pages: usize) -> Self {
        Self(self.0 + pages)
    }
}

/// A chunk's number: its address divided by [`CHUNK_BYTES`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Chunk(pub usize);

impl Chunk {
    /// The chunk's first page.
    #[inline]
    pub const fn first_page(self) -> Page {
        Page(self.0 << CHUNK_PAGES_SHIFT)
    }

    /// The root entry above the chunk.
    #[inline]
    pub const fn root(self) -> usize {
        self.0 >> ROOT_CHUNKS_SHIFT
    }

    /// The chunk's place under its root entry, below [`ROOT_CHUNKS`].
    #[inline]
    pub const fn index_in_root(self) -> usize {
        self.0 & (ROOT_CHUNKS - 1)
    }
}

/// Adjacent pages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Run {
    /// The lowest page.
    pub first: Page,
    /// The number of pages.
    pub pages: usize,
}

impl Run {
    /// The page after the last page.
    #[inline]
    pub const fn end(self) -> Page {
        self.first.plus(self.pages)
    }

    /// The run's size in bytes.
    #[inline]
    pub const fn bytes(self) -> usize {
        self.pages << PAGE_SHIFT
    }

    /// The parts of the run in each chunk, lowest first.
    pub fn by_chunk(self) -> impl Iterator<Item = Run> {
        let mut next = self.first;
        let end = self.end();
        core::iter::from_fn(move || {
            if next >= end {
                return None;
            }
            let chunk_end = Chunk(next.chunk().0 + 1).first_page();
            let stop = if chunk_end < end { chunk_end } else { end };
            let part = Run { first: next, pages: stop.0 - next.0 };
            next = stop;
            Some(part)
        })
    }
}
