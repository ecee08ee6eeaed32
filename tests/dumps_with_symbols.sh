#!/bin/bash
# Dumps a recorded guest with a Debian kernel at an instruction, and opens the dumps with the kernel's debug
# symbols: crash, drgn, gdb. Too large for CI: the symbols are a package of some 850 MB, and 650 MB unpacked.
#
#   tests/dumps_with_symbols.sh JOURNAL ICOUNT [FOLDER]
#
# Symbols and dumps are kept in FOLDER (target/dumps). $DEJAVM and $DEJAVM_PYTHON name the program and a Python
# that has drgn. The kernel must be the generic one for crash.
set -euo pipefail
[ $# -ge 2 ] || { sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2; exit 2; }
root=$(cd "$(dirname "$0")/.." && pwd)
journal=$1 icount=$2 folder=${3:-$root/target/dumps}
dejavm=${DEJAVM:-$root/target/release/dejavm}
python=${DEJAVM_PYTHON:-python3}
mkdir -p "$folder"
failures=0

expect() { # NAME PATTERN COMMAND...: the command's output has the pattern
    local name=$1 pattern=$2 log
    shift 2
    log=$folder/$name.log
    timeout -k 2 300 "$@" >"$log" 2>&1 </dev/null || true
    if grep -Eq -- "$pattern" "$log"; then
        echo "ok    $name"
    else
        echo "FAIL  $name: no /$pattern/ in $log"
        failures=$((failures + 1))
    fi
}

for format in elf kdump-zlib kdump-raw-zlib kdump-raw-lzo kdump-raw-snappy; do
    "$dejavm" dump "$journal" --at "$icount" -o "$folder/$format" --format $format
done
"$dejavm" dump "$journal" --at "$icount" -o "$folder/elf-paging" --paging

value() { strings "$folder/elf" | sed -n "s/^$1=//p" | sed -n 1p; }
release=$(value OSRELEASE)
vmlinux=$folder/usr/lib/debug/boot/vmlinux-$release
if [ ! -e "$vmlinux" ]; then
    (cd "$folder" && apt-get -q download "linux-image-$release-dbg")
    dpkg-deb --fsys-tarfile "$folder/linux-image-$release-dbg"_*.deb \
        | tar -x -C "$folder" --wildcards './usr/lib/debug/boot/vmlinux-*'
    rm "$folder/linux-image-$release-dbg"_*.deb
fi

cat >"$folder/commands" <<'END'
sys
ps
bt -a
log
kmem -i
mod
runq
quit
END
cat >"$folder/look.py" <<'END'
import drgn, sys
from drgn.helpers.linux import cpu_curr, for_each_task, get_dmesg
program = drgn.Program()
program.set_core_dump(sys.argv[1])
program.load_debug_info([sys.argv[2]])
print([task.comm.string_().decode() for task in for_each_task(program)])
print(program.stack_trace(cpu_curr(program, 0)))
print(get_dmesg(program).decode(errors="replace"))
END
for format in elf elf-paging kdump-zlib kdump-raw-zlib kdump-raw-lzo kdump-raw-snappy; do
    expect crash-$format '^CPU 1 RUNQUEUE|^CPU 0 RUNQUEUE' crash -s -i "$folder/commands" "$vmlinux" "$folder/$format"
    [ $format = kdump-zlib ] ||
        expect drgn-$format 'Linux version' "$python" "$folder/look.py" "$folder/$format" "$vmlinux"
done
expect gdb 'linux_banner> "Linux version' gdb -nx -batch -ex "symbol-file $vmlinux -o 0x$(value KERNELOFFSET)" \
    -ex "core-file $folder/elf-paging" -ex bt -ex 'p (char*)linux_banner'
[ $failures = 0 ]
