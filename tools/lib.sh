# shellcheck shell=bash
# Shared by tools/demo, tools/test, tests/clean_machine and the Dockerfile: packages, hugepages, progress lines.
#
# Everything that is changed on the machine is written down in `undo_list` and taken back by `undo_all`, which the
# caller runs from its EXIT trap. A function here fails with one clear line; it never leaves a half-done step silently.

root_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
undo_list=()

if [ -t 1 ]; then bold=$'\e[1m' red=$'\e[31m' green=$'\e[32m' dim=$'\e[2m' plain=$'\e[0m'
else bold='' red='' green='' dim='' plain=''; fi

say() { printf '%s==>%s %s\n' "$bold" "$plain" "$*"; }
warn() { printf '%swarning:%s %s\n' "$red" "$plain" "$*" >&2; }
die() { printf '%serror:%s %s\n' "$red" "$plain" "$*" >&2; exit 1; }
good() { printf '%s%s%s\n' "$green" "$*" "$plain"; }

need_root() { [ "$(id -u)" = 0 ] || die "$1 needs root (network namespaces, packages, hugepages): sudo $1"; }

# Remembers a command that takes a change back; the last change is taken back first.
remember_undo() { undo_list=("$*" "${undo_list[@]}"); }
undo_all() {
    local command
    for command in "${undo_list[@]}"; do bash -c "$command" || true; done
    undo_list=()
}

# quietly TEXT LOG COMMAND…: runs a long command with a line of progress every 15 s; its output goes to LOG, of which
# the tail is shown when it fails.
quietly() {
    local text=$1 log=$2 started=$SECONDS pid status=0 shown
    shift 2
    say "$text"
    "$@" >"$log" 2>&1 </dev/null &
    pid=$!
    shown=$SECONDS
    while kill -0 "$pid" 2>/dev/null; do
        sleep 0.2
        if [ $((SECONDS - shown)) -ge 15 ]; then
            printf '    %s%4d s  %s%s\n' "$dim" $((SECONDS - started)) "$(tail -n 1 "$log" | tr -d '\r' | cut -c1-100)" "$plain"
            shown=$SECONDS
        fi
    done
    wait "$pid" || status=$?
    if [ "$status" != 0 ]; then
        tail -n 60 "$log" >&2
        printf '%sfailed%s (exit %d): %s; whole output: %s\n' "$red" "$plain" "$status" "$text" "$log" >&2
    fi
    return "$status"
}

# packages_of GROUP…: the packages of these groups of tools/packages.
packages_of() {
    local group
    for group in "$@"; do
        awk -v group="$group" '/^# group:/ {on = ($3 == group)} !/^#/ && NF && on {print $1}' "$root_dir/tools/packages"
    done
}

# install_packages GROUP…: installs what is missing, and touches apt only then. Daemons that come with packages
# (vsftpd, nginx, prometheus) are kept from starting: the tests start their own, in namespaces.
install_packages() {
    local missing=() name installed policy=/usr/sbin/policy-rc.d log status=0
    installed=" $(dpkg-query -W -f '${db:Status-Abbrev} ${Package}\n' | awk '$1 == "ii" {print $2}' | tr '\n' ' ') "
    for name in $(packages_of "$@"); do
        [[ "$installed" == *" $name "* ]] || missing+=("$name")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    log=$(mktemp /tmp/sluice-apt.XXXXXX)
    export DEBIAN_FRONTEND=noninteractive
    quietly "reading package lists" "$log" apt-get update || return 1
    local kept=''
    if [ -e "$policy" ]; then kept=$(mktemp /tmp/sluice-policy.XXXXXX); cp -p "$policy" "$kept"; fi
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
    quietly "installing ${#missing[@]} packages: ${missing[*]}" "$log" \
        apt-get install -y --no-install-recommends "${missing[@]}" || status=$?
    if [ -n "$kept" ]; then mv "$kept" "$policy"; else rm -f "$policy"; fi
    rm -f "$log"
    return "$status"
}

# prepare_hugepages [PAGES]: reserves 2 MB pages and mounts hugetlbfs. Never fails: without them DPDK runs on ordinary
# memory (`memory: {hugepages: auto}`), slower but right.
prepare_hugepages() {
    local wanted=${1:-512} file=/proc/sys/vm/nr_hugepages before got
    before=$(cat "$file" 2>/dev/null || echo 0)
    if [ "$before" -lt "$wanted" ]; then
        if echo "$wanted" 2>/dev/null >"$file"; then remember_undo "echo $before >$file"; fi
        got=$(cat "$file" 2>/dev/null || echo 0)
        if [ "$got" -lt "$wanted" ]; then
            warn "only $got of $wanted hugepages could be reserved; sluiced falls back to ordinary memory when they do not do"
        fi
    fi
    if [ "$(cat "$file" 2>/dev/null || echo 0)" -gt 0 ] && ! mountpoint -q /dev/hugepages; then
        if mkdir -p /dev/hugepages && mount -t hugetlbfs nodev /dev/hugepages; then
            remember_undo "umount /dev/hugepages"
        else
            warn "hugetlbfs could not be mounted; sluiced falls back to ordinary memory"
        fi
    fi
}

# use_ccache: a cache that survives `git clean`, and that worktrees share.
use_ccache() {
    export CCACHE_BASEDIR=${CCACHE_BASEDIR:-$root_dir} CCACHE_NOHASHDIR=1
}

# configure_build DIR MESON-OPTION…
configure_build() {
    local dir=$1
    shift
    mkdir -p "$dir"
    if [ -f "$dir/build.ninja" ]; then
        quietly "configuring ${dir#"$root_dir"/}" "$dir/configure.log" meson configure "$dir" "$@"
    else
        quietly "configuring ${dir#"$root_dir"/}" "$dir/configure.log" meson setup "$dir" "$root_dir" "$@"
    fi
}

build() { quietly "building ${1#"$root_dir"/} (warnings are errors)" "$1/build.log" ninja -C "$1" "${@:2}"; }
