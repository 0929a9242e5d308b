#!/bin/sh
# Tests of kvtool, as its users see it: what it prints, what it leaves, its exit code.
# Usage: sh tests/test_kvtool.sh PATH-OF-KVTOOL
set -u

case ${1-} in
'') echo "usage: $0 PATH-OF-KVTOOL" >&2; exit 2 ;;
/*) kvtool=$1 ;;
*) kvtool=$PWD/$1 ;;
esac
dir=$(mktemp -d) || exit 2
trap 'rm -rf "$dir"' EXIT
trap 'exit 2' HUP INT TERM
cd "$dir" || exit 2

checks=0
failures=0
tab=$(printf '\t')

# Runs kvtool; leaves its exit code in $code, its output in the files out and err.
run() {
	"$kvtool" "$@" >out 2>err </dev/null
	code=$?
}

# is WHAT EXPECTED ACTUAL
is() {
	checks=$((checks + 1))
	[ "$2" = "$3" ] && return
	failures=$((failures + 1))
	printf 'FAILED: %s\n  expected: %s\n  got:      %s\n' "$1" "$2" "$3"
	[ -s err ] && sed 's/^/  stderr:   /' err
}

# gives CODE OUTPUT ARGUMENT...: kvtool ends with that code after printing that.
gives() {
	expected_code=$1 expected=$2
	shift 2
	run "$@"
	is "exit code of: $*" "$expected_code" "$code"
	is "output of: $*" "$expected" "$(cat out)"
}

# complains CODE TEXT ARGUMENT...: it ends with that code, TEXT being part of the message.
complains() {
	expected_code=$1 text=$2
	shift 2
	run "$@"
	is "exit code of: $*" "$expected_code" "$code"
	is "message '$text' of: $*" yes "$(grep -qF -e "$text" err && echo yes)"
}

fresh() {
	rm -rf ./*
}

# ---- the command line --------------------------------------------------------------------------

every_command_has_help_with_an_example() {
	for command in info tables get put del scan count import copy check; do
		run "$command" --help
		is "code of $command --help" 0 "$code"
		is "usage of $command" "Usage: kvtool $command" \
			"$(sed -n '1s/^\(Usage: kvtool [a-z]*\).*/\1/p' out)"
		is "example of $command" yes "$(grep -q '^  kvtool ' out && echo yes)"
		cp out long
		run help "$command"
		is "help $command is $command --help" "$(cat long)" "$(cat out)"
	done
	run help
	is "commands in the overview" 10 "$(grep -cE \
		'^  (info|tables|get|put|del|scan|count|import|copy|check) ' out)"
	run --version
	is "version" yes "$(grep -qE '^kvtool \(kv\) [0-9]+\.[0-9]+\.[0-9]+$' out && echo yes)"
}

wrong_command_lines_are_refused() {
	complains 2 "a command is missing"
	complains 2 "no command 'frob'" frob
	complains 2 "no command 'frob'" help frob
	complains 2 "unknown option '--frob'" scan --frob x.kv t
	complains 2 "unknown option '--create'" get --create x.kv t k
	complains 2 "a value is missing after '--from'" scan x.kv t --from
	complains 2 "--limit wants a number" scan --limit -1 x.kv t
	complains 2 "--limit wants a number" scan --limit 18446744073709551616 x.kv t
	complains 2 "wants DATABASE TABLE KEY" get x.kv t
	complains 2 "too many arguments: 'more'" get x.kv t k more
	complains 2 "either VALUE or --value-file" put --create x.kv t k
	complains 2 "either VALUE or --value-file" put --create --value-file f x.kv t k v
	complains 2 "not hexadecimal" get --hex x.kv t abc
	complains 2 "not hexadecimal" get --hex x.kv t zz
	is "nothing was created" "" "$(ls ./*.kv 2>/dev/null)"
}

# ---- single entries ----------------------------------------------------------------------------

put_get_and_del_change_one_entry() {
	gives 0 "" put --create x.kv t alice one
	gives 0 one get x.kv t alice
	gives 0 "" put x.kv t alice two
	gives 0 two get x.kv t alice
	gives 0 "" del x.kv t alice
	complains 1 "no such key" get x.kv t alice
	complains 1 "no key 'alice'" del x.kv t alice
}

del_takes_several_keys_and_names_the_missing() {
	for key in a b c; do run put --create x.kv t $key 1; done
	complains 1 "no key 'nope'" del x.kv t a nope c
	gives 0 b scan --keys-only x.kv t
}

keys_and_values_may_be_empty_or_begin_with_a_dash() {
	gives 0 "" put --create x.kv t "" ""
	gives 0 "" get x.kv t ""
	gives 0 "" put x.kv t -- -k -v
	gives 0 "-v" get x.kv t -- -k
	gives 0 2 count x.kv t
}

databases_and_tables_must_exist_unless_made() {
	complains 3 "no such file" put x.kv t k v
	complains 3 "no such file" info x.kv
	is "no file was made" "" "$(ls ./*.kv 2>/dev/null)"
	gives 0 "" put --create x.kv t k v
	complains 3 "no table 'u'" get x.kv u k
	complains 3 "no table 'u'" del x.kv u k
	complains 3 "no table 'u'" scan x.kv u
	gives 0 "" put x.kv u k v
	gives 0 "t${tab}1
u${tab}1" tables x.kv
	echo "this is not a database, it is a text that is long enough to be read" >text
	complains 3 "not a kv database" info text
	: >empty
	complains 3 "not a kv database" put empty t k v
	gives 0 "" put --create empty t k v
	gives 0 v get empty t k
}

bytes_that_are_no_text_are_escaped() {
	gives 0 "" put --hex --create x.kv t 00ff41 c3bce282ac0aff5c
	gives 0 "\x00\xFFA${tab}ü€\x0A\xFF\\" scan x.kv t
	gives 0 "00ff41${tab}c3bce282ac0aff5c" scan --hex x.kv t
	gives 0 "c3bce282ac0aff5c" get --hex x.kv t 00FF41
	# An overlong form, a surrogate, beyond the last code point, C1, a change of direction.
	gives 0 "" put --hex x.kv t 6b c080eda080f4908080c285e280ae
	gives 0 '\xC0\x80\xED\xA0\x80\xF4\x90\x80\x80\xC2\x85\xE2\x80\xAE' get x.kv t k
}

values_come_from_files_and_go_out_raw() {
	head -c 300000 /dev/urandom >blob
	gives 0 "" put --create --value-file blob x.kv t k
	run get --raw x.kv t k
	is "raw value" same "$(cmp out blob && echo same)"
	"$kvtool" put --value-file - x.kv t k2 <blob
	run get --raw x.kv t k2
	is "value from standard input" same "$(cmp out blob && echo same)"
	: >nothing
	gives 0 "" put --value-file nothing x.kv t k3
	gives 0 "" get --raw x.kv t k3
	complains 4 "No such file" put --value-file missing x.kv t k
	complains 4 "directory" put --value-file . x.kv t k
}

# ---- ranges ------------------------------------------------------------------------------------

fill_letters() {
	{
		echo id
		for key in a aa ab abc ac b ba c; do echo $key; done
	} >letters.csv
	run import --create x.kv t letters.csv
}

# keys EXPECTED OPTION...: what scan prints and count counts.
keys() {
	expected=$1
	shift
	gives 0 "$(printf '%s' "$expected" | tr ' ' '\n')" scan --keys-only "$@" x.kv t
	gives 0 "$(printf '%s\n' "$expected" | wc -w | tr -d ' ')" scan --count "$@" x.kv t
}

scan_and_count_know_ranges() {
	fill_letters
	keys "a aa ab abc ac b ba c"
	keys "ab abc ac b" --from ab --to ba
	keys "ba c" --from ba
	keys "a aa" --to ab
	keys "ab abc" --prefix ab
	keys "abc" --prefix ab --from abc
	keys "ab" --prefix ab --to abc
	keys "" --prefix x
	keys "" --from c --to a
	keys "" --from b --to b
	keys "c ba" --reverse --limit 2
	keys "a aa ab" --limit 3
	keys "" --limit 0
	keys "a aa ab abc ac b ba c" --prefix ""
	gives 0 4 count --from ab --to ba x.kv t
	gives 0 2 count --prefix ab x.kv t
	gives 0 8 count x.kv t
	gives 0 62 scan --hex --keys-only --from 62 --to 6261 x.kv t
	complains 2 "exclude each other" scan --count --keys-only x.kv t
}

a_prefix_of_the_highest_bytes_has_no_end() {
	run put --hex --create x.kv t fe 00
	run put --hex x.kv t ff 00
	run put --hex x.kv t ffff 00
	run put --hex x.kv t feff 00
	run put --hex x.kv t ff00 00
	gives 0 3 count --hex --prefix ff x.kv t
	gives 0 1 count --hex --prefix ffff x.kv t
	gives 0 1 count --hex --prefix feff x.kv t
	gives 0 2 count --hex --prefix fe x.kv t
}

# ---- import ------------------------------------------------------------------------------------

# summary: the counts of the latest import, without its time.
summary() {
	sed 's/ ([0-9.]* s)$//' out
}

csv_rows_become_json_objects() {
	printf 'id,name\n1,Ann\n2,"Bob ""B"", the\n2nd"\n3,a"b\\\n' >x.csv
	run import --create x.kv t x.csv
	is "summary" "3 rows imported: 3 new, 0 replaced" "$(summary)"
	gives 0 '{"id":"1","name":"Ann"}' get x.kv t 1
	gives 0 '{"id":"2","name":"Bob \"B\", the\n2nd"}' get x.kv t 2
	gives 0 '{"id":"3","name":"a\"b\\"}' get x.kv t 3
}

csv_may_have_a_mark_crlf_blank_lines_and_no_last_line_end() {
	printf '\357\273\277"id",n\r\n1,"x"\r\n\r\n\n2,\r\n3,"y\r\nz"' >x.csv
	run import --create x.kv t x.csv
	is "summary" "3 rows imported: 3 new, 0 replaced" "$(summary)"
	gives 0 '{"id":"1","n":"x"}' get x.kv t 1
	gives 0 '{"id":"2","n":""}' get x.kv t 2
	gives 0 '{"id":"3","n":"y\r\nz"}' get x.kv t 3
}

csv_key_is_any_column() {
	printf 'a,b,c\n1,2,3\n' >x.csv
	run import --create --key c x.kv t x.csv
	gives 0 '{"a":"1","b":"2","c":"3"}' get x.kv t 3
	complains 2 "no column 'd'" import --key d x.kv t x.csv
}

ndjson_is_stored_as_written() {
	printf '{"id":"a", "n":1.10}\r\n\n  {"n":123456789012345678901234567890,"id":7}\n' >x.ndjson
	printf '{"id":"\\u00fc","z":"a\\u0000b"}' >>x.ndjson
	run import --create x.kv t x.ndjson
	is "summary" "3 rows imported: 3 new, 0 replaced" "$(summary)"
	gives 0 '{"id":"a", "n":1.10}' get x.kv t a
	gives 0 '{"n":123456789012345678901234567890,"id":7}' get x.kv t 7
	gives 0 '{"id":"\u00fc","z":"a\u0000b"}' get x.kv t ü
	printf '{"k":"v"}\n' >y.jsonl
	run import --key k x.kv u y.jsonl
	gives 0 '{"k":"v"}' get x.kv u v
}

imports_come_from_standard_input() {
	printf 'id\n1\n' | "$kvtool" import --create --format csv x.kv t - >out 2>err
	is "summary" "1 rows imported: 1 new, 0 replaced" "$(summary)"
	printf '{"id":2}\n' | "$kvtool" import --format ndjson x.kv t - >out 2>err
	is "summary" "1 rows imported: 1 new, 0 replaced" "$(summary)"
	complains 2 "give --format" import x.kv t -
	complains 2 "give --format" import x.kv t data.txt
	complains 2 "no format 'xml'" import --format xml x.kv t data.csv
	complains 4 "No such file" import x.kv t missing.csv
	complains 4 "header" import --format csv x.kv t /dev/null
}

of_several_rows_with_one_key_the_last_wins() {
	printf 'id,n\n1,a\n2,b\n1,c\n' >x.csv
	run import --create x.kv t x.csv
	is "summary" "3 rows imported: 2 new, 1 replaced" "$(summary)"
	gives 0 '{"id":"1","n":"c"}' get x.kv t 1
	run import x.kv t x.csv
	is "summary" "3 rows imported: 0 new, 3 replaced" "$(summary)"
}

# refuses LINE TEXT: the file x.csv or x.ndjson has a bad line there, so nothing is imported; with
# --skip-bad just that line is left out, of which there is one.
refuses() {
	file=$(ls x.csv x.ndjson 2>/dev/null)
	complains 4 "$file:$1: $2" import --create x.kv t "$file"
	run tables x.kv
	is "tables after refusing $2" "" "$(cat out)"
	run import --skip-bad x.kv t "$file"
	is "code with --skip-bad" 0 "$code"
	is "left out with --skip-bad" "1 bad left out" "$(summary | sed 's/.*; //')"
	is "message with --skip-bad" yes "$(grep -qF "$file:$1: $2" err && echo yes)"
	gives 0 "first
last" scan --keys-only x.kv t
	fresh
}

bad_lines_stop_an_import_unless_skipped() {
	printf 'id,n\nfirst,1\nx\nlast,1\n' >x.csv
	refuses 3 "1 fields, but the header has 2"
	printf 'id,n\nfirst,"1\n2"\nx,"1"2\nlast,1\n' >x.csv
	refuses 4 "something follows a closing quote"
	printf 'id,n\nfirst,1\nx,"1\nlast,1\n' >x.csv
	refuses 3 "a quote is not closed"
	printf 'id,n\nfirst,1\nx,\377\nlast,1\n' >x.csv
	refuses 3 "not valid UTF-8"
	printf 'id,n\nfirst,1\n,2\nlast,1\n' >x.csv
	refuses 3 "the key is empty"
	printf 'id,n\nfirst,1\n%0100000d,2\nlast,1\n' 7 >x.csv
	refuses 3 "the key has 100000 bytes"
	for bad in '{' '[1]' '{"id":1.5}' '{"id":null}' '{"x":1}' '{"id":1,"id":2}' '{"id":""}' \
		'{"id":99999999999999999999}'; do
		printf '{"id":"first"}\n\n%s\n{"id":"last"}\n' "$bad" >x.ndjson
		refuses 3 ""
	done
}

a_header_must_name_columns_once() {
	printf 'id,a,b,a\n1,2,3,4\n' >x.csv
	complains 4 "x.csv:1: two columns are named 'a'" import --create x.kv t x.csv
	printf 'id,\377\n1,2\n' >x.csv
	complains 4 "not valid UTF-8" import --create x.kv t x.csv
	: >x.csv
	complains 4 "header" import --create x.kv t x.csv
	is "no database was made" "" "$(ls ./*.kv 2>/dev/null)"
}

a_failed_import_leaves_the_table_as_it_was() {
	printf 'id,n\n1,old\n' >x.csv
	run import --create x.kv t x.csv
	printf 'id,n\n1,new\n2,new\nbad\n' >x.csv
	run import x.kv t x.csv
	is "code" 4 "$code"
	gives 0 "1${tab}{\"id\":\"1\",\"n\":\"old\"}" scan x.kv t
}

large_rows_and_many_rows_go_through() {
	awk 'BEGIN {
		print "id,text"
		for (i = 0; i < 30000; i++)
			printf "%07d,\"row %d\"\"s\ntext\"\n", (i * 7919) % 30000, i
	}' >x.csv
	run import --create x.kv t x.csv
	is "summary" "30000 rows imported: 30000 new, 0 replaced" "$(summary)"
	gives 0 100 count --from 0010000 --to 0010100 x.kv t
	gives 0 '{"id":"0007919","text":"row 1\"s\ntext"}' get x.kv t 0007919
	{
		printf 'id,text\nbig,"'
		head -c 3000000 /dev/zero | tr '\0' 'x'
		printf '"\nsmall,1\n'
	} >y.csv
	"$kvtool" import --format csv x.kv u - <y.csv >out 2>err
	is "summary" "2 rows imported: 2 new, 0 replaced" "$(summary)"
	run get --raw x.kv u big
	is "size of the large value" 3000022 "$(wc -c <out | tr -d ' ')"
}

# ---- looking after a database ------------------------------------------------------------------

info_states_facts() {
	fill_letters
	run info x.kv
	is "file size" "file size       $(wc -c <x.kv | tr -d ' ') bytes" "$(grep '^file size' out)"
	is "page size" "page size       4096 bytes" "$(grep '^page size' out)"
	is "tables" "tables          1" "$(grep '^tables' out)"
}

reading_does_not_change_the_file() {
	fill_letters
	cp x.kv before.kv
	for command in "info x.kv" "tables x.kv" "scan x.kv t" "count x.kv t" "get x.kv t a" \
		"check x.kv" "copy x.kv copy.kv"; do
		# shellcheck disable=SC2086
		run $command
		is "code of $command" 0 "$code"
	done
	is "file" same "$(cmp x.kv before.kv && echo same)"
	is "files left" "before.kv copy.kv err letters.csv out x.kv" "$(echo ./* | sed 's|\./||g')"
}

copy_makes_an_equal_database_and_overwrites_nothing() {
	fill_letters
	run put x.kv u k v
	run copy x.kv new.kv
	is "code" 0 "$code"
	for table in t u; do
		run scan x.kv $table
		cp out original
		gives 0 "$(cat original)" scan new.kv $table
	done
	gives 0 "no faults" check new.kv
	cp new.kv kept.kv
	complains 3 "exists already" copy x.kv new.kv
	is "existing file" same "$(cmp new.kv kept.kv && echo same)"
	complains 3 "no such file" copy missing.kv other.kv
	is "no copy was made" "" "$(ls other.kv 2>/dev/null)"
}

check_finds_damage() {
	awk 'BEGIN { print "id"; for (i = 0; i < 5000; i++) printf "%07d\n", i }' >x.csv
	run import --create x.kv t x.csv
	gives 0 "no faults" check x.kv
	size=$(wc -c <x.kv)
	printf 'damage' | dd of=x.kv bs=1 seek=$((size / 2)) conv=notrunc 2>/dev/null
	run check x.kv
	is "code" 1 "$code"
	is "faults are named" yes "$([ -s out ] && ! grep -q 'no faults' out && echo yes)"
}

# ---- surroundings ------------------------------------------------------------------------------

output_that_cannot_be_written_is_an_error() {
	fill_letters
	"$kvtool" scan x.kv t 2>err >/dev/full
	is "code with a full disk" 5 $?
	is "message" yes "$(grep -q 'cannot write the output' err && echo yes)"
	"$kvtool" scan x.kv t 2>err >&-
	is "code with a closed output" 5 $?
	"$kvtool" del x.kv t nope a 2>&- >&- <&-
	is "code with everything closed" 1 $?
	gives 0 "no faults" check x.kv
	gives 0 7 count x.kv t
}

a_reader_that_goes_away_ends_a_scan_quietly() {
	awk 'BEGIN { print "id"; for (i = 0; i < 50000; i++) printf "%07d\n", i }' >x.csv
	run import --create x.kv t x.csv
	{
		"$kvtool" scan x.kv t 2>err
		echo $? >code
	} | head -n 1 >first
	is "first line" "0000000${tab}{\"id\":\"0000000\"}" "$(cat first)"
	is "code" 5 "$(cat code)"
	is "message" "" "$(cat err)"
}

# Waits until the process with the given id is blocked, reading its empty input.
wait_for_reader() {
	tries=0
	until grep -q '^State:.*sleeping' "/proc/$1/status" 2>/dev/null || [ $tries -ge 100 ]; do
		sleep 0.05
		tries=$((tries + 1))
	done
}

an_interrupted_import_changes_nothing() {
	fill_letters
	mkfifo pipe
	"$kvtool" import --format csv x.kv t pipe >out 2>err &
	import=$!
	exec 9>pipe
	awk 'BEGIN { print "id"; for (i = 0; i < 200000; i++) printf "%07d\n", i }' >&9
	wait_for_reader $import
	kill -TERM $import
	exec 9>&-
	wait $import 2>/dev/null
	is "code" 143 $?
	gives 0 8 count x.kv t
	gives 0 "no faults" check x.kv
}

progress_is_shown_only_where_wanted() {
	fill_letters
	mkfifo pipe
	{
		printf 'id\n'
		awk 'BEGIN { for (i = 0; i < 200000; i++) printf "%07d\n", i }'
		sleep 1.2
		awk 'BEGIN { for (i = 0; i < 200000; i++) printf "%07d\n", i }'
	} >pipe &
	run import --progress --format csv x.kv u pipe
	wait
	is "progress" yes "$(grep -q '^importing [0-9]' err && echo yes)"
	run import --format csv x.kv u letters.csv
	is "no progress" "" "$(cat err)"
}

for test in \
	every_command_has_help_with_an_example \
	wrong_command_lines_are_refused \
	put_get_and_del_change_one_entry \
	del_takes_several_keys_and_names_the_missing \
	keys_and_values_may_be_empty_or_begin_with_a_dash \
	databases_and_tables_must_exist_unless_made \
	bytes_that_are_no_text_are_escaped \
	values_come_from_files_and_go_out_raw \
	scan_and_count_know_ranges \
	a_prefix_of_the_highest_bytes_has_no_end \
	csv_rows_become_json_objects \
	csv_may_have_a_mark_crlf_blank_lines_and_no_last_line_end \
	csv_key_is_any_column \
	ndjson_is_stored_as_written \
	imports_come_from_standard_input \
	of_several_rows_with_one_key_the_last_wins \
	bad_lines_stop_an_import_unless_skipped \
	a_header_must_name_columns_once \
	a_failed_import_leaves_the_table_as_it_was \
	large_rows_and_many_rows_go_through \
	info_states_facts \
	reading_does_not_change_the_file \
	copy_makes_an_equal_database_and_overwrites_nothing \
	check_finds_damage \
	output_that_cannot_be_written_is_an_error \
	a_reader_that_goes_away_ends_a_scan_quietly \
	an_interrupted_import_changes_nothing \
	progress_is_shown_only_where_wanted
do
	fresh
	$test
done
echo "$checks checks, $failures failures"
[ $failures -eq 0 ]
