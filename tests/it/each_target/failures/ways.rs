//! How each target fails, in the words of its contract.

use ems_sync::target::Target;
use ems_sync_remotes::mailchimp::ThrottledAnswer;
use ems_sync_remotes::{Fault, Rule, runsignup};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::bed::{Bed, of_sim};

/// The resource that [`super::super::meddling::entity_of`] is there.
pub(super) const fn resource(target: Target) -> &'static str {
    match target {
        Target::TagServer => "people",
        Target::Mautic | Target::Chatwoot => "contacts",
        Target::MailChimp => "members",
        Target::RunSignup => "registrations",
    }
}

fn answers(code: u16, body: Value) -> Fault {
    Fault::Status { code, headers: Vec::new(), body: Some(body), applied: false }
}

/// How it refuses an entity's data.
pub(super) fn rejection(target: Target) -> Fault {
    match target {
        Target::TagServer => {
            let field = json!({"field": "lastName", "message": "Size"});
            answers(400, json!({"message": "error.validation", "fieldErrors": [field]}))
        }
        Target::Mautic => {
            let error =
                json!({"code": 400, "message": "lastname: too long", "details": {"lastname": []}});
            answers(400, json!({"errors": [error]}))
        }
        Target::MailChimp => {
            let error =
                json!({"field": "LNAME", "message": "Data did not match any of the schemas"});
            answers(
                400,
                json!({"title": "Invalid Resource", "status": 400,
                       "detail": "Your merge fields were invalid.", "errors": [error]}),
            )
        }
        // An error object in HTTP 200.
        Target::RunSignup => runsignup::api_error(110),
        Target::Chatwoot => Fault::status(422),
    }
}

/// How it refuses our credentials.
pub(super) fn refusal(target: Target) -> Fault {
    match target {
        Target::RunSignup => runsignup::api_error(6),
        Target::TagServer | Target::Mautic | Target::MailChimp | Target::Chatwoot => {
            Fault::status(401)
        }
    }
}

/// What a refusal of every request, the log-in's too, is called.
pub(super) const fn reason(target: Target) -> &'static str {
    match target {
        // Its log-in answers 401 to a client that it does not know.
        Target::Mautic => "configuration",
        Target::TagServer | Target::MailChimp | Target::RunSignup | Target::Chatwoot => {
            "authentication"
        }
    }
}

impl Bed {
    /// From now on the target asks for a pause, as it does: with the time, with an error inside HTTP 200, or with a bare
    /// refusal. Until [`Bed::serves`].
    pub(super) fn asks_for_a_pause(&self, target: Target) {
        let fault = match target {
            Target::TagServer | Target::Mautic => Fault::throttled(3),
            Target::MailChimp => {
                self.mailchimp.configure(|settings| {
                    settings.throttled_answer = ThrottledAnswer::BareForbidden;
                    settings.foreign_connections = settings.max_connections;
                });
                return;
            }
            Target::RunSignup => runsignup::throttled(),
            // Until the next minute of its own clock, which has few seconds left.
            Target::Chatwoot => {
                let second = Timestamp::now().as_second().rem_euclid(60);
                self.chatwoot.configure(|settings| settings.clock_offset_seconds = 57 - second);
                let headers = vec![("Content-Type".to_owned(), "text/plain".to_owned())];
                let body = Some(json!("Retry later\n"));
                Fault::Status { code: 429, headers, body, applied: false }
            }
        };
        let rule = Rule::new(fault).writes().resource(resource(target)).unlimited();
        of_sim!(self, target, sim => sim.faults().push(rule));
    }

    /// It does as it should again.
    pub(super) fn serves(&self, target: Target) {
        of_sim!(self, target, sim => sim.faults().clear());
        self.mailchimp.configure(|settings| settings.foreign_connections = 0);
    }
}
