//! The development certificate authority and the server certificate it signs.
//!
//! The authority is confined by name constraints to localhost and the loopback addresses: its key lies on a developer's disk,
//! and whoever trusts it must not thereby trust a forged bank. Production certificates never come from here.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DnType, ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, NameConstraints, PKCS_ECDSA_P256_SHA256, SanType,
};
use time::{Duration, OffsetDateTime};
use x509_parser::extensions::ParsedExtension;
use x509_parser::pem::Pem;

use super::files;

/// Where the development certificates lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificates {
    /// The authority, to be trusted by clients (PEM).
    pub authority: PathBuf,
    /// The server's certificate for localhost, 127.0.0.1 and `::1` (PEM).
    pub certificate: PathBuf,
    /// The server's key (PEM, mode 0600).
    pub key: PathBuf,
}

/// Why there are no certificates.
#[derive(Debug, thiserror::Error)]
pub enum CaError {
    /// A file cannot be read or written.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// Key generation or signing failed.
    #[error("making a development certificate: {0}")]
    Make(#[from] rcgen::Error),
}

/// Makes what is missing, damaged, foreign to the authority, or about to expire in `dir`; keeps what is good.
///
/// # Errors
/// When `dir` is not writable, or a key cannot be made.
pub fn ensure(dir: &Path, now: Timestamp) -> Result<Certificates, CaError> {
    let now = OffsetDateTime::from_unix_timestamp(now.as_second()).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    fs::create_dir_all(dir).map_err(|source| CaError::File {
        path: dir.to_path_buf(),
        source,
    })?;
    let certificates = Certificates {
        authority: dir.join("ca.pem"),
        certificate: dir.join("server.pem"),
        key: dir.join("server.key"),
    };
    let authority_key = key(&dir.join("ca.key"))?;
    let authority_good = Facts::read(&certificates.authority)
        .is_some_and(|facts| facts.matches(&authority_key) && facts.lasts(now, AUTHORITY_RENEWAL));
    if !authority_good {
        let pem = authority_params(now).self_signed(&authority_key)?.pem();
        write(&certificates.authority, &pem, 0o644)?;
    }

    let server_key = key(&certificates.key)?;
    let authority = Facts::read(&certificates.authority);
    let server_good = Facts::read(&certificates.certificate).is_some_and(|facts| {
        facts.matches(&server_key)
            && facts.lasts(now, SERVER_RENEWAL)
            && authority.is_some_and(|authority| facts.signed_by == authority.key_id)
    });
    if !server_good {
        let pem = fs::read_to_string(&certificates.authority).map_err(|source| CaError::File {
            path: certificates.authority.clone(),
            source,
        })?;
        let issuer = Issuer::from_ca_cert_pem(&pem, &authority_key)?;
        let leaf = server_params(now).signed_by(&server_key, &issuer)?;
        write(&certificates.certificate, &leaf.pem(), 0o644)?;
    }
    Ok(certificates)
}

fn authority_params(now: OffsetDateTime) -> CertificateParams {
    let mut params = CertificateParams::default();
    params
        .distinguished_name
        .push(DnType::CommonName, "Counterfoil development authority");
    (params.not_before, params.not_after) = (now - SKEW, now + AUTHORITY_LIFE);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.name_constraints = Some(NameConstraints {
        permitted_subtrees: vec![
            GeneralSubtree::DnsName("localhost".into()),
            GeneralSubtree::IpAddress(CidrSubnet::from_v4_prefix(Ipv4Addr::LOCALHOST.octets(), 8)),
            GeneralSubtree::IpAddress(CidrSubnet::from_v6_prefix(Ipv6Addr::LOCALHOST.octets(), 128)),
        ],
        excluded_subtrees: Vec::new(),
    });
    params
}

fn server_params(now: OffsetDateTime) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "localhost");
    (params.not_before, params.not_after) = (now - SKEW, now + SERVER_LIFE);
    params.subject_alt_names = vec![
        SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        SanType::IpAddress(IpAddr::V6(Ipv6Addr::LOCALHOST)),
    ];
    if let Ok(name) = "localhost".try_into() {
        params.subject_alt_names.push(SanType::DnsName(name));
    }
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true; // strict verifiers refuse a leaf without it
    params
}

/// What decides whether a certificate on disk is still good.
struct Facts {
    until: i64,
    public_key: Vec<u8>,
    key_id: Option<Vec<u8>>,
    signed_by: Option<Vec<u8>>,
}

impl Facts {
    /// `None` when the file is missing or not a certificate: it is then made anew.
    fn read(path: &Path) -> Option<Self> {
        let pem = Pem::iter_from_buffer(&fs::read(path).ok()?).next()?.ok()?;
        let certificate = pem.parse_x509().ok()?;
        let (mut key_id, mut signed_by) = (None, None);
        for extension in certificate.extensions() {
            match extension.parsed_extension() {
                ParsedExtension::SubjectKeyIdentifier(id) => key_id = Some(id.0.to_vec()),
                ParsedExtension::AuthorityKeyIdentifier(id) => {
                    signed_by = id.key_identifier.as_ref().map(|id| id.0.to_vec());
                }
                _ => {}
            }
        }
        Some(Self {
            until: certificate.validity().not_after.timestamp(),
            public_key: certificate.public_key().subject_public_key.data.to_vec(),
            key_id,
            signed_by,
        })
    }

    fn matches(&self, key: &KeyPair) -> bool {
        self.public_key == key.public_key_raw()
    }

    fn lasts(&self, now: OffsetDateTime, margin: Duration) -> bool {
        self.until > (now + margin).unix_timestamp()
    }
}

/// The key in `path`, made on the first use.
fn key(path: &Path) -> Result<KeyPair, CaError> {
    if let Some(key) = fs::read_to_string(path)
        .ok()
        .and_then(|pem| KeyPair::from_pem(&pem).ok())
    {
        return Ok(key);
    }
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    write(path, &key.serialize_pem(), 0o600)?;
    Ok(key)
}

fn write(path: &Path, pem: &str, mode: u32) -> Result<(), CaError> {
    files::replace(path, pem.as_bytes(), mode).map_err(|source| CaError::File {
        path: path.to_path_buf(),
        source,
    })
}

const AUTHORITY_LIFE: Duration = Duration::days(730);
const AUTHORITY_RENEWAL: Duration = Duration::days(120); // longer than a leaf lives, so that no leaf outlives its authority
const SERVER_LIFE: Duration = Duration::days(90);
const SERVER_RENEWAL: Duration = Duration::days(14);
const SKEW: Duration = Duration::hours(1); // a virtual machine's clock may run behind its host's

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn at(days: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + days * 86_400).expect("in range")
    }

    fn bytes(certificates: &Certificates) -> (Vec<u8>, Vec<u8>) {
        (
            fs::read(&certificates.authority).expect("authority"),
            fs::read(&certificates.certificate).expect("leaf"),
        )
    }

    #[test]
    fn keeps_what_is_good_and_renews_what_is_not() {
        let dir = std::env::temp_dir().join(format!("counterfoil-ca-{}", std::process::id()));
        let made = ensure(&dir, at(0)).expect("first");
        let first = bytes(&made);
        ensure(&dir, at(75)).expect("again");
        assert_eq!(bytes(&made), first, "still good for 15 days: nothing is touched");

        ensure(&dir, at(77)).expect("renewal");
        let renewed = bytes(&made);
        assert_eq!(renewed.0, first.0, "the authority stays, clients need no new trust");
        assert_ne!(renewed.1, first.1, "the leaf is new");

        ensure(&dir, at(611)).expect("authority renewal");
        let replaced = bytes(&made);
        assert_ne!(replaced.0, renewed.0);
        assert_ne!(replaced.1, renewed.1);

        fs::remove_file(dir.join("ca.key")).expect("lose the authority's key");
        ensure(&dir, at(611)).expect("a new authority");
        let after = (
            Facts::read(&made.authority).expect("parses"),
            Facts::read(&made.certificate).expect("parses"),
        );
        assert_ne!(bytes(&made).0, replaced.0);
        assert_eq!(
            after.1.signed_by, after.0.key_id,
            "the leaf was signed again by the new authority"
        );

        for name in ["ca.key", "server.key"] {
            let mode = fs::metadata(dir.join(name)).expect("key").permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
        fs::remove_dir_all(&dir).expect("clean up");
    }
}
