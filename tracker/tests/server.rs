//! The binary on real sockets: handshakes, deadlines, slow readers, TLS, lists, signals.

mod net;

use std::io::{Read, Write};

use net::mmdb::{Value as Entry, database};
use net::{Client, Process, announce, certificate, temp_file};
use serde_json::{Value, json};

#[test]
fn viewers_meet_through_it() {
    let tracker = Process::start("");
    let (mut anna, mut ben) = (Client::connect(&tracker), Client::connect(&tracker));
    anna.send(&announce("anna", 0));
    assert_eq!(anna.receive()["incomplete"], 1);
    ben.send(&announce("ben", 1));
    assert_eq!(ben.receive()["incomplete"], 2);
    let offer = anna.receive();
    assert_eq!(offer["offer"]["sdp"], "sdp 0\r\n");
    anna.send(&json!({"action": "announce", "info_hash": offer["info_hash"], "peer_id": net::peer("anna"),
                      "to_peer_id": offer["peer_id"], "offer_id": offer["offer_id"],
                      "answer": {"type": "answer", "sdp": "a"}}));
    assert_eq!(ben.receive()["answer"]["sdp"], "a");
}

#[test]
fn binary_and_fragmented_messages_are_taken() {
    let tracker = Process::start("");
    let mut anna = Client::connect(&tracker);
    let text = announce("anna", 0).to_string();
    anna.frame(0x82, text.as_bytes());
    assert_eq!(anna.receive()["incomplete"], 1);
    let (head, tail) = text.split_at(20);
    anna.frame(0x01, head.as_bytes());
    anna.frame(0x89, b"between");
    anna.frame(0x80, tail.as_bytes());
    assert_eq!(anna.raw_frame(), Some((10, b"between".to_vec())));
    assert_eq!(anna.receive()["incomplete"], 1);
    anna.frame(0x82, b"\xff\xfe");
    assert_eq!(anna.receive()["failure reason"], "the message is not a JSON object");
}

#[test]
fn a_burst_of_announces_in_one_write_is_answered_to_the_last() {
    let tracker = Process::start("");
    for count in [50, 100, 500] {
        let mut anna = Client::connect(&tracker);
        let mut bytes = Vec::new();
        for _ in 0..count {
            bytes.extend(net::masked(0x81, announce("anna", 1).to_string().as_bytes()));
        }
        anna.write(&bytes);
        for _ in 0..count {
            assert!(anna.receive()["interval"].is_u64());
        }
    }
}

#[test]
fn violations_close_with_their_code() {
    let tracker = Process::start("");
    for (frame, code) in [
        (net::masked(0x83, b""), 1002),
        (b"\x81\x01x".to_vec(), 1002),
        (net::masked(0x81, b"\xff"), 1007),
        (net::masked(0x81, &vec![b' '; 65_537]), 1009),
    ] {
        let mut anna = Client::connect(&tracker);
        anna.write(&frame);
        assert_eq!(anna.close_code(), Some(code));
    }
    let mut anna = Client::connect(&tracker);
    let mut text = announce("anna", 0).to_string();
    text.push_str(&" ".repeat(65_536 - text.len()));
    anna.frame(0x81, text.as_bytes());
    assert_eq!(anna.receive()["incomplete"], 1, "64 KiB are taken");
}

#[test]
fn a_close_is_answered() {
    let tracker = Process::start("");
    let mut anna = Client::connect(&tracker);
    anna.frame(0x88, b"\x0f\xa0bye");
    assert_eq!(anna.raw_frame(), Some((8, b"\x0f\xa0".to_vec())));
    assert_eq!(anna.raw_frame(), None);
}

#[test]
fn odd_requests_get_their_status() {
    let tracker = Process::start("");
    for (request, status) in [
        ("GET / HTTP/1.1\r\nHost: t\r\n\r\n".to_owned(), "426"),
        ("POST /healthz HTTP/1.1\r\nHost: t\r\n\r\n".to_owned(), "426"),
        ("nonsense\r\n\r\n".to_owned(), "400"),
        (net::upgrade("/", "").replace("Sec-WebSocket-Key: ", "X: "), "400"),
        (net::upgrade("/", "").replace("Version: 13", "Version: 8"), "426"),
        (net::upgrade("/", &format!("X: {}\r\n", "x".repeat(8200))), "431"),
    ] {
        let response = tracker.http(&request);
        assert!(response.starts_with(&format!("HTTP/1.1 {status} ")), "{request:.60}: {response:.60}");
    }
    let long = net::upgrade("/", "");
    let padding = 8192 - long.len() - "X: \r\n".len();
    let mut anna = Client::connect_with(&tracker, &format!("X: {}\r\n", "x".repeat(padding)));
    anna.send(&announce("anna", 0));
    assert_eq!(anna.receive()["incomplete"], 1, "8 KiB of headers are taken");
}

#[test]
fn health_statistics_and_metrics() {
    let config = temp_file("admin.toml", "[server]\nadmin_token = \"secret\"\n");
    let tracker = Process::start(&config);
    let mut anna = Client::connect(&tracker);
    anna.send(&announce("anna", 0));
    anna.receive();
    assert!(tracker.get("/healthz").ends_with("\r\n\r\nok\n"));
    assert!(tracker.get("/readyz").ends_with("\r\n\r\nready\n"));
    let stats = |headers: &str| -> Value {
        let response = tracker.http(&format!("GET /stats.json HTTP/1.1\r\nHost: t\r\n{headers}\r\n"));
        serde_json::from_str(response.split("\r\n\r\n").nth(1).unwrap()).unwrap()
    };
    let public = stats("");
    assert_eq!(
        (&public["peers"], &public["swarms"], &public["announces"]),
        (&json!(1), &json!(1), &json!(1))
    );
    assert!(public.get("largestSwarms").is_none(), "info_hashes are nobody's business");
    assert!(stats("Authorization: Bearer wrong!\r\n").get("largestSwarms").is_none());
    assert_eq!(stats("Authorization: Bearer secret\r\n")["largestSwarms"][0]["infoHash"], net::SWARM);
    let metrics = tracker.get("/metrics");
    for line in [
        "hlswarm_tracker_peers 1",
        "hlswarm_tracker_announces_total 1",
        "hlswarm_tracker_http_responses_total{status=\"101\"} 1",
    ] {
        assert!(metrics.lines().any(|got| got == line), "{line} is not in {metrics}");
    }
}

#[test]
fn only_listed_origins_and_swarms_are_served_and_lists_are_read_again() {
    let allow = |swarm: &str| {
        format!("[access]\norigins = [\"https://video.example\"]\ninfo_hashes = [\"{swarm}\"]\n")
    };
    let config = temp_file("lists.toml", &allow(net::SWARM));
    let tracker = Process::start(&config);
    assert!(tracker.http(&net::upgrade("/", "")).starts_with("HTTP/1.1 403 "));
    assert!(
        tracker.http(&net::upgrade("/", "Origin: https://evil.example\r\n")).starts_with("HTTP/1.1 403 ")
    );
    let mut anna = Client::connect_with(&tracker, "Origin: https://video.example\r\n");
    anna.send(&announce("anna", 0));
    assert_eq!(anna.receive()["incomplete"], 1);

    temp_file("lists.toml", &allow("another-swarm-of-20-"));
    tracker.signal("HUP");
    tracker.wait_for_log("settings read again");
    anna.send(&announce("anna", 0));
    assert_eq!(anna.receive()["failure reason"], "info_hash is not one that this tracker serves");
    let stats = tracker.get("/stats.json");
    assert!(stats.contains("\"peers\": 1"), "members stay: {stats}");

    temp_file("lists.toml", "[access]\norigins = [\"nonsense\"]\n");
    tracker.signal("HUP");
    tracker.wait_for_log("the old ones stay");
    anna.send(&announce("anna", 0));
    assert!(anna.receive()["failure reason"].is_string(), "still serving");
}

#[test]
fn viewers_meet_over_tls_and_a_new_certificate_is_taken() {
    let (first, second) = (certificate(), certificate());
    let (cert, key) = (temp_file("cert.pem", &first.0), temp_file("key.pem", &first.1));
    let config = temp_file("tls.toml", &format!("[tls]\ncertificate = \"{cert}\"\nkey = \"{key}\"\n"));
    let tracker = Process::start(&config);
    assert!(tracker.url().starts_with("wss://"), "{}", tracker.url());
    let mut anna = Client::connect_tls(&tracker, &first.0);
    let mut ben = Client::connect_tls(&tracker, &first.0);
    anna.send(&announce("anna", 0));
    anna.receive();
    ben.send(&announce("ben", 5));
    ben.receive();
    assert_eq!(anna.receive()["offer"]["type"], "offer");
    // Messages that span several records, in both directions.
    ben.send(&json!({"action": "x".repeat(50_000)}));
    assert!(ben.receive()["failure reason"].is_string());

    temp_file("cert.pem", &second.0);
    temp_file("key.pem", &second.1);
    tracker.signal("HUP");
    tracker.wait_for_log("settings read again");
    let mut carl = Client::connect_tls(&tracker, &second.0);
    carl.send(&announce("carl", 0));
    assert_eq!(carl.receive()["incomplete"], 3);
    ben.send(&announce("ben", 0));
    assert_eq!(ben.receive()["incomplete"], 3, "sessions of the old certificate go on");
}

#[test]
fn what_is_not_tls_is_refused_quickly() {
    let (cert, key) = certificate();
    let (cert, key) = (temp_file("cert2.pem", &cert), temp_file("key2.pem", &key));
    let config = temp_file("tls2.toml", &format!("[tls]\ncertificate = \"{cert}\"\nkey = \"{key}\"\n"));
    let tracker = Process::start(&config);
    let mut plain = tracker.tcp();
    plain.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let mut rest = Vec::new();
    let _ = plain.read_to_end(&mut rest);
    assert!(!rest.starts_with(b"HTTP"), "plain HTTP is not served on a TLS port");
}

#[test]
fn who_does_not_upgrade_or_announce_in_time_is_closed() {
    let config =
        temp_file("deadlines.toml", "[limits]\nupgrade_secs = 1\nfirst_announce_secs = 1\nping_secs = 1\n");
    let tracker = Process::start(&config);
    let mut silent = tracker.tcp();
    let mut slow = tracker.tcp();
    slow.write_all(b"GET / HTTP/1.1\r\n").unwrap();
    let mut anna = Client::connect(&tracker);
    assert_eq!(silent.read(&mut [0; 16]).unwrap(), 0);
    assert_eq!(slow.read(&mut [0; 16]).unwrap(), 0);
    assert_eq!(anna.close_code(), Some(1008));
}

#[test]
fn who_does_not_finish_a_tls_handshake_in_time_is_closed() {
    let (cert, key) = certificate();
    let (cert, key) = (temp_file("cert3.pem", &cert), temp_file("key3.pem", &key));
    let tls = format!("[tls]\ncertificate = \"{cert}\"\nkey = \"{key}\"\n[limits]\ntls_handshake_secs = 1\n");
    let tracker = Process::start(&temp_file("tls-deadline.toml", &tls));
    let mut silent = tracker.tcp();
    let mut slow = tracker.tcp();
    // A ClientHello that goes on after these bytes.
    slow.write_all(b"\x16\x03\x01\x01\x00\x01\x00\x00\xfc\x03\x03").unwrap();
    assert_eq!(silent.read(&mut [0; 16]).unwrap(), 0);
    assert_eq!(slow.read(&mut [0; 16]).unwrap(), 0);
    let proxied = Process::start(&temp_file(
        "proxy-deadline.toml",
        "[server]\nproxy_protocol = true\n[limits]\ntls_handshake_secs = 1\n",
    ));
    let mut slow = proxied.tcp();
    slow.write_all(b"\r\n\r\n\0\r\nQUIT").unwrap();
    assert_eq!(slow.read(&mut [0; 16]).unwrap(), 0);
}

#[test]
fn who_does_not_answer_pings_is_closed() {
    let config = temp_file("pings.toml", "[limits]\nping_secs = 1\n");
    let tracker = Process::start(&config);
    let mut anna = Client::connect(&tracker);
    anna.send(&announce("anna", 0));
    anna.receive();
    assert_eq!(anna.raw_frame(), Some((9, vec![])));
    assert_eq!(anna.raw_frame(), Some((9, vec![])));
    assert_eq!(anna.raw_frame(), None);
    let mut ben = Client::connect(&tracker);
    ben.send(&announce("ben", 0));
    ben.receive();
    for _ in 0..4 {
        assert_eq!(ben.raw_frame(), Some((9, vec![])));
        ben.frame(0x8a, b"");
    }
}

#[test]
fn a_slow_reader_loses_offers_then_its_connection_and_disturbs_nobody() {
    let config = temp_file(
        "slow.toml",
        "[limits]\nqueue_bytes = 4096\nstalled_secs = 1\nmin_interval_secs = 0\nreceived_offers_per_second = 0\n\
         messages_per_connection_per_second = 0\nbytes_per_connection_per_second = 0\n\
         announces_per_ip_per_second = 0\nannounces_per_ip_and_swarm_per_second = 0\n",
    );
    let tracker = Process::start(&config);
    let mut slow = Client::connect(&tracker);
    slow.send(&announce("slow", 0));
    slow.receive();
    let mut anna = Client::connect(&tracker);
    let mut offer = announce("anna", 1);
    offer["offers"][0]["offer"]["sdp"] = json!("s".repeat(8000));
    // The kernel's buffers take some megabytes before the tracker sees that nobody reads.
    net::eventually(|| {
        for _ in 0..100 {
            anna.send(&offer);
            let reply = anna.receive();
            assert!(reply["interval"].is_u64(), "{reply}");
            if reply["incomplete"] == 1 {
                return true;
            }
        }
        false
    });
    let metrics = tracker.get("/metrics");
    assert!(metrics.contains("hlswarm_tracker_closed_total{reason=\"slow\"} 1"), "{metrics}");
    assert!(!metrics.contains("hlswarm_tracker_slow_drops_total 0\n"), "offers were dropped before");
}

#[test]
fn an_address_that_sends_too_much_is_read_more_slowly_and_others_are_not() {
    let config = temp_file(
        "bytes.toml",
        "[server]\ntrusted_proxies = [\"127.0.0.0/8\"]\n[limits]\nbytes_per_ip_per_second = 20000\nbytes_per_ip_burst = 20000\n",
    );
    let tracker = Process::start(&config);
    let connect = |ip: &str| Client::connect_with(&tracker, &format!("X-Forwarded-For: {ip}\r\n"));
    let (mut anna, mut again, mut ben) = (connect("192.0.2.1"), connect("192.0.2.1"), connect("192.0.2.2"));
    // Three seconds' worth of bytes beyond the burst, over two connections.
    let started = net::now();
    for client in [&mut anna, &mut again] {
        client.send(&json!({"action": "x".repeat(40_000)}));
        assert!(client.receive()["failure reason"].is_string());
    }
    for client in [&mut anna, &mut again] {
        client.send(&announce("anna", 0));
    }
    ben.send(&announce("ben", 0));
    assert!(ben.receive()["interval"].is_u64());
    let before = started.elapsed();
    assert!(anna.receive()["interval"].is_u64(), "nothing is lost");
    assert!(again.receive()["interval"].is_u64());
    // The bucket says when, so this holds however slow the machine is; Ben had his reply meanwhile.
    assert!(started.elapsed().as_secs_f64() >= 2.9, "after {:?} and {before:?}", started.elapsed());
}

#[test]
fn an_address_that_storms_is_not_served_and_others_are() {
    let limits = "[limits]\naccepts_per_ip_per_second = 0.001\naccepts_per_ip_burst = 3\n";
    let tracker = Process::start(&temp_file(
        "storm.toml",
        &format!("[server]\nadmin_listen = [\"127.0.0.1:0\"]\n{limits}"),
    ));
    let from_elsewhere = || {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.bind(&std::net::SocketAddr::from(([127, 7, 7, 7], 0)).into()).unwrap();
        let address: std::net::SocketAddr = tracker.url().strip_prefix("ws://").unwrap().parse().unwrap();
        socket.connect(&address.into()).unwrap();
        std::net::TcpStream::from(socket)
    };
    let mut served: Vec<Client> = (0..3).map(|_| Client::connect(&tracker)).collect();
    for _ in 0..20 {
        assert!(matches!(tracker.tcp().read(&mut [0; 16]), Ok(0) | Err(_)), "closed unserved");
    }
    served.push(Client::over(from_elsewhere(), ""));
    for (number, client) in served.iter_mut().enumerate() {
        client.send(&announce(&format!("peer{number}"), 0));
        assert_eq!(client.receive()["incomplete"], number + 1);
    }
    let admin = tracker.bound()[1].strip_prefix("http://").unwrap();
    let metrics =
        net::http(std::net::TcpStream::connect(admin).unwrap(), "GET /metrics HTTP/1.1\r\nHost: t\r\n\r\n");
    assert!(metrics.contains("hlswarm_tracker_closed_total{reason=\"storm\"} 20\n"), "{metrics}");

    // Behind a proxy, those who storm are told, and the proxy is not taken for them.
    let proxied = Process::start(&temp_file(
        "storm-proxy.toml",
        &format!("[server]\ntrusted_proxies = [\"127.0.0.0/8\"]\n{limits}"),
    ));
    let upgrade = |ip: &str| proxied.http_head(&net::upgrade("/", &format!("X-Forwarded-For: {ip}\r\n")));
    for _ in 0..3 {
        assert!(upgrade("192.0.2.1").starts_with("HTTP/1.1 101 "));
    }
    assert!(upgrade("192.0.2.1").starts_with("HTTP/1.1 429 "));
    assert!(upgrade("192.0.2.2").starts_with("HTTP/1.1 101 "));
}

/// Databases tell that two viewers of different neighbourhoods are of one network, or of one country.
#[test]
fn viewers_of_one_network_and_then_of_one_country_are_near() {
    let address = |text: &str| text.parse::<std::net::Ipv4Addr>().unwrap();
    let asn = |number| Entry::Map(vec![("autonomous_system_number", Entry::Number(number))]);
    let country = |code| Entry::Map(vec![("country", Entry::Map(vec![("iso_code", Entry::Text(code))]))]);
    let write = |name: &str, bytes: Vec<u8>| {
        let path = temp_file(name, "");
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let asns = write(
        "asn.mmdb",
        database(&[(address("198.51.0.0"), 16, asn(64_500)), (address("203.0.0.0"), 16, asn(64_501))]),
    );
    let countries = write(
        "country.mmdb",
        database(&[
            (address("198.51.0.0"), 16, country("AT")),
            (address("203.0.0.0"), 16, country("AT")),
            (address("192.0.0.0"), 16, country("JP")),
        ]),
    );
    let config = temp_file(
        "geo.toml",
        &format!(
            "[server]\ntrusted_proxies = [\"127.0.0.0/8\"]\n[matching]\ndatabases = [\"{asns}\", \"{countries}\"]\n\
             [limits]\nnear_percent = 100\nmin_interval_secs = 0\nreceived_offers_per_second = 0\n"
        ),
    );
    let tracker = Process::start(&config);
    let join = |name: &str, ip: &str| {
        let mut client = Client::connect_with(&tracker, &format!("X-Forwarded-For: {ip}\r\n"));
        client.send(&announce(name, 0));
        assert!(client.receive()["interval"].is_u64());
        client
    };
    // Each in a neighbourhood of its own.
    let mut same_network = join("network", "198.51.7.1");
    let mut same_country = join("country", "203.0.7.1");
    let mut far: Vec<Client> = (0..20).map(|n| join(&format!("far{n}"), &format!("192.0.{n}.1"))).collect();
    let mut anna = join("anna", "198.51.100.1");
    for _ in 0..30 {
        anna.send(&announce("anna", 1));
        assert!(anna.receive()["interval"].is_u64());
    }
    let offers = |client: &mut Client| {
        // A scrape is answered after everything that was sent before.
        client.send(&json!({"action": "scrape", "info_hash": net::SWARM}));
        (0..).take_while(|_| client.receive().get("files").is_none()).count()
    };
    // Of thirty, each by chance with one in two-and-twenty if the databases were not read; a draw may miss, seldom.
    let near = offers(&mut same_network);
    assert!(near >= 20, "{near}");
    drop(same_network);
    net::eventually(|| tracker.get("/stats.json").contains("\"peers\": 22"));
    for _ in 0..30 {
        anna.send(&announce("anna", 1));
        assert!(anna.receive()["interval"].is_u64());
    }
    let near = offers(&mut same_country);
    assert!(near >= 20, "{near}");
    let far = far.iter_mut().map(offers).sum::<usize>();
    assert!(far <= 20, "{far}");
}

#[test]
fn the_tracker_is_full_at_its_bounds() {
    let config = temp_file("full.toml", "[limits]\nconnections = 3\nconnections_per_ip = 2\n");
    let tracker = Process::start(&config);
    let first = Client::connect(&tracker);
    let _second = Client::connect(&tracker);
    let response = tracker.http(&net::upgrade("/", ""));
    assert!(response.starts_with("HTTP/1.1 429 ") && response.contains("Retry-After: "), "{response}");
    drop(first);
    net::eventually(|| tracker.get("/stats.json").contains("\"connections\": 1"));
    let _third = Client::connect(&tracker);
}

#[test]
fn refused_connections_are_told_when_to_come_back() {
    let config = temp_file("high-water.toml", "[limits]\nconnections = 1\n");
    let tracker = Process::start(&config);
    let _first = Client::connect(&tracker);
    let response = tracker.http(&net::upgrade("/", ""));
    assert!(response.starts_with("HTTP/1.1 503 ") && response.contains("Retry-After: "), "{response}");
}

#[test]
fn addresses_of_believed_proxies_count() {
    let config = temp_file(
        "proxies.toml",
        "[server]\ntrusted_proxies = [\"127.0.0.0/8\"]\n[limits]\nconnections_per_ip = 1\n",
    );
    let tracker = Process::start(&config);
    let _anna = Client::connect_with(&tracker, "X-Forwarded-For: 192.0.2.1\r\n");
    let _ben = Client::connect_with(&tracker, "X-Forwarded-For: 192.0.2.2\r\n");
    let response = tracker.http(&net::upgrade("/", "X-Forwarded-For: 192.0.2.1\r\n"));
    assert!(response.starts_with("HTTP/1.1 429 "), "{response}");
}

#[test]
fn proxy_protocol_headers_are_read_and_required() {
    let config =
        temp_file("proxy2.toml", "[server]\nproxy_protocol = true\n[limits]\nconnections_per_ip = 1\n");
    let tracker = Process::start(&config);
    let connect = |last: u8| {
        let mut tcp = tracker.tcp();
        let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
        header.extend([192, 0, 2, last, 127, 0, 0, 1, 0, 1, 0, 2]);
        header.extend(net::upgrade("/", "").bytes());
        tcp.write_all(&header).unwrap();
        let mut status = [0; 12];
        tcp.read_exact(&mut status).unwrap();
        (String::from_utf8_lossy(&status).into_owned(), tcp)
    };
    let (first, _open) = connect(1);
    assert_eq!(first, "HTTP/1.1 101");
    assert_eq!(connect(1).0, "HTTP/1.1 429");
    assert_eq!(connect(2).0, "HTTP/1.1 101");
    let mut bare = tracker.tcp();
    bare.write_all(net::upgrade("/", "").as_bytes()).unwrap();
    assert!(matches!(bare.read(&mut [0; 16]), Ok(0) | Err(_)));
}
