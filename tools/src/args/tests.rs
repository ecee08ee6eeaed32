//! Command lines, and what is understood of them.

use super::*;
use clap::CommandFactory;

fn parse(line: &[&str]) -> Result<Cli, clap::Error> {
    let arguments = std::iter::once("dejavm").chain(line.iter().copied()).map(str::to_owned);
    Cli::try_parse_from(qemu_spelling::rewrite(arguments))
}

fn machine(line: &[&str]) -> MachineArgs {
    match parse(&[&["run"], line].concat()).unwrap_or_else(|e| panic!("{e}")).command {
        Command::Run(run) => run.machine,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_definition_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn qemu_spellings_mean_the_same() {
    let one_dash = [
        "-kernel",
        "k",
        "-initrd",
        "i",
        "-append",
        "-x console=ttyS0",
        "-m",
        "512",
        "-smp",
        "cpus=4",
        "-nographic",
        "-no-reboot",
        "-serial",
        "file:out",
        "-monitor",
        "none",
        "-rtc",
        "base=@5",
        "-seed",
        "7",
    ];
    let two_dashes = [
        "--kernel",
        "k",
        "--initrd",
        "i",
        "--append",
        "-x console=ttyS0",
        "--memory",
        "512M",
        "--smp",
        "4",
        "--nographic",
        "--no-reboot",
        "--serial",
        "file:out",
        "--monitor",
        "none",
        "--rtc",
        "base=@5",
        "--seed",
        "7",
    ];
    assert_eq!(format!("{:?}", machine(&one_dash)), format!("{:?}", machine(&two_dashes)));
    let m = machine(&one_dash);
    assert_eq!((m.append.as_str(), m.smp, m.seed), ("-x console=ttyS0", 4, Some(7)));
    assert_eq!(m.serial, [SerialSpec::File("out".into())]);
    assert_eq!((m.no_reboot, m.rtc), (true, RtcBase::Unix(5)));
}

#[test]
fn a_value_that_looks_like_an_option_is_a_value() {
    assert_eq!(machine(&["-kernel", "k", "-append", "-kernel"]).append, "-kernel");
    assert_eq!(machine(&["-kernel", "k", "--append=-smp"]).append, "-smp");
}

#[test]
fn memory_sizes() {
    for (text, bytes) in [
        ("512", 512 << 20),
        ("512M", 512 << 20),
        ("2G", 2 << 30),
        ("size=64M", 64 << 20),
        ("8388608B", 8 << 20),
        ("65536K", 64 << 20),
    ] {
        assert_eq!(text.parse(), Ok(MemorySize { bytes }), "{text}");
    }
    for text in ["", "M", "1", "12X", "-5", "1M2", "99999999999999999999G", "600G"] {
        assert!(text.parse::<MemorySize>().is_err(), "{text}");
    }
}

#[test]
fn rtc_bases() {
    for (text, expected) in [
        ("base=utc", RtcBase::Now),
        ("base=utc,clock=vm", RtcBase::Now),
        ("base=@1700000000", RtcBase::Unix(1_700_000_000)),
        ("base=1970-01-02", RtcBase::Unix(86_400)),
        ("base=2023-11-14T22:13:20", RtcBase::Unix(1_700_000_000)),
        ("base=2024-02-29T00:00:01", RtcBase::Unix(1_709_164_801)),
    ] {
        assert_eq!(text.parse(), Ok(expected), "{text}");
    }
    for text in ["base=localtime", "base=2023-02-29", "base=2023-13-01", "base=x", "clock=host", ""] {
        assert!(text.parse::<RtcBase>().is_err(), "{text}");
    }
}

#[test]
fn wrong_command_lines_are_refused() {
    for line in [
        &["run"][..],
        &["run", "-kernel", "k", "-smp", "0"],
        &["run", "-kernel", "k", "-smp", "65"],
        &["run", "-kernel", "k", "-serial", "tcp:1"],
        &["record", "-kernel", "k"],
        &["replay"],
        &["nosuch"],
    ] {
        assert!(parse(line).is_err(), "{line:?}");
    }
}

#[test]
fn replay_takes_places() {
    let Command::Replay(replay) = parse(&["replay", "f.dj", "--seek", "100"]).unwrap().command else {
        panic!("not a replay")
    };
    assert_eq!((replay.seek, replay.until), (Some(100), None));
}
