//! All five targets at once behind one EMS: random changes end in parity everywhere, lost answers double nothing anywhere, and
//! one that is away costs the others nothing.

mod changes;
pub(crate) mod world;

mod converge;
mod lost;
mod offline;
