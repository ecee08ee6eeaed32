//! Backtraces as text.

use super::super::kernel::View;
use super::{Backtrace, Entry, Frame, How};
use std::fmt::Write as _;

impl View<'_> {
    /// A backtrace as text, one frame on a line; `name` tells what a frame is called.
    pub fn backtrace_text(&self, trace: &Backtrace, name: &dyn Fn(&Frame) -> Option<String>) -> String {
        let mut text = String::new();
        if let Some(task) = &trace.task {
            let vcpu = task.vcpu.map_or_else(String::new, |vcpu| format!(", on vCPU {vcpu}"));
            let _ = writeln!(text, "pid {} ({}), {}{vcpu}", task.pid, task.comm, task.state.letter());
        }
        for (n, frame) in trace.frames.iter().enumerate() {
            if let Some(Entry { orig_ax, from_user }) = frame.entry {
                let whence = if from_user { "user space" } else { "the kernel" };
                let _ = writeln!(text, "    -- entered from {whence}, orig_rax {orig_ax:#x} --");
            }
            let doubt = if frame.how == How::Guess { "? " } else { "" };
            let name = name(frame).unwrap_or_else(|| "??".to_owned());
            let _ = writeln!(text, "#{n:<2} {:#018x} {doubt}{name}", frame.ip);
        }
        if let Some(why) = &trace.broken {
            let _ = writeln!(text, "    ({why})");
        }
        text
    }
}
