//! What the tests share: a database and a broker prefix of their own, a simulator, and processes of ems-sync.

pub(crate) mod binary;
pub(crate) mod browser;
pub(crate) mod campaign;
pub(crate) mod checker;
pub(crate) mod database;
pub(crate) mod ems;
pub(crate) mod fleet;
pub(crate) mod load;
pub(crate) mod parity;
pub(crate) mod process;
pub(crate) mod proxy;
pub(crate) mod random;
pub(crate) mod readings;
pub(crate) mod results;
pub(crate) mod rig;
pub(crate) mod services;
