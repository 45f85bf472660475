//! Cameras that fail as cameras do: the daemon stays, other pipelines do not notice, what is wrong is said, and
//! frames flow again.

mod commands;
mod network;
mod pipelines;
mod rig;
mod video;
mod web;
