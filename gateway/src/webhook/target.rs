//! The way to a merchant's endpoint: a client that a merchant's URL cannot turn against our own network.
//!
//! A URL is checked when it is saved and again at every connection: the name is resolved once, every address that comes
//! back must be public, and the connection goes to one of those very addresses. It must never follow a redirect, send
//! credentials, or connect to an address that was not checked.

use crate::egress;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::RootCertStore;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tower::Service;
use url::{Host, Url};

/// What endpoints may be.
#[derive(Clone, Debug)]
pub struct Policy {
    /// development: plain http and private addresses are allowed too
    pub allow_private: bool,
    /// the authorities whose certificates are believed
    pub roots: Arc<RootCertStore>,
    /// how long a whole delivery may take, from resolving the name to the end of the answer
    pub timeout: Duration,
}

/// Why a URL is not accepted; the text is fit for the merchant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum Refused {
    #[error("Not a valid URL")]
    Malformed,
    #[error("The URL must use https")]
    Scheme,
    #[error("The URL must not contain a user name or password")]
    Credentials,
    #[error("The port must be 443, 8443 or one above 1023 that no well-known internal service uses")]
    Port,
    #[error("The URL must lead to a public address")]
    Address,
    #[error("The URL is too long")]
    Length,
}

impl Refused {
    /// Whether it would have led into our own network.
    pub fn is_inward(self) -> bool {
        matches!(self, Refused::Address | Refused::Port | Refused::Credentials)
    }
}

/// What a connection says that was refused because its name led inward.
pub const LEADS_INWARD: &str = "the name does not lead to public addresses alone";

/// A URL that was checked; its name is resolved and checked again when it is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    uri: Uri,
}

impl Target {
    /// Checks a URL, without the network: an address written out is judged here, a name when it is resolved.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn parse(url: &str, policy: &Policy) -> Result<Self, Refused> {
        if url.len() > MAX_URL {
            return Err(Refused::Length);
        }
        // The browsers' grammar: what it makes of `http://0x7f.1` or full-width digits is what would be connected to.
        let url = Url::parse(url).map_err(|_| Refused::Malformed)?;
        match url.scheme() {
            "https" => {}
            "http" if policy.allow_private => {}
            _ => return Err(Refused::Scheme),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Refused::Credentials);
        }
        let port = url.port_or_known_default().ok_or(Refused::Port)?;
        if !(is_port_allowed(port) || policy.allow_private && port == 80) {
            return Err(Refused::Port);
        }
        let public = match url.host().ok_or(Refused::Malformed)? {
            Host::Ipv4(address) => is_public(address.into()),
            Host::Ipv6(address) => is_public(address.into()),
            Host::Domain(name) => is_public_name(name),
        };
        if !public && !policy.allow_private {
            return Err(Refused::Address);
        }
        let mut url = url;
        url.set_fragment(None);
        Ok(Self {
            uri: url.as_str().parse().map_err(|_| Refused::Malformed)?,
        })
    }
}

impl Target {
    /// Whether the way there is encrypted.
    pub(crate) fn is_encrypted(&self) -> bool {
        self.uri.scheme_str() == Some("https")
    }

    /// Whether it is on this machine, as written.
    pub(crate) fn is_loopback(&self) -> bool {
        let host = self.uri.host().unwrap_or_default().trim_matches(['[', ']']);
        host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
    }
}

/// A receiver's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status
    pub status: StatusCode,
    /// the first 2 kB of the body, as text
    pub body: String,
    /// what `Retry-After` asks for, in seconds
    pub retry_after: Option<Duration>,
}

/// Posts to targets. Cheap to clone; connections are kept and shared.
#[derive(Clone, Debug)]
pub struct TargetClient {
    client: Client<HttpsConnector<HttpConnector<PublicResolver>>, Full<Bytes>>,
    timeout: Duration,
}

impl TargetClient {
    /// A client that obeys this policy.
    pub fn new(policy: &Policy) -> Self {
        let http = HttpConnector::new_with_resolver(PublicResolver {
            allow_private: policy.allow_private,
        });
        let connector = egress::connector(
            http,
            CONNECT_TIMEOUT.min(policy.timeout),
            &policy.roots,
            policy.allow_private,
        );
        let client = Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(15))
            .pool_max_idle_per_host(8)
            .build(connector);
        Self {
            client,
            timeout: policy.timeout,
        }
    }

    /// Posts a body under these headers, JSON unless they say otherwise; any status is an answer, redirects are not followed.
    ///
    /// # Errors
    /// A line that says why there is no answer.
    pub async fn post(&self, target: &Target, headers: HeaderMap, body: Bytes) -> Result<Answer, String> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = target.uri.clone();
        *request.headers_mut() = headers;
        let headers = request.headers_mut();
        headers
            .entry(CONTENT_TYPE)
            .or_insert(HeaderValue::from_static("application/json; charset=utf-8"));
        headers.insert(
            USER_AGENT,
            HeaderValue::from_static(concat!("Counterfoil/", env!("CARGO_PKG_VERSION"))),
        );
        let exchange = async {
            let response = self.client.request(request).await.map_err(|e| egress::describe(&e))?;
            let status = response.status();
            let retry_after = response
                .headers()
                .get(RETRY_AFTER)
                .and_then(|value| value.to_str().ok()?.parse().ok());
            Ok(Answer {
                status,
                retry_after: retry_after.map(Duration::from_secs),
                body: first_part(response.into_body()).await,
            })
        };
        match tokio::time::timeout(self.timeout, exchange).await {
            Ok(outcome) => outcome,
            Err(_) => Err(format!("no answer within {} ms", self.timeout.as_millis())),
        }
    }
}

/// The first 2 kB; a longer or broken body is dropped, and its connection with it.
async fn first_part(mut body: hyper::body::Incoming) -> String {
    let mut bytes = Vec::new();
    while bytes.len() <= KEPT_OF_ANSWER
        && let Some(Ok(frame)) = body.frame().await
    {
        if let Some(data) = frame.data_ref() {
            bytes.extend_from_slice(&data[..data.len().min(KEPT_OF_ANSWER + 1 - bytes.len())]);
        }
    }
    bytes.truncate(KEPT_OF_ANSWER);
    // PostgreSQL's text takes no NUL, and a terminal no escape sequence.
    String::from_utf8_lossy(&bytes)
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

/// Resolves a name once and gives out only addresses that may be connected to; one bad address refuses them all, since
/// a name that mixes them is an attempt.
#[derive(Clone, Debug)]
struct PublicResolver {
    allow_private: bool,
}

impl Service<Name> for PublicResolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = std::io::Error;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let allow_private = self.allow_private;
        Box::pin(async move {
            // The connector puts the port in.
            let addresses: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            if addresses.is_empty() || !(allow_private || addresses.iter().all(|address| is_public(address.ip()))) {
                return Err(std::io::Error::other(LEADS_INWARD));
            }
            Ok(addresses.into_iter())
        })
    }
}

/// Whether an address belongs to the public internet: not ours, not a neighbour's, and no disguise of such a one.
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => !SPECIAL_V4.iter().any(|(network, prefix)| {
            let mask = u32::MAX << (32 - prefix);
            address.to_bits() & mask == network.to_bits() & mask
        }),
        // Only 2000::/3 is handed out; what it holds of IPv4 in disguise, tunnels and documentation is taken out again.
        // Mapped (::ffff:0:0/96), compatible (::/96), NAT64 (64:ff9b::/96), unique local, link-local and multicast
        // addresses all lie outside.
        IpAddr::V6(address) => {
            address.to_bits() >> 125 == 0b001
                && !SPECIAL_V6.iter().any(|(network, prefix)| {
                    let mask = u128::MAX << (128 - prefix);
                    address.to_bits() & mask == network.to_bits() & mask
                })
        }
    }
}

/// Names that mean this machine or this network however they resolve.
fn is_public_name(name: &str) -> bool {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    name.contains('.') && !PRIVATE_SUFFIXES.iter().any(|suffix| name.ends_with(suffix))
}

fn is_port_allowed(port: u16) -> bool {
    matches!(port, 443 | 8443) || (port >= 1024 && !INTERNAL_PORTS.contains(&port))
}

const MAX_URL: usize = 2048;
const KEPT_OF_ANSWER: usize = 2048;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const PRIVATE_SUFFIXES: &[&str] = &[
    ".localhost",
    ".local",
    ".internal",
    ".intranet",
    ".lan",
    ".home.arpa",
    ".corp",
    ".onion",
];

/// Databases, queues, orchestrators and other things behind firewalls that answer to a POST or choke on it.
const INTERNAL_PORTS: &[u16] = &[
    1433, 1521, 2049, 2375, 2376, 2379, 2380, 3306, 3389, 4369, 5000, 5432, 5433, 5672, 5900, 5984, 6379, 6380, 6443,
    7000, 7001, 8086, 8125, 8200, 8300, 8500, 8600, 9042, 9090, 9092, 9100, 9160, 9200, 9300, 10250, 10255, 11211,
    15672, 26379, 27017,
];

/// RFC 6890 and its successors.
#[rustfmt::skip]
const SPECIAL_V4: &[(Ipv4Addr, u32)] = &[
    (Ipv4Addr::new(0, 0, 0, 0), 8),         // this network
    (Ipv4Addr::new(10, 0, 0, 0), 8),        // private
    (Ipv4Addr::new(100, 64, 0, 0), 10),     // carrier-grade NAT
    (Ipv4Addr::new(127, 0, 0, 0), 8),       // loopback
    (Ipv4Addr::new(169, 254, 0, 0), 16),    // link-local, cloud metadata
    (Ipv4Addr::new(172, 16, 0, 0), 12),     // private
    (Ipv4Addr::new(192, 0, 0, 0), 24),      // protocol assignments
    (Ipv4Addr::new(192, 0, 2, 0), 24),      // documentation
    (Ipv4Addr::new(192, 88, 99, 0), 24),    // 6to4 relays
    (Ipv4Addr::new(192, 168, 0, 0), 16),    // private
    (Ipv4Addr::new(198, 18, 0, 0), 15),     // benchmarks
    (Ipv4Addr::new(198, 51, 100, 0), 24),   // documentation
    (Ipv4Addr::new(203, 0, 113, 0), 24),    // documentation
    (Ipv4Addr::new(224, 0, 0, 0), 4),       // multicast
    (Ipv4Addr::new(240, 0, 0, 0), 4),       // reserved, broadcast
];

#[rustfmt::skip]
const SPECIAL_V6: &[(Ipv6Addr, u32)] = &[
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23),      // protocol assignments: Teredo, ORCHID, benchmarks
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32),  // documentation
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16),      // 6to4: any IPv4 in disguise
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20),      // documentation
];

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    fn policy(allow_private: bool) -> Policy {
        Policy {
            allow_private,
            roots: Arc::new(RootCertStore::empty()),
            timeout: Duration::from_secs(10),
        }
    }

    #[test]
    fn urls_that_are_refused() {
        use Refused::*;
        #[rustfmt::skip]
        let cases = [
            ("", Malformed), ("example.com/hook", Malformed), ("https://", Malformed), ("https://1.2.3.4.5/", Malformed),
            ("http://example.com/", Scheme), ("ftp://example.com/", Scheme), ("file:///etc/passwd", Scheme), ("gopher://example.com:443/", Scheme),
            ("https://user@example.com/", Credentials), ("https://user:word@example.com/", Credentials), ("https://:word@example.com/", Credentials),
            ("https://example.com:80/", Port), ("https://example.com:22/", Port), ("https://example.com:5432/", Port),
            ("https://example.com:6379/", Port), ("https://example.com:1023/", Port), ("https://example.com:0/", Port),
            // loopback in every spelling
            ("https://127.0.0.1/", Address), ("https://127.1/", Address), ("https://2130706433/", Address), ("https://0x7f000001/", Address),
            ("https://0x7f.1/", Address), ("https://0177.0.0.1/", Address), ("https://0/", Address), ("https://127.0.0.1./", Address),
            ("https://\u{FF11}27.0.0.1/", Address), ("https://127\u{3002}0\u{3002}0\u{3002}1/", Address), ("https://%31%32%37.0.0.1/", Address),
            ("https://[::1]/", Address), ("https://[::]/", Address), ("https://localhost/", Address), ("https://LOCALHOST./", Address),
            ("https://a.localhost/", Address), ("https://intranet/", Address), ("https://metadata.google.internal/", Address), ("https://printer.local/", Address),
            // neighbours
            ("https://10.1.2.3/", Address), ("https://172.16.0.1/", Address), ("https://172.31.255.255/", Address), ("https://192.168.0.1/", Address),
            ("https://169.254.169.254/latest/meta-data", Address), ("https://100.64.0.1/", Address), ("https://100.127.255.255/", Address),
            ("https://0.0.0.0/", Address), ("https://192.0.0.1/", Address), ("https://198.18.0.1/", Address), ("https://224.0.0.1/", Address),
            ("https://255.255.255.255/", Address), ("https://203.0.113.9/", Address),
            ("https://[fc00::1]/", Address), ("https://[fd12::1]/", Address), ("https://[fe80::1]/", Address), ("https://[fec0::1]/", Address), ("https://[ff02::1]/", Address),
            // IPv4 in disguise
            ("https://[::ffff:127.0.0.1]/", Address), ("https://[::ffff:8.8.8.8]/", Address), ("https://[::127.0.0.1]/", Address),
            ("https://[64:ff9b::127.0.0.1]/", Address), ("https://[64:ff9b:1::1]/", Address), ("https://[2002:7f00:1::]/", Address),
            ("https://[2001:0:7f00:1::]/", Address), ("https://[2001:db8::1]/", Address), ("https://[100::1]/", Address),
        ];
        for (url, why) in cases {
            assert_eq!(Target::parse(url, &policy(false)), Err(why), "{url}");
        }
        assert_eq!(
            Target::parse(&format!("https://example.com/{}", "a".repeat(2048)), &policy(false)),
            Err(Length)
        );
    }

    #[test]
    fn urls_that_are_accepted() {
        for url in [
            "https://example.com",
            "https://example.com/hook?a=b#c",
            "https://example.com:8443/",
            "https://example.com:9000/",
            "https://8.8.8.8/",
            "https://172.15.0.1/",
            "https://172.32.0.1/",
            "https://100.63.0.1/",
            "https://[2606:4700::1111]/",
            "https://b\u{FC}cher.example/",
        ] {
            let target = Target::parse(url, &policy(false)).unwrap_or_else(|e| panic!("{url}: {e}"));
            assert!(!target.uri.to_string().contains('#'));
        }
        for url in ["http://127.0.0.1:9999/", "http://localhost/", "https://[::1]:8443/"] {
            assert!(Target::parse(url, &policy(true)).is_ok(), "{url}");
        }
        assert_eq!(
            Target::parse("http://127.0.0.1:5432/", &policy(true)),
            Err(Refused::Port)
        );
    }

    proptest! {
        #[test]
        fn no_private_address_in_any_ipv6_form(private in any::<[u8; 3]>().prop_map(|[a, b, c]| Ipv4Addr::new(10, a, b, c))) {
            let bits = u128::from(private.to_bits());
            for disguise in [bits, 0xffff << 32 | bits, 0x64_ff9b << 96 | bits, 0x2002 << 112 | bits << 80] {
                prop_assert!(!is_public(Ipv6Addr::from_bits(disguise).into()));
            }
            prop_assert!(!is_public(private.into()));
        }
    }

    /// A name that resolves to this machine: what DNS rebinding amounts to. Nothing may arrive.
    #[tokio::test]
    async fn a_name_that_turns_private_is_not_connected_to() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        // Saved before the name turned, so the check at save cannot help.
        let target = Target {
            uri: format!("https://localhost:{port}/").parse().unwrap(),
        };
        let error = TargetClient::new(&policy(false))
            .post(&target, HeaderMap::new(), Bytes::new())
            .await
            .unwrap_err();
        assert!(error.contains("public addresses"), "{error}");
        assert!(futures_util::poll!(Box::pin(listener.accept())).is_pending());
    }

    async fn answering(answer: String) -> Target {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut request = [0; 4096];
            let _ = socket.read(&mut request).await.unwrap();
            let _ = socket.write_all(answer.as_bytes()).await;
            let _ = socket.shutdown().await;
        });
        Target::parse(&url, &policy(true)).unwrap()
    }

    #[tokio::test]
    async fn a_redirect_is_an_answer_and_a_long_body_is_cut() {
        let client = TargetClient::new(&policy(true));
        let target = answering(
            "HTTP/1.1 302 Found\r\nlocation: http://169.254.169.254/\r\ncontent-length: 0\r\n\r\n".to_owned(),
        )
        .await;
        assert_eq!(
            client
                .post(&target, HeaderMap::new(), Bytes::new())
                .await
                .unwrap()
                .status,
            302
        );
        let target = answering(format!(
            "HTTP/1.1 500 No\r\ncontent-length: 100000\r\n\r\n\u{1b}\0{}",
            "x".repeat(99_998)
        ))
        .await;
        let answer = client.post(&target, HeaderMap::new(), Bytes::new()).await.unwrap();
        assert_eq!((answer.status.as_u16(), answer.body.len()), (500, 2048));
        assert!(answer.body.starts_with("  xx"));
    }
}
