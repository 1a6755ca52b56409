#!/bin/sh
# needs: once
# selftest.sh: the tests can fail.
. "$(dirname "$0")/lib.sh"

# try TEXT: runs a script of tests with this text.
try() {
	cat >try.sh <<-END
		. "$project/tests/lib.sh"
		$1
		finish
	END
	# shellcheck disable=SC2086 # words
	run ${private:-} env WHALEBOX_WHERE= WHALEBOX_FILTER="${filter:-}" \
	    WHALEBOX_MUST_WORK="${must_work:-0}" WHALEBOX_HOME="$PWD/home" \
	    TMPDIR="$PWD" PATIENCE=1 /bin/sh try.sh
}

it 'a body that succeeds passes' '
	try "it one true" && want_status 0 && want_line "ok 1 - one" &&
	want_line "1..1"
'
it 'a body that fails fails, says why and gives its hint' '
	try "it one \"run echo x && want_out y\" \"think\"" && want_status 1 &&
	want_line "not ok 1 - one" && want_line "# hint: think" &&
	want_match "^#   command: +echo x$" && want_line "1..1"
'
it 'a body that fails without a word is shown' '
	try "it one \"true && false\"" && want_status 1 &&
	want_line "#   true && false"
'
it 'a chain that is broken fails' '
	try "it one \"false
		true\"" &&
	want_status 1 && want_match "&& is missing"
'
it 'a script that ends early fails' '
	try "it one true; exit 0" && want_match "^not ok 2 - runs to its end"
'
it 'a skip passes, but not where all has to work' '
	try "skip nothing one" && want_status 0 &&
	want_line "ok 1 - one # SKIP nothing" &&
	must_work=1 && try "skip nothing one" && want_status 1 &&
	want_match "^not ok 1 - one"
'
it 'a slow test runs on the host, and not in the VM' '
	try "slow one true; it two true" && want_status 0 && want_line "1..2" &&
	try "WHALEBOX_WHERE=\"vm user: \"; slow one false; it two true" &&
	want_status 0 && want_line "1..1" && want_line "ok 1 - vm user: two"
'
it 'a filter leaves out the others' '
	filter=two && try "it one false; it two true" && want_status 0 &&
	want_line "ok 1 - two" && want_line "1..1"
'
it 'a command that does not end fails' '
	try "LIMIT=1; it one \"run sleep 5\"" && want_status 1 &&
	want_match "an end within 1 seconds"
'
it 'each word of the vocabulary can fail' '
	try "
		it 1 \"run true && want_status 1\"
		it 2 \"run echo x && want_out \\\"\\\"\"
		it 3 \"run echo xy && want_line x\"
		it 4 \"run echo x && want_no_line x\"
		it 5 \"run echo x && want_match y\"
		it 6 \"run echo x && want_no_match x\"
		it 7 \"run true && want_err x\"
		it 8 \"run ls /nowhere && want_no_err\"
		it 9 \"same a b\"
		it 10 \"differ a a\"
	" &&
	want_status 1 && same 10 "$(grep -c "^not ok" out)"
'

it 'a sum of nothing, of half a run, of a script left out fails' '
	run awk -f "$project/tests/tap.awk" <<-END &&
		ok - one
		# end
	END
	want_status 0 && same "1 passed, 0 failed" "$(tail -n 1 out)" &&
	run awk -f "$project/tests/tap.awk" <<-END &&
		# end
	END
	want_status 1 && same "0 passed, 0 failed" "$(tail -n 1 out)" &&
	run awk -f "$project/tests/tap.awk" <<-END &&
		ok - one
	END
	want_status 1 && same "1 passed, 1 failed" "$(tail -n 1 out)" &&
	run awk -f "$project/tests/tap.awk" <<-END &&
		# due a.sh
		# due b.sh
		# here runs b.sh
		ok - one
		not ok - two
		3 passed, 0 failed
		# end
	END
	want_status 1 && want_match "^not ok 3 - a.sh runs somewhere" &&
	same "1 passed, 2 failed" "$(tail -n 1 out)"
'

it 'a snapshot notices a record and a namespace left behind' '
	try "it one \"snapshot && unchanged\"" && want_status 0 &&
	try "it one \"snapshot && mkdir -p \$PWD/home/containers/x && unchanged\"" &&
	want_status 1 && want_match "[+]./containers/x" &&
	try "it one \"snapshot && { unshare -r sh -c \\\">there; sleep 20\\\" & } &&
	    soon test -e there && unchanged\"" &&
	want_status 1 && want_match "user:\["
'
if is_root; then
	it 'a snapshot notices a mount and a network device left behind' '
		private="unshare --mount --net" &&
		try "it 1 \"snapshot && mkdir m && mount -t tmpfs m m && unchanged\"" &&
		want_status 1 && want_match "[+].* tmpfs m" &&
		try "it 1 \"snapshot && ip link add leak0 type bridge && unchanged\"" &&
		want_status 1 && want_match "[+]network device leak0"
	'
fi
if is_root && has_cgroup2; then
	it 'a snapshot notices a cgroup left behind' '
		cgroup=$(mounts_of cgroup2 | tail -n 1)/whalebox/leak &&
		try "it 1 \"snapshot && mkdir -p $cgroup && unchanged\"" &&
		rmdir "$cgroup" && want_status 1 && want_match "[+]$cgroup"
	'
fi

# book LINE...: a chapter, and what is found wrong with it.
book() {
	printf '%s\n' "$@" >book.md
	printf '%s\n' 'static int one(void)' '{' '}' >source.c
	echo '--right ps' >help
	echo foreign >names
	run awk -v source=source.c -v help=help -v names=names \
	    -f "$project/tests/prose.awk" book.md
}

it 'a quote that is right passes, and one that is not fails' '
	book "<!-- code: /^static int one/,/^}/ -->" "\`\`\`c" \
	    "static int one(void)" "{" "}" "\`\`\`" && want_status 0 &&
	book "<!-- code: /^static int one/,/^}/ -->" "\`\`\`c" \
	    "static int one(int i)" "{" "}" "\`\`\`" &&
	want_status 1 && want_match "^book.md:6: not what source.c has" &&
	book "<!-- code: /^static int two/,/^}/ -->" "\`\`\`c" "\`\`\`" &&
	want_status 1 && want_match "^book.md:3: not in source.c" &&
	book "\`\`\`c" "int i;" "\`\`\`" && want_status 1 &&
	want_match "C fence without"
'
it 'a name or an option that is wrong fails, and so does a line number' '
	book "It is \`one()\`, not \`foreign()\`: \`whalebox --right /bin/sh --x\`." \
	    "" "## References" "\`copy_utsname()\`" && want_status 0 &&
	book "It is \`oen()\`." && want_status 1 && want_match "function: oen\(\)" &&
	book "Try \`./whalebox --wrong /bin/sh\`." && want_status 1 &&
	want_match "not in --help: --wrong" &&
	book "Try \`./whalebox pz\`." && want_status 1 && want_match "command.*pz" &&
	book "See whalebox.c:12." && want_status 1 &&
	book "See line 12." && want_status 1
'

finish
