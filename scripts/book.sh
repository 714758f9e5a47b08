#!/usr/bin/env bash
# book.sh build: the book as HTML, into target/book. book.sh serve: the same, on a port of this machine, built anew at
# each change. Needs no network once mdBook is installed.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "$0")/common.sh"

readonly mdbook_version=0.5.4
readonly target=${CARGO_TARGET_DIR:-$PWD/target}
readonly tools=$target/tools
readonly output=$target/book
readonly port=${BOOK_PORT:-3000}

# Sets $mdbook. One that is installed already will do if it is of this version.
find_mdbook() {
    for mdbook in mdbook "$tools/bin/mdbook"; do
        if [ "$("$mdbook" --version 2>/dev/null)" = "mdbook v$mdbook_version" ]; then return; fi
    done
    say "mdBook $mdbook_version is missing: installing it into $tools"
    cargo install --quiet --locked --root "$tools" --target-dir "$tools/build" --version "$mdbook_version" mdbook ||
        die "Could not install mdBook. By hand: cargo install mdbook --version $mdbook_version"
    # What it was built from is of no further use.
    rm -rf "$tools/build"
}

main() {
    find_mdbook
    case ${1:-} in
    build)
        "$mdbook" build book --dest-dir "$output"
        say "The book is in $output: open $output/index.html"
        ;;
    serve)
        say "The book is on http://localhost:$port until Ctrl-C."
        exec "$mdbook" serve book --dest-dir "$output" --hostname 127.0.0.1 --port "$port"
        ;;
    *) die "usage: scripts/book.sh build|serve" ;;
    esac
}

main "$@"
