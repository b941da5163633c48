//! Globs.

/// A pattern in which `*` stands for any characters and `?` for exactly one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob(Vec<char>);

impl Glob {
    /// The pattern as it is written.
    pub fn new(pattern: &str) -> Self {
        Self(pattern.chars().collect())
    }

    /// Returns true if the whole of `text` matches.
    pub fn matches(&self, text: &str) -> bool {
        // Entry n: whether the first n characters of the pattern match the text read so far.
        let mut matched = vec![false; self.0.len() + 1];
        matched[0] = true;
        self.skip_stars(&mut matched);
        for character in text.chars() {
            for (index, symbol) in self.0.iter().enumerate().rev() {
                let advanced = matched[index] && (*symbol == '?' || *symbol == character);
                matched[index + 1] = if *symbol == '*' { matched[index + 1] } else { advanced };
            }
            matched[0] = false;
            self.skip_stars(&mut matched);
        }
        matched[self.0.len()]
    }

    /// Lets each `*` match the empty text.
    fn skip_stars(&self, matched: &mut [bool]) {
        for (index, _) in self.0.iter().enumerate().filter(|(_, symbol)| **symbol == '*') {
            matched[index + 1] |= matched[index];
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn patterns() {
        for (pattern, text, expected) in [
            ("", "", true),
            ("", "a", false),
            ("m5.large", "m5.large", true),
            ("m5.large", "m5.xlarge", false),
            ("m5.*", "m5.large", true),
            ("m5.*", "m5.", true),
            ("m5.*", "m5", false),
            ("*", "", true),
            ("*.metal*", "i4i.metal-24xl", true),
            ("t?.nano", "t3.nano", true),
            ("t?.nano", "t3a.nano", false),
            ("?", "é", true),
            ("?", "", false),
            ("*ab*ab", "abab", true),
            ("*ab*ab", "aab", false),
            ("a**c", "abc", true),
            ("Prod", "prod", false),
            ("*", "*", true),
        ] {
            assert_eq!(Glob::new(pattern).matches(text), expected, "{pattern:?} {text:?}");
        }
    }

    /// The definition, which takes exponential time.
    fn defined(pattern: &[char], text: &[char]) -> bool {
        match (pattern, text) {
            ([], []) => true,
            (['*', rest @ ..], _) => (0..=text.len()).any(|skipped| defined(rest, &text[skipped..])),
            (['?', rest @ ..], [_, text @ ..]) => defined(rest, text),
            ([symbol, rest @ ..], [character, text @ ..]) => symbol == character && defined(rest, text),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn matches_as_defined(pattern in "[ab*?]{0,7}", text in "[ab]{0,9}") {
            let (characters, letters): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
            prop_assert_eq!(Glob::new(&pattern).matches(&text), defined(&characters, &letters));
        }
    }
}
