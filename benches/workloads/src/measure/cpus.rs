//! One CPU for each worker, where there are enough of them.
//!
//! A scheduler may keep two busy threads on one CPU for a while, most of all in a virtual machine, where a sleeping CPU costs
//! the host nothing. Without binding, some rounds would measure two CPUs and others one.

/// The CPUs this process may run on.
pub struct Cpus {
    set: libc::cpu_set_t,
}

impl Cpus {
    /// Asks the kernel; none when it does not tell (more CPUs than the C library's set has room for).
    pub fn allowed() -> Option<Self> {
        // SAFETY: all-zero bytes are a valid, empty set.
        let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
        // SAFETY: the set is as large as said, and the call only fills it.
        let result = unsafe { libc::sched_getaffinity(0, size_of_val(&set), &mut set) };
        (result == 0).then_some(Cpus { set })
    }

    /// How many they are.
    pub fn count(&self) -> usize {
        // SAFETY: reads a valid set.
        unsafe { libc::CPU_COUNT(&self.set) as usize }
    }

    /// Binds the calling thread to the CPU with that index among these. Advice: a failure is ignored.
    pub fn bind(&self, index: usize) {
        // SAFETY: every number asked for is below the size of a set, and the set is valid.
        let is_member = |cpu: &usize| unsafe { libc::CPU_ISSET(*cpu, &self.set) };
        let Some(cpu) = (0..libc::CPU_SETSIZE as usize).filter(is_member).nth(index) else { return };
        // SAFETY: as above, and the call only reads.
        unsafe {
            let mut one: libc::cpu_set_t = std::mem::zeroed();
            libc::CPU_SET(cpu, &mut one);
            libc::sched_setaffinity(0, size_of_val(&one), &one);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_is_bound_to_one_cpu() {
        let all = Cpus::allowed().expect("this machine has at most 1024 CPUs");
        for index in 0..all.count() {
            std::thread::scope(|scope| {
                let all = &all;
                scope.spawn(move || {
                    all.bind(index);
                    assert_eq!(Cpus::allowed().map(|own| own.count()), Some(1));
                });
            });
        }
        assert_eq!(Cpus::allowed().map(|now| now.count()), Some(all.count()), "other threads are not");
        all.bind(all.count());
        assert_eq!(Cpus::allowed().map(|now| now.count()), Some(all.count()), "no such CPU");
    }
}
