//! Threads of our own, functions at the exit of any thread, and counts and times of processors.
//!
//! Locks: none may be held, except in `has_several_cpus`, which a contended lock asks once, and in `identity`.

use super::errno::Saved;
use super::fault::{self, Op};
use super::file::read_small;
use super::held::assert_none_held;
use super::time;
use core::ffi::{CStr, c_int, c_void};
use core::mem::MaybeUninit;
use core::ptr;
use once_cell::race::OnceBool;

/// The code of a thread of ours.
///
/// A trait instead of a function pointer: a new thread gets one word, which is the argument. Its name and code come
/// with the type, so nothing has to be stored while the thread starts.
pub trait Body {
    /// The thread's name: at most 15 bytes.
    const NAME: &'static CStr;

    /// Runs on the new thread. It must not unwind.
    ///
    /// # Safety
    /// `argument` is the argument of [`spawn_detached`].
    unsafe fn run(argument: *mut c_void);
}

/// What the C library keeps free in a thread's static storage for libraries that are opened later, and its record of the
/// thread, with room to spare. A setting of its own (`GLIBC_TUNABLES`) can make the first larger.
const RESERVE_BYTES: usize = 64 << 10;
/// A stack with room for any thread-local storage: the usual size for threads.
pub const LARGE_STACK_BYTES: usize = 8 << 20;

/// Starts a detached thread with all signals blocked, so the program's handlers never run on it. Only the C library's
/// internal signals stay open, because `setuid` needs them. The thread may use `stack_bytes` of stack. `false` when no thread
/// can be started.
///
/// # Safety
/// `argument` is valid for [`Body::run`] on another thread, as long as the function runs.
pub unsafe fn spawn_detached<B: Body>(argument: *mut c_void, stack_bytes: usize) -> bool {
    assert_none_held("pthread_create");
    if fault::fails(Op::Spawn) {
        return false;
    }
    fault::record(Op::Spawn, 0);
    let mut all = MaybeUninit::<libc::sigset_t>::uninit();
    let mut before = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: the set is written before it is read.
    let blocked = unsafe {
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr()) == 0
    };
    if !blocked {
        return false;
    }
    let size = with_storage(stack_bytes.max(libc::PTHREAD_STACK_MIN));
    // Refused where the C library takes more out of the stack than was reckoned with. The default size is no choice: the C
    // library looks it up under a lock, and allocates under the same lock.
    // SAFETY: the caller's contract.
    let started = unsafe { create::<B>(argument, size) || create::<B>(argument, size + LARGE_STACK_BYTES) };
    // SAFETY: the call that blocked the signals has filled the set.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), ptr::null_mut()) };
    started
}

/// The size of a stack with `bytes` to use: glibc takes a thread's static storage and the guard out of the stack. glibc has a
/// function that knows how much that is. It is no public one, to look it up takes a lock under which constructors run, and a
/// thread that allocates may hold what a constructor waits for. So the storage is what the loaded libraries ask for; the
/// lock behind that list is held for moments only.
fn with_storage(bytes: usize) -> usize {
    let mut storage = 0_usize;
    // SAFETY: the function takes what it is given here, and does not unwind.
    unsafe { libc::dl_iterate_phdr(Some(add_storage), (&raw mut storage).cast()) };
    let page = super::page::os_page_bytes();
    bytes.saturating_add(storage).saturating_add(RESERVE_BYTES + page).next_multiple_of(page)
}

/// Adds a library's thread-local storage to the number behind `sum`.
unsafe extern "C" fn add_storage(library: *mut libc::dl_phdr_info, _bytes: usize, sum: *mut c_void) -> c_int {
    // SAFETY: the C library passes a record with that many headers, which stay for the call; `sum` is the caller's number.
    unsafe {
        let headers = (*library).dlpi_phdr;
        for at in 0..(*library).dlpi_phnum as usize {
            let header = headers.add(at).read();
            if header.p_type == libc::PT_TLS {
                let sum = &mut *sum.cast::<usize>();
                *sum = sum.saturating_add(header.p_memsz as usize).saturating_add(header.p_align as usize);
            }
        }
    }
    0
}

/// # Safety
/// As for [`spawn_detached`].
unsafe fn create<B: Body>(argument: *mut c_void, stack_bytes: usize) -> bool {
    let mut attributes = MaybeUninit::<libc::pthread_attr_t>::uninit();
    let attributes = attributes.as_mut_ptr();
    let mut thread = MaybeUninit::<libc::pthread_t>::uninit();
    // SAFETY:
    // - the attributes are initialised before their use and destroyed once, after it;
    // - the start function has the right type, and its argument is valid (the caller's contract).
    unsafe {
        if libc::pthread_attr_init(attributes) != 0 {
            return false;
        }
        let created = libc::pthread_attr_setdetachstate(attributes, libc::PTHREAD_CREATE_DETACHED) == 0
            && libc::pthread_attr_setstacksize(attributes, stack_bytes) == 0
            && libc::pthread_create(thread.as_mut_ptr(), attributes, start::<B>, argument) == 0;
        libc::pthread_attr_destroy(attributes);
        created
    }
}

/// The first function of our threads.
extern "C" fn start<B: Body>(argument: *mut c_void) -> *mut c_void {
    // SAFETY: the name is a C string. The call refuses a name that is too long.
    unsafe { libc::pthread_setname_np(libc::pthread_self(), B::NAME.as_ptr()) };
    // SAFETY: this is the argument of `spawn_detached`, which is valid (its caller's contract).
    unsafe { B::run(argument) };
    ptr::null_mut()
}

/// A key with a value in each thread. A thread that exits passes its value to the function of the key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ExitKey(libc::pthread_key_t);

/// Creates a key. `at_exit` runs at the exit of each thread whose value is not null. `None` when the C library has no
/// key left. An early call gets one of the first 32 keys, whose values are stored without allocation.
pub fn exit_key_create(at_exit: unsafe extern "C" fn(*mut c_void)) -> Option<ExitKey> {
    assert_none_held("pthread_key_create");
    let mut key = MaybeUninit::uninit();
    // SAFETY: the key is written if the call succeeds, and only then read.
    unsafe { (libc::pthread_key_create(key.as_mut_ptr(), Some(at_exit)) == 0).then(|| ExitKey(key.assume_init())) }
}

/// Sets this thread's value. With null nothing happens at the thread's exit. `false` when the C library is out of
/// memory. If `at_exit` sets a value again, it is called again, in up to four rounds.
///
/// # Safety
/// `value` is null, or valid for the key's `at_exit` until this thread has exited.
pub unsafe fn exit_key_set(key: ExitKey, value: *mut c_void) -> bool {
    assert_none_held("pthread_setspecific");
    // SAFETY: the key came from `exit_key_create` and is never deleted; the value is valid for it (the caller's
    // contract).
    unsafe { libc::pthread_setspecific(key.0, value) == 0 }
}

/// Whether the calling thread has run its exit functions, so that only the C library's last steps remain. In these
/// steps glibc frees memory. From 2.34 on glibc first blocks every signal, its internal signals too, which a program
/// cannot block through its functions. Other C libraries free nothing there.
#[cfg(serves_c)]
pub fn has_ended() -> bool {
    assert_none_held("rt_sigprocmask");
    if !cfg!(target_env = "gnu") {
        return false;
    }
    // SIGKILL and SIGSTOP cannot be blocked; the signal of `setuid` may be open.
    const OPEN: u64 = 1 << (libc::SIGKILL - 1) | 1 << (libc::SIGSTOP - 1) | 1 << (33 - 1);
    let mut mask = 0_u64;
    let _saved = Saved::new();
    // SAFETY: the call changes no mask. The kernel writes the present mask, which has 8 bytes on all our architectures.
    let read = unsafe {
        libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_BLOCK, ptr::null::<u64>(), &raw mut mask, size_of_val(&mask))
    };
    read == 0 && mask | OPEN == u64::MAX
}

/// Sleeps, or returns earlier when a signal comes.
pub fn sleep(ns: u64) {
    assert_none_held("nanosleep");
    let time = libc::timespec { tv_sec: (ns / 1_000_000_000) as _, tv_nsec: (ns % 1_000_000_000) as _ };
    let _saved = Saved::new();
    // The raw call is no cancellation point.
    // SAFETY: the time is live, and nothing is written.
    unsafe { libc::syscall(libc::SYS_nanosleep, &raw const time, ptr::null_mut::<libc::timespec>()) };
}

/// Whether the calling thread is the last of the process: the main thread has left, and all others have ended. `false` where
/// the kernel does not say.
pub fn is_last() -> bool {
    let mut buffer = [0; 512];
    let len = read_small(c"/proc/self/stat", &mut buffer).unwrap_or(0);
    is_left_by_all_but_one(&buffer[..len])
}

/// Whether a process's line of figures says that its main thread is a zombie, and that there is one other.
fn is_left_by_all_but_one(line: &[u8]) -> bool {
    // The name, which may hold anything, ends at the last parenthesis.
    let Some(end) = line.iter().rposition(|byte| *byte == b')') else { return false };
    let mut words = line[end + 1..].split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    // The number of threads, a zombie included, comes 17 words after the state.
    words.next() == Some(b"Z") && words.nth(16) == Some(b"2")
}

/// The processor time of the calling thread.
pub fn thread_cpu_time_ns() -> u64 {
    assert_none_held("clock_gettime");
    time::read(libc::CLOCK_THREAD_CPUTIME_ID)
}

/// The processor time of the whole process.
pub fn process_cpu_time_ns() -> u64 {
    assert_none_held("clock_gettime");
    time::read(libc::CLOCK_PROCESS_CPUTIME_ID)
}

/// The number of processors that the calling thread may run on, at least 1.
pub fn cpus_available() -> usize {
    assert_none_held("sched_getaffinity");
    count_cpus()
}

/// The kernel's number of the calling thread.
pub fn gettid() -> i32 {
    assert_none_held("gettid");
    // SAFETY: the call has no preconditions.
    unsafe { libc::syscall(libc::SYS_gettid) as i32 }
}

/// A number that no other living thread has: a multiple of 4, never 0. A thread that forks keeps its number in the
/// child. The number is the thread pointer where one instruction reads it.
#[inline(always)]
pub(crate) fn identity() -> usize {
    #[cfg(all(any(target_arch = "x86_64", target_arch = "aarch64"), target_os = "linux"))]
    {
        let pointer: usize;
        // SAFETY: reads the thread pointer at its place by the ABI, and changes nothing.
        unsafe {
            #[cfg(target_arch = "x86_64")]
            core::arch::asm!(
                "mov {0}, qword ptr fs:[0]",
                out(reg) pointer,
                options(nostack, preserves_flags, readonly),
            );
            #[cfg(target_arch = "aarch64")]
            core::arch::asm!("mrs {0}, tpidr_el0", out(reg) pointer, options(nostack, preserves_flags, nomem));
        }
        pointer
    }
    #[cfg(not(all(any(target_arch = "x86_64", target_arch = "aarch64"), target_os = "linux")))]
    {
        std::thread_local! {
            static OWN: u32 = const { 0 };
        }
        OWN.with(|own| core::ptr::from_ref(own).addr())
    }
}

/// Whether spinning can help. The kernel is asked once, possibly under locks.
#[inline]
pub(crate) fn has_several_cpus() -> bool {
    static SEVERAL: OnceBool = OnceBool::new();
    SEVERAL.get_or_init(|| count_cpus() > 1)
}

fn count_cpus() -> usize {
    // Room for 8192 processors, the largest number that Linux is built for. The C library's set ends at 1024.
    let mut set = [0_u64; 128];
    let _saved = Saved::new();
    // SAFETY: the kernel writes at most the size of the set; the raw call returns the number of bytes written.
    let written =
        unsafe { libc::syscall(libc::SYS_sched_getaffinity, 0, size_of_val(&set), set.as_mut_ptr().cast::<c_void>()) };
    if written <= 0 {
        return 1;
    }
    set.iter().map(|word| word.count_ones() as usize).sum::<usize>().max(1)
}

#[cfg(test)]
mod tests;
