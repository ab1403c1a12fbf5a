#!/usr/bin/env bash
# Builds the program for 64-bit Windows on Linux and prints where it lies.
#   build.sh [--release | --check] [--install]
# `--check` builds nothing: it fails on any warning. `--install` installs what is missing for it (Debian,
# Ubuntu); nothing is installed without it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
source installer/rust.sh

target=x86_64-pc-windows-gnu
linker=x86_64-w64-mingw32-gcc
profile=debug check='' install=''
# A program for tests is needed soon rather than fast.
options=(--config 'profile.dev.package."*".opt-level=0')
for argument in "$@"; do
    case "$argument" in
        --release) profile=release options=(--release) ;;
        --check) check=yes ;;
        --install) install=yes ;;
        *)
            echo "usage: build.sh [--release | --check] [--install]" >&2
            exit 2
            ;;
    esac
done

if [ "$install" ]; then
    packages=()
    command -v "$linker" >/dev/null || packages+=(gcc-mingw-w64-x86-64-posix)
    install_rust "$target" "${packages[@]}"
fi
if ! command -v "$linker" >/dev/null; then
    echo "no $linker: on Debian it is in gcc-mingw-w64-x86-64-posix; \`--install\` installs it" >&2
    exit 1
fi

choose_rust "$target"
flags+=("${options[@]}")
if [ "$check" ]; then
    check_rust -D warnings
else
    "$cargo" build "${flags[@]}" --bins >&2
    echo "$folder/$target/$profile/modsync.exe"
fi
