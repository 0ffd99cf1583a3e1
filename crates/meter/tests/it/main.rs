//! Tests of the meter through its public interface.

mod metrology;
mod template;
