//! `stats`, `coverage`, `callgraph` and `memhist`, held against what a full trace of the same stretch
//! says, and against a disassembler that is not ours.

mod desk;

use desk::Desk;
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

const STRETCH: [&str; 4] = ["--from", "20000", "--to", "120000"];

fn on_stretch(desk: &Desk, arguments: &[&str]) -> String {
    desk.expect(&[arguments, &STRETCH].concat(), 0)
}

/// The lines of a full trace: icount, name, the number after each argument's name.
fn traced(desk: &Desk, events: &[&str]) -> Vec<(u64, String, BTreeMap<String, u64>)> {
    let wanted: Vec<&str> = events.iter().flat_map(|event| ["-e", event]).collect();
    let text = on_stretch(desk, &[&["trace", "demo.dj"], &wanted[..]].concat());
    let line = |line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        let argument = |word: &&str| {
            let (name, value) = word.split_once('=').unwrap();
            let number = value.strip_prefix("0x").and_then(|v| u64::from_str_radix(v, 16).ok());
            (name.to_owned(), number.unwrap_or_default())
        };
        (words[0].parse().unwrap(), words[3].to_owned(), words[4..].iter().map(argument).collect())
    };
    text.lines().map(line).collect()
}

/// Addresses and lengths of the demo's instructions, by objdump.
fn disassembled(desk: &Desk) -> Option<BTreeMap<u64, (u64, String)>> {
    desk.put_kernel();
    let listing = Command::new("objdump")
        .args([
            "-D",
            "-z",
            "-b",
            "binary",
            "-m",
            "i386:x86-64",
            "--adjust-vma=0x1fff88",
            "--start-address=0x200000",
            "kernel",
        ])
        .current_dir(&desk.folder)
        .output()
        .ok()?;
    let text = String::from_utf8(listing.stdout).unwrap();
    let mut starts: Vec<(u64, String)> = Vec::new();
    for line in text.lines() {
        let Some((address, rest)) = line.split_once(":\t") else { continue };
        let Ok(address) = u64::from_str_radix(address.trim(), 16) else { continue };
        // Lines without a mnemonic continue the bytes of the one before.
        if let Some((_, mnemonic)) = rest.split_once('\t') {
            starts.push((address, mnemonic.split(' ').next().unwrap().to_owned()));
        }
    }
    let ends: Vec<u64> = starts.iter().skip(1).map(|(at, _)| *at).collect();
    Some(starts.into_iter().zip(ends).map(|((at, name), end)| (at, (end - at, name))).collect())
}

#[test]
fn statistics_are_those_of_a_full_trace() {
    let desk = Desk::new("analyse-stats");
    desk.demo();
    let json = on_stretch(&desk, &["stats", "demo.dj", "--json", "--top", "100000", "-j", "3"]);
    let stats: serde_json::Value = serde_json::from_str(&json).unwrap();
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    let (mut pages, mut blocks) = (BTreeMap::<u64, u64>::new(), BTreeMap::<u64, u64>::new());
    for (_, name, arguments) in traced(&desk, &["*"]) {
        match name.as_str() {
            "memory_load" | "memory_store" => *pages.entry(arguments["physical"] & !0xFFF).or_default() += 1,
            "cpu_block" => *blocks.entry(arguments["rip"]).or_default() += 1,
            _ => {}
        }
        *counts.entry(name).or_default() += 1;
    }
    let events = stats["events"].as_object().unwrap();
    assert_eq!(events.len(), counts.len());
    for (name, count) in &counts {
        assert_eq!(events[name].as_u64(), Some(*count), "{name}");
    }
    let of = |list: &str, key: &str, counts: &[&str]| -> BTreeMap<u64, u64> {
        let row = |row: &serde_json::Value| {
            (row[key].as_u64().unwrap(), counts.iter().map(|name| row[*name].as_u64().unwrap()).sum())
        };
        stats[list].as_array().unwrap().iter().map(row).collect()
    };
    assert_eq!(of("pages", "physical", &["loads", "stores"]), pages);
    assert_eq!(
        of("blocks", "address", &["runs"]).into_iter().filter(|(_, n)| *n != 0).collect::<BTreeMap<_, _>>(),
        blocks
    );
    let mix: u64 = stats["mix"].as_object().unwrap().values().map(|n| n.as_u64().unwrap()).sum();
    assert_eq!((mix, stats["unreadable"].as_u64()), (counts["cpu_instruction"], Some(0)));
    let text = on_stretch(&desk, &["stats", "demo.dj", "--only", "events", "--top", "3"]);
    assert!(text.contains("cpu_interrupt") && !text.contains("share"), "{text}");
}

#[test]
fn coverage_is_right_to_the_block() {
    let desk = Desk::new("analyse-coverage");
    desk.demo();
    let Some(code) = disassembled(&desk) else {
        eprintln!("left out: there is no objdump here");
        return;
    };
    // What ran, by a trace and by objdump: a block ends behind a branch, and where one begins.
    let events = traced(&desk, &["cpu_instruction", "cpu_block"]);
    let named = |name: &str| -> BTreeSet<u64> {
        events.iter().filter(|(_, n, _)| n == name).map(|(_, _, a)| a["rip"]).collect()
    };
    let (ran, leaders) = (named("cpu_instruction"), named("cpu_block"));
    let mut expected: Vec<(u64, u64)> = Vec::new();
    for address in &ran {
        let (length, _) = code.get(address).unwrap_or_else(|| panic!("objdump has nothing at {address:#x}"));
        match expected.last_mut() {
            Some((start, bytes)) if *start + *bytes == *address && !leaders.contains(address) => {
                *bytes += length
            }
            _ => expected.push((*address, *length)),
        }
    }
    let json = on_stretch(&desk, &["coverage", "demo.dj", "--json", "-j", "2"]);
    let coverage: serde_json::Value = serde_json::from_str(&json).unwrap();
    let blocks = coverage["blocks"].as_array().unwrap().iter();
    let found: Vec<(u64, u64)> =
        blocks.map(|b| (b["address"].as_u64().unwrap(), b["bytes"].as_u64().unwrap())).collect();
    assert_eq!(found, expected);
    // Behind each branch that ran, another block begins.
    for (start, bytes) in &found {
        let inside = code.range(*start..start + bytes).rev().skip(1);
        for (address, (_, mnemonic)) in inside {
            let branches =
                mnemonic.starts_with('j') || mnemonic.starts_with("call") || mnemonic.starts_with("ret");
            assert!(!branches, "{mnemonic} at {address:#x} within the block at {start:#x}");
        }
    }
    on_stretch(&desk, &["coverage", "demo.dj", "-o", "demo.drcov"]);
    assert_eq!(drcov(&desk.bytes("demo.drcov")), expected);
}

/// The blocks of a drcov file, as readers of it find them.
fn drcov(bytes: &[u8]) -> Vec<(u64, u64)> {
    let table = bytes.windows(10).position(|w| w == b"BB Table: ").unwrap();
    let text = std::str::from_utf8(&bytes[..table]).unwrap();
    assert!(
        text.starts_with("DRCOV VERSION: 2\nDRCOV FLAVOR: dejavm\nModule Table: version 2, count 1\n"),
        "{text}"
    );
    let row = text.lines().last().unwrap();
    let base = row.split(", ").nth(1).unwrap();
    let base = u64::from_str_radix(base.trim_start_matches("0x"), 16).unwrap();
    let end = table + bytes[table..].iter().position(|&b| b == b'\n').unwrap();
    let head = std::str::from_utf8(&bytes[table..end]).unwrap();
    let entries: Vec<&[u8]> = bytes[end + 1..].chunks(8).collect();
    assert_eq!(head, format!("BB Table: {} bbs", entries.len()));
    let entry = |e: &[u8]| {
        assert_eq!(e[6..8], [0, 0], "of the one module");
        let start = u32::from_le_bytes(e[..4].try_into().unwrap());
        (base + u64::from(start), u64::from(u16::from_le_bytes(e[4..6].try_into().unwrap())))
    };
    entries.into_iter().map(entry).collect()
}

#[test]
fn functions_are_covered_by_symbol() {
    let desk = Desk::new("analyse-lcov");
    desk.demo();
    let guest = dejavm_tools::demo::guest::build().unwrap();
    let symbols = [
        (guest.payment.start, "payment"),
        (guest.payment.end, "behind_payment"),
        (guest.timer_handler.start, "timer"),
        (guest.timer_handler.end, "behind_timer"),
    ];
    let map: String = symbols.iter().map(|(at, name)| format!("{at:016x} T {name}\n")).collect();
    std::fs::write(desk.folder.join("demo.map"), map).unwrap();
    let info = on_stretch(&desk, &["coverage", "demo.dj", "--module", "demo.map", "--format", "lcov"]);
    let runs = |range: &std::ops::Range<u64>| {
        let ran = traced(&desk, &["cpu_instruction"]);
        ran.iter().filter(|(_, _, arguments)| arguments["rip"] == range.start).count()
    };
    for (name, range) in [("payment", &guest.payment), ("timer", &guest.timer_handler)] {
        let count = runs(range);
        assert!(count > 0 && info.contains(&format!("FNDA:{count},{name}\n")), "{name} {count}: {info}");
    }
    assert!(info.starts_with("TN:") && info.contains("SF:demo.map\n") && info.ends_with("end_of_record\n"));
}

#[test]
fn a_call_graph_has_each_instruction_once() {
    let desk = Desk::new("analyse-callgraph");
    desk.demo();
    let folded = on_stretch(&desk, &["callgraph", "demo.dj", "-j", "2"]);
    let count = |line: &str| line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap();
    assert_eq!(folded.lines().map(count).sum::<u64>(), 100_000, "{folded}");
    let guest = dejavm_tools::demo::guest::build().unwrap();
    // The handlers' instructions, by their addresses.
    let handler = guest.timer_handler;
    let expected =
        traced(&desk, &["cpu_instruction"]).iter().filter(|(_, _, a)| handler.contains(&a["rip"])).count();
    let vector = format!("[vector {:#x}]", dejavm_tools::demo::guest::TIMER_VECTOR);
    let found: u64 = folded.lines().filter(|line| line.contains(&vector)).map(count).sum();
    assert!(expected > 0);
    assert_eq!(found, expected as u64, "{folded}");
    on_stretch(&desk, &["callgraph", "demo.dj", "-o", "demo.svg"]);
    let svg = String::from_utf8(desk.bytes("demo.svg")).unwrap();
    assert!(svg.contains("<svg") && svg.contains(&vector) && svg.ends_with("</svg>"), "{svg}");
    let json = on_stretch(&desk, &["callgraph", "demo.dj", "--json"]);
    let stacks: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(stacks.as_array().unwrap().len(), folded.lines().count());
}

#[test]
fn who_wrote_a_variable_and_who_wrote_it_last() {
    let desk = Desk::new("analyse-memhist");
    desk.demo();
    let total = dejavm_tools::demo::guest::TOTAL;
    let at = format!("{total:#x}");
    let all = desk.expect(&["memhist", "demo.dj", &at, "--json"], 0);
    let rows: Vec<serde_json::Value> = all.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let icount = |row: &serde_json::Value| row["icount"].as_u64().unwrap();
    let event = |verb: &str| format!("memory_{verb},address={total:#x}-{:#x}", total + 7);
    let text = desk.expect(&["trace", "demo.dj", "-e", &event("load"), "-e", &event("store")], 0);
    let expected: Vec<u64> =
        text.lines().map(|line| line.split(' ').next().unwrap().parse().unwrap()).collect();
    assert!(expected.len() > 100);
    assert_eq!(rows.iter().map(icount).collect::<Vec<_>>(), expected);
    let stores: Vec<&serde_json::Value> = rows.iter().filter(|row| row["access"] == "store").collect();
    let length = desk.info("demo.dj")["length_icount"].as_u64().unwrap();
    for before in
        [0, icount(stores[0]), icount(stores[0]) + 1, icount(stores[50]), length / 2, length, u64::MAX]
    {
        let last = stores.iter().rev().find(|row| icount(row) < before);
        let before = before.to_string();
        // The first of them makes the index, the others have it.
        for more in [&["--physical"][..], &[], &["--no-index"]] {
            let found =
                desk.expect(&[&["memhist", "demo.dj", &at, "--before", &before, "--json"], more].concat(), 0);
            let found: serde_json::Value = serde_json::from_str(&found).unwrap();
            assert_eq!(
                found,
                last.map_or(serde_json::Value::Null, |row| (**row).clone()),
                "before {before} {more:?}"
            );
        }
    }
    let index = desk.bytes("demo.djm");
    // A damaged index is no harm, and another recording's is not used.
    let mut damaged = index.clone();
    for byte in &mut damaged[100..] {
        *byte ^= 0x55;
    }
    std::fs::write(desk.folder.join("demo.djm"), damaged).unwrap();
    let last = stores.last().unwrap();
    let found = desk.expect(&["memhist", "demo.dj", &at, "--before", &length.to_string(), "--json"], 0);
    assert_eq!(serde_json::from_str::<serde_json::Value>(&found).unwrap(), **last);
    std::fs::write(desk.folder.join("demo.djm"), vec![0; 1000]).unwrap();
    desk.expect(&["memhist", "demo.dj", &at, "--before", &length.to_string()], 0);
    assert!(desk.bytes("demo.djm") == index, "it is made anew, the same");
    let said = desk.refused(&["memhist", "demo.dj", "pudding"], 2);
    assert!(said.contains("'pudding' is no number"), "{said}");
}
