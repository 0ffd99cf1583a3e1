//! Gridward's link.
