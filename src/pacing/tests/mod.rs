//! The policy on traces, with a simulated process and a clock that is a number.

mod absurd;
mod bursts;
mod lessons;
mod periods;
mod process;
mod table;
