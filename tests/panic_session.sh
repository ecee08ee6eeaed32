#!/bin/bash
# A whole session about a crash, with the kernel's debug symbols: records a Debian guest that panics, goes to the
# panic in the monitor, looks at the code there, steps back, dumps, and has crash open the dump, whose call chain
# must be the one that the kernel printed. Too large for CI: the symbols are a package of some 850 MB, and 650 MB
# unpacked.
#
#   tests/panic_session.sh [FOLDER]
#
# Recording, dump, logs and symbols are kept in FOLDER (target/dumps); the recording is taken again if it is there.
# $DEJAVM names the program, $DEJAVM_GUESTS the guests of guests/debian/build.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
folder=${1:-$root/target/dumps}
dejavm=${DEJAVM:-$root/target/release/dejavm}
guests=${DEJAVM_GUESTS:-$root/target/guests}
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
journal=$folder/panic.dj

if [ ! -e "$journal" ]; then
    # The shell of the guest reads the command from its console; the run ends some instructions behind the panic.
    { sleep 5; while sleep 1; do echo 'echo c > /proc/sysrq-trigger'; done; } |
        "$dejavm" record -o "$journal" -m 512M --smp 2 --kernel "$guests/vmlinuz-generic" \
            --initrd "$guests/initrd.gz" --append console=ttyS0 --save-on-crash >"$folder/console.log" || true
fi
panic=$("$dejavm" bisect "$journal" --when 'console ~ /end Kernel panic/' | grep -o 'icount [0-9]*' | grep -om1 '[0-9]*')
echo "the panic is complete at instruction $panic"

printf '%s\n' "replay_seek $panic" 'x/10i $rip' reverse_step 'info registers -a' \
    "dump-guest-memory $folder/panic-core" quit |
    "$dejavm" replay "$journal" -S --monitor stdio --serial null >"$folder/monitor.log"
grep -A10 'x/10i' "$folder/monitor.log"

release=$(strings "$folder/panic-core" | sed -n 's/^OSRELEASE=//p;s/^Linux version \([^ ]*\).*/\1/p' | sed -n 1p)
vmlinux=$folder/usr/lib/debug/boot/vmlinux-$release
if [ ! -e "$vmlinux" ]; then
    (cd "$folder" && apt-get -q download "linux-image-$release-dbg")
    dpkg-deb --fsys-tarfile "$folder/linux-image-$release-dbg"_*.deb |
        tar -x -C "$folder" --wildcards './usr/lib/debug/boot/vmlinux-*'
    rm "$folder/linux-image-$release-dbg"_*.deb
fi
printf 'sys\nbt\nlog\nquit\n' >"$folder/panic-commands"
timeout -k 2 300 crash -s -i "$folder/panic-commands" "$vmlinux" "$folder/panic-core" \
    >"$folder/crash.log" 2>&1 </dev/null || true

python3 - "$folder/console.log" "$folder/crash.log" <<'END'
"""The functions that the kernel named in its call trace are in crash's, in the same order."""
import re
import sys

console, crash = (open(path, errors="replace").read() for path in sys.argv[1:])
trace = console[console.index("Call Trace:"):]
trace = trace[: trace.index("end Kernel panic")]
printed = re.findall(r"^(?:\[[^]]*\])?\s+([a-zA-Z_][\w.]*)\+0x", trace, re.M)
found = iter(re.findall(r"^ *#\d+ \[[0-9a-f]+\] ([\w.]+) at", crash, re.M))
chain = [name for name in printed if not name.startswith(("dump_stack", "entry_SYSCALL"))]
assert len(chain) >= 4, f"no call trace in {sys.argv[1]}"
missing = [name for name in chain if name not in found]
print("printed by the kernel:", " < ".join(chain))
if missing:
    sys.exit(f"not in crash's call chain, or in another order: {missing}; see {sys.argv[2]}")
print("ok    crash shows the same call chain")
END
