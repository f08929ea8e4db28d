//! fork among other libraries' handlers: registered before ours and after, with locks under which they allocate, and with much
//! to allocate in the child.

mod common;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard};

use common::{MIB, child};

#[global_allocator]
static GLOBAL: neap::Neap = neap::Neap::new();

/// Constructors, as other libraries have them. The first comes before neap's own: that of a shared library that the program
/// needs would.
#[used]
#[unsafe(link_section = ".init_array.00000")]
static BEFORE_OURS: extern "C" fn() = register_before_ours;
#[used]
#[unsafe(link_section = ".init_array")]
static AFTER_OURS: extern "C" fn() = register_after_ours;

static ARMED: AtomicBool = AtomicBool::new(false);
static LOCK: Mutex<()> = Mutex::new(());
static mut HELD: Option<MutexGuard<'static, ()>> = None;

extern "C" fn register_before_ours() {
    // SAFETY: the handler is a function of this program.
    unsafe { libc::pthread_atfork(None, None, Some(burst_in_child)) };
}

extern "C" fn register_after_ours() {
    // SAFETY: the handlers are functions of this program.
    unsafe { libc::pthread_atfork(Some(take_lock), Some(give_lock), Some(give_lock)) };
}

unsafe extern "C" fn burst_in_child() {
    if ARMED.load(Ordering::Relaxed) {
        burst();
    }
}

unsafe extern "C" fn take_lock() {
    // SAFETY: written by the thread that forks, which holds the lock.
    unsafe { HELD = Some(LOCK.lock().unwrap()) };
}

unsafe extern "C" fn give_lock() {
    // SAFETY: as above.
    unsafe { HELD = None };
}

/// So much is allocated and freed that there is work for a scavenger.
fn burst() {
    let blocks: Vec<Box<[u8; 4000]>> = (0..32 * MIB / 4096).map(|_| Box::new([1; 4000])).collect();
    drop(blocks);
}

/// Forks; the child does `work` and leaves.
fn in_fork(work: impl FnOnce() -> bool) {
    // SAFETY: the child's only thread runs on code that needs no other thread.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let code = if work() { 0 } else { 1 };
        // SAFETY: ends the process.
        unsafe { libc::_exit(code) };
    }
    let mut status = 0;
    // SAFETY: the status is written by the call.
    assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
    assert_eq!(status, 0);
}

#[test]
fn a_handler_takes_a_lock_under_which_other_threads_allocate() {
    child!().holds(|| {
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while !stop.load(Ordering::Relaxed) {
                        let _held = LOCK.lock().unwrap();
                        drop((1..200).map(|i| vec![1u8; i * 211 % 40_000]).collect::<Vec<_>>());
                    }
                });
            }
            for _ in 0..50 {
                in_fork(|| {
                    let _held = LOCK.lock().unwrap();
                    vec![1u8; 100_000].len() == 100_000
                });
            }
            stop.store(true, Ordering::Relaxed);
        });
    });
}

#[test]
fn a_handler_before_ours_that_allocates_starts_no_scavenger_in_the_child() {
    child!().holds(|| {
        // The parent has no scavenger: the handler's frees would start one.
        ARMED.store(true, Ordering::Relaxed);
        in_fork(|| {
            let alone = common::threads().len() == 1;
            burst();
            common::wait_until("the child's scavenger", || common::scavenger_thread().is_some());
            alone && common::threads().len() == 2
        });
    });
}
