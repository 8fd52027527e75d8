//! A real browser for one test: Chromium, driven through chromedriver (W3C WebDriver), and sites for it to visit.

use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;
use std::time::Duration;

/// How long the driver may take to start, and to answer a command.
const TIMEOUT: Duration = Duration::from_secs(60);
/// How long a script or a page may take, in milliseconds.
const SCRIPT_MS: u64 = 20_000;
/// How long the browser may take to close before it is killed.
const CLOSE: Duration = Duration::from_secs(5);

/// A running Chromium without a screen; dropped, it ends with all its processes.
#[derive(Debug)]
pub struct Browser {
    driver: Child,
    port: u16,
    session: String,
    /// The profile: nothing is left behind.
    _profile: tempfile::TempDir,
}

impl Browser {
    /// Starts the programs named by `QUORATE_TEST_CHROMEDRIVER` and `QUORATE_TEST_CHROMIUM`.
    ///
    /// # Panics
    /// If a variable is missing, or the browser does not start in time.
    pub fn start() -> Self {
        let driver = crate::tool("QUORATE_TEST_CHROMEDRIVER", "Debian package chromium-driver");
        let chromium = crate::tool("QUORATE_TEST_CHROMIUM", "Debian package chromium");
        let profile = tempfile::tempdir().expect("a folder for the profile");
        let mut child = Command::new(&driver)
            .arg("--port=0")
            // Its own group, so that the browser's processes can be ended with it.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|e| panic!("cannot start `{}`: {e}", driver.display()));
        let output = BufReader::new(child.stdout.take().expect("stdout is a pipe"));
        let (sender, started) = channel();
        std::thread::spawn(move || {
            // To the end: a full pipe would stop the driver.
            for line in output.lines().map_while(Result::ok) {
                if let Some((_, port)) = line.trim_end_matches('.').split_once("successfully on port ") {
                    let _ = sender.send(port.parse::<u16>());
                }
            }
        });
        // From here on, what goes wrong ends the driver.
        let mut browser = Self { driver: child, port: 0, session: String::new(), _profile: profile };
        browser.port = started
            .recv_timeout(TIMEOUT)
            .unwrap_or_else(|_| panic!("`{}` did not say on which port it listens", driver.display()))
            .expect("a port is a number");
        let profile = browser._profile.path().display().to_string();
        let options = json!({
            "binary": chromium,
            "args": [
                "--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--no-first-run",
                "--disable-background-networking", "--disable-component-update", format!("--user-data-dir={profile}"),
            ],
        });
        let capabilities = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": options,
            "timeouts": { "script": SCRIPT_MS, "pageLoad": SCRIPT_MS },
        }}});
        let answer = browser.call("POST", "/session", &capabilities).expect("a session");
        browser.session = answer["sessionId"].as_str().expect("a session id").to_owned();
        browser
    }

    /// Loads a page in the window, and leaves any frame.
    ///
    /// # Panics
    /// If it does not load.
    pub fn open(&self, url: &str) {
        self.command("url", &json!({ "url": url })).unwrap_or_else(|e| panic!("{url}: {e}"));
    }

    /// Goes into the first frame of the page.
    ///
    /// # Panics
    /// If there is none.
    pub fn enter_frame(&self) {
        self.command("frame", &json!({ "id": 0 })).expect("a frame");
    }

    /// Runs the body of an asynchronous function in the page, with `argument`, and returns what it returns.
    ///
    /// # Errors
    /// What it threw, as text, such as `NotAllowedError: …`.
    ///
    /// # Panics
    /// If it does not end in time.
    pub fn run(&self, body: &str, argument: &Value) -> Result<Value, String> {
        let script = format!(
            "const done = arguments[1]; (async (argument) => {{ {body} }})(arguments[0])
                .then((value) => done({{ value: value ?? null }}), (error) => done({{ thrown: String(error) }}));"
        );
        let mut answer = self
            .command("execute/async", &json!({ "script": script, "args": [argument] }))
            .unwrap_or_else(|e| panic!("{body}: {e}"));
        match answer["thrown"].as_str() {
            Some(error) => Err(error.to_owned()),
            None => Ok(answer["value"].take()),
        }
    }

    /// Adds an authenticator that answers at once, and removes the one before.
    /// With `verification` it verifies its user when it is asked to.
    ///
    /// # Panics
    /// If the driver refuses.
    pub fn authenticator(&self, before: Option<&str>, verification: bool) -> String {
        if let Some(before) = before {
            let path = format!("/session/{}/webauthn/authenticator/{before}", self.session);
            self.call("DELETE", &path, &Value::Null).expect("the authenticator is there");
        }
        let options = json!({
            "protocol": "ctap2", "transport": "internal", "hasResidentKey": true, "hasUserVerification": verification,
            "isUserConsenting": true, "isUserVerified": verification,
        });
        let id = self.command("webauthn/authenticator", &options).expect("an authenticator");
        id.as_str().expect("an id").to_owned()
    }

    /// Whether the user of an authenticator can be verified from now on.
    ///
    /// # Panics
    /// If the driver refuses.
    pub fn set_verified(&self, authenticator: &str, verified: bool) {
        let path = format!("webauthn/authenticator/{authenticator}/uv");
        self.command(&path, &json!({ "isUserVerified": verified })).expect("the authenticator is there");
    }

    fn command(&self, path: &str, body: &Value) -> Result<Value, String> {
        self.call("POST", &format!("/session/{}/{path}", self.session), body)
    }

    fn call(&self, method: &str, path: &str, body: &Value) -> Result<Value, String> {
        let answer = request(self.port, method, path, body, TIMEOUT).map_err(|error| error.to_string())?;
        let mut answer: Value =
            serde_json::from_str(&answer).map_err(|error| format!("{error}: {answer}"))?;
        let value = answer["value"].take();
        match value["error"].as_str() {
            Some(error) => Err(format!("{error}: {}", value["message"].as_str().unwrap_or_default())),
            None => Ok(value),
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if !self.session.is_empty() {
            let _ = request(self.port, "DELETE", &format!("/session/{}", self.session), &Value::Null, CLOSE);
        }
        let group = format!("-{}", self.driver.id());
        let _ = Command::new("kill").args(["-KILL", "--", &group]).stderr(Stdio::null()).status();
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

/// One HTTP request to the driver over a connection of its own.
fn request(port: u16, method: &str, path: &str, body: &Value, limit: Duration) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(limit))?;
    stream.set_write_timeout(Some(limit))?;
    let body = if body.is_null() { String::new() } else { body.to_string() };
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )?;
    let mut reader = BufReader::new(stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Err(std::io::Error::other("the driver closed the connection"));
        }
        let line = line.trim_end().to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().map_err(std::io::Error::other)?;
        }
        if line.is_empty() {
            break;
        }
    }
    // The driver may keep the connection: read what it announced.
    let mut answer = vec![0; length];
    reader.read_exact(&mut answer)?;
    String::from_utf8(answer).map_err(std::io::Error::other)
}

/// A web site on a port of its own: `/` is an empty page, `/frame?<url>` has that page in a frame that may use passkeys.
#[derive(Debug)]
pub struct Site {
    port: u16,
}

impl Site {
    /// Serves until the test program ends.
    ///
    /// # Panics
    /// If no port is free.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("a bound socket has an address").port();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // One thread each: browsers open connections and then say nothing.
                std::thread::spawn(move || page(&stream));
            }
        });
        Self { port }
    }

    /// The origin as the browser writes it.
    pub fn origin(&self) -> String {
        format!("http://localhost:{}", self.port)
    }
}

fn page(mut stream: &TcpStream) -> Option<()> {
    stream.set_read_timeout(Some(TIMEOUT)).ok()?;
    let mut line = String::new();
    BufReader::new(stream.take(8 * 1024)).read_line(&mut line).ok()?;
    let target = line.split(' ').nth(1)?;
    let content = match target.strip_prefix("/frame?") {
        Some(url) => format!("<iframe src=\"{url}\" allow=\"publickey-credentials-get\"></iframe>"),
        None => String::new(),
    };
    let html = format!("<!doctype html><title>Quorate</title>{content}");
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nConnection: close";
    write!(stream, "{head}\r\nContent-Length: {}\r\n\r\n{html}", html.len()).ok()
}
