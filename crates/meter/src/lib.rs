//! Gridward's virtual meter: metrology, object model, journal, breaker; holds a meter's keys.
//!
//! | module | what it holds |
//! |---|---|
//! | [`history`] | the rows of a load profile in memory |
//! | [`journal`] | captured rows, logs and state on disk, shared by all meters of a process |
//! | [`metrology`] | power and energy as functions of time and a seed |
//! | [`template`] | meter models: objects, sources of their values, rights |

pub mod history;
pub mod journal;
pub mod metrology;
pub mod template;
mod varint;
