#!/usr/bin/env bash
# Checks on Linux that the whole program compiles for macOS. Nothing is linked, and C code, which would need
# macOS's own headers, is passed over by a compiler that pretends.
#   check.sh [--install] [options for the lints, such as -D warnings]
# `--install` installs what is missing for it (Debian, Ubuntu); nothing is installed without it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
source installer/rust.sh

target=aarch64-apple-darwin
if [ "${1-}" = --install ]; then
    shift
    install_rust "$target"
fi
choose_rust "$target"

pretender=$PWD/installer/macos/pretend-cc
export CC_aarch64_apple_darwin=$pretender CXX_aarch64_apple_darwin=$pretender
export AR_aarch64_apple_darwin=$pretender
# So that Xcode is not asked where it is.
export SDKROOT=/
check_rust "$@"
