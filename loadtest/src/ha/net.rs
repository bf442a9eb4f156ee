//! Network namespaces: one for each node, and a hub with everything else, joined by a bridge. A cut cable is a link that is down.
//!
//! They have names of this process's own and are removed with all that runs in them when the value is dropped.

use anyhow::{Context, Result, ensure};
use std::path::Path;
use std::process::{Command, Stdio};

/// Nodes of the cluster.
pub(super) const NODES: usize = 3;
/// The bridge's network, which exists in these namespaces alone.
pub(super) const NETWORK: &str = "10.77.0.0/24";

/// The namespaces of one run.
pub(super) struct Network {
    name: String,
}

/// The address of a node.
pub(super) fn address(node: usize) -> String {
    format!("10.77.0.{}", 11 + node)
}

/// The namespace of a node.
pub(super) fn namespace(name: &str, node: usize) -> String {
    format!("{name}-n{node}")
}

impl Network {
    /// Makes them.
    pub(super) fn create() -> Result<Self> {
        let network = Self {
            name: format!("cfha{}", std::process::id()),
        };
        let hub = network.hub();
        ip(&["netns", "add", &hub])?;
        within(&hub, &["link", "set", "lo", "up"])?;
        within(&hub, &["link", "add", "br0", "type", "bridge"])?;
        within(&hub, &["addr", "add", "10.77.0.1/24", "dev", "br0"])?;
        within(&hub, &["link", "set", "br0", "up"])?;
        for node in 0..NODES {
            let (space, link) = (namespace(&network.name, node), link(node));
            ip(&["netns", "add", &space])?;
            within(
                &hub,
                &[
                    "link", "add", &link, "type", "veth", "peer", "name", "eth0", "netns", &space,
                ],
            )?;
            within(&hub, &["link", "set", &link, "master", "br0", "up"])?;
            within(&space, &["link", "set", "lo", "up"])?;
            within(
                &space,
                &["addr", "add", &format!("{}/24", address(node)), "dev", "eth0"],
            )?;
            within(&space, &["link", "set", "eth0", "up"])?;
        }
        Ok(network)
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn hub(&self) -> String {
        format!("{}-hub", self.name)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let spaces = (0..NODES).map(|node| namespace(&self.name, node)).chain([self.hub()]);
        for space in spaces {
            for pid in pids(&space) {
                kill("KILL", pid);
            }
            let _ = ip(&["netns", "delete", &space]);
        }
    }
}

/// Cuts a node off, or joins it again. Run inside the hub.
pub(super) fn cut(node: usize, off: bool) -> Result<()> {
    ip(&["link", "set", &link(node), if off { "down" } else { "up" }])
}

/// What runs in a namespace.
pub(super) fn pids(space: &str) -> Vec<u32> {
    let listed = Command::new("ip").args(["netns", "pids", space]).output();
    let listed = listed
        .map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
        .unwrap_or_default();
    listed.lines().filter_map(|line| line.trim().parse().ok()).collect()
}

/// Sends a signal to a process that this run started.
pub(super) fn kill(signal: &str, pid: u32) {
    let quiet = Command::new("kill")
        .arg(format!("-{signal}"))
        .arg(pid.to_string())
        .stderr(Stdio::null())
        .status();
    let _ = quiet; // gone already
}

/// Whether a program is installed.
pub(super) fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .any(|folder| Path::new(&folder).join(program).exists())
}

fn link(node: usize) -> String {
    format!("veth{node}")
}

fn within(space: &str, arguments: &[&str]) -> Result<()> {
    let mut all = vec!["-n", space];
    all.extend(arguments);
    ip(&all)
}

fn ip(arguments: &[&str]) -> Result<()> {
    let output = Command::new("ip").args(arguments).output().context("ip")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "ip {}: {}", arguments.join(" "), said.trim());
    Ok(())
}
