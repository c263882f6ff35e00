//! Paths (contract, sections 4 and 7): under `/rest`, in any mixture of cases.

use crate::Request;

/// Where a path leads. The text is a race's or user's id as it was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Route {
    Races,
    NewRace,
    Race(String),
    Participants(String),
    RemovedParticipants(String),
    ParticipantCounts(String),
    BibChip(String),
    SyncSettings(String),
    Switch(String),
    Delete(String),
    User(String),
    Login,
    RedeemCode,
    RefreshToken,
    /// Under `/rest`, but no method of the API.
    UnknownMethod,
    /// Not the API at all.
    Outside,
}

impl Route {
    /// Where `request` goes.
    pub(super) fn of(request: &Request) -> Self {
        let path = request.path.to_ascii_lowercase();
        let mut segments = path.split('/').filter(|segment| !segment.is_empty());
        if segments.next() != Some("rest") {
            return Self::Outside;
        }
        let segments: Vec<&str> = segments.collect();
        let own = |text: &&str| (*text).to_owned();
        match segments.as_slice() {
            ["races"] => Self::Races,
            ["race"] => Self::NewRace,
            ["race", id] => Self::Race(own(id)),
            ["race", id, "participants"] => Self::Participants(own(id)),
            ["race", id, "removed-participants"] => Self::RemovedParticipants(own(id)),
            ["race", id, "participant-counts"] => Self::ParticipantCounts(own(id)),
            ["race", id, "get-bib-chip"] => Self::BibChip(own(id)),
            ["race", id, "sync-settings"] => Self::SyncSettings(own(id)),
            ["race", id, "switch-participant-events"] => Self::Switch(own(id)),
            ["race", id, "delete-participants"] => Self::Delete(own(id)),
            ["user", id] => Self::User(own(id)),
            ["login"] => Self::Login,
            ["v2", "auth", "auth-code-redemption.json"] => Self::RedeemCode,
            ["v2", "auth", "refresh-token.json"] => Self::RefreshToken,
            _ => Self::UnknownMethod,
        }
    }

    /// The route with its parameters by name.
    pub(super) fn template(&self) -> &'static str {
        match self {
            Self::Races => "/rest/races",
            Self::NewRace => "/rest/race",
            Self::Race(_) => "/rest/race/{race_id}",
            Self::Participants(_) => "/rest/race/{race_id}/participants",
            Self::RemovedParticipants(_) => "/rest/race/{race_id}/removed-participants",
            Self::ParticipantCounts(_) => "/rest/race/{race_id}/participant-counts",
            Self::BibChip(_) => "/rest/race/{race_id}/get-bib-chip",
            Self::SyncSettings(_) => "/rest/race/{race_id}/sync-settings",
            Self::Switch(_) => "/rest/race/{race_id}/switch-participant-events",
            Self::Delete(_) => "/rest/race/{race_id}/delete-participants",
            Self::User(_) => "/rest/user/{user_id}",
            Self::Login => "/rest/login",
            Self::RedeemCode => "/rest/v2/auth/auth-code-redemption.json",
            Self::RefreshToken => "/rest/v2/auth/refresh-token.json",
            Self::UnknownMethod | Self::Outside => "unknown",
        }
    }

    /// The methods it has.
    pub(super) fn allows(&self, method: &str) -> bool {
        match self {
            Self::Races
            | Self::Race(_)
            | Self::RemovedParticipants(_)
            | Self::ParticipantCounts(_)
            | Self::BibChip(_)
            | Self::User(_) => method == "GET",
            Self::Participants(_) => method == "GET" || method == "POST",
            Self::NewRace
            | Self::SyncSettings(_)
            | Self::Switch(_)
            | Self::Delete(_)
            | Self::Login
            | Self::RedeemCode
            | Self::RefreshToken => method == "POST",
            Self::UnknownMethod | Self::Outside => false,
        }
    }
}
