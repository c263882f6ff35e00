//! The rows, as the simulator keeps them and as the control API shows them: typed values in UTC.
//! What the remote's own answers look like is in `races`, `participants` and `removed`.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::civil::{Date, DateTime, date};
use serde::{Deserialize, Serialize};

/// The text of the custom question that carries our id.
pub(super) const EMS_QUESTION: &str = "EMS ID";

/// A postal address.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Address {
    /// Street and number.
    pub street: Option<String>,
    /// The city.
    pub city: Option<String>,
    /// A state or province of two letters.
    pub state: Option<String>,
    /// The postal code.
    pub zipcode: Option<String>,
    /// ISO 3166, two letters.
    pub country_code: Option<String>,
}

/// Who can see a race.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Visibility {
    /// Everybody.
    #[default]
    Public,
    /// Who has a key.
    Private,
    /// Who has a key; not published yet.
    Draft,
}

/// A race: a whole event brand, used again every year.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Race {
    /// `race_id`
    pub id: i64,
    /// The name.
    pub name: String,
    /// HTML.
    pub description: Option<String>,
    /// The end of its public address; unique.
    pub url_string: Option<String>,
    /// The IANA zone of its events' times.
    pub timezone: String,
    /// Where it is.
    pub address: Address,
    /// Who can see it.
    pub visibility: Visibility,
    /// Whether one can register.
    pub registration_open: bool,
    /// Whether the worker's key reaches it.
    pub reachable: bool,
    /// Safe Sync mode: personal data of users with accounts cannot be edited.
    pub safe_sync: bool,
    /// The date of the next event, if RunSignup has another opinion than the events.
    pub next_date: Option<Date>,
    /// When it was made.
    pub created: Timestamp,
    /// When it was last changed.
    pub last_modified: Timestamp,
    /// Its custom questions by id; the one with the text `EMS ID` carries our id.
    pub questions: BTreeMap<i64, String>,
}

impl Default for Race {
    fn default() -> Self {
        Self {
            id: 0,
            name: "Race".to_owned(),
            description: None,
            url_string: None,
            timezone: "America/New_York".to_owned(),
            address: Address::default(),
            visibility: Visibility::Public,
            registration_open: true,
            reachable: true,
            safe_sync: false,
            next_date: None,
            created: Timestamp::UNIX_EPOCH,
            last_modified: Timestamp::UNIX_EPOCH,
            questions: BTreeMap::new(),
        }
    }
}

impl Race {
    /// The question that carries our id, if the race has it.
    pub(super) fn ems_question(&self) -> Option<i64> {
        let question = self.questions.iter().find(|(_, text)| text.as_str() == EMS_QUESTION);
        question.map(|(id, _)| *id)
    }
}

/// An event: one distance on one date.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Event {
    /// `event_id`
    pub id: i64,
    /// Its race.
    pub race_id: i64,
    /// Which of the race's days, usually which year, it belongs to.
    pub race_event_days_id: i64,
    /// The name.
    pub name: String,
    /// Text.
    pub details: Option<String>,
    /// When it starts, in the race's zone.
    pub start_time: DateTime,
    /// When it ends, in the race's zone.
    pub end_time: Option<DateTime>,
    /// When one can register.
    pub registration_opens: Option<Timestamp>,
    /// For example `running_race`.
    pub event_type: String,
    /// Free text, for example `3.1 Miles`.
    pub distance: Option<String>,
    /// Not a race, but a call for volunteers.
    pub volunteer: bool,
    /// What a participant can choose as a giveaway, to the letter.
    pub giveaway_options: Vec<String>,
    /// The fee in cents.
    pub race_fee_cents: i64,
}

impl Default for Event {
    fn default() -> Self {
        Self {
            id: 0,
            race_id: 0,
            race_event_days_id: 0,
            name: "Event".to_owned(),
            details: None,
            start_time: date(2099, 6, 1).at(9, 0, 0, 0),
            end_time: None,
            registration_opens: None,
            event_type: "running_race".to_owned(),
            distance: None,
            volunteer: false,
            giveaway_options: Vec::new(),
            race_fee_cents: 5500,
        }
    }
}

/// A user: a person, with or without an account. One person can be several users.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct User {
    /// `user_id`
    pub id: i64,
    /// Given name.
    pub first_name: String,
    /// Middle name.
    pub middle_name: Option<String>,
    /// Family name.
    pub last_name: String,
    /// Not unique: families share one.
    pub email: Option<String>,
    /// Date of birth.
    pub dob: Option<Date>,
    /// `M`, `F` or `X`.
    pub gender: Option<String>,
    /// `856-850-1510`
    pub phone: Option<String>,
    /// The address.
    pub address: Address,
    /// Whether the person can log in: some of it is then nobody else's to edit.
    pub has_account: bool,
}

/// A registration of a user in an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Registration {
    /// `registration_id`
    pub id: i64,
    /// Its event.
    pub event_id: i64,
    /// Its user.
    pub user_id: i64,
    /// A number.
    pub bib_num: Option<i64>,
    /// Text.
    pub chip_num: Option<String>,
    /// The age on the day of the event.
    pub age: Option<i64>,
    /// The team.
    pub team_id: Option<i64>,
    /// One of the event's giveaways.
    pub giveaway: Option<String>,
    /// When it was made, in Unix seconds.
    pub registered_at: i64,
    /// When it was last changed, in Unix seconds.
    pub last_modified: i64,
    /// Whether it came through the API rather than through a payment.
    pub imported: bool,
    /// The fee in cents.
    pub race_fee_cents: i64,
    /// What was paid in cents.
    pub amount_paid_cents: i64,
    /// Answers to the race's questions, by question.
    pub responses: BTreeMap<i64, String>,
    /// Whether it stands. One that was removed and came back stands, and has a removal.
    pub active: bool,
    /// How it was removed, the last time.
    pub removal: Option<Removal>,
}

impl Default for Registration {
    fn default() -> Self {
        Self {
            id: 0,
            event_id: 0,
            user_id: 0,
            bib_num: None,
            chip_num: None,
            age: None,
            team_id: None,
            giveaway: None,
            registered_at: 0,
            last_modified: 0,
            imported: false,
            race_fee_cents: 5500,
            amount_paid_cents: 5775,
            responses: BTreeMap::new(),
            active: true,
            removal: None,
        }
    }
}

/// How a registration went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Removal {
    /// Why.
    pub reason: Reason,
    /// When, in Unix seconds.
    pub at: i64,
    /// The registration in the other event, after a transfer.
    #[serde(default)]
    pub new_registration_id: Option<i64>,
}

/// Why a registration went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Taken back within the first 15 minutes.
    Cleared,
    /// Refunded, or removed by hand.
    Removed,
    /// To another event.
    Transferred,
    /// To another year.
    Deferred,
}

impl Reason {
    /// Its word in `removed_reason`.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Cleared => "cleared",
            Self::Removed => "removed",
            Self::Transferred => "transferred",
            Self::Deferred => "deferred",
        }
    }
}
