//! The folder of an embedded server: `data`, `socket`, `log`, `owner.password`, owned by the account that runs it.
//!
//! It is `DIR/postgres`. When root runs us and the server's account cannot enter DIR (root's home is closed to others), the
//! folder is made under `/var/lib/counterfoil` and `DIR/postgres` is a link to it.

use std::fs::{self, DirBuilder};
use std::io;
use std::net::TcpListener;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, chown, symlink};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::install::Account;
use super::{PostgresError, Postmaster};
use crate::dev::files;

#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) base: PathBuf,
    pub(super) data: PathBuf,
    pub(super) socket: PathBuf,
    pub(super) log: PathBuf,
    pub(super) password_file: PathBuf,
    pub(super) account: Option<Account>,
}

impl Place {
    /// Makes the folder or finds it again, with the owner and the modes that PostgreSQL insists on.
    pub(super) fn prepare(dir: &Path) -> Result<Self, PostgresError> {
        let mut account = Account::to_become()?;
        fs::create_dir_all(dir).map_err(|error| file(dir, error))?;
        let dir = dir.canonicalize().map_err(|error| file(dir, error))?;
        let link = dir.join("postgres");
        if let Some(account) = &account
            && !link.exists()
            && !enters(account, &dir).map_err(|error| file(&dir, error))?
        {
            let elsewhere = Path::new(ELSEWHERE).join(format!("dev-{}", fingerprint(&dir)));
            fs::create_dir_all(ELSEWHERE).map_err(|error| file(Path::new(ELSEWHERE), error))?;
            private_folder(&elsewhere, Some(account))?;
            let _ = fs::remove_file(&link); // a link whose target was removed
            symlink(&elsewhere, &link).map_err(|error| file(&link, error))?;
        }
        if link.exists() && account.is_some() {
            // Data made by an ordinary user stays his, also when root starts it later.
            let owner = fs::metadata(&link).map_err(|error| file(&link, error))?;
            if owner.uid() != 0 {
                account = Some(Account {
                    uid: owner.uid(),
                    gid: owner.gid(),
                });
            }
        }
        private_folder(&link, account.as_ref())?;
        let base = link.canonicalize().map_err(|error| file(&link, error))?;
        let mut socket = base.join("socket");
        if socket.join(LONGEST_SOCKET).as_os_str().len() > SOCKET_PATH_MAX {
            socket = Path::new("/tmp").join(format!("counterfoil-{}", fingerprint(&base)));
        }
        private_folder(&socket, account.as_ref())?;
        Ok(Self {
            data: base.join("data"),
            log: base.join("log"),
            password_file: base.join("owner.password"),
            socket,
            base,
            account,
        })
    }

    /// The owner's password, made on the first use. The server's account must read it once, for `initdb`.
    pub(super) fn password(&self) -> Result<String, PostgresError> {
        let path = &self.password_file;
        match fs::read_to_string(path) {
            Ok(text) => return Ok(text.trim().to_string()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(file(path, error)),
        }
        let password = hex::encode(rand::random::<[u8; 16]>());
        files::replace(path, format!("{password}\n").as_bytes(), 0o600).map_err(|error| file(path, error))?;
        own(path, self.account.as_ref())?;
        Ok(password)
    }

    pub(super) fn pid_file(&self) -> PathBuf {
        self.data.join("postmaster.pid")
    }

    /// Removes the locks of a server that is gone: its process id may belong to anyone by now, and PostgreSQL then refuses to
    /// start. Whether the memory of an old server is still in use it checks by itself.
    pub(super) fn clear_stale_locks(&self) -> Result<(), PostgresError> {
        if Postmaster::running(self).is_some() {
            return Ok(());
        }
        let sockets = fs::read_dir(&self.socket).map_err(|error| file(&self.socket, error))?;
        let sockets = sockets.flatten().map(|entry| entry.path());
        for path in std::iter::once(self.pid_file()).chain(sockets) {
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(file(&path, error)),
                _ => {}
            }
        }
        Ok(())
    }

    /// The port of last time if it is still free, so that a noted URL keeps working; else another.
    pub(super) fn free_port(&self) -> Result<u16, PostgresError> {
        let path = self.base.join("port");
        let last = fs::read_to_string(&path)
            .ok()
            .and_then(|text| text.trim().parse::<u16>().ok())
            .unwrap_or(0);
        let listener = TcpListener::bind(("127.0.0.1", last)).or_else(|_| TcpListener::bind(("127.0.0.1", 0)));
        let port = listener
            .and_then(|listener| listener.local_addr())
            .map_err(|error| file(&path, error))?
            .port();
        files::replace(&path, port.to_string().as_bytes(), 0o600).map_err(|error| file(&path, error))?;
        Ok(port)
    }

    /// The last lines of the server's log, for an error message.
    pub(super) fn log_tail(&self) -> String {
        let text = fs::read(&self.log)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(LOG_TAIL)..].join("\n")
    }
}

/// Makes `path` if it is missing, and insists that it is a folder of that account (or of ours) alone.
fn private_folder(path: &Path, account: Option<&Account>) -> Result<(), PostgresError> {
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => own(path, account),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let found = fs::metadata(path).map_err(|error| file(path, error))?;
            let owner = account.map_or_else(|| rustix::process::geteuid().as_raw(), |account| account.uid);
            if !found.is_dir() || found.uid() != owner || found.mode() & 0o077 != 0 {
                let error = io::Error::other(format!("must be a folder of user {owner} with mode 0700"));
                return Err(file(path, error));
            }
            Ok(())
        }
        Err(error) => Err(file(path, error)),
    }
}

fn own(path: &Path, account: Option<&Account>) -> Result<(), PostgresError> {
    match account {
        Some(account) => chown(path, Some(account.uid), Some(account.gid)).map_err(|error| file(path, error)),
        None => Ok(()),
    }
}

/// Whether the account may pass through `dir` and all folders above it.
fn enters(account: &Account, dir: &Path) -> io::Result<bool> {
    for folder in dir.ancestors() {
        let folder = fs::metadata(folder)?;
        let search = match (folder.uid() == account.uid, folder.gid() == account.gid) {
            (true, _) => 0o100,
            (_, true) => 0o010,
            _ => 0o001,
        };
        if folder.mode() & search == 0 {
            return Ok(false);
        }
    }
    Ok(true)
}

/// A short name for a path, the same each time.
fn fingerprint(path: &Path) -> String {
    hex::encode(&Sha256::digest(path.as_os_str().as_encoded_bytes())[..6])
}

pub(super) fn file(path: &Path, source: io::Error) -> PostgresError {
    PostgresError::File {
        path: path.to_path_buf(),
        source,
    }
}

const ELSEWHERE: &str = "/var/lib/counterfoil";
const LONGEST_SOCKET: &str = ".s.PGSQL.65535";
const SOCKET_PATH_MAX: usize = 103; // sun_path less the terminator: 107 on Linux, 103 on macOS
const LOG_TAIL: usize = 12;
