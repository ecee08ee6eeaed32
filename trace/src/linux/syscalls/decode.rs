//! Arguments and results of system calls as text, in the manner of strace.

use super::super::space::Space;
use super::table::{Abi, Kind};
use super::{errno, flags};

/// So many bytes of a buffer or text are shown.
const SHOWN_BYTES: usize = 32;
/// So much of a path.
const PATH_BYTES: usize = 4096;
/// So many texts of a list.
const SHOWN_TEXTS: usize = 32;
/// So many stretches of a vector.
const SHOWN_STRETCHES: u64 = 16;
/// So many variables of an environment are counted.
const COUNTED_VARIABLES: u64 = 1 << 16;

/// A call whose arguments are to be told.
pub(super) struct Call<'a> {
    pub space: Option<Space<'a>>,
    pub abi: Abi,
    pub arguments: [u64; 6],
    /// What it returned, once it has.
    pub result: Option<i64>,
}

impl Call<'_> {
    /// An argument; of what is not there, its address.
    pub fn argument(&self, index: usize, kind: Kind) -> String {
        let value = self.arguments.get(index).copied().unwrap_or(0);
        let failed = self.result.is_some_and(|result| (-4095..0).contains(&result));
        if kind.is_out() && (failed || self.result.is_none()) {
            return pointer(value);
        }
        self.plain(kind, value)
            .or_else(|| flag(kind, value))
            .or_else(|| self.memory(kind, value).filter(|_| value != 0))
            .unwrap_or_else(|| pointer(value))
    }

    /// Whether an argument is left out: the mode of a file that is not made.
    pub fn leaves_out(&self, index: usize, kinds: &[Kind]) -> bool {
        const MAKES: u64 = 0o100 | 0o20_000_000;
        let before = index.checked_sub(1).filter(|_| kinds[index] == Kind::Mode);
        before.is_some_and(|before| kinds[before] == Kind::Open && self.arguments[before] & MAKES == 0)
    }

    fn plain(&self, kind: Kind, value: u64) -> Option<String> {
        Some(match kind {
            Kind::Fd | Kind::Int => format!("{}", value as i32),
            Kind::DirFd if value as i32 == -100 => "AT_FDCWD".to_owned(),
            Kind::DirFd => format!("{}", value as i32),
            Kind::Uint => format!("{}", value as u32),
            Kind::Hex if value == 0 => "0".to_owned(),
            Kind::Hex => format!("{value:#x}"),
            Kind::Size => format!("{value}"),
            Kind::Offset => format!("{}", value as i64),
            Kind::Mode => octal(value as u32),
            Kind::Pointer => pointer(value),
            Kind::Signal => flags::signal(value),
            _ => return None,
        })
    }

    fn memory(&self, kind: Kind, at: u64) -> Option<String> {
        let space = self.space.as_ref()?;
        let result = self.result.and_then(|result| usize::try_from(result).ok()).unwrap_or(0);
        let argument = |which: u8| self.arguments.get(usize::from(which)).copied().unwrap_or(0);
        match kind {
            Kind::Text | Kind::TextOut => text(space, at),
            Kind::Bytes(which) => buffer(space, at, argument(which)),
            Kind::BytesOut => buffer(space, at, result as u64),
            Kind::Arguments => texts(space, at, self.word_bytes()),
            Kind::Environment => variables(space, at, self.word_bytes()),
            Kind::Vector(which) => vector(space, at, argument(which), u64::MAX),
            Kind::VectorOut(which) => vector(space, at, argument(which), result as u64),
            Kind::SocketAddress(which) => socket_address(space, at, argument(which)),
            Kind::Time | Kind::TimeOut => {
                let (seconds, ns) = (space.u64(at)? as i64, space.u64(at.wrapping_add(8))? as i64);
                Some(format!("{{tv_sec={seconds}, tv_nsec={ns}}}"))
            }
            Kind::Limit | Kind::LimitOut => Some(format!(
                "{{rlim_cur={}, rlim_max={}}}",
                limit(space.u64(at)?),
                limit(space.u64(at.wrapping_add(8))?)
            )),
            Kind::StatOut => stat(space, at),
            Kind::UnameOut => uname(space, at),
            Kind::StatusOut => (result > 0).then(|| space.u32(at).map(status))?,
            Kind::PairOut => Some(format!("[{}, {}]", space.i32(at)?, space.i32(at.wrapping_add(4))?)),
            _ => None,
        }
    }

    fn word_bytes(&self) -> usize {
        match self.abi {
            Abi::X86_64 => 8,
            Abi::I386 => 4,
        }
    }
}

/// What is a flag or constant.
fn flag(kind: Kind, value: u64) -> Option<String> {
    use flags::{bits, named};
    let low = value & 0xFFFF_FFFF;
    Some(match kind {
        Kind::Open => open(low),
        Kind::Protection => bits(value, flags::PROTECTION, "PROT_NONE"),
        Kind::Map => bits(value, flags::MAP, "0"),
        Kind::At => bits(low, flags::AT, "0"),
        Kind::Access => bits(low, flags::ACCESS, "F_OK"),
        Kind::Clone => clone(value),
        Kind::Mount => bits(value, flags::MOUNT, "0"),
        Kind::Wait => bits(low, flags::WAIT, "0"),
        Kind::Random => bits(low, flags::RANDOM, "0"),
        Kind::Message => bits(low, flags::MESSAGE, "0"),
        Kind::SocketType => socket_type(low),
        Kind::Whence => flags::value(low, flags::WHENCE),
        Kind::ArchPrctl => flags::value(low, flags::ARCH_PRCTL),
        Kind::Prctl => flags::value(low, flags::PRCTL),
        Kind::Fcntl => flags::value(low, flags::FCNTL),
        Kind::Ioctl => flags::value(low, flags::IOCTL),
        Kind::SignalMask => flags::value(low, flags::SIGNAL_MASK),
        Kind::Epoll => flags::value(low, flags::EPOLL),
        Kind::Clock => named(low, flags::CLOCK).map_or_else(|| format!("{}", low as i32), str::to_owned),
        Kind::Resource => flags::value(low, flags::RESOURCE),
        Kind::Domain => flags::value(low, flags::DOMAIN),
        Kind::Madvise => flags::value(low, flags::MADVISE),
        Kind::Futex => futex(low),
        _ => return None,
    })
}

/// An address.
pub(super) fn pointer(value: u64) -> String {
    if value == 0 { "NULL".to_owned() } else { format!("{value:#x}") }
}

fn octal(mode: u32) -> String {
    if mode == 0 { "000".to_owned() } else { format!("0{mode:o}") }
}

fn open(value: u64) -> String {
    let mode = flags::ACCESS_MODES[(value & 3) as usize];
    match value & !3 {
        0 => mode.to_owned(),
        rest => format!("{mode}|{}", flags::bits(rest, flags::OPEN, "")),
    }
}

/// The low byte is the signal at the end.
fn clone(value: u64) -> String {
    let signal = value & 0xFF & !0x80;
    let names = flags::bits(value & !0x7F, flags::CLONE, "");
    match (names.is_empty(), signal) {
        (true, 0) => "0".to_owned(),
        (true, _) => flags::signal(signal),
        (false, 0) => names,
        (false, _) => format!("{names}|{}", flags::signal(signal)),
    }
}

fn socket_type(value: u64) -> String {
    let kind = flags::value(value & 0xF, flags::SOCKET_TYPE);
    match value & !0xF {
        0 => kind,
        rest => format!("{kind}|{}", flags::bits(rest, flags::SOCKET_FLAGS, "")),
    }
}

fn futex(value: u64) -> String {
    let operation = flags::value(value & 0x7F, flags::FUTEX);
    let private = if value & 0x80 != 0 { "_PRIVATE" } else { "" };
    let clock = if value & 0x100 != 0 { "|FUTEX_CLOCK_REALTIME" } else { "" };
    format!("{operation}{private}{clock}")
}

/// Bytes in quotes, as C writes them; `more` of them are not there.
fn quoted(bytes: &[u8], more: bool) -> String {
    let mut out = String::from("\"");
    for (n, byte) in bytes.iter().enumerate() {
        match byte {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\t' => out.push_str("\\t"),
            b'\r' => out.push_str("\\r"),
            0x0B => out.push_str("\\v"),
            0x0C => out.push_str("\\f"),
            0x20..=0x7E => out.push(char::from(*byte)),
            // A digit behind it would be taken for a part of it.
            _ if bytes.get(n + 1).is_some_and(u8::is_ascii_digit) => out.push_str(&format!("\\{byte:03o}")),
            _ => out.push_str(&format!("\\{byte:o}")),
        }
    }
    out.push('"');
    if more {
        out.push_str("...");
    }
    out
}

fn text(space: &Space<'_>, at: u64) -> Option<String> {
    space.c_string(at, PATH_BYTES).map(|bytes| quoted(&bytes, bytes.len() == PATH_BYTES))
}

fn buffer(space: &Space<'_>, at: u64, length: u64) -> Option<String> {
    let shown = length.min(SHOWN_BYTES as u64) as usize;
    Some(quoted(&space.bytes(at, shown)?, length > shown as u64))
}

/// The words before a null.
fn words(space: &Space<'_>, at: u64, bytes: usize, most: u64) -> (Vec<u64>, bool) {
    let word = |n: u64| space.number(at.wrapping_add(n * bytes as u64), bytes);
    let mut words = Vec::new();
    for n in 0..most {
        match word(n) {
            Some(0) | None => return (words, false),
            Some(word) => words.push(word),
        }
    }
    (words, true)
}

fn texts(space: &Space<'_>, at: u64, bytes: usize) -> Option<String> {
    let (addresses, more) = words(space, at, bytes, SHOWN_TEXTS as u64);
    let one = |address: &u64| match space.c_string(*address, SHOWN_BYTES + 1) {
        Some(text) => quoted(&text[..text.len().min(SHOWN_BYTES)], text.len() > SHOWN_BYTES),
        None => pointer(*address),
    };
    let shown: Vec<String> = addresses.iter().map(one).collect();
    Some(format!("[{}{}]", shown.join(", "), if more { ", ..." } else { "" }))
}

fn variables(space: &Space<'_>, at: u64, bytes: usize) -> Option<String> {
    let (words, _) = words(space, at, bytes, COUNTED_VARIABLES);
    let plural = if words.len() == 1 { "" } else { "s" };
    Some(format!("{at:#x} /* {} var{plural} */", words.len()))
}

fn vector(space: &Space<'_>, at: u64, count: u64, most: u64) -> Option<String> {
    let mut left = most;
    let mut shown = Vec::new();
    for n in 0..count.min(SHOWN_STRETCHES) {
        let place = at.wrapping_add(16 * n);
        let (base, length) = (space.u64(place)?, space.u64(place.wrapping_add(8))?);
        let filled = length.min(left);
        left -= filled;
        let bytes = buffer(space, base, filled).unwrap_or_else(|| pointer(base));
        shown.push(format!("{{iov_base={bytes}, iov_len={length}}}"));
    }
    Some(format!("[{}{}]", shown.join(", "), if count > SHOWN_STRETCHES { ", ..." } else { "" }))
}

fn socket_address(space: &Space<'_>, at: u64, length: u64) -> Option<String> {
    let bytes = space.bytes(at, length.min(128) as usize)?;
    let family = u64::from(u16::from_le_bytes([*bytes.first()?, *bytes.get(1)?]));
    let port = || Some(u16::from_be_bytes([*bytes.get(2)?, *bytes.get(3)?]));
    let name = flags::value(family, flags::DOMAIN);
    let rest = match family {
        1 => {
            let path = bytes.get(2..)?;
            let end = path.iter().skip(1).position(|byte| *byte == 0).map_or(path.len(), |end| end + 1);
            match path.first() {
                None => String::new(),
                // In the abstract namespace.
                Some(0) => format!(", sun_path=@{}", quoted(&path[1..], false)),
                Some(_) => format!(", sun_path={}", quoted(&path[..end], false)),
            }
        }
        2 => {
            let address: [u8; 4] = bytes.get(4..8)?.try_into().ok()?;
            let address = std::net::Ipv4Addr::from(address);
            format!(", sin_port=htons({}), sin_addr=inet_addr(\"{address}\")", port()?)
        }
        10 => {
            let address: [u8; 16] = bytes.get(8..24)?.try_into().ok()?;
            let address = std::net::Ipv6Addr::from(address);
            format!(", sin6_port=htons({}), sin6_addr=\"{address}\"", port()?)
        }
        _ => ", ...".to_owned(),
    };
    Some(format!("{{sa_family={name}{rest}}}"))
}

fn limit(value: u64) -> String {
    match value {
        u64::MAX => "RLIM64_INFINITY".to_owned(),
        _ if value > 1024 && value % 1024 == 0 => format!("{}*1024", value / 1024),
        _ => format!("{value}"),
    }
}

/// `struct stat` (Linux, arch/x86/include/uapi/asm/stat.h).
fn stat(space: &Space<'_>, at: u64) -> Option<String> {
    let mode = u64::from(space.u32(at.wrapping_add(24))?);
    let kind = mode & 0o170_000;
    let kind_name = flags::value(kind, flags::FILE_TYPE);
    let special = flags::bits(mode & 0o7000, flags::MODE_BITS, "");
    let special = if special.is_empty() { special } else { format!("|{special}") };
    let last = if matches!(kind, 0o20_000 | 0o60_000) {
        let device = space.u64(at.wrapping_add(40))?;
        let major = device >> 8 & 0xFFF | device >> 32 & !0xFFF;
        let minor = device & 0xFF | device >> 12 & 0xFFFF_FF00;
        format!("st_rdev=makedev({major:#x}, {minor:#x})")
    } else {
        format!("st_size={}", space.u64(at.wrapping_add(48))?)
    };
    Some(format!("{{st_mode={kind_name}{special}|0{:o}, {last}, ...}}", mode & 0o777))
}

/// `struct new_utsname`: six fields of 65 bytes.
fn uname(space: &Space<'_>, at: u64) -> Option<String> {
    let field = |n: u64| space.c_string(at.wrapping_add(65 * n), 65).map(|text| quoted(&text, false));
    Some(format!("{{sysname={}, nodename={}, release={}, ...}}", field(0)?, field(1)?, field(2)?))
}

fn status(status: u32) -> String {
    let signal = status & 0x7F;
    match (signal, status >> 8 & 0xFF) {
        (0, code) => format!("[{{WIFEXITED(s) && WEXITSTATUS(s) == {code}}}]"),
        (0x7F, signal) => {
            format!("[{{WIFSTOPPED(s) && WSTOPSIG(s) == {}}}]", flags::signal(signal.into()))
        }
        _ => {
            let core = if status & 0x80 != 0 { " && WCOREDUMP(s)" } else { "" };
            format!("[{{WIFSIGNALED(s) && WTERMSIG(s) == {}{core}}}]", flags::signal(signal.into()))
        }
    }
}

/// The name of the error that a result is, if it is one.
pub(super) fn error(result: i64) -> Option<&'static str> {
    (-4095..0).contains(&result).then(|| errno::name(-result as u16))?
}

/// A result as strace writes it.
pub(super) fn result(name: &str, result: i64) -> String {
    match (error(result), result) {
        // The program does not see these.
        (Some(name), ..=-512) => format!("? {name}"),
        (Some(name), _) => format!("-1 {name}"),
        (None, -4095..0) => format!("-1 (errno {})", -result),
        _ if matches!(name, "brk" | "mmap" | "mmap2" | "mremap" | "shmat") => format!("{result:#x}"),
        _ => format!("{result}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_quoted_as_c_does() {
        assert_eq!(quoted(b"a\"\\\n\x1b[6n\x007\xFF", true), r#""a\"\\\n\33[6n\0007\377"..."#);
    }

    #[test]
    fn constants_are_named() {
        let flag = |kind, value| flag(kind, value).unwrap();
        assert_eq!(flag(Kind::Open, 0o2_204_000), "O_RDONLY|O_NONBLOCK|O_CLOEXEC|O_DIRECTORY");
        assert_eq!(flag(Kind::Open, 0o1101), "O_WRONLY|O_CREAT|O_TRUNC");
        assert_eq!(flag(Kind::Clone, 0x0120_0011), "CLONE_CHILD_CLEARTID|CLONE_CHILD_SETTID|SIGCHLD");
        assert_eq!(flag(Kind::SocketType, 0o2_000_001), "SOCK_STREAM|SOCK_CLOEXEC");
        assert_eq!(flag(Kind::Futex, 0x81), "FUTEX_WAKE_PRIVATE");
        assert_eq!(limit(8 << 20), "8192*1024");
        assert_eq!(status(0x0100), "[{WIFEXITED(s) && WEXITSTATUS(s) == 1}]");
        assert_eq!(status(9), "[{WIFSIGNALED(s) && WTERMSIG(s) == SIGKILL}]");
    }

    #[test]
    fn results_have_the_names_of_errors() {
        assert_eq!(result("open", -2), "-1 ENOENT");
        assert_eq!(result("brk", 0x1000), "0x1000");
        assert_eq!(result("mmap", -12), "-1 ENOMEM");
        assert_eq!(result("rt_sigsuspend", -514), "? ERESTARTNOHAND");
        assert_eq!(result("read", -4000), "-1 (errno 4000)");
        assert_eq!(result("read", i64::MIN), i64::MIN.to_string());
    }
}
