//! Rules found before, by address: a walk computes each rule once.
//!
//! A table without a lock: a place holds the last rule that was stored there. Its two words are written one after the other,
//! and the first is the address mixed with the second, so that a reader who sees halves of two entries sees neither. So the cache
//! may be used by any thread, and in a signal handler that interrupted a store. A library that was unloaded leaves its rules
//! behind; another at its place may then be walked wrongly, but never outside the stack.
//!
//! Orderings: Relaxed; an entry's two words belong together by their values, not by their order.
//!
//! Locks: none.

use super::rule::Rule;
use crate::sync::plain::{AtomicU64, Ordering};

/// How many rules are kept.
const PLACES_SHIFT: u32 = 14;
const PLACES: usize = 1 << PLACES_SHIFT;

/// An entry: all zero is none.
struct Place {
    /// The address, exclusive-or `rule`.
    key: AtomicU64,
    rule: AtomicU64,
}

/// The table. All zero bytes are an empty one.
pub struct Cache([Place; PLACES]);

impl Cache {
    /// Bytes of a table, sparse until it is used: zeroed memory, aligned to 8.
    pub const BYTES: usize = size_of::<Self>();

    fn place(&self, pc: usize) -> &Place {
        // The high bits of a multiplication by a large odd number depend on all bits below them.
        let index = (pc as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - PLACES_SHIFT);
        &self.0[index as usize]
    }

    /// The rule stored for an address, if it is still there.
    pub fn get(&self, pc: usize) -> Option<Rule> {
        let place = self.place(pc);
        let rule = place.rule.load(Ordering::Relaxed);
        (rule != 0 && place.key.load(Ordering::Relaxed) ^ rule == pc as u64).then(|| Rule::from_word(rule))
    }

    /// Stores a rule for an address.
    pub fn put(&self, pc: usize, rule: Rule) {
        let place = self.place(pc);
        place.rule.store(rule.word(), Ordering::Relaxed);
        place.key.store(pc as u64 ^ rule.word(), Ordering::Relaxed);
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::unwind::rule::{Base, Saved, Step};

    /// A table for tests.
    pub fn empty() -> Box<Cache> {
        let mut table = Box::<Cache>::new_uninit();
        // SAFETY: all zero bytes are a table.
        unsafe {
            table.as_mut_ptr().write_bytes(0, 1);
            table.assume_init()
        }
    }

    fn rule(distance: i64) -> Rule {
        Rule::new(Step::Frame { base: Base::Stack(distance), frame: Saved::Same, ret: Saved::At(-8) })
    }

    #[test]
    fn a_rule_is_kept_until_its_place_is_taken() {
        let cache = empty();
        assert_eq!(cache.get(0x1234), None);
        for pc in 0..100 * PLACES {
            cache.put(pc, rule(8 * pc as i64));
            assert_eq!(cache.get(pc), Some(rule(8 * pc as i64)));
        }
        let kept = (0..100 * PLACES).filter(|pc| cache.get(*pc).is_some()).count();
        assert!((PLACES / 2..=PLACES).contains(&kept), "{kept}");
        assert!((0..100 * PLACES).all(|pc| cache.get(pc).is_none_or(|found| found == rule(8 * pc as i64))));
    }

    #[test]
    fn halves_of_two_entries_are_none() {
        let cache = empty();
        cache.put(0x1000, rule(8));
        let place = cache.place(0x1000);
        place.rule.store(rule(16).word(), Ordering::Relaxed);
        assert_eq!(cache.get(0x1000), None);
    }

    #[test]
    fn many_threads_read_only_what_was_stored_for_the_address() {
        let cache = empty();
        std::thread::scope(|scope| {
            for thread in 0..3_i64 {
                let cache = &cache;
                scope.spawn(move || {
                    for round in 0..200_000_usize {
                        let pc = round % 512 * 4096 + thread as usize % 2;
                        if let Some(found) = cache.get(pc) {
                            assert_eq!(found, rule(8 * pc as i64));
                        }
                        cache.put(pc, rule(8 * pc as i64));
                    }
                });
            }
        });
    }
}
