//! What waits to be written to one connection.

use std::io;

use super::stream::Stream;
use super::tls::Session;

/// Buffers that connections borrow while they have something to write, so that idle ones hold none.
#[derive(Debug, Default)]
pub(super) struct Pool {
    spare: Vec<Vec<u8>>,
}

impl Pool {
    const MOST_SPARE: usize = 256;
    const MOST_BYTES: usize = 64 * 1024;

    fn take(&mut self) -> Vec<u8> {
        self.spare.pop().unwrap_or_default()
    }

    fn give(&mut self, mut buffer: Vec<u8>) {
        if buffer.capacity() > 0
            && buffer.capacity() <= Pool::MOST_BYTES
            && self.spare.len() < Pool::MOST_SPARE
        {
            buffer.clear();
            self.spare.push(buffer);
        }
    }
}

/// What waits to be written: plain bytes, and with TLS the encrypted ones.
#[derive(Debug, Default)]
pub(super) struct Queue {
    plain: Vec<u8>,
    wire: Vec<u8>,
    /// Bytes of `wire` that are written.
    sent: usize,
}

/// How far a flush came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flushed {
    /// Everything is written.
    All,
    /// Some bytes were written and the socket takes no more now.
    Some,
    /// The socket takes nothing now.
    Nothing,
}

impl Queue {
    /// Bytes waiting.
    pub(super) fn len(&self) -> usize {
        self.plain.len() + self.wire.len() - self.sent
    }

    /// The buffer that frames are appended to.
    pub(super) fn buffer(&mut self, pool: &mut Pool) -> &mut Vec<u8> {
        if self.plain.capacity() == 0 {
            self.plain = pool.take();
        }
        &mut self.plain
    }

    /// The buffer for bytes that are encrypted already (handshake messages).
    pub(super) fn wire(&mut self) -> &mut Vec<u8> {
        &mut self.wire
    }

    /// Writes as much as the socket takes.
    pub(super) fn flush(
        &mut self,
        stream: &mut Stream,
        tls: Option<&mut Session>,
        pool: &mut Pool,
    ) -> io::Result<Flushed> {
        if !self.plain.is_empty() {
            match tls {
                Some(session) if session.is_ready() => {
                    if self.wire.capacity() == 0 {
                        self.wire = pool.take();
                    }
                    session.encrypt(&self.plain, &mut self.wire).map_err(io::Error::other)?;
                    pool.give(std::mem::take(&mut self.plain));
                }
                // Nothing may be sent before the handshake is done.
                Some(_) => {}
                None if self.wire.is_empty() => std::mem::swap(&mut self.plain, &mut self.wire),
                None => {
                    self.wire.extend_from_slice(&self.plain);
                    pool.give(std::mem::take(&mut self.plain));
                }
            }
        }
        let mut progress = false;
        while self.sent < self.wire.len() {
            match stream.write(self.wire.get(self.sent..).unwrap_or_default()) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    self.sent += written;
                    progress = true;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.compact();
                    return Ok(if progress { Flushed::Some } else { Flushed::Nothing });
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.sent = 0;
        pool.give(std::mem::take(&mut self.wire));
        Ok(Flushed::All)
    }

    /// Gives back what is written once it is most of the buffer.
    fn compact(&mut self) {
        if self.sent * 2 > self.wire.len() {
            self.wire.drain(..self.sent);
            self.sent = 0;
        }
    }
}
