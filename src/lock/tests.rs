//! What ranks refuse: every order of two locks, and every system call of the heap under every lock.

use super::{Lock, Rank};
use crate::sys::{self, vm};
use core::ptr::NonNull;
use std::panic::{AssertUnwindSafe, catch_unwind};

const BYTES: usize = 1 << 20;

/// Why `work` ended the process; nothing if it did not.
fn refusal(work: impl FnOnce()) -> Option<String> {
    let panic = catch_unwind(AssertUnwindSafe(work)).err()?;
    Some(*panic.downcast::<String>().expect("a message with values"))
}

#[test]
fn locks_nest_in_the_order_of_ranks_and_in_no_other() {
    for outer in Rank::ALL {
        for inner in Rank::ALL {
            let locks = [outer, inner].map(|rank| Lock::new(rank, ()));
            let refused = refusal(|| {
                let _outer = locks[0].lock();
                let _inner = locks[1].lock();
            });
            let (first, second) = (outer.name(), inner.name());
            if outer < inner {
                assert_eq!(refused, None, "{second} under {first}");
            } else {
                let line = format!("neap: lock: took {second} while holding {first} (order: ");
                assert!(refused.as_ref().is_some_and(|refused| refused.starts_with(&line)), "{line}: {refused:?}");
            }
        }
    }
}

/// A system call of the heap: its name in the message, the locks it may run under, and the call.
type Call = (&'static str, &'static [Rank], fn(NonNull<u8>));

/// The argument is memory of [`BYTES`] that nobody else uses. Kernels differ in what they know, so most results are open.
const CALLS: [Call; 12] = [
    ("prlimit64", &Rank::GROWTH, |_| _ = sys::limits::address_space_share()),
    ("prlimit64", &Rank::GROWTH, |_| _ = sys::limits::data_share()),
    ("mmap", &Rank::GROWTH, |_| _ = vm::reserve(BYTES, BYTES)),
    ("mmap", &Rank::GROWTH, |_| _ = vm::map_metadata(BYTES)),
    // SAFETY: the memory is writable already.
    ("mprotect", &Rank::GROWTH, |at| assert!(unsafe { vm::back_in_growth(at, BYTES) })),
    // SAFETY: nobody needs the content.
    ("madvise(DONTNEED)", &[], |at| unsafe { vm::release(at, BYTES) }.unwrap()),
    // SAFETY: nobody needs the content.
    ("process_madvise(DONTNEED)", &[], |at| unsafe { vm::release_many(&[(at, BYTES / 2)]) }.unwrap()),
    // SAFETY: the memory is this test's.
    ("madvise(COLD)", &[], |at| _ = unsafe { vm::cold(at, BYTES) }),
    // SAFETY: the memory is this test's.
    ("madvise(HUGEPAGE)", &[], |at| _ = unsafe { vm::huge_pages(true, at, BYTES) }),
    ("membarrier", &[], |_| _ = sys::membarrier::register()),
    ("clock_gettime", &[], |_| _ = sys::thread::thread_cpu_time_ns()),
    // Last, for the memory is gone then.
    // SAFETY: nobody uses the memory any more.
    ("munmap", &[], |at| assert!(unsafe { vm::unmap(at, BYTES) })),
];

#[test]
fn a_system_call_runs_under_no_lock_but_those_of_growth() {
    let at = vm::map_metadata(BYTES).unwrap();
    for (call, allowed, make) in CALLS {
        for rank in Rank::ALL {
            let lock = Lock::new(rank, ());
            let refused = refusal(|| {
                let _guard = lock.lock();
                make(at);
            });
            let line = format!("neap: lock: system call {call} under lock {}", rank.name());
            assert_eq!(refused, (!allowed.contains(&rank)).then_some(line), "{call} {rank:?}");
        }
        assert_eq!(refusal(|| make(at)), None, "{call} without a lock");
    }
}
