"""Runs the queries of docs/cookbook.md with DuckDB over the tables of a recording.

usage: cookbook.py COOKBOOK FOLDER.djq

Each query must give rows. Exits with 77 if DuckDB is missing, and names it.
"""
import os
import re
import sys

try:
    import duckdb
except ImportError as error:
    print(error.name)
    sys.exit(77)


def views(folder):
    for table in sorted(os.listdir(folder)):
        path = os.path.join(folder, table)
        if os.path.isdir(path):
            pattern = os.path.join(path, "**", "*.parquet")
            duckdb.sql(f"create view {table} as select * from read_parquet('{pattern}', hive_partitioning = false)")


def main():
    cookbook, folder = sys.argv[1:]
    with open(cookbook) as file:
        queries = re.findall(r"^```sql\n(.*?)^```$", file.read(), re.M | re.S)
    assert len(queries) > 10, f"{len(queries)} queries"
    views(folder)
    empty = []
    for query in queries:
        rows = duckdb.sql(query).fetchall()
        if not rows:
            empty.append(query)
    assert not empty, "no rows:\n" + "\n".join(empty)
    print(f"{len(queries)} queries, DuckDB {duckdb.__version__}")


main()
