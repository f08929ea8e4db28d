//! The shortest uses of an allocator there are, as functions of their own: `benches/fast_path.sh` lists and counts their
//! instructions.

use std::hint::black_box;

/// `Box::new` of eight bytes: a layout the compiler knows.
#[inline(never)]
pub fn new_box(value: u64) -> Box<u64> {
    Box::new(value)
}

/// Drops such a box.
#[inline(never)]
pub fn drop_box(value: Box<u64>) {
    drop(value);
}

/// Makes and drops a box `count` times.
#[inline(never)]
pub fn pairs(count: u64) {
    for value in 0..count {
        drop(black_box(Box::new(value)));
    }
}

/// The same through functions that are not inlined.
#[inline(never)]
pub fn pairs_by_call(count: u64) {
    for value in 0..count {
        drop_box(black_box(new_box(value)));
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn boxes_come_and_go() {
        assert_eq!(*super::new_box(7), 7);
        super::pairs(3);
        super::pairs_by_call(3);
    }
}
