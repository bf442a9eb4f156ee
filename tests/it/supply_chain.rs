//! Where the program comes from: one registry, no second implementation of what must be patched in a hurry, releases that can be
//! built again bit by bit, and fuzz targets that are really run.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use cargo_metadata::MetadataCommand;
use tests::{said, workspace};

const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

#[test]
fn the_build_trusts_one_registry_and_bans_second_implementations() {
    let metadata = MetadataCommand::new()
        .current_dir(workspace())
        .exec()
        .expect("cargo metadata");
    assert!(
        metadata.packages.len() > 200,
        "these are not all: {}",
        metadata.packages.len()
    );
    let ours: BTreeSet<&str> = metadata
        .workspace_packages()
        .iter()
        .map(|package| package.name.as_str())
        .collect();
    let banned = ["ring", "openssl-sys", "native-tls", "reqwest", "chrono"];
    let policy = fs::read_to_string(workspace().join("deny.toml")).expect("deny.toml");
    for crate_name in banned {
        assert!(
            policy.contains(&format!("crate = \"{crate_name}\"")),
            "deny.toml does not ban {crate_name}"
        );
    }
    for package in &metadata.packages {
        let name = package.name.as_str();
        match &package.source {
            Some(source) => assert_eq!(source.repr, REGISTRY, "{name}"),
            None => assert!(ours.contains(name), "{name} comes from a folder"),
        }
    }
    let lock = fs::read_to_string(workspace().join("Cargo.lock")).expect("Cargo.lock");
    let (sources, checksums) = (
        lock.matches("\nsource = ").count(),
        lock.matches("\nchecksum = ").count(),
    );
    assert_eq!(sources, checksums, "what comes from elsewhere has a checksum");
}

/// The scripts that `make reproduce` runs over the whole program, over a program of one file: the same bytes from two folders,
/// and with the flags left out they would differ.
#[test]
fn a_release_is_built_from_the_lock_without_paths_or_times() {
    let folder = std::env::temp_dir().join(format!("reproduce-{}", uuid::Uuid::now_v7().simple()));
    let source = folder.join("source");
    fs::create_dir_all(source.join("src")).expect("a folder");
    let manifest = "[package]\nname = \"probe\"\nversion = \"1.0.0\"\nedition = \"2024\"\n[workspace]\n[profile.release]\ndebug = true\n";
    fs::write(source.join("Cargo.toml"), manifest).expect("a file");
    // Where a panic is, and what a line of debugging information says, are paths.
    let program = "fn main() { assert!(std::env::args().count() < 9, \"{}\", std::panic::Location::caller()); }\n";
    fs::write(source.join("src/main.rs"), program).expect("a file");
    let run = |command: &mut Command| {
        let output = command
            .env_remove("CARGO_TARGET_DIR")
            .current_dir(&source)
            .output()
            .expect("it starts");
        (output.status.success(), said(&output))
    };
    let (made, said) = run(Command::new(env!("CARGO")).args(["generate-lockfile", "--offline"]));
    assert!(made, "{said}");

    let (same, said) = run(Command::new(workspace().join("scripts/reproduce.sh")).arg(&source));
    assert!(same && said.contains("reproduce: identical"), "{said}");

    let built = |name: &str| {
        let copy = folder.join(name);
        fs::create_dir_all(copy.join("src")).expect("a folder");
        for file in ["Cargo.toml", "Cargo.lock", "src/main.rs"] {
            fs::copy(source.join(file), copy.join(file)).expect("a copy");
        }
        let (done, said) = run(Command::new(env!("CARGO"))
            .args(["build", "--release", "--offline"])
            .current_dir(&copy)
            .arg("--manifest-path")
            .arg(copy.join("Cargo.toml")));
        assert!(done, "{said}");
        fs::read(copy.join("target/release/probe")).expect("a program")
    };
    assert_ne!(built("here"), built("there"), "this test would not notice a path");
    fs::remove_dir_all(&folder).expect("removes");
}

#[test]
fn every_fuzz_target_is_run_and_has_a_corpus() {
    let fuzz = workspace().join("fuzz");
    let names = |folder: &Path| -> BTreeSet<String> {
        let entries = fs::read_dir(folder)
            .expect("a folder")
            .map(|entry| entry.expect("an entry").path());
        entries
            .map(|path| path.file_stem().expect("a name").to_string_lossy().into_owned())
            .collect()
    };
    let targets = names(&fuzz.join("fuzz_targets"));
    assert!(targets.len() >= 7, "{targets:?}");
    assert_eq!(names(&fuzz.join("corpus")), targets, "a corpus for each target");
    let manifest = fs::read_to_string(fuzz.join("Cargo.toml")).expect("a manifest");
    for target in &targets {
        assert!(
            manifest.contains(&format!("path = \"fuzz_targets/{target}.rs\"")),
            "{target} is not in fuzz/Cargo.toml"
        );
        assert!(
            !names(&fuzz.join("corpus").join(target)).is_empty(),
            "the corpus of {target} is empty"
        );
    }
    let script = fs::read_to_string(workspace().join("scripts/fuzz.sh")).expect("a script");
    assert!(script.contains("cargo fuzz list"), "make fuzz runs them all");
}
