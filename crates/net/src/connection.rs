//! One authenticated connection: greeting, then frames both ways until it breaks or is told to end.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::Notify;
use tokio::time::{MissedTickBehavior, interval, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::config::Limits;
use crate::delivery::{Greeting, Outbox, Outgoing};
use crate::frame::{Frame, FrameDecoder, FrameError, Instance, Kind};
use crate::identity::PeerId;
use crate::link::{InUse, Link, Origin, locked};
use crate::mailbox::Inbox;
use crate::router::Router;
use crate::tls::KeyRefused;

/// Least room for one read.
const READ_CHUNK: usize = 16 << 10;
/// Frames are gathered up to this many bytes before they are handed to TLS.
const WRITE_BATCH: usize = 64 << 10;
/// How long an acknowledgement may wait for something to travel with.
const ACK_DELAY: Duration = Duration::from_millis(20);

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectionError {
    #[error("{}", explain(.0))]
    Io(#[from] io::Error),
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error("the peer closed the connection")]
    ClosedByPeer,
    #[error("another connection with the peer is in use")]
    Duplicate,
    #[error("the peer was removed from this node's peers")]
    Removed,
    #[error("nothing came from the peer for {} ms: the connection is dead", .0.as_millis())]
    Silent(Duration),
    #[error("the peer has not read for {} ms: the connection is stuck", .0.as_millis())]
    Stuck(Duration),
    #[error("no handshake within {} ms", .0.as_millis())]
    SlowHandshake(Duration),
    #[error("too many connections without an identity: this was the oldest")]
    Evicted,
    #[error("the peer broke the greeting")]
    BadGreeting,
    #[error("the peer sent a keep-alive of wrong length")]
    BadPing,
    #[error("the handshake showed no identity")]
    NoIdentity,
}

/// Turns what the TLS library says into what the operator can do.
fn explain(error: &io::Error) -> String {
    use rustls::{AlertDescription, CertificateError, Error};
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(Error::InvalidCertificate(CertificateError::Other(other))) => {
            match other.0.downcast_ref::<KeyRefused>() {
                Some(refused) => refused.to_string(),
                None => error.to_string(),
            }
        }
        Some(Error::AlertReceived(AlertDescription::CertificateUnknown)) => {
            "the other side refused our identity: add this node to its peer list".to_owned()
        }
        _ => error.to_string(),
    }
}

/// What a connection needs of the network it belongs to.
#[derive(Debug, Clone)]
pub(crate) struct Surroundings {
    pub(crate) own: PeerId,
    pub(crate) instance: Instance,
    pub(crate) limits: Limits,
    pub(crate) router: Arc<Router>,
    pub(crate) control: Arc<Inbox>,
    pub(crate) stop: CancellationToken,
}

/// Reads frames from a stream.
#[derive(Debug)]
pub(crate) struct FrameReader<R> {
    stream: R,
    buffer: BytesMut,
    decoder: FrameDecoder,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    pub(crate) fn new(stream: R, max_frame: usize) -> Self {
        Self { stream, buffer: BytesMut::new(), decoder: FrameDecoder::new(max_frame) }
    }

    /// The next frame, or an error when no byte at all arrives for `silence`.
    pub(crate) async fn next(&mut self, silence: Duration) -> Result<Frame, ConnectionError> {
        loop {
            if let Some(frame) = self.decoder.decode(&mut self.buffer)? {
                return Ok(frame);
            }
            self.buffer.reserve(READ_CHUNK);
            let read = timeout(silence, self.stream.read_buf(&mut self.buffer)).await;
            if read.map_err(|_| ConnectionError::Silent(silence))?? == 0 {
                return Err(ConnectionError::ClosedByPeer);
            }
        }
    }
}

pub(crate) async fn write_frame<W: AsyncWrite + Unpin>(stream: &mut W, frame: &Frame) -> io::Result<()> {
    let mut buffer = BytesMut::new();
    frame.encode(&mut buffer);
    stream.write_all(&buffer).await?;
    stream.flush().await
}

/// A connection that both sides use.
#[derive(Debug)]
pub(crate) struct Connection<S> {
    link: Arc<Link>,
    in_use: InUse,
    theirs: Greeting,
    reader: FrameReader<ReadHalf<S>>,
    writer: WriteHalf<S>,
}

/// What the reading half asks the writing half to send.
#[derive(Debug, Default)]
struct KeepAlive {
    /// The last ping of the peer that is not answered; one is enough, so pings cannot pile up.
    owed: Mutex<Option<u64>>,
    owes: Notify,
    asked: Mutex<Option<(u64, Instant)>>,
    /// What has arrived and was not acknowledged yet.
    ack_owed: Mutex<Option<u64>>,
    owes_ack: Notify,
    /// What the peer has acknowledged.
    acknowledged: AtomicU64,
    ack_came: Notify,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// Agrees with the peer that this connection is the one: the higher identity says hello, the
    /// lower one answers with its choice.
    pub(crate) async fn greet(
        stream: S,
        origin: Origin,
        link: Arc<Link>,
        around: &Surroundings,
    ) -> Result<Self, ConnectionError> {
        let (reader, mut writer) = tokio::io::split(stream);
        let mut reader = FrameReader::new(reader, around.limits.max_frame);
        let silence = around.limits.handshake_timeout;
        let (theirs, in_use) = if link.we_decide {
            let theirs = greeting(reader.next(silence).await?, Kind::Hello)?;
            let in_use = link.decide(origin, theirs.instance).ok_or(ConnectionError::Duplicate)?;
            let ours = link.greeting(around.instance).encode();
            write_frame(&mut writer, &Frame::new(Kind::Confirm, ours)).await?;
            (theirs, in_use)
        } else {
            let ours = link.greeting(around.instance).encode();
            write_frame(&mut writer, &Frame::new(Kind::Hello, ours)).await?;
            let theirs = greeting(reader.next(silence).await?, Kind::Confirm)?;
            (theirs, link.confirmed(origin, theirs.instance))
        };
        Ok(Self { link, in_use, theirs, reader, writer })
    }

    /// Carries frames until the connection breaks, is replaced, or the network stops (`Ok`).
    pub(crate) async fn carry(self, around: &Surroundings) -> Result<(), ConnectionError> {
        let Self { link, in_use, theirs, mut reader, mut writer } = self;
        let keep_alive = KeepAlive::default();
        let (replaced, removed) = (in_use.replaced.clone(), link.removed());
        let reading = read(&mut reader, &link, &in_use, theirs.instance, &keep_alive, around);
        tokio::pin!(reading);
        tokio::select! {
            biased;
            () = removed.cancelled() => return Err(ConnectionError::Removed),
            () = replaced.cancelled() => return Err(ConnectionError::Duplicate),
            ended = &mut reading => return ended,
            ended = write(&mut writer, &link, &theirs, &keep_alive, around) => ended?,
        }
        // Told to stop and all is written. Closing with unread bytes would reset the connection and
        // could destroy what is still on its way, so read until the peer closes too.
        let _reader_ends_or_not = timeout(around.limits.shutdown_timeout / 4, reading).await;
        Ok(())
    }
}

fn greeting(frame: Frame, kind: Kind) -> Result<Greeting, ConnectionError> {
    if frame.kind != kind {
        return Err(ConnectionError::BadGreeting);
    }
    Greeting::decode(frame.body).ok_or(ConnectionError::BadGreeting)
}

async fn read<R: AsyncRead + Unpin>(
    reader: &mut FrameReader<R>,
    link: &Link,
    in_use: &InUse,
    from: Instance,
    keep_alive: &KeepAlive,
    around: &Surroundings,
) -> Result<(), ConnectionError> {
    loop {
        let frame = reader.next(around.limits.idle_timeout).await?;
        link.flows.received.add(frame.wire_len());
        match frame.kind {
            Kind::Session | Kind::Control => {
                let (is_new, received) = link.accept(from, frame.number);
                *locked(&keep_alive.ack_owed) = Some(received);
                keep_alive.owes_ack.notify_one();
                if !is_new {
                    continue;
                }
                if frame.kind == Kind::Session {
                    around.router.deliver(link.id, frame.session, frame.body);
                } else if !around.control.push(link.id, frame.body) {
                    link.drops.inbox_full.add(1);
                }
            }
            Kind::Ack => {
                keep_alive.acknowledged.fetch_max(frame.number, Ordering::AcqRel);
                keep_alive.ack_came.notify_one();
            }
            Kind::Ping => {
                *locked(&keep_alive.owed) = Some(number(frame.body)?);
                keep_alive.owes.notify_one();
            }
            Kind::Pong => {
                let answered = number(frame.body)?;
                let asked = locked(&keep_alive.asked).take_if(|(asked, _)| *asked == answered);
                if let Some((_, at)) = asked {
                    in_use.set_rtt(at.elapsed());
                }
            }
            Kind::Hello | Kind::Confirm => return Err(ConnectionError::BadGreeting),
        }
    }
}

fn number(mut body: Bytes) -> Result<u64, ConnectionError> {
    if body.len() != size_of::<u64>() {
        return Err(ConnectionError::BadPing);
    }
    body.try_get_u64().map_err(|_| ConnectionError::BadPing)
}

async fn write<W: AsyncWrite + Unpin>(
    writer: &mut W,
    link: &Link,
    theirs: &Greeting,
    keep_alive: &KeepAlive,
    around: &Surroundings,
) -> Result<(), ConnectionError> {
    let limits = &around.limits;
    // Held as long as this connection writes: a connection that takes over waits for it.
    let mut outbox = link.outbox.lock().await;
    let (mut resend, given_up) = outbox.resume(around.instance, theirs, limits.queue_ttl);
    link.drops.stale.add(given_up);
    let mut ticks = interval(limits.ping_interval.max(Duration::from_millis(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut asked = 0_u64;
    let mut ack_due: Option<tokio::time::Instant> = None;
    let mut batch = BytesMut::new();
    while let Some(frame) = outbox.get(resend) {
        append(&mut batch, frame, link);
        resend = resend.saturating_add(1);
        if batch.len() >= WRITE_BATCH {
            flush(writer, &mut batch, limits).await?;
        }
    }
    loop {
        flush(writer, &mut batch, limits).await?;
        // In this order: frames are never held up by keep-alives, which a busy connection does not need;
        // and a peer that pings without end delays neither frames nor the stop.
        let mut stopping = false;
        tokio::select! {
            biased;
            () = keep_alive.ack_came.notified() => {
                outbox.acknowledged(keep_alive.acknowledged.load(Ordering::Acquire));
                continue;
            }
            Some(first) = receive(&mut outbox, limits) => {
                let mut next = Some(first);
                while let Some(outgoing) = next {
                    if outgoing.queued.elapsed() > limits.queue_ttl {
                        link.drops.stale.add(1);
                    } else {
                        append(&mut batch, &outbox.number(outgoing), link);
                    }
                    let more = batch.len() < WRITE_BATCH && outbox.has_room(limits.queue_frames);
                    next = if more { outbox.queue.try_recv().ok() } else { None };
                }
            }
            () = around.stop.cancelled() => stopping = true,
            _ = ticks.tick() => {
                asked = asked.wrapping_add(1);
                *locked(&keep_alive.asked) = Some((asked, Instant::now()));
                append(&mut batch, &Frame::new(Kind::Ping, Bytes::copy_from_slice(&asked.to_be_bytes())), link);
            }
            () = sleep_until(ack_due.unwrap_or_else(tokio::time::Instant::now)), if ack_due.is_some() => {}
            () = keep_alive.owes_ack.notified(), if ack_due.is_none() => {
                ack_due = Some(tokio::time::Instant::now() + ACK_DELAY);
                continue;
            }
            () = keep_alive.owes.notified() => {
                if let Some(owed) = locked(&keep_alive.owed).take() {
                    append(&mut batch, &Frame::new(Kind::Pong, Bytes::copy_from_slice(&owed.to_be_bytes())), link);
                }
            }
        }
        if stopping {
            while let Ok(outgoing) = outbox.queue.try_recv() {
                append(&mut batch, &outbox.number(outgoing), link);
            }
        }
        // Whatever is written takes the acknowledgement along.
        if let Some(number) = locked(&keep_alive.ack_owed).take() {
            let ack = Frame { number, ..Frame::new(Kind::Ack, Bytes::new()) };
            append(&mut batch, &ack, link);
        }
        ack_due = None;
        if stopping {
            flush(writer, &mut batch, limits).await?;
            writer.shutdown().await?;
            return Ok(());
        }
    }
}

/// The next frame from the queue, once what is on its way leaves room for it.
async fn receive(outbox: &mut Outbox, limits: &Limits) -> Option<Outgoing> {
    if outbox.has_room(limits.queue_frames) {
        outbox.queue.recv().await
    } else {
        std::future::pending().await
    }
}

async fn flush<W: AsyncWrite + Unpin>(
    writer: &mut W,
    batch: &mut BytesMut,
    limits: &Limits,
) -> Result<(), ConnectionError> {
    if batch.is_empty() {
        return Ok(());
    }
    let write = async {
        writer.write_all(batch).await?;
        writer.flush().await
    };
    timeout(limits.idle_timeout, write).await.map_err(|_| ConnectionError::Stuck(limits.idle_timeout))??;
    batch.clear();
    Ok(())
}

fn append(batch: &mut BytesMut, frame: &Frame, link: &Link) {
    // A body beyond 4 GiB is refused when it is queued, so encoding succeeds.
    if frame.encode(batch) {
        link.flows.sent.add(frame.wire_len());
    }
}

impl ConnectionError {
    /// Whether the operator has to know: the other side misbehaves or the configuration is wrong.
    pub(crate) const fn is_loud(&self) -> bool {
        matches!(self, Self::Frame(_) | Self::BadGreeting | Self::BadPing | Self::Stuck(_) | Self::Silent(_))
    }
}
