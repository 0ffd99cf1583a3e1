//! Gridward's dlms.
