//! Gridward's headend.
