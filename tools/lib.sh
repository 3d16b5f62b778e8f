# shellcheck shell=bash
# Shared by tools/demo, tools/test, tests/clean_machine and the Dockerfile: packages, hugepages, progress lines.
#
# Everything that is changed on the machine is written down in `undo_list` and taken back by `undo_all`, which the
# caller runs from its EXIT trap. A function here fails with one clear line; it never leaves a half-done step silently.
# Several clones may run their demos and tests at the same time on one machine.

root_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
undo_list=()

if [ -t 1 ]; then bold=$'\e[1m' red=$'\e[31m' green=$'\e[32m' dim=$'\e[2m' plain=$'\e[0m'
else bold='' red='' green='' dim='' plain=''; fi

say() { printf '%s==>%s %s\n' "$bold" "$plain" "$*"; }
warn() { printf '%swarning:%s %s\n' "$red" "$plain" "$*" >&2; }
die() { printf '%serror:%s %s\n' "$red" "$plain" "$*" >&2; exit 1; }
good() { printf '%s%s%s\n' "$green" "$*" "$plain"; }

need_root() { [ "$(id -u)" = 0 ] || die "$1 needs root (network namespaces, packages, hugepages): sudo $1"; }

# Remembers a command or function that takes a change back; the last change is taken back first.
remember_undo() { undo_list=("$*" "${undo_list[@]}"); }
undo_all() {
    local command
    stop_quiet
    for command in "${undo_list[@]}"; do (eval "$command") || true; done
    undo_list=()
}

# quietly TEXT LOG COMMAND…: runs a long command with a line of progress every 15 s; its output goes to LOG, of which
# the tail is shown when it fails. The command hears Ctrl-C (a shell keeps that from what it puts into the background),
# and is ended by `undo_all`.
quiet_child=''
stop_quiet() {
    if [ -n "$quiet_child" ] && kill -TERM "$quiet_child" 2>/dev/null; then wait "$quiet_child" || true; fi
    quiet_child=''
}
quietly() {
    local text=$1 log=$2 started=$SECONDS pid status=0 shown
    shift 2
    say "$text"
    env --default-signal=INT,QUIT "$@" >"$log" 2>&1 </dev/null &
    pid=$!
    quiet_child=$pid
    shown=$SECONDS
    while kill -0 "$pid" 2>/dev/null; do
        sleep 0.2
        if [ $((SECONDS - shown)) -ge 15 ]; then
            printf '    %s%4d s  %s%s\n' "$dim" $((SECONDS - started)) "$(tail -n 1 "$log" | tr -d '\r' | cut -c1-100)" "$plain"
            shown=$SECONDS
        fi
    done
    wait "$pid" || status=$?
    quiet_child=''
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
# A subshell, so that what it changes for the time of the installation is taken back however it ends.
install_packages() (
    local missing=() name installed policy=/usr/sbin/policy-rc.d log status=0
    installed=" $(dpkg-query -W -f '${db:Status-Abbrev} ${Package}\n' | awk '$1 == "ii" {print $2}' | tr '\n' ' ') "
    for name in $(packages_of "$@"); do
        [[ "$installed" == *" $name "* ]] || missing+=("$name")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    [ "$(id -u)" = 0 ] || die "only root can install what is missing: ${missing[*]} (--no-install goes on without)"
    undo_list=()
    trap undo_all EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    log=$(mktemp /tmp/sluice-apt.XXXXXX)
    export DEBIAN_FRONTEND=noninteractive
    quietly "reading package lists" "$log" apt-get update || return 1
    if [ -e "$policy" ]; then
        mv "$policy" "$policy.before-sluice"
        remember_undo mv "$policy.before-sluice" "$policy"
    else
        remember_undo rm -f "$policy"
    fi
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
    quietly "installing ${#missing[@]} packages: ${missing[*]}" "$log" \
        apt-get install -y --no-install-recommends "${missing[@]}" || status=$?
    [ "$status" != 0 ] || rm -f "$log"
    return "$status"
)

# prepare_hugepages [PAGES]: sees to it that so many 2 MB pages are free. Never fails: without them DPDK runs on
# ordinary memory (`memory: {hugepages: auto}`), slower but right. No hugetlbfs is mounted: sluiced takes its pages
# anonymously, and so they come back however it ends.
#
# The pages are everybody's. Each user holds a shared lock on `hugepages_users` (the processes that it starts inherit
# it); whoever adds pages writes there how many there were and are, and the last user sets that back, unless an
# administrator has changed it since. That also mends what a run has left that was killed.
hugepages_users=/run/lock/sluice-hugepages
hugepages_total=/proc/sys/vm/nr_hugepages
free_hugepages() {
    awk '/^HugePages_Free/ {free = $2} /^HugePages_Rsvd/ {free -= $2} END {print free + 0}' /proc/meminfo
}
prepare_hugepages() {
    local wanted=${1:-512} total free before after=''
    mkdir -p "${hugepages_users%/*}" 2>/dev/null || true
    if ! { exec {hugepages_fd}>>"$hugepages_users"; } 2>/dev/null; then
        warn "$hugepages_users cannot be written: hugepages are left as they are"
        return 0
    fi
    exec {hugepages_turn}>>"$hugepages_users.turn"
    flock "$hugepages_turn"
    flock -s "$hugepages_fd"
    remember_undo release_hugepages
    free=$(free_hugepages)
    if [ "$free" -lt "$wanted" ]; then
        read -r total 2>/dev/null <"$hugepages_total" || total=0
        read -r before after <"$hugepages_users" || before=$total
        [ "$total" = "${after:-$total}" ] || before=$total
        if echo $((total + wanted - free)) 2>/dev/null >"$hugepages_total"; then
            read -r after <"$hugepages_total"
            echo "$before $after" >"$hugepages_users"
        fi
        free=$(free_hugepages)
    fi
    exec {hugepages_turn}>&-
    if [ "$free" -lt "$wanted" ]; then
        warn "only $free of $wanted hugepages are free; where they do not do, sluiced runs on ordinary memory"
    fi
}
release_hugepages() {
    local total before after
    exec {hugepages_turn}>>"$hugepages_users.turn"
    flock "$hugepages_turn"
    # With other users left this fails, and the last of them does it.
    if flock -n -x "$hugepages_fd" && read -r before after <"$hugepages_users"; then
        read -r total <"$hugepages_total"
        if [ "$total" != "$after" ] || echo "$before" 2>/dev/null >"$hugepages_total"; then : >"$hugepages_users"; fi
    fi
}

# use_ccache: a cache that survives `git clean`, and that worktrees share.
use_ccache() {
    export CCACHE_BASEDIR=${CCACHE_BASEDIR:-$root_dir} CCACHE_NOHASHDIR=1
}

# configure_build DIR MESON-OPTION…: with those that SLUICE_MESON_OPTIONS has in addition, which is for builds in a
# hurry (`-Doptimization=0`) or for another CPU (`-Dcpu=native`).
configure_build() {
    local dir=$1 more
    shift
    read -ra more <<<"${SLUICE_MESON_OPTIONS:-}"
    set -- "$@" "${more[@]}"
    mkdir -p "$dir"
    if [ -f "$dir/build.ninja" ]; then
        quietly "configuring ${dir#"$root_dir"/}" "$dir/configure.log" meson configure "$dir" "$@"
    else
        quietly "configuring ${dir#"$root_dir"/}" "$dir/configure.log" meson setup "$dir" "$root_dir" "$@"
    fi
}

build() { quietly "building ${1#"$root_dir"/} (warnings are errors)" "$1/build.log" ninja -C "$1" "${@:2}"; }
