//! A second reading of both sides, one per target: what the base tables want, by the contract alone, and what the simulator
//! holds. The client's mapping plays no part, so that a mistake in it can't hide. TagServer's is `parity`.

pub(crate) mod chatwoot;
pub(crate) mod mailchimp;
pub(crate) mod mautic;
pub(crate) mod runsignup;
