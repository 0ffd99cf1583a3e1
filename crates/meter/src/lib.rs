//! Gridward's virtual meter: metrology, object model, journal, breaker; holds a meter's keys.
//!
//! | module | what it holds |
//! |---|---|
//! | [`metrology`] | power and energy as functions of time and a seed |

pub mod metrology;
