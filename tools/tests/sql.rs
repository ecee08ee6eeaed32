//! `dejavm sql`: queries over a recording, held against its trace. `tests/sql.sh` builds what it needs.
#![cfg(feature = "sql")]

mod desk;

use desk::Desk;
use std::fs;
use std::process::{Command, Stdio};

fn csv(desk: &Desk, query: &str, more: &[&str]) -> Vec<String> {
    let text = desk.expect(&[&["sql", "demo.dj", query, "--format", "csv"], more].concat(), 0);
    text.lines().skip(1).map(str::to_owned).collect()
}

fn number(desk: &Desk, query: &str, more: &[&str]) -> u64 {
    let rows = csv(desk, query, more);
    assert_eq!(rows.len(), 1, "{query}: {rows:?}");
    rows[0].parse().unwrap_or_else(|e| panic!("{query}: {rows:?}: {e}"))
}

fn traced(desk: &Desk, events: &[&str], more: &[&str]) -> u64 {
    let on: Vec<&str> = events.iter().flat_map(|event| ["-e", event]).collect();
    desk.expect(&[&["trace", "demo.dj"], on.as_slice(), more].concat(), 0).lines().count() as u64
}

#[test]
fn counts_are_those_of_the_trace() {
    let desk = Desk::new("sql-counts");
    desk.ledger();
    for (table, events) in [
        ("calls", vec!["cpu_call", "cpu_return"]),
        ("interrupts", vec!["cpu_exception", "cpu_interrupt", "cpu_nmi"]),
        ("events", vec!["*", "-cpu_instruction", "-cpu_block", "-memory_*", "-cpu_call", "-cpu_return"]),
    ] {
        let count = number(&desk, &format!("select count(*) from {table}"), &[]);
        assert_eq!(count, traced(&desk, &events, &[]), "{table}");
        assert!(count > 100, "{table}");
    }
    // A window, by options and by a condition, across the edge of two segments.
    let window = ["--from", "4150000", "--to", "4240000"];
    let expected = traced(&desk, &["memory_*"], &window);
    assert!(expected > 0);
    assert_eq!(number(&desk, "select count(*) from memory", &window), expected);
    let between = "select count(*) from memory where icount >= 4150000 and 4240000 > icount";
    assert_eq!(number(&desk, between, &[]), expected);
    assert_eq!(number(&desk, between, &["--no-cache", "-j", "3"]), expected, "not kept, in three parts");
}

#[test]
fn only_what_a_query_needs_is_made() {
    let desk = Desk::new("sql-lazy");
    desk.ledger();
    let made = |table: &str| -> usize {
        fs::read_dir(desk.folder.join("demo.djq").join(table)).map_or(0, |entries| entries.count())
    };
    assert_eq!(
        number(&desk, "select count(*) from calls where icount between 100 and 2000", &[]),
        300.min(traced(&desk, &["cpu_call", "cpu_return"], &["--from", "100", "--to", "2001"]))
    );
    assert_eq!((made("calls"), made("memory"), made("instructions")), (1, 0, 0));
    assert_eq!(csv(&desk, "select icount from instructions limit 3", &[]), ["0", "1", "2"]);
    assert_eq!(made("instructions"), 1);
    csv(&desk, "explain select * from memory", &[]);
    csv(&desk, "select * from memory where icount < 5 and icount > 10", &[]);
    assert_eq!(made("memory"), 0);
    // A condition that reaches a table through a join, or a subquery.
    let joined =
        "select count(*) from calls c join interrupts i on c.icount = i.icount where i.icount < 1000";
    csv(&desk, joined, &[]);
    assert_eq!(made("interrupts"), 1);
}

#[test]
fn rows_come_in_the_order_of_the_run() {
    let desk = Desk::new("sql-order");
    desk.ledger();
    let query = "select icount, line from console where line like 'day%'";
    let rows = csv(&desk, query, &[]);
    assert_eq!(rows.len(), 20);
    assert!(rows[0].ends_with("\"day 1: balance 134, audit ok\""), "{rows:?}");
    let icounts = |rows: &[String]| -> Vec<u64> {
        rows.iter().map(|row| row.split(',').next().unwrap().parse().unwrap()).collect()
    };
    assert!(icounts(&rows).is_sorted());
    let calls = csv(&desk, "select icount from calls where kind = 'call'", &["-j", "3"]);
    assert!(icounts(&calls).is_sorted() && calls.len() > 500, "over two files, for three threads");
}

#[test]
fn answers_in_every_format_say_the_same() {
    let desk = Desk::new("sql-formats");
    desk.ledger();
    let query =
        "select kind, vector, address, count(*) as n, avg(vector) as mean from interrupts group by 1, 2, 3";
    let ask = |format: &str| desk.expect(&["sql", "demo.dj", query, "--format", format], 0);
    assert_eq!(
        ask("csv"),
        format!(
            "kind,vector,address,n,mean\ninterrupt,32,,{0},32.0\n",
            traced(&desk, &["cpu_interrupt"], &[])
        )
    );
    let json: serde_json::Value = serde_json::from_str(&ask("json")).unwrap();
    assert_eq!(
        (&json["kind"], &json["vector"], &json["address"]),
        (&"interrupt".into(), &32.into(), &serde_json::Value::Null)
    );
    let table = ask("table");
    assert!(table.starts_with("kind") && table.ends_with("(1 row)\n"), "{table}");
    desk.expect(&["sql", "demo.dj", query, "--format", "parquet", "-o", "out.parquet"], 0);
    let file = fs::File::open(desk.folder.join("out.parquet")).unwrap();
    assert_eq!(dejavm_trace::export::rows_of(file).unwrap(), 1);
    // Addresses for the eye in hexadecimal.
    let table = desk.expect(&["sql", "demo.dj", "select target from calls limit 1"], 0);
    assert!(table.lines().nth(2).unwrap().starts_with("0x2"), "{table}");
    let text = "select 'a,\"b\nc' as t, cast('nan' as double) as x";
    assert_eq!(desk.expect(&["sql", "demo.dj", text, "--format", "csv"], 0), "t,x\n\"a,\"\"b\nc\",NaN\n");
    let json = desk.expect(&["sql", "demo.dj", text, "--format", "json"], 0);
    assert_eq!(serde_json::from_str::<serde_json::Value>(&json).unwrap()["t"], "a,\"b\nc");
}

#[test]
fn what_is_wrong_with_a_query_is_said() {
    let desk = Desk::new("sql-wrong");
    desk.ledger();
    for (query, said) in [
        ("selct 1", "that is no SQL"),
        ("select (((", "that is no SQL"),
        ("", "No SQL statements"),
        ("select 1; select 2", "single"),
        ("select * from memori", "there are events, instructions, memory"),
        ("select adress from memory", "there are icount, time_ns, vcpu"),
        ("select no_such_function(icount) from memory", "no_such_function"),
        ("create table t as select 1", "only read"),
        ("drop table events", "only read"),
        ("insert into events select * from events", "only read"),
        ("copy (select 1) to 'out.csv'", "only read"),
        ("create external table t stored as csv location '/etc/passwd'", "only read"),
        ("select * from '/etc/passwd'", "there are events"),
        ("select icount + 'x' from calls where icount < 9", ""),
    ] {
        let refused = desk.refused(&["sql", "demo.dj", query], 1);
        assert!(refused.contains(said) && refused.starts_with("dejavm: "), "{query}: {refused}");
        assert!(!refused.contains("panicked"), "{query}: {refused}");
    }
    assert!(!desk.folder.join("demo.djq/memory").exists(), "nothing is made for a query that is wrong");
}

#[test]
fn deep_queries_are_answered_or_refused() {
    let desk = Desk::new("sql-deep");
    desk.ledger();
    // The sum of so many ones, of a column (which nothing computes before the query runs), and of conditions.
    for (query, answer) in [
        (format!("select {}1", "1+".repeat(450)), 451),
        (format!("select {}0 from calls limit 1", "icount*0+1+".repeat(100)), 100),
        (
            format!(
                "select count(*) from calls where {}icount < 0",
                "icount = 18446744073709551615 or ".repeat(150)
            ),
            0,
        ),
        (format!("select 1 {}", " union all select 1".repeat(50)), 1),
        (format!("select {}1", "- ".repeat(20)), 1),
    ] {
        let rows = csv(&desk, &query, &["--from", "0", "--to", "100000"]);
        assert_eq!(rows[0].parse::<u64>().unwrap(), answer, "{query:.60}");
    }
    let one_level =
        ["(", "- ", "not ", "1+", "(select ", "case when 1=1 then ", "1 union select ", "x in (select "];
    for part in one_level {
        let query = format!("select {}1", part.repeat(5000));
        let refused = desk.refused(&["sql", "demo.dj", &query], 1);
        assert!(
            refused.contains("the query is too long: ") && refused.contains("to do: "),
            "{part}: {refused}"
        );
    }
    for part in one_level {
        let query = format!("select {}1", part.repeat(100));
        let output = desk.run(&["sql", "demo.dj", &query]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(matches!(output.status.code(), Some(0 | 1)), "{part}: {said}");
        assert!(output.status.success() || said.starts_with("dejavm: "), "{part}: {said}");
        assert!(!part.starts_with("case") || said.contains("100 levels of a CASE within a CASE"), "{said}");
    }
    // As deep as may be, closed and not.
    let query = format!("select {}1{}", "case when 1=1 then ".repeat(8), " end".repeat(8));
    assert_eq!(csv(&desk, &query, &[]), ["1"]);
    let refused = desk.refused(&["sql", "demo.dj", &query[..query.len() - 32]], 1);
    assert!(refused.starts_with("dejavm: "), "{refused}");
}

#[test]
fn a_huge_answer_is_written_as_it_comes() {
    let desk = Desk::new("sql-huge");
    desk.ledger();
    csv(&desk, "select count(*) from calls", &[]);
    // Billions of rows, of which the reader wants a few.
    let query = "select a.icount, b.icount, c.icount from calls a, calls b, calls c";
    let mut child = Command::new(env!("CARGO_BIN_EXE_dejavm"))
        .args(["sql", "demo.dj", query, "--format", "csv"])
        .current_dir(&desk.folder)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut beginning = vec![0; 1 << 20];
    let mut stdout = child.stdout.take().unwrap();
    std::io::Read::read_exact(&mut stdout, &mut beginning).unwrap();
    drop(stdout);
    assert_eq!(child.wait().unwrap().code(), Some(0), "who reads has seen enough");
    // What must be kept has a limit.
    let query = "select array_agg(a.icount + b.icount + c.icount) from calls a, calls b, calls c";
    let refused = desk.refused(&["sql", "demo.dj", query, "--memory", "16"], 1);
    assert!(refused.contains("--memory"), "{refused}");
}

#[test]
fn the_queries_of_the_cookbook_are_understood() {
    let desk = Desk::new("sql-cookbook");
    desk.ledger();
    let cookbook = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/cookbook.md")).unwrap();
    let queries: Vec<&str> =
        cookbook.split("```sql\n").skip(1).map(|rest| rest.split_once("\n```").unwrap().0).collect();
    assert!(queries.len() > 15, "{}", queries.len());
    let window = ["--from", "0", "--to", "200000"];
    let mut answered = 0;
    for query in queries {
        // The demo's guest is no Linux: of its queries only the plan can be had.
        let of_linux = query.contains("syscalls") || query.contains("processes");
        let query = if of_linux { format!("explain {query}") } else { query.to_owned() };
        answered += usize::from(!csv(&desk, &query, &window).is_empty());
    }
    assert!(answered > 10, "{answered} of them gave rows");
}
