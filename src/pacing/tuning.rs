//! Every constant of the retention policy, in one place, with the reason for its value.
//!
//! None of them is a user's knob: what a fixed delay cannot serve, the policy learns (see `hold`).
//!
//! Locks: none.

/// One mebibyte, the unit most of these constants are in.
pub const MIB: u64 = 1 << 20;
/// One millisecond.
pub const MS: u64 = 1_000_000;
/// One second.
pub const SECOND: u64 = 1_000 * MS;

/// Length of an epoch, the grain of all windows: fine enough that a hold of 0.6 s means 0.6 s.
pub const EPOCH_NS: u64 = 100 * MS;
/// Epochs kept: 12.8 s, a little more than the longest hold.
pub const EPOCHS: usize = 128;

/// How long a peak is kept in a quiet process: when it is found to be quiet, the peaks before it are over.
pub const QUIET_HOLD_NS: u64 = 600 * MS;
/// How long a peak is kept in a busy process: longer than a period of a load that returns every second.
pub const BUSY_HOLD_NS: u64 = 1_500 * MS;
/// The longest hold that regret can teach.
pub const MAX_HOLD_NS: u64 = 10 * SECOND;

/// Time constant of the decay in a quiet process: 1 GiB is down to 10 MiB after 0.5 s.
pub const QUIET_DECAY_NS: u64 = 100 * MS;
/// Time constant of the decay in a busy process.
pub const BUSY_DECAY_NS: u64 = 400 * MS;
/// A decay releases at least this part of what it started with in each step, so that it ends.
pub const DECAY_LEAST_PART: u64 = 16;

/// What stays beyond the demand whatever happens: enough to serve small changes without a fault.
pub const FLOOR_BYTES: u64 = MIB / 4;
/// What stays beyond the demand in a busy process, as a part of it: a tenth.
pub const BUSY_MARGIN_PART: u64 = 10;
/// The same for holes: a quarter, as free slots among live ones are what a busy heap looks like.
pub const BUSY_HOLE_MARGIN_PART: u64 = 4;
/// Surplus at which a busy process starts to release pages.
pub const BUSY_START_BYTES: u64 = MIB;
/// Surplus at which a busy process starts to release holes, which are dear: many calls for few bytes.
pub const BUSY_HOLE_START_BYTES: u64 = 16 * MIB;
/// The same in a quiet process.
pub const QUIET_HOLE_START_BYTES: u64 = MIB / 4;
/// The smallest release: below it a system call costs more than the memory is worth.
pub const LEAST_RELEASE_BYTES: u64 = 64 << 10;

/// A process is quiet below this part of one CPU (in thousandths), after [`QUIET_AFTER_NS`].
pub const QUIET_MILLI_CPUS: u64 = 100;
/// A process is busy at or above this part of one CPU (in thousandths). In between it stays what it was.
pub const BUSY_MILLI_CPUS: u64 = 200;
/// How long a process has to be still before it is called quiet: longer than any pause of a load that works every
/// second, and early enough for a burst that is over to be given back within two.
pub const QUIET_AFTER_NS: u64 = SECOND;
/// Free memory that stands above the demand of a busy process for between one and two times this long is given back
/// even if huge pages must be split for it.
pub const LASTING_NS: u64 = 3 * SECOND;
/// The least that is worth that.
pub const LASTING_BYTES: u64 = 16 * MIB;
/// CPU shares are judged over at least this long: shorter spans are all noise.
pub const JUDGE_OVER_NS: u64 = 20 * MS;

/// Regret below this many bytes teaches nothing.
pub const LEAST_REGRET_BYTES: u64 = 2 * MIB;
/// Regret below this part of what was released lately teaches nothing: any process takes a few pages again.
pub const LEAST_REGRET_PART: u64 = 8;

/// The scavenger's CPU share in a busy process, in millionths of the CPUs available. With a reserve of
/// [`BUDGET_RESERVE_NS`] of full rate this comes to at most 1 % over any ten seconds.
pub const BUDGET_PPM: u64 = 8_000;
/// How long an unused budget accrues, in time at one per cent.
pub const BUDGET_RESERVE_NS: u64 = 2 * SECOND;
/// Less than this is not worth starting a batch for.
pub const LEAST_BUDGET_NS: u64 = 100_000;
/// CPU a tick may use in a quiet process or under pressure.
pub const FREE_TICK_CPU_NS: u64 = 100 * MS;

/// Sleep between two steps of a decay.
pub const STEP_SLEEP_NS: u64 = 50 * MS;
/// Sleep while memory is held and nothing may be released yet.
pub const HOLD_SLEEP_NS: u64 = 100 * MS;
/// The same in a busy process that has been steady for a while.
pub const STEADY_SLEEP_NS: u64 = 200 * MS;
/// A learnt hold is looked at so many times before it ends: a load that ticks lightly costs few wake-ups.
pub const LOOKS_PER_HOLD: u64 = 8;
/// While memory is held, no sleep is longer.
pub const MAX_HOLD_SLEEP_NS: u64 = 500 * MS;
/// Sleeps before the retries that follow an exhausted search. After the last the scavenger parks.
pub const RETRY_SLEEP_NS: [u64; 2] = [500 * MS, 2 * SECOND];
/// No sleep is longer.
pub const MAX_SLEEP_NS: u64 = 2 * SECOND;

/// Bytes that have to become free before a parked scavenger is woken (or, the first time, started).
pub const WAKE_BYTES: u64 = 4 * MIB;
/// The same for holes, of which every program has some.
pub const HOLE_WAKE_BYTES: u64 = 8 * MIB;
/// The same as [`WAKE_BYTES`] under pressure.
pub const PRESSURE_WAKE_BYTES: u64 = MIB;

/// Pressure starts above `limit - limit / PRESSURE_PART` (95 %).
pub const PRESSURE_PART: u64 = 20;
/// Under pressure `limit / HEADROOM_PART` (3 %, at least 1 MiB) below that line is aimed at.
pub const HEADROOM_PART: u64 = 32;

/// An allocation that made the heap grow releases at most this much inline.
pub const MAX_ASSIST_BYTES: u64 = 16 * MIB;

/// Caches below this many bytes are not worth a trim.
pub const LEAST_TRIM_BYTES: u64 = 64 << 10;
/// Time between two trims of a busy process.
pub const BUSY_TRIM_NS: u64 = 500 * MS;
/// Trims of a quiet process that free nothing before trimming stops: working sets age over two of them.
pub const IDLE_TRIMS: u32 = 3;
/// How long a process is quiet before its idle threads are drained, and the time between two drains.
pub const DRAIN_AFTER_NS: u64 = 300 * MS;
/// Time between two drains.
pub const DRAIN_EVERY_NS: u64 = SECOND;

const _: () = {
    assert!(EPOCH_NS * (EPOCHS as u64 - 2) >= MAX_HOLD_NS);
    assert!(BUSY_HOLD_NS <= MAX_HOLD_NS && QUIET_HOLD_NS < BUSY_HOLD_NS);
    assert!(QUIET_MILLI_CPUS < BUSY_MILLI_CPUS);
    // 0.8 % of ten seconds and the reserve are 1 % of ten seconds.
    assert!(BUDGET_PPM * 10 + 10_000 * BUDGET_RESERVE_NS / SECOND <= 10_000 * 10);
    assert!(RETRY_SLEEP_NS[1] <= MAX_SLEEP_NS && STEADY_SLEEP_NS <= MAX_SLEEP_NS);
};
