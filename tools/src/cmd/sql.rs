//! `dejavm sql`: the tables of a recording, and questions to them.

use super::linux::follow::{Followed, follow};
use super::verify::{open_to_follow, open_to_search, session_failure};
use super::{linux, machine};
use crate::args::{AccelArgs, ImageArgs, Segment, SqlArgs, schema};
use crate::error::Failure;
use crate::exit::Exit;
use crate::export::{Cache, Tables, TablesError};
use crate::say;
use dejavm_core::types::Icount;
use dejavm_trace::export::LinuxRows;
use std::path::Path;
#[cfg(feature = "sql")]
use {
    crate::export::Place,
    crate::output_file::OutputFile,
    crate::sql::{Answer, Query, STACK_BYTES},
    dejavm_trace::export::Table,
    std::collections::{BTreeMap, BTreeSet},
    std::io::{BufWriter, Read as _, Write},
    std::path::PathBuf,
};

/// The files of tables.
#[cfg(feature = "sql")]
type Files = BTreeMap<Table, Vec<PathBuf>>;

/// Does it.
pub fn execute(args: &SqlArgs) -> Result<Exit, Failure> {
    let Some(journal) = args.journal.as_deref().filter(|_| !args.schema) else {
        crate::output::print(format_args!("{}", schema()));
        return Ok(Exit::Success);
    };
    match &args.query {
        Some(query) => with_room(|| ask(args, journal, query)),
        None => build(args, journal),
    }
}

fn build(args: &SqlArgs, journal: &Path) -> Result<Exit, Failure> {
    let mut tables = tables(args, journal)?;
    let whole = tables.whole();
    let stretch = args.from.unwrap_or(whole.start)..args.to.unwrap_or(whole.end);
    for table in &args.build {
        let made = match args.segment {
            Some(Segment { k, of }) => tables.make_share(*table, &stretch, k.into(), of.into()),
            None => tables.make(*table, &stretch, None),
        };
        let places = match made {
            Ok(places) => places,
            Err(error) => return ended(journal, error),
        };
        let folder = tables.folder().join(table.name());
        say!("{}: {} files below {}", table.name(), places.len(), folder.display());
    }
    Ok(Exit::Success)
}

/// The tables of a journal.
fn tables(args: &SqlArgs, journal: &Path) -> Result<Tables, Failure> {
    let session = open_to_search(journal, &args.images, AccelArgs::default())?;
    let cache = if args.no_cache {
        Cache::temporary()?
    } else {
        let folder = args.cache.clone().unwrap_or_else(|| Cache::path_of(journal));
        Cache::open(&folder, session.fingerprint())?
    };
    let (journal, images) = (journal.to_owned(), args.images.clone());
    let linux = Box::new(move || follow_linux(&journal, &images));
    Ok(Tables::new(session, cache, jobs(args), linux))
}

/// All system calls of a recorded Linux guest.
fn follow_linux(journal: &Path, images: &ImageArgs) -> Result<LinuxRows, TablesError> {
    let mut session = open_to_follow(journal, images, machine::accel(AccelArgs::default()))?;
    let (first, mut rows) = (session.first().icount, LinuxRows::default());
    let followed = follow(&mut session, first, Icount::MAX, &mut |call, machine, vcpu| {
        let cpu = vcpu.and_then(|vcpu| machine.vcpus().get(vcpu));
        rows.add(&call, cpu.map(|cpu| cpu.state.cr3));
        true
    })?;
    match followed {
        Followed::NoKernel(error) => Err(linux::failure(&error).into()),
        Followed::Done | Followed::Stopped => Ok(rows),
    }
}

fn jobs(args: &SqlArgs) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    args.jobs.map_or(cores, |jobs| jobs as usize)
}

fn ended(journal: &Path, error: TablesError) -> Result<Exit, Failure> {
    match error {
        TablesError::Session(dejavm_replay::session::SessionError::Divergence(divergence)) => {
            eprintln!("dejavm: {}: {divergence}", journal.display());
            Ok(Exit::Divergence)
        }
        TablesError::Session(error) => Err(session_failure(journal, &error)),
        TablesError::Other(failure) => Err(failure),
    }
}

#[cfg(not(feature = "sql"))]
fn with_room(work: impl FnOnce() -> Result<Exit, Failure>) -> Result<Exit, Failure> {
    work()
}

/// Runs `work` on a thread whose stack has room for the most deeply nested query.
#[cfg(feature = "sql")]
fn with_room(work: impl FnOnce() -> Result<Exit, Failure> + Send) -> Result<Exit, Failure> {
    std::thread::scope(|scope| {
        let builder = std::thread::Builder::new().name("query".into()).stack_size(STACK_BYTES);
        let thread = builder.spawn_scoped(scope, work);
        let thread = thread.map_err(|e| Failure::new(format!("cannot start a thread: {e}")))?;
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

#[cfg(not(feature = "sql"))]
fn ask(_: &SqlArgs, _: &Path, _: &str) -> Result<Exit, Failure> {
    Err(Failure::new("this dejavm was built without SQL").advice(
        "build it with `cargo build --release --features sql`, or make Parquet files for another engine: --build",
    ))
}

#[cfg(feature = "sql")]
fn ask(args: &SqlArgs, journal: &Path, query: &str) -> Result<Exit, Failure> {
    let query = match query {
        "-" => {
            let mut text = String::new();
            let read = std::io::stdin().read_to_string(&mut text);
            read.map_err(|e| Failure::new(format!("cannot read the query from stdin: {e}")))?;
            text
        }
        text => text.to_owned(),
    };
    let query = Query::plan(&query, (args.from, args.to), jobs(args), (args.memory as usize) << 20)?;
    let output = args.output.as_deref().map(|path| OutputFile::create(path, args.force)).transpose()?;
    let destination: Box<dyn Write + Send> = match &output {
        Some(output) => {
            let file = output.file().try_clone();
            Box::new(BufWriter::new(file.map_err(|e| Failure::file("write", output.path(), &e))?))
        }
        None => Box::new(BufWriter::new(std::io::stdout())),
    };
    let mut tables = tables(args, journal)?;
    let files = match needed_files(&mut tables, &query.needs()) {
        Ok(files) => files,
        Err(error) => return ended(journal, error),
    };
    let mut answer = Answer::new(args.format, destination);
    query.run(files, &mut answer)?;
    answer.finish()?;
    output.map_or(Ok(()), OutputFile::keep).map(|()| Exit::Success)
}

/// The files of all that is needed, in the order of the run; those that are not there are made.
#[cfg(feature = "sql")]
fn needed_files(tables: &mut Tables, needs: &[crate::sql::Need]) -> Result<Files, TablesError> {
    let mut places: BTreeMap<Table, BTreeSet<Place>> = BTreeMap::new();
    for need in needs {
        let made = tables.make(need.table, &need.stretch, need.rows)?;
        places.entry(need.table).or_default().extend(made);
    }
    let path = |table, places: BTreeSet<Place>| places.into_iter().map(|p| tables.path(table, p)).collect();
    Ok(places.into_iter().map(|(table, places)| (table, path(table, places))).collect())
}
