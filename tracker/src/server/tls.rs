//! TLS by rustls' unbuffered interface: records are decrypted where they were read, and an idle session keeps no
//! buffers.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, UnbufferedServerConnection};
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, UnbufferedStatus};

use crate::config::{ConfigError, TlsSettings};

/// Reads certificate and key.
pub(super) fn server_config(settings: &TlsSettings) -> Result<Option<Arc<ServerConfig>>, ConfigError> {
    if settings.certificate.is_empty() {
        return Ok(None);
    }
    let wrong = |field: &str, path: &str, error: &dyn std::fmt::Display| {
        ConfigError::value(field, format_args!("{path:?} ({error})"), "a readable PEM file")
    };
    let (certificate, key) = (&settings.certificate, &settings.key);
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(Path::new(certificate))
        .and_then(Iterator::collect)
        .map_err(|error| wrong("tls.certificate", certificate, &error))?;
    if chain.is_empty() {
        return Err(wrong("tls.certificate", certificate, &"no certificate in it"));
    }
    let private =
        PrivateKeyDer::from_pem_file(Path::new(key)).map_err(|error| wrong("tls.key", key, &error))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong("tls.certificate", certificate, &error))?
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .map_err(|error| wrong("tls.key", key, &error))?;
    // Returning clients bring their own ticket: join storms cost less, and nothing is kept for clients that left.
    config.ticketer = rustls::crypto::ring::Ticketer::new().map_err(|error| wrong("tls.key", key, &error))?;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 1;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Some(Arc::new(config)))
}

/// One TLS session.
pub(super) struct Session {
    tls: UnbufferedServerConnection,
    /// The beginning of a record that is not complete.
    rest: Vec<u8>,
    ready: bool,
}

/// What came of some records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Received {
    /// Go on.
    Open,
    /// The other side said that it sends nothing more.
    Closed,
}

/// Longest beginning of a record that is kept: a record is at most 16 KiB and its framing.
const MAX_REST_BYTES: usize = 18 * 1024;

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("ready", &self.ready).finish_non_exhaustive()
    }
}

impl Session {
    pub(super) fn new(config: Arc<ServerConfig>) -> Result<Session, rustls::Error> {
        Ok(Session { tls: UnbufferedServerConnection::new(config)?, rest: Vec::new(), ready: false })
    }

    /// Whether the handshake is done.
    pub(super) const fn is_ready(&self) -> bool {
        self.ready
    }

    /// Takes bytes as they came. Plain bytes go to `plain`; handshake bytes to be sent are appended to `wire`.
    pub(super) fn receive(
        &mut self,
        bytes: &mut [u8],
        wire: &mut Vec<u8>,
        mut plain: impl FnMut(&[u8]),
    ) -> io::Result<Received> {
        if self.rest.is_empty() {
            let (used, received) = self.process(bytes, wire, &mut plain)?;
            self.rest.extend_from_slice(bytes.get(used..).unwrap_or_default());
            return self.check_rest(received);
        }
        let mut joined = std::mem::take(&mut self.rest);
        joined.extend_from_slice(bytes);
        let (used, received) = self.process(&mut joined, wire, &mut plain)?;
        if used < joined.len() {
            joined.drain(..used);
            self.rest = joined;
        }
        self.check_rest(received)
    }

    fn check_rest(&self, received: Received) -> io::Result<Received> {
        if self.rest.len() > MAX_REST_BYTES * 2 {
            return Err(io::Error::other("TLS record too long"));
        }
        Ok(received)
    }

    fn process(
        &mut self,
        bytes: &mut [u8],
        wire: &mut Vec<u8>,
        plain: &mut impl FnMut(&[u8]),
    ) -> io::Result<(usize, Received)> {
        let mut used = 0;
        loop {
            let UnbufferedStatus { mut discard, state } =
                self.tls.process_tls_records(bytes.get_mut(used..).unwrap_or_default());
            let mut done = None;
            match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record.map_err(io::Error::other)?;
                        discard += record.discard;
                        plain(record.payload);
                    }
                }
                Ok(ConnectionState::EncodeTlsData(mut data)) => {
                    append_encoded(wire, |to| match data.encode(to) {
                        Ok(written) => Ok(written),
                        Err(EncodeError::InsufficientSize(need)) => Err(Some(need.required_size)),
                        Err(EncodeError::AlreadyEncoded) => Err(None),
                    })?
                }
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                Ok(ConnectionState::BlockedHandshake) => done = Some(Received::Open),
                Ok(ConnectionState::WriteTraffic(_)) => {
                    self.ready = true;
                    done = Some(Received::Open);
                }
                Ok(ConnectionState::PeerClosed | ConnectionState::Closed) => done = Some(Received::Closed),
                // Early data is off, and states to come are not ours to know.
                Ok(_) => return Err(io::Error::other("unexpected TLS state")),
                Err(error) => {
                    self.collect_alert(wire);
                    return Err(io::Error::other(error));
                }
            }
            used += discard;
            if let Some(received) = done {
                return Ok((used.min(bytes.len()), received));
            }
        }
    }

    /// After an error the session may want to say why.
    fn collect_alert(&mut self, wire: &mut Vec<u8>) {
        if let Ok(ConnectionState::EncodeTlsData(mut data)) = self.tls.process_tls_records(&mut []).state {
            let _ = append_encoded(wire, |to| {
                data.encode(to).map_err(|error| match error {
                    EncodeError::InsufficientSize(need) => Some(need.required_size),
                    EncodeError::AlreadyEncoded => None,
                })
            });
        }
    }

    /// Appends `plain`, encrypted, to `wire`.
    pub(super) fn encrypt(&mut self, plain: &[u8], wire: &mut Vec<u8>) -> Result<(), rustls::Error> {
        const RECORD_OVERHEAD_BYTES: usize = 64;
        match self.tls.process_tls_records(&mut []).state? {
            ConnectionState::WriteTraffic(mut traffic) => {
                let records = plain.len() / (16 * 1024) + 1;
                let room = plain.len() + records * RECORD_OVERHEAD_BYTES;
                append(wire, room, |to| match traffic.encrypt(plain, to) {
                    Ok(written) => Ok(written),
                    Err(EncryptError::InsufficientSize(need)) => Err(Some(need.required_size)),
                    Err(EncryptError::EncryptExhausted) => Err(None),
                })
                .map_err(|_| rustls::Error::EncryptError)
            }
            _ => Err(rustls::Error::HandshakeNotComplete),
        }
    }
}

fn append_encoded(
    wire: &mut Vec<u8>,
    encode: impl FnMut(&mut [u8]) -> Result<usize, Option<usize>>,
) -> io::Result<()> {
    append(wire, 2048, encode)
}

/// Appends what `encode` writes, giving it more room if it asks.
fn append(
    wire: &mut Vec<u8>,
    room: usize,
    mut encode: impl FnMut(&mut [u8]) -> Result<usize, Option<usize>>,
) -> io::Result<()> {
    let start = wire.len();
    let mut room = room;
    loop {
        wire.resize(start + room, 0);
        match encode(wire.get_mut(start..).unwrap_or_default()) {
            Ok(written) => {
                wire.truncate(start + written);
                return Ok(());
            }
            Err(Some(required)) if required > room => room = required,
            Err(_) => {
                wire.truncate(start);
                return Err(io::Error::other("TLS data could not be encoded"));
            }
        }
    }
}
