//! Rows taken out of a connection's stream, below tokio-postgres.
//!
//! The server sends each row of a COPY as a message of its own. tokio-postgres would give each one
//! a buffer and wake its reader, and hold a row whole however wide it is. Here their contents are
//! put together (or a wide one is taken apart) in buffers of [`BUFFER_BYTES`], which go straight to
//! who asked for them; tokio-postgres sees a COPY of no rows. Every other message passes by, so
//! that authentication, errors and all the rest stay its own.
//!
//! The frames of messages are in
//! <https://www.postgresql.org/docs/current/protocol-message-formats.html>.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use futures_util::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::mpsc;
use tokio_postgres::tls::{ChannelBinding, TlsConnect, TlsStream};
use tokio_util::io::poll_read_buf;
use tokio_util::sync::PollSender;

use super::socket::Socket;
use crate::BUFFER_BYTES;

/// A message's type and its length, which counts itself and what follows.
const HEADER_BYTES: usize = 5;

/// Less room than this is not worth a read: the buffer goes to its reader.
const ROOM_BYTES_MIN: usize = 32 * 1024;

/// Room for everything but rows.
const ORDINARY_BYTES: usize = 8 * 1024;

const COPY_DATA: u8 = b'd';
const COPY_DONE: u8 = b'c';
const ERROR_RESPONSE: u8 = b'E';

/// Asks for the rows of a connection's next COPY.
#[derive(Debug, Clone, Default)]
pub(super) struct Diversion(Arc<Asked>);

#[derive(Debug, Default)]
struct Asked {
    sink: Mutex<Option<mpsc::Sender<Bytes>>>,
    bytes: AtomicU64,
}

impl Diversion {
    /// Sends the rows of the COPY that is asked for next to `sink`, all of them before the COPY's
    /// end is seen by who asked for it. Where `sink` is closed, they are dropped.
    pub(super) fn to(&self, sink: mpsc::Sender<Bytes>) {
        self.0.bytes.store(0, Ordering::Relaxed);
        *self.asked() = Some(sink);
    }

    /// Bytes of rows that went to the present sink.
    pub(super) fn bytes(&self) -> u64 {
        self.0.bytes.load(Ordering::Relaxed)
    }

    fn asked(&self) -> MutexGuard<'_, Option<mpsc::Sender<Bytes>>> {
        self.0.sink.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A stream of the server's messages that rows are taken out of.
pub(super) struct Diverted<S> {
    stream: S,
    diversion: Diversion,
    /// Bytes before the first message: the answer to a request for TLS.
    unframed: usize,
    /// Where rows go during a COPY.
    sink: Option<PollSender<Bytes>>,
    /// Rows up to `kept`, then what was read and not yet looked at.
    buffer: BytesMut,
    kept: usize,
    /// Bytes that the present message still has, and whether they are rows.
    left: usize,
    rows: bool,
    /// The next message ends the COPY: what is kept goes to the sink before.
    ending: bool,
    /// Everything that is no row, on its way up.
    passing: BytesMut,
}

impl<S> Diverted<S> {
    /// `unframed` bytes pass before the first message is looked for.
    pub(super) fn new(stream: S, diversion: Diversion, unframed: usize) -> Self {
        Self {
            stream,
            diversion,
            unframed,
            sink: None,
            buffer: BytesMut::new(),
            kept: 0,
            left: 0,
            rows: false,
            ending: false,
            passing: BytesMut::new(),
        }
    }

    /// Sorts what was read into rows and the rest, up to the message that ends a COPY.
    fn sort(&mut self) {
        let mut at = self.kept;
        while !self.ending {
            if self.left == 0 {
                let Some(&[kind, a, b, c, d]) = self.buffer[at..].first_chunk::<HEADER_BYTES>()
                else {
                    break;
                };
                let length = u32::from_be_bytes([a, b, c, d]) as usize;
                match (kind, &self.sink) {
                    (COPY_DATA, Some(_)) if length >= 4 => {
                        self.rows = true;
                        self.left = length - 4;
                        at += HEADER_BYTES;
                    }
                    (COPY_DONE | ERROR_RESPONSE, Some(_)) => {
                        self.ending = true;
                        break;
                    }
                    // A length that cannot be is for tokio-postgres to refuse.
                    _ => {
                        self.rows = false;
                        self.left = 1 + length.max(4);
                    }
                }
            }
            let here = self.left.min(self.buffer.len() - at);
            if self.rows {
                self.buffer.copy_within(at..at + here, self.kept);
                self.kept += here;
            } else {
                self.passing.extend_from_slice(&self.buffer[at..at + here]);
            }
            at += here;
            self.left -= here;
            if self.left > 0 {
                break;
            }
        }
        let unsorted = self.buffer.len() - at;
        self.buffer.copy_within(at.., self.kept);
        self.buffer.truncate(self.kept + unsorted);
    }

    /// Sends what is kept, once there is room for it.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(sink) = self.sink.as_mut().filter(|_| self.kept > 0) {
            let reserved = ready!(sink.poll_reserve(cx));
            let mut next = BytesMut::with_capacity(BUFFER_BYTES);
            next.extend_from_slice(&self.buffer[self.kept..]);
            let mut rows = std::mem::replace(&mut self.buffer, next);
            rows.truncate(self.kept);
            // A closed sink is noticed by who holds its other end; until the server is told to
            // stop, its rows go nowhere.
            if reserved.is_ok() && sink.send_item(rows.freeze()).is_ok() {
                let bytes = self.kept as u64;
                self.diversion.0.bytes.fetch_add(bytes, Ordering::Relaxed);
            }
            self.kept = 0;
        }
        if self.ending {
            self.sink = None;
            self.ending = false;
            self.sort();
        }
        Poll::Ready(())
    }
}

impl<S: AsyncRead + Unpin> Diverted<S> {
    /// Reads what there is room for; 0 at the stream's end.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let room = match self.sink {
            Some(_) if self.kept == 0 => BUFFER_BYTES,
            Some(_) => ROOM_BYTES_MIN,
            None => ORDINARY_BYTES,
        };
        let room = room.saturating_sub(self.buffer.len() - self.kept);
        self.buffer.reserve(room.max(1));
        poll_read_buf(Pin::new(&mut self.stream), cx, &mut self.buffer)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Diverted<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.unframed > 0 {
            let mut first = [0];
            let mut first = ReadBuf::new(&mut first);
            ready!(Pin::new(&mut this.stream).poll_read(cx, &mut first))?;
            out.put_slice(first.filled());
            this.unframed -= first.filled().len();
            return Poll::Ready(Ok(()));
        }
        if this.sink.is_none() {
            this.sink = this.diversion.asked().take().map(PollSender::new);
        }
        loop {
            if !this.passing.is_empty() {
                let length = this.passing.len().min(out.remaining());
                out.put_slice(&this.passing[..length]);
                this.passing.advance(length);
                return Poll::Ready(Ok(()));
            }
            let full = this.buffer.capacity() - this.buffer.len() < ROOM_BYTES_MIN;
            if this.ending || this.kept > 0 && full {
                ready!(this.poll_send(cx));
                continue;
            }
            if ready!(this.poll_fill(cx))? == 0 {
                return Poll::Ready(Ok(()));
            }
            this.sort();
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Diverted<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

impl<S: TlsStream + Unpin> TlsStream for Diverted<S> {
    fn channel_binding(&self) -> ChannelBinding {
        self.stream.channel_binding()
    }
}

/// Wraps TLS around a socket, and the diversion around that: under TLS there are no frames to see.
pub(super) struct AboveTls<C>(pub(super) C);

impl<C> TlsConnect<Diverted<Socket>> for AboveTls<C>
where
    C: TlsConnect<Socket>,
    C::Future: Send + 'static,
{
    type Stream = Diverted<C::Stream>;
    type Error = C::Error;
    type Future = BoxFuture<'static, Result<Self::Stream, Self::Error>>;

    fn connect(self, below: Diverted<Socket>) -> Self::Future {
        let connecting = self.0.connect(below.stream);
        Box::pin(async move { Ok(Diverted::new(connecting.await?, below.diversion, 0)) })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// What a server would send, in frames.
    fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        let length = (body.len() as u32 + 4).to_be_bytes();
        [&[kind], &length[..], body].concat()
    }

    /// Sends `stream` in pieces of `piece` bytes; returns what reached tokio-postgres and what the
    /// sink, whose buffers are checked for their size.
    fn divert(stream: &[u8], piece: usize, unframed: usize) -> (Vec<u8>, Vec<u8>, u64) {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        runtime.unwrap().block_on(async {
            let (mut server, client) = tokio::io::duplex(piece);
            let diversion = Diversion::default();
            let mut diverted = Diverted::new(client, diversion.clone(), unframed);
            let (sink, mut rows) = mpsc::channel(1);
            diversion.to(sink);
            let send = async {
                server.write_all(stream).await.unwrap();
                drop(server);
            };
            let pass = async {
                let mut passed = Vec::new();
                diverted.read_to_end(&mut passed).await.unwrap();
                passed
            };
            let collect = async {
                let mut content = Vec::new();
                while let Some(buffer) = rows.recv().await {
                    assert!(!buffer.is_empty() && buffer.len() <= BUFFER_BYTES);
                    content.extend_from_slice(&buffer);
                }
                content
            };
            let ((), passed, content) = tokio::join!(send, pass, collect);
            (passed, content, diversion.bytes())
        })
    }

    proptest! {
        #[test]
        fn rows_are_taken_out_whatever_the_pieces(
            rows in prop::collection::vec((0usize..300, any::<bool>()), 0..60),
            piece in 1usize..700,
            unframed in 0usize..2,
        ) {
            let mut stream = vec![b'N'; unframed];
            let mut around = stream.clone();
            let mut content = Vec::new();
            for before in [message(b'1', b""), message(b'H', &[0; 7])] {
                stream.extend_from_slice(&before);
                around.extend_from_slice(&before);
            }
            for (at, (length, notice)) in rows.iter().enumerate() {
                let row = vec![at as u8; *length];
                stream.extend_from_slice(&message(COPY_DATA, &row));
                content.extend_from_slice(&row);
                if *notice {
                    let notice = message(b'N', &row);
                    stream.extend_from_slice(&notice);
                    around.extend_from_slice(&notice);
                }
            }
            // After its end, what looks like rows is none of this COPY's.
            for after in [message(COPY_DONE, b""), message(COPY_DATA, b"x"), message(b'Z', b"T")] {
                stream.extend_from_slice(&after);
                around.extend_from_slice(&after);
            }
            let (passed, diverted, bytes) = divert(&stream, piece, unframed);
            prop_assert_eq!(passed, around);
            prop_assert_eq!(bytes, content.len() as u64);
            prop_assert_eq!(diverted, content);
        }
    }

    #[test]
    fn a_wide_row_comes_in_bounded_pieces() {
        let row: Vec<u8> = (0..5 * BUFFER_BYTES + 77)
            .map(|at| (at / 7) as u8)
            .collect();
        let end = message(COPY_DONE, b"");
        let stream = [message(COPY_DATA, &row), end.clone()].concat();
        let (passed, diverted, _) = divert(&stream, 64 * 1024, 0);
        assert!(diverted == row);
        assert_eq!(passed, end);
    }

    #[test]
    fn a_copy_that_fails_sends_its_rows_and_then_says_why() {
        let error = message(ERROR_RESPONSE, b"SERROR\0\0");
        let stream = [message(COPY_DATA, b"1\n"), error.clone()].concat();
        let (passed, diverted, bytes) = divert(&stream, 3, 0);
        assert_eq!((passed, diverted, bytes), (error, b"1\n".to_vec(), 2));
    }

    #[test]
    fn rows_that_nobody_wants_are_dropped_and_the_end_still_comes() {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        runtime.unwrap().block_on(async {
            let end = message(COPY_DONE, b"");
            let row = vec![b'x'; 2 * BUFFER_BYTES];
            let stream = [message(COPY_DATA, &row), end.clone()].concat();
            let diversion = Diversion::default();
            let mut diverted = Diverted::new(&stream[..], diversion.clone(), 0);
            diversion.to(mpsc::channel(1).0);
            let mut passed = Vec::new();
            diverted.read_to_end(&mut passed).await.unwrap();
            assert_eq!((passed, diversion.bytes()), (end, 0));
        });
    }

    #[test]
    fn nothing_is_read_ahead_of_a_full_sink() {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        runtime.unwrap().block_on(async {
            let stream = message(COPY_DATA, &vec![b'x'; 8 * BUFFER_BYTES]);
            let diversion = Diversion::default();
            let mut diverted = Diverted::new(&stream[..], diversion.clone(), 0);
            let (sink, mut rows) = mpsc::channel(1);
            diversion.to(sink);
            let mut byte = [0];
            let read = std::future::poll_fn(|cx| {
                let mut out = ReadBuf::new(&mut byte);
                Poll::Ready(Pin::new(&mut diverted).poll_read(cx, &mut out).is_ready())
            });
            assert!(!read.await);
            // One buffer waits in the sink, one for room in it.
            assert!(diverted.stream.len() >= 6 * BUFFER_BYTES);
            assert!(rows.recv().await.unwrap().len() <= BUFFER_BYTES);
        });
    }
}
