//! `dump-guest-memory`: dump guest memory into file 'filename'.

use super::super::Context;
use super::super::arguments::Arguments;
use super::{Command, CommandError, Outcome, text_value};
use crate::dump::{Compression, Format};
use serde_json::json;

pub(crate) const COMMAND: Command = Command {
    names: &["dump-guest-memory"],
    parameters: "[-p] [-d] [-z|-l|-s|-w] [-R] filename [begin length]",
    about: "dump guest memory into file 'filename'.\n\
            \t\t\t-p: do paging to get guest's memory mapping.\n\
            \t\t\t-d: return immediately (do not wait for completion).\n\
            \t\t\t-z: dump in kdump-compressed format, with zlib compression.\n\
            \t\t\t-l: dump in kdump-compressed format, with lzo compression.\n\
            \t\t\t-s: dump in kdump-compressed format, with snappy compression.\n\
            \t\t\t-R: when using kdump (-z, -l, -s), use raw rather than makedumpfile-flattened\n\
            \t\t\t    format\n\
            \t\t\t-w: dump in Windows crashdump format (can be used instead of ELF-dump converting),\n\
            \t\t\t    for Windows x64 guests with vmcoreinfo driver only.\n\
            \t\t\tbegin: the starting physical address.\n\
            \t\t\tlength: the memory size, in bytes.",
    run,
};

/// The letters of a command line.
#[derive(Debug, Default, PartialEq, Eq)]
struct Options {
    paging: bool,
    detach: bool,
    raw: bool,
    windows: bool,
    compression: Option<Compression>,
    formats: u32,
}

fn run(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Outcome {
    let options = Options::parse(arguments)?;
    let file = arguments.word().ok_or(CommandError::FilenameExpected)?;
    let range = match arguments.word() {
        None => None,
        Some(begin) => {
            let length = arguments.word().ok_or_else(|| refused("Parameter 'length' is missing"))?;
            Some((text_value(context, begin)?, text_value(context, length)?))
        }
    };
    arguments.end()?;
    let mut given = json!({
        "paging": options.paging,
        "detach": options.detach,
        "protocol": format!("file:{file}"),
        "format": options.format()?.name(),
    });
    if let Some((begin, length)) = range {
        (given["begin"], given["length"]) = (json!(begin), json!(length));
    }
    match context.qmp("dump-guest-memory", given) {
        Err(CommandError::Refused(message)) => Err(refused(&message)),
        other => other.map(drop),
    }
}

fn refused(message: &str) -> CommandError {
    CommandError::Refused(format!("Error: {message}"))
}

impl Options {
    fn parse(arguments: &mut Arguments<'_>) -> Result<Self, CommandError> {
        let mut options = Self::default();
        while let Some(letters) = arguments.option() {
            for letter in letters.chars() {
                options.take(letter)?;
            }
        }
        Ok(options)
    }

    fn take(&mut self, letter: char) -> Result<(), CommandError> {
        match letter {
            'p' => self.paging = true,
            'd' => self.detach = true,
            'R' => self.raw = true,
            'z' => self.compression = Some(Compression::Zlib),
            'l' => self.compression = Some(Compression::Lzo),
            's' => self.compression = Some(Compression::Snappy),
            'w' => self.windows = true,
            other => return Err(CommandError::UnsupportedOption(format!("-{other}"))),
        }
        self.formats += u32::from("zlsw".contains(letter));
        Ok(())
    }

    fn format(&self) -> Result<Format, CommandError> {
        match (self.formats, self.compression) {
            (2.., _) => Err(refused("only one of '-z|-l|-s|-w' can be set")),
            (_, Some(compression)) => Ok(Format::Kdump { compression, raw: self.raw }),
            (_, None) if self.windows => Ok(Format::Windows),
            (_, None) => Ok(Format::Elf),
        }
    }
}
