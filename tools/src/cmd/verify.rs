//! `dejavm verify`: a replay for the sake of its hashes.

use super::machine;
use crate::args::{AccelArgs, CheckpointArgs, ImageArgs, VerifyArgs};
use crate::console::replay::{FileReplay, Patience, Silently};
use crate::error::Failure;
use crate::exit::Exit;
use crate::output_file::folder_of;
use crate::progress::Progress;
use crate::say;
use dejavm_core::boundary::Images;
use dejavm_core::machine::{Accel, Machine};
use dejavm_core::types::Icount;
use dejavm_replay::checkpoint::side_path;
use dejavm_replay::journal::{Ending, Header, ImageRecord, ImageRole, JournalError, Reader};
use dejavm_replay::session::{ReplaySession, RunMachine, SessionError, Verdict};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Does it.
pub fn execute(args: &VerifyArgs) -> Result<Exit, Failure> {
    let mut session = open_with(&args.journal, &args.images, machine::accel(args.accel))?;
    let start = Instant::now();
    let first = session.first().icount;
    let progress = if args.quiet {
        Progress::hidden()
    } else {
        Progress::icount("verifying", first, session.last().icount)
    };
    let verdict = session.verify(&mut Silently::new(&progress, first, Patience::Endless));
    drop(progress);
    match verdict {
        Ok(Some(verdict)) => Ok(report(args, &verdict, first, start)),
        Ok(None) => Err(Failure::new("interrupted")),
        Err(SessionError::Divergence(divergence)) => {
            eprintln!("dejavm: {}: {divergence}", args.journal.display());
            Ok(Exit::Divergence)
        }
        Err(other) => Err(session_failure(&args.journal, &other)),
    }
}

fn report(args: &VerifyArgs, verdict: &Verdict, first: Icount, start: Instant) -> Exit {
    if !args.quiet {
        let seconds = start.elapsed().as_secs_f64();
        let instructions = verdict.last.icount - first;
        say!(
            "{}: equal: {} state hashes, {} inbound events, {} instructions ({:.1} s, {:.1} MIPS)",
            args.journal.display(),
            verdict.hashes,
            verdict.events,
            instructions,
            seconds,
            instructions as f64 / seconds / 1e6,
        );
    }
    match &verdict.ending {
        Ending::Clean(_) => Exit::Success,
        Ending::Unclean { .. } => {
            if !args.quiet {
                say!("the recording did not end cleanly: verified up to its last complete chunk");
            }
            Exit::Torn
        }
    }
}

/// A journal's file.
pub fn reader(journal: &Path) -> Result<Reader<File>, Failure> {
    Reader::open(journal).map_err(|e| journal_failure(journal, &e))
}

/// A journal and its machine, at power-on.
pub fn open_with(journal: &Path, images: &ImageArgs, accel: Accel) -> Result<FileReplay, Failure> {
    let reader = reader(journal)?;
    let given = given_images(journal, images, reader.header())?;
    ReplaySession::open_with(reader, given, accel).map_err(|e| session_failure(journal, &e))
}

/// Lets a session use, and add to, the checkpoints beside its journal. That they cannot be written
/// makes it slower, no more.
pub fn use_checkpoints<M: RunMachine>(
    session: &mut ReplaySession<M, File>,
    journal: &Path,
    wanted: CheckpointArgs,
    accel: Accel,
) {
    session.measure_spacing(machine::spacing(accel));
    let side_file = side_path(journal);
    let Some(budget) = wanted.budget(&side_file) else { return };
    if let Err(error) = session.use_side_file(&side_file, budget) {
        tracing::info!(path = %side_file.display(), %error, "checkpoints are kept in memory only");
    }
}

/// [`open_with`], with the checkpoints beside the journal: for who goes through a stretch, or to a place.
pub fn open_to_follow(journal: &Path, images: &ImageArgs, accel: Accel) -> Result<FileReplay, Failure> {
    let mut session = open_with(journal, images, accel)?;
    use_checkpoints(&mut session, journal, CheckpointArgs::default(), accel);
    Ok(session)
}

/// A journal on the calling thread, with the checkpoints beside it: for who goes here and there in it.
pub fn open_to_search(
    journal: &Path,
    images: &ImageArgs,
    accel: AccelArgs,
) -> Result<ReplaySession<Machine, File>, Failure> {
    let (reader, accel) = (reader(journal)?, machine::accel(accel));
    let given = given_images(journal, images, reader.header())?;
    let session = ReplaySession::open_here_with(reader, given, accel);
    let mut session = session.map_err(|e| session_failure(journal, &e))?;
    use_checkpoints(&mut session, journal, CheckpointArgs::default(), accel);
    Ok(session)
}

/// The images that a journal only refers to: those `given`, or else files beside the journal that
/// have their names.
pub fn given_images(journal: &Path, given: &ImageArgs, header: &Header) -> Result<Images, Failure> {
    let find = |role, given: &Option<PathBuf>| {
        let beside = |record: &ImageRecord| {
            // The name in a journal is somebody else's: only its last part counts.
            let name = Path::new(&record.file_name).file_name()?;
            Some(folder_of(journal).join(name)).filter(|path| path.is_file())
        };
        let missing = header.image(role).filter(|record| !record.embedded);
        given.clone().or_else(|| missing.and_then(beside)).as_deref().map(machine::read).transpose()
    };
    Ok(Images {
        kernel: find(ImageRole::Kernel, &given.kernel)?.unwrap_or_default(),
        initrd: find(ImageRole::Initrd, &given.initrd)?,
    })
}

/// What went wrong with a journal, and what to do.
pub fn journal_failure(journal: &Path, error: &JournalError) -> Failure {
    let failure = Failure::new(format!("{}: {error}", journal.display()));
    match error {
        JournalError::MissingImage { .. } => failure.advice("give it with --kernel FILE or --initrd FILE"),
        JournalError::WrongImage { .. } => failure.advice("give the very file that was recorded with"),
        JournalError::NotAJournal => failure.advice("`dejavm record -o FILE …` makes journals"),
        JournalError::Version { .. } => failure.advice("use the dejavm that recorded it"),
        JournalError::Damaged { .. } | JournalError::CutShort { .. } => {
            failure.advice("the file was changed after it was recorded: copy it again")
        }
        _ => failure,
    }
}

/// What went wrong with a replay.
pub fn session_failure(journal: &Path, error: &SessionError) -> Failure {
    match error {
        SessionError::Journal(error) => journal_failure(journal, error),
        SessionError::BeyondEnd { .. } => Failure::new(format!("{}: {error}", journal.display()))
            .advice("`dejavm info FILE` tells how long the run is"),
        other => Failure::new(format!("{}: {other}", journal.display())),
    }
}
