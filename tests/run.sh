#!/usr/bin/env bash
# The one test command: installs what the tests need where it is missing (Debian, Ubuntu), then runs all of
# them, and the benchmarks in short to show that they still run. Arguments go to the test program
# (`tests/run.sh e2e::`, `tests/run.sh --nocapture`); `--nightly` asks for the long tests as well.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# What a test starts → the package that has it.
declare -A parts=(
    [transmission-daemon]=transmission-daemon
    [transmission-create]=transmission-cli
    [nginx]=nginx-light
    [dbus-daemon]=dbus-daemon
    [wine]=wine
    [x86_64-w64-mingw32-gcc]=gcc-mingw-w64-x86-64-posix
    [dunst]=dunst
    [Xvfb]=xvfb
    [xfce4-panel]=xfce4-panel
    [xfconf-query]=xfconf
    [openbox]=openbox
    [xdotool]=xdotool
    [scrot]=scrot
    [fc-list]=fontconfig
    [strace]=strace
    [unshare]=util-linux
    [losetup]=mount
    [chattr]=e2fsprogs
    [mkfs.exfat]=exfatprogs
    [mkfs.xfs]=xfsprogs
    [mount.exfat-fuse]=exfat-fuse
    [aria2c]=aria2
    [rsync]=rsync
    [zsyncmake]=zsync
    [python3]=python3
)

install_missing() {
    local missing=() part
    for part in "${!parts[@]}"; do
        command -v "$part" >/dev/null || missing+=("${parts[$part]}")
    done
    [ -e /etc/ssl/certs/ca-certificates.crt ] || missing+=(ca-certificates)
    compgen -G '/usr/lib/*/faketime/libfaketime.so.1' >/dev/null || missing+=(libfaketime)
    [ -e /usr/share/fonts/truetype/dejavu ] || missing+=(fonts-dejavu-core)
    # The benchmarks make a virtual environment for what comes from PyPI.
    python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)
    [ ${#missing[@]} -gt 0 ] || return 0

    echo "installing for the tests: ${missing[*]}"
    local as_root=()
    [ "$(id -u)" -eq 0 ] || as_root=(sudo)
    "${as_root[@]}" bash -s -- "${missing[@]}" <<'ROOT'
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive
# These packages start services of their own as soon as they are installed; the tests need only the programs.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod +x "$policy"
fi
apt-get update -qq
apt-get install -y -qq --no-install-recommends "$@" >/dev/null
# Nor shall they start with the system from now on.
if command -v systemctl >/dev/null; then
    for package in "$@"; do
        case "$package" in
            transmission-daemon) systemctl disable --quiet transmission-daemon || true ;;
            nginx-light) systemctl disable --quiet nginx || true ;;
        esac
    done
fi
ROOT
}

arguments=() filters=''
for argument in "$@"; do
    case "$argument" in
        --nightly) export MODSYNC_TESTS=nightly ;;
        *)
            arguments+=("$argument")
            [[ $argument == -* ]] || filters+=" $argument"
            ;;
    esac
done

# Debian keeps nginx where only root looks.
PATH="$PATH:/usr/sbin:/sbin"
install_missing
# The tests that need the program for Windows build it as well, but then others wait beside a busy compiler.
case "$filters" in
    '' | *wine*) installer/windows/build.sh --install >/dev/null ;;
esac
# Tests wait for other programs more than they compute.
export RUST_TEST_THREADS="${RUST_TEST_THREADS:-$(($(nproc) * 2))}"
cargo test --locked -- "${arguments[@]}"
if [ "${MODSYNC_TESTS:-}" = nightly ] && [ -z "$filters" ]; then
    # What the worst torrents may cost is a limit of the release.
    cargo bench --locked --bench cost -- worst
    cargo check --manifest-path tests/fuzz/Cargo.toml
fi
# In the tests' profile: nothing is measured here.
[ -n "$filters" ] || cargo test --locked --bench cost -- --short
