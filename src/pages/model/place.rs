//! The pages that the model covers, numbered from 0: the *places* of the model.
//!
//! Most places lie around the border of two root entries. A few lie at the bottom of a third entry, with whole unmapped
//! entries in between. So every kind of neighbourhood comes up.
//!
//! Locks: none.

use crate::units::{CHUNK_PAGES, Chunk, Page, ROOT_CHUNKS};

/// Chunks of the model below the gap. The last of them is never mapped.
pub(super) const NEAR_CHUNKS: usize = 13;
/// All chunks of the model.
pub(super) const CHUNKS: usize = 16;
/// All pages of the model.
pub(super) const PAGES: usize = CHUNKS * CHUNK_PAGES;
/// The first chunk below the gap, and the first above it.
const NEAR: usize = 2 * ROOT_CHUNKS - 8;
const FAR: usize = 5 * ROOT_CHUNKS;

/// The page at a place.
pub(super) fn page(at: usize) -> Page {
    let chunk = at / CHUNK_PAGES;
    let first = if chunk < NEAR_CHUNKS { NEAR + chunk } else { FAR + chunk - NEAR_CHUNKS };
    Chunk(first).first_page().plus(at % CHUNK_PAGES)
}

/// The place of a page.
pub(super) fn place(page: Page) -> usize {
    let chunk = page.chunk().0;
    let index = if chunk < FAR { chunk - NEAR } else { chunk - FAR + NEAR_CHUNKS };
    index * CHUNK_PAGES + page.index_in_chunk()
}
