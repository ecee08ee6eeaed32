#!/bin/bash
# The tests of `dejavm sql`, with the engine: builds the feature `sql`, which takes long the first time
# (`docs/sql.md`), and runs them. Not a part of the suite for that reason.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo test --profile sql --features sql -p dejavm-tools --locked --lib sql
cargo test --profile sql --features sql -p dejavm-tools --locked --test sql --test tables "$@"
