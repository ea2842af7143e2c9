//! The binary as a process, and a WebSocket client that can misbehave.
#![allow(dead_code, reason = "each test file uses its own part")]

pub mod mmdb;

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::{Value, json};

pub const SWARM: &str = "swarm-of-twenty-byte";
const PATIENCE: Duration = Duration::from_secs(30);

/// A running tracker. Ends with the test.
pub struct Process {
    child: Mutex<Child>,
    bound: Vec<String>,
    log: Arc<Mutex<String>>,
}

impl Process {
    /// Starts on a free port, with the settings of a file if its name is not empty.
    pub fn start(config: &str) -> Process {
        let mut arguments = vec!["--listen", "127.0.0.1:0"];
        if !config.is_empty() {
            arguments.extend(["--config", config]);
        }
        Process::spawn(&arguments)
    }

    pub fn start_as_configured(config: &str) -> Process {
        Process::spawn(&["--config", config])
    }

    pub fn spawn(arguments: &[&str]) -> Process {
        let mut child = Command::new(env!("CARGO_BIN_EXE_hlswarm-tracker"))
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let (stdout, stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let sink = Arc::clone(&log);
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let _ = writeln!(sink.lock().unwrap(), "{line}");
            }
        });
        let printed = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&printed);
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                sink.lock().unwrap().push(line.strip_prefix("listening on ").unwrap().to_owned());
            }
        });
        eventually(|| {
            let log = log.lock().unwrap();
            assert!(matches!(child.try_wait(), Ok(None)), "{log}");
            log.contains("serving") && printed.lock().unwrap().len() == log.matches("listening place").count()
        });
        let bound = printed.lock().unwrap().clone();
        Process { child: Mutex::new(child), bound, log }
    }

    /// Runs with arguments that it must refuse; what it says.
    pub fn fails(arguments: &[&str]) -> String {
        let output = Command::new(env!("CARGO_BIN_EXE_hlswarm-tracker")).args(arguments).output().unwrap();
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    }

    pub fn url(&self) -> &str {
        &self.bound[0]
    }

    pub fn bound(&self) -> &[String] {
        &self.bound
    }

    pub fn tcp(&self) -> TcpStream {
        let address = self.url().split("://").nth(1).unwrap();
        let tcp = TcpStream::connect(address).unwrap();
        tcp.set_read_timeout(Some(PATIENCE)).unwrap();
        tcp
    }

    pub fn http(&self, request: &str) -> String {
        http(self.tcp(), request)
    }

    /// Sends a request and reads the head of the answer.
    pub fn http_head(&self, request: &str) -> String {
        let mut tcp = self.tcp();
        tcp.write_all(request.as_bytes()).unwrap();
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") && matches!(tcp.read(&mut byte), Ok(1)) {
            head.push(byte[0]);
        }
        String::from_utf8(head).unwrap()
    }

    pub fn get(&self, path: &str) -> String {
        self.http(&format!("GET {path} HTTP/1.1\r\nHost: t\r\n\r\n"))
    }

    pub fn signal(&self, name: &str) {
        let pid = self.child.lock().unwrap().id().to_string();
        assert!(Command::new("kill").args([format!("-{name}"), pid]).status().unwrap().success());
    }

    pub fn wait_for_log(&self, text: &str) {
        eventually(|| self.log.lock().unwrap().contains(text));
    }

    /// Waits until it has ended by itself, successfully.
    pub fn wait(&self) {
        eventually(|| self.child.lock().unwrap().try_wait().unwrap().is_some_and(|status| status.success()));
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.child.lock().is_ok_and(|mut child| matches!(child.try_wait(), Ok(None))) {
            self.signal("INT");
            let _ = self.child.lock().map(|mut child| child.wait());
        }
    }
}

/// Sends a request and reads the answer to its end.
pub fn http(mut tcp: TcpStream, request: &str) -> String {
    tcp.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut response = Vec::new();
    // A process that ends resets connections: what came before is the answer.
    if tcp.write_all(request.as_bytes()).is_ok() {
        let _ = tcp.read_to_end(&mut response);
    }
    String::from_utf8(response).unwrap()
}

#[allow(clippy::disallowed_methods, reason = "a test of what takes real time")]
pub fn now() -> std::time::Instant {
    std::time::Instant::now()
}

pub fn eventually(mut done: impl FnMut() -> bool) {
    const STEP: Duration = Duration::from_millis(20);
    let mut waited = Duration::ZERO;
    while !done() {
        assert!(waited < PATIENCE, "it does not happen");
        std::thread::sleep(STEP);
        waited += STEP;
    }
}

/// A file for this test process; its path.
pub fn temp_file(name: &str, text: &str) -> String {
    let path = format!("{}/{}-{name}", env!("CARGO_TARGET_TMPDIR"), std::process::id());
    std::fs::write(&path, text).unwrap();
    path
}

/// A certificate for localhost that signs itself, and its key, in PEM.
pub fn certificate() -> (String, String) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem())
}

trait Transport: Read + Write {}
impl<T: Read + Write> Transport for T {}

/// A WebSocket client.
pub struct Client {
    stream: Box<dyn Transport>,
}

impl Client {
    pub fn connect(tracker: &Process) -> Client {
        Client::connect_with(tracker, "")
    }

    pub fn connect_with(tracker: &Process, headers: &str) -> Client {
        Client::over(tracker.tcp(), headers)
    }

    /// At a path of its own.
    pub fn connect_at(tracker: &Process, path: &str) -> Client {
        Client::open(tracker.tcp(), &upgrade(path, ""))
    }

    pub fn connect_tls(tracker: &Process, certificate: &str) -> Client {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let session =
            ClientConnection::new(Arc::new(config), ServerName::try_from("localhost").unwrap()).unwrap();
        Client::over(StreamOwned::new(session, tracker.tcp()), "")
    }

    pub fn over(stream: impl Read + Write + 'static, headers: &str) -> Client {
        Client::open(stream, &upgrade("/", headers))
    }

    fn open(stream: impl Read + Write + 'static, request: &str) -> Client {
        let mut client = Client { stream: Box::new(stream) };
        client.write(request.as_bytes());
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            client.stream.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).unwrap();
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        assert!(head.contains("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"), "{head}");
        client
    }

    pub fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
        self.stream.flush().unwrap();
    }

    pub fn frame(&mut self, first: u8, payload: &[u8]) {
        self.write(&masked(first, payload));
    }

    pub fn send(&mut self, message: &Value) {
        self.frame(0x81, message.to_string().as_bytes());
    }

    /// The next frame's opcode and payload; `None` when the connection is closed.
    pub fn raw_frame(&mut self) -> Option<(u8, Vec<u8>)> {
        let mut head = [0; 2];
        self.stream.read_exact(&mut head).ok()?;
        assert_eq!(head[1] & 0x80, 0, "a server's frame is not masked");
        let length = match head[1] {
            126 => {
                let mut bytes = [0; 2];
                self.stream.read_exact(&mut bytes).unwrap();
                usize::from(u16::from_be_bytes(bytes))
            }
            127 => {
                let mut bytes = [0; 8];
                self.stream.read_exact(&mut bytes).unwrap();
                usize::try_from(u64::from_be_bytes(bytes)).unwrap()
            }
            short => usize::from(short),
        };
        let mut payload = vec![0; length];
        self.stream.read_exact(&mut payload).unwrap();
        Some((head[0] & 0x0f, payload))
    }

    /// The next text message.
    pub fn receive(&mut self) -> Value {
        match self.raw_frame() {
            Some((1, payload)) => serde_json::from_slice(&payload).unwrap(),
            Some((9, _)) => {
                self.frame(0x8a, b"");
                self.receive()
            }
            other => panic!("not a text message: {other:?}"),
        }
    }

    /// The code of the close frame that comes next.
    pub fn close_code(&mut self) -> Option<u16> {
        loop {
            match self.raw_frame()? {
                (8, payload) => return Some(u16::from_be_bytes([payload[0], payload[1]])),
                (9, _) => {}
                other => panic!("not a close frame: {other:?}"),
            }
        }
    }
}

/// A client's frame.
pub fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    const MASK: [u8; 4] = [1, 2, 3, 4];
    let mut frame = vec![first];
    match payload.len() {
        n @ 0..=125 => frame.push(0x80 | n as u8),
        n @ 126..=65_535 => {
            frame.push(0xfe);
            frame.extend((n as u16).to_be_bytes());
        }
        n => {
            frame.push(0xff);
            frame.extend((n as u64).to_be_bytes());
        }
    }
    frame.extend(MASK);
    frame.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

/// An upgrade request with the key of RFC 6455's example.
pub fn upgrade(path: &str, headers: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: t\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{headers}\r\n"
    )
}

pub fn peer(name: &str) -> String {
    format!("{name:-<20}")
}

/// An announce of `name` with some offers.
pub fn announce(name: &str, offers: usize) -> Value {
    let offers: Vec<Value> = (0..offers)
        .map(|n| json!({"offer": {"type": "offer", "sdp": format!("sdp {n}\r\n")}, "offer_id": format!("{name}-{n}")}))
        .collect();
    json!({"action": "announce", "info_hash": SWARM, "peer_id": peer(name), "numwant": offers.len(), "uploaded": 0,
           "downloaded": 0, "offers": offers})
}
