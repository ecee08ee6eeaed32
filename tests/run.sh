#!/bin/bash
# Passes all tests: fetches the guests, builds, runs the suite. Arguments go to the test runner.
set -euo pipefail
cd "$(dirname "$0")/.."

guests=${DEJAVM_GUESTS:-$PWD/target/guests}
DEJAVM_GUESTS=$guests guests/debian/build >/dev/null
cargo build --release --locked --bin dejavm
target=${CARGO_TARGET_DIR:-$PWD/target}
# The public QMP client; without it one test says that it is skipped.
python=${DEJAVM_PYTHON:-$target/python/bin/python}
if ! "$python" -c 'import qemu.qmp' 2>/dev/null; then
    { [ -x "$python" ] || python3 -m venv "$target/python"; } >/dev/null 2>&1 &&
        "$python" -m pip install -q --disable-pip-version-check qemu.qmp==0.0.6 >/dev/null 2>&1 ||
        echo "tests/run.sh: cannot install qemu.qmp from PyPI (python3-venv, network?)"
fi
export DEJAVM_PYTHON=$python
export DEJAVM_GUESTS=$guests DEJAVM=$target/release/dejavm

if cargo nextest --version >/dev/null 2>&1; then
    cargo nextest run --workspace --locked --no-fail-fast "$@"
    cargo test --workspace --locked --doc -q
else
    cargo test --workspace --locked --no-fail-fast "$@"
fi
