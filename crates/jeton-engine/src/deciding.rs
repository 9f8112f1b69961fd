//! What one decision is made with: handed from step to step.

use std::net::IpAddr;

use crate::clock::Time;
use crate::engine::Engine;
use crate::event::Reference;
use crate::live::RealmState;
use crate::terms::Terms;

/// The circumstances of one token request.
#[derive(Clone, Copy)]
pub(crate) struct Deciding<'a> {
    pub(crate) engine: &'a Engine,
    pub(crate) realm: &'a RealmState,
    pub(crate) terms: &'a Terms,
    pub(crate) source: IpAddr,
    pub(crate) now: Time,
    pub(crate) reference: Reference,
}
