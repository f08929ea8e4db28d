//! The settings of the process, which are read from the environment once.
//!
//! Locks: none. The reading spins (`spin::Once`).

use spin::Once;

use crate::config::Config;
use crate::sys;

static CONFIG: Once<Config> = Once::new();

/// The settings. Before the first allocation these are the defaults.
pub fn config() -> Config {
    CONFIG.get().copied().unwrap_or(Config::DEFAULT)
}

/// Reads the settings at the first allocation, before the program's code can change the environment.
pub fn read() -> &'static Config {
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
