//! `gridward decode` through the command line.

mod mutation;
mod pushes;
mod refusals;
mod synthetic;
mod telegrams;
mod vectors;
