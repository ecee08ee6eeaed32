#!/bin/bash
# A whole session about a crash, with the kernel's debug symbols: records a Debian guest that panics, goes to the
# panic in the monitor, looks at the code and the call chain there, steps back, dumps, and has drgn and crash open the
# dump. The call chains of all three must be the one that the kernel printed. Too large for CI: the symbols are a package of some 850 MB, and 650 MB
# unpacked.
#
#   tests/panic_session.sh [FOLDER]
#
# Recording, dump, logs and symbols are kept in FOLDER (target/dumps); the recording is taken again if it is there.
# $DEJAVM names the program, $DEJAVM_GUESTS the guests of guests/debian/build, $DEJAVM_PYTHON a Python with drgn.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
folder=${1:-$root/target/dumps}
dejavm=${DEJAVM:-$root/target/release/dejavm}
guests=${DEJAVM_GUESTS:-$root/target/guests}
python=${DEJAVM_PYTHON:-python3}
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
journal=$folder/panic.dj

if [ ! -e "$journal" ]; then
    # The shell of the guest reads the command from its console; the run ends some instructions behind the panic.
    { sleep 5; while sleep 1; do echo 'echo c > /proc/sysrq-trigger'; done; } |
        "$dejavm" record -o "$journal" -m 512M --smp 2 --kernel "$guests/vmlinuz-generic" \
            --initrd "$guests/initrd.gz" --append console=ttyS0 --save-on-crash >"$folder/console.log" || true
fi
# The recording ends some instructions behind the panic: the kernel waits there, in panic().
panic=$("$dejavm" info "$journal" --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["last_icount"])')
echo "behind the panic, at instruction $panic"

printf '%s\n' "replay_seek $panic" symbols 'x/10i $rip' 'cpu 0' bt 'cpu 1' bt reverse_step 'info registers -a' \
    "dump-guest-memory $folder/panic-core" quit |
    "$dejavm" replay "$journal" -S --monitor stdio --serial null >"$folder/monitor.log"
grep -a ':  ' "$folder/monitor.log" | head -10
tr -d '\r' <"$folder/monitor.log" >"$folder/monitor.tmp" && mv "$folder/monitor.tmp" "$folder/monitor.log"

release=$(strings "$folder/panic-core" | sed -n 's/^OSRELEASE=//p;s/^Linux version \([^ ]*\).*/\1/p' | sed -n 1p)
vmlinux=$folder/usr/lib/debug/boot/vmlinux-$release
if [ ! -e "$vmlinux" ]; then
    (cd "$folder" && apt-get -q download "linux-image-$release-dbg")
    dpkg-deb --fsys-tarfile "$folder/linux-image-$release-dbg"_*.deb |
        tar -x -C "$folder" --wildcards './usr/lib/debug/boot/vmlinux-*'
    rm "$folder/linux-image-$release-dbg"_*.deb
fi
cat >"$folder/panic.py" <<'END'
import drgn, sys
from drgn.helpers.linux import cpu_curr
program = drgn.Program()
program.set_core_dump(sys.argv[1])
program.load_debug_info([sys.argv[2]])
for cpu in (0, 1):
    print(program.stack_trace(cpu_curr(program, cpu)))
END
"$python" "$folder/panic.py" "$folder/panic-core" "$vmlinux" >"$folder/drgn.log" 2>&1 || true
printf 'sys\nbt -a\nlog\nquit\n' >"$folder/panic-commands"
timeout -k 2 900 crash -s -i "$folder/panic-commands" "$vmlinux" "$folder/panic-core" \
    >"$folder/crash.log" 2>&1 </dev/null || true

cat >"$folder/compare.py" <<'END'
"""The functions that the kernel named in its call trace are in a reader's, in the same order."""
import re
import sys

console, log = (open(path, errors="replace").read() for path in sys.argv[1:])
trace = console[console.index("Call Trace:"):]
trace = trace[: trace.index("end Kernel panic")]
printed = re.findall(r"^(?:\[[^]]*\])?\s+([a-zA-Z_]\w*)[.\w]*\+0x", trace, re.M)
chain = [name for name in printed if not name.startswith(("dump_stack", "entry_SYSCALL"))]
assert len(chain) >= 4, f"no call trace in {sys.argv[1]}"
# drgn: "#1  panic (kernel/panic.c:459:3)"; crash: " #1 [ffff...] panic at ffffffff..."; the monitor: "#1  0xffff... panic+0x118".
found = iter(re.findall(r"^ *#\d+ +(?:\[[0-9a-f]+\] +|0x[0-9a-f]+ +)?([a-zA-Z_]\w*)", log, re.M))
missing = [name for name in chain if name not in found]
if missing:
    sys.exit(f"FAIL  {sys.argv[2]}: not there, or in another order: {missing}")
print(f"ok    {sys.argv[2]}:", " < ".join(chain))
END
status=0
for reader in monitor drgn crash; do
    python3 "$folder/compare.py" "$folder/console.log" "$folder/$reader.log" || status=1
done
exit $status
