//! Tests of the policy on traces, with a simulated process (`process`) and a clock that is a number.

mod absurd;
mod bursts;
mod lessons;
mod process;
mod returning_loads;
mod table;
mod ticks;
