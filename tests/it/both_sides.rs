//! People edit on both sides at once: in the EMS, at RunSignup and at Chatwoot, while ems-sync pulls and pushes. In the end both sides
//! agree, and whatever of the remotes' was written over can be found again.

mod arrivals;
mod bench;
mod deaths;
mod echo;
mod here;
mod ledger;
mod lost;
mod rest;
mod run;
mod there;
