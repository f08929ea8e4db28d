//! Tests of address space and memory, against the kernel's own view of both.

use super::*;
use crate::sys::errno::Stopped;
use crate::sys::fault::{Log, fail_nth, log, reset};
use crate::sys::page::os_page_bytes;

const MIB: usize = 1 << 20;

fn backed(bytes: usize) -> NonNull<u8> {
    let base = reserve(bytes, 4 * MIB).unwrap();
    // SAFETY: the reservation was just made.
    assert!(unsafe { back_in_growth(base, bytes) });
    base
}

/// The resident bytes of a range, by the kernel's own count.
fn resident_bytes(base: NonNull<u8>, bytes: usize) -> usize {
    let mut pages = vec![0_u8; bytes / os_page_bytes()];
    // SAFETY: the kernel writes one byte for each page of a mapped range.
    assert_eq!(unsafe { libc::mincore(base.as_ptr().cast(), bytes, pages.as_mut_ptr()) }, 0);
    pages.iter().filter(|page| **page & 1 == 1).count() * os_page_bytes()
}

#[test]
fn reservations_are_aligned_and_trimmed() {
    for align in [4096, 1 << 13, 4 * MIB, 64 * MIB] {
        let base = reserve(5 * MIB, align).unwrap();
        assert_eq!(base.as_ptr().addr() % align, 0);
        // SAFETY: the range was just reserved and nobody uses it.
        assert!(unsafe { unmap(base, 5 * MIB) });
    }
}

#[test]
fn a_huge_reservation_costs_nothing() {
    let bytes = 1 << 38;
    let base = reserve(bytes, 4 * MIB).unwrap();
    // SAFETY: the range was just reserved and nobody uses it.
    assert!(unsafe { unmap(base, bytes) });
}

#[test]
fn impossible_reservations_are_refused() {
    assert!(reserve(0, 4096).is_none());
    assert!(reserve(4096, 3).is_none());
    assert!(reserve(usize::MAX, 4 * MIB).is_none());
    assert!(reserve(1 << 60, 4 * MIB).is_none());
}

#[test]
fn metadata_is_zeroed_and_writable() {
    let base = map_metadata(MIB).unwrap();
    // SAFETY: the mapping is this test's own.
    unsafe {
        assert_eq!(base.add(MIB - 1).read(), 0);
        base.write_bytes(1, MIB);
        assert!(unmap(base, MIB));
    }
}

/// The advice is a flag of the mapping in every mode of the system.
#[test]
fn metadata_stays_on_small_pages() {
    if !std::path::Path::new("/sys/kernel/mm/transparent_hugepage").exists() {
        // A kernel without huge pages, which refuses the advice.
        return;
    }
    let base = map_metadata(MIB).unwrap();
    let smaps = std::fs::read_to_string("/proc/self/smaps").unwrap();
    let address = base.as_ptr().addr();
    let holds_it = |line: &str| {
        let ends = line.split(' ').next().and_then(|range| range.split_once('-'));
        ends.and_then(|(from, to)| Some(usize::from_str_radix(from, 16).ok()?..usize::from_str_radix(to, 16).ok()?))
            .is_some_and(|range| range.contains(&address))
    };
    let flags = smaps.lines().skip_while(|line| !holds_it(line)).find(|line| line.starts_with("VmFlags:")).unwrap();
    assert!(flags.split(' ').any(|flag| flag == "nh"), "{flags}");
    // SAFETY: the mapping is this test's own.
    assert!(unsafe { unmap(base, MIB) });
}

#[test]
fn release_zeroes_and_gives_back() {
    let base = backed(8 * MIB);
    // SAFETY: the range is backed and this test's own.
    unsafe {
        // Small pages, so that the kernel's count is exact.
        let _ = huge_pages(false, base, 8 * MIB);
        base.write_bytes(0xa5, 8 * MIB);
        assert_eq!(resident_bytes(base, 8 * MIB), 8 * MIB);
        release(base.add(MIB), 2 * MIB).unwrap();
        assert_eq!(resident_bytes(base, 8 * MIB), 6 * MIB);
        assert_eq!((base.add(MIB - 1).read(), base.add(MIB).read(), base.add(3 * MIB).read()), (0xa5, 0, 0xa5));
        assert!(unmap(base, 8 * MIB));
    }
}

#[test]
fn release_many_zeroes_every_range_and_nothing_else() {
    reset();
    let page = os_page_bytes().max(8192);
    let pages = 700;
    let base = backed(2 * pages * page);
    // SAFETY: the range is backed and this test's own.
    unsafe {
        let _ = huge_pages(false, base, 2 * pages * page);
        base.write_bytes(0xa5, 2 * pages * page);
        let ranges: Vec<_> = (0..pages).map(|i| (base.add(2 * i * page), page)).collect();
        release_many(&ranges).unwrap();
        for i in 0..2 * pages {
            let expected = if i % 2 == 0 { 0 } else { 0xa5 };
            assert_eq!(base.add(i * page).read(), expected, "page {i}");
            assert_eq!(base.add((i + 1) * page - 1).read(), expected, "page {i}");
        }
        let (one, many) = (log(Op::Release), log(Op::ReleaseMany));
        assert_eq!(one.bytes + many.bytes, (pages * page) as u64);
        release_many(&[]).unwrap();
        assert!(unmap(base, 2 * pages * page));
    }
}

#[test]
fn release_many_says_where_it_stopped() {
    let page = os_page_bytes().max(8192);
    let base = backed(4 * page);
    // SAFETY: the range is backed and this test's own.
    unsafe {
        base.write_bytes(0xa5, 4 * page);
        // The kernel refuses to release a locked page.
        assert_eq!(libc::mlock(base.as_ptr().add(2 * page).cast(), page), 0);
        let ranges = [0, 1, 2, 3].map(|i| (base.add(i * page), page));
        assert_eq!(release_many(&ranges), Err(Stopped { released: 2, errno: EINVAL }));
        assert_eq!([0, 1, 2, 3].map(|i| base.add(i * page).read()), [0, 0, 0xa5, 0xa5]);

        fail_nth(Op::Release, 3);
        assert_eq!(libc::munlock(base.as_ptr().add(2 * page).cast(), page), 0);
        assert_eq!(release_many(&ranges), Err(Stopped { released: 3, errno: EINVAL }));
        assert!(unmap(base, 4 * page));
    }
}

#[test]
fn advice_keeps_the_content() {
    let base = backed(4 * MIB);
    // SAFETY: the range is backed and this test's own.
    unsafe {
        base.write_bytes(0xa5, 4 * MIB);
        cold(base, MIB).unwrap();
        // Kernels without huge pages refuse these two.
        let _ = huge_pages(true, base, 4 * MIB);
        let _ = huge_pages(false, base, 4 * MIB);
        assert!((0..4 * MIB).step_by(4096).all(|i| base.add(i).read() == 0xa5));
        assert!(unmap(base, 4 * MIB));
    }
}

#[test]
fn injected_faults_reach_every_call() {
    reset();
    let base = reserve(4 * MIB, 4 * MIB).unwrap();
    for op in [Op::Map, Op::Back, Op::Release] {
        fail_nth(op, 0);
    }
    assert!(reserve(4 * MIB, 4 * MIB).is_none());
    fail_nth(Op::Map, 0);
    assert!(map_metadata(4096).is_none());
    // SAFETY: the reservation is this test's own.
    unsafe {
        assert!(!back_in_growth(base, 4 * MIB) && back_in_growth(base, 4 * MIB));
        assert_eq!(release(base, MIB), Err(EINVAL));
        assert_eq!(release(base, MIB), Ok(()));
        assert!(unmap(base, 4 * MIB));
    }
    assert_eq!(log(Op::Release), Log { calls: 1, bytes: MIB as u64 });
    assert_eq!(log(Op::Back), Log { calls: 1, bytes: 4 * MIB as u64 });
}

#[test]
fn growth_may_run_under_the_heap_lock_and_release_may_not() {
    use crate::lock::Lock;
    let heap = Lock::new(Rank::Heap, ());
    let guard = heap.lock();
    let base = reserve(4 * MIB, 4 * MIB).unwrap();
    // SAFETY: the reservation is this test's own.
    assert!(unsafe { back_in_growth(base, 4 * MIB) });
    drop(guard);
    let refused = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _guard = heap.lock();
        // SAFETY: as above.
        unsafe { release(base, MIB) }
    }));
    let message = *refused.unwrap_err().downcast::<String>().unwrap();
    assert_eq!(message, "neap: lock: system call madvise(DONTNEED) under lock heap");
    // SAFETY: as above; nobody uses it any more.
    assert!(unsafe { unmap(base, 4 * MIB) });
}
