# Sourced by the scripts beside it: Rust for another system.

# Sets `cargo`, its `flags` and the `folder` it builds in: rustup's where the target $1 is installed there,
# else Debian's with the source of its standard library.
choose_rust() {
    local target=$1
    cargo=cargo
    folder=${CARGO_TARGET_DIR:-$PWD/target}
    flags=(--locked --target "$target" --target-dir "$folder")
    if has_target "$target"; then
        return 0
    elif [ -x /usr/bin/cargo ] && [ -e "$(/usr/bin/rustc --print sysroot)/lib/rustlib/src/rust" ]; then
        cargo=/usr/bin/cargo
        flags+=(-Z build-std=std,panic_unwind)
        # What rustup sets for its own compiler does not hold for this one.
        unset CARGO RUSTUP_TOOLCHAIN
        export RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1
    else
        echo "no Rust for $target: \`rustup target add $target\`, or on Debian the packages" \
            "rustc-web, cargo-web and rust-web-src; \`--install\` does it" >&2
        return 1
    fi
}

has_target() {
    [ -d "$(rustc --print target-libdir --target "$1" 2>/dev/null)" ]
}

# Installs what `choose_rust` needs for the target $1, and the packages $2…
install_rust() {
    local target=$1 packages=("${@:2}") as_root=()
    # What rustup says is no proof: its list of what is installed and the files may differ.
    has_target "$target" || rustup target add "$target" >&2 || true
    has_target "$target" || packages+=(rustc-web cargo-web rust-web-src)
    [ ${#packages[@]} -gt 0 ] || return 0
    [ "$(id -u)" -eq 0 ] || as_root=(sudo)
    echo "installing: ${packages[*]}" >&2
    "${as_root[@]}" apt-get update -qq >&2
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null
}

# Checks that the whole program compiles; the arguments are for the lints. Debian's Rust has no clippy.
check_rust() {
    if [ "$cargo" = cargo ]; then
        cargo clippy "${flags[@]}" --lib --bins -- "$@"
    else
        RUSTFLAGS="$*" "$cargo" check "${flags[@]}" --lib --bins
    fi
}
