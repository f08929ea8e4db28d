//! Words and sentences from a seed.

use neap_workloads::random::Random;

const SYLLABLES: [&str; 24] = [
    "ba", "co", "de", "fi", "go", "ha", "in", "ka", "lo", "me", "no", "or", "pa", "qui", "ra", "se", "ti", "un", "ve",
    "wa", "xe", "yo", "zu", "er",
];

/// The word of that number: the same number gives the same word.
pub fn word(number: usize) -> String {
    let mut text = String::new();
    let mut rest = number + 1;
    while rest > 0 {
        text.push_str(SYLLABLES[rest % SYLLABLES.len()]);
        rest /= SYLLABLES.len();
    }
    text
}

/// The number of a word among `count`, small numbers more often, as in natural text.
pub fn common(random: &mut Random, count: usize) -> usize {
    let skewed = random.unit() * random.unit() * random.unit();
    ((skewed * count as f64) as usize).min(count - 1)
}

/// So many words of a vocabulary of `vocabulary` words.
pub fn sentence(random: &mut Random, words: usize, vocabulary: usize) -> String {
    let mut text = String::new();
    for index in 0..words {
        if index > 0 {
            text.push(' ');
        }
        text.push_str(&word(common(random, vocabulary)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_differ_and_repeat() {
        let words: std::collections::BTreeSet<String> = (0..5_000).map(word).collect();
        assert_eq!(words.len(), 5_000);
        assert_eq!(sentence(&mut Random::new(1), 9, 100), sentence(&mut Random::new(1), 9, 100));
        assert_eq!(sentence(&mut Random::new(1), 9, 100).split(' ').count(), 9);
    }
}
