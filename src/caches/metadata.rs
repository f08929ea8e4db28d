//! The metadata store: memory for magazines and thread caches, from mappings of its own.
//!
//! The store is a bump pointer and a free list of magazines (the registry keeps the free caches). Memory never goes back to
//! the OS. Its amount is bounded by the most threads and the fullest depots that the process ever had.
//!
//! Locks: one (rank metadata), the innermost. A mapping is made while the lock is not held, so two threads may map at once;
//! the mapping that comes too late is unmapped again.

use core::ptr::NonNull;

use crate::lock::{ForkLock, Lock, Rank};
use crate::sync::const_unless_loom;
use crate::sys;

use super::magazine::{MAGAZINE_BYTES, Magazine, MagazineRef};

/// Bytes mapped at a time. The kernel backs only the bytes that are used.
const BLOCK_BYTES: usize = if cfg!(loom) { 32 << 10 } else { 1 << 20 };

struct State {
    /// The address of the rest of the current mapping, which nobody has yet.
    rest: usize,
    rest_bytes: usize,
    /// The free list of magazines.
    magazines: Option<MagazineRef>,
    mapped_bytes: usize,
}

/// The store.
pub struct MetadataStore {
    state: Lock<State>,
}

impl MetadataStore {
    const_unless_loom! {
        /// An empty store.
        pub fn new() -> Self {
            Self { state: Lock::new(Rank::Metadata, State { rest: 0, rest_bytes: 0, magazines: None, mapped_bytes: 0 }) }
        }
    }

    /// Zeroed memory that is never given back, aligned to [`MAGAZINE_BYTES`]; `None` when the OS gives none.
    pub fn allocate(&self, bytes: usize) -> Option<NonNull<u8>> {
        let bytes = bytes.next_multiple_of(MAGAZINE_BYTES);
        loop {
            {
                let mut state = self.state.lock();
                if state.rest_bytes >= bytes {
                    let address = state.rest;
                    state.rest += bytes;
                    state.rest_bytes -= bytes;
                    return NonNull::new(core::ptr::with_exposed_provenance_mut(address));
                }
            }
            let block_bytes = BLOCK_BYTES.max(bytes);
            let block = sys::vm::map_metadata(block_bytes)?;
            let mut state = self.state.lock();
            if state.rest_bytes >= bytes {
                drop(state);
                // SAFETY: the block was mapped just now, and nobody else knows it. If the call fails, address space is
                // lost, but no memory.
                unsafe { sys::vm::unmap(block, block_bytes) };
                continue;
            }
            state.mapped_bytes += block_bytes;
            state.rest = block.as_ptr().expose_provenance();
            state.rest_bytes = block_bytes;
        }
    }

    /// An empty magazine. `None` if the OS gives no memory.
    pub fn magazine(&self) -> Option<MagazineRef> {
        {
            let mut state = self.state.lock();
            if let Some(magazine) = state.magazines {
                state.magazines = magazine.link();
                return Some(magazine);
            }
        }
        let memory = self.allocate(MAGAZINE_BYTES)?;
        // SAFETY: the memory is fresh and nobody else's; it has the right size and alignment.
        Some(unsafe { Magazine::create(memory) })
    }

    /// Takes a magazine back.
    pub fn recycle(&self, magazine: MagazineRef) {
        let mut state = self.state.lock();
        magazine.set_link(state.magazines);
        state.magazines = Some(magazine);
    }

    /// Bytes that the store has handed out: the backed part of its mappings, at most.
    pub fn used_bytes(&self) -> usize {
        let state = self.state.lock();
        state.mapped_bytes - state.rest_bytes
    }

    /// The lock, for the fork handlers.
    pub(crate) fn lock_for_fork(&self) -> &impl ForkLock {
        &self.state
    }
}
