//! Bringing a target up to date: claim, read, decide, push, finish.
//!
//! [`binding`], [`decision`], [`guard`], [`retry`], [`settle`] and [`dead_letter`] are pure: total functions over plain
//! values, which a simulation can drive. [`consumer`] takes deliveries from the broker, [`batch`] carries a batch of them
//! through the stages, [`bound`] sees that they go where they belong, [`budget`] that all processes together send no more
//! than a target bears.

pub mod batch;
pub mod binding;
pub mod bound;
pub mod breaker;
pub mod budget;
pub mod consumer;
pub mod dead_letter;
pub mod decision;
pub mod guard;
pub mod record;
pub mod retry;
pub mod settle;
pub mod tokens;
pub mod unacked;
