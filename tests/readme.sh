#!/usr/bin/env bash
# Runs README.md: every block of commands as it is written, in order, in one shell, as a reader would.
#
#   tests/readme.sh                  in this clone, with cargo, default ports and ./state (.ci/run does this)
#   tests/readme.sh BIN PORT PORT    in a copy, with the programs in the directory BIN and two free ports in place of 6200
#                                    and 6210 (tests/docs.rs does this)
#
# The line above a block says what to do with it, and does not show when README is read:
#   <!-- readme.sh: daemon -->                   run it in the background, go on when it serves
#   <!-- readme.sh: run -->                      run it; it must succeed
#   <!-- readme.sh: expect "A" "B" -->           and its output holds these texts (spaces are squeezed)
#   <!-- readme.sh: needs TOOL, expect "A" -->   as that; skipped where the tool is missing, but not under SEATKEEPER_CI=1
#   <!-- readme.sh: skip -->                     do not run it here
set -euo pipefail
cd "$(dirname "$0")/.."
repository=$PWD
work=$(mktemp -d)
daemon=

finish() {
    local code=$?
    trap - EXIT
    if [ "$code" -ne 0 ]; then
        echo "README.md: failed in ${block:-the beginning}" >&2
        cat "$work"/*.out "$work/daemon.log" >&2 2>/dev/null || true
    fi
    if [ -n "$daemon" ]; then kill -- "-$daemon" 2>/dev/null || true; fi
    local jobs
    jobs=$(jobs -p)
    # Word splitting is meant: one process id each.
    if [ -n "$jobs" ]; then kill $jobs 2>/dev/null || true; fi
    if [ $# -gt 0 ]; then rm -rf "$1"; fi
    rm -rf "$work"
    exit "$code"
}

# Blocks to files: 01.sh with the commands, 01.how with the line above.
split() {
    awk -v work="$work" '
        /^<!-- readme\.sh: .* -->$/ { how = $0; sub(/^<!-- readme\.sh: /, "", how); sub(/ -->$/, "", how) }
        /^```/ && inside { inside = 0; how = ""; next }
        /^```sh$/ {
            if (how == "") { print "README.md:" NR ": a block without a line for readme.sh above it" > "/dev/stderr"; exit 1 }
            inside = 1
            name = sprintf("%s/%02d", work, ++blocks)
            print how > (name ".how")
            printf "" > (name ".sh")
            next
        }
        inside { print >> (name ".sh") }
    ' README.md
}

serve() {
    setsid bash "$1" >"$work/daemon.log" 2>&1 </dev/null &
    daemon=$!
    disown
    # With cargo this is the time of a whole build.
    for _ in $(seq 18000); do
        if grep -q "listening for clients" "$work/daemon.log"; then return; fi
        if ! kill -0 "$daemon" 2>/dev/null; then
            echo "the daemon ended" >&2
            return 1
        fi
        sleep 0.1
    done
    echo "the daemon does not serve" >&2
    return 1
}

# faketime names a semaphore and a piece of shared memory by its process id, leaves them behind when it is killed, and
# refuses to start when a process id comes round again. What belongs to no process any more goes.
forget_dead_clocks() {
    local left
    for left in /dev/shm/sem.faketime_sem_* /dev/shm/faketime_shm_*; do
        if [ -O "$left" ] && ! [ -e "/proc/${left##*_}" ]; then rm -f "$left"; fi
    done
}

holds() {
    local output=$1 how=$2 wanted
    while IFS= read -r wanted; do
        wanted=${wanted#\"}
        if ! tr -s ' ' <"$output" | grep -qF -- "${wanted%\"}"; then
            echo "the output lacks: $wanted" >&2
            return 1
        fi
    done < <(grep -o '"[^"]*"' <<<"$how" || true)
}

if [ $# -eq 3 ]; then
    mkdir -p "$work/copy/target" "$work/bin"
    cp -r README.md seatkeeper.toml licenses "$work/copy/"
    ln -s "$1" "$work/copy/target/release"
    cat >"$work/bin/cargo" <<SHIM
#!/usr/bin/env bash
case "\$*" in
"run --release") exec "$1/seatkeeperd" --listen 127.0.0.1:$2 --http off ;;
"run --release --bin seatkeeper -- "*) shift 5 && exec "$1/seatkeeper" "\$@" ;;
*) echo "cargo \$*: not in this test" >&2 && exit 1 ;;
esac
SHIM
    chmod +x "$work/bin/cargo"
    export PATH="$work/bin:$PATH" SEATKEEPER_SERVER=127.0.0.1:$2
    cd "$work/copy"
    sed -i "s/127\.0\.0\.1:6210/127.0.0.1:$3/" README.md
elif [ $# -eq 0 ]; then
    for made in state state-2089 six-more.xml licenses/six-more.xml; do
        if [ -e "$made" ]; then
            echo "readme.sh: $made is there: this needs a clone in which nothing was tried yet" >&2
            exit 1
        fi
    done
else
    echo "usage: tests/readme.sh [BIN PORT PORT]" >&2
    exit 64
fi
unset SEATKEEPER_ADMIN
trap finish EXIT
split
ran=0
for commands in "$work"/[0-9]*.sh; do
    how=$(cat "${commands%.sh}.how")
    block="the block \"$(head -n 1 "$commands")\""
    if [[ $how =~ ^needs\ ([a-z0-9-]+) ]] && ! command -v "${BASH_REMATCH[1]}" >/dev/null; then
        if [ "${SEATKEEPER_CI:-}" = 1 ]; then
            echo "${BASH_REMATCH[1]} is missing, and SEATKEEPER_CI=1 says that everything is installed" >&2
            exit 1
        fi
        echo "skipped: $block: ${BASH_REMATCH[1]} is not installed" >&2
        continue
    fi
    if [[ $how == *faketime* ]]; then forget_dead_clocks; fi
    case $how in
    skip) bash -n "$commands" ;;
    daemon) serve "$commands" ;;
    run | expect\ * | needs\ *)
        output=${commands%.sh}.out
        # In this shell: what one block exports, the next one has.
        source "$commands" >"$output" 2>&1 </dev/null
        holds "$output" "$how"
        ran=$((ran + 1))
        ;;
    *)
        echo "readme.sh does not know: $how" >&2
        exit 1
        ;;
    esac
done
# The last block stopped it.
for _ in $(seq 100); do kill -0 "$daemon" 2>/dev/null || break; sleep 0.1; done
if kill -0 "$daemon" 2>/dev/null; then
    echo "the daemon still runs" >&2
    exit 1
fi
daemon=
[ "$repository" != "$PWD" ] || rm -rf state
echo "README.md: $ran blocks of commands do what they say"
