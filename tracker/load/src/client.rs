//! One connection of the generator.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};
use socket2::{Domain, Protocol, Socket, Type};

use crate::message::push_frame;

/// One connection of the generator.
pub(crate) struct Client {
    stream: TcpStream,
    tls: Option<Box<ClientConnection>>,
    input: Vec<u8>,
    output: Vec<u8>,
    sent: usize,
    pub(crate) open: bool,
    /// Never reads, so that the server's queue grows.
    pub(crate) deaf: bool,
    /// Sends its handshake byte by byte: how many of them it has sent.
    pub(crate) dribbled: Option<usize>,
    /// When its last announce left, in microseconds.
    pub(crate) announced_us: u64,
    pub(crate) waiting: bool,
}

/// What reading brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Alive,
    Gone,
}

impl Client {
    /// Starts to connect, from the loopback address number `source` when the target is one.
    pub(crate) fn connect(
        target: SocketAddr,
        source: usize,
        tls: Option<&Arc<ClientConfig>>,
    ) -> io::Result<Client> {
        let socket = Socket::new(Domain::for_address(target), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        socket.set_tcp_nodelay(true)?;
        // Reset when it is dropped: ports that wait after a close make each `bind` search for milliseconds, which would look
        // like a slow tracker.
        socket.set_linger(Some(Duration::ZERO))?;
        if let (IpAddr::V4(ip), true) = (target.ip(), target.ip().is_loopback())
            && source > 0
        {
            let [a, b, ..] = ip.octets();
            let from = Ipv4Addr::new(a, b, (source / 250) as u8 + 1, (source % 250) as u8 + 1);
            socket.bind(&SocketAddr::from((from, 0)).into())?;
        }
        match socket.connect(&target.into()) {
            Ok(()) => {}
            Err(error) if error.raw_os_error() == Some(115) || error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        let tls = match tls {
            Some(config) => {
                let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
                let session = ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)?;
                Some(Box::new(session))
            }
            None => None,
        };
        let mut client = Client {
            stream: TcpStream::from_std(socket.into()),
            tls,
            input: Vec::new(),
            output: Vec::new(),
            sent: 0,
            open: false,
            deaf: false,
            dribbled: None,
            announced_us: 0,
            waiting: false,
        };
        client.output.extend_from_slice(
            b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
              Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        );
        Ok(client)
    }

    pub(crate) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        registry.register(&mut self.stream, token, Interest::READABLE | Interest::WRITABLE)
    }

    /// Queues a message.
    pub(crate) fn send(&mut self, text: &str) {
        push_frame(&mut self.output, text.as_bytes());
    }

    /// Sends the next byte of its handshake, which never ends.
    pub(crate) fn dribble(&mut self) -> State {
        // The beginnings of a ClientHello and of a request.
        const HELLO: &[u8] = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";
        const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nX: ";
        let Some(sent) = &mut self.dribbled else { return State::Alive };
        let beginning = if self.tls.is_some() { HELLO } else { REQUEST };
        let byte = beginning.get(*sent).copied().unwrap_or(b'x');
        match self.stream.write(&[byte]) {
            Ok(_) => *sent += 1,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected) => {}
            Err(_) => return State::Gone,
        }
        // Says whether the server has closed it.
        match self.stream.read(&mut [0; 64]) {
            Ok(0) => State::Gone,
            Err(error) if !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected) => {
                State::Gone
            }
            _ => State::Alive,
        }
    }

    /// Bytes that wait to be written.
    pub(crate) fn queued(&self) -> usize {
        self.output.len() - self.sent
    }

    /// Writes what is queued, as far as it goes.
    pub(crate) fn flush(&mut self) -> State {
        if self.dribbled.is_some() {
            return State::Alive;
        }
        let result = match &mut self.tls {
            Some(tls) => flush_tls(tls, &mut self.stream, &mut self.output, &mut self.sent),
            None => flush_plain(&mut self.stream, &mut self.output, &mut self.sent),
        };
        match result {
            Ok(()) => State::Alive,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected) => {
                State::Alive
            }
            Err(_) => State::Gone,
        }
    }

    /// Reads what there is and gives each text message to `each`. `buffer` is shared among connections.
    pub(crate) fn read(&mut self, buffer: &mut [u8], mut each: impl FnMut(&mut Vec<u8>, &[u8])) -> State {
        if (self.deaf && self.open) || self.dribbled.is_some() {
            return State::Alive;
        }
        loop {
            let read = match &mut self.tls {
                Some(tls) => read_tls(tls, &mut self.stream, buffer),
                None => self.stream.read(buffer),
            };
            let read = match read {
                Ok(0) => return State::Gone,
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return State::Alive,
                Err(error) if error.kind() == ErrorKind::NotConnected => return State::Alive,
                Err(_) => return State::Gone,
            };
            let bytes = buffer.get(..read).unwrap_or_default();
            if self.input.is_empty() && self.open {
                let used = frames(bytes, &mut self.output, &mut each);
                match used {
                    Some(used) => self.input.extend_from_slice(bytes.get(used..).unwrap_or_default()),
                    None => return State::Gone,
                }
                continue;
            }
            self.input.extend_from_slice(bytes);
            if !self.open {
                let Some(end) = memchr::memmem::find(&self.input, b"\r\n\r\n") else { continue };
                if !self.input.starts_with(b"HTTP/1.1 101") {
                    return State::Gone;
                }
                self.input.drain(..end + 4);
                self.open = true;
            }
            let mut input = std::mem::take(&mut self.input);
            let Some(used) = frames(&input, &mut self.output, &mut each) else { return State::Gone };
            input.drain(..used);
            self.input = input;
        }
    }
}

/// Walks over whole frames. Returns the bytes used; `None` when the server closes.
fn frames(input: &[u8], output: &mut Vec<u8>, each: &mut impl FnMut(&mut Vec<u8>, &[u8])) -> Option<usize> {
    let mut used = 0;
    loop {
        let rest = input.get(used..).unwrap_or_default();
        let [first, second, ..] = *rest else { return Some(used) };
        let (length, head) = match second & 0x7f {
            126 => match rest.get(2..4).and_then(|bytes| bytes.try_into().ok()) {
                Some(bytes) => (usize::from(u16::from_be_bytes(bytes)), 4),
                None => return Some(used),
            },
            127 => match rest.get(2..10).and_then(|bytes| bytes.try_into().ok()) {
                Some(bytes) => (u64::from_be_bytes(bytes) as usize, 10),
                None => return Some(used),
            },
            short => (usize::from(short), 2),
        };
        let Some(payload) = rest.get(head..head + length) else { return Some(used) };
        used += head + length;
        match first & 0x0f {
            8 => return None,
            9 => output.extend([0x8a, 0x80, 0, 0, 0, 0]),
            1 | 2 => each(output, payload),
            _ => {}
        }
    }
}

fn flush_plain(stream: &mut TcpStream, output: &mut Vec<u8>, sent: &mut usize) -> io::Result<()> {
    while *sent < output.len() {
        *sent += stream.write(output.get(*sent..).unwrap_or_default())?;
    }
    output.clear();
    *sent = 0;
    Ok(())
}

fn flush_tls(
    tls: &mut ClientConnection,
    stream: &mut TcpStream,
    output: &mut Vec<u8>,
    sent: &mut usize,
) -> io::Result<()> {
    loop {
        while tls.wants_write() {
            tls.write_tls(stream)?;
        }
        if tls.is_handshaking() || *sent >= output.len() {
            break;
        }
        *sent += tls.writer().write(output.get(*sent..).unwrap_or_default())?;
    }
    if *sent >= output.len() {
        output.clear();
        *sent = 0;
    }
    Ok(())
}

fn read_tls(tls: &mut ClientConnection, stream: &mut TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match tls.reader().read(buffer) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            other => return other,
        }
        if tls.read_tls(stream)? == 0 {
            return Ok(0);
        }
        tls.process_new_packets().map_err(io::Error::other)?;
        if tls.wants_write() {
            tls.write_tls(stream)?;
        }
    }
}
