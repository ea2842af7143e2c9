//! What a packager wrote: playlists, their tracks, and the files of their segments.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use hlswarm::engine::{SegmentInfo, TrackKind};
use hlswarm::id::TrackId;
use hlswarm::playlist::{self, Playlist};
use url::Url;

/// Where the folder is taken to be on the web. Only paths relative to the manifest matter.
const WEB: &str = "https://folder.invalid/";

/// One media playlist.
#[derive(Clone, Debug)]
pub struct Media {
    /// Its file.
    pub file: PathBuf,
    /// The tracks that it is, by the manifests that name it.
    pub tracks: Vec<TrackId>,
    /// Whether it may still grow.
    pub live: bool,
    /// Its segments.
    pub segments: Vec<SegmentInfo>,
}

/// By what a file that was written again is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Its length.
    pub bytes: u64,
    /// When it was last written.
    pub modified: Option<SystemTime>,
}

impl Stamp {
    /// The stamp of a file; `None` when there is none.
    pub fn of(file: &Path) -> Option<Stamp> {
        let found = fs::metadata(file).ok()?;
        Some(Stamp { bytes: found.len(), modified: found.modified().ok() })
    }
}

/// The playlists below a folder.
#[derive(Clone, Debug, Default)]
pub struct Listing {
    /// Those that could be read.
    pub media: Vec<Media>,
    /// What is wrong with the others, for people.
    pub problems: Vec<String>,
}

/// A folder of playlists and segments.
#[derive(Clone, Debug)]
pub struct Tree {
    root: PathBuf,
    base: Url,
}

impl Tree {
    /// The folder at `root`.
    ///
    /// # Errors
    /// When it is no folder.
    pub fn open(root: &Path) -> Result<Tree, String> {
        if !root.is_dir() {
            return Err(format!("{}: not a folder", root.display()));
        }
        let base = Url::parse(WEB).map_err(|error| error.to_string())?;
        Ok(Tree { root: root.to_owned(), base })
    }

    /// Every media playlist below the folder.
    ///
    /// # Errors
    /// When the folder cannot be read, or a master playlist: what it names would be taken for something else.
    pub fn media(&self) -> Result<Listing, String> {
        let mut problems = Vec::new();
        let mut files = Vec::new();
        find(&self.root, &mut files).map_err(|error| format!("{}: {error}", self.root.display()))?;
        let mut media = BTreeMap::new();
        let mut masters = Vec::new();
        for file in files {
            let url = self.url_of(&file)?;
            let text = match fs::read_to_string(&file) {
                Ok(text) => text,
                Err(error) => {
                    problems.push(format!("{}: {error}", file.display()));
                    continue;
                }
            };
            match playlist::parse(&text, url.as_str()) {
                Ok(Playlist::Media(read)) => {
                    let found = Media { file, tracks: Vec::new(), live: read.live, segments: read.segments };
                    media.insert(url.to_string(), found);
                }
                Ok(Playlist::Master(master)) => masters.push(master),
                Err(error) => {
                    let problem = format!("{}: {error}", file.display());
                    if text.contains("#EXT-X-STREAM-INF") {
                        return Err(problem);
                    }
                    problems.push(problem);
                }
            }
        }
        for rendition in masters.iter().flat_map(|master| &master.renditions) {
            let bare = rendition.url.split(['?', '#']).next().unwrap_or_default();
            if let Some(found) = media.get_mut(bare)
                && !found.tracks.contains(&rendition.track)
            {
                found.tracks.push(rendition.track);
            }
        }
        for (url, found) in &mut media {
            // Played by itself, it is its own manifest.
            if found.tracks.is_empty() {
                found.tracks.push(playlist::track_id(TrackKind::Main, url, url));
            }
        }
        Ok(Listing { media: media.into_values().collect(), problems })
    }

    fn url_of(&self, file: &Path) -> Result<Url, String> {
        let inside = file.strip_prefix(&self.root).unwrap_or(file);
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop();
            for part in inside.components() {
                let part = part.as_os_str().to_str();
                path.push(part.ok_or_else(|| format!("{}: not a name for the web", file.display()))?);
            }
        }
        Ok(url)
    }

    /// The name of a segment's file relative to the folder.
    ///
    /// # Errors
    /// When the segment is not below the folder.
    pub fn segment_file(&self, segment: &SegmentInfo) -> Result<PathBuf, String> {
        let outside = || format!("{}: not a file in {}", segment.url, self.root.display());
        let url = Url::parse(&segment.url).map_err(|_| outside())?;
        if url.origin() != self.base.origin() {
            return Err(outside());
        }
        let mut file = self.root.clone();
        for part in url.path_segments().into_iter().flatten() {
            let part = decode(part).filter(|part| part != ".." && !part.contains(['/', '\\', '\0']));
            file.push(part.ok_or_else(outside)?);
        }
        Ok(file)
    }

    /// The stamp of a segment's file; `None` when there is none.
    pub fn stamp(&self, segment: &SegmentInfo) -> Option<Stamp> {
        Stamp::of(&self.segment_file(segment).ok()?)
    }

    /// The bytes of a segment.
    ///
    /// # Errors
    /// When its file cannot be read or is shorter than its byte range.
    pub fn read_segment(&self, segment: &SegmentInfo) -> Result<Vec<u8>, String> {
        let file = self.segment_file(segment)?;
        let fail = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
        let Some(range) = segment.byte_range else { return fs::read(&file).map_err(|error| fail(&error)) };
        let mut opened = fs::File::open(&file).map_err(|error| fail(&error))?;
        let mut bytes = Vec::new();
        std::io::Seek::seek(&mut opened, std::io::SeekFrom::Start(range.start))
            .and_then(|_| {
                std::io::Read::read_to_end(&mut std::io::Read::take(opened, range.len()), &mut bytes)
            })
            .map_err(|error| fail(&error))?;
        if bytes.len() as u64 == range.len() {
            return Ok(bytes);
        }
        Err(fail(&format!("ends within the byte range {}-{}", range.start, range.end)))
    }
}

/// `%20` and the like.
fn decode(part: &str) -> Option<String> {
    let mut out = Vec::new();
    let mut bytes = part.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let digits = [bytes.next()?, bytes.next()?];
            out.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
        } else {
            out.push(byte);
        }
    }
    String::from_utf8(out).ok()
}

fn find(folder: &Path, found: &mut Vec<PathBuf>) -> std::io::Result<()> {
    let mut entries: Vec<PathBuf> =
        fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
    entries.sort();
    for path in entries {
        if path.is_dir() {
            find(&path, found)?;
        } else if path.extension().is_some_and(|ending| ending == "m3u8") {
            found.push(path);
        }
    }
    Ok(())
}
