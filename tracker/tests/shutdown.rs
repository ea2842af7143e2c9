//! The binary as an operator knows it: addresses, arguments, signals.

mod net;

use std::net::TcpStream;

use net::{Client, Process, announce, temp_file};
use serde_json::json;

#[test]
fn several_listeners_a_unix_socket_and_an_admin_port() {
    let path = format!("{}/tracker-{}.sock", env!("CARGO_TARGET_TMPDIR"), std::process::id());
    let config = temp_file(
        "listeners.toml",
        &format!(
            "[server]\nlisten = [\"127.0.0.1:0\", \"[::1]:0\", \"unix:{path}\"]\nadmin_listen = [\"127.0.0.1:0\"]\n"
        ),
    );
    let tracker = Process::start_as_configured(&config);
    let bound = tracker.bound();
    assert_eq!(bound.len(), 4, "{bound:?}");
    let mut anna = Client::connect(&tracker);
    anna.send(&announce("anna", 0));
    anna.receive();
    let v6 = bound[1].strip_prefix("ws://").unwrap();
    let mut ben = Client::over(TcpStream::connect(v6).unwrap(), "");
    ben.send(&announce("ben", 1));
    assert_eq!(ben.receive()["incomplete"], 2);
    let mut carl = Client::over(std::os::unix::net::UnixStream::connect(&path).unwrap(), "");
    carl.send(&announce("carl", 1));
    assert_eq!(carl.receive()["incomplete"], 3);
    assert!(tracker.get("/metrics").starts_with("HTTP/1.1 426"), "not where viewers connect");
    let admin = bound[3].strip_prefix("http://").unwrap();
    let response = net::http(TcpStream::connect(admin).unwrap(), "GET /metrics HTTP/1.1\r\nHost: t\r\n\r\n");
    assert!(response.starts_with("HTTP/1.1 200 "), "{response:.80}");
    drop(tracker);
    assert!(!std::path::Path::new(&path).exists(), "the socket is removed at the end");
}

#[test]
fn a_busy_port_is_a_clear_error_and_may_be_taken_over() {
    let tracker = Process::start("");
    let address = tracker.url().strip_prefix("ws://").unwrap().to_owned();
    let error = Process::fails(&["--listen", &address]);
    assert_eq!(
        error,
        format!(
            "hlswarm-tracker: cannot listen on ws://{address}: the address is in use by another process\n"
        )
    );
    let config = temp_file("take-over.toml", "[server]\ntake_over = true\n");
    let next = Process::spawn(&["--listen", &address, "--config", &config]);
    tracker.signal("TERM");
    tracker.wait();
    let mut anna = Client::connect(&next);
    anna.send(&announce("anna", 0));
    assert_eq!(anna.receive()["incomplete"], 1);
}

#[test]
fn wrong_arguments_and_settings_are_clear_errors() {
    let config = temp_file("wrong.toml", "[limits]\nqueue_bytes = 1\n");
    assert_eq!(
        Process::fails(&["--config", &config]),
        "hlswarm-tracker: limits.queue_bytes is 1; allowed is 4096 to 1073741824\n"
    );
    let error = Process::fails(&["--listen", "8000"]);
    assert!(error.contains("server.listen is \"8000\"; allowed is \"ADDR:PORT\""), "{error}");
    let config = temp_file("no-cert.toml", "[tls]\ncertificate = \"/nonexistent\"\nkey = \"/nonexistent\"\n");
    let error = Process::fails(&["--config", &config, "--listen", "127.0.0.1:0"]);
    assert!(error.contains("tls.certificate is \"/nonexistent\""), "{error}");
}

#[test]
fn tokens_are_minted_and_asked_for() {
    let secret_file = temp_file("secrets.txt", "# of the web server\na secret of the web server\n");
    let mint = |arguments: &[&str]| {
        let all = [&["mint-token", "--secret-file", &secret_file], arguments].concat();
        let output =
            std::process::Command::new(env!("CARGO_BIN_EXE_hlswarm-tracker")).args(all).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let config = temp_file("tokens.toml", &format!("[access]\ntoken_secret_file = \"{secret_file}\"\n"));
    let tracker = Process::start(&config);
    let mut stranger = Client::connect(&tracker);
    stranger.send(&announce("stranger", 0));
    assert!(stranger.receive()["failure reason"].as_str().unwrap().starts_with("token is missing"));
    let hex: String = net::SWARM.bytes().map(|byte| format!("{byte:02x}")).collect();
    for (name, scope) in
        [("anna", &["--info-hash", &hex][..]), ("ben", &["--info-hash", net::SWARM]), ("carl", &["--any"])]
    {
        let mut client = Client::connect_at(&tracker, &format!("/?token={}", mint(scope)));
        client.send(&announce(name, 0));
        assert!(client.receive()["interval"].is_u64(), "{name}");
    }
    let mut late =
        Client::connect_at(&tracker, &format!("/?token={}", mint(&["--any", "--expires-in-secs", "0"])));
    late.send(&announce("late", 0));
    assert!(late.receive()["failure reason"].as_str().unwrap().starts_with("token expired "));
    let mut elsewhere = Client::connect(&tracker);
    let mut message = announce("elsewhere", 0);
    message["token"] = json!(mint(&["--stream", "https://cdn.example/live.m3u8"]));
    elsewhere.send(&message);
    assert_eq!(elsewhere.receive()["failure reason"], "token is for another info_hash");
    assert!(Process::fails(&["mint-token", "--secret-file", &secret_file]).contains("--stream"));
    let short = temp_file("short.txt", "short\n");
    assert_eq!(
        Process::fails(&["mint-token", "--any", "--secret-file", &short]),
        format!(
            "hlswarm-tracker: {short} is too short at its entry 1; allowed is secrets of at least 16 characters\n"
        )
    );
}

#[test]
fn a_drain_closes_everybody_within_its_time() {
    let config = temp_file("drain.toml", "[server]\ndrain_secs = 8\nadmin_listen = [\"127.0.0.1:0\"]\n");
    let tracker = Process::start(&config);
    let admin = tracker.bound()[1].strip_prefix("http://").unwrap().to_owned();
    let mut clients: Vec<Client> = (0..8).map(|_| Client::connect(&tracker)).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        client.send(&announce(&format!("peer{number}"), 0));
        client.receive();
    }
    tracker.signal("TERM");
    net::eventually(|| {
        let ready =
            TcpStream::connect(&admin).map(|tcp| net::http(tcp, "GET /readyz HTTP/1.1\r\nHost: t\r\n\r\n"));
        ready.is_ok_and(|ready| ready.starts_with("HTTP/1.1 503 "))
    });
    for client in &mut clients {
        assert_eq!(client.close_code(), Some(1001));
    }
    drop(clients);
    tracker.wait();
}

#[test]
fn messages_are_relayed_while_it_drains() {
    let config =
        temp_file("drain-relay.toml", "[server]\ndrain_secs = 600\nadmin_listen = [\"127.0.0.1:0\"]\n");
    let tracker = Process::start(&config);
    let admin = tracker.bound()[1].strip_prefix("http://").unwrap().to_owned();
    let viewers = tracker.url().strip_prefix("ws://").unwrap().to_owned();
    let (mut anna, mut ben) = (Client::connect(&tracker), Client::connect(&tracker));
    anna.send(&announce("anna", 0));
    anna.receive();
    tracker.signal("TERM");
    net::eventually(|| {
        let ready =
            TcpStream::connect(&admin).map(|tcp| net::http(tcp, "GET /readyz HTTP/1.1\r\nHost: t\r\n\r\n"));
        ready.is_ok_and(|ready| ready.starts_with("HTTP/1.1 503 "))
    });
    net::eventually(|| TcpStream::connect(&viewers).is_err());
    ben.send(&announce("ben", 1));
    assert_eq!(ben.receive()["incomplete"], 2, "also who joins now on a connection that is there");
    let offer = anna.receive();
    anna.send(&json!({"action": "announce", "info_hash": offer["info_hash"], "peer_id": net::peer("anna"),
                      "to_peer_id": offer["peer_id"], "offer_id": offer["offer_id"],
                      "answer": {"type": "answer", "sdp": "a"}}));
    assert_eq!(ben.receive()["answer"]["sdp"], "a");
}

#[test]
fn an_interrupt_ends_it_at_once() {
    let tracker = Process::start("");
    let mut anna = Client::connect(&tracker);
    anna.send(&announce("anna", 0));
    anna.receive();
    tracker.signal("INT");
    assert_eq!(anna.close_code(), Some(1001));
    tracker.wait();
}
