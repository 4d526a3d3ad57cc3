#!/bin/sh
# Writes the completions of bash, zsh and fish into bin/completions, for releases. A program may be
# given; without one it is built.
set -eu
cd "$(dirname "$0")/.."
program=${1:-}
if [ -z "$program" ]; then
	dir=$(mktemp -d)
	trap 'rm -rf "$dir"' EXIT
	program=$dir/schoolbell
	go build -trimpath -tags noembed -o "$program" ./cmd/schoolbell
fi
mkdir -p bin/completions
for shell in bash zsh fish; do
	# The shell is to run what is installed, and not what was built here.
	"$program" completion --code "$shell" | sed "s#$program#schoolbell#g" >"bin/completions/schoolbell.$shell"
done
