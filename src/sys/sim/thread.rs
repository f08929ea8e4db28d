//! Threads, simulated: a model starts its own with loom, so that none can be started here.

use crate::sync::plain::{AtomicUsize, Ordering};
use crate::sys::fault::{self, Op};
use crate::sys::held::assert_none_held;
use core::ffi::{CStr, c_void};

/// What a thread of ours does.
pub trait Body {
    /// The thread's name.
    const NAME: &'static CStr;

    /// Runs on the new thread.
    ///
    /// # Safety
    /// `argument` is what was given to [`spawn_detached`].
    unsafe fn run(argument: *mut c_void);
}

/// Starts nothing and says so: the heap then works as in a program that forbids threads.
///
/// # Safety
/// None; the real one has requirements.
pub unsafe fn spawn_detached<B: Body>(argument: *mut c_void, stack_bytes: usize) -> bool {
    assert_none_held("pthread_create");
    let _ = (argument, stack_bytes, fault::fails(Op::Spawn));
    false
}

/// A key that never fires.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ExitKey(());

/// There is a key; a model calls the exit function itself.
pub fn exit_key_create(at_exit: unsafe extern "C" fn(*mut c_void)) -> Option<ExitKey> {
    assert_none_held("pthread_key_create");
    let _ = at_exit;
    Some(ExitKey(()))
}

/// Does nothing.
///
/// # Safety
/// None; the real one has requirements.
pub unsafe fn exit_key_set(key: ExitKey, value: *mut c_void) -> bool {
    assert_none_held("pthread_setspecific");
    let _ = (key, value);
    true
}

/// Models use no processor time.
pub fn thread_cpu_time_ns() -> u64 {
    assert_none_held("clock_gettime");
    0
}

/// Models use no processor time.
pub fn process_cpu_time_ns() -> u64 {
    assert_none_held("clock_gettime");
    0
}

/// Two.
pub fn cpus_available() -> usize {
    assert_none_held("sched_getaffinity");
    2
}

/// A number that no other thread of the execution has: a multiple of 4, not 0.
pub(crate) fn identity() -> usize {
    OWN.with(|own| *own)
}

loom::lazy_static! {
    static ref THREADS: AtomicUsize = AtomicUsize::new(0);
}

loom::thread_local! {
    static OWN: usize = 4 * (1 + THREADS.fetch_add(1, Ordering::Relaxed));
}

/// One number for all.
pub fn gettid() -> i32 {
    assert_none_held("gettid");
    1
}
