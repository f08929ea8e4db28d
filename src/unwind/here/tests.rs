//! Real stacks of this process: ordinary ones, other threads', in signal handlers on stacks of their own, and nearly used up.

use super::*;
use crate::unwind::cache::tests::empty;
use std::hint::black_box;
use std::sync::atomic::{AtomicUsize, Ordering};

fn walk_here(cache: &Cache) -> (Walked, Vec<usize>) {
    let mut frames = [0; 128];
    let mut stack = Stack { frames: &mut frames, len: 0 };
    let walked = capture(Finder::new().unwrap(), cache, &mut Bounds::new(), &mut stack);
    let len = stack.len;
    (walked, frames[..len].to_vec())
}

/// A frame of its own at every level.
#[inline(never)]
fn nested(level: usize, cache: &Cache) -> (Walked, Vec<usize>) {
    let result = if level == 0 { walk_here(cache) } else { nested(level - 1, cache) };
    black_box(result)
}

#[test]
fn a_walk_reaches_the_threads_start() {
    let cache = empty();
    // The second time by the cache alone.
    for _ in 0..2 {
        let (walked, frames) = nested(5, &cache);
        assert_eq!(walked, Walked::ToTheStart, "{frames:x?}");
        let in_nested = frames.windows(2).filter(|pair| pair[0] == pair[1]).count();
        assert!((3..=5).contains(&in_nested), "{in_nested} of {frames:x?}");
    }
}

/// The walk and the C library's own unwinder name the same frames.
#[test]
fn it_finds_what_the_c_librarys_unwinder_finds() {
    unsafe extern "C" {
        fn backtrace(buffer: *mut usize, size: i32) -> i32;
    }
    #[inline(never)]
    fn both(cache: &Cache) -> (Vec<usize>, Vec<usize>) {
        let (_, ours) = walk_here(cache);
        let mut theirs = [0; 128];
        // SAFETY: room for that many addresses.
        let count = unsafe { backtrace(theirs.as_mut_ptr(), 128) };
        (ours, theirs[..count as usize].to_vec())
    }
    let (mut ours, mut theirs) = both(&empty());
    // Both begin in `both`, at different calls; the C library adds what it finds beyond the thread's start.
    let caller = theirs[1];
    ours.drain(..ours.iter().position(|frame| *frame == caller).expect("a common frame"));
    theirs.remove(0);
    theirs.truncate(ours.len());
    assert_eq!(ours, theirs);
}

#[test]
fn a_stack_deeper_than_its_record_is_cut() {
    let (walked, frames) = nested(200, &empty());
    assert_eq!((walked, frames.len()), (Walked::NoRoom, 128));
}

static CROSSED: AtomicUsize = AtomicUsize::new(0);

extern "C" fn on_signal(_signal: i32) {
    let cache = empty();
    let (walked, frames) = walk_here(&cache);
    let here = on_signal as extern "C" fn(i32) as usize;
    let named = |frame: &usize| {
        let mut found = std::mem::MaybeUninit::<libc::Dl_info>::zeroed();
        // SAFETY: asks the loader about an address.
        unsafe { libc::dladdr((*frame - 1) as *const _, found.as_mut_ptr()) != 0 }
    };
    let all_named = frames.iter().all(named);
    let calls_here = (here..here + 4096).contains(frames.first().unwrap_or(&0));
    CROSSED.store(
        if walked == Walked::ToTheStart && all_named && calls_here { frames.len() } else { 1 },
        Ordering::Relaxed,
    );
}

/// Both on the thread's own stack and on one for signals: the walk goes on in the interrupted function.
#[test]
fn a_walk_crosses_signals() {
    for flags in [0, libc::SA_ONSTACK] {
        CROSSED.store(0, Ordering::Relaxed);
        let mut memory = vec![0_u8; 256 << 10];
        // SAFETY: the handler is a function of the right type; the stack is live as long as signals come; the raise is this
        // thread's own.
        unsafe {
            let stack = libc::stack_t { ss_sp: memory.as_mut_ptr().cast(), ss_flags: 0, ss_size: memory.len() };
            assert_eq!(libc::sigaltstack(&raw const stack, std::ptr::null_mut()), 0);
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = on_signal as extern "C" fn(i32) as usize;
            action.sa_flags = flags;
            assert_eq!(libc::sigaction(libc::SIGUSR2, &raw const action, std::ptr::null_mut()), 0);
            libc::raise(libc::SIGUSR2);
            let none = libc::stack_t { ss_flags: libc::SS_DISABLE, ..stack };
            libc::sigaltstack(&raw const none, std::ptr::null_mut());
        }
        assert!(CROSSED.load(Ordering::Relaxed) > 5, "flags {flags:x}");
    }
}

/// A thread that uses its stack up to the last pages: walks end without a step outside.
#[test]
fn a_walk_near_the_end_of_a_stack_gives_up() {
    #[inline(never)]
    fn down(lowest: usize, cache: &Cache, lost: &mut usize) {
        let mut frames = [0; 8];
        let mut stack = Stack { frames: &mut frames, len: 0 };
        let walked = capture(Finder::new().unwrap(), cache, &mut Bounds::new(), &mut stack);
        let place = (&raw const frames).addr();
        *lost += usize::from(walked == Walked::Lost);
        if place - lowest > 5 << 10 {
            down(lowest, cache, lost);
        }
        black_box(&mut frames);
    }
    let cache = empty();
    let lost = std::thread::Builder::new()
        .stack_size(64 << 10)
        .spawn(move || {
            let local = 0;
            let mapping = sys::mapping::around((&raw const local).addr()).unwrap();
            let mut lost = 0;
            down(mapping.start, &cache, &mut lost);
            lost
        })
        .unwrap()
        .join()
        .unwrap();
    assert!(lost > 0);
}

/// Words that look like frames but are not: whatever a stack holds, a walk ends.
#[test]
fn a_walk_through_garbage_ends() {
    let cache = empty();
    let finder = Finder::new().unwrap();
    let code = walk_here as fn(&Cache) -> _ as usize;
    let mut words = [0_usize; 1024];
    let mut state = 1_u64;
    for round in 0..20_000 {
        for word in &mut words {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let random = (state >> 20) as usize;
            *word = if random % 2 == 0 { code + random % 100_000 } else { random };
        }
        let start = words.as_ptr().addr();
        words[round % 1024] = start + round % 8192;
        let here = Registers { pc: code + round % 50_000, stack: start, frame: start + 64, ret: 0 };
        let mut frames = [0; 128];
        let mut stack = Stack { frames: &mut frames, len: 0 };
        let mut bounds = Bounds::new();
        let mut memory = Readable { bounds: &mut bounds, range: start..start + size_of_val(&words) };
        walk(here, &mut stack, |pc| cache.get(pc).unwrap_or_else(|| rule_at(finder, pc)), &mut memory);
    }
}
