//! QEMU's spelling of options: one dash before a long name. Rewritten to two before clap sees it.

/// Options that QEMU users spell with one dash, and whether a value follows.
const OPTIONS: &[(&str, bool)] = &[
    ("accel", true),
    ("gdb", true),
    ("kernel", true),
    ("initrd", true),
    ("append", true),
    ("smp", true),
    ("serial", true),
    ("monitor", true),
    ("qmp", true),
    ("chardev", true),
    ("mon", true),
    ("name", true),
    ("uuid", true),
    ("rtc", true),
    ("seed", true),
    ("trace", true),
    ("display", true),
    ("nographic", false),
    ("no-reboot", false),
];

/// The arguments with each known `-name` as `--name`. The value of an option is left as it is,
/// and so is all that follows `--`.
pub fn rewrite(arguments: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut rewritten = Vec::new();
    let mut arguments = arguments.into_iter();
    while let Some(argument) = arguments.next() {
        if argument == "--" {
            rewritten.push(argument);
            rewritten.extend(arguments);
            break;
        }
        let option = known(&argument);
        match option {
            Some((name, _)) => rewritten.push(format!("--{name}")),
            None => rewritten.push(argument),
        }
        if let Some((_, true)) = option {
            rewritten.extend(arguments.next());
        }
    }
    rewritten
}

/// The option that an argument names, with one dash or two, without `=value`.
fn known(argument: &str) -> Option<(&'static str, bool)> {
    let name = argument.strip_prefix("--").or_else(|| argument.strip_prefix('-'))?;
    OPTIONS.iter().copied().find(|(known, _)| *known == name)
}
