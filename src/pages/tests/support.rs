//! A page allocator without memory behind it. Its large parts are used again by the next test.

use std::boxed::Box;
use std::ops::{Deref, DerefMut};
use std::sync::Mutex;
use std::vec::Vec;

use crate::pages::{PageAllocator, Root, RootTable, Taken};
use crate::units::{CHUNK_PAGES, Chunk, Page, ROOTS, Run};

static TABLES: Mutex<Vec<&'static mut RootTable>> = Mutex::new(Vec::new());
static ROOT_POOL: Mutex<Vec<&'static mut Root>> = Mutex::new(Vec::new());

/// An empty table.
pub fn table() -> &'static mut RootTable {
    let table = TABLES.lock().unwrap().pop();
    table.unwrap_or_else(|| Box::leak(Box::new(RootTable::new())))
}

/// An empty root.
pub fn root_memory() -> &'static mut Root {
    let memory = ROOT_POOL.lock().unwrap().pop();
    memory.unwrap_or_else(|| Box::leak(Box::new(Root::new())))
}

/// Keeps a table and the roots in it for the next test.
pub fn recycle(table: &'static mut RootTable) {
    let mut pool = ROOT_POOL.lock().unwrap();
    pool.extend((0..ROOTS).filter_map(|root| table.remove_root(root)));
    TABLES.lock().unwrap().push(table);
}

/// A page allocator with its table. At its end it is validated, and the table is recycled.
pub struct Heap {
    pages: PageAllocator,
}

impl Heap {
    /// A heap with nothing mapped.
    pub fn empty() -> Self {
        let mut pages = PageAllocator::new();
        pages.attach(table()).unwrap();
        Self { pages }
    }

    /// A heap with these chunk ranges (first chunk, chunks) mapped.
    pub fn with(ranges: &[(usize, usize)]) -> Self {
        let mut heap = Self::empty();
        for &(first, chunks) in ranges {
            heap.map(first, chunks);
        }
        heap
    }

    /// Grows by whole chunks, supplying roots as needed.
    pub fn map(&mut self, first: usize, chunks: usize) {
        for root in Chunk(first).root()..=Chunk(first + chunks - 1).root() {
            if !self.pages.has_root(root) {
                self.pages.add_root(root, root_memory()).unwrap();
            }
        }
        self.pages.grow(Run { first: Chunk(first).first_page(), pages: chunks * CHUNK_PAGES }).unwrap();
    }

    /// Takes this run, which must be free. Returns how many of its pages were released.
    pub fn claim(&mut self, first: usize, pages: usize) -> usize {
        self.pages.alloc_exact(Run { first: Page(first), pages }).expect("the run is free").scavenged_pages
    }

    /// Makes the pages of a free run retained.
    pub fn back(&mut self, first: usize, pages: usize) {
        self.claim(first, pages);
        self.pages.free(Run { first: Page(first), pages }).unwrap();
    }
}

impl Deref for Heap {
    type Target = PageAllocator;
    fn deref(&self) -> &PageAllocator {
        &self.pages
    }
}

impl DerefMut for Heap {
    fn deref_mut(&mut self) -> &mut PageAllocator {
        &mut self.pages
    }
}

impl Drop for Heap {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        self.pages.validate().unwrap();
        recycle(self.pages.detach().unwrap());
    }
}

/// The answer to an allocation of `pages` at page `first`.
pub fn taken(first: usize, pages: usize, scavenged_pages: usize) -> Option<Taken> {
    Some(Taken { run: Run { first: Page(first), pages }, scavenged_pages })
}

/// A short deterministic stream of numbers.
pub struct Numbers(pub u64);

impl Numbers {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }
}
