//! Arrays of the benchmark's own, mapped straight from the kernel and backed at birth. Writing to them neither calls the
//! allocator under test nor faults. They stay on small pages in every huge page mode, so that their size is known exactly:
//! it is subtracted from the memory of the process.

use std::ops::{Deref, DerefMut};
use std::ptr::{NonNull, null_mut};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes of all mappings that were made so far.
static MADE: AtomicUsize = AtomicUsize::new(0);
/// Bytes of those that are there now.
static LIVE: AtomicUsize = AtomicUsize::new(0);

/// Types for which all-zero bytes are a value.
///
/// # Safety
/// All-zero bytes must be a valid value of the type.
pub unsafe trait Zeroable {}

// SAFETY: zero is a value of every integer.
unsafe impl Zeroable for u8 {}
// SAFETY: zero is a value of every integer.
unsafe impl Zeroable for u32 {}
// SAFETY: zero is a value of every integer.
unsafe impl Zeroable for u64 {}

/// A boxed slice that no allocator knows of.
pub struct Raw<T: Zeroable> {
    first: NonNull<T>,
    len: usize,
}

// SAFETY: the array owns its elements, like a Box<[T]>.
unsafe impl<T: Zeroable + Send> Send for Raw<T> {}
// SAFETY: sharing the array shares only its elements.
unsafe impl<T: Zeroable + Sync> Sync for Raw<T> {}

impl<T: Zeroable> Raw<T> {
    /// `len` zeroed elements, backed by memory. Ends the process when the kernel refuses: no figure would mean anything.
    pub fn zeroed(len: usize) -> Self {
        assert!(align_of::<T>() <= 4096);
        let bytes = Self::bytes(len);
        let Some(first) = map_backed(bytes) else {
            eprintln!("neap-workloads: no memory for {bytes} bytes of bookkeeping");
            std::process::exit(1);
        };
        MADE.fetch_add(bytes, Ordering::Relaxed);
        LIVE.fetch_add(bytes, Ordering::Relaxed);
        Raw { first: first.cast(), len }
    }

    fn bytes(len: usize) -> usize {
        (len * size_of::<T>()).max(1).next_multiple_of(4096)
    }
}

/// A new mapping of `bytes` zeroed bytes on small pages, all of them touched.
fn map_backed(bytes: usize) -> Option<NonNull<u8>> {
    // SAFETY: a new private mapping.
    let address = unsafe {
        libc::mmap(
            null_mut(),
            bytes,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    if address == libc::MAP_FAILED {
        return None;
    }
    let first = NonNull::new(address.cast::<u8>())?;
    // SAFETY: advice about our own mapping. A kernel without huge pages refuses it, and has none to avoid.
    unsafe { libc::madvise(address, bytes, libc::MADV_NOHUGEPAGE) };
    for offset in (0..bytes).step_by(4096) {
        // SAFETY: inside our own mapping; volatile, since nobody reads it before it is written again.
        unsafe { first.add(offset).write_volatile(0) };
    }
    Some(first)
}

/// Bytes of bookkeeping made over the process' life (an upper bound of what was there at any one time).
pub fn made_bytes() -> usize {
    MADE.load(Ordering::Relaxed)
}

/// Bytes of bookkeeping that are there now.
pub fn live_bytes() -> usize {
    LIVE.load(Ordering::Relaxed)
}

impl<T: Zeroable> Deref for Raw<T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        // SAFETY: the mapping holds `len` elements; all-zero is valid by `Zeroable`.
        unsafe { std::slice::from_raw_parts(self.first.as_ptr(), self.len) }
    }
}

impl<T: Zeroable> DerefMut for Raw<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as above, and `&mut self` makes it the only reference.
        unsafe { std::slice::from_raw_parts_mut(self.first.as_ptr(), self.len) }
    }
}

impl<T: Zeroable> Drop for Raw<T> {
    fn drop(&mut self) {
        // SAFETY: the elements are valid, dropped once, and the mapping is ours.
        unsafe {
            std::ptr::drop_in_place(&raw mut **self);
            libc::munmap(self.first.as_ptr().cast(), Self::bytes(self.len));
        }
        LIVE.fetch_sub(Self::bytes(self.len), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_array_is_zero_and_counts() {
        let before = made_bytes();
        let mut array = Raw::<u64>::zeroed(1000);
        assert!(made_bytes() >= before + 8000);
        assert!(array.iter().all(|word| *word == 0));
        array[999] = 7;
        assert_eq!(array[999], 7);
    }
}
