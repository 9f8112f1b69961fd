//! TLS as a client: whose certificates we trust, and whether we show one ourselves.

use std::path::Path;
use std::sync::Arc;

use jeton_engine::clock::Clock;
use rustls::{ClientConfig, RootCertStore};

use super::{Identity, Now, TlsError, VERSIONS, certificates, provider};

/// The root certificates of this machine, and those of a PEM file besides. Where OpenSSL looks, or
/// where `SSL_CERT_FILE` and `SSL_CERT_DIR` say.
///
/// # Errors
/// When the file cannot be read, holds none, or there is no root at all.
pub(crate) fn roots(more: Option<&Path>) -> Result<RootCertStore, TlsError> {
    let mut store = RootCertStore::empty();
    // Old roots of odd shape are left out, as browsers do; no chain leads to them any more.
    store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(path) = more {
        for certificate in certificates(path)? {
            let problem = "holds a certificate that cannot be a root";
            let refused = |_| TlsError::File { path: path.to_owned(), problem };
            store.add(certificate).map_err(refused)?;
        }
    }
    if store.is_empty() { Err(TlsError::NoRoots) } else { Ok(store) }
}

/// Trusting these roots, held against this clock; with an identity, it is shown to a server that asks.
///
/// # Errors
/// When the library refuses the identity.
pub(crate) fn config(
    roots: RootCertStore,
    identity: Option<Identity>,
    clock: Clock,
) -> Result<ClientConfig, TlsError> {
    let builder = ClientConfig::builder_with_details(provider(), Arc::new(Now(clock)))
        .with_protocol_versions(VERSIONS)?
        .with_root_certificates(roots);
    Ok(match identity {
        Some(Identity { chain, key }) => builder.with_client_auth_cert(chain, key)?,
        None => builder.with_no_client_auth(),
    })
}
