//! Sensors on the way on which they come, that fail as sensors do: the daemon stays, other pipelines do not notice,
//! what is wrong is said and counted, and windows flow again.

mod faults;
mod iio;
mod machine;
mod mistakes;
mod recording;
mod rig;
mod ways;
