//! The firewall rules as they are shipped, in network namespaces: business, management, payment, database and outside, with a
//! router between them that forwards everything. What is refused is therefore refused by the rules alone.
//!
//! Needs root, iproute2 and nftables; where namespaces are not permitted the test says so and proves nothing.

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::fs::File;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use tests::{said, workspace};

/// Name, address and prefix as deploy/nftables/addresses.nft has them; the router is `.1` of each network.
const PLACES: [(&str, &str); 5] = [
    ("business", "10.20.0.5"),
    ("management", "10.20.9.5"),
    ("payment", "10.20.1.10"),
    ("database", "10.20.2.10"),
    ("outside", "198.51.100.10"),
];
/// Another host of the outside world, which nobody named.
const ELSEWHERE: &str = "203.0.113.10";

/// From, to, port, whether it is reached under the rules.
#[rustfmt::skip]
const TABLE: &[(&str, &str, u16, bool)] = &[
    // business systems: the API port of the payment host, and nothing else of anyone
    ("business",   "10.20.1.10",    8443, true),
    ("business",   "10.20.1.10",    9443, false),
    ("business",   "10.20.1.10",    22,   false),
    ("business",   "10.20.1.10",    5432, false),
    ("business",   "10.20.2.10",    5432, false),
    ("business",   "10.20.2.10",    22,   false),
    // management: the operations port and ssh
    ("management", "10.20.1.10",    9443, true),
    ("management", "10.20.1.10",    22,   true),
    ("management", "10.20.1.10",    8443, false),
    ("management", "10.20.2.10",    22,   true),
    ("management", "10.20.2.10",    5432, false),
    // the world: nothing
    ("outside",    "10.20.1.10",    8443, false),
    ("outside",    "10.20.1.10",    9443, false),
    ("outside",    "10.20.1.10",    22,   false),
    ("outside",    "10.20.2.10",    5432, false),
    ("outside",    "10.20.2.10",    22,   false),
    // the payment host: its database and the acquirers that are named
    ("payment",    "10.20.2.10",    5432, true),
    ("payment",    "10.20.2.10",    22,   false),
    ("payment",    "198.51.100.10", 443,  true),
    ("payment",    "198.51.100.10", 80,   false),
    ("payment",    ELSEWHERE,       443,  false),
    ("payment",    "10.20.0.5",     443,  false),
    // the database calls nobody
    ("database",   "10.20.1.10",    8443, false),
    ("database",   "198.51.100.10", 443,  false),
    ("database",   ELSEWHERE,       443,  false),
    ("database",   "10.20.0.5",     443,  false),
];

#[test]
fn the_shipped_firewall_lets_through_what_it_names_and_nothing_else() {
    let net = match Net::build() {
        Ok(net) => net,
        Err(why) => {
            eprintln!("SKIPPED, nothing is proven about the firewall here: {why}");
            return;
        }
    };
    let mut listeners = Vec::new();
    for (_, to, port, _) in TABLE {
        let place = net.place_of(to);
        let address: SocketAddr = format!("0.0.0.0:{port}").parse().expect("an address");
        // One listener per place and port; the kernel completes handshakes by itself.
        if let Ok(listener) = net.within(place, move || TcpListener::bind(address)) {
            listeners.push(listener);
        }
    }
    for (from, to, port, _) in TABLE {
        assert!(
            net.reaches(from, to, *port),
            "without rules {from} reaches {to}:{port}, or the table proves nothing"
        );
    }
    let told = net.within("outside", || UdpSocket::bind("0.0.0.0:53")).expect("binds");
    told.set_read_timeout(Some(PATIENCE)).expect("sets");
    net.tell("payment", ELSEWHERE, 53);
    told.recv(&mut [0; 8]).expect("without rules a datagram arrives");

    for place in ["payment", "database"] {
        net.load(place);
        net.load(place); // again, as a reload does
    }
    for (from, to, port, expected) in TABLE {
        assert_eq!(net.reaches(from, to, *port), *expected, "{from} to {to}:{port}");
    }
    for place in ["payment", "database"] {
        net.tell(place, ELSEWHERE, 53); // names asked of a stranger are a way out, too
    }
    assert!(told.recv(&mut [0; 8]).is_err(), "a datagram left");

    // A target is opened by name, and by address and port, while the rules stay as they are.
    let element = format!("{{ {ELSEWHERE} . 443 }}");
    net.run(
        "payment",
        &[
            "nft",
            "add",
            "element",
            "inet",
            "counterfoil",
            "webhook_targets",
            &element,
        ],
    )
    .expect("nft");
    assert!(net.reaches("payment", ELSEWHERE, 443));
    assert!(!net.reaches("payment", ELSEWHERE, 80));
    assert!(!net.reaches("database", ELSEWHERE, 443));
}

#[test]
fn the_service_unit_is_confined() {
    let path = workspace().join("deploy/systemd/counterfoil.service");
    let unit = std::fs::read_to_string(&path).expect("the unit");
    let setting = |name: &str| {
        let lines = unit.lines().filter_map(|line| line.split_once('='));
        lines
            .filter(|(key, _)| *key == name)
            .map(|(_, value)| value.trim())
            .collect::<Vec<_>>()
    };
    for (name, value) in [
        ("NoNewPrivileges", "yes"),
        ("CapabilityBoundingSet", ""),
        ("AmbientCapabilities", ""),
        ("ProtectSystem", "strict"),
        ("ProtectHome", "yes"),
        ("PrivateTmp", "yes"),
        ("PrivateDevices", "yes"),
        ("PrivateUsers", "yes"),
        ("ProtectKernelTunables", "yes"),
        ("ProtectKernelModules", "yes"),
        ("ProtectControlGroups", "yes"),
        ("RestrictNamespaces", "yes"),
        ("MemoryDenyWriteExecute", "yes"),
        ("RestrictAddressFamilies", "AF_INET AF_INET6 AF_UNIX"),
        ("SystemCallArchitectures", "native"),
        ("LimitCORE", "0"),
        ("UMask", "0077"),
    ] {
        assert_eq!(setting(name), [value], "{name}");
    }
    assert!(setting("ReadWritePaths").is_empty(), "it writes nowhere");
    let drain: u64 = setting("TimeoutStopSec")[0].parse().expect("seconds");
    assert!(
        drain * 1000 > gateway::edge::Limits::default().drain_ms,
        "killed before it has drained"
    );

    // systemd's own judgement, where it is installed: the program's path is made to exist for it.
    let scratch = std::env::temp_dir().join(format!("counterfoil-unit-{}", uuid::Uuid::now_v7().simple()));
    std::fs::create_dir_all(&scratch).expect("a folder");
    let copy = scratch.join("counterfoil.service");
    std::fs::write(&copy, unit.replace("/usr/bin/counterfoil", "/bin/true")).expect("writes");
    let analyze = |arguments: &[&str]| Command::new("systemd-analyze").args(arguments).arg(&copy).output();
    match analyze(&["verify"]) {
        Err(_) => eprintln!("systemd-analyze is not here: only the settings above were looked at"),
        Ok(verified) => {
            assert!(verified.status.success(), "{}", said(&verified));
            let judged = analyze(&["security", "--offline=true", "--threshold=20"]).expect("runs");
            assert!(judged.status.success(), "an exposure above 2.0: {}", said(&judged));
        }
    }
    std::fs::remove_dir_all(&scratch).expect("clean up");
}

/// Namespaces that go when this does.
struct Net {
    tag: String,
}

impl Net {
    fn build() -> Result<Self, String> {
        if !rustix::process::geteuid().is_root() {
            return Err("network namespaces need root".into());
        }
        let tag = format!("cf{}", std::process::id());
        let net = Self { tag };
        net.ip(&["netns", "add", &net.name("router")])?;
        net.run("router", &["sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"])?;
        for (n, (place, address)) in PLACES.iter().enumerate() {
            let (network, _) = address.rsplit_once('.').ok_or("an address")?;
            let (name, router, gateway) = (net.name(place), net.name("router"), format!("{network}.1"));
            let end = format!("r{n}");
            net.ip(&["netns", "add", &name])?;
            net.ip(&[
                "link", "add", "eth0", "netns", &name, "type", "veth", "peer", "name", &end, "netns", &router,
            ])?;
            net.run(
                place,
                &["ip", "address", "add", &format!("{address}/24"), "dev", "eth0"],
            )?;
            net.run(place, &["ip", "link", "set", "lo", "up"])?;
            net.run(place, &["ip", "link", "set", "eth0", "up"])?;
            net.run(
                "router",
                &["ip", "address", "add", &format!("{gateway}/24"), "dev", &end],
            )?;
            net.run("router", &["ip", "link", "set", &end, "up"])?;
            net.run(place, &["ip", "route", "add", "default", "via", &gateway])?;
        }
        net.run(
            "outside",
            &["ip", "address", "add", &format!("{ELSEWHERE}/32"), "dev", "eth0"],
        )?;
        net.run(
            "router",
            &["ip", "route", "add", &format!("{ELSEWHERE}/32"), "via", "198.51.100.10"],
        )?;
        net.run("payment", &["nft", "list", "ruleset"])?;
        Ok(net)
    }

    fn name(&self, place: &str) -> String {
        format!("{}-{place}", self.tag)
    }

    fn place_of(&self, address: &str) -> &'static str {
        PLACES
            .iter()
            .find(|(_, own)| *own == address)
            .map_or("outside", |(place, _)| place)
    }

    /// Runs on a thread that has moved into the namespace: sockets made there stay there.
    fn within<T: Send + 'static>(&self, place: &str, work: impl FnOnce() -> T + Send + 'static) -> T {
        let handle = File::open(Path::new("/run/netns").join(self.name(place))).expect("the namespace");
        let thread = std::thread::spawn(move || {
            move_into_link_name_space(handle.as_fd(), Some(LinkNameSpaceType::Network)).expect("setns");
            work()
        });
        thread.join().expect("the thread ends")
    }

    fn reaches(&self, from: &str, to: &str, port: u16) -> bool {
        let address: SocketAddr = format!("{to}:{port}").parse().expect("an address");
        self.within(from, move || TcpStream::connect_timeout(&address, PATIENCE).is_ok())
    }

    fn tell(&self, from: &str, to: &str, port: u16) {
        let address: SocketAddr = format!("{to}:{port}").parse().expect("an address");
        self.within(from, move || {
            let socket = UdpSocket::bind("0.0.0.0:0").expect("binds");
            let _ = socket.send_to(b"hello", address); // refused at once, or on the way
        });
    }

    fn load(&self, place: &str) {
        let rules = workspace().join("deploy/nftables");
        let mut nft = Command::new("ip");
        nft.args(["netns", "exec", &self.name(place), "nft", "-f", &format!("{place}.nft")]);
        let loaded = nft.current_dir(rules).output().expect("runs");
        assert!(loaded.status.success(), "{place}.nft: {}", said(&loaded));
    }

    fn run(&self, place: &str, command: &[&str]) -> Result<(), String> {
        let name = self.name(place);
        self.ip(&[&["netns", "exec", name.as_str()], command].concat())
    }

    fn ip(&self, arguments: &[&str]) -> Result<(), String> {
        let output = Command::new("ip")
            .args(arguments)
            .output()
            .map_err(|error| format!("ip: {error}"))?;
        match output.status.success() {
            true => Ok(()),
            false => Err(format!("ip {}: {}", arguments.join(" "), said(&output).trim())),
        }
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        for place in PLACES.iter().map(|(place, _)| *place).chain(["router"]) {
            let _ = self.ip(&["netns", "delete", &self.name(place)]);
        }
    }
}

/// How long a packet may take on one machine; what was dropped is waited for in vain this long.
const PATIENCE: Duration = Duration::from_millis(800);
