//! The API of a daemon that runs, asked by a client that costs little: what it adds to a run, what it bears,
//! what it takes from frames, and what those who look cost.

mod client;
mod endurance;
mod infer;
mod live;
mod load;
mod page;
mod subject;

pub(crate) use endurance::rows as endurance;
pub(crate) use infer::rows as infer;
pub(crate) use live::rows as live;
pub(crate) use page::rows as page;
