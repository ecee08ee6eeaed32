//! The rules of the house, held against the source: imports point down, the core knows nothing
//! of the host, unsafe code stays in its rooms, and the map shows what is there.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The rooms of the core, lowest first; rooms of one line do not import each other. A module
/// that is not listed here is a mistake: put it where it belongs.
const CORE_LAYERS: [&[&str]; 8] = [
    &["types"],
    &["boundary"],
    &["isa", "mem", "codemem", "softfloat"],
    &["cpu", "devices"],
    &["jit"],
    &["machine"],
    &["vcpu"],
    &["lib"],
];

/// The crates, and which of the others each may depend on.
const CRATES: [(&str, &[&str]); 6] = [
    ("core", &[]),
    ("replay", &["core"]),
    ("trace", &["core"]),
    ("monitor", &["core", "replay", "trace"]),
    ("tools", &["core", "replay", "trace", "monitor"]),
    ("tests", &["core", "replay", "trace", "monitor", "tools"]),
];

/// What `core` may not mention, and where it may all the same.
const HOST: [(&str, &[&str]); 12] = [
    ("std::time", &[]),
    ("Instant", &[]),
    ("SystemTime", &[]),
    ("std::fs", &[]),
    ("std::env", &[]),
    ("std::net", &[]),
    ("std::process", &["core/src/vcpu/mod.rs"]),
    ("std::thread", &["core/src/vcpu/mod.rs"]),
    ("HashSet", &[]),
    ("RandomState", &[]),
    ("_rdtsc(", &[]),
    ("core::arch", &[]),
];

/// Where unsafe code lives.
const UNSAFE_ROOMS: [&str; 5] =
    ["core/src/mem/ram.rs", "core/src/codemem/", "tests/src/native/", "tests/sse_native.rs", "tests/x87"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_path_buf()
}

/// Every Rust file below `folder`: its path from the root, with slashes, and its text.
fn sources(folder: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of the repository").flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let name = path.strip_prefix(root()).expect("below the root").to_string_lossy().into_owned();
                found.push((name, fs::read_to_string(&path).expect("text")));
            }
        }
    }
    assert!(!found.is_empty(), "{folder} has no source");
    found.sort();
    found
}

/// The lines that are code, with their numbers.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = text.lines().enumerate().map(|(k, line)| (k + 1, line.trim()));
    lines.filter(|(_, line)| !line.starts_with("//"))
}

fn crates() -> impl Iterator<Item = &'static str> {
    CRATES.iter().map(|(name, _)| *name)
}

fn expect_none(what: &str, wrong: &[String]) {
    assert!(wrong.is_empty(), "{what}:\n{}", wrong.join("\n"));
}

/// The rooms that a line of the core imports by `crate::room` or `crate::{room::..., room}`.
fn imported_rooms(line: &str) -> BTreeSet<&str> {
    let mut rooms = BTreeSet::new();
    for (_, rest) in line.match_indices("crate::").map(|(at, m)| (at, &line[at + m.len()..])) {
        let list = rest.strip_prefix('{').unwrap_or(rest);
        let mut depth = 0;
        let mut start = 0;
        let mut take = |from: usize, to: usize| {
            let name = list[from..to].trim().split(|c: char| !c.is_alphanumeric() && c != '_').next();
            rooms.extend(name.filter(|n| !n.is_empty()));
        };
        if list.len() == rest.len() {
            take(0, list.len());
            continue;
        }
        for (at, c) in list.char_indices() {
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => {
                    take(start, at);
                    break;
                }
                '}' => depth -= 1,
                ',' if depth == 0 => {
                    take(start, at);
                    start = at + 1;
                }
                _ => {}
            }
        }
    }
    rooms
}

fn layer(room: &str) -> Option<usize> {
    CORE_LAYERS.iter().position(|l| l.contains(&room))
}

#[test]
fn imports_of_the_core_point_down() {
    let mut wrong = Vec::new();
    for (path, text) in sources("core/src") {
        let room = path["core/src/".len()..].split(['/', '.']).next().expect("a name");
        let Some(own) = layer(room) else {
            wrong.push(format!("{path}: {room} is not in CORE_LAYERS"));
            continue;
        };
        for (number, line) in code(&text) {
            for other in imported_rooms(line).into_iter().filter(|o| *o != room) {
                // Items of the crate's root are no room.
                if layer(other).is_some_and(|theirs| theirs >= own) {
                    wrong.push(format!("{path}:{number}: {room} imports {other}"));
                }
            }
        }
    }
    expect_none("imports that do not point down", &wrong);
}

#[test]
fn imports_are_understood() {
    let line = "use crate::{cpu::{Vcpu, Env}, mem, types::Gpa}; crate::machine::Pc::new(crate::VERSION)";
    assert_eq!(
        imported_rooms(line).into_iter().collect::<Vec<_>>(),
        ["VERSION", "cpu", "machine", "mem", "types"]
    );
}

#[test]
fn crates_depend_downwards() {
    let mut wrong = Vec::new();
    for (name, allowed) in CRATES {
        let manifest = fs::read_to_string(root().join(name).join("Cargo.toml")).expect("a manifest");
        for line in manifest.lines() {
            let Some(rest) = line.strip_prefix("dejavm-") else { continue };
            let other = rest.split(['.', ' ', '=']).next().expect("a name");
            if !allowed.contains(&other) {
                wrong.push(format!("{name} depends on {other}"));
            }
        }
    }
    expect_none("dependencies between crates that are not allowed", &wrong);
}

#[test]
fn the_core_knows_nothing_of_the_host() {
    let mut wrong = Vec::new();
    for (path, text) in sources("core/src") {
        for (number, line) in code(&text) {
            for (word, places) in HOST {
                if line.contains(word) && !places.contains(&path.as_str()) {
                    wrong.push(format!("{path}:{number}: {word}"));
                }
            }
            // A map in hash order must say which hasher, and that one is a fixed one.
            if line.contains("HashMap<") && !line.contains("FixedState") {
                wrong.push(format!("{path}:{number}: HashMap without a fixed hasher"));
            }
        }
    }
    expect_none("the core depends on the host", &wrong);
}

#[test]
fn unsafe_code_stays_in_its_rooms() {
    let mut wrong = Vec::new();
    for (path, text) in crates().flat_map(|c| sources(&format!("{c}/"))) {
        if UNSAFE_ROOMS.iter().any(|room| path.starts_with(room)) || path == "tests/repo.rs" {
            continue;
        }
        let lines = code(&text).filter(|(_, l)| l.contains("unsafe ") || l.contains("allow(unsafe_code)"));
        wrong.extend(lines.map(|(number, line)| format!("{path}:{number}: {line}")));
    }
    expect_none("unsafe code outside its rooms", &wrong);
}

#[test]
fn every_file_says_what_it_is_for() {
    let files = crates().flat_map(|c| sources(&format!("{c}/")));
    let wrong: Vec<_> = files.filter(|(_, text)| !text.starts_with("//!")).map(|(path, _)| path).collect();
    expect_none("files that do not open with //!", &wrong);
}

/// The words in backquotes that are meant as paths of the repository.
fn paths_in(text: &str) -> impl Iterator<Item = &str> {
    let words = text.split('`').skip(1).step_by(2);
    words.filter(|w| {
        let top = w.split('/').next().unwrap_or_default();
        w.contains('/')
            && !w.contains([' ', '*', '<', '$'])
            && (crates().any(|c| c == top) || ["docs", "guests"].contains(&top))
    })
}

#[test]
fn the_maps_show_what_is_there() {
    for map in ["ARCHITECTURE.md", "README.md", "tests/README.md"] {
        let text = fs::read_to_string(root().join(map)).expect(map);
        let wrong: Vec<_> = paths_in(&text).filter(|p| !root().join(p).exists()).map(str::to_owned).collect();
        expect_none(&format!("{map} names what does not exist"), &wrong);
    }
}

#[test]
fn the_map_shows_every_module() {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).expect("the map");
    let shown: BTreeSet<&str> = paths_in(&text).map(|p| p.trim_end_matches('/')).collect();
    let mut wrong = Vec::new();
    for name in crates() {
        for entry in fs::read_dir(root().join(name).join("src")).expect("a crate").flatten() {
            let path = format!("{name}/src/{}", entry.file_name().to_string_lossy());
            if !path.ends_with("/lib.rs") && !shown.contains(path.as_str()) {
                wrong.push(path);
            }
        }
    }
    expect_none("modules that ARCHITECTURE.md does not show", &wrong);
}
