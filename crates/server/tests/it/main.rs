//! Real servers in this process, driven over real sockets, and the rules of the house.

#[cfg(test)]
pub mod churn;
#[cfg(test)]
pub mod client;
#[cfg(test)]
mod commands;
#[cfg(test)]
mod compression;
#[cfg(test)]
pub mod crowd;
#[cfg(test)]
mod drain;
#[cfg(test)]
mod durability;
#[cfg(test)]
mod edges;
#[cfg(test)]
mod embedded;
#[cfg(test)]
mod history;
#[cfg(test)]
mod house;
#[cfg(test)]
mod log;
#[cfg(test)]
pub mod outage;
#[cfg(test)]
pub mod poller;
#[cfg(test)]
mod polls;
#[cfg(test)]
pub mod process;
#[cfg(test)]
mod proxies;
#[cfg(test)]
pub mod redis;
#[cfg(test)]
mod relay;
#[cfg(test)]
mod reload;
#[cfg(test)]
mod restart;
#[cfg(test)]
pub mod scene;
#[cfg(test)]
mod shards;
#[cfg(test)]
mod slow;
#[cfg(test)]
mod tls;
#[cfg(test)]
mod trace;
#[cfg(test)]
mod tunnels;
#[cfg(test)]
mod wspush_command;
