#!/bin/sh
# From a fresh Debian 12 machine to a database to play with:
#
#	sh tools/quickstart.sh [--output FILE.kv] [INPUT [KEY]]
#
# Installs what is missing, builds a release into build/quickstart, imports INPUT (.csv with a
# header, or .ndjson; KEY is the field that identifies a line) and shows what kv does with it.
# Without INPUT it imports the history of the git repository that it stands in.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
build=$root/build/quickstart
database=$build/quickstart.kv

die() {
	echo "quickstart: $*" >&2
	exit 1
}

usage() {
	sed -n '2,/^set -eu/{/^#/s/^# \{0,1\}//p;}' "$0"
	exit "$1"
}

chosen=
while [ $# -gt 0 ]; do
	case $1 in
	-h | --help) usage 0 ;;
	--output)
		[ $# -ge 2 ] || usage 2 >&2
		chosen=$2
		shift 2
		;;
	-*) usage 2 >&2 ;;
	*) break ;;
	esac
done
[ $# -le 2 ] || usage 2 >&2
input=${1:-} key_field=${2:-}
if [ -n "$chosen" ]; then
	[ ! -e "$chosen" ] || die "$chosen exists already"
	database=$chosen
else
	rm -f "$database" # of an earlier quickstart
fi

# ---- showing -----------------------------------------------------------------------------------

heading() {
	printf '\n\033[1m%s\033[0m\n' "$1"
}
[ -t 1 ] || heading() {
	printf '\n%s\n' "$1"
}

milliseconds() {
	echo $(($(date +%s%N) / 1000000))
}

# show COMMAND...: runs kvtool, with the command above its output and its time below.
show() {
	printf '  $ kvtool'
	for word in "$@"; do
		[ "$word" = "$database" ] && word=${database##*/}
		printf ' %s' "$word"
	done
	echo
	began=$(milliseconds)
	"$kvtool" "$@" >"$build/output.txt" 2>&1 || {
		sed 's/^/    /' "$build/output.txt"
		die "that command failed"
	}
	took=$(($(milliseconds) - began))
	cut -c 1-110 "$build/output.txt" | sed 's/^/    /'
	printf '    (%d ms)\n' "$took"
}

# ---- input: a file, or the history of this repository -----------------------------------------

no_history() {
	die "$1
Give a file instead:
    sh tools/quickstart.sh INPUT.csv [KEY]
INPUT is CSV with a header line, or NDJSON (one JSON object per line, named .ndjson); KEY is the
column or member that identifies a line, by default the first one."
}

# The user runs a script of this tree already, so its owner need not be asked about again.
history() {
	LC_ALL=C git -c safe.directory="$root" -C "$root" "$@"
}

# One line per commit; merges have no statistics and count as no change.
write_history() {
	[ -e "$root/.git" ] || no_history "$root is not a git repository: there is no history to import."
	sh "$root/tools/need.sh" git >&2
	history rev-parse --verify -q HEAD >/dev/null || no_history "$root has no commits."
	history log --no-color --no-show-signature --shortstat \
		--format='commit,%H,%aI,%cI' | awk -F, -v OFS=, '
		function flush() { if (line) print line, files, plus, minus }
		BEGIN { print "id,authored_at,committed_at,files_changed,insertions,deletions" }
		$1 == "commit" { flush(); line = $2 OFS $3 OFS $4; files = plus = minus = 0; next }
		/ changed/ {
			for (i = 1; i <= NF; i++) {
				split($i, part, " ")
				if ($i ~ / changed/) files = part[1]
				if ($i ~ /insertion/) plus = part[1]
				if ($i ~ /deletion/) minus = part[1]
			}
		}
		END { flush() }'
}

first_field() {
	case $1 in
	*.csv) sed -n '1{s/^\xef\xbb\xbf//;s/\r$//;s/,.*//;s/"//g;p;}' "$1" ;;
	*) sed -n '1s/^[^"]*"\([^"]*\)".*/\1/p' "$1" ;;
	esac
}

mkdir -p "$build"
if [ -n "$input" ]; then
	[ -r "$input" ] || die "cannot read $input"
	what=$input
	table=$(basename "$input" | sed 's/\.[^.]*$//')
	[ -n "$key_field" ] || key_field=$(first_field "$input")
	[ -n "$key_field" ] || die "cannot tell the key from the first line of $input: name it"
else
	input=$build/commits.csv table=commits key_field=id
	write_history >"$input"
	what="the history of this repository"
	[ "$(history rev-parse --is-shallow-repository)" = false ] ||
		what="$what (a shallow clone: the newest part only)"
fi

# ---- build -------------------------------------------------------------------------------------

heading "Building"
sh "$root/tools/need.sh" gcc libc6-dev cmake make pkg-config libxxhash-dev liburing-dev \
	libjansson-dev
began=$(milliseconds)
{
	cmake -S "$root" -B "$build" -DCMAKE_BUILD_TYPE=Release &&
		cmake --build "$build" -j "$(nproc)" --target kvtool
} >"$build/build.log" 2>&1 || {
	cat "$build/build.log" >&2
	die "the build failed"
}
kvtool=$build/tools/kvtool
printf '  a release in build/quickstart, %d ms\n' $(($(milliseconds) - began))

# ---- the tour ----------------------------------------------------------------------------------

heading "Importing $what"
show import --create "$database" "$table" "$input" --key "$key_field"

first=$("$kvtool" scan "$database" "$table" --limit 1 --keys-only)
[ -n "$first" ] || die "$input holds no entries"
last=$("$kvtool" scan "$database" "$table" --limit 1 --keys-only --reverse)

heading "A lookup"
show get "$database" "$table" "$last"

heading "A range: the first five from one key on, and the last three backwards"
show scan "$database" "$table" --from "$first" --limit 5
show scan "$database" "$table" --reverse --limit 3

heading "Counts: of the table, and of a range without its end (no entry is read for it)"
show count "$database" "$table"
show count "$database" "$table" --from "$first" --to "$last"

heading "A check of every page"
show check "$database"

heading "Yours to play with: $database"
cat <<END
  kvtool=$kvtool
  \$kvtool info $database
  \$kvtool put $database $table hello world
  \$kvtool scan $database $table --prefix h
  \$kvtool copy $database compact.kv
  \$kvtool help
END
