//! A connection that is given up when its other end does not take what is sent to it.

use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

/// Ends writes with [`io::ErrorKind::TimedOut`] once the other end has not taken all that was waiting for it for `patience`. A byte now
/// and then does not help: the clock stops only when everything was handed over, which is when the writer flushes.
#[derive(Debug)]
pub(super) struct Patient<T> {
    inner: T,
    patience: Duration,
    /// Runs while something waits to be taken.
    behind: Option<Pin<Box<Sleep>>>,
}

impl<T> Patient<T> {
    pub(super) fn new(inner: T, patience: Duration) -> Self {
        Self { inner, patience, behind: None }
    }

    /// `written`, or the error if that has been waited for too long.
    fn judge<R>(&mut self, written: Poll<io::Result<R>>, cx: &mut Context<'_>) -> Poll<io::Result<R>> {
        if written.is_ready() && self.behind.is_none() {
            return written;
        }
        let until = Instant::now() + self.patience;
        let clock = self.behind.get_or_insert_with(|| Box::pin(sleep_until(until)));
        if clock.as_mut().poll(cx).is_ready() {
            let what = "the client does not take its answer";
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, what)));
        }
        written
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Patient<T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_read(cx, into)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Patient<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.inner).poll_write(cx, bytes);
        this.judge(written, cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.inner).poll_write_vectored(cx, bytes);
        this.judge(written, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flushed = Pin::new(&mut this.inner).poll_flush(cx);
        if matches!(flushed, Poll::Ready(Ok(()))) {
            this.behind = None;
        }
        flushed
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let shut = Pin::new(&mut this.inner).poll_shutdown(cx);
        this.judge(shut, cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    const PATIENCE: Duration = Duration::from_millis(200);

    /// As hyper writes: all, then a flush.
    async fn send(to: &mut Patient<tokio::io::DuplexStream>, bytes: usize) -> io::Result<()> {
        to.write_all(&vec![7; bytes]).await?;
        to.flush().await
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_nothing_or_a_byte_now_and_then_is_given_up() {
        let (here, there) = tokio::io::duplex(64);
        let begun = Instant::now();
        let error = send(&mut Patient::new(here, PATIENCE), 1000).await.unwrap_err();
        assert_eq!((error.kind(), begun.elapsed()), (io::ErrorKind::TimedOut, PATIENCE));
        drop(there);

        let (here, mut there) = tokio::io::duplex(64);
        let trickle = tokio::spawn(async move {
            while there.read_u8().await.is_ok() {
                tokio::time::sleep(PATIENCE / 4).await;
            }
        });
        let begun = Instant::now();
        let error = send(&mut Patient::new(here, PATIENCE), 1000).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(begun.elapsed() < PATIENCE * 2, "{:?}", begun.elapsed());
        trickle.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_all_in_time_is_served_for_ever() {
        let (here, mut there) = tokio::io::duplex(64);
        let reader = tokio::spawn(async move {
            let (mut all, mut some) = (0, [0; 64]);
            while let Ok(n @ 1..) = there.read(&mut some).await {
                all += n;
                tokio::time::sleep(PATIENCE / 8).await;
            }
            all
        });
        let mut here = Patient::new(here, PATIENCE);
        for _ in 0..20 {
            send(&mut here, 256).await.unwrap();
            // Nothing is owed in between, however long that lasts.
            tokio::time::sleep(PATIENCE * 3).await;
        }
        drop(here);
        assert_eq!(reader.await.unwrap(), 20 * 256);
    }
}
