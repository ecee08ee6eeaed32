//! A state as named values, from its `Debug` form: whatever the machine has is in there, under the
//! names of its fields.

use std::collections::BTreeMap;
use std::fmt::Debug;

const REGISTERS: [&str; 17] = [
    "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14",
    "r15", "rip",
];

/// A place within a value: a field, or an element.
struct Level {
    name: String,
    /// How many elements without a name came.
    elements: usize,
}

/// The values in `state`, by path.
pub(super) fn fields(state: &impl Debug) -> BTreeMap<String, String> {
    let text = format!("{state:#x?}");
    let mut levels: Vec<Level> = Vec::new();
    let mut found = BTreeMap::new();
    for line in text.lines() {
        let line = line.trim().trim_end_matches(',');
        if matches!(line, "}" | "]" | ")") {
            levels.pop();
            continue;
        }
        let (name, value) = split(line, &mut levels);
        if value.ends_with(['{', '[', '(']) {
            levels.push(Level { name, elements: 0 });
        } else {
            let path = levels.iter().map(|level| level.name.as_str()).chain([name.as_str()]);
            let path: Vec<_> = path.filter(|part| !part.is_empty()).collect();
            found.insert(readable(&path.join(".")), value.to_owned());
        }
    }
    found
}

/// The name of what a line begins or holds, and the rest of it.
fn split<'l>(line: &'l str, levels: &mut [Level]) -> (String, &'l str) {
    let is_name = |name: &str| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    match line.split_once(": ") {
        Some((name, value)) if is_name(name) => (name.to_owned(), value),
        _ => match levels.last_mut() {
            Some(level) => {
                level.elements += 1;
                ((level.elements - 1).to_string(), line)
            }
            None => (String::new(), line),
        },
    }
}

/// `vcpus.0.regs.3` as `vcpu0.rbx`.
fn readable(path: &str) -> String {
    let Some(rest) = path.strip_prefix("vcpus.") else {
        return path.strip_prefix("board.").unwrap_or(path).to_owned();
    };
    let Some((vcpu, field)) = rest.split_once('.') else { return path.to_owned() };
    let register = field.strip_prefix("regs.").and_then(|n| REGISTERS.get(n.parse::<usize>().ok()?));
    format!("vcpu{vcpu}.{}", register.copied().unwrap_or(field))
}

/// The values that differ, each with both; a value that is missing is empty.
pub(super) fn differing(
    a: &BTreeMap<String, String>,
    b: &BTreeMap<String, String>,
) -> Vec<(String, String, String)> {
    let names: std::collections::BTreeSet<_> = a.keys().chain(b.keys()).collect();
    let value = |of: &BTreeMap<String, String>, name: &String| of.get(name).cloned().unwrap_or_default();
    let all = names.into_iter().map(|name| (name.clone(), value(a, name), value(b, name)));
    all.filter(|(_, a, b)| a != b).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use dejavm_core::cpu::CpuState;

    #[derive(Debug)]
    #[expect(dead_code, reason = "read through Debug")]
    struct Sample {
        vcpus: Vec<CpuState>,
        clock: (u32, Option<u8>),
    }

    #[test]
    fn values_have_their_names() {
        let mut cpu = CpuState::reset(0);
        cpu.regs[3] = 0x1234;
        let a = fields(&Sample { vcpus: vec![cpu.clone()], clock: (1, Some(2)) });
        assert_eq!(a["vcpu0.rbx"], "0x1234");
        assert_eq!(a["clock.0"], "0x1");
        cpu.regs[3] = 5;
        cpu.cr2 = 7;
        let b = fields(&Sample { vcpus: vec![cpu], clock: (1, None) });
        let names: Vec<_> = differing(&a, &b).into_iter().map(|(name, _, _)| name).collect();
        assert_eq!(names, ["clock.1", "clock.1.0", "vcpu0.cr2", "vcpu0.rbx"]);
    }
}
