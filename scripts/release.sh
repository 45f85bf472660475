# shellcheck shell=bash
# How a release is built, for whichever machine: the same commit gives the same bytes, wherever it lies.
#
# Paths of the building machine are replaced in what is compiled; nothing else that differs from one
# machine to another (time, user, order of files) comes in. `again` is the test of that.

BINARIES="vedette vedette-fleet"

# The moment of the commit, for everything that wants to write one down.
SOURCE_DATE_EPOCH="${SOURCE_DATE_EPOCH:-$(git -C "$ROOT" log -1 --format=%ct 2>/dev/null || echo 0)}"
export SOURCE_DATE_EPOCH

# Builds and strips both programs into the directory $1 by `cargo $2 --target $3`; $4 is the name of the target.
release_build() {
    local dist="$1" subcommand="$2" target="$3" triple="$4" package binary cargo_home directory
    cargo_home="$(cd "${CARGO_HOME:-$HOME/.cargo}" && pwd)"
    directory="$(target_dir)"
    # Exported to cargo alone: what else is built here keeps its own flags, and is not built again for this.
    local rust="--remap-path-prefix=$directory=target --remap-path-prefix=$ROOT=vedette --remap-path-prefix=$cargo_home=cargo"
    local c="-ffile-prefix-map=$directory=target -ffile-prefix-map=$ROOT=vedette -ffile-prefix-map=$cargo_home=cargo"
    # Apart, so that neither gets features that only the other asks for. What is shipped is put together whole: smaller
    # by what two crates have alike, at the price of minutes that nobody waits for at his desk.
    for package in agent fleet; do
        RUSTFLAGS="$rust" CFLAGS="$c" CXXFLAGS="$c" CARGO_INCREMENTAL=0 CARGO_PROFILE_RELEASE_LTO=fat \
            cargo auditable "$subcommand" --locked --release --target "$target" --package "$package" >&2
    done
    rm -rf "$dist"
    mkdir -p "$dist"
    for binary in $BINARIES; do
        strip_into "$directory/$triple/release/$binary" "$dist/$binary"
    done
    bill_of_materials "$dist" "$triple"
}

# Strips the binary $1 into $2, whichever machine it is for.
strip_into() {
    local strip=strip
    if [ "$(uname -m)" = x86_64 ] && readelf --file-header "$1" | grep -q AArch64; then strip=aarch64-linux-gnu-strip; fi
    $strip --strip-all -o "$2" "$1"
}

# Writes what each program for the target $2 is made of into the directory $1, as CycloneDX.
bill_of_materials() {
    local package binary
    for package in agent fleet; do
        binary=vedette
        if [ $package = fleet ]; then binary=vedette-fleet; fi
        cargo cyclonedx --quiet --manifest-path "$ROOT/$package/Cargo.toml" --format json --spec-version 1.5 \
            --target "$2" --override-filename "$binary.cdx" >&2
        # It is written beside every manifest of the workspace; one is wanted.
        # Our own crates are named by where they lie on this machine: by the house's name instead.
        sed "s|file://$ROOT/|file:///vedette/|g; s|file://$ROOT|file:///vedette|g" "$ROOT/$package/$binary.cdx.json" \
            >"$1/$binary.cdx.json"
        rm -f "$ROOT"/*/"$binary.cdx.json"
    done
}

# Fails where a second build would be of something else. To be asked before the first one, which takes long.
all_is_committed() {
    [ -z "$(git -C "$ROOT" status --porcelain --untracked-files=no)" ] ||
        die "there are changes that are not committed: the second build would be of something else"
}

# Builds HEAD once more below the directory $1, with the arguments $3..., and compares it with $2.
again() {
    local work="$1" dist="$2" file
    shift 2
    all_is_committed # still
    say "building the same commit elsewhere ..."
    mkdir "$work/elsewhere"
    git -C "$ROOT" archive HEAD | tar --extract --directory "$work/elsewhere"
    env -u CARGO_TARGET_DIR VEDETTE_CACHE="$CACHE" "$work/elsewhere/scripts/$NAME" "$@" >&2
    for file in "$dist"/*; do
        cmp "$file" "$work/elsewhere/target/dist/$(basename "$dist")/$(basename "$file")" >&2 ||
            die "$(basename "$file") is not the same in two builds of one commit"
        say "$(basename "$file") is the same in both builds"
    done
}
