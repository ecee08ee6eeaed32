"""Holds tables in Parquet against the trace of the same stretch in JSON, with DuckDB and pyarrow.

usage: tables.py JSONL PARQUET_GLOB

Every record of the trace must be a row with the same icount, time, vCPU and arguments, and the other
way round. Exits with 77 if a package is missing, and names it.
"""
import glob
import json
import sys

try:
    import duckdb
    import pyarrow.parquet as parquet
except ImportError as error:
    print(error.name)
    sys.exit(77)

RENAMED = {"ns": "time_ns", "event": "name"}


def rows_of_json(path):
    rows = []
    with open(path) as lines:
        for line in lines:
            record = json.loads(line)
            row = {RENAMED.get(key, key): value for key, value in record.items()}
            if "cpl" in row:
                row["new_cpl"] = row.pop("cpl")
            rows.append(row)
    return rows


def plain(row, names):
    """A row of a table as the trace has it: without what is null, and with numbers for truths."""
    row = {name: int(row[name]) if isinstance(row[name], bool) else row[name] for name in names}
    return {key: value for key, value in row.items() if value is not None or key == "vcpu"}


def compare(engine, expected, found):
    assert len(expected) == len(found), f"{engine}: {len(found)} rows, {len(expected)} records"
    for n, (a, b) in enumerate(zip(expected, found)):
        b = {key: value for key, value in b.items() if key in a or key not in ("cpl", "cr3")}
        assert a == b, f"{engine}: row {n} is {b}, the trace has {a}"


def main():
    trace, pattern = sys.argv[1:]
    expected = rows_of_json(trace)
    assert expected, "an empty trace"
    # Part files in the order of the run.
    files = sorted(glob.glob(pattern), key=lambda path: int(path.split("segment=")[1].split("/")[0]))
    assert files, pattern
    tables = [parquet.ParquetFile(path).read() for path in files]
    names = tables[0].schema.names
    types = {name: str(tables[0].schema.field(name).type) for name in names}
    assert types["icount"] == types["time_ns"] == types["cr3"] == "uint64", types
    assert types["vcpu"] == types["cpl"] == "uint8", types
    found = [plain(row, names) for table in tables for row in table.to_pylist()]
    compare("pyarrow", expected, found)
    relation = duckdb.sql(f"select * from read_parquet({files!r}, hive_partitioning = false)")
    found = [plain(dict(zip(relation.columns, row)), names) for row in relation.fetchall()]
    compare("DuckDB", expected, found)
    # By name and through the folders' names, as engines do that know nothing of the order.
    for name, count in duckdb.sql(
        f"select name, count(*) from read_parquet('{pattern}', hive_partitioning = true)"
        " where segment >= 0 group by name"
    ).fetchall():
        assert count == sum(row["name"] == name for row in expected), name
    print(f"{len(expected)} rows, {len(files)} files, DuckDB {duckdb.__version__}")


main()
