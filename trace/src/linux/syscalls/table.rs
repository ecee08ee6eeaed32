//! Which system calls there are, and of what kind their arguments are. The tables are text:
//! `x86_64.txt`, `i386.txt`.

use std::sync::OnceLock;

/// By which door a program comes into the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Abi {
    /// SYSCALL of 64-bit programs.
    X86_64,
    /// INT 80h, and SYSCALL of 32-bit programs.
    I386,
}

impl Abi {
    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::X86_64 => "x86-64",
            Self::I386 => "i386",
        }
    }
}

/// What an argument is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Fd,
    DirFd,
    Int,
    Uint,
    Hex,
    Pointer,
    Size,
    Offset,
    /// Octal.
    Mode,
    /// A path or another text.
    Text,
    /// A text that the kernel writes.
    TextOut,
    /// Bytes; which argument says how many.
    Bytes(u8),
    /// Bytes that the kernel writes: as many as the result says.
    BytesOut,
    /// Texts, up to a null pointer.
    Arguments,
    /// The same, only counted.
    Environment,
    /// Stretches of bytes; which argument says how many.
    Vector(u8),
    VectorOut(u8),
    Open,
    Protection,
    Map,
    At,
    Access,
    Clone,
    Mount,
    Wait,
    Random,
    Message,
    Whence,
    ArchPrctl,
    Prctl,
    Fcntl,
    Ioctl,
    Signal,
    SignalMask,
    Epoll,
    Clock,
    Resource,
    Domain,
    SocketType,
    Madvise,
    Futex,
    /// The address of a socket; which argument says how long.
    SocketAddress(u8),
    Time,
    TimeOut,
    Limit,
    LimitOut,
    StatOut,
    UnameOut,
    StatusOut,
    PairOut,
}

impl Kind {
    fn new(word: &str) -> Option<Self> {
        let (name, number) = word.split_once(':').unwrap_or((word, "0"));
        let which = number.parse().unwrap_or(0);
        Some(match name {
            "fd" => Self::Fd,
            "dirfd" => Self::DirFd,
            "int" => Self::Int,
            "uint" => Self::Uint,
            "hex" => Self::Hex,
            "ptr" => Self::Pointer,
            "size" => Self::Size,
            "off" => Self::Offset,
            "mode" => Self::Mode,
            "path" | "str" => Self::Text,
            "outstr" => Self::TextOut,
            "in" => Self::Bytes(which),
            "out" => Self::BytesOut,
            "argv" => Self::Arguments,
            "env" => Self::Environment,
            "iovin" => Self::Vector(which),
            "iovout" => Self::VectorOut(which),
            "open" => Self::Open,
            "prot" => Self::Protection,
            "map" => Self::Map,
            "at" => Self::At,
            "access" => Self::Access,
            "clone" => Self::Clone,
            "mount" => Self::Mount,
            "wait" => Self::Wait,
            "random" => Self::Random,
            "msg" => Self::Message,
            "whence" => Self::Whence,
            "archprctl" => Self::ArchPrctl,
            "prctl" => Self::Prctl,
            "fcntl" => Self::Fcntl,
            "ioctl" => Self::Ioctl,
            "signal" => Self::Signal,
            "sigmask" => Self::SignalMask,
            "epoll" => Self::Epoll,
            "clock" => Self::Clock,
            "resource" => Self::Resource,
            "domain" => Self::Domain,
            "socktype" => Self::SocketType,
            "madvise" => Self::Madvise,
            "futex" => Self::Futex,
            "sockaddr" => Self::SocketAddress(which),
            "timespec" => Self::Time,
            "timespecout" => Self::TimeOut,
            "rlimitin" => Self::Limit,
            "rlimit" => Self::LimitOut,
            "stat" => Self::StatOut,
            "uname" => Self::UnameOut,
            "status" => Self::StatusOut,
            "pair" => Self::PairOut,
            _ => return None,
        })
    }

    /// Whether the kernel writes it, so that it is to be read when the call returns.
    pub fn is_out(self) -> bool {
        matches!(
            self,
            Self::TextOut
                | Self::BytesOut
                | Self::VectorOut(_)
                | Self::TimeOut
                | Self::LimitOut
                | Self::StatOut
                | Self::UnameOut
                | Self::StatusOut
                | Self::PairOut
        )
    }
}

/// A system call.
#[derive(Debug)]
pub(super) struct Description {
    pub name: &'static str,
    pub kinds: Vec<Kind>,
}

/// For a number that is not in the table, and arguments that are not known.
const UNKNOWN: [Kind; 6] = [Kind::Hex; 6];

type Table = Vec<Option<Description>>;

fn read(text: &'static str) -> Table {
    let mut table = Table::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let mut words = line.split(' ');
        let (Some(number), Some(name)) = (words.next().and_then(|n| n.parse::<usize>().ok()), words.next())
        else {
            continue;
        };
        let kinds = words.map(Kind::new).collect::<Option<Vec<Kind>>>().unwrap_or(UNKNOWN.to_vec());
        table.resize_with(table.len().max(number + 1), || None);
        table[number] = Some(Description { name, kinds });
    }
    table
}

/// The system call with a number.
pub(super) fn describe(abi: Abi, number: u64) -> Option<&'static Description> {
    static TABLES: OnceLock<[Table; 2]> = OnceLock::new();
    let tables = TABLES.get_or_init(|| [read(include_str!("x86_64.txt")), read(include_str!("i386.txt"))]);
    let table = match abi {
        Abi::X86_64 => &tables[0],
        Abi::I386 => &tables[1],
    };
    usize::try_from(number).ok().and_then(|number| table.get(number)?.as_ref())
}

/// The kinds of the arguments of a system call.
pub(super) fn kinds(abi: Abi, number: u64) -> &'static [Kind] {
    describe(abi, number).map_or(&UNKNOWN, |description| &description.kinds)
}

/// The name of a system call, as `read`; of one that is not known, as `syscall_0x1ff`.
pub fn syscall_name(abi: Abi, number: u64) -> String {
    describe(abi, number).map_or_else(|| format!("syscall_{number:#x}"), |call| call.name.to_owned())
}

/// Whether there is a system call of that name.
pub fn is_syscall(name: &str) -> bool {
    let named = |abi| (0..1024).filter_map(move |n| describe(abi, n)).any(|call| call.name == name);
    named(Abi::X86_64) || named(Abi::I386)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_of_the_tables_is_known() {
        for text in [include_str!("x86_64.txt"), include_str!("i386.txt")] {
            let mut before = None;
            for line in text.lines().filter(|line| !line.starts_with('#')) {
                let words: Vec<&str> = line.split(' ').collect();
                let number: u64 = words[0].parse().unwrap();
                assert!(before.replace(number) < Some(number), "{line}");
                for word in words[2..].iter().filter(|word| **word != "?") {
                    assert!(Kind::new(word).is_some(), "{line}");
                }
                assert!(words.len() <= 8, "{line}");
            }
        }
    }

    #[test]
    fn calls_have_their_numbers() {
        for (abi, number, name) in [
            (Abi::X86_64, 0, "read"),
            (Abi::X86_64, 257, "openat"),
            (Abi::X86_64, 435, "clone3"),
            (Abi::I386, 4, "write"),
        ] {
            assert_eq!(syscall_name(abi, number), name);
        }
        assert_eq!(syscall_name(Abi::X86_64, 5000), "syscall_0x1388");
        assert_eq!(syscall_name(Abi::X86_64, u64::MAX), "syscall_0xffffffffffffffff");
        assert!(is_syscall("openat") && is_syscall("waitpid") && !is_syscall("nothing"));
    }
}
