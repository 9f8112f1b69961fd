//! Proves that the tree keeps the rules of the house that no compiler knows.
//!
//! Each test is one rule, named for what holds. A failure says file, line and what to do. The rules
//! are told in STYLE.md; a rule that cannot be checked stays there as advice.
#![cfg(test)]

mod code;
mod compiler;
mod crates;
mod dialects;
mod documents;
mod shape;
mod statements;
mod tree;
mod words;
