//! The fork handlers, and how a thread that forks may allocate meanwhile.
//!
//! Our handlers hold every lock of the heap while the process is copied. Other libraries have handlers, too. A library may take a
//! lock of its own there, and allocate under this lock in another thread: its handler must run before ours, or the two threads
//! wait for each other. Handlers run before a fork in the opposite order of their registration. So ours are registered when
//! the program is loaded, before any constructor (`EARLY`). A shared library's constructor comes before those of an executable
//! that carries neap; a handler from there runs between ours, and may still allocate. Its operation would wait for locks that its
//! own thread holds. So every slow path asks whether its thread is between the handlers (one load). If so, it gives the locks
//! back while it works, and starts no scavenger.
//!
//! If C's streams use this heap, the handler takes the lock of the list of streams first: other threads allocate and free
//! under this lock, and fork takes it after the handlers (see `sys::stream`). In a Rust program, streams use the C library's
//! own heap.
//!
//! **A signal handler may fork**, but it may not allocate. It may have interrupted a slow path or another fork. Signals are
//! blocked between our handlers, so that no fork is interrupted there. A thread counts the slow paths that it is in. If the
//! count is not zero at the fork, the child recovers when its thread has left its last slow path (`heap::fork`).
//!
//! Orderings: Relaxed. A thread compares `FORKING` and `RECOVERING` with its own address: it sees its own stores, and no other
//! value equals its address. The count belongs to the thread; fences keep the compiler from moving its accesses.
//!
//! Locks: all locks of the heap.

use core::ptr::{from_ref, null_mut};

use crate::caches::{ThreadCache, ThreadWords};
use crate::heap::Heap;
use crate::lock;
use crate::sync::plain::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, Ordering};
use crate::sync::signal_fence;
use crate::sys;

use super::{process_heap, scavenger_state, tls};

/// A constructor: the loader calls it before those of the program, which have no number or a higher one.
#[cfg(not(test))]
#[used]
#[unsafe(link_section = ".init_array.00001")]
static EARLY: extern "C" fn() = set_handlers;

/// The bit of a thread's `inside` that says that the thread is between the fork handlers.
const FORKS: usize = 1 << (usize::BITS - 1);

/// Whether a thread has begun to set the fork handlers.
static HANDLERS: AtomicBool = AtomicBool::new(false);
/// The words of the thread that is between the fork handlers and holds every lock. Null if there is none. Written under all
/// locks.
static FORKING: AtomicPtr<ThreadWords> = AtomicPtr::new(null_mut());
/// Which signals the forking thread had blocked before the fork. Written under all locks.
static SIGNALS: AtomicU64 = AtomicU64::new(0);
/// The number of the process that forks; its child has another number. Written under all locks.
static PROCESS: AtomicU32 = AtomicU32::new(0);
/// In the child of a fork that interrupted a slow path: the words of its thread, which recovers when it has left its last slow
/// path. Null otherwise.
static RECOVERING: AtomicPtr<ThreadWords> = AtomicPtr::new(null_mut());
/// The process whose forking thread also holds the lock of the C library's list of streams; 0 if there is none. Written under
/// the list's lock.
#[cfg(serves_c)]
static HOLDS_STREAMS: AtomicU32 = AtomicU32::new(0);

/// The heap, for one operation that holds no lock. While the [`Pause`] lives, the thread counts as in a slow path, and it holds
/// no lock of the heap, not even between the fork handlers.
#[inline]
pub fn enter() -> Option<(&'static Heap, Pause)> {
    let heap = process_heap::heap()?;
    let words = tls::words();
    words.inside.store(words.inside.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    signal_fence();
    let forking = FORKING.load(Ordering::Relaxed);
    if forking.is_null() || !core::ptr::eq(forking, words) {
        return Some((heap, Pause { again: None }));
    }
    // Kept here, because another thread may fork during the pause and overwrite them.
    let signals = SIGNALS.load(Ordering::Relaxed);
    // This also serves in the child: no thread exists there that could be woken.
    give_back_all(heap);
    if PROCESS.load(Ordering::Relaxed) != sys::fork::process_id() {
        if let Some(own) = own_cache() {
            // In the child another library's handler may run before ours. Its operation would wait for a drainer that does
            // not exist there.
            // SAFETY: this is the child's only thread, and the cache is its own.
            unsafe { own.forget_drainer(words) };
        }
    }
    Some((heap, Pause { again: Some((heap, signals)) }))
}

/// See [`enter`].
pub struct Pause {
    /// The heap whose locks to take again, and the signals that the thread had blocked before its fork.
    again: Option<(&'static Heap, u64)>,
}

impl Drop for Pause {
    #[inline]
    fn drop(&mut self) {
        signal_fence();
        let words = tls::words();
        let inside = words.inside.load(Ordering::Relaxed) - 1;
        words.inside.store(inside, Ordering::Relaxed);
        signal_fence();
        // The look comes after the store: the child of a fork before the store relies on this look.
        if inside == 0 && core::ptr::eq(RECOVERING.load(Ordering::Relaxed), words) {
            recover();
        }
        if let Some((heap, signals)) = self.again {
            hold_all(heap);
            SIGNALS.store(signals, Ordering::Relaxed);
        }
    }
}

/// Whether the calling thread must start no other: it may be in the child of a fork, which it has not recovered yet, and of which
/// it must stay the only thread.
pub fn must_stay_alone() -> bool {
    let words = tls::words();
    words.inside.load(Ordering::Relaxed) & FORKS != 0 || core::ptr::eq(RECOVERING.load(Ordering::Relaxed), words)
}

/// Notes whether the calling thread is between the fork handlers.
fn set_forks(forks: bool) {
    let inside = &tls::words().inside;
    let paths = inside.load(Ordering::Relaxed) & !FORKS;
    inside.store(if forks { paths | FORKS } else { paths }, Ordering::Relaxed);
}

/// The calling thread's cache, if it has one.
fn own_cache<'a>() -> Option<&'a ThreadCache> {
    // SAFETY: the words are the thread's own.
    unsafe { tls::words().cache() }
}

/// Sets the fork handlers once. The C library may allocate for the handlers. So this is called outside the initialisation, and a
/// call out of such an allocation returns at once.
pub extern "C" fn set_handlers() {
    if !HANDLERS.load(Ordering::Relaxed) && !HANDLERS.swap(true, Ordering::Relaxed) {
        sys::fork::at_fork(before, after_in_parent, after_in_child);
    }
}

#[cold]
fn hold_all(heap: &Heap) {
    loop {
        hold_streams();
        match heap.prepare_fork() {
            Ok(()) => break,
            // The lock's owner may wait for a lock that this thread holds, also for the lock of the streams.
            Err(stuck) => {
                release_streams();
                stuck.wait();
            }
        }
    }
    // Written under all locks only.
    FORKING.store(from_ref(tls::words()).cast_mut(), Ordering::Relaxed);
}

#[cold]
fn give_back_all(heap: &Heap) {
    FORKING.store(null_mut(), Ordering::Relaxed);
    heap.after_fork_in_parent();
    release_streams();
}

/// In the child, when its only thread is in no slow path: does what the handler had to leave. If another fork interrupts this,
/// the child of that fork begins again.
#[cold]
fn recover() {
    RECOVERING.store(null_mut(), Ordering::Relaxed);
    if let Some((heap, _pause)) = enter() {
        // SAFETY: the child's handler ran, and this is still the child's only thread.
        unsafe { heap.recover_in_child(own_cache()) };
        scavenger_state::renew_in_child();
    }
}

#[cfg(serves_c)]
fn hold_streams() {
    if sys::stream::hold_list() {
        HOLDS_STREAMS.store(sys::fork::process_id(), Ordering::Relaxed);
    }
}

/// Undoes [`hold_streams`]. By now the C library has left the lock as it was, or it has freed the lock in the child.
#[cfg(serves_c)]
fn release_streams() {
    let holder = HOLDS_STREAMS.load(Ordering::Relaxed);
    if holder == 0 {
        return;
    }
    HOLDS_STREAMS.store(0, Ordering::Relaxed);
    // SAFETY: the list's lock is held since `hold_streams`, and only its holder writes the word. In a child (another library's
    // handler may come here before ours runs) this is the only thread.
    unsafe { if holder == sys::fork::process_id() { sys::stream::release_list() } else { sys::stream::reset_list() } }
}

/// Undoes [`hold_streams`] in the child. The C library may not have freed the lock: if the program started its first thread in a
/// fork handler, the C library's fork took no lock and frees none.
#[cfg(serves_c)]
fn reset_streams() {
    if HOLDS_STREAMS.swap(0, Ordering::Relaxed) != 0 {
        // SAFETY: this is a fork handler in the child, and the child's only thread.
        unsafe { sys::stream::reset_list() };
    }
}

#[cfg(not(serves_c))]
fn hold_streams() {}

#[cfg(not(serves_c))]
fn release_streams() {}

#[cfg(not(serves_c))]
fn reset_streams() {}

/// Before a fork: takes all locks.
unsafe extern "C" fn before() {
    if let Some(heap) = process_heap::heap() {
        let signals = sys::signal::block();
        let process = sys::fork::process_id();
        lock::set_aside();
        hold_all(heap);
        SIGNALS.store(signals, Ordering::Relaxed);
        PROCESS.store(process, Ordering::Relaxed);
        set_forks(true);
    }
}

/// After a fork, in the parent: releases all locks.
unsafe extern "C" fn after_in_parent() {
    if let Some(heap) = process_heap::heap() {
        let signals = SIGNALS.load(Ordering::Relaxed);
        set_forks(false);
        give_back_all(heap);
        lock::take_back();
        sys::signal::restore(signals);
    }
}

/// After a fork, in the child: releases all locks. One thread is left, and no scavenger; a scavenger is started when there is
/// work for it.
unsafe extern "C" fn after_in_child() {
    if let Some(heap) = process_heap::heap() {
        let words = tls::words();
        set_forks(false);
        FORKING.store(null_mut(), Ordering::Relaxed);
        // SAFETY: this is the child's only thread, and `before` ran on it.
        unsafe { heap.after_fork_in_child(words, own_cache()) };
        reset_streams();
        if words.inside.load(Ordering::Relaxed) == 0 {
            recover();
        } else {
            RECOVERING.store(from_ref(words).cast_mut(), Ordering::Relaxed);
        }
        lock::take_back();
        sys::signal::restore(SIGNALS.load(Ordering::Relaxed));
    }
}
