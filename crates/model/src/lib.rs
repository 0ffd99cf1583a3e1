//! Gridward's model.
