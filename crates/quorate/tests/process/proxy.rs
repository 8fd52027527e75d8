//! Somebody between the command line and a node, who reads, holds back and changes what the node answers.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

/// Gets the path and body of a request and the body of its answer; gives the answer that is passed on.
pub(crate) type Change = dyn Fn(&str, &[u8], Vec<u8>) -> Vec<u8> + Send + Sync;

/// Listens until the test ends; gives the address to ask at.
pub(crate) fn between(
    node: SocketAddr,
    change: impl Fn(&str, &[u8], Vec<u8>) -> Vec<u8> + Send + Sync + 'static,
) -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let change: Arc<Change> = Arc::new(change);
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let change = change.clone();
            std::thread::spawn(move || pass_on(client, node, &*change));
        }
    });
    format!("http://{address}")
}

/// Head, and body by its length; `None` at the end.
fn message(from: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if from.read(&mut byte).ok()? == 0 {
            return None;
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().unwrap())
    });
    let mut body = vec![0; length.unwrap_or(0)];
    from.read_exact(&mut body).ok()?;
    Some((head, body))
}

fn pass_on(mut client: TcpStream, node: SocketAddr, change: &Change) {
    while let Some((head, asked)) = message(&mut client) {
        let Ok(mut server) = TcpStream::connect(node) else { return };
        server.write_all(head.as_bytes()).unwrap();
        server.write_all(&asked).unwrap();
        let Some((answer, body)) = message(&mut server) else { return };
        let path = head.split(' ').nth(1).unwrap().to_owned();
        let body = change(&path, &asked, body);
        let kept =
            answer.trim_end().lines().filter(|line| !line.to_ascii_lowercase().starts_with("content-length"));
        let mut out = kept.collect::<Vec<_>>().join("\r\n");
        out.push_str(&format!("\r\ncontent-length: {}\r\n\r\n", body.len()));
        if client.write_all(out.as_bytes()).and_then(|()| client.write_all(&body)).is_err() {
            return;
        }
    }
}
