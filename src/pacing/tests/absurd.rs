//! Arbitrary observations: nothing panics, wraps or leaves its bounds. Arbitrary loads: all is given back in the end.

use super::super::tuning::{LEAST_RELEASE_BYTES, MAX_SLEEP_NS, MIB, MS, SECOND};
use super::super::{Next, Observation, Outcome, Pacing};
use super::process::{Load, Process};
use proptest::prelude::*;

fn number() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), Just(u64::MAX), 0..4 * MIB, 0..1_u64 << 40, any::<u64>()]
}

prop_compose! {
    fn observation()(
        now_ns in number(), in_use_bytes in number(), in_use_min_bytes in number(), in_use_max_bytes in number(),
        retained_bytes in number(), hole_bytes in number(), hole_released_bytes in number(), depot_bytes in number(),
        refaulted_bytes in number(), scavenger_cpu_ns in number(), process_cpu_ns in number()
    )(
        milli_cpus in number(), limit_bytes in proptest::option::of(number()), limit_used_bytes in number(),
        retain_max_bytes in proptest::option::of(number()), now_ns in Just(now_ns), in_use_bytes in Just(in_use_bytes),
        in_use_min_bytes in Just(in_use_min_bytes), in_use_max_bytes in Just(in_use_max_bytes),
        retained_bytes in Just(retained_bytes), hole_bytes in Just(hole_bytes),
        hole_released_bytes in Just(hole_released_bytes), depot_bytes in Just(depot_bytes),
        refaulted_bytes in Just(refaulted_bytes), scavenger_cpu_ns in Just(scavenger_cpu_ns),
        process_cpu_ns in Just(process_cpu_ns)
    ) -> Observation {
        Observation {
            now_ns, in_use_bytes, in_use_min_bytes, in_use_max_bytes, retained_bytes, hole_bytes, hole_released_bytes,
            depot_bytes, refaulted_bytes, scavenger_cpu_ns, process_cpu_ns, milli_cpus, limit_bytes, limit_used_bytes,
            retain_max_bytes,
        }
    }
}

prop_compose! {
    fn outcome()(
        released_bytes in number(), hole_released_bytes in number(), pages_exhausted: bool, holes_exhausted: bool
    ) -> Outcome {
        Outcome { released_bytes, hole_released_bytes, pages_exhausted, holes_exhausted }
    }
}

fn is_bounded(bytes: u64, there: u64) -> bool {
    bytes == 0 || (LEAST_RELEASE_BYTES..=there).contains(&bytes)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 80, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn decisions_stay_within_bounds(ticks in proptest::collection::vec((observation(), outcome()), 1..60)) {
        let mut pacing = Pacing::new();
        for (seen, outcome) in ticks {
            let decision = pacing.tick(&seen);
            prop_assert!(is_bounded(decision.release_bytes, seen.retained_bytes));
            prop_assert!(is_bounded(decision.release_hole_bytes, seen.hole_bytes));
            if let Next::Sleep(ns) = decision.next {
                prop_assert!(ns > 0 && ns <= MAX_SLEEP_NS);
            }
            let assist = decision.goal.growth_release_bytes(seen.retained_bytes, seen.in_use_bytes, seen.hole_bytes);
            prop_assert!(is_bounded(assist, seen.retained_bytes) && assist <= seen.hole_bytes);
            prop_assert!(!decision.wake.is_due(0, 0));
            pacing.report(&outcome);
        }
        // Whatever happened before, an idle process with free memory gets rid of it.
        let mut seen = Observation { milli_cpus: 1_000, ..Observation::default() };
        for tick in 0..800 {
            seen.now_ns += 100_000_000;
            if tick == 1 {
                seen.retained_bytes = 64 * MIB;
            }
            let decision = pacing.tick(&seen);
            seen.retained_bytes -= decision.release_bytes;
            pacing.report(&Outcome { released_bytes: decision.release_bytes, ..Outcome::default() });
        }
        prop_assert!(seen.retained_bytes <= 2 * MIB, "{} bytes stay", seen.retained_bytes);
    }

    #[test]
    fn whatever_the_load_was_an_idle_process_gives_all_back_and_parks(
        parts in proptest::collection::vec((1_u64..3_000, 0_u64..600, 0_u64..100, 0_u64..1_500), 1..12),
        late_ms in 0_u64..100,
    ) {
        let mut process = Process::new();
        process.late_ns = late_ms * MS;
        let (mut busy_ns, mut low) = (0, true);
        for (ms, mib, live_percent, cpu) in parts {
            process.run(ms * MS, |_| Load::pages(mib, cpu).with_live(mib * live_percent / 100));
            busy_ns += ms * MS;
            low &= cpu >= 200;
        }
        if low {
            // Busy all the time, on two CPUs: 1 % of ten seconds at least, whatever the length.
            let most = (busy_ns.max(10 * SECOND)) * 2 / 100 + 5 * MS;
            prop_assert!(process.seen.scavenger_cpu_ns <= most, "{} of {most}", process.seen.scavenger_cpu_ns);
        }
        let last = Load { cpu: 0, in_use: process.seen.in_use_bytes, live: process.seen.in_use_bytes / 2 };
        process.run(13 * SECOND, |_| last);
        // At most what does not wake a parked scavenger.
        prop_assert!(process.seen.retained_bytes < 6 * MIB, "{} MiB retained", process.seen.retained_bytes / MIB);
        prop_assert!(process.seen.hole_bytes < 10 * MIB + last.in_use / 8, "{:?}", process.seen);
        process.run(SECOND, |_| last);
        prop_assert!(process.is_parked());
    }
}
