//! The command as its users run it, on folders as packagers write them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output};
use std::time::{Duration, Instant};

use hlswarm::id::TrackId;
use hlswarm::integrity::sidecar::{self, SignedBatch};
use serde_json::json;

/// A folder of its own for a test, gone with it.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("a folder");
        Folder(path)
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().expect("it is in the folder")).expect("a folder");
        fs::write(path, bytes).expect("it is written");
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().expect("text").to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hlswarm-sign"));
    command.args(args);
    command
}

fn run(args: &[&str]) -> Output {
    command(args).output().expect("it starts")
}

fn ok(args: &[&str]) -> String {
    let output = run(args);
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text").trim().to_owned()
}

fn fails(args: &[&str]) -> String {
    let output = run(args);
    assert!(!output.status.success(), "{args:?} should fail");
    String::from_utf8(output.stderr).expect("text")
}

/// A film: a manifest, a variant of whole files, one of byte ranges, separate audio.
fn film(folder: &Folder) {
    folder.write(
        "dir/master.m3u8",
        "#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"En\",URI=\"audio/a.m3u8\"\n\
         #EXT-X-STREAM-INF:BANDWIDTH=1000,AUDIO=\"a\"\nlow/v.m3u8\n#EXT-X-STREAM-INF:BANDWIDTH=2000,AUDIO=\"a\"\nhigh.m3u8?x=1\n",
    );
    let head = "#EXTM3U\n#EXT-X-TARGETDURATION:4\n";
    let mut low = head.to_owned();
    for number in 0..20 {
        low += &format!("#EXTINF:4,\nseg%20{number}.ts\n");
        folder.write(&format!("dir/low/seg {number}.ts"), vec![number; 70_000]);
    }
    folder.write("dir/low/v.m3u8", low + "#EXT-X-ENDLIST\n");
    let ranges = "#EXTINF:4,\n#EXT-X-BYTERANGE:1000@0\nall.mp4\n#EXTINF:4,\n#EXT-X-BYTERANGE:500\nall.mp4\n";
    folder.write("dir/high.m3u8", format!("{head}{ranges}#EXT-X-ENDLIST\n"));
    folder.write("dir/all.mp4", (0..1500).map(|n| n as u8).collect::<Vec<_>>());
    folder.write("dir/audio/a.m3u8", format!("{head}#EXTINF:4,\n0.aac\n#EXT-X-ENDLIST\n"));
    folder.write("dir/audio/0.aac", b"audio");
}

/// A film in a folder of its own, the folder to sign, and a key.
fn film_and_key(name: &str) -> (Folder, String, String) {
    let folder = Folder::new(name);
    film(&folder);
    let (dir, key) = (folder.path("dir"), folder.path("key"));
    ok(&["keygen", &key]);
    (folder, dir, key)
}

/// The batches in a sidecar.
fn batches_in(path: &Path) -> Vec<SignedBatch> {
    sidecar::read(&fs::read(path).expect("a sidecar")).expect("it is one")
}

#[test]
fn a_film_is_signed_and_verified() {
    let folder = Folder::new("film");
    film(&folder);
    let (dir, key) = (folder.path("dir"), folder.path("key"));
    let public = ok(&["keygen", &key]);
    assert_eq!(public.len(), 64);
    assert!(fails(&["keygen", &key]).contains("key"), "a key is never overwritten");
    ok(&["sign", &dir, "--key", &key, "--stream", "film"]);
    let verify = ["verify", &dir, "--public-key", &public, "--stream", "film"];
    let report = ok(&verify);
    assert!(report.contains("20 segments are what was signed"), "{report}");

    let read = |name: &str| batches_in(&folder.0.join(name));
    let low = read("dir/low/v.m3u8.hsig");
    assert_eq!(low.len(), 2, "20 records in batches of 16");
    assert_eq!(low[0].batch.track, TrackId::from_name("main low/v.m3u8"), "as the page names it");
    assert_eq!(read("dir/audio/a.m3u8.hsig")[0].batch.track, TrackId::from_name("audio audio/a.m3u8"));
    let high = &read("dir/high.m3u8.hsig")[0].batch;
    let ranges: Vec<_> = high.records.iter().map(|r| (r.resource_offset, r.total_bytes)).collect();
    assert_eq!(ranges, [(0, 1000), (1000, 500)]);

    folder.write("dir/low/seg 7.ts", vec![8; 70_000]);
    assert!(fails(&verify).contains("seg%207.ts: not what was signed"));
    assert!(fails(&["verify", &dir, "--public-key", &public, "--stream", "news"]).contains("another stream"));
    let other = ok(&["keygen", &folder.path("other")]);
    let error = fails(&["verify", &dir, "--public-key", &other, "--stream", "film"]);
    assert!(error.contains("another key"), "{error}");
    let mut bytes = fs::read(folder.0.join("dir/high.m3u8.hsig")).expect("a sidecar");
    bytes[90] ^= 1;
    folder.write("dir/high.m3u8.hsig", bytes);
    assert!(fails(&verify).contains("wrong signature"));
}

/// A process that is ended with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
#[allow(clippy::disallowed_methods, reason = "a test of what takes real time")]
fn a_live_stream_is_signed_as_it_grows() {
    let folder = Folder::new("live");
    let list = |first: u64, end: u64| {
        let mut text = format!("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:{first}\n");
        for number in first..end {
            folder.write(&format!("dir/{number}.ts"), number.to_be_bytes());
            text += &format!("#EXTINF:2,\n{number}.ts\n");
        }
        folder.write("dir/live.m3u8", text);
    };
    list(10, 13);
    let (dir, key) = (folder.path("dir"), folder.path("key"));
    ok(&["keygen", &key]);
    let watch = ["sign", &dir, "--key", &key, "--stream", "news", "--watch"];
    let _running = Running(command(&watch).stdout(std::process::Stdio::null()).spawn().expect("it starts"));
    let signed = |expected: &[u64]| {
        let started = Instant::now();
        loop {
            let bytes = fs::read(folder.0.join("dir/live.m3u8.hsig")).unwrap_or_default();
            let batches = sidecar::read(&bytes).unwrap_or_default();
            let sequences: Vec<u64> = batches
                .iter()
                .flat_map(|signed| &signed.batch.records)
                .map(|record| record.sequence)
                .collect();
            if sequences == expected {
                return batches;
            }
            assert!(started.elapsed() < Duration::from_secs(30), "{sequences:?}, expected {expected:?}");
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    signed(&[10, 11, 12]);
    list(11, 14);
    let batches = signed(&[10, 11, 12, 13]);
    assert_eq!(batches.iter().map(|signed| signed.batch.number).collect::<Vec<_>>(), [0, 1]);
    assert_eq!(batches[1].batch.previous, sidecar::Batch::hash(&batches[0].body), "a chain");
    list(20, 23);
    let before = signed(&[20, 21, 22]).last().expect("a batch").batch.generation_ms;

    // A segment that is not written yet, or cannot be read, holds nothing else up.
    list(21, 25);
    folder.write("dir/23.ts", b"");
    folder.write("dir/other.m3u8", "no playlist");
    fs::remove_file(folder.0.join("dir/24.ts")).expect("it was there");
    fs::create_dir(folder.0.join("dir/24.ts")).expect("a folder in its place");
    folder.write("dir/25.ts", b"25");
    let text = fs::read_to_string(folder.0.join("dir/live.m3u8")).expect("a playlist");
    folder.write("dir/live.m3u8", text + "#EXTINF:2,\n25.ts\n");
    signed(&[20, 21, 22, 25]);

    // The packager starts again: the same numbers, and other segments.
    list(10, 13);
    let batches = signed(&[10, 11, 12]);
    assert!(batches[0].batch.generation_ms > before, "a later chain");
    let mut generation = batches[0].batch.generation_ms;
    for (name, bytes) in [("dir/11.ts", &b"of another length"[..]), ("dir/12.ts", b"and this")] {
        folder.write(name, bytes);
        let started = Instant::now();
        while signed(&[10, 11, 12])[0].batch.generation_ms == generation {
            assert!(started.elapsed() < Duration::from_secs(30), "{name} is another segment");
            std::thread::sleep(Duration::from_millis(50));
        }
        generation = signed(&[10, 11, 12])[0].batch.generation_ms;
    }
    // Written again as it was, it is none.
    folder.write("dir/12.ts", b"and this");
    std::thread::sleep(Duration::from_millis(1_200));
    assert_eq!(signed(&[10, 11, 12])[0].batch.generation_ms, generation);
}

#[test]
fn a_later_chain_is_later_whatever_the_clock_says() {
    let (folder, dir, key) = film_and_key("clock");
    let sign = ["sign", &dir, "--key", &key, "--stream", "film"];
    ok(&sign);
    let path = folder.0.join("dir/audio/a.m3u8.hsig");
    let mut batches = batches_in(&path);
    batches[0].batch.generation_ms += 86_400_000;
    batches[0].body = batches[0].batch.body();
    let ahead = batches[0].batch.generation_ms;
    fs::write(&path, sidecar::write(&batches)).expect("it is written");
    ok(&sign);
    assert_eq!(batches_in(&path)[0].batch.generation_ms, ahead + 1);
}

#[test]
fn peertube_hashes_are_written_and_held_against() {
    let (folder, dir, key) = film_and_key("peertube");
    let exported = ok(&["peertube", &dir]);
    let value: serde_json::Value = serde_json::from_str(&exported).expect("JSON");
    assert!(value["all.mp4"]["1000-1499"].is_string() && value["0.aac"].is_string(), "{exported}");
    folder.write("hashes.json", &exported);
    let hashes = folder.path("hashes.json");
    let sign = ["sign", &dir, "--key", &key, "--stream", "film", "--peertube", &hashes];
    ok(&sign);
    folder.write("dir/audio/0.aac", b"other");
    assert!(fails(&sign).contains("0.aac: not the bytes that segments-sha256.json lists"));
    folder.write("hashes.json", json!({ "0.aac": "x" }).to_string());
    assert!(fails(&sign).contains("0.aac: \"x\" is no SHA-256"));
    folder.write("hashes.json", "{}");
    assert!(fails(&sign).contains("not listed in segments-sha256.json"));
    folder.write("dir/audio/all.mp4", b"of the same name");
    folder.write("dir/audio/b.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\n0.aac\n#EXT-X-ENDLIST\n");
    ok(&["peertube", &dir]);
    folder.write("dir/low/0.aac", b"differs");
    folder.write("dir/low/b.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\n0.aac\n#EXT-X-ENDLIST\n");
    assert!(fails(&["peertube", &dir]).contains("0.aac: two files of this name differ"));
}

#[test]
#[allow(clippy::disallowed_methods, reason = "a test of what takes real time")]
fn hashes_that_come_later_are_waited_for() {
    let (folder, dir, key) = film_and_key("later");
    let exported = ok(&["peertube", &dir]);
    folder.write("hashes.json", "{}");
    let hashes = folder.path("hashes.json");
    let watch = ["sign", &dir, "--key", &key, "--stream", "film", "--watch", "--peertube", &hashes];
    let _running = Running(command(&watch).stdout(std::process::Stdio::null()).spawn().expect("it starts"));
    let records = || {
        let bytes = fs::read(folder.0.join("dir/low/v.m3u8.hsig")).unwrap_or_default();
        let batches = sidecar::read(&bytes).unwrap_or_default();
        batches.iter().map(|signed| signed.batch.records.len()).sum::<usize>()
    };
    std::thread::sleep(Duration::from_millis(700));
    assert_eq!(records(), 0, "nothing says what they must be");
    folder.write("hashes.json", exported);
    let started = Instant::now();
    while records() < 20 {
        assert!(started.elapsed() < Duration::from_secs(30), "{} records", records());
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn errors_name_what_is_wrong() {
    let folder = Folder::new("errors");
    let dir = folder.path("");
    let key = folder.path("key");
    ok(&["keygen", &key]);
    let cases: [(&[&str], &str); 8] = [
        (&["sign", "nowhere", "--key", &key, "--stream", "x"], "nowhere: not a folder"),
        (&["sign", &dir, "--key", &key, "--stream", "x"], "there is no media playlist"),
        (&["sign", &dir, "--key", &key], "--stream NAME is needed"),
        (&["sign", &dir, "--stream", "x"], "--key FILE is needed"),
        (&["verify", &dir, "--public-key", "abc", "--stream", "x"], "--public-key \"abc\""),
        (&["frob"], "frob is no command"),
        (&["--frob"], "--frob"),
        (&["keygen"], "keygen is no command"),
    ];
    for (args, expected) in cases {
        let error = fails(args);
        assert!(error.contains(expected), "{args:?}: {error}");
    }
    folder.write(
        "v.m3u8",
        "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\nhttps://elsewhere.example/0.ts\n#EXT-X-ENDLIST\n",
    );
    let error = fails(&["sign", &dir, "--key", &key, "--stream", "x"]);
    assert!(error.contains("https://elsewhere.example/0.ts: not a file in"), "{error}");
    folder
        .write("v.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\n%2e%2e/%2Fetc.ts\n#EXT-X-ENDLIST\n");
    assert!(fails(&["sign", &dir, "--key", &key, "--stream", "x"]).contains("not a file in"));
    folder.write("v.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\n0.ts\n#EXT-X-ENDLIST\n");
    folder.write("0.ts", b"");
    assert!(fails(&["sign", &dir, "--key", &key, "--stream", "x"]).contains("0 bytes"));
    assert!(ok(&["--help"]).contains("keygen"));
}
