//! What a handler takes: an authorised call with its parameters. No principal, no handler.
//!
//! [`In<R>`] authenticates the request (key, certificate, signature, limits), checks the right `R`, reads body and query and binds the idempotency key, in this
//! order, so that a stranger learns nothing about parameters. The body is bounded by the edge.

use super::error::ApiError;
use super::idempotency;
use super::multipart;
use super::params::Params;
use crate::app::App;
use crate::audit_log::Trail;
use crate::auth::{self, Access, Admitted, Scope};
use crate::call::{Answer, Call};
use crate::edge::RequestId;
use crate::limit::Running;
use crate::security;
use axum::extract::{FromRequest, Request};
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, Method, header};
use std::marker::PhantomData;
use std::sync::Arc;

/// A right that a route demands, as a type.
pub trait Right: Send + Sync + 'static {
    /// which resource
    const SCOPE: Scope;
    /// reading or changing
    const ACCESS: Access;
    /// only a platform's key has it
    const PLATFORM: bool = false;
}

macro_rules! rights {
    ($($name:ident = $scope:ident $access:ident $($platform:literal)?),+ $(,)?) => {$(
        #[doc = concat!("`", stringify!($scope), "`, ", stringify!($access), $(", of a key of the ", $platform,)? ".")]
        #[derive(Debug)]
        pub struct $name;
        impl Right for $name {
            const SCOPE: Scope = Scope::$scope;
            const ACCESS: Access = Access::$access;
            $(const PLATFORM: bool = !$platform.is_empty();)?
        }
    )+};
}
rights! {
    CheckoutRead = Checkout Read, CheckoutWrite = Checkout Write,
    RefundsRead = Refunds Read, RefundsWrite = Refunds Write,
    DisputesRead = Disputes Read, DisputesWrite = Disputes Write,
    PlatformDisputesRead = Disputes Read "platform", PlatformDisputesWrite = Disputes Write "platform",
    RiskRead = Risk Read, RiskWrite = Risk Write,
    FinanceRead = Finance Read, FinanceWrite = Finance Write,
    AdminRead = Admin Read, AdminWrite = Admin Write,
    PlatformFinanceRead = Finance Read "platform", PlatformFinanceWrite = Finance Write "platform",
    PlatformAdminRead = Admin Read "platform", PlatformAdminWrite = Admin Write "platform",
}

/// An authorised call and its parameters.
pub struct In<R: Right> {
    /// who asks, for whom, under which key
    pub call: Call,
    /// what was sent, less `expand`
    pub params: Params,
    /// the file of a multipart body; the parameter `file` has its digest
    pub upload: Option<multipart::Upload>,
    /// the key is a platform's
    pub platform: bool,
    /// the key that asks
    pub key_id: Arc<str>,
    /// the account that this key belongs to, for whomever it acts
    pub key_account: String,
    _running: Running,
    right: PhantomData<R>,
}

/// What a handler gives.
pub type Reply = Result<Answer, ApiError>;

impl<R: Right> FromRequest<Arc<App>> for In<R> {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        // In memory already, and bounded: the edge hands on whole requests.
        let body = axum::body::to_bytes(body, usize::MAX)
            .await
            .map_err(|_| ApiError::invalid("invalid_request_body", "", "The body broke off."))?;
        let Admitted { principal, running } = auth::authenticate(app, &parts, &body).await?;
        let trail = parts.extensions.get::<Trail>().cloned().unwrap_or_default();
        if let Some(route) = super::route(&parts) {
            trail.arm(app, route, &principal, &parts.uri, &parts.extensions);
        }
        principal.may(R::SCOPE, R::ACCESS, R::PLATFORM).inspect_err(|_| {
            auth::record(
                app,
                &parts.extensions,
                security::Kind::Forbidden,
                Some(&principal.key_id),
            );
        })?;
        let mut params = Params::from_form(parts.uri.query().unwrap_or_default().as_bytes())?;
        let (mut key, mut upload) = (None, None);
        if parts.method == Method::POST {
            let sent = match multipart::boundary(&parts.headers) {
                Some(boundary) if parts.uri.path() == multipart::PATH => {
                    let (fields, file) = multipart::read(boundary, body).await?;
                    upload = file;
                    fields
                }
                _ => read(&parts.headers, &body)?,
            };
            params.merge(sent)?;
            if let Some(text) = parts.headers.get("idempotency-key") {
                let text = text.to_str().map_err(|_| {
                    ApiError::new(
                        400,
                        "idempotency_error",
                        "",
                        "The Idempotency-Key must be visible ASCII.",
                    )
                })?;
                // The structured-field form is a quoted string; the bare form is what SDKs send.
                let text = text.strip_prefix('"').and_then(|t| t.strip_suffix('"')).unwrap_or(text);
                key = Some(idempotency::key(
                    text,
                    parts.method.as_str(),
                    parts.uri.path(),
                    &params,
                )?);
            }
        }
        let request_id = parts.extensions.get::<RequestId>().map_or_else(
            || crate::id::new(crate::id::prefix::REQUEST),
            |id| id.as_str().to_owned(),
        );
        let expand = params.expand()?;
        Ok(Self {
            platform: principal.platform,
            key_id: principal.key_id,
            key_account: principal.key_account,
            call: Call::new(app.clone(), principal.merchant, request_id, key, expand).leaving(trail),
            params,
            upload,
            _running: running,
            right: PhantomData,
        })
    }
}

impl<R: Right> In<R> {
    /// Runs the flow under the call's idempotency key. Parameters must be finished before.
    pub async fn run<'a, F, Fut>(&'a self, flow: F) -> Reply
    where
        F: FnOnce(&'a Call) -> Fut,
        Fut: Future<Output = Reply>,
    {
        idempotency::run(&self.call, flow(&self.call)).await
    }

    /// Takes the parameters out; what is left of them must be finished by the handler.
    pub fn take(&mut self) -> Params {
        std::mem::take(&mut self.params)
    }
}

fn read(headers: &http::HeaderMap, body: &[u8]) -> Result<Params, ApiError> {
    let content_type = headers
        .get(header::CONTENT_TYPE)
        .and_then(|v| v.to_str().ok())
        .unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/json") {
        return Params::from_json(body);
    }
    if essence.is_empty() || essence.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return Params::from_form(body);
    }
    if body.is_empty() {
        return Ok(Params::default());
    }
    Err(ApiError::invalid(
        "invalid_request_body",
        "",
        "Send parameters as application/x-www-form-urlencoded or application/json.",
    ))
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let status = http::StatusCode::from_u16(self.status).unwrap_or(http::StatusCode::OK);
        let mut response = (status, [(header::CONTENT_TYPE, "application/json")], self.body).into_response();
        if self.replayed {
            response
                .headers_mut()
                .insert("idempotent-replayed", HeaderValue::from_static("true"));
        }
        response
    }
}
