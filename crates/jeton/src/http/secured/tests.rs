//! Proves when what is said inside of TLS goes out, and what becomes of those who end it, or ask for what there is not.

use std::net::Ipv4Addr;
use std::time::Duration;

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use rustix::net::RecvFlags;
use rustls::pki_types::ServerName;
use rustls::{
    ClientConfig, ClientConnection, ConnectionTrafficSecrets, SupportedProtocolVersion, version,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::super::connection::{Patience, Watch};
use super::*;
use crate::tls::provider;
use crate::tls::rehearsal::Authority;

const LONG: Duration = Duration::from_secs(60);
const PATIENCE: Patience = Patience { header: LONG, write: LONG, idle: LONG };

/// A server and its client, at the two ends of a connection that has just been made.
async fn ends() -> (WatchedStream, TcpStream) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap());
    let (client, server) = tokio::join!(client, listener.accept());
    (WatchedStream::new(server.unwrap().0, Watch::begin(PATIENCE)), client.unwrap())
}

/// The same after the handshake.
async fn met(version: &'static SupportedProtocolVersion) -> (Box<Secured>, TlsStream<TcpStream>) {
    let authority = Authority::new("servers");
    let builder = ClientConfig::builder_with_provider(provider());
    let builder = builder.with_protocol_versions(&[version]).unwrap();
    let mut config = builder.with_root_certificates(authority.roots()).with_no_client_auth();
    config.enable_secret_extraction = true;
    let connector = TlsConnector::from(Arc::new(config));
    let (server, client) = ends().await;
    let mut server = Secured::new(&authority.server(&["localhost"]).config(None), server).unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let (client, shaken) = tokio::join!(connector.connect(name, client), server.shake_hands());
    shaken.unwrap();
    (server, client.unwrap())
}

/// A record of a TLS 1.2 connection (RFC 5288 section 3), as its client would send it.
fn record(client: ClientConnection, kind: u8, said: &[u8]) -> Vec<u8> {
    let (count, secrets) = client.dangerous_extract_secrets().unwrap().tx;
    let ConnectionTrafficSecrets::Aes128Gcm { key, iv } = secrets else { panic!("AES-128") };
    let key = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, key.as_ref()).unwrap());
    let nonce = <[u8; NONCE_LEN]>::try_from(iv.as_ref()).unwrap();
    let length = |bytes: usize| u16::try_from(bytes).unwrap().to_be_bytes();
    let beside = [&count.to_be_bytes()[..], &[kind, 3, 3], &length(said.len())].concat();
    let mut sealed = said.to_vec();
    let nonce_of_it = Nonce::assume_unique_for_key(nonce);
    key.seal_in_place_append_tag(nonce_of_it, Aad::from(beside), &mut sealed).unwrap();
    let length = length(8 + sealed.len());
    [&[kind, 3, 3], &length[..], &nonce[4..], &sealed].concat()
}

fn tickets(client: &TlsStream<TcpStream>) -> u32 {
    client.get_ref().1.tls13_tickets_received()
}

async fn hear<const COUNT: usize>(client: &mut TlsStream<TcpStream>) -> [u8; COUNT] {
    let mut heard = [0; COUNT];
    client.read_exact(&mut heard).await.unwrap();
    heard
}

#[tokio::test]
async fn tickets_come_with_the_first_answer_and_not_before() {
    let (mut server, mut client) = met(&version::TLS13).await;
    server.flush().await.unwrap();
    let flags = RecvFlags::DONTWAIT | RecvFlags::PEEK;
    let before = rustix::net::recv(client.get_ref().0, &mut [0_u8; 1], flags);
    assert_eq!(before.unwrap_err(), rustix::io::Errno::AGAIN);
    client.write_all(b"question").await.unwrap();
    server.read_exact(&mut [0; 8]).await.unwrap();
    server.write_all(b"answer").await.unwrap();
    server.flush().await.unwrap();
    assert_eq!((hear(&mut client).await, tickets(&client)), (*b"answer", 2));
}

#[tokio::test]
async fn tls_1_2_needs_no_answer_to_end_its_handshake() {
    let (mut server, mut client) = met(&version::TLS12).await;
    server.write_all(b"answer").await.unwrap();
    server.flush().await.unwrap();
    assert_eq!((hear(&mut client).await, tickets(&client)), (*b"answer", 0));
}

#[tokio::test]
async fn who_wants_another_handshake_hears_at_once_that_there_is_none() {
    const HANDSHAKE: u8 = 22;
    const ALERT: u8 = 21;
    let (mut server, client) = met(&version::TLS12).await;
    let (mut client, session) = client.into_inner();
    let config = ClientConfig::builder_with_provider(provider());
    let config = config.with_protocol_versions(&[&version::TLS12]).unwrap();
    let config = config.with_root_certificates(Authority::new("others").roots());
    let name = ServerName::try_from("localhost").unwrap();
    let mut another = ClientConnection::new(Arc::new(config.with_no_client_auth()), name).unwrap();
    let mut hello = Vec::new();
    another.write_tls(&mut hello).unwrap();
    // What comes after the head of its record.
    client.write_all(&record(session, HANDSHAKE, &hello[5..])).await.unwrap();
    let listening = poll_fn(|context| {
        let mut heard = [0; 1];
        let reading = Pin::new(&mut *server).poll_read(context, &mut ReadBuf::new(&mut heard));
        // As HTTP does, whether it has said something or not.
        ready!(Pin::new(&mut *server).poll_flush(context)).unwrap();
        reading
    });
    let mut head = [0; 5];
    tokio::select! {
        heard = listening => panic!("nothing was said: {heard:?}"),
        told = client.read_exact(&mut head) => told.map(drop).unwrap(),
    }
    // A warning (RFC 5246 section 7.2.2) is two bytes; before them is a nonce, after them a tag.
    assert_eq!(head, [ALERT, 3, 3, 0, 8 + 2 + 16]);
}

#[tokio::test]
async fn more_than_may_wait_goes_out_before_it_is_flushed() {
    let (mut server, mut client) = met(&version::TLS13).await;
    let long: Vec<u8> = (0..1_000_000_u32).map(|place| (place % 251) as u8).collect();
    let mut heard = vec![0; long.len()];
    let saying = async {
        server.write_all(&long).await.unwrap();
        server.flush().await.unwrap();
    };
    let (_, hearing) = tokio::join!(saying, client.read_exact(&mut heard));
    hearing.unwrap();
    assert!(heard == long);
}

#[tokio::test]
async fn an_end_is_told_from_being_cut_off() {
    let (mut server, mut client) = met(&version::TLS13).await;
    client.shutdown().await.unwrap();
    assert_eq!(server.read(&mut [0; 1]).await.unwrap(), 0);
    // Still owed to the client: an answer, and the end.
    server.write_all(b"answer").await.unwrap();
    server.flush().await.unwrap();
    server.shutdown().await.unwrap();
    drop(server);
    let mut heard = Vec::new();
    client.read_to_end(&mut heard).await.unwrap();
    assert_eq!(heard, b"answer");

    let (mut server, client) = met(&version::TLS13).await;
    drop(client);
    let cut = server.read(&mut [0; 1]).await.unwrap_err();
    assert_eq!(cut.kind(), io::ErrorKind::UnexpectedEof);
}

#[tokio::test]
async fn who_hangs_up_or_talks_nonsense_has_not_shaken_hands() {
    for (said, kind) in [
        (&b""[..], io::ErrorKind::UnexpectedEof),
        (b"\x16\x03\x01\x02", io::ErrorKind::UnexpectedEof),
        (b"GET / HTTP/1.1\r\n\r\n", io::ErrorKind::InvalidData),
    ] {
        let (server, mut client) = ends().await;
        let config = Authority::new("servers").server(&["localhost"]).config(None);
        let mut server = Secured::new(&config, server).unwrap();
        client.write_all(said).await.unwrap();
        client.shutdown().await.unwrap();
        assert_eq!(server.shake_hands().await.unwrap_err().kind(), kind, "{said:?}");
        server.into_stream().shutdown().await.unwrap();
        let mut heard = Vec::new();
        client.read_to_end(&mut heard).await.unwrap();
        // An alert tells who talked why; who hung up has nothing to hear.
        assert_eq!(heard.is_empty(), kind == io::ErrorKind::UnexpectedEof);
    }
}
