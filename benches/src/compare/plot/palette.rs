//! Colours and line widths: neap stands out, the others can be told apart.

use plotters::style::RGBColor;

use super::super::allocators::OURS;

const COLOURS: [(&str, RGBColor); 15] = [
    (OURS, RGBColor(214, 30, 30)),
    ("system", RGBColor(110, 110, 110)),
    ("mimalloc3", RGBColor(31, 97, 180)),
    ("mimalloc2", RGBColor(110, 185, 240)),
    ("jemalloc", RGBColor(30, 130, 60)),
    ("jemalloc-bg", RGBColor(130, 205, 90)),
    ("snmalloc", RGBColor(245, 140, 20)),
    ("rpmalloc", RGBColor(140, 80, 190)),
    ("rusty_alloc", RGBColor(150, 95, 55)),
    ("ferroc", RGBColor(235, 110, 190)),
    ("tcmalloc", RGBColor(20, 170, 175)),
    ("mimalloc-pprof", RGBColor(20, 30, 110)),
    ("mimalloc-pprof-0", RGBColor(120, 130, 220)),
    ("snmalloc-so", RGBColor(190, 90, 0)),
    ("rpmalloc2-so", RGBColor(200, 160, 235)),
];

/// An allocator's colour.
pub(super) fn colour(allocator: &str) -> RGBColor {
    COLOURS.iter().find(|entry| entry.0 == allocator).map_or(RGBColor(0, 0, 0), |entry| entry.1)
}

/// An allocator's line width.
pub(super) fn width(allocator: &str) -> u32 {
    if allocator == OURS { 4 } else { 2 }
}

#[cfg(test)]
mod tests {
    use super::super::super::allocators;
    use super::*;

    #[test]
    fn every_allocator_has_a_colour_of_its_own() {
        for (index, allocator) in allocators::ALL.iter().enumerate() {
            let mine = colour(allocator.name);
            assert_ne!(mine, RGBColor(0, 0, 0), "{}", allocator.name);
            assert!(allocators::ALL[..index].iter().all(|earlier| colour(earlier.name) != mine), "{}", allocator.name);
        }
    }
}
