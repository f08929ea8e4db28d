//! What undoes one frame: where the caller's stack pointer is, and where the frame kept the caller's frame pointer and the
//! return address.
//!
//! A rule is one word, so that a cache entry is two and can be written without a lock. It knows three registers, and tables
//! that need another for a frame have no rule. The two numbers of a rule are distances from the caller's stack pointer.
//!
//! Locks: none.

/// One word; see the header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rule(u64);

/// Where the caller's stack pointer is found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Base {
    /// At a distance from the stack pointer.
    Stack(i64),
    /// At a distance from the frame pointer.
    Frame(i64),
    /// In memory at a distance from the frame pointer, plus the second number.
    InFrame(i64, i64),
}

/// Where a register of the caller is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Saved {
    /// Where it was: the frame did not change it.
    Same,
    /// In memory, at a distance from the caller's stack pointer.
    At(i64),
    /// In memory, at a distance from the frame pointer; with [`Base::InFrame`], and the only way there.
    InFrame(i64),
}

/// What a rule says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// This is a thread's first frame: the table says that it has no caller.
    End,
    /// The kernel made this frame for a signal handler: the interrupted registers are in it.
    Signal,
    /// Nothing is known: the chain of frame pointers is all there is.
    Unknown,
    /// An ordinary frame.
    Frame {
        /// The caller's stack pointer.
        base: Base,
        /// The caller's frame pointer.
        frame: Saved,
        /// The return address.
        ret: Saved,
    },
}

const KIND_BITS: u32 = 3;
const END: u64 = 1;
const SIGNAL: u64 = 2;
const UNKNOWN: u64 = 3;
const STACK: u64 = 4;
const FRAME: u64 = 5;
const IN_FRAME: u64 = 6;

/// The fields' positions and widths.
const BASE: (u32, u32) = (KIND_BITS, 29);
const SECOND: (u32, u32) = (32, 8);
const SAVED_FRAME: (u32, u32) = (40, 13);
const SAVED_RET: (u32, u32) = (53, 11);

/// Of a field: the register is where it was. The least number that the field holds, so no distance reads so.
const fn same(width: u32) -> i64 {
    -1 << (width - 1)
}

/// Distances are multiples of 8; `None` where one is not, or does not fit.
fn put(value: i64, (shift, width): (u32, u32)) -> Option<u64> {
    let units = value >> 3;
    let fits = units > same(width) && units < 1 << (width - 1);
    (value & 7 == 0 && fits).then_some(((units as u64) & ((1 << width) - 1)) << shift)
}

const fn get(word: u64, (shift, width): (u32, u32)) -> i64 {
    (word << (64 - shift - width)) as i64 >> (64 - width)
}

fn put_saved(saved: Saved, field: (u32, u32)) -> Option<u64> {
    match saved {
        Saved::Same => Some((same(field.1) as u64 & ((1 << field.1) - 1)) << field.0),
        Saved::At(distance) | Saved::InFrame(distance) => put(distance, field),
    }
}

const fn get_saved(word: u64, field: (u32, u32)) -> Saved {
    let units = get(word, field);
    if units == same(field.1) { Saved::Same } else { Saved::At(units << 3) }
}

impl Rule {
    /// The rule for a step; the one for [`Step::Unknown`] where the numbers do not fit.
    pub fn new(step: Step) -> Self {
        Self(Self::pack(step).unwrap_or(UNKNOWN))
    }

    fn pack(step: Step) -> Option<u64> {
        match step {
            Step::End => Some(END),
            Step::Signal => Some(SIGNAL),
            Step::Unknown => Some(UNKNOWN),
            Step::Frame { base, frame, ret } => {
                let frame_fits = match frame {
                    Saved::Same => true,
                    Saved::At(_) => !matches!(base, Base::InFrame(..)),
                    Saved::InFrame(_) => matches!(base, Base::InFrame(..)),
                };
                if !frame_fits || matches!(ret, Saved::InFrame(_)) {
                    return None;
                }
                let (kind, distance, second) = match base {
                    Base::Stack(distance) => (STACK, distance, 0),
                    Base::Frame(distance) => (FRAME, distance, 0),
                    Base::InFrame(distance, second) => (IN_FRAME, distance, second),
                };
                Some(
                    kind | put(distance, BASE)?
                        | put(second, SECOND)?
                        | put_saved(frame, SAVED_FRAME)?
                        | put_saved(ret, SAVED_RET)?,
                )
            }
        }
    }

    /// The word: never 0.
    pub const fn word(self) -> u64 {
        self.0
    }

    /// The rule of a word, whatever the word is.
    pub const fn from_word(word: u64) -> Self {
        Self(word)
    }

    /// What the rule says.
    pub const fn step(self) -> Step {
        let distance = get(self.0, BASE) << 3;
        let base = match self.0 & ((1 << KIND_BITS) - 1) {
            END => return Step::End,
            SIGNAL => return Step::Signal,
            STACK => Base::Stack(distance),
            FRAME => Base::Frame(distance),
            IN_FRAME => Base::InFrame(distance, get(self.0, SECOND) << 3),
            _ => return Step::Unknown,
        };
        let frame = match (base, get_saved(self.0, SAVED_FRAME)) {
            (Base::InFrame(..), Saved::At(distance)) => Saved::InFrame(distance),
            (_, frame) => frame,
        };
        Step::Frame { base, frame, ret: get_saved(self.0, SAVED_RET) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_saved(most: i64) -> impl Strategy<Value = Saved> {
        prop_oneof![Just(Saved::Same), (1 - most..most).prop_map(|units| Saved::At(units * 8))]
    }

    fn any_base() -> impl Strategy<Value = Base> {
        let most = 1_i64 << 28;
        prop_oneof![
            (1 - most..most).prop_map(|units| Base::Stack(units * 8)),
            (1 - most..most).prop_map(|units| Base::Frame(units * 8)),
            (1 - most..most, -127_i64..128).prop_map(|(units, second)| Base::InFrame(units * 8, second * 8)),
        ]
    }

    proptest! {
        #[test]
        fn a_rule_keeps_what_it_is_given(base in any_base(), frame in any_saved(1 << 12), ret in any_saved(1 << 10)) {
            let frame = match (base, frame) {
                (Base::InFrame(..), Saved::At(distance)) => Saved::InFrame(distance),
                (_, frame) => frame,
            };
            let step = Step::Frame { base, frame, ret };
            let rule = Rule::new(step);
            prop_assert_eq!(rule.step(), step);
            prop_assert_eq!(Rule::from_word(rule.word()), rule);
            prop_assert_ne!(rule.word(), 0);
        }

        #[test]
        fn any_word_is_a_rule(word in any::<u64>()) {
            let step = Rule::from_word(word).step();
            let again = Rule::new(step).step();
            prop_assert!(again == step || again == Step::Unknown);
        }
    }

    #[test]
    fn what_does_not_fit_is_unknown() {
        let ordinary = |base| Step::Frame { base, frame: Saved::At(-16), ret: Saved::At(-8) };
        for step in [
            ordinary(Base::Stack(12)),
            ordinary(Base::Stack(1 << 32)),
            Step::Frame { base: Base::Stack(8), frame: Saved::At(1 << 15), ret: Saved::At(-8) },
            Step::Frame { base: Base::Stack(8), frame: Saved::Same, ret: Saved::At(-(1 << 13)) },
            Step::Frame { base: Base::InFrame(-8, 0), frame: Saved::At(-16), ret: Saved::At(-8) },
            Step::Frame { base: Base::Stack(8), frame: Saved::InFrame(0), ret: Saved::At(-8) },
        ] {
            assert_eq!(Rule::new(step).step(), Step::Unknown);
        }
        for step in [Step::End, Step::Signal, Step::Unknown, ordinary(Base::Stack(1 << 30))] {
            assert_eq!(Rule::new(step).step(), step);
        }
    }
}
