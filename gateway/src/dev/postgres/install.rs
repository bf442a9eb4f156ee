//! Finding an installed PostgreSQL, and an account to run it as. Nothing is ever downloaded.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::geteuid;

use super::PostgresError;

/// The two programs that a server needs.
#[derive(Debug)]
pub(super) struct Programs {
    pub(super) initdb: PathBuf,
    pub(super) postgres: PathBuf,
}

impl Programs {
    /// The newest installation, or for existing data the one of its major version: PostgreSQL opens no other's files.
    pub(super) fn find(data: &Path) -> Result<Self, PostgresError> {
        let wanted = fs::read_to_string(data.join("PG_VERSION"))
            .ok()
            .and_then(|text| text.trim().parse::<u32>().ok());
        folders()
            .into_iter()
            .filter_map(|folder| Some((version(&folder)?, folder)))
            .filter(|(version, _)| wanted.is_none_or(|wanted| wanted == version.0))
            .max_by_key(|(version, _)| *version)
            .map(|(_, folder)| Self {
                initdb: folder.join("initdb"),
                postgres: folder.join("postgres"),
            })
            .ok_or_else(|| {
                let which = wanted.map(|wanted| format!(" of version {wanted}, which made {}", data.display()));
                PostgresError::NotInstalled(which.unwrap_or_default())
            })
    }
}

/// An unprivileged account.
#[derive(Clone, Debug)]
pub(super) struct Account {
    pub(super) uid: u32,
    pub(super) gid: u32,
}

impl Account {
    /// `None` when this process is not root and the server can simply run as itself.
    pub(super) fn to_become() -> Result<Option<Self>, PostgresError> {
        if !geteuid().is_root() {
            return Ok(None);
        }
        let accounts = fs::read_to_string("/etc/passwd").unwrap_or_default();
        ["postgres", "nobody"]
            .iter()
            .find_map(|name| Self::named(name, &accounts))
            .map(Some)
            .ok_or(PostgresError::NoAccount)
    }

    fn named(name: &str, accounts: &str) -> Option<Self> {
        let line = accounts.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut fields = line.split(':').skip(2);
        Some(Self {
            uid: fields.next()?.parse().ok()?,
            gid: fields.next()?.parse().ok()?,
        })
    }
}

/// Folders that hold both programs.
fn folders() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    for (parent, inside) in USUAL {
        let children = fs::read_dir(parent).into_iter().flatten().flatten();
        folders.extend(children.map(|child| child.path().join(inside)));
    }
    folders.retain(|folder| folder.join("initdb").is_file() && folder.join("postgres").is_file());
    folders
}

/// Major and minor, from `postgres (PostgreSQL) 15.18 (Debian ..)`.
fn version(folder: &Path) -> Option<(u32, u32)> {
    let output = Command::new(folder.join("postgres"))
        .arg("--version")
        .current_dir("/")
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let mut parts = text.split_whitespace().nth(2)?.split('.');
    let major = parts
        .next()?
        .chars()
        .take_while(char::is_ascii_digit)
        .collect::<String>()
        .parse()
        .ok()?;
    Some((major, parts.next().and_then(|minor| minor.parse().ok()).unwrap_or(0)))
}

/// Debian and Ubuntu; Red Hat; Homebrew on both kinds of Mac.
const USUAL: &[(&str, &str)] = &[
    ("/usr/lib/postgresql", "bin"),
    ("/usr", "bin"), // /usr/pgsql-NN/bin
    ("/opt/homebrew/opt", "bin"),
    ("/usr/local/opt", "bin"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_an_account_by_its_whole_name() {
        let accounts = "root:x:0:0::/root:/bin/sh\npostgres2:x:7:8::/:/bin/sh\npostgres:x:101:104:a,b:/var:/bin/bash\n";
        let account = Account::named("postgres", accounts).expect("listed");
        assert_eq!((account.uid, account.gid), (101, 104));
        assert!(Account::named("nobody", accounts).is_none());
    }
}
