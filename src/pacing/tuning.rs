//! Every constant of the retention policy, in one place, with the reason for its value.
//!
//! No constant is a setting for users. Where no fixed delay is right, the policy learns the delay (see `regret`).
//!
//! Locks: none.

/// One mebibyte, the unit most of these constants are in.
pub const MIB: u64 = 1 << 20;
/// One millisecond.
pub const MS: u64 = 1_000_000;
/// One second.
pub const SECOND: u64 = 1_000 * MS;

/// The length of an epoch, the grain of all windows: a small part of the shortest hold.
pub const EPOCH_NS: u64 = 100 * MS;
/// How many epochs are kept: a little more than the longest hold.
pub const EPOCHS: usize = 128;

/// How long a peak is kept in a quiet process. When the process is found to be quiet, the peaks before are over.
pub const QUIET_HOLD_NS: u64 = 600 * MS;
/// How long a peak is kept in a busy process: longer than the interval of a load that returns every second.
pub const BUSY_HOLD_NS: u64 = 1_500 * MS;
/// The longest hold that regret can teach.
pub const MAX_HOLD_NS: u64 = 10 * SECOND;

/// The time constant of the decay in a quiet process: a hundredth is left after five of them.
pub const QUIET_DECAY_NS: u64 = 100 * MS;
/// The time constant of the decay in a busy process.
pub const BUSY_DECAY_NS: u64 = 400 * MS;
/// Each step of a decay releases at least this part of what the decay started with. So the decay ends.
pub const DECAY_LEAST_PART: u64 = 16;

/// The bytes that always stay beyond the demand: enough to serve small changes without a fault.
pub const FLOOR_BYTES: u64 = MIB / 4;
/// The part of the demand that stays beyond the demand in a busy process: a tenth.
pub const BUSY_MARGIN_PART: u64 = 10;
/// The same for holes: a quarter, since a busy heap always has free slots among live ones.
pub const BUSY_HOLE_MARGIN_PART: u64 = 4;
/// The excess at which a busy process starts to release pages.
pub const BUSY_START_BYTES: u64 = MIB;
/// The excess at which a busy process starts to release holes. Holes are expensive: many system calls for few bytes.
pub const BUSY_HOLE_START_BYTES: u64 = 16 * MIB;
/// The same in a quiet process.
pub const QUIET_HOLE_START_BYTES: u64 = MIB / 4;
/// The smallest release. A smaller one costs more in system calls than the memory is worth.
pub const LEAST_RELEASE_BYTES: u64 = 64 << 10;

/// A process that uses less of one CPU (in thousandths) than this for [`QUIET_AFTER_NS`] is quiet.
pub const QUIET_MILLI_CPUS: u64 = 100;
/// A process that uses at least this much of one CPU (in thousandths) is busy. In between it stays as it was.
pub const BUSY_MILLI_CPUS: u64 = 200;
/// How long a process uses hardly any CPU time before it counts as quiet. It is longer than any pause of a load that works
/// every second. It is short enough that a burst is given back within two seconds of its end.
pub const QUIET_AFTER_NS: u64 = SECOND;
/// A busy process gives an excess back even from split huge pages once the excess has lasted for one to two times as long.
pub const LONG_EXCESS_NS: u64 = 3 * SECOND;
/// The least long excess that is worth a split.
pub const LONG_EXCESS_BYTES: u64 = 16 * MIB;
/// CPU shares are judged over at least this long. Shorter intervals are all noise.
pub const JUDGE_OVER_NS: u64 = 20 * MS;

/// A regret of fewer bytes teaches nothing.
pub const LEAST_REGRET_BYTES: u64 = 2 * MIB;
/// A regret of less than this part of the recent releases teaches nothing: any process takes a few pages again.
pub const LEAST_REGRET_PART: u64 = 8;

/// The scavenger's CPU share in a busy process, in millionths of the CPUs available. The share and the reserve of
/// [`BUDGET_RESERVE_NS`] together are at most 1 % over any ten seconds.
pub const BUDGET_PPM: u64 = 8_000;
/// The largest unused budget: what one per cent of the CPU time is in this time.
pub const BUDGET_RESERVE_NS: u64 = 2 * SECOND;
/// A smaller budget is not worth starting a batch for.
pub const LEAST_BUDGET_NS: u64 = 100_000;
/// The CPU time that a tick may use in a quiet process or under pressure.
pub const FREE_TICK_CPU_NS: u64 = 100 * MS;

/// The sleep between two steps of a decay.
pub const STEP_SLEEP_NS: u64 = 50 * MS;
/// The sleep while memory is held and nothing may be released yet.
pub const HOLD_SLEEP_NS: u64 = 100 * MS;
/// The same in a busy process that has been steady for a while.
pub const STEADY_SLEEP_NS: u64 = 200 * MS;
/// How many ticks there are in a learnt hold. A long hold then costs few wake-ups in a process that does little.
pub const LOOKS_PER_HOLD: u64 = 8;
/// No sleep is longer while memory is held.
pub const MAX_HOLD_SLEEP_NS: u64 = 500 * MS;
/// The sleeps before the retries that follow an exhausted search. After the last retry the scavenger parks.
pub const RETRY_SLEEP_NS: [u64; 2] = [500 * MS, 2 * SECOND];
/// No sleep is longer.
pub const MAX_SLEEP_NS: u64 = 2 * SECOND;

/// The bytes that have to become free before a parked scavenger is woken (or, the first time, started).
pub const WAKE_BYTES: u64 = 4 * MIB;
/// The same for holes, of which every program has some.
pub const HOLE_WAKE_BYTES: u64 = 8 * MIB;
/// The same as [`WAKE_BYTES`] under pressure.
pub const PRESSURE_WAKE_BYTES: u64 = MIB;

/// Pressure starts above `limit - limit / PRESSURE_PART` (95 %).
pub const PRESSURE_PART: u64 = 20;
/// Under pressure the policy aims at `limit / HEADROOM_PART` (3 %, at least 1 MiB) below the line.
pub const HEADROOM_PART: u64 = 32;

/// A thread whose allocation made the heap grow releases at most this much inline.
pub const MAX_ASSIST_BYTES: u64 = 16 * MIB;

/// Caches below this many bytes are not worth a trim.
pub const LEAST_TRIM_BYTES: u64 = 64 << 10;
/// The time between two trims of a busy process.
pub const BUSY_TRIM_NS: u64 = 500 * MS;
/// After so many trims that free nothing, a quiet process is not trimmed any more. Working sets age over two trims.
pub const IDLE_TRIMS: u32 = 3;
/// How long a process has used hardly any CPU time before its idle threads are drained.
pub const DRAIN_AFTER_NS: u64 = 300 * MS;
/// The time between two drains.
pub const DRAIN_EVERY_NS: u64 = SECOND;

const _: () = {
    assert!(EPOCH_NS * (EPOCHS as u64 - 2) >= MAX_HOLD_NS);
    assert!(BUSY_HOLD_NS <= MAX_HOLD_NS && QUIET_HOLD_NS < BUSY_HOLD_NS);
    assert!(QUIET_MILLI_CPUS < BUSY_MILLI_CPUS);
    // 0.8 % of ten seconds and the reserve are 1 % of ten seconds.
    assert!(BUDGET_PPM * 10 + 10_000 * BUDGET_RESERVE_NS / SECOND <= 10_000 * 10);
    assert!(RETRY_SLEEP_NS[1] <= MAX_SLEEP_NS && STEADY_SLEEP_NS <= MAX_SLEEP_NS);
};
