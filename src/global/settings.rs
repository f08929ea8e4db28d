//! The settings of the process: what the environment says, and how the kernel schedules the process. Both are read once.
//!
//! Locks: none. The reading spins (`spin::Once`).

use spin::Once;

use crate::config::Config;
use crate::sys;
use crate::sys::schedule::Schedule;

static CONFIG: Once<Config> = Once::new();
static SCHEDULE: Once<Schedule> = Once::new();

/// The settings. Before the first allocation these are the defaults.
pub fn config() -> Config {
    CONFIG.get().copied().unwrap_or(Config::DEFAULT)
}

/// How the thread of the first allocation was scheduled then.
pub fn schedule() -> &'static Schedule {
    SCHEDULE.call_once(Schedule::of_this_thread)
}

/// Reads the settings at the first allocation, before the program's code can change the environment.
pub fn read() -> &'static Config {
    schedule();
    CONFIG.call_once(|| {
        let mut config = Config::DEFAULT;
        // SAFETY: this is the first allocation of the process.
        unsafe {
            sys::env::each(|name, value| {
                if let Err(error) = config.apply(name, value) {
                    sys::message::write_line(format_args!("{error}"));
                }
            });
        }
        config
    })
}
