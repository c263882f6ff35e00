//! How the database compares text, and what PHP makes of an e-mail address (section 3).

use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::is_combining_mark;

/// The longest e-mail address that is kept.
const MAX_EMAIL: usize = 254;

/// The text without case and accents: what is equal to MySQL is equal here.
pub(super) fn fold(text: &str) -> String {
    text.nfd().filter(|letter| !is_combining_mark(*letter)).flat_map(char::to_lowercase).collect()
}

/// `FILTER_SANITIZE_EMAIL`: what an address may not contain is left out, not refused.
pub(super) fn sanitised_email(text: &str) -> String {
    let allowed = |letter: &char| {
        letter.is_ascii_alphanumeric() || "!#$%&'*+-=?^_`{|}~@.[]".contains(*letter)
    };
    text.chars().filter(allowed).take(MAX_EMAIL).collect()
}

/// Whether what is left looks like an address.
pub(super) fn is_email(text: &str) -> bool {
    text.split_once('@').is_some_and(|(local, domain)| {
        !local.is_empty()
            && !domain.contains('@')
            && domain.contains('.')
            && domain.split('.').all(|label| !label.is_empty())
    })
}

/// SQL's LIKE: `%` is any text, `_` any one letter.
pub(super) fn like(text: &str, pattern: &str) -> bool {
    let (text, pattern): (Vec<char>, Vec<char>) =
        (fold(text).chars().collect(), fold(pattern).chars().collect());
    // One row of the table "do the first i letters match the first j signs", i growing.
    let mut reached = vec![true];
    reached.extend(pattern.iter().scan(true, |all, sign| {
        *all = *all && *sign == '%';
        Some(*all)
    }));
    for letter in text {
        let mut next = vec![false];
        for (place, sign) in pattern.iter().enumerate() {
            let at = |row: &[bool], place: usize| row.get(place).copied().unwrap_or_default();
            next.push(if *sign == '%' {
                at(&next, place) || at(&reached, place + 1)
            } else {
                at(&reached, place) && (*sign == '_' || *sign == letter)
            });
        }
        reached = next;
    }
    reached.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn like_knows_its_two_signs() {
        for (text, pattern, expected) in [
            ("a_b@x.org", "a_b@x.org%", true),
            ("aXb@x.org.za", "a_b@x.org%", true),
            ("abc", "a%", true),
            ("abc", "%b%", true),
            ("abc", "a", false),
            ("", "%", true),
            ("", "", true),
            ("ABC", "abc", true),
        ] {
            assert_eq!(like(text, pattern), expected, "{text} LIKE {pattern}");
        }
    }

    #[test]
    fn an_address_loses_what_it_may_not_contain() {
        assert_eq!(sanitised_email("te,st@user.email"), "test@user.email");
        assert_eq!(sanitised_email(" a@b.org, "), "a@b.org");
        assert!(is_email("test@user.email") && !is_email("test") && !is_email("a@b"));
        assert_eq!(fold("Zoë@X.org"), "zoe@x.org");
    }
}
