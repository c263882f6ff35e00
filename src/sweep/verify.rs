//! What a target holds against what it should hold, row by row: the rules of `ems-sync verify`. Pure.

use serde::Serialize;

use crate::hash::ContentHash;
use crate::remote::NO_RECORD;

/// How an entity stands at the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Finding {
    /// The target holds what the EMS has, under the id that we know.
    Matched,
    /// The EMS has it, the target has not.
    Missing,
    /// The target holds something else, or under another id than we know.
    Different,
    /// The target has it under our key, the EMS has it not.
    Orphaned,
    /// It differs, and that is owed or was pushed while we looked.
    Waiting,
}

impl Finding {
    /// Every finding.
    pub const ALL: [Self; 5] =
        [Self::Matched, Self::Missing, Self::Different, Self::Orphaned, Self::Waiting];

    /// The name in documents and in the scratch table.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Matched => "matched",
            Self::Missing => "missing",
            Self::Different => "different",
            Self::Orphaned => "orphaned",
            Self::Waiting => "waiting",
        }
    }

    /// The finding of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|finding| finding.name() == name)
    }
}

/// The reason of a difference that no push ends: the target was told, and ignores it in silence.
pub const IGNORED: &str = "ignored";

/// What the sync record says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// The id at the target that we know.
    pub remote_id: Option<String>,
    /// The target is owed something for it.
    pub is_owed: bool,
    /// Something was pushed for it since the target was asked.
    pub was_pushed_since: bool,
    /// What was pushed last, and what the target then said that it holds.
    pub confirmed: Option<(ContentHash, ContentHash)>,
    /// It was decided that it has no record of its own there: [`crate::deliver::decision::SkipReason`].
    pub is_skipped: bool,
}

impl Known {
    const fn is_moving(&self) -> bool {
        self.is_owed || self.was_pushed_since
    }

    /// The target has nothing of it, and is to have nothing: it is skipped, or no part of it is wanted there.
    fn has_nothing_there(&self) -> bool {
        self.is_skipped || self.remote_id.as_deref() == Some(NO_RECORD)
    }
}

/// What this side has of an entity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ours {
    /// The EMS shows it to the target.
    pub is_shown: bool,
    /// What the target should hold; `None` where that can't be said: a parent has no remote id, a column is odd.
    pub wanted: Option<ContentHash>,
    /// Its record, if there is one.
    pub known: Option<Known>,
}

/// A row of the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row<'a> {
    /// Its id there.
    pub remote_id: &'a str,
    /// What it holds.
    pub hash: ContentHash,
    /// It carries the entity's EMS id; otherwise only our record says that it is the entity's.
    pub has_our_key: bool,
    /// It differs in what such a target ignores in silence.
    pub ignores: bool,
}

/// Judges an entity that the target may have. Total; the reason is in `snake_case`.
#[must_use]
pub fn judge(ours: &Ours, row: Option<Row<'_>>) -> (Finding, &'static str) {
    let is_moving = ours.known.as_ref().is_some_and(Known::is_moving);
    let known_id = ours.known.as_ref().and_then(|known| known.remote_id.as_deref());
    let Some(row) = row else {
        return match (ours.is_shown, is_moving) {
            (false, _) => (Finding::Matched, "gone"),
            (true, true) => (Finding::Waiting, "owed"),
            (true, false) if ours.known.as_ref().is_some_and(Known::has_nothing_there) => {
                (Finding::Matched, "not_wanted")
            }
            (true, false) => (Finding::Missing, "not_there"),
        };
    };
    // What a target makes of what it is sent (a consent of its own, a spelling) is no difference while it says the same.
    let is_what_it_said = |known: &Known| {
        known
            .confirmed
            .is_some_and(|(pushed, held)| ours.wanted == Some(pushed) && held == row.hash)
    };
    let same_content =
        ours.wanted == Some(row.hash) || ours.known.as_ref().is_some_and(is_what_it_said);
    if ours.is_shown && row.has_our_key && same_content && known_id == Some(row.remote_id) {
        return match ours.wanted != Some(row.hash) && row.ignores {
            true => (Finding::Different, IGNORED),
            false => (Finding::Matched, "up_to_date"),
        };
    }
    if is_moving {
        return (Finding::Waiting, "owed");
    }
    if !ours.is_shown {
        return (Finding::Orphaned, "not_in_ems");
    }
    let reason = if !row.has_our_key {
        "key_lost"
    } else if ours.wanted.is_none() {
        "not_comparable"
    } else if !same_content {
        "content"
    } else if known_id.is_none() {
        "id_not_known"
    } else {
        "other_id"
    };
    (Finding::Different, reason)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::target::Target;

    fn print(n: u32) -> ContentHash {
        ContentHash::of(Target::TagServer, 1, &json!(n))
    }

    fn every_row() -> Vec<Option<Row<'static>>> {
        let mut rows = vec![None];
        for remote_id in ["1", "2"] {
            for hash in [1, 2].map(print) {
                for (has_our_key, ignores) in
                    [(true, true), (true, false), (false, true), (false, false)]
                {
                    rows.push(Some(Row { remote_id, hash, has_our_key, ignores }));
                }
            }
        }
        rows
    }

    /// Every entity against every row, by the sentences of the findings: 2 × 3 × 97 × 17 cases.
    #[test]
    fn every_combination_has_the_finding_that_its_words_say() {
        let mut known: Vec<Option<Known>> = vec![None];
        for remote_id in [None, Some("1"), Some("2"), Some("{}")] {
            for bits in 0..4_u8 {
                for confirmed in [None, Some((print(1), print(1))), Some((print(1), print(2)))] {
                    for is_skipped in [false, true] {
                        known.push(Some(Known {
                            remote_id: remote_id.map(str::to_owned),
                            is_owed: bits & 1 != 0,
                            was_pushed_since: bits & 2 != 0,
                            confirmed,
                            is_skipped,
                        }));
                    }
                }
            }
        }
        let rows = every_row();
        let mut cases = 0;
        for is_shown in [false, true] {
            for wanted in [None, Some(print(1)), Some(print(2))] {
                for known in &known {
                    for row in &rows {
                        cases += 1;
                        let ours = Ours { is_shown, wanted, known: known.clone() };
                        let (finding, reason) = judge(&ours, *row);
                        let moves = known.as_ref().is_some_and(|k| k.is_owed || k.was_pushed_since);
                        let is_right = is_shown
                            && row.is_some_and(|row| {
                                let says_the_same = known.as_ref().is_some_and(|k| {
                                    k.confirmed.is_some_and(|(pushed, held)| {
                                        Some(pushed) == wanted && held == row.hash
                                    })
                                });
                                row.has_our_key
                                    && (wanted == Some(row.hash) || says_the_same)
                                    && known.as_ref().is_some_and(|k| {
                                        k.remote_id.as_deref() == Some(row.remote_id)
                                    })
                            });
                        let nothing_anywhere = !is_shown && row.is_none();
                        let none_wanted = row.is_none()
                            && known.as_ref().is_some_and(|k| {
                                k.is_skipped || k.remote_id.as_deref() == Some("{}")
                            });
                        let is_ignored = reason == IGNORED;
                        let is_told = row.is_some_and(|r| r.ignores && Some(r.hash) != wanted);
                        assert_eq!(is_ignored, is_right && is_told, "{ours:?} {row:?}");
                        let expected = if is_ignored {
                            Finding::Different
                        } else if is_right || nothing_anywhere {
                            Finding::Matched
                        } else if moves {
                            Finding::Waiting
                        } else if none_wanted {
                            Finding::Matched
                        } else if row.is_none() {
                            Finding::Missing
                        } else if is_shown {
                            Finding::Different
                        } else {
                            Finding::Orphaned
                        };
                        assert_eq!(finding, expected, "{ours:?} {row:?} {reason}");
                    }
                }
            }
        }
        assert_eq!(cases, 2 * 3 * 97 * 17);
    }

    #[test]
    fn the_reason_says_what_is_different() {
        let ours = |remote_id: Option<&str>| Ours {
            is_shown: true,
            wanted: Some(print(1)),
            known: Some(Known {
                remote_id: remote_id.map(str::to_owned),
                is_owed: false,
                was_pushed_since: false,
                confirmed: None,
                is_skipped: false,
            }),
        };
        let row = |hash, has_our_key| {
            Some(Row { remote_id: "1", hash: print(hash), has_our_key, ignores: false })
        };
        assert_eq!(judge(&ours(Some("1")), row(2, true)).1, "content");
        assert_eq!(judge(&ours(Some("2")), row(1, true)).1, "other_id");
        assert_eq!(judge(&ours(None), row(1, true)).1, "id_not_known");
        assert_eq!(judge(&ours(Some("1")), row(1, false)).1, "key_lost");
        let unknown = Ours { wanted: None, ..ours(Some("1")) };
        assert_eq!(judge(&unknown, row(1, true)).1, "not_comparable");
    }

    #[test]
    fn who_needs_no_record_there_is_not_missing() {
        let known = |is_owed| Known {
            remote_id: None,
            is_owed,
            was_pushed_since: false,
            confirmed: None,
            is_skipped: true,
        };
        let ours =
            |is_owed| Ours { is_shown: true, wanted: Some(print(1)), known: Some(known(is_owed)) };
        assert_eq!(judge(&ours(false), None), (Finding::Matched, "not_wanted"));
        assert_eq!(judge(&ours(true), None).0, Finding::Waiting);
    }

    #[test]
    fn findings_are_read_back_by_their_names() {
        for finding in Finding::ALL {
            assert_eq!(Finding::from_name(finding.name()), Some(finding));
            assert_eq!(serde_json::to_value(finding).unwrap(), finding.name());
        }
    }
}
