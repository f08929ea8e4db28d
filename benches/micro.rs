//! `cargo bench -p neap-benches --bench micro [-- FILTER]`: the layers of neap on their own.
//!
//! - `page_allocator`: allocate a run and free it again. The heaps have from 1 GiB to 1 TiB of bookkeeping and no memory
//!   behind it. All pages are in use but a thousand random holes of that length. The cost should hardly grow with the heap.
//! - `page_allocator_anywhere`: the same, but the freed run lies at a random place. In a large heap its bookkeeping is in no
//!   cache.
//! - `round_trip`: allocate some objects and free them all. Few objects need only the magazines, more need the depot, many
//!   need the spans (refill and flush).
//! - `scavenge`: free large blocks, or small objects with survivors, and then release everything.

use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};
use neap::Neap;
use neap::internals::pages::{PageAllocator, Root, RootTable};
use neap::internals::units::{CHUNK_BYTES, CHUNK_PAGES, Chunk, PAGE_BYTES, Page, Run};
use neap_workloads::random::Random;
use std::alloc::{GlobalAlloc, Layout};

/// Only the benchmarked objects are on this allocator. The process has its own.
static NEAP: Neap = Neap::new();

fn main() {
    divan::main();
}

const GIB: usize = 1 << 30;

/// A heap of so many bytes, all in use but a thousand runs of `pages`.
struct PageHeap {
    allocator: PageAllocator,
    first: Page,
    runs: usize,
    pages: usize,
    random: Random,
}

impl PageHeap {
    fn new(bytes: usize, pages: usize) -> Self {
        let chunks = bytes / CHUNK_BYTES;
        // Not at zero: no real heap is.
        let base = Chunk(1 << 16);
        let mut allocator = PageAllocator::new();
        allocator.attach(Box::leak(Box::new(RootTable::new()))).expect("the table is empty");
        for root in base.root()..=Chunk(base.0 + chunks - 1).root() {
            allocator.add_root(root, Box::leak(Box::new(Root::new()))).expect("each root is added once");
        }
        let all = Run { first: base.first_page(), pages: chunks * CHUNK_PAGES };
        allocator.grow(all).expect("the roots are there");
        allocator.alloc_exact(all).expect("all is free");
        let mut heap =
            PageHeap { allocator, first: all.first, runs: all.pages / pages, pages, random: Random::new(bytes as u64) };
        for _ in 0..1000 {
            heap.free_one();
        }
        heap
    }

    /// Frees a random run that is in use.
    fn free_one(&mut self) {
        loop {
            let first = self.first.plus(self.random.below(self.runs) * self.pages);
            if self.allocator.free(Run { first, pages: self.pages }).is_ok() {
                return;
            }
        }
    }
}

/// GiB of the heap, and pages of a run.
const HEAPS: [(usize, usize); 6] = [(1, 1), (32, 1), (1024, 1), (1, 64), (32, 64), (1024, 64)];

#[divan::bench(args = HEAPS, sample_size = 2000)]
fn page_allocator(bencher: Bencher, (gib, pages): (usize, usize)) {
    let mut heap = PageHeap::new(gib * GIB, pages);
    bencher.bench_local(|| {
        let taken = heap.allocator.alloc(heap.pages).expect("there are holes");
        heap.allocator.free(taken.run).expect("allocated just now");
    });
}

#[divan::bench(args = HEAPS, sample_size = 2000)]
fn page_allocator_anywhere(bencher: Bencher, (gib, pages): (usize, usize)) {
    let mut heap = PageHeap::new(gib * GIB, pages);
    bencher.bench_local(|| {
        heap.free_one();
        black_box(heap.allocator.alloc(heap.pages))
    });
}

/// Objects on the benchmarked allocator.
struct Objects {
    layout: Layout,
    addresses: Vec<*mut u8>,
}

impl Objects {
    fn new(bytes: usize, count: usize) -> Self {
        let layout = Layout::from_size_align(bytes, 8).expect("sizes are small");
        Objects { layout, addresses: Vec::with_capacity(count) }
    }

    fn allocate(&mut self, count: usize) {
        for _ in 0..count {
            // SAFETY: the size is not zero.
            let address = unsafe { NEAP.alloc(self.layout) };
            assert!(!address.is_null());
            self.addresses.push(address);
        }
    }

    fn touch(&self) {
        for address in &self.addresses {
            for at in (0..self.layout.size()).step_by(4096) {
                // SAFETY: inside the object.
                unsafe { address.add(at).write_volatile(1) };
            }
        }
    }

    /// Frees all but every `keep`th.
    fn free_but(&mut self, keep: usize) {
        let mut index = 0;
        let layout = self.layout;
        self.addresses.retain(|address| {
            index += 1;
            let kept = index % keep == 0;
            if !kept {
                // SAFETY: allocated above with this layout, and forgotten now.
                unsafe { NEAP.dealloc(*address, layout) };
            }
            kept
        });
    }

    fn free(&mut self) {
        self.free_but(usize::MAX);
    }
}

impl Drop for Objects {
    fn drop(&mut self) {
        self.free();
    }
}

#[divan::bench(args = [(64, 32), (64, 1_000), (64, 100_000), (1024, 32), (1024, 1_000), (1024, 100_000)])]
fn round_trip(bencher: Bencher, (bytes, count): (usize, usize)) {
    let mut objects = Objects::new(bytes, count);
    bencher.counter(ItemsCount::new(count)).bench_local(|| {
        objects.allocate(count);
        objects.free();
    });
}

/// What a scavenge finds.
#[derive(Debug)]
enum Freed {
    /// Blocks of 1 MiB.
    Large,
    /// Objects of 400 B of which one in fifty lives on.
    Scattered,
}

#[divan::bench(args = [Freed::Large, Freed::Scattered], sample_count = 10, sample_size = 1)]
fn scavenge(bencher: Bencher, freed: &Freed) {
    const BYTES: usize = 256 << 20;
    let bytes = match freed {
        Freed::Large => 1 << 20,
        Freed::Scattered => 400,
    };
    bencher
        .counter(BytesCount::new(BYTES))
        .with_inputs(|| {
            let mut objects = Objects::new(bytes, BYTES / bytes);
            objects.allocate(BYTES / bytes);
            objects.touch();
            match freed {
                Freed::Large => objects.free(),
                Freed::Scattered => objects.free_but(50),
            }
            objects
        })
        .bench_local_values(|objects| {
            let released = neap::scavenge();
            assert!(released >= BYTES / 4, "{released} bytes are no release (a page is {PAGE_BYTES})");
            objects
        });
}
