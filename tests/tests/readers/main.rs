//! The readers of files that come from elsewhere: what nobody would write by accident, and what bolero makes up.
//! `tests/RELIABILITY.md` says what is promised, and how to let bolero search for hours.

mod compare;
mod corpus;
mod edits;
#[path = "../../../kernel-helpers/nn/src/checkpoint/file_writer.rs"]
mod file_writer;
mod fuzz;
mod hostile;
mod instructions;
mod promise;

#[global_allocator]
static MEMORY: peak_alloc::PeakAlloc = peak_alloc::PeakAlloc;
