//! A query: planned, then run.

use super::answer::Answer;
use super::bounds::{EVERYTHING, ICOUNT, stretch};
use super::provider::RecordedTable;
use crate::error::Failure;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, SchemaError};
use datafusion::datasource::{provider_as_source, source_as_provider};
use datafusion::error::Result as PlanResult;
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder, TableScan};
use datafusion::physical_plan::execute_stream;
use datafusion::prelude::{SQLOptions, SessionConfig, SessionContext, col, lit};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};
use dejavm_core::types::Icount;
use dejavm_trace::export::Table;
use futures::StreamExt;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::runtime::Runtime;

/// How large the stack of a thread must be that plans or runs a query: the engine goes down into expressions
/// by recursion, and lets them go so. Only what is used is taken from the host.
pub const STACK_BYTES: usize = 1 << 30;

/// The threads that run a query with it; their frames are smaller.
const WORKER_STACK_BYTES: usize = 1 << 28;

/// So many operators and keywords a query may have, each of which may lead one level deeper. What the engine
/// does to plan grows with the square of it.
const MOST_OPERATORS: usize = 1000;

/// A CASE may be so deep within others: of one that is never closed the parser tries out all that it could
/// be, twice as much with each level.
const MOST_CASES: usize = 8;

/// What a query needs of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Need {
    /// The table.
    pub table: Table,
    /// The stretch of the run, whose end is not within it.
    pub stretch: Range<Icount>,
    /// No more rows than this.
    pub rows: Option<u64>,
}

/// A query that was planned.
pub struct Query {
    context: SessionContext,
    runtime: Runtime,
    plan: LogicalPlan,
    tables: Vec<Arc<RecordedTable>>,
}

impl Query {
    /// Plans `text` over the rows between `from` and `to`, for so many threads, which may keep so many
    /// bytes of rows in memory.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn plan(
        text: &str,
        window: (Option<Icount>, Option<Icount>),
        threads: usize,
        memory_bytes: usize,
    ) -> Result<Self, Failure> {
        check_depth(text)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(threads)
            .thread_stack_size(WORKER_STACK_BYTES)
            .build();
        let runtime = runtime.map_err(|e| Failure::new(format!("cannot start threads: {e}")))?;
        let tables: Vec<_> =
            Table::ALL.into_iter().map(|table| Arc::new(RecordedTable::new(table))).collect();
        let planned = context(threads, memory_bytes, &tables, window).and_then(|context| {
            let options =
                SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
            let frame = runtime.block_on(context.sql_with_options(text, options))?;
            let plan = frame.into_optimized_plan()?;
            Ok((context, plan))
        });
        let (context, plan) = planned.map_err(|e| refusal(&e))?;
        Ok(Self { context, runtime, plan, tables })
    }

    /// What it needs of each table, for every place where it reads one.
    pub fn needs(&self) -> Vec<Need> {
        let mut needs = Vec::new();
        if matches!(self.plan, LogicalPlan::Explain(_)) {
            return needs;
        }
        let looked = self.plan.apply_with_subqueries(|node| {
            if let LogicalPlan::TableScan(scan) = node
                && let Some(table) = table_of(scan)
            {
                let stretch = if scan.filters.is_empty() { EVERYTHING } else { stretch(&scan.filters) };
                needs.push(Need { table, stretch, rows: scan.fetch.map(|n| n as u64) });
            }
            Ok(TreeNodeRecursion::Continue)
        });
        debug_assert!(looked.is_ok());
        needs
    }

    /// Runs it over the files of the tables, and writes what it gives to `answer`.
    ///
    /// # Errors
    /// What went wrong.
    pub fn run(&self, files: BTreeMap<Table, Vec<PathBuf>>, answer: &mut Answer) -> Result<(), Failure> {
        for table in &self.tables {
            let of_table = files.get(&table.table).cloned().unwrap_or_default();
            // They are told once.
            let told = table.files.set(of_table);
            debug_assert!(told.is_ok());
        }
        self.runtime.block_on(async {
            let mut state = self.context.state();
            if keeps_order(&self.plan) {
                // One reader gives the rows in the order of the run.
                state.config_mut().options_mut().execution.target_partitions = 1;
            }
            let plan = state.query_planner().create_physical_plan(&self.plan, &state).await;
            let plan = plan.map_err(|e| refusal(&e))?;
            let stream = execute_stream(plan, self.context.task_ctx());
            let mut stream = stream.map_err(|e| refusal(&e))?;
            answer.begin(&stream.schema())?;
            while let Some(batch) = stream.next().await {
                if !answer.write(&batch.map_err(|e| refusal(&e))?)? {
                    return Ok(());
                }
            }
            Ok(())
        })
    }
}

/// Refuses what could be nested more deeply than the stacks are made for. Lists of values, however long,
/// are not deep.
fn check_depth(text: &str) -> Result<(), Failure> {
    // What is no SQL is said by the parser.
    let Ok(tokens) = Tokenizer::new(&GenericDialect {}, text).tokenize() else { return Ok(()) };
    let may_nest = |token: &&Token| match token {
        Token::Word(word) => word.keyword != Keyword::NoKeyword,
        Token::Whitespace(_) | Token::Comma | Token::Period | Token::Number(..) => false,
        Token::SingleQuotedString(_) | Token::HexStringLiteral(_) => false,
        _ => true,
    };
    let operators = tokens.iter().filter(may_nest).count();
    if operators <= MOST_OPERATORS {
        return check_cases(&tokens);
    }
    Err(Failure::new(format!(
        "the query is too long: {operators} operators and keywords, {MOST_OPERATORS} may be"
    ))
    .advice("many values go into a list: x in (1, 2, 3), not x = 1 or x = 2 or x = 3"))
}

/// Refuses a CASE within a CASE and so on, if it is too deep.
fn check_cases(tokens: &[Token]) -> Result<(), Failure> {
    let (mut depth, mut deepest) = (0_usize, 0);
    for token in tokens {
        match token {
            Token::Word(word) if word.keyword == Keyword::CASE => depth += 1,
            Token::Word(word) if word.keyword == Keyword::END => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    if deepest <= MOST_CASES {
        return Ok(());
    }
    Err(Failure::new(format!("{deepest} levels of a CASE within a CASE, {MOST_CASES} may be"))
        .advice("give the inner ones names in a subquery, or end each with END"))
}

fn context(
    threads: usize,
    memory_bytes: usize,
    tables: &[Arc<RecordedTable>],
    window: (Option<Icount>, Option<Icount>),
) -> PlanResult<SessionContext> {
    let pool = Arc::new(FairSpillPool::new(memory_bytes));
    let runtime = RuntimeEnvBuilder::new().with_memory_pool(pool).build_arc()?;
    let config = SessionConfig::new().with_target_partitions(threads).with_information_schema(true);
    let context = SessionContext::new_with_config_rt(config, runtime);
    for table in tables {
        let name = table.table.name();
        let limits =
            [window.0.map(|from| col(ICOUNT).gt_eq(lit(from))), window.1.map(|to| col(ICOUNT).lt(lit(to)))];
        let Some(limit) = limits.into_iter().flatten().reduce(|a, b| a.and(b)) else {
            context.register_table(name, table.clone())?;
            continue;
        };
        let source = provider_as_source(table.clone());
        let plan = LogicalPlanBuilder::scan(name, source, None)?.filter(limit)?.build()?;
        context.register_table(name, Arc::new(datafusion::datasource::ViewTable::new(plan, None)))?;
    }
    Ok(context)
}

fn table_of(scan: &TableScan) -> Option<Table> {
    let provider = source_as_provider(&scan.source).ok()?;
    let provider: &dyn std::any::Any = provider.as_ref();
    provider.downcast_ref::<RecordedTable>().map(|recorded| recorded.table)
}

/// Whether rows come out as they come in, if nothing is done to them side by side.
fn keeps_order(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::TableScan(_) => true,
        LogicalPlan::Projection(_)
        | LogicalPlan::Filter(_)
        | LogicalPlan::SubqueryAlias(_)
        | LogicalPlan::Limit(_) => plan.inputs().iter().all(|input| keeps_order(input)),
        _ => false,
    }
}

/// What DataFusion says, and what there is instead of what was asked for.
fn refusal(error: &DataFusionError) -> Failure {
    match error.find_root() {
        DataFusionError::SchemaError(schema, _) => match schema.as_ref() {
            SchemaError::FieldNotFound { field, valid_fields } => {
                let mut names: Vec<String> = valid_fields.iter().map(|column| column.name.clone()).collect();
                names.dedup();
                Failure::new(format!("there is no column {}", field.name))
                    .advice(format!("there are {}", names.join(", ")))
            }
            other => Failure::new(other.to_string()),
        },
        DataFusionError::ResourcesExhausted(what) => {
            Failure::new(format!("the query takes more memory than it may: {}", first_line(what)))
                .advice("give it more with --memory MIB, or ask for less of the run: --from, --to")
        }
        DataFusionError::SQL(error, _) => Failure::new(format!("that is no SQL: {error}")),
        other => {
            let said = other.strip_backtrace();
            let failure = Failure::new(first_line(&said).to_owned());
            if said.contains("table '") && said.contains("not found") {
                let names: Vec<&str> = Table::ALL.iter().map(|table| table.name()).collect();
                return failure.advice(format!("there are {}", names.join(", ")));
            }
            if ["DDL not supported", "DML not supported", "Statement not supported"]
                .iter()
                .any(|s| said.contains(s))
            {
                return failure
                    .advice("ask with SELECT, SHOW, DESCRIBE or EXPLAIN: a recording is only read");
            }
            failure
        }
    }
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}
