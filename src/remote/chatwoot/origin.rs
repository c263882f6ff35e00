//! Which contacts are ours to take something off again, though they carry nobody's EMS id. Pure.
//!
//! A contact is never deleted: whoever is gone from the EMS leaves theirs behind, with its address. Somebody who comes to have that
//! address, and has a contact of their own, could never get it there. So what we make carries the custom attribute `ems_origin`:
//!
//! - `made <second>`: a create of ours made it, at that second of the server's clock. A merge copies attributes to a contact that people
//!   made (contract, section 3), so it counts only where the contact was made then.
//! - `let-go <second> <digest>`: it was a person's and is nobody's now, and had the e-mail address of this digest when we let it go. What
//!   people write to it afterwards is theirs: with another address the mark says nothing.
//!
//! A contact without it is people's, whatever we did with it.

use serde_json::Value;

use super::wire;

/// The custom attribute.
pub(super) const ATTRIBUTE: &str = "ems_origin";

const MADE: &str = "made";
const LET_GO: &str = "let-go";

/// Between the server's clock as it was seen and the create that was sent then, in seconds.
const MADE_WITHIN: i64 = 180;

/// What the attribute says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Origin {
    /// When we made the contact, in seconds of the server's clock.
    made: i64,
    /// The digest of the address that it had when we let it go; `None` while it is somebody's.
    let_go: Option<String>,
}

impl Origin {
    /// Of a contact that is made now.
    pub(super) const fn made(second: i64) -> Self {
        Self { made: second, let_go: None }
    }

    /// The same contact, which is somebody's again.
    pub(super) const fn taken(&self) -> Self {
        Self::made(self.made)
    }

    /// The same contact, which is nobody's any more and holds this address.
    pub(super) fn let_go(&self, email: &Value) -> Self {
        Self { made: self.made, let_go: Some(wire::email_digest(email)) }
    }

    /// Nobody has it, and nobody has changed its address since.
    pub(super) fn is_let_go(&self, email: &Value) -> bool {
        self.let_go.as_ref() == Some(&wire::email_digest(email))
    }

    /// It was let go, whatever happened to it since.
    pub(super) const fn was_let_go(&self) -> bool {
        self.let_go.is_some()
    }

    pub(super) fn text(&self) -> String {
        match &self.let_go {
            None => format!("{MADE} {}", self.made),
            Some(email) => format!("{LET_GO} {} {email}", self.made),
        }
    }

    /// What stands in a contact that was made at `created_at`.
    pub(super) fn read(attribute: &Value, created_at: Option<i64>) -> Option<Self> {
        let mut words = attribute.as_str()?.split_ascii_whitespace();
        let what = words.next()?;
        let made: i64 = words.next()?.parse().ok()?;
        let let_go = match what {
            MADE => None,
            LET_GO => Some(words.next()?.to_owned()),
            _ => return None,
        };
        let is_its = created_at?.checked_sub(made)?.checked_abs()? <= MADE_WITHIN;
        (is_its && words.next().is_none()).then_some(Self { made, let_go })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn it_counts_only_for_the_contact_that_was_made_then() {
        let text = json!(Origin::made(1_790_000_000).text());
        for (created_at, counts) in [
            (Some(1_790_000_000), true),
            (Some(1_790_000_180), true),
            (Some(1_789_999_820), true),
            (Some(1_790_000_181), false),
            (Some(i64::MIN), false),
            (None, false),
        ] {
            assert_eq!(Origin::read(&text, created_at).is_some(), counts, "{created_at:?}");
        }
    }

    #[test]
    fn it_is_let_go_only_as_long_as_its_address_is_the_same() {
        let made = Origin::made(5);
        let (email, other) = (json!("a@example.org"), json!("b@example.org"));
        assert!(!made.is_let_go(&email) && !made.is_let_go(&Value::Null));
        let gone = made.let_go(&email);
        assert_eq!(
            [&email, &other, &Value::Null].map(|now| gone.is_let_go(now)),
            [true, false, false]
        );
        let without = gone.let_go(&Value::Null);
        assert_eq!([&email, &Value::Null].map(|now| without.is_let_go(now)), [false, true]);
        assert_eq!(gone.taken(), made);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again_and_all_else_is_nothing(second in any::<i64>(), email in any::<Option<String>>(), odd in any::<String>()) {
            let made = Origin::made(second);
            for origin in [made.clone(), made.let_go(&json!(email))] {
                prop_assert_eq!(Origin::read(&json!(origin.text()), Some(second)), Some(origin));
            }
            Origin::read(&json!(odd), Some(second));
            for odd in [json!(second), json!([odd]), json!(format!("made {odd}x")), Value::Null] {
                prop_assert_eq!(Origin::read(&odd, Some(second)), None);
            }
        }
    }
}
