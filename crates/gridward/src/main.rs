//! The program `gridward`.

fn main() {}
