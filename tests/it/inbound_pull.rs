//! What is read from a remote: walks, records that are read by themselves, consents, web hooks and the commands for it. The
//! remote of most of them is a scripted one, so that a test says what happens between two pages.

mod double;

mod asked;
mod commands;
mod consents;
mod hooks;
mod walks;
