//! The floor: what this machine's HTTP costs before anything is decided. hyper as jeton uses it, on a
//! runtime with the same settings, with the same answer for every request.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// As long as a token response of a JWT that HS256 signed: 250 bytes.
pub(crate) const BODY: &str = concat!(
    r#"{"access_token":"eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpYXQiOjE3MDAwMDAwMDAsImV4cCI6MTcwMDAwMzYw"#,
    r#"MCwiYXVkIjoib3JkZXJzIiwic3ViIjoiY2xpZW50LTAwMDAwMyIsImp0aSI6IjAxYTIwNTI5In0.fSOmtev2L6KJCXm9QSrs"#,
    r#"Xz6dtysEnJEI7V","token_type":"bearer","expires_in":3600}"#
);

/// Where the floor listens, and with what certificate.
#[derive(clap::Args)]
pub(crate) struct FloorArguments {
    /// The address to listen on.
    #[arg(long)]
    listen: SocketAddr,
    /// A folder with cert.pem and key.pem, for TLS.
    #[arg(long)]
    tls: Option<PathBuf>,
}

/// Serves until it is killed.
pub(crate) fn run(arguments: &FloorArguments) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(serve(arguments))
}

async fn serve(arguments: &FloorArguments) -> anyhow::Result<()> {
    let tls = arguments.tls.as_deref().map(acceptor).transpose()?;
    let listener = TcpListener::bind(arguments.listen).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        match tls.clone() {
            None => drop(tokio::spawn(converse(stream))),
            Some(tls) => drop(tokio::spawn(async move {
                // Whoever breaks off a handshake has nothing to hear.
                if let Ok(stream) = tls.accept(stream).await {
                    converse(stream).await;
                }
            })),
        }
    }
}

async fn converse<S: AsyncRead + AsyncWrite + Unpin>(stream: S) {
    // Connections end as their callers like; there is nobody to tell.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer)).await;
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    // A server that decides must have the body; one that cannot be read changes nothing here.
    let _ = request.into_body().collect().await;
    let mut response = Response::new(Full::new(Bytes::from_static(BODY.as_bytes())));
    let json = http::HeaderValue::from_static("application/json");
    response.headers_mut().insert(http::header::CONTENT_TYPE, json);
    Ok(response)
}

fn acceptor(folder: &Path) -> anyhow::Result<TlsAcceptor> {
    let certificates = CertificateDer::pem_file_iter(folder.join("cert.pem"))?;
    let certificates = certificates.collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_file(folder.join("key.pem"))?;
    let library = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(library)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_single_cert(certificates, key)
        .context("the floor's certificate cannot be used")?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_is_as_long_as_it_is_said_to_be() {
        assert_eq!(BODY.len(), 250);
    }
}
