//! The program under test as processes: where it is, that it is fresh, and that nothing outlives the tests.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Once;
use std::time::SystemTime;

use rustix::process::{Pid, Signal, kill_process};

/// Where the program is: in the target folder that this test was built into.
pub fn binary() -> PathBuf {
    let own = std::env::current_exe().expect("own path");
    let deps = own.parent().expect("a folder");
    deps.parent().expect("a target folder").join("counterfoil")
}

/// Builds the program if it is absent or older than its sources: testing only this crate builds no other package's binaries.
pub fn ensure_built() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let binary = binary();
        let built = fs::metadata(&binary).and_then(|meta| meta.modified()).ok();
        let root = workspace();
        let sources = [
            "gateway/src",
            "gateway/migrations",
            "ledger/src",
            "ledger/migrations",
            "anomaly/src",
            "reconcile/src",
            "simulator/src",
        ];
        let changed = sources.iter().filter_map(|folder| newest(&root.join(folder))).max();
        if built.is_some() && built >= changed {
            return;
        }
        let mut cargo = Command::new(env!("CARGO"));
        cargo
            .args(["build", "--quiet", "--package", "gateway"])
            .current_dir(root);
        let target = binary.parent().expect("a folder");
        if target.file_name().is_some_and(|profile| profile == "release") {
            cargo.arg("--release");
        }
        cargo.arg("--target-dir").arg(target.parent().expect("a target folder"));
        assert!(
            cargo.status().expect("cargo runs").success(),
            "the gateway does not build"
        );
    });
}

/// The folder of the workspace.
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a workspace")
}

pub fn counterfoil() -> Command {
    let mut command = Command::new(binary());
    command.stdin(Stdio::null());
    command
}

/// Starts `counterfoil dev`; its own output goes to `DIR/output`.
pub fn dev(dir: &Path, arguments: &[String]) -> Child {
    let output = fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(dir.join("output"))
        .expect("a file");
    let mut command = counterfoil();
    command
        .args(["dev", "--api-port", "0", "--ops-port", "0", "--dir"])
        .arg(dir)
        .args(arguments);
    command.env_remove("DATABASE_URL");
    command.stdout(output.try_clone().expect("a file")).stderr(output);
    command.spawn().expect("counterfoil dev starts")
}

pub fn signal(child: &Child, signal: Signal) {
    let _ = kill_process(Pid::from_child(child), signal);
}

/// A process that, when this one is gone, ends what runs in the folder and removes it. Statics have no destructor, and a test
/// binary may be killed; the watcher waits on a pipe that closes in every case.
pub struct Watcher {
    process: Child,
}

impl Watcher {
    pub fn start(dir: &Path) -> Self {
        // Where logs and dumps are kept for the search after the whole run, tests/scan.py; nowhere when it is not set.
        let kept = std::env::var_os("COUNTERFOIL_TEST_REMAINS")
            .map(PathBuf::from)
            .unwrap_or_default();
        if kept.is_dir() {
            let name = dir.file_name().expect("a name").to_string_lossy();
            fs::write(kept.join(format!("{name}.pending")), "").expect("a file");
        }
        let process = Command::new("/bin/sh")
            .args(["-c", WATCH, "watch"])
            .arg(dir)
            .arg(kept)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .expect("/bin/sh");
        Self { process }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

/// The gateway stops the others; if it was killed, they are asked one by one.
const WATCH: &str = r#"read -r _
cd "$1" || exit
number() { sed -n 's/.*"pid": *\([0-9]*\).*/\1/p' "$1" 2>/dev/null; }
end() { [ -n "$2" ] || return; kill -"$1" "$2" 2>/dev/null; n=0
        while kill -0 "$2" 2>/dev/null && [ $n -lt 300 ]; do sleep 0.05; n=$((n + 1)); done; }
kept=$2/$(basename "$1")
if [ -f "$kept.pending" ] && [ -f dev.json ]; then
    pg_dump --no-owner --inserts "$(sed -n 's/.*"database_url": *"\([^"]*\)".*/\1/p' dev.json)" >"$kept.sql" 2>/dev/null
    cp dev.json "$kept.json"
fi
end TERM "$(number dev.json)"
end TERM "$(number simulator/ready.json)"
[ -f "$kept.pending" ] && cat log.jsonl output >"$kept.log" 2>/dev/null
end INT "$(head -n 1 postgres/data/postmaster.pid 2>/dev/null)"
cd / && rm -rf "$1"
rm -f "$kept.pending""#;

fn newest(folder: &Path) -> Option<SystemTime> {
    let entries = fs::read_dir(folder).ok()?.filter_map(Result::ok);
    entries
        .filter_map(|entry| match entry.file_type() {
            Ok(kind) if kind.is_dir() => newest(&entry.path()),
            Ok(_) => entry.metadata().and_then(|meta| meta.modified()).ok(),
            Err(_) => None,
        })
        .max()
}
