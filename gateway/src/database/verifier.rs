//! How a database server's certificate is judged when it is not judged in full: by its authority alone (`verify-ca`), or
//! not at all (`prefer`, `require`). The handshake's own signature is checked in each case.

use super::DatabaseError;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use std::sync::Arc;

/// A server whose name is not checked.
#[derive(Debug)]
pub(super) struct Server {
    provider: Arc<CryptoProvider>,
    /// who must have signed its certificate; none: anybody
    authority: Option<Arc<WebPkiServerVerifier>>,
}

impl Server {
    /// Whoever answers: the way is encrypted, and that is all.
    pub fn anyone(provider: &Arc<CryptoProvider>) -> Self {
        Self {
            provider: provider.clone(),
            authority: None,
        }
    }

    /// Any server with a certificate of these authorities.
    pub fn of_authority(roots: Arc<RootCertStore>, provider: &Arc<CryptoProvider>) -> Result<Self, DatabaseError> {
        let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider.clone())
            .build()
            .map_err(|error| DatabaseError::Tls(format!("sslrootcert: {error}")))?;
        Ok(Self {
            provider: provider.clone(),
            authority: Some(verifier),
        })
    }
}

impl ServerCertVerifier for Server {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(authority) = &self.authority else {
            return Ok(ServerCertVerified::assertion());
        };
        match authority.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            // The name is judged last, after the chain, its dates and its purpose.
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            verdict => verdict,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
