//! Someone who is told things over HTTP, on loopback: keeps what came with its headers, answers as it is told to, and can be away.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// A message as it came.
#[derive(Clone, Debug)]
pub struct Message {
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// A receiver; gone when it is dropped.
pub struct Receiver {
    pub address: SocketAddr,
    messages: Arc<Mutex<Vec<Message>>>,
    status: Arc<Mutex<u16>>,
    serving: JoinHandle<()>,
}

impl Receiver {
    pub async fn start() -> Self {
        Self::at("127.0.0.1:0".parse().expect("an address")).await
    }

    /// At an address where one was before.
    pub async fn at(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).await.expect("a socket");
        let address = listener.local_addr().expect("bound");
        let (messages, status) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(200)));
        let shared = (messages.clone(), status.clone());
        let serving = tokio::spawn(async move {
            let mut conversations = tokio::task::JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                let shared = shared.clone();
                let service = service_fn(move |request: Request<Incoming>| {
                    let (messages, status) = shared.clone();
                    async move {
                        let (head, body) = request.into_parts();
                        let body = body.collect().await?.to_bytes();
                        let status = *status.lock().unwrap_or_else(PoisonError::into_inner);
                        if status < 300 {
                            let headers = head.headers;
                            messages
                                .lock()
                                .unwrap_or_else(PoisonError::into_inner)
                                .push(Message { headers, body });
                        }
                        let mut answer = Response::new(Full::new(Bytes::new()));
                        *answer.status_mut() = status.try_into().expect("a status");
                        Ok::<_, hyper::Error>(answer)
                    }
                });
                conversations.spawn(async move {
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(socket), service)
                        .await;
                });
            }
        });
        Self {
            address,
            messages,
            status,
            serving,
        }
    }

    pub fn url(&self) -> String {
        format!("http://{}/told", self.address)
    }

    /// From now on it answers this; what it does not take with a 2xx it does not keep.
    pub fn answer(&self, status: u16) {
        *self.status.lock().unwrap_or_else(PoisonError::into_inner) = status;
    }

    /// What it has taken, in order.
    pub fn messages(&self) -> Vec<Message> {
        self.messages.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.serving.abort();
    }
}
