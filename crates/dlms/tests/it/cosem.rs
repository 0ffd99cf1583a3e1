//! COSEM objects: names, classes, rights, selections.

mod access;
mod class;
mod obis;
mod profile;
mod unit;
