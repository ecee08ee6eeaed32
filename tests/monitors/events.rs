//! The events of a real run, in the order in which a program hears of them.

use super::{SPIN, connect, ended_well, place, start, wait_for};
use dejavm_tests::busy_guest::elf;
use dejavm_tests::cli::{Scratch, on, program, run};
use std::io::Write as _;
use std::process::Command;

#[test]
fn a_program_hears_of_all_that_happens_to_a_run() {
    let scratch = Scratch::new("events");
    let [journal, guest, socket, core] = ["run.dj", "spin", "q.sock", "core"].map(|name| scratch.file(name));
    std::fs::write(&guest, elf(SPIN)).expect("a file");
    let mut command = Command::new(program());
    command.arg("record").arg("-o").arg(&journal).arg("--kernel").arg(&guest).args(["-m", "16M", "-S"]);
    command.args(["-serial", "null", "-monitor", "none", "-qmp", &place(&socket)]);
    let child = start(&mut command, &socket);
    let mut client = connect(&socket);
    client.write_all(b"{\"execute\":\"qmp_capabilities\"}").expect("room");
    wait_for(&mut client, "\"return\": {}");
    let dump = |more: &str| {
        let path = core.display();
        format!(
            "{{\"execute\":\"dump-guest-memory\",\"arguments\":{{\"paging\":false,\"protocol\":\"file:{path}\"{more}}}}}"
        )
    };
    let human = |line: &str| {
        format!("{{\"execute\":\"human-monitor-command\",\"arguments\":{{\"command-line\":\"{line}\"}}}}")
    };
    let plain = |name: &str| format!("{{\"execute\":\"{name}\"}}");
    // Port 505h is where a guest's kernel says that it panicked.
    for (request, event) in [
        (plain("cont"), "\"event\": \"RESUME\""),
        (plain("stop"), "\"event\": \"STOP\""),
        (plain("system_powerdown"), "\"event\": \"POWERDOWN\""),
        (human("o /b 0x505 1"), "\"data\": {\"action\": \"run\"}, \"event\": \"GUEST_PANICKED\""),
        (
            plain("system_reset"),
            "\"data\": {\"guest\": false, \"reason\": \"host-qmp-system-reset\"}, \"event\": \"RESET\"",
        ),
        (dump(""), "\"status\": \"completed\""),
        (dump(",\"detach\":true"), "\"event\": \"DUMP_COMPLETED\""),
        (dump(",\"detach\":true,\"begin\":0,\"length\":4096"), "\"event\": \"DUMP_COMPLETED\""),
        (
            plain("quit"),
            "\"data\": {\"guest\": false, \"reason\": \"host-qmp-quit\"}, \"event\": \"SHUTDOWN\"",
        ),
    ] {
        client.write_all(request.as_bytes()).expect("room");
        wait_for(&mut client, event);
    }
    ended_well(child);
    run(&mut on("verify", &journal)).success();
}
