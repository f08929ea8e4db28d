//! Fault injection and a log of system calls, for tests.
//!
//! Both belong to the calling thread, so tests can run side by side. Under loom they belong to the running model with
//! all its threads. Normal builds have neither: the queries below are constants.
//!
//! Locks: none.

/// An operation that can be made to fail, or is counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(usize)]
pub enum Op {
    /// `reserve` or `map_metadata`.
    Map,
    /// `back_in_growth`.
    Back,
    /// `release`, or one range of `release_many` that took a call of its own.
    Release,
    /// A batch of `release_many` that took one call. It cannot fail: an armed [`Op::Release`] turns batches off.
    ReleaseMany,
    /// `spawn_detached`.
    Spawn,
    /// `move_pages`.
    Move,
    /// `cold`, which is only counted.
    Cold,
}

#[cfg(any(test, feature = "internals", loom))]
pub use injected::{Log, fail_from, fail_nth, log, reset};

#[cfg(any(test, feature = "internals", loom))]
mod injected {
    use super::Op;
    use core::cell::Cell;
    use core::ops::Range;

    const OPS: usize = Op::Cold as usize + 1;

    /// The calls of one operation.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct Log {
        /// The number of calls that reached the kernel.
        pub calls: u64,
        /// The sum of their sizes.
        pub bytes: u64,
    }

    struct State {
        /// The calls of an operation since it was armed.
        seen: [Cell<u64>; OPS],
        /// The range of calls that fail, as first and end.
        failing: [Cell<(u64, u64)>; OPS],
        logs: [Cell<Log>; OPS],
    }

    impl State {
        const fn new() -> Self {
            Self {
                seen: [const { Cell::new(0) }; OPS],
                failing: [const { Cell::new((0, 0)) }; OPS],
                logs: [const { Cell::new(Log { calls: 0, bytes: 0 }) }; OPS],
            }
        }
    }

    // The threads of a loom model are coroutines of one thread, so they share this state.
    std::thread_local! {
        static STATE: State = const { State::new() };
    }

    fn arm(op: Op, calls: Range<u64>) {
        STATE.with(|state| {
            state.seen[op as usize].set(0);
            state.failing[op as usize].set((calls.start, calls.end));
        });
    }

    /// Makes the `n`-th call from now (0: the next) fail, once.
    pub fn fail_nth(op: Op, n: u64) {
        arm(op, n..n.saturating_add(1));
    }

    /// Makes the `n`-th call from now (0: the next) and all after it fail.
    pub fn fail_from(op: Op, n: u64) {
        arm(op, n..u64::MAX);
    }

    /// Nothing fails any more, and the log is empty.
    pub fn reset() {
        STATE.with(|state| {
            state.failing.iter().for_each(|range| range.set((0, 0)));
            state.logs.iter().for_each(|log| log.set(Log::default()));
        });
    }

    /// The calls of an operation since the last [`reset`].
    pub fn log(op: Op) -> Log {
        STATE.with(|state| state.logs[op as usize].get())
    }

    #[cfg(not(loom))]
    pub(super) fn armed(op: Op) -> bool {
        STATE.with(|state| state.seen[op as usize].get() < state.failing[op as usize].get().1)
    }

    pub(super) fn fails(op: Op) -> bool {
        STATE.with(|state| {
            let call = state.seen[op as usize].get();
            state.seen[op as usize].set(call.saturating_add(1));
            let (start, end) = state.failing[op as usize].get();
            (start..end).contains(&call)
        })
    }

    pub(super) fn record(op: Op, bytes: usize) {
        STATE.with(|state| {
            let log = state.logs[op as usize].get();
            state.logs[op as usize].set(Log { calls: log.calls + 1, bytes: log.bytes + bytes as u64 });
        });
    }
}

/// Whether this call must fail.
#[inline]
pub(super) fn fails(op: Op) -> bool {
    #[cfg(any(test, feature = "internals", loom))]
    return injected::fails(op);
    #[cfg(not(any(test, feature = "internals", loom)))]
    {
        let _ = op;
        false
    }
}

/// Whether a later call of the operation is going to fail.
#[cfg(not(loom))]
#[inline]
pub(super) fn armed(op: Op) -> bool {
    #[cfg(any(test, feature = "internals"))]
    return injected::armed(op);
    #[cfg(not(any(test, feature = "internals")))]
    {
        let _ = op;
        false
    }
}

/// Logs a call that reaches the kernel.
#[inline]
pub(super) fn record(op: Op, bytes: usize) {
    #[cfg(any(test, feature = "internals", loom))]
    injected::record(op, bytes);
    #[cfg(not(any(test, feature = "internals", loom)))]
    let _ = (op, bytes);
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_nth_call_fails_once() {
        fail_nth(Op::Map, 2);
        let seen: Vec<bool> = (0..5).map(|_| fails(Op::Map)).collect();
        assert_eq!(seen, [false, false, true, false, false]);
        assert!(!armed(Op::Map) && !fails(Op::Back));
    }

    #[test]
    fn all_calls_from_the_nth_fail_until_reset() {
        fail_from(Op::Back, 1);
        let seen: Vec<bool> = (0..4).map(|_| fails(Op::Back)).collect();
        assert_eq!(seen, [false, true, true, true]);
        reset();
        assert!(!fails(Op::Back) && !armed(Op::Back));
    }

    #[test]
    fn the_log_adds_up_and_knows_its_thread_only() {
        record(Op::Release, 10);
        record(Op::Release, 20);
        std::thread::spawn(|| record(Op::Release, 40)).join().unwrap();
        assert_eq!(log(Op::Release), Log { calls: 2, bytes: 30 });
        reset();
        assert_eq!(log(Op::Release), Log::default());
    }
}
