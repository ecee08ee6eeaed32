//! `sendkey`: keys pressed together, then released, as scan codes of set 1.

use super::super::Context;
use super::super::arguments::Arguments;
use super::{Command, CommandError, Outcome};
use dejavm_core::boundary::Inbound;

pub(crate) const COMMAND: Command = Command {
    names: &["sendkey"],
    parameters: "keys",
    about: "send keys to the VM (e.g. 'sendkey ctrl-alt-delete')",
    run,
};

/// Keys and their set 1 make codes; 0xE0xx is the extended code xx.
const KEYS: &[(&str, u16)] = &[
    ("esc", 0x01),
    ("minus", 0x0C),
    ("equal", 0x0D),
    ("backspace", 0x0E),
    ("tab", 0x0F),
    ("bracket_left", 0x1A),
    ("bracket_right", 0x1B),
    ("ret", 0x1C),
    ("ctrl", 0x1D),
    ("semicolon", 0x27),
    ("apostrophe", 0x28),
    ("grave_accent", 0x29),
    ("shift", 0x2A),
    ("backslash", 0x2B),
    ("comma", 0x33),
    ("dot", 0x34),
    ("slash", 0x35),
    ("shift_r", 0x36),
    ("alt", 0x38),
    ("spc", 0x39),
    ("caps_lock", 0x3A),
    ("ctrl_r", 0xE01D),
    ("alt_r", 0xE038),
    ("home", 0xE047),
    ("up", 0xE048),
    ("pgup", 0xE049),
    ("left", 0xE04B),
    ("right", 0xE04D),
    ("end", 0xE04F),
    ("down", 0xE050),
    ("pgdn", 0xE051),
    ("insert", 0xE052),
    ("delete", 0xE053),
];

/// Keys named by one character, in rows of neighbouring make codes.
const ROWS: &[(u16, &str)] =
    &[(0x02, "1234567890"), (0x10, "qwertyuiop"), (0x1E, "asdfghjkl"), (0x2C, "zxcvbnm")];

const RELEASED: u8 = 0x80;

fn run(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Outcome {
    let keys = arguments.string()?;
    arguments.end()?;
    Ok(context.control.inject(Inbound::Keyboard { scan_codes: scan_codes(keys)? })?)
}

/// The codes of pressing the keys in order and releasing them in reverse.
fn scan_codes(keys: &str) -> Result<Vec<u8>, CommandError> {
    let codes: Vec<u16> = keys.split('-').map(make_code).collect::<Result<_, _>>()?;
    let mut bytes = Vec::new();
    for &code in &codes {
        push(&mut bytes, code, 0);
    }
    for &code in codes.iter().rev() {
        push(&mut bytes, code, RELEASED);
    }
    Ok(bytes)
}

fn push(bytes: &mut Vec<u8>, code: u16, released: u8) {
    if code >= 0x100 {
        bytes.push((code >> 8) as u8);
    }
    bytes.push(code as u8 | released);
}

fn make_code(key: &str) -> Result<u16, CommandError> {
    let function = key.strip_prefix('f').and_then(|n| n.parse::<u16>().ok());
    let code = match function {
        Some(n @ 1..=10) => Some(0x3A + n),
        Some(n @ 11..=12) => Some(0x57 + n - 11),
        _ => KEYS.iter().find(|(name, _)| *name == key).map(|(_, code)| *code),
    };
    let in_row = || {
        let mut chars = key.chars();
        let (Some(c), None) = (chars.next(), chars.next()) else { return None };
        ROWS.iter().find_map(|(first, row)| row.find(c).map(|i| first + i as u16))
    };
    code.or_else(in_row).ok_or_else(|| CommandError::Usage(format!("invalid parameter: {key}")))
}

#[cfg(test)]
mod tests {
    use super::scan_codes;

    #[test]
    fn keys_are_released_in_reverse() {
        assert_eq!(scan_codes("ctrl-alt-delete").unwrap(), [0x1D, 0x38, 0xE0, 0x53, 0xE0, 0xD3, 0xB8, 0x9D]);
        assert_eq!(scan_codes("a").unwrap(), [0x1E, 0x9E]);
        assert_eq!(scan_codes("f12").unwrap(), [0x58, 0xD8]);
        assert_eq!(scan_codes("m").unwrap(), [0x32, 0xB2]);
        assert!(scan_codes("nosuch").is_err());
    }
}
