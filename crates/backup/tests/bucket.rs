//! Backups in a bucket, at a real S3 server on loopback. Its program is in `QUORATE_TEST_MOTO` (`pip install 'moto[server,s3]'` brings
//! `moto_server`); a test program of its own, because the address of the server goes through the environment.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop where it stands")]

use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use quorate_backup::{Place, PlaceError};

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs this program again with the environment of a bucket; the inner run is the test.
#[test]
fn a_bucket_is_a_place() {
    if std::env::var_os("QUORATE_BUCKET_INNER").is_some() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        return runtime.block_on(inner());
    }
    let program =
        std::env::var_os("QUORATE_TEST_MOTO").expect("set QUORATE_TEST_MOTO to the program `moto_server`");
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let server = Command::new(program)
        .args(["-H", "127.0.0.1", "-p", &port.to_string()])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let _server = Server(server);
    let up = (0..300).any(|_| {
        std::thread::sleep(Duration::from_millis(100));
        TcpStream::connect(("127.0.0.1", port)).is_ok()
    });
    assert!(up, "the S3 server does not listen");
    // A bucket is made by a PUT of its name; the server believes any credentials.
    {
        use std::io::{Read as _, Write as _};
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let head = "PUT /shelf HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    let ran = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_bucket_is_a_place", "--nocapture"])
        .env("QUORATE_BUCKET_INNER", "1")
        .env("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{port}"))
        .env("AWS_ALLOW_HTTP", "true")
        .env("AWS_REGION", "us-east-1")
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test")
        .status()
        .unwrap();
    assert!(ran.success());
}

async fn inner() {
    let place = Place::parse("s3://shelf/some/prefix").unwrap();
    assert!(place.list("").await.unwrap().is_empty());
    assert_eq!(place.get("a/entries/x.qbe", 100).await.unwrap(), None);
    assert!(place.put("a/entries/x.qbe", vec![7; 90]).await.unwrap());
    assert!(!place.put("a/entries/x.qbe", vec![8; 90]).await.unwrap(), "what is there stays");
    assert!(place.put("a/index/00000000000000000001.qbi", vec![1; 9]).await.unwrap());
    assert!(place.put("b/index/00000000000000000001.qbi", vec![2; 9]).await.unwrap());
    assert_eq!(place.get("a/entries/x.qbe", 100).await.unwrap(), Some(vec![7; 90]));
    let too_long = place.get("a/entries/x.qbe", 89).await;
    assert!(matches!(too_long, Err(PlaceError::TooLong { len: 90, .. })), "{too_long:?}");
    let all = ["a/entries/x.qbe", "a/index/00000000000000000001.qbi", "b/index/00000000000000000001.qbi"];
    assert_eq!(place.list("").await.unwrap(), all);
    assert_eq!(place.list("a/").await.unwrap(), all[..2]);
    assert_eq!(place.list("a/index/").await.unwrap(), all[1..2]);
    // Another prefix of the same bucket is another place.
    assert!(Place::parse("s3://shelf/other").unwrap().list("").await.unwrap().is_empty());
    assert_eq!(Place::parse("s3://shelf").unwrap().list("").await.unwrap().len(), 3);
    place.delete("a/entries/x.qbe").await.unwrap();
    place.delete("a/entries/x.qbe").await.unwrap();
    assert_eq!(place.get("a/entries/x.qbe", 100).await.unwrap(), None);
    let missing = Place::parse("s3://no-such-shelf/x").unwrap().put("a", vec![1]).await;
    assert!(matches!(missing, Err(PlaceError::Bucket { .. })), "{missing:?}");
}
