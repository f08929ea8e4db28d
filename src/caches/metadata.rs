//! The metadata store: small blocks for magazines and thread caches, from mappings of their own.
//!
//! A bump pointer and two free lists. Blocks never go back to the OS one by one; their number is bounded by the most
//! threads and the fullest depots the process ever had.
//!
//! Locks: one (rank metadata), a leaf. The mapping is made while it is not held, so two threads may map at once; the
//! block that comes too late is unmapped again.

use core::ptr::NonNull;

use crate::lock::{ForkLock, Lock, Rank};
use crate::sync::const_unless_loom;
use crate::sys;

use super::magazine::{MAGAZINE_BYTES, Magazine, MagazineRef};

/// Bytes mapped at a time; backed only as far as they are used.
const BLOCK_BYTES: usize = if cfg!(loom) { 32 << 10 } else { 1 << 20 };

struct State {
    /// The unused rest of the current block, as address and bytes.
    rest: usize,
    rest_bytes: usize,
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
                // SAFETY: mapped just now, seen by nobody else. Where it fails, address space is lost, but no memory.
                unsafe { sys::vm::unmap(block, block_bytes) };
                continue;
            }
            state.mapped_bytes += block_bytes;
            state.rest = block.as_ptr().expose_provenance();
            state.rest_bytes = block_bytes;
        }
    }

    /// An empty magazine.
    pub fn magazine(&self) -> Option<MagazineRef> {
        {
            let mut state = self.state.lock();
            if let Some(magazine) = state.magazines {
                state.magazines = magazine.link();
                return Some(magazine);
            }
        }
        let memory = self.allocate(MAGAZINE_BYTES)?;
        // SAFETY: the memory is fresh, of the right size and alignment, and nobody else's.
        Some(unsafe { Magazine::create(memory) })
    }

    /// Takes a magazine back.
    pub fn recycle(&self, magazine: MagazineRef) {
        let mut state = self.state.lock();
        magazine.set_link(state.magazines);
        state.magazines = Some(magazine);
    }

    /// Bytes of address space the store has mapped.
    pub fn mapped_bytes(&self) -> usize {
        self.state.lock().mapped_bytes
    }

    /// The lock, for the fork handlers.
    pub(crate) fn lock_for_fork(&self) -> &impl ForkLock {
        &self.state
    }
}
