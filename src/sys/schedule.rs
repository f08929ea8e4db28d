//! How the kernel schedules a thread: its processors, its policy and its niceness.
//!
//! A thread inherits all three from the thread that starts it. The scavenger is started by whoever comes by, which may be a
//! real-time thread on one processor. So the process's first allocation notes what its thread has, which is what the process
//! began with as a rule, and the scavenger's thread takes that over. A real-time policy is not taken over: a tick may take
//! long, and nobody waits for it.
//!
//! Capabilities are inherited too, and stay as they are: to drop what another thread may still need is not for a library.
//!
//! Locks: none may be held.

use super::errno::Saved;
use super::held::assert_none_held;
use core::ffi::{c_int, c_long};

/// Room for 8192 processors, the largest number that Linux is built for.
const WORDS: usize = 128;
/// The policies that ordinary programs use; all others are for real time.
const ORDINARY: [c_int; 3] = [libc::SCHED_OTHER, libc::SCHED_BATCH, libc::SCHED_IDLE];
/// A flag beside the policy.
const RESET_ON_FORK: c_int = 0x4000_0000;

/// How a thread is scheduled.
pub struct Schedule {
    /// A bit for each processor, in the words that the kernel has written.
    cpus: [u64; WORDS],
    cpu_words: usize,
    /// `None` where the kernel did not say.
    policy: Option<c_int>,
    niceness: Option<c_int>,
}

impl Schedule {
    /// What the calling thread has.
    pub fn of_this_thread() -> Self {
        assert_none_held("sched_getaffinity");
        let _saved = Saved::new();
        let mut cpus = [0_u64; WORDS];
        // SAFETY: the kernel writes at most the size of the set; the other calls write nothing.
        let (written, policy, priority) = unsafe {
            (
                libc::syscall(libc::SYS_sched_getaffinity, 0, size_of_val(&cpus), cpus.as_mut_ptr()),
                libc::syscall(libc::SYS_sched_getscheduler, 0),
                libc::syscall(libc::SYS_getpriority, libc::PRIO_PROCESS, 0),
            )
        };
        let found = |value: c_long| (value >= 0).then_some(value as c_int);
        Self {
            cpus,
            cpu_words: found(written).unwrap_or(0) as usize / size_of::<u64>(),
            policy: found(policy).map(|policy| policy & !RESET_ON_FORK),
            // The raw call answers 20 minus the niceness, so that no answer is negative.
            niceness: found(priority).map(|priority| 20 - priority),
        }
    }

    /// Gives it to the calling thread, as far as the kernel allows.
    pub fn apply(&self) {
        let now = Self::of_this_thread();
        let _saved = Saved::new();
        let policy = self.policy.filter(|policy| ORDINARY.contains(policy)).unwrap_or(libc::SCHED_OTHER);
        if now.policy != Some(policy) {
            let priority: c_int = 0;
            // SAFETY: the kernel reads one priority, which is live.
            unsafe { libc::syscall(libc::SYS_sched_setscheduler, 0, policy, &raw const priority) };
        }
        if let Some(niceness) = self.niceness.filter(|niceness| now.niceness != Some(*niceness)) {
            // SAFETY: no preconditions.
            unsafe { libc::syscall(libc::SYS_setpriority, libc::PRIO_PROCESS, 0, niceness) };
        }
        if self.cpu_words != 0 && now.cpus != self.cpus {
            let bytes = self.cpu_words * size_of::<u64>();
            // SAFETY: the kernel reads that many bytes of the set.
            unsafe { libc::syscall(libc::SYS_sched_setaffinity, 0, bytes, self.cpus.as_ptr()) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_takes_over_what_another_had() {
        let before = Schedule::of_this_thread();
        assert!(before.cpu_words > 0 && before.policy.is_some() && before.niceness.is_some());
        std::thread::spawn(move || {
            let mut one = [0_u64; WORDS];
            let word = before.cpus.iter().position(|word| *word != 0).unwrap();
            one[word] = 1 << before.cpus[word].trailing_zeros();
            Schedule {
                cpus: one,
                niceness: Some(before.niceness.unwrap() + 1),
                policy: Some(libc::SCHED_BATCH),
                ..before
            }
            .apply();
            let changed = Schedule::of_this_thread();
            assert_eq!((changed.cpus, changed.policy), (one, Some(libc::SCHED_BATCH)));
            assert_eq!(changed.niceness.unwrap(), before.niceness.unwrap() + 1);
            // Only the privileged may become less nice.
            before.apply();
            let after = Schedule::of_this_thread();
            assert_eq!((after.cpus, after.policy), (before.cpus, before.policy));
        })
        .join()
        .unwrap();
    }

    #[test]
    fn a_real_time_policy_is_not_taken_over() {
        std::thread::spawn(|| {
            Schedule { policy: Some(libc::SCHED_FIFO), ..Schedule::of_this_thread() }.apply();
            assert_eq!(Schedule::of_this_thread().policy, Some(libc::SCHED_OTHER));
        })
        .join()
        .unwrap();
    }
}
