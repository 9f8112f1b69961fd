//! What one decision is made with: handed from step to step.

use crate::clock::Time;
use crate::engine::Engine;
use crate::event::Reference;
use crate::live::RealmState;
use crate::request::Caller;
use crate::terms::Terms;

/// The circumstances of one token request.
#[derive(Clone, Copy)]
pub(crate) struct Deciding<'a> {
    pub(crate) engine: &'a Engine,
    pub(crate) realm: &'a RealmState,
    pub(crate) terms: &'a Terms,
    pub(crate) caller: Caller<'a>,
    pub(crate) now: Time,
    pub(crate) reference: Reference,
}
