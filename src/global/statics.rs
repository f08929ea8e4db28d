//! The only statics: the process's heap, the cache of threads that have none, and what is set up once.
//!
//! Locks: the heap's; initialisation spins (`spin::Once`) for the few system calls that it takes.
//!
//! Orderings: the inline scavenger is put back with Release and taken with Acquire, so its next user sees its state; the
//! rest is Relaxed: flags that guard nothing but themselves.

use core::ptr::{NonNull, null_mut};

use spin::Once;

use crate::config::Config;
use crate::heap::Heap;
use crate::magazine::Magazine;
use crate::scavenger::Scavenger;
#[cfg(serves_c)]
use crate::span_map::Near;
use crate::span_map::{self, Regions};
use crate::sync::plain::AtomicU32;
use crate::sync::plain::{AtomicBool, AtomicPtr, AtomicU64, Ordering};
use crate::sys;
use crate::sys::thread::ExitKey;
use crate::thread_cache::{CacheSlot, ThreadCache};

/// The block under the tops of [`SENTINEL_CACHE`]. Never written.
pub static SENTINEL: Magazine = Magazine::null();
/// What threads without a cache follow: empty and full at once. Never written.
pub static SENTINEL_CACHE: ThreadCache = ThreadCache::new(SENTINEL.last());

/// The span map's table. Here and not in the heap, so that a free by address finds it without a load or a test.
static REGIONS: Regions = span_map::no_regions();
#[cfg(serves_c)]
static NEAR: Near = Near::new();
static HEAP: Heap = Heap::new();
static READY: Once<()> = Once::new();
static CONFIG: Once<Config> = Once::new();
static EXIT_KEY: Once<Option<ExitKey>> = Once::new();
/// Whether a thread has taken it upon itself to set the fork handlers.
static FORK_HANDLERS: AtomicBool = AtomicBool::new(false);
/// The words of the thread that is between the fork handlers and holds every lock; null otherwise. Written under all locks.
pub static FORKING: AtomicPtr<CacheSlot> = AtomicPtr::new(null_mut());
/// Which signals that thread had blocked. Written under all locks.
pub static FORK_SIGNALS: AtomicU64 = AtomicU64::new(0);
/// Which process it is in: the child of its fork has another number. Written under all locks.
pub static FORK_PROCESS: AtomicU32 = AtomicU32::new(0);
/// In the child of a fork that interrupted a slow path: the words of its thread, which has work to do when it has left that;
/// null otherwise.
pub static UNSETTLED: AtomicPtr<CacheSlot> = AtomicPtr::new(null_mut());
/// The process whose forking thread holds the lock of the C library's list of streams as well; 0: none does. Written under that
/// lock.
#[cfg(serves_c)]
pub static HOLDS_STREAMS: AtomicU32 = AtomicU32::new(0);
/// The scavenger of a process without its thread: null before it is made, [`TAKEN`] while somebody uses it.
static INLINE_SCAVENGER: AtomicPtr<Scavenger> = AtomicPtr::new(null_mut());

/// When its next tick is due.
static INLINE_DEADLINE_NS: AtomicU64 = AtomicU64::new(0);

const TAKEN: *mut Scavenger = core::ptr::without_provenance_mut(1);

/// The heap, initialised. `None` while the OS gives no memory for its tables.
#[inline]
pub fn heap() -> Option<&'static Heap> {
    if READY.is_completed() { Some(&HEAP) } else { initialize() }
}

#[cold]
fn initialize() -> Option<&'static Heap> {
    READY
        .try_call_once(|| {
            #[cfg(serves_c)]
            HEAP.map.attach_near(&NEAR);
            // SAFETY: `Once` runs this on one thread at a time until it succeeds. The table is zero and only the heap's, and the
            // other statics are never written.
            let done = unsafe {
                HEAP.map.attach(NonNull::from(&REGIONS).cast());
                HEAP.initialize(NonNull::from(&SENTINEL_CACHE), SENTINEL.last())
            };
            if !done {
                return Err(());
            }
            HEAP.configure(CONFIG.call_once(read_config));
            Ok(())
        })
        .ok()?;
    Some(&HEAP)
}

/// The class plus 1 of the small span that holds `address`; 0 or `None` for anything else, also before the heap is
/// initialised.
///
/// # Safety
/// As for [`span_map::class_number_at`].
#[cfg(serves_c)]
#[inline(always)]
pub unsafe fn class_number_at(address: usize) -> Option<usize> {
    // SAFETY: the caller's contract.
    unsafe { span_map::class_number_at(&REGIONS, address) }
}

/// The number of the magazine that a free goes onto (`size_class::push_number`), where one load tells; `None` far from where
/// the heap began, where [`class_number_at`] may still know.
///
/// # Safety
/// As for [`span_map::class_number_at`].
#[cfg(serves_c)]
#[inline(always)]
pub unsafe fn push_number_near(address: usize) -> Option<usize> {
    // SAFETY: the caller's contract.
    unsafe { NEAR.push_number_at(address) }
}

/// The settings. Read at the first allocation, before any code of the program could change the environment.
pub fn config() -> Config {
    CONFIG.get().copied().unwrap_or(Config::DEFAULT)
}

fn read_config() -> Config {
    let mut config = Config::DEFAULT;
    // SAFETY: first allocation of the process (see `config`).
    unsafe {
        sys::env::each(|name, value| {
            if let Err(error) = config.apply(name, value) {
                sys::message::write_line(format_args!("{error}"));
            }
        });
    }
    config
}

/// Sets the fork handlers once. The C library may allocate for them, so this is called outside initialisation, and a call
/// from within returns at once.
pub fn set_fork_handlers() {
    if !FORK_HANDLERS.load(Ordering::Relaxed) && !FORK_HANDLERS.swap(true, Ordering::Relaxed) {
        sys::fork::at_fork(super::fork::before, super::fork::after_in_parent, super::fork::after_in_child);
    }
}

/// The key that notices threads' exits, made now if there is none yet (the C library does not allocate for that). `None`
/// where it has no key left.
pub fn exit_key() -> Option<ExitKey> {
    *EXIT_KEY.call_once(|| sys::thread::exit_key_create(super::exit::at_thread_exit))
}

/// The scavenger of a process without its thread: taken, so nobody else has it; null inside where it is still to be made.
/// `None` while somebody uses it.
pub fn take_inline_scavenger() -> Option<*mut Scavenger> {
    let scavenger = INLINE_SCAVENGER.swap(TAKEN, Ordering::Acquire);
    (scavenger != TAKEN).then_some(scavenger)
}

/// Puts the scavenger back for the next caller; null where it could not be made.
pub fn put_inline_scavenger(scavenger: *mut Scavenger) {
    INLINE_SCAVENGER.store(scavenger, Ordering::Release);
}

/// Before this time nothing is to be done inline.
pub fn inline_deadline_ns() -> u64 {
    INLINE_DEADLINE_NS.load(Ordering::Relaxed)
}

/// See [`inline_deadline_ns`].
pub fn set_inline_deadline_ns(ns: u64) {
    INLINE_DEADLINE_NS.store(ns, Ordering::Relaxed);
}

/// In the child of a fork: one that somebody used does not come back, and one that nobody used knows the parent's past.
pub fn drop_inline_scavenger() {
    let scavenger = take_inline_scavenger().unwrap_or(null_mut());
    if !scavenger.is_null() {
        // SAFETY: taken, so nobody else's; a scavenger has nothing to drop.
        unsafe { scavenger.write(Scavenger::new(config())) };
    }
    put_inline_scavenger(scavenger);
    set_inline_deadline_ns(0);
}
