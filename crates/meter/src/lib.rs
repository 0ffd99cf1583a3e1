//! Gridward's meter.
