//! What names a track, equally on all viewers of a manifest.

use crate::engine::TrackKind;

/// One playlist of a manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NamedPlaylist<'a> {
    /// What the track is played as.
    pub kind: TrackKind,
    /// Its absolute URL, as a URL parser writes it.
    pub url: &'a str,
    /// What tells it from others where the path does not: for a variant stream its `BANDWIDTH` in decimal, for an
    /// audio rendition its `LANGUAGE` and `NAME` with a space between.
    pub detail: &'a str,
}

/// The name of a track by its kind and playlist alone: `main` or `audio`, a space, and the playlist's path, relative to
/// the manifest's folder when it lies below it. Hosts, queries and fragments are left out, since they differ from viewer
/// to viewer. The text to give to [`TrackId::from_name`](crate::id::TrackId::from_name).
///
/// Both URLs are absolute, as a URL parser writes them. Right where the manifest is itself the playlist, or no two
/// playlists differ in their query alone; else use [`track_names`].
pub fn track_name(kind: TrackKind, manifest_url: &str, playlist_url: &str) -> String {
    let manifest = path(manifest_url);
    let folder = manifest.rfind('/').and_then(|slash| manifest.get(..=slash)).unwrap_or("/");
    let playlist = path(playlist_url);
    let relative = playlist.strip_prefix(folder).unwrap_or(playlist);
    let kind = match kind {
        TrackKind::Main => "main",
        TrackKind::Audio => "audio",
    };
    format!("{kind} {relative}")
}

/// The names of all tracks of a manifest, in the order given.
///
/// Each is that of [`track_name`]. Where different playlists would share a name, because they differ in their query
/// alone, the detail is appended after a space; where they still would, the query as well. Two playlists must never
/// have one name: their segments would be taken for each other.
pub fn track_names(manifest_url: &str, playlists: &[NamedPlaylist<'_>]) -> Vec<String> {
    let mut names: Vec<String> =
        playlists.iter().map(|playlist| track_name(playlist.kind, manifest_url, playlist.url)).collect();
    let suffixes: [fn(&NamedPlaylist<'_>) -> String; 2] = [
        |playlist| format!(" {}", playlist.detail),
        |playlist| {
            format!("?{}", without_fragment(playlist.url).split_once('?').map_or("", |(_, query)| query))
        },
    ];
    for suffix in suffixes {
        let mut order: Vec<usize> = (0..playlists.len()).collect();
        order.sort_by(|a, b| names[*a].cmp(&names[*b]));
        let same_name = |a: &usize, b: &usize| names[*a] == names[*b];
        let ambiguous: Vec<usize> = order
            .chunk_by(same_name)
            .filter(|group| {
                let mut urls = group.iter().map(|index| without_fragment(playlists[*index].url));
                let first = urls.next();
                urls.any(|url| Some(url) != first)
            })
            .flatten()
            .copied()
            .collect();
        for index in ambiguous {
            names[index].push_str(&suffix(&playlists[index]));
        }
    }
    names
}

fn without_fragment(url: &str) -> &str {
    url.split('#').next().unwrap_or(url)
}

fn path(url: &str) -> &str {
    let after_scheme = url.split_once("://").map_or(url, |(_, rest)| rest);
    let resource = after_scheme.split(['?', '#']).next().unwrap_or_default();
    resource.find('/').and_then(|slash| resource.get(slash..)).unwrap_or("/")
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use crate::id::TrackId;

    use super::*;

    #[derive(Deserialize)]
    struct Vectors {
        manifests: Vec<Manifest>,
    }

    #[derive(Deserialize)]
    struct Manifest {
        case: String,
        manifest: String,
        playlists: Vec<Expected>,
    }

    #[derive(Deserialize)]
    struct Expected {
        kind: String,
        url: String,
        detail: String,
        name: String,
        id: String,
    }

    #[test]
    fn tracks_are_named_as_the_vectors_say() {
        let vectors: Vectors =
            serde_json::from_str(include_str!("../../tests/vectors/track-names.json")).unwrap();
        for Manifest { case, manifest, playlists } in vectors.manifests {
            let given: Vec<NamedPlaylist<'_>> = playlists
                .iter()
                .map(|Expected { kind, url, detail, .. }| NamedPlaylist {
                    kind: if kind == "main" { TrackKind::Main } else { TrackKind::Audio },
                    url,
                    detail,
                })
                .collect();
            let names = track_names(&manifest, &given);
            let expected: Vec<&str> = playlists.iter().map(|playlist| &*playlist.name).collect();
            assert_eq!(names, expected, "{case}");
            for (playlist, name) in playlists.iter().zip(&names) {
                assert_eq!(TrackId::from_name(name).to_string(), playlist.id, "{case}");
            }
        }
    }
}
