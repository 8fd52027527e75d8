//! A private Ethereum chain for one test.

use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long the node may take to answer.
const TIMEOUT: Duration = Duration::from_secs(20);

/// A running anvil on a port of its own; dropped, it ends.
#[derive(Debug)]
pub struct Anvil {
    child: Child,
    address: String,
}

/// The node's refusal of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RpcError {
    /// JSON-RPC code.
    pub code: i64,
    /// The node's words.
    pub message: String,
}

impl Anvil {
    /// Starts the program named by `QUORATE_TEST_ANVIL`.
    ///
    /// # Panics
    /// If the variable is missing, or if the program does not listen.
    pub fn start() -> Self {
        let path = crate::tool("QUORATE_TEST_ANVIL", "npm package @foundry-rs/anvil-linux-amd64");
        let mut child = Command::new(&path)
            // Port 0: the system picks a free one, so test programs never meet.
            .args(["--host", "127.0.0.1", "--port", "0", "--accounts", "1"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|e| panic!("cannot start `{}`: {e}", path.display()));
        let mut output = BufReader::new(child.stdout.take().expect("stdout is a pipe"));
        let mut line = String::new();
        let address = loop {
            line.clear();
            let read = output.read_line(&mut line).expect("anvil's output is text");
            if read == 0 {
                let _ = child.kill();
                let status = child.wait();
                panic!("`{}` ended before it listened: {status:?}", path.display());
            }
            if let Some(address) = line.trim().strip_prefix("Listening on ") {
                break address.to_owned();
            }
        };
        // A full pipe would stop the node.
        std::thread::spawn(move || std::io::copy(&mut output, &mut std::io::sink()));
        Self { child, address }
    }

    /// Calls a method of the JSON-RPC interface.
    ///
    /// # Errors
    /// [`RpcError`] if the node refuses.
    ///
    /// # Panics
    /// If the node does not answer in time, or not with JSON-RPC.
    pub fn call(&self, method: &str, params: Value) -> Result<Value, RpcError> {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }).to_string();
        let answer = self.post(&body).unwrap_or_else(|e| panic!("{method}: {e}"));
        let mut answer: Value =
            serde_json::from_str(&answer).unwrap_or_else(|e| panic!("{method}: {e}: {answer}"));
        if let Some(error) = answer.get("error") {
            let code = error["code"].as_i64().unwrap_or_default();
            return Err(RpcError { code, message: error["message"].as_str().unwrap_or_default().to_owned() });
        }
        match answer.get_mut("result") {
            Some(result) => Ok(result.take()),
            None => panic!("{method}: the answer has neither result nor error: {answer}"),
        }
    }

    /// Calls a method whose result is a hexadecimal quantity.
    ///
    /// # Panics
    /// As [`call`](Self::call), or if the node refuses, or if the result is no quantity of at most 128 bits.
    pub fn quantity(&self, method: &str, params: Value) -> u128 {
        let result = self.call(method, params).unwrap_or_else(|e| panic!("{method}: {e:?}"));
        result
            .as_str()
            .and_then(|hex| u128::from_str_radix(hex.strip_prefix("0x")?, 16).ok())
            .unwrap_or_else(|| panic!("{method}: `{result}` is no quantity"))
    }

    /// The balance of `address` in wei.
    ///
    /// # Panics
    /// As [`quantity`](Self::quantity).
    pub fn balance(&self, address: &str) -> u128 {
        self.quantity("eth_getBalance", json!([address, "latest"]))
    }

    /// The number of transactions that `address` has sent.
    ///
    /// # Panics
    /// As [`quantity`](Self::quantity).
    pub fn nonce(&self, address: &str) -> u64 {
        let count = self.quantity("eth_getTransactionCount", json!([address, "latest"]));
        u64::try_from(count).expect("a nonce has 64 bits")
    }

    /// The receipt of a transaction, once its block is mined.
    ///
    /// # Panics
    /// As [`call`](Self::call), or if there is no receipt in time.
    pub fn receipt(&self, hash: &Value) -> Value {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            let receipt =
                self.call("eth_getTransactionReceipt", json!([hash])).expect("a hash is well-formed");
            if !receipt.is_null() {
                return receipt;
            }
            assert!(Instant::now() < deadline, "no receipt of {hash}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// One request over a connection of its own.
    fn post(&self, body: &str) -> std::io::Result<String> {
        let mut stream = TcpStream::connect(&self.address)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        write!(
            stream,
            "POST / HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            self.address,
            body.len()
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        match answer.split_once("\r\n\r\n") {
            Some((head, body)) if head.starts_with("HTTP/1.1 200 ") => Ok(body.to_owned()),
            _ => Err(std::io::Error::other(format!("unexpected answer: {answer}"))),
        }
    }
}

impl Drop for Anvil {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
