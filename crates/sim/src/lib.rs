//! Gridward's sim.
