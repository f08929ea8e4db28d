//! A magazine: an aligned block of slot addresses, used as a stack.
//!
//! The only state is the *top*, a pointer to the topmost filled word. The word below the lowest slot is null (the sentinel):
//! a pop that reads null knows that the magazine is empty. The block is aligned to its size: a push that would leave the
//! block knows that the magazine is full. Classes with large slots use only the upper end of the block, so both tests are the
//! same for every class. Slots live out of band: free memory is neither read nor written.
//!
//! Magazines are an idea of Bonwick and Adams, "Magazines and Vmem" (USENIX 2001). The sentinel and the alignment test are
//! our own.
//!
//! Invariants:
//! 1. The magazine's slots are the words from the top down to the next null word. Words below the null word mean nothing.
//! 2. Word 0 is never a slot. Depots and the metadata store link magazines through it.
//!
//! Orderings: Relaxed, or plain in `with_slots`. A magazine changes hands under a lock, or by the orderings of the top that
//! points into it (see `thread_cache`).
//!
//! Locks: none. A magazine has one owner at a time: a thread, a depot or the metadata store.

use core::ptr::NonNull;

use crate::size_class::{SERVES_C, info};
use crate::sync::atomic::{AtomicUsize, Ordering};

/// A word of a magazine: the address of a slot, or 0.
pub type Word = AtomicUsize;

/// Words in a magazine. Builds that serve C have twice as many, so the loaded and the spare magazine of a split class change
/// places half as often. The exchange is nearly all that such a class does in slow paths.
pub const WORDS: usize = if cfg!(loom) {
    4
} else if SERVES_C {
    128
} else {
    64
};
/// The most slots in a magazine: all words but the link and the sentinel.
pub const MAX_SLOTS: usize = WORDS - 2;
/// Bytes and alignment of a magazine.
pub const MAGAZINE_BYTES: usize = if SERVES_C { 1024 } else { 512 };

/// The block of words.
#[cfg_attr(serves_c, repr(C, align(1024)))]
#[cfg_attr(not(serves_c), repr(C, align(512)))]
pub struct Magazine {
    words: [Word; WORDS],
}

const _: () = assert!(size_of::<Magazine>() == MAGAZINE_BYTES && align_of::<Magazine>() == MAGAZINE_BYTES);

/// The offset into the block at which the words end.
const END: usize = WORDS * size_of::<Word>() % MAGAZINE_BYTES;

/// The address that a push would fill, or `None` if the magazine is full.
#[inline(always)]
pub fn above(top: *const Word) -> Option<*const Word> {
    let next = top.wrapping_add(1);
    if next.addr() & (MAGAZINE_BYTES - 1) == END { None } else { Some(next) }
}

/// How many pushes the magazine of a top has room for. The sentinel block has room for none.
#[inline]
pub fn room(top: *const Word) -> usize {
    WORDS - 1 - (top.addr() & (MAGAZINE_BYTES - 1)) / size_of::<Word>()
}

/// How many slots lie at and below a top in a magazine of the class. After a drain the answer may be too high until the
/// magazine has run empty; an answer for an empty magazine is always 0.
///
/// # Safety
/// `top` points into a magazine that is the caller's, or at the sentinel block's last word.
#[inline]
pub unsafe fn filled(top: *const Word, class: usize) -> usize {
    // SAFETY: the caller's contract.
    if unsafe { (*top).load(Ordering::Relaxed) } == 0 { 0 } else { info(class).magazine_slots as usize - room(top) }
}

impl Magazine {
    /// The sentinel block: all words are null.
    #[cfg(not(loom))]
    pub const fn null() -> Self {
        Self { words: [const { Word::new(0) }; WORDS] }
    }

    /// Makes a magazine in fresh memory.
    ///
    /// # Safety
    /// `memory` has [`MAGAZINE_BYTES`] bytes and this alignment, and is the caller's.
    pub unsafe fn create(memory: NonNull<u8>) -> MagazineRef {
        let block = memory.cast::<Magazine>();
        for index in 0..WORDS {
            // SAFETY: the word lies in the caller's block.
            unsafe { (&raw mut (*block.as_ptr()).words[index]).write(Word::new(0)) };
        }
        MagazineRef(block)
    }

    /// The last word.
    pub const fn last(&self) -> *const Word {
        &self.words[WORDS - 1]
    }
}

/// A magazine. Whoever has the value owns the magazine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(transparent)]
pub struct MagazineRef(NonNull<Magazine>);

// SAFETY: a magazine has one owner at a time (module header). The owner may be any thread.
unsafe impl Send for MagazineRef {}

impl MagazineRef {
    /// The magazine that a top points into.
    ///
    /// # Safety
    /// `top` points into a magazine that is the caller's.
    #[inline]
    pub unsafe fn of_top(top: *const Word) -> Self {
        let block = top.map_addr(|a| a & !(MAGAZINE_BYTES - 1)).cast_mut().cast::<Magazine>();
        // SAFETY: a block that holds a word is not null.
        Self(unsafe { NonNull::new_unchecked(block) })
    }

    /// The address of a word. The pointer may be used for the whole block.
    fn place(self, index: usize) -> *const Word {
        assert!(index < WORDS);
        // SAFETY: the word lies in the block.
        unsafe { self.0.as_ptr().cast_const().cast::<Word>().add(index) }
    }

    fn word(&self, index: usize) -> &Word {
        // SAFETY: the block is a magazine as long as the heap exists (`Magazine::create`). Only the owner of the block writes
        // words plainly (`with_slots`).
        unsafe { &*self.place(index) }
    }

    /// The next magazine, by the link word.
    pub fn link(self) -> Option<MagazineRef> {
        let address = self.word(0).load(Ordering::Relaxed);
        NonNull::new(core::ptr::with_exposed_provenance_mut(address)).map(MagazineRef)
    }

    /// Sets the link word.
    pub fn set_link(self, next: Option<MagazineRef>) {
        let address = next.map_or(0, |magazine| magazine.0.as_ptr().expose_provenance());
        self.word(0).store(address, Ordering::Relaxed);
    }

    /// Empties the magazine for a class and returns its top: the sentinel.
    pub fn reset(self, class: usize) -> *const Word {
        let sentinel = WORDS - 1 - info(class).magazine_slots as usize;
        self.word(sentinel).store(0, Ordering::Relaxed);
        self.place(sentinel)
    }

    /// The top of a full magazine.
    pub fn full_top(self) -> *const Word {
        self.place(WORDS - 1)
    }
}

/// Copies the slots at and below `top` to `out`, topmost first, until `out` is full. [`MAX_SLOTS`] places are enough for all
/// slots. Returns how many slots were copied. The words stay as they are.
///
/// # Safety
/// `top` points into a magazine that is the caller's, or at the sentinel block's last word.
pub unsafe fn slots_from(top: *const Word, out: &mut [usize]) -> usize {
    let mut word = top;
    for (count, place) in out.iter_mut().enumerate() {
        // SAFETY: by invariant 1 a null word ends the walk inside the block.
        let slot = unsafe { (*word).load(Ordering::Relaxed) };
        if slot == 0 {
            return count;
        }
        *place = slot;
        word = word.wrapping_sub(1);
    }
    out.len()
}

/// Calls `f` with a pointer to the topmost slot. The other slots lie below it, down to a null. `f` gets the magazine's own
/// words, and may leave them in any state. Loom's words are no plain numbers, so under loom `f` gets copies, and the words are
/// overwritten: a thread that looks at them meanwhile is noticed.
///
/// # Safety
/// `top` points into a magazine that is the caller's and in no cell. The magazine is not the sentinel block.
pub unsafe fn with_slots<R>(top: *const Word, f: impl FnOnce(*mut usize) -> R) -> R {
    #[cfg(loom)]
    {
        let mut slots = [0; MAX_SLOTS];
        // SAFETY: the caller's contract.
        let count = unsafe { slots_from(top, &mut slots) };
        let mut copies = [0; WORDS];
        for (below, slot) in slots[..count].iter().enumerate() {
            copies[count - below] = *slot;
            // SAFETY: `count` words at and below the top are in the caller's block.
            unsafe { (*top.wrapping_sub(below)).store(usize::MAX, Ordering::Relaxed) };
        }
        f(copies.as_mut_ptr().wrapping_add(count))
    }
    // An atomic number has the layout of a plain number, and nobody else looks at the words of the caller's magazine.
    #[cfg(not(loom))]
    f(top.cast_mut().cast::<usize>())
}

/// Pushes a slot onto a magazine that has room. Returns the new top.
///
/// # Safety
/// `top` points into a magazine that is the caller's and not full.
#[inline]
pub unsafe fn push(top: *const Word, slot: usize) -> *const Word {
    let next = top.wrapping_add(1);
    // SAFETY: the magazine is not full, so the next word is inside the block.
    unsafe { (*next).store(slot, Ordering::Relaxed) };
    next
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::MAX_SLOTS;
    use crate::size_class::TABLE;

    #[test]
    fn each_classs_slots_fit_into_a_magazine() {
        for class in TABLE {
            assert!((2..=MAX_SLOTS).contains(&(class.magazine_slots as usize)), "{class:?}");
        }
    }
}
