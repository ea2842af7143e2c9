//! Listening sockets.

use hlswarm::time::Span;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::net::{UnixListener as StdUnixListener, UnixStream as StdUnixStream};
use std::path::PathBuf;

use mio::net::{TcpListener, UnixListener};
use mio::{Interest, Registry, Token};
use socket2::{Domain, Protocol, Socket, Type};

use super::stream::Stream;
use crate::config::ConfigError;

/// Where to listen, as the settings say it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) address: Address,
    pub(super) tls: bool,
}

/// An address of a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Address {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl Place {
    /// Reads "ADDR:PORT", "ws://ADDR:PORT", "wss://ADDR:PORT" or "unix:/path".
    pub(super) fn parse(field: &str, text: &str, has_certificate: bool) -> Result<Place, ConfigError> {
        if let Some(path) = text.strip_prefix("unix:").filter(|path| !path.is_empty()) {
            return Ok(Place { address: Address::Unix(PathBuf::from(path)), tls: false });
        }
        let (address, tls) = match (text.strip_prefix("ws://"), text.strip_prefix("wss://")) {
            (Some(rest), _) => (rest, false),
            (_, Some(rest)) => (rest, true),
            _ => (text, has_certificate),
        };
        if tls && !has_certificate {
            return Err(ConfigError::value(
                field,
                format_args!("{text:?}"),
                "ws:// unless tls.certificate is set",
            ));
        }
        let address = address.trim_end_matches('/').parse().map_err(|_| {
            ConfigError::value(
                field,
                format_args!("{text:?}"),
                "\"ADDR:PORT\" (e.g. \"0.0.0.0:8000\" or \"[::]:8000\"), \"ws://ADDR:PORT\", \"wss://ADDR:PORT\" or \
                 \"unix:/path\"",
            )
        })?;
        Ok(Place { address: Address::Tcp(address), tls })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.address {
            Address::Tcp(address) => write!(f, "{}://{address}", if self.tls { "wss" } else { "ws" }),
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// A listening socket.
#[derive(Debug)]
pub(super) enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// Listens at `place` with one socket per worker, which share the connections. Returns them with the address that was
/// bound, which differs for port 0.
pub(super) fn bind(place: &Place, workers: usize, take_over: bool) -> io::Result<(Vec<Listener>, Place)> {
    match &place.address {
        Address::Tcp(address) => {
            if !take_over && address.port() != 0 {
                // Sockets that share a port would also share it with a tracker that runs already: make sure that
                // there is none.
                bind_tcp(*address, false)?;
            }
            let first = bind_tcp(*address, true)?;
            let bound = first.local_addr()?;
            let mut listeners = vec![Listener::Tcp(first)];
            for _ in 1..workers {
                listeners.push(Listener::Tcp(bind_tcp(bound, true)?));
            }
            Ok((listeners, Place { address: Address::Tcp(bound), tls: place.tls }))
        }
        Address::Unix(path) => {
            if path.exists() {
                if StdUnixStream::connect(path).is_ok() && !take_over {
                    return Err(io::ErrorKind::AddrInUse.into());
                }
                // Left behind by a process that is gone, or about to be taken over.
                std::fs::remove_file(path)?;
            }
            // A unix path has one queue: all workers take from it.
            let first = StdUnixListener::bind(path)?;
            first.set_nonblocking(true)?;
            let mut listeners = Vec::with_capacity(workers);
            for _ in 1..workers {
                listeners.push(Listener::Unix(UnixListener::from_std(first.try_clone()?)));
            }
            listeners.push(Listener::Unix(UnixListener::from_std(first)));
            Ok((listeners, place.clone()))
        }
    }
}

fn bind_tcp(address: SocketAddr, share: bool) -> io::Result<TcpListener> {
    const BACKLOG: i32 = 4096;
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if share {
        socket.set_reuse_port(true)?;
    }
    if address.is_ipv6() {
        // "[::]" serves IPv4 as well, whatever the system's default is.
        socket.set_only_v6(false)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(TcpListener::from_std(socket.into()))
}

impl Listener {
    pub(super) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        match self {
            Listener::Tcp(listener) => registry.register(listener, token, Interest::READABLE),
            Listener::Unix(listener) => registry.register(listener, token, Interest::READABLE),
        }
    }

    pub(super) fn accept(&self) -> io::Result<(Stream, IpAddr)> {
        match self {
            Listener::Tcp(listener) => {
                let (stream, address) = listener.accept()?;
                // Answers are small and somebody waits for each.
                stream.set_nodelay(true)?;
                Ok((Stream::Tcp(stream), address.ip().to_canonical()))
            }
            Listener::Unix(listener) => {
                let (stream, _) = listener.accept()?;
                // Whoever connects here is a proxy on this machine.
                Ok((Stream::Unix(stream), IpAddr::V4(Ipv4Addr::LOCALHOST)))
            }
        }
    }
}

/// How long to wait when the process has no file descriptors left.
pub(super) const NO_DESCRIPTORS_PAUSE: Span = Span::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_as_written() {
        let place = |text: &str, certificate| {
            Place::parse("f", text, certificate).map(|place| place.to_string()).ok()
        };
        assert_eq!(place("127.0.0.1:80", false).as_deref(), Some("ws://127.0.0.1:80"));
        assert_eq!(place("127.0.0.1:80", true).as_deref(), Some("wss://127.0.0.1:80"));
        assert_eq!(place("ws://[::1]:80/", true).as_deref(), Some("ws://[::1]:80"));
        assert_eq!(place("unix:/run/t", false).as_deref(), Some("unix:/run/t"));
        for wrong in ["", "80", "localhost", "wss://127.0.0.1:80", "http://127.0.0.1:80", "unix:"] {
            assert_eq!(place(wrong, false), None, "{wrong}");
        }
    }
}
