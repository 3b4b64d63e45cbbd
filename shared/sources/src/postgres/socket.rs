//! The socket below a connection. tokio-postgres could open it, but then nothing could be put
//! between the two: see [`super::diversion`].

use std::io;
use std::path::Path;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpStream, UnixStream, lookup_host};
use tokio_util::either::Either;

use super::options::PostgresOptions;

/// Silence after which the kernel asks whether the server is still there. The session that holds
/// the snapshot says nothing for hours, and a NAT gateway of AWS forgets a connection after 350 s.
/// <https://docs.aws.amazon.com/vpc/latest/userguide/nat-gateway-troubleshooting.html>
const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);

/// Time between questions that get no answer.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);

/// Questions without an answer that end the connection.
const KEEPALIVE_RETRIES: u32 = 5;

/// How long sent bytes may go unacknowledged: as long as the questions take.
#[cfg(target_os = "linux")]
const UNANSWERED: Duration = Duration::from_secs(110);

/// A socket of either kind.
pub(super) type Socket = Either<TcpStream, UnixStream>;

/// Opens a socket to the server that `options` name, at the first of its addresses that answers.
/// The caller bounds the time.
pub(super) async fn open(options: &PostgresOptions) -> io::Result<Socket> {
    if options.host.starts_with('/') {
        let path = Path::new(&options.host).join(format!(".s.PGSQL.{}", options.port));
        return Ok(Either::Right(UnixStream::connect(path).await?));
    }
    let mut refused = None;
    for address in lookup_host((options.host.as_str(), options.port)).await? {
        match TcpStream::connect(address).await {
            Ok(stream) => {
                set_up(&stream)?;
                return Ok(Either::Left(stream));
            }
            Err(error) => refused = Some(error),
        }
    }
    Err(refused.unwrap_or_else(|| io::Error::other("its name has no address")))
}

fn set_up(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    let questions = TcpKeepalive::new()
        .with_time(KEEPALIVE_IDLE)
        .with_interval(KEEPALIVE_INTERVAL)
        .with_retries(KEEPALIVE_RETRIES);
    socket.set_tcp_keepalive(&questions)?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(UNANSWERED))?;
    Ok(())
}
