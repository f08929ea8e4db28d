//! What happens at a fork, and how a thread that forks may go on allocating meanwhile.
//!
//! The handlers hold every lock of the heap while the process is copied. Other libraries have handlers too, and those may
//! allocate: they run between ours if they were registered earlier, as a library's are that registers them before the
//! first allocation. Such an operation would wait for the locks that its own thread holds. So every slow path asks whether
//! its thread is between the handlers (one load), and if so gives the locks back for as long as it works.
//!
//! Where C's streams use this heap, the lock of their list comes first: other threads allocate and free under it, and fork
//! takes it after the handlers (see `sys::stream`). A Rust program's streams have the C library's own heap.
//!
//! **A signal handler may fork** whatever it interrupted, a slow path or another fork, though it may not allocate. Signals are
//! kept away between the handlers, so that no fork is interrupted half-way. A thread counts the slow paths that it is in;
//! the child of one that was in any does what needs true books when that thread has left the last (`heap::fork`).
//!
//! Orderings: Relaxed. `FORKING` and `RECOVERING` are compared with the reader's own address: a thread sees its own stores, and
//! whatever else it reads is not its address. The count is the thread's own; fences keep the compiler from moving it.
//!
//! Locks: all of the heap's.

use core::ptr::{from_ref, null_mut};

use crate::caches::{ThreadCache, ThreadWords};
use crate::heap::Heap;
use crate::lock;
use crate::sync::plain::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, Ordering};
use crate::sync::signal_fence;
use crate::sys;

use super::{inline_scavenger, process_heap, tls};

/// Whether a thread has taken it upon itself to set the fork handlers.
static HANDLERS: AtomicBool = AtomicBool::new(false);
/// The words of the thread that is between the fork handlers and holds every lock; null otherwise. Written under all locks.
static FORKING: AtomicPtr<ThreadWords> = AtomicPtr::new(null_mut());
/// Which signals that thread had blocked. Written under all locks.
static SIGNALS: AtomicU64 = AtomicU64::new(0);
/// Which process it is in: the child of its fork has another number. Written under all locks.
static PROCESS: AtomicU32 = AtomicU32::new(0);
/// In the child of a fork that interrupted a slow path: the words of its thread, which has work to do when it has left that slow
/// path; null otherwise.
static RECOVERING: AtomicPtr<ThreadWords> = AtomicPtr::new(null_mut());
/// The process whose forking thread holds the lock of the C library's list of streams as well; 0: none does. Written under that
/// lock.
#[cfg(serves_c)]
static HOLDS_STREAMS: AtomicU32 = AtomicU32::new(0);

/// The heap, for one operation outside every lock. While the pause lives, the thread holds none of the heap's locks, even
/// if it is about to fork, and counts as in a slow path.
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
    // Another thread's whole fork may fit into the pause.
    let signals = SIGNALS.load(Ordering::Relaxed);
    // In the child this form serves too: nobody is there to be woken.
    give_back_all(heap);
    if PROCESS.load(Ordering::Relaxed) != sys::fork::process_id() {
        if let Some(own) = own_cache() {
            // Another library's handler comes before ours: the operation would wait for a drainer who does not exist here.
            // SAFETY: the child's only thread, and its cache.
            unsafe { own.forget_drainer(words) };
        }
    }
    Some((heap, Pause { again: Some((heap, signals)) }))
}

/// See [`enter`].
pub struct Pause {
    /// What to lock again, and the thread's signals before its fork.
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
        // Not before the store: a fork that comes earlier than that leaves its child's work to this look.
        if inside == 0 && core::ptr::eq(RECOVERING.load(Ordering::Relaxed), words) {
            recover();
        }
        if let Some((heap, signals)) = self.again {
            hold_all(heap);
            SIGNALS.store(signals, Ordering::Relaxed);
        }
    }
}

/// Whether the calling thread has yet to make a child's books true, once it leaves its last slow path: until then it must stay
/// the child's only thread.
pub fn is_recovering() -> bool {
    core::ptr::eq(RECOVERING.load(Ordering::Relaxed), tls::words())
}

/// The calling thread's cache, if it has one.
fn own_cache<'a>() -> Option<&'a ThreadCache> {
    // SAFETY: the thread's own words.
    unsafe { tls::words().cache() }
}

/// Sets the fork handlers once. The C library may allocate for them, so this is called outside initialisation, and a call
/// from within returns at once.
pub fn set_handlers() {
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
            // Its owner may want what this thread has, the streams' lock too.
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

/// In the child, where its only thread is in no slow path: what is left to do. A fork that interrupts it has a child that
/// begins again.
#[cold]
fn recover() {
    RECOVERING.store(null_mut(), Ordering::Relaxed);
    if let Some((heap, _pause)) = enter() {
        // SAFETY: the child's handler ran, and left this to the one thread that there was.
        unsafe { heap.recover_in_child(own_cache()) };
        inline_scavenger::renew_in_child();
    }
}

#[cfg(serves_c)]
fn hold_streams() {
    if sys::stream::hold_list() {
        HOLDS_STREAMS.store(sys::fork::process_id(), Ordering::Relaxed);
    }
}

/// Undoes [`hold_streams`]. The C library has left the lock as it found it by now, or, in a child, freed it.
#[cfg(serves_c)]
fn release_streams() {
    let holder = HOLDS_STREAMS.load(Ordering::Relaxed);
    if holder == 0 {
        return;
    }
    HOLDS_STREAMS.store(0, Ordering::Relaxed);
    // SAFETY: held since `hold_streams`: while somebody holds it, nobody else writes the word. In a child, where another
    // library's handler brings a thread here before ours runs, it is the only thread's.
    unsafe { if holder == sys::fork::process_id() { sys::stream::release_list() } else { sys::stream::reset_list() } }
}

/// The same in the child. A program that started its first thread in a handler has a fork that took no lock, so that the
/// C library has freed none.
#[cfg(serves_c)]
fn reset_streams() {
    if HOLDS_STREAMS.swap(0, Ordering::Relaxed) != 0 {
        // SAFETY: a fork handler, in the child: its only thread.
        unsafe { sys::stream::reset_list() };
    }
}

#[cfg(not(serves_c))]
fn hold_streams() {}

#[cfg(not(serves_c))]
fn release_streams() {}

#[cfg(not(serves_c))]
fn reset_streams() {}

/// Before a fork: holds all locks.
unsafe extern "C" fn before() {
    if let Some(heap) = process_heap::heap() {
        let signals = sys::signal::block();
        let process = sys::fork::process_id();
        lock::set_aside();
        hold_all(heap);
        SIGNALS.store(signals, Ordering::Relaxed);
        PROCESS.store(process, Ordering::Relaxed);
    }
}

/// After a fork, in the parent.
unsafe extern "C" fn after_in_parent() {
    if let Some(heap) = process_heap::heap() {
        let signals = SIGNALS.load(Ordering::Relaxed);
        give_back_all(heap);
        lock::take_back();
        sys::signal::restore(signals);
    }
}

/// After a fork, in the child: one thread is left, and no scavenger. One is started again when it is needed.
unsafe extern "C" fn after_in_child() {
    if let Some(heap) = process_heap::heap() {
        let words = tls::words();
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
