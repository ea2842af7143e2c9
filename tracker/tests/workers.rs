//! Several workers in one process: their viewers meet as if there were one.

mod net;

use net::{Client, Process, SWARM, announce, temp_file};
use serde_json::{Value, json};

const WORKERS: usize = 3;
/// So many that the kernel puts them on more than one worker.
const VIEWERS: usize = 16;

fn start(name: &str, listen: &str) -> Process {
    let config = format!(
        "[server]\nworkers = {WORKERS}\nlisten = [{listen}]\nadmin_token = \"t\"\n[limits]\nconnections_per_ip = 0\n"
    );
    Process::start_as_configured(&temp_file(name, &config))
}

fn name(number: usize) -> String {
    format!("viewer-{number}")
}

/// The value of a metric.
fn metric(tracker: &Process, metric: &str) -> u64 {
    let page = tracker.get("/metrics");
    let line = page.lines().find_map(|line| line.strip_prefix(&format!("hlswarm_tracker_{metric} ")));
    line.unwrap_or_else(|| panic!("no {metric} in {page}")).parse().unwrap()
}

/// Announces until the reply says that all are there: the other workers hear of a new viewer a moment later.
fn announce_until_all(client: &mut Client, number: usize, all: u64) {
    net::eventually(|| {
        client.send(&announce(&name(number), 0));
        client.receive()["incomplete"] == all
    });
}

fn all_meet(mut clients: Vec<Client>) {
    for (number, client) in clients.iter_mut().enumerate() {
        client.send(&announce(&name(number), 0));
        client.receive();
    }
    let all = clients.len() as u64;
    for (number, client) in clients.iter_mut().enumerate() {
        announce_until_all(client, number, all);
    }
    // Everybody offers to some and answers what it gets: all offers are answered.
    for (number, client) in clients.iter_mut().enumerate() {
        client.send(&announce(&name(number), 5));
    }
    let mut answers = vec![0; clients.len()];
    let mut replies = 0;
    let mut offers = 0;
    let wanted = clients.len() * 5;
    let mut turn = 0;
    while answers.iter().sum::<usize>() < wanted || replies < clients.len() {
        let number = turn % clients.len();
        turn += 1;
        // Each has some message to come; whoever has none yet would wait for ever, so ask for one.
        clients[number].send(&json!({"action": "scrape", "info_hash": SWARM}));
        loop {
            let message = clients[number].receive();
            if message["action"] == "scrape" {
                assert_eq!(message["files"][SWARM]["incomplete"], all);
                break;
            } else if message.get("offer").is_some() {
                assert_ne!(message["peer_id"], net::peer(&name(number)), "nobody gets its own offer");
                offers += 1;
                clients[number].send(&answer(&name(number), &message));
            } else if message.get("answer").is_some() {
                answers[number] += 1;
            } else {
                assert!(message["interval"].is_u64(), "{message}");
                replies += 1;
            }
        }
        assert!(turn < 10_000, "{offers} offers, {answers:?}");
    }
    assert_eq!((offers, answers), (wanted, vec![5; clients.len()]));
}

fn answer(name: &str, offer: &Value) -> Value {
    json!({"action": "announce", "info_hash": offer["info_hash"], "peer_id": net::peer(name),
           "to_peer_id": offer["peer_id"], "offer_id": offer["offer_id"], "answer": {"type": "answer", "sdp": "a"}})
}

#[test]
fn viewers_of_all_workers_meet() {
    let tracker = start("workers.toml", "\"127.0.0.1:0\"");
    all_meet((0..VIEWERS).map(|_| Client::connect(&tracker)).collect());
    assert_eq!(metric(&tracker, "workers"), WORKERS as u64);
    assert!(metric(&tracker, "cluster_offers_total{what=\"taken\"}") > 0, "some met across workers");
    assert_eq!(metric(&tracker, "mailbox_dropped_total"), 0);
    net::eventually(|| metric(&tracker, "connections") == 0 && metric(&tracker, "swarms") == 0);
}

#[test]
fn one_swarm_is_one_swarm_whoever_counts() {
    let tracker = start("workers-count.toml", "\"127.0.0.1:0\"");
    let mut clients: Vec<Client> = (0..VIEWERS).map(|_| Client::connect(&tracker)).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        client.send(&announce(&name(number), 0));
        client.receive();
    }
    net::eventually(|| metric(&tracker, "peers") == VIEWERS as u64);
    net::eventually(|| metric(&tracker, "swarms") == 1);
    for _ in 0..8 {
        // Whichever worker the kernel chooses.
        let request = "GET /stats.json HTTP/1.1\r\nHost: t\r\nAuthorization: Bearer t\r\n\r\n";
        net::eventually(|| {
            let stats = tracker.http(request);
            let stats: Value = serde_json::from_str(stats.split("\r\n\r\n").nth(1).unwrap()).unwrap();
            stats["largestSwarms"][0]["incomplete"] == VIEWERS as u64 && stats["swarms"] == 1
        });
    }
}

#[test]
fn a_unix_socket_serves_all_workers() {
    let path = temp_file("workers.sock", "");
    std::fs::remove_file(&path).unwrap();
    let tracker = start("workers-unix.toml", &format!("\"127.0.0.1:0\", \"unix:{path}\""));
    let connect = || Client::over(std::os::unix::net::UnixStream::connect(&path).unwrap(), "");
    all_meet((0..VIEWERS).map(|_| connect()).collect());
    assert_eq!(metric(&tracker, "workers"), WORKERS as u64);
}

#[test]
fn all_workers_drain() {
    let config = "[server]\nworkers = 3\ndrain_secs = 1\n[limits]\nconnections_per_ip = 0\n";
    let tracker = Process::start(&temp_file("workers-drain.toml", config));
    let mut clients: Vec<Client> = (0..VIEWERS).map(|_| Client::connect(&tracker)).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        client.send(&announce(&name(number), 0));
        client.receive();
    }
    tracker.signal("TERM");
    for client in &mut clients {
        assert_eq!(client.close_code(), Some(1001));
    }
    tracker.wait();
}

#[test]
fn the_number_of_workers_is_checked() {
    let config = temp_file("workers-many.toml", "[server]\nworkers = 256\n");
    let said = Process::fails(&["--config", &config, "--check"]);
    assert!(said.contains("server.workers is 256; allowed is 0 to 255"), "{said}");
    let said = Process::fails(&["--cluster", "http://127.0.0.1:4222", "--check"]);
    assert!(
        said.contains("cluster.urls[0] is \"http://127.0.0.1:4222\"; allowed is \"nats://HOST:PORT\""),
        "{said}"
    );
}
