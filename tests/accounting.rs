//! The books: `mapped = in use + retained + released + in flight + cached`, at rest and under load.
//!
//! The number that `neap::scavenge()` returns is compared with what the kernel got.

mod common;

use std::alloc::GlobalAlloc;
use std::sync::atomic::{AtomicBool, Ordering};

use common::{MIB, Random, child, layout};

#[global_allocator]
static GLOBAL: neap::Neap = neap::Neap::new();

fn filled(bytes: usize) -> *mut u8 {
    // SAFETY: the size is not zero, and the object has that many bytes.
    unsafe {
        let base = GLOBAL.alloc(layout(bytes));
        base.write_bytes(0xa5, bytes);
        base
    }
}

fn free(base: *mut u8, bytes: usize) {
    // SAFETY: callers free once, with the size they asked for.
    unsafe { GLOBAL.dealloc(base, layout(bytes)) };
}

#[test]
fn the_books_add_up_at_rest() {
    child!().holds(|| {
        let mut random = Random(7);
        let mut blocks: Vec<Option<Vec<u8>>> = (0..2000).map(|_| None).collect();
        for step in 0..30_000 {
            let place = random.below(blocks.len());
            let size = match random.below(60) {
                0 => random.below(3 << 20),
                1..10 => random.below(64 << 10),
                _ => random.below(2000),
            };
            blocks[place] = if random.below(3) == 0 { None } else { Some(Vec::with_capacity(size)) };
            if step % 5000 == 0 {
                neap::scavenge();
            }
            // The scavenger's thread may be between two locks. Then the books add up a moment later.
            if step % 100 == 0 {
                common::wait_for_the_books();
            }
        }
        drop(blocks);
        neap::scavenge();
        let stats = neap::stats();
        assert!(stats.adds_up() && stats.in_flight_bytes == 0 && stats.cached_bytes == 0, "{stats}");
        assert!(stats.retained_bytes == 0 && stats.in_use_bytes < 4 << 20, "{stats}");
    });
}

#[test]
fn the_books_are_sane_under_load() {
    child!().holds(|| {
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..4u64)
                .map(|seed| {
                    let stop = &stop;
                    scope.spawn(move || {
                        let mut random = Random(seed + 1);
                        let mut blocks: Vec<Vec<u8>> = Vec::new();
                        while !stop.load(Ordering::Relaxed) {
                            blocks.push(vec![1; random.below(100_000)]);
                            if blocks.len() > 100 {
                                blocks.clear();
                            }
                        }
                    })
                })
                .collect();
            for _ in 0..300 {
                neap::scavenge();
                let stats = neap::stats();
                // Four threads move a block each, the scavengers a batch each, page caches eight blocks.
                let moving = 128 << 20;
                assert!(stats.accounted_bytes().abs_diff(stats.mapped_bytes) <= moving, "{stats}");
                for (name, bytes) in [
                    ("in use", stats.in_use_bytes),
                    ("retained", stats.retained_bytes),
                    ("released", stats.released_bytes),
                    ("cached", stats.cached_bytes),
                    ("holes", stats.hole_bytes),
                    ("released holes", stats.hole_released_bytes),
                ] {
                    assert!(bytes <= stats.mapped_bytes + moving, "{name} wrapped below zero?\n{stats}");
                }
            }
            stop.store(true, Ordering::Relaxed);
            workers.into_iter().for_each(|worker| worker.join().unwrap());
        });
        common::wait_for_the_books();
    });
}

#[test]
fn pages_that_scavenge_counts_are_gone() {
    child!().holds(|| {
        neap::scavenge();
        // Blocks from 200 KiB to 3 MiB. Every second block is freed: runs of every length.
        let sizes: Vec<usize> = (1..=16).map(|i| (i * 200) << 10).collect();
        let blocks: Vec<(*mut u8, usize)> = sizes.iter().map(|&bytes| (filled(bytes), bytes)).collect();
        let freed: Vec<_> = blocks.iter().copied().step_by(2).collect();
        let pages = |bytes: usize| bytes.next_multiple_of(common::PAGE_BYTES);
        let total: usize = freed.iter().map(|block| pages(block.1)).sum();
        let resident = |blocks: &[(*mut u8, usize)]| -> usize {
            blocks.iter().map(|(base, bytes)| common::resident_bytes(base.addr(), *bytes)).sum()
        };
        assert!(resident(&freed) >= total - freed.len() * common::PAGE_BYTES);
        let before = neap::stats();
        freed.iter().for_each(|(base, bytes)| free(*base, *bytes));
        let retained = neap::stats().retained_bytes - before.retained_bytes;
        assert_eq!(retained as usize, total);
        let rss = common::rss_bytes();
        let released = neap::scavenge();
        // Now, before anything allocates: reading the RSS allocates, and may take the freed pages.
        let left = resident(&freed);
        let gone = rss.saturating_sub(common::rss_bytes());
        // The number is true, up to small free runs from before.
        assert!((total..total + 2 * MIB).contains(&released), "{released} {total}");
        assert!(gone + 2 * MIB >= total && gone <= released + 2 * MIB, "{gone} {released}");
        assert_eq!(left, 0, "what was freed is still in memory");
        // The live objects did not change.
        for (base, bytes) in blocks.iter().skip(1).step_by(2) {
            // SAFETY: a live object.
            let object = unsafe { std::slice::from_raw_parts(*base, *bytes) };
            assert!(object.iter().all(|byte| *byte == 0xa5));
        }
        assert!(neap::scavenge() < MIB / 2, "the second time there is next to nothing");
    });
}

#[test]
fn holes_that_scavenge_counts_are_gone() {
    child!().holds(|| {
        neap::scavenge();
        // Slots of 2 KiB. One in sixteen stays, so fourteen of sixteen slots lie on OS pages without a live object.
        const COUNT: usize = 8192;
        let slots: Vec<*mut u8> = (0..COUNT).map(|_| filled(2048)).collect();
        let rss = common::rss_bytes();
        slots.iter().enumerate().filter(|(i, _)| i % 16 != 0).for_each(|(_, slot)| free(*slot, 2048));
        let released = neap::scavenge();
        let gone = rss.saturating_sub(common::rss_bytes());
        let stats = neap::stats();
        // SAFETY: sysconf has no preconditions.
        let os_page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as usize;
        if os_page > common::PAGE_BYTES {
            return;
        }
        let kept: std::collections::HashSet<_> = slots.iter().step_by(16).map(|slot| slot.addr() / os_page).collect();
        let expected = COUNT * 2048 - kept.len() * os_page;
        assert!(released + MIB >= expected && gone + MIB >= expected, "{released} {gone} {expected}\n{stats}");
        // A huge page also backs pages that nobody has used yet. They go with the huge page, and the RSS before did not count them.
        assert!(gone <= released + 3 * MIB, "{gone} {released}");
        for slot in slots.iter().step_by(16) {
            // SAFETY: a live object.
            assert!(unsafe { std::slice::from_raw_parts(*slot, 2048) }.iter().all(|byte| *byte == 0xa5));
        }
        // Slots that are taken again are no holes.
        let again: Vec<*mut u8> = (0..COUNT - kept.len()).map(|_| filled(2048)).collect();
        assert!(neap::stats().hole_released_bytes < stats.hole_released_bytes / 4, "{stats}\n{}", neap::stats());
        again.iter().for_each(|slot| free(*slot, 2048));
        slots.iter().step_by(16).for_each(|slot| free(*slot, 2048));
        neap::scavenge();
        let end = neap::stats();
        assert!(end.adds_up() && end.in_use_bytes < 4 << 20, "{end}");
    });
}

#[test]
fn the_total_counts_what_every_scavenge_said() {
    child!().holds(|| {
        let before = neap::stats().released_bytes_total;
        let mut said = 0;
        for i in 1..20 {
            let block = filled(i << 20);
            free(block, i << 20);
            said += neap::scavenge() as u64;
        }
        let total = neap::stats().released_bytes_total - before;
        // The total also counts what the scavenger's thread and growth release meanwhile.
        assert!(total >= said && total >= (1..20).map(|i| i << 20).sum::<u64>(), "{total} {said}");
    });
}

/// Resident bytes of the mappings whose names begin with `neap`, by the kernel's own count; `None` if the kernel names none.
fn resident_by_the_kernel() -> Option<u64> {
    let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
    let mut resident = None;
    let mut is_ours = false;
    for line in maps.lines() {
        if let Some(kib) = line.strip_prefix("Rss:") {
            if is_ours {
                let kib: u64 = kib.trim().trim_end_matches(" kB").parse().unwrap();
                *resident.get_or_insert(0) += kib << 10;
            }
        } else if line.split(' ').next().is_some_and(|range| range.contains('-')) {
            is_ours = line.contains("[anon:neap");
        }
    }
    resident
}

#[test]
fn backed_bytes_are_at_least_what_the_kernel_counts() {
    child!().holds(|| {
        let mut kept = Vec::new();
        let check = |step: &str| {
            let Some(resident) = resident_by_the_kernel() else {
                return println!("this kernel does not name mappings: nothing to compare with");
            };
            let stats = neap::stats();
            assert!(stats.backed_bytes() >= resident, "{step}: {resident} bytes are resident\n{stats}");
            // Far more than there is would be an upper bound, too.
            assert!(
                stats.backed_bytes() <= resident + resident / 4 + (8 << 20),
                "{step}: {resident} resident\n{stats}"
            );
        };
        check("at the start");
        let objects: Vec<Box<[u8]>> = (0..600_000).map(|_| vec![1u8; 300].into()).collect();
        check("full");
        kept.extend(objects.into_iter().step_by(100));
        check("scattered survivors");
        neap::scavenge();
        check("released");
        let large: Vec<Vec<u8>> = (1..40).map(|mib| vec![1u8; mib * MIB / 4]).collect();
        check("large blocks");
        drop(large);
        neap::scavenge();
        check("large blocks released");
    });
}

#[test]
fn the_limit_in_force_is_shown() {
    child!().env("NEAP_LIMIT", "100M").holds(|| assert_eq!(neap::stats().limit_bytes, 100 << 20));
    child!().case("none").env("NEAP_LIMIT", "none").holds(|| assert_eq!(neap::stats().limit_bytes, 0));
}

#[test]
fn fresh_pages_are_faulted_in_but_not_again() {
    child!().env("NEAP_SCAVENGER", "off").holds(|| {
        let base = filled(8 * MIB);
        let fresh = neap::stats();
        assert!(fresh.faulted_bytes_total >= 8 * MIB as u64 && fresh.refaulted_bytes_total == 0, "{fresh}");
        free(base, 8 * MIB);
        neap::scavenge();
        let base = filled(8 * MIB);
        let again = neap::stats();
        assert!(again.faulted_bytes_total >= 16 * MIB as u64, "{again}");
        let fresh_left = again.mapped_bytes - 8 * MIB as u64;
        assert!(again.refaulted_bytes_total + fresh_left >= 8 * MIB as u64, "{again}");
        assert!(again.refaulted_bytes_total <= 9 * MIB as u64, "{again}");
        free(base, 8 * MIB);
    });
}

#[test]
fn refused_releases_are_counted() {
    child!().env("NEAP_SCAVENGER", "off").holds(|| {
        let base = filled(MIB);
        // SAFETY: locks pages of the process's own in memory.
        if unsafe { libc::mlock(base.cast(), MIB) } != 0 {
            return println!("memory cannot be locked here");
        }
        free(base, MIB);
        neap::scavenge();
        assert!(neap::stats().refused_releases_total >= 1, "{}", neap::stats());
    });
}
