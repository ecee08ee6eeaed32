//! The options of `dejavm sql`.

use super::{ImageArgs, Segment};
use clap::{Args, ValueEnum};
use dejavm_trace::export::{ColumnType, Table};
use std::path::PathBuf;

/// `dejavm sql`
#[derive(Debug, Args)]
pub struct SqlArgs {
    /// The journal.
    #[arg(value_name = "FILE", required_unless_present = "schema")]
    pub journal: Option<PathBuf>,
    /// What to ask; '-' reads it from stdin.
    #[arg(value_name = "QUERY", required_unless_present_any = ["schema", "build"])]
    pub query: Option<String>,
    /// Rows from this icount on (default: where the journal begins).
    #[arg(long, value_name = "ICOUNT")]
    pub from: Option<u64>,
    /// Rows before this icount (default: all to the end).
    #[arg(long, value_name = "ICOUNT")]
    pub to: Option<u64>,
    /// How the answer is written.
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    pub format: AnswerFormat,
    /// Where it goes (default: stdout).
    #[arg(short, long, value_name = "FILE", required_if_eq("format", "parquet"))]
    pub output: Option<PathBuf>,
    /// Write over an existing output.
    #[arg(long)]
    pub force: bool,
    /// Only make the Parquet files of these tables, for other engines, and say where they are.
    #[arg(long, value_name = "TABLE", value_delimiter = ',', value_parser = table, conflicts_with = "query")]
    pub build: Vec<Table>,
    /// With --build: only the Kth of N shares, which workers can make at once and on several machines.
    #[arg(long, value_name = "K/N", requires = "build")]
    pub segment: Option<Segment>,
    /// Where tables are kept (default: FILE.djq beside FILE.dj).
    #[arg(long, value_name = "FOLDER", conflicts_with = "no_cache")]
    pub cache: Option<PathBuf>,
    /// Keep no tables.
    #[arg(long, conflicts_with = "build")]
    pub no_cache: bool,
    /// How many parts are replayed at once, and threads that answer (default: as there are cores).
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub jobs: Option<u32>,
    /// How much memory sorting and grouping may take, in MiB, before it goes to disk.
    #[arg(long, value_name = "MIB", default_value_t = 1024, value_parser = clap::value_parser!(u64).range(16..=1 << 20))]
    pub memory: u64,
    /// List the tables and their columns.
    #[arg(long)]
    pub schema: bool,
    /// Where the images are, if not in the journal.
    #[command(flatten)]
    pub images: ImageArgs,
}

/// How an answer is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum AnswerFormat {
    /// Columns for the eye; addresses in hexadecimal.
    Table,
    /// Comma-separated values (RFC 4180), with a line of names.
    Csv,
    /// A JSON object per line.
    Json,
    /// A Parquet file.
    Parquet,
}

fn table(text: &str) -> Result<Table, String> {
    Table::ALL.into_iter().find(|table| table.name() == text).ok_or_else(|| {
        let names: Vec<&str> = Table::ALL.iter().map(|table| table.name()).collect();
        format!("there are {}", names.join(", "))
    })
}

/// The tables and their columns, as text.
pub fn schema() -> String {
    let mut text = String::new();
    for table in Table::ALL {
        text += &format!("{}: {}\n", table.name(), table.about());
        for column in &table.schema().columns {
            let nullable = if column.nullable { ", may be null" } else { "" };
            text += &format!("  {:<12} {}{nullable}\n", column.name, type_name(column.kind));
        }
    }
    text
}

/// What a type is called in SQL.
pub fn type_name(kind: ColumnType) -> &'static str {
    match kind {
        ColumnType::Bool => "BOOLEAN",
        ColumnType::U8 => "TINYINT UNSIGNED",
        ColumnType::U16 => "SMALLINT UNSIGNED",
        ColumnType::U32 => "INT UNSIGNED",
        ColumnType::U64 => "BIGINT UNSIGNED",
        ColumnType::I64 => "BIGINT",
        ColumnType::Text => "VARCHAR",
    }
}

/// What stands below the options.
pub(super) fn help() -> String {
    let tables: String =
        Table::ALL.iter().map(|table| format!("  {:<13} {}\n", table.name(), table.about())).collect();
    format!(
        "\
Examples:
  dejavm sql boot.dj \"select name, count(*) from events group by name order by 2 desc\"
  dejavm sql boot.dj \"select rip, value from memory where address = 0xffffffff82a0c0d8\" \\
      --from 900000000 --to 910000000
  dejavm sql boot.dj 'select * from console where line like '\\''%panic%'\\'
  dejavm sql boot.dj --build memory,calls      only make Parquet files, for DuckDB, Spark, pandas
  dejavm sql boot.dj --build memory --segment 1/2    half of them; 2/2 elsewhere gives the others
  dejavm sql --schema

Tables:
{tables}
A table is made when a query first asks for it, by replaying the recording: of the stretch between
--from and --to, or of what the query's conditions on icount leave of it, or else of all of it. It is
kept in FILE.djq/ beside the journal, as Parquet, and may be deleted at any time."
    )
}
