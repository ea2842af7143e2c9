//! `hlswarm-sign`: keys, signing, checking.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use hlswarm_sign::peertube::Hashes;
use hlswarm_sign::signing::{Sidecar, Signer};
use hlswarm_sign::tree::{Listing, Media, Stamp, Tree};
use hlswarm_sign::{keys, verify};
use lexopt::prelude::*;

const HELP: &str = "\
Signs HLS segments, so that viewers who share them never play a wrong byte.

hlswarm-sign keygen FILE
    Makes a key pair: the secret key goes to FILE, the public key is printed.
hlswarm-sign sign DIR --key FILE --stream NAME [--watch] [--peertube JSON]
    Signs the segments of every playlist below DIR and writes PLAYLIST.hsig beside each. With --watch it goes on, for
    live streams: segments are signed as they appear. With --peertube only segments are signed whose SHA-256 is the
    one in PeerTube's segments-sha256.json.
hlswarm-sign verify DIR --public-key KEY --stream NAME
    Checks signatures, and every segment that the playlists list.
hlswarm-sign peertube DIR
    Prints a segments-sha256.json for PeerTube's players.
";

/// How often `--watch` looks.
const LOOK_EVERY: Duration = Duration::from_millis(500);

#[derive(Default)]
struct Args {
    words: Vec<String>,
    key: Option<PathBuf>,
    public_key: Option<String>,
    stream: Option<String>,
    peertube: Option<PathBuf>,
    watch: bool,
}

fn args() -> Result<Args, String> {
    let mut parser = lexopt::Parser::from_env();
    let mut args = Args::default();
    while let Some(arg) = parser.next().map_err(|error| error.to_string())? {
        match arg {
            Value(word) => args.words.push(as_text(word)?),
            Long("key") => args.key = Some(value_of(&mut parser)?.into()),
            Long("public-key") => args.public_key = Some(as_text(value_of(&mut parser)?)?),
            Long("stream") => args.stream = Some(as_text(value_of(&mut parser)?)?),
            Long("peertube") => args.peertube = Some(value_of(&mut parser)?.into()),
            Long("watch") => args.watch = true,
            Long("help") | Short('h') => args.words = vec!["help".to_owned()],
            other => return Err(other.unexpected().to_string()),
        }
    }
    Ok(args)
}

fn value_of(parser: &mut lexopt::Parser) -> Result<OsString, String> {
    parser.value().map_err(|error| error.to_string())
}

fn as_text(value: OsString) -> Result<String, String> {
    value.into_string().map_err(|value| format!("{} is not text", value.display()))
}

fn main() -> ExitCode {
    let done = args().and_then(|args| {
        let words: Vec<&str> = args.words.iter().map(String::as_str).collect();
        match words[..] {
            [] | ["help"] => {
                print!("{HELP}");
                Ok(true)
            }
            ["keygen", file] => {
                let public = keys::generate(file.as_ref())?;
                println!("{}", keys::to_hex(public.as_bytes()));
                Ok(true)
            }
            ["sign", dir] => sign(&args, dir),
            ["verify", dir] => check(&args, dir),
            ["peertube", dir] => export(dir),
            _ => Err(format!("{} is no command; see --help", args.words.join(" "))),
        }
    });
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("hlswarm-sign: {error}");
            ExitCode::from(2)
        }
    }
}

fn stream(args: &Args) -> Result<&str, String> {
    let stream = args.stream.as_deref().filter(|name| (1..=256).contains(&name.chars().count()));
    stream.ok_or_else(|| "--stream NAME is needed, 1 to 256 characters".to_owned())
}

fn media_of(tree: &Tree, dir: &str) -> Result<Vec<Media>, String> {
    let Listing { media, problems } = tree.media()?;
    if let Some(problem) = problems.into_iter().next() {
        Err(problem)
    } else if media.is_empty() {
        Err(format!("{dir}: there is no media playlist (*.m3u8) in it"))
    } else {
        Ok(media)
    }
}

/// Says what is wrong once, for as long as it stays wrong.
#[derive(Default)]
struct Complaints {
    standing: BTreeSet<String>,
    now: BTreeSet<String>,
}

impl Complaints {
    fn add(&mut self, problem: String) {
        if !self.standing.contains(&problem) && !self.now.contains(&problem) {
            eprintln!("hlswarm-sign: {problem}");
        }
        self.now.insert(problem);
    }

    fn next_look(&mut self) {
        self.standing = std::mem::take(&mut self.now);
    }
}

/// Hashes that are read again when their file was written again.
struct Watched {
    path: PathBuf,
    stamp: Option<Stamp>,
}

impl Watched {
    fn open(path: PathBuf) -> Result<(Watched, Hashes), String> {
        let stamp = Stamp::of(&path);
        let hashes = Hashes::read(&path)?;
        Ok((Watched { path, stamp }, hashes))
    }

    fn changed(&mut self) -> Option<Result<Hashes, String>> {
        let stamp = Stamp::of(&self.path);
        if stamp == self.stamp {
            return None;
        }
        let hashes = Hashes::read(&self.path);
        if hashes.is_ok() {
            self.stamp = stamp;
        }
        Some(hashes)
    }
}

fn sign(args: &Args, dir: &str) -> Result<bool, String> {
    let key = args.key.as_ref().ok_or("--key FILE is needed: the secret key that keygen made")?;
    let (mut watched, expected) = args.peertube.clone().map(Watched::open).transpose()?.unzip();
    let mut signer = Signer::new(keys::read_secret(key)?, stream(args)?, expected);
    let tree = Tree::open(dir.as_ref())?;
    let mut sidecars: BTreeMap<PathBuf, Sidecar> = BTreeMap::new();
    if !args.watch {
        for media in media_of(&tree, dir)? {
            let pass = signer.sign(&tree, &media, &mut Sidecar::default(), false)?;
            println!("{}: {} segments signed", media.file.display(), pass.signed);
        }
        return Ok(true);
    }
    let mut complaints = Complaints::default();
    loop {
        match watched.as_mut().and_then(Watched::changed) {
            Some(Ok(found)) => signer.expect(found),
            Some(Err(problem)) => complaints.add(problem),
            None => {}
        }
        // While a packager writes, a playlist may be half there: the next look sees it whole.
        let listing =
            tree.media().unwrap_or_else(|problem| Listing { problems: vec![problem], ..Listing::default() });
        listing.problems.into_iter().for_each(|problem| complaints.add(problem));
        for media in listing.media {
            let sidecar = sidecars.entry(media.file.clone()).or_default();
            match signer.sign(&tree, &media, sidecar, true) {
                Ok(pass) => {
                    if pass.began_anew {
                        println!("{}: began anew", media.file.display());
                    }
                    if pass.signed > 0 {
                        println!("{}: {} segments signed", media.file.display(), pass.signed);
                    }
                    pass.problems.into_iter().for_each(|problem| complaints.add(problem));
                }
                Err(problem) => complaints.add(problem),
            }
        }
        complaints.next_look();
        std::thread::sleep(LOOK_EVERY);
    }
}

fn check(args: &Args, dir: &str) -> Result<bool, String> {
    let public = args.public_key.as_deref().ok_or("--public-key KEY is needed")?;
    let (key, stream) = (keys::read_public(public)?, stream(args)?);
    let tree = Tree::open(dir.as_ref())?;
    let mut right = true;
    for media in media_of(&tree, dir)? {
        let report = verify::verify(&tree, &media, &key, stream)?;
        for problem in &report.problems {
            eprintln!("hlswarm-sign: {problem}");
        }
        println!("{}: {} segments are what was signed", media.file.display(), report.right);
        right &= report.problems.is_empty();
    }
    Ok(right)
}

fn export(dir: &str) -> Result<bool, String> {
    let tree = Tree::open(dir.as_ref())?;
    let mut hashes = Hashes::default();
    for media in media_of(&tree, dir)? {
        for segment in &media.segments {
            hashes.insert(segment, &tree.read_segment(segment)?)?;
        }
    }
    println!("{}", hashes.to_json());
    Ok(true)
}
