//! MailChimp, line by line through `tests/remotes/contracts/mailchimp.md`.

mod batches;
mod bulk;
mod client;
mod consent;
mod door;
mod people;
mod reads;
mod refusals;
mod removal;
mod tags;
mod upsert;
mod webhooks;
