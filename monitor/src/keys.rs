//! Keys by name, as QEMU names them, and their scan codes (set 1: IBM PS/2 Technical Reference,
//! Keyboards).

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

/// What is added to a code when the key is released.
const RELEASED: u8 = 0x80;
/// The prefix of extended codes.
const EXTENDED: u16 = 0xE000;

/// The make code of a key, with [`EXTENDED`] keys as 0xE0xx.
pub fn code_of(key: &str) -> Option<u16> {
    let function = key.strip_prefix('f').and_then(|n| n.parse::<u16>().ok());
    let in_row = || {
        let mut chars = key.chars();
        let (Some(c), None) = (chars.next(), chars.next()) else { return None };
        ROWS.iter().find_map(|(first, row)| row.find(c).map(|i| first + i as u16))
    };
    match function {
        Some(n @ 1..=10) => Some(0x3A + n),
        Some(n @ 11..=12) => Some(0x57 + n - 11),
        _ => KEYS.iter().find(|(name, _)| *name == key).map(|(_, code)| *code).or_else(in_row),
    }
}

/// The make code that QEMU's key number stands for: extended ones have bit 7 set.
pub fn code_of_number(number: u64) -> Option<u16> {
    match number {
        1..0x80 => Some(number as u16),
        0x80..0x100 => Some(EXTENDED | (number & 0x7F) as u16),
        _ => None,
    }
}

/// The names that start with `prefix`.
pub fn names(prefix: &str) -> Vec<String> {
    let named = KEYS.iter().map(|(name, _)| (*name).to_owned());
    let functions = (1..=12).map(|n| format!("f{n}"));
    named.chain(functions).filter(|name| name.starts_with(prefix)).collect()
}

/// The codes of pressing the keys in order and releasing them in reverse.
pub fn press(codes: &[u16]) -> Vec<u8> {
    let mut bytes = Vec::new();
    codes.iter().for_each(|&code| push(&mut bytes, code, 0));
    codes.iter().rev().for_each(|&code| push(&mut bytes, code, RELEASED));
    bytes
}

/// The codes of one key that goes down or up.
pub fn stroke(code: u16, down: bool) -> Vec<u8> {
    let mut bytes = Vec::new();
    push(&mut bytes, code, if down { 0 } else { RELEASED });
    bytes
}

fn push(bytes: &mut Vec<u8>, code: u16, released: u8) {
    if code >= 0x100 {
        bytes.push((code >> 8) as u8);
    }
    bytes.push(code as u8 | released);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pressed(keys: &[&str]) -> Vec<u8> {
        press(&keys.iter().map(|key| code_of(key).unwrap()).collect::<Vec<_>>())
    }

    #[test]
    fn keys_are_released_in_reverse() {
        assert_eq!(pressed(&["ctrl", "alt", "delete"]), [0x1D, 0x38, 0xE0, 0x53, 0xE0, 0xD3, 0xB8, 0x9D]);
        assert_eq!(pressed(&["a"]), [0x1E, 0x9E]);
        assert_eq!(pressed(&["f12"]), [0x58, 0xD8]);
        assert_eq!(pressed(&["m"]), [0x32, 0xB2]);
        assert_eq!(code_of("nosuch"), None);
        assert_eq!([stroke(0xE053, true), stroke(0x1E, false)], [vec![0xE0, 0x53], vec![0x9E]]);
    }

    #[test]
    fn numbers_are_make_codes() {
        assert_eq!(code_of_number(0x1E), Some(0x1E));
        assert_eq!(code_of_number(0xD3), code_of("delete"));
        assert_eq!((code_of_number(0), code_of_number(256)), (None, None));
    }
}
