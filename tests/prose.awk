# prose.awk: what the book says of the source is true.
#
#	awk -v source=whalebox.c -v quoted=build/chapter-N.c -v help=FILE \
#	    -v names=tests/names -f tests/prose.awk FILE.md...
#
# Quotes: a C fence follows a comment that says which lines it shows of the file
# QUOTED, the source as of that chapter, or of all the source: the first match of
# one expression to the next match of the other, or one line.  They must be equal
# to the letter.
#
#	<!-- code: /^static void set_hostname/,/^}/ -->
#	<!-- code: /^#define LAST_CHAPTER/ -->
#	<!-- code: none -->            this is not from our source
#
# Names: each `name()` in the prose is in the source, or in the file of names
# that are not ours.  References, which cite the kernel's, are not looked at.
# No line is cited by its number.
#
# Options: where code calls whalebox, its commands and its options up to the
# box's command, which has a / in it, are in `whalebox --help`; but not where the
# answer is that there is no such thing.

function fault(text) {
	print FILENAME ":" (paragraph == "" ? FNR : first) ": " text
	faults++
}

function read_source(   line) {
	if (quoted == "") quoted = source
	while ((getline line < quoted) > 0) lines[++total] = line
	close(quoted)
	while ((getline line < source) > 0) {
		while (match(line, /[A-Za-z_][A-Za-z0-9_]*\(/)) {
			known[substr(line, RSTART, RLENGTH - 1)] = 1
			line = substr(line, RSTART + RLENGTH)
		}
	}
}

# The lines of the source that a quote's comment names, or "".
function find_quote(comment,   range, both, i, text) {
	range = comment
	sub(/^<!-- code: *\//, "", range)
	sub(/\/ *-->.*$/, "", range)
	both = split(range, ends, /\/,\//)
	for (i = 1; i <= total; i++) {
		if (text == "" && lines[i] !~ ends[1]) continue
		if (both == 1) return lines[i] "\n"
		if (text != "" && lines[i] ~ ends[2]) return text lines[i] "\n"
		text = text lines[i] "\n"
	}
	return ""
}

function check_quote(   want) {
	if (quote == "") fault("a C fence without a comment that says what it quotes")
	if (quote == "" || quote ~ /code: none/) return
	want = find_quote(quote)
	if (want == "") fault("not in " quoted ": " quote)
	else if (want != fence) fault("not what " quoted " has for: " quote)
}

function check_call(code,   words, count, i, inside, word) {
	count = split(code, words, /[ \t]+/)
	for (i = 1; i <= count; i++) {
		word = words[i]
		if (inside && word ~ /^--?[a-z]/) {
			sub(/=.*/, "", word)
			if (!(word in helped)) fault("not in --help: " word)
		}
		else if (inside && words[i - 1] ~ /whalebox/ && word ~ /^[a-z]+$/) {
			if (!(word in helped)) fault("no command in --help: " word)
		}
		if (word ~ /^[^-].*\/|[;|&>]/) inside = 0
		if (words[i] ~ /^(.*\/)?whalebox(-[-A-Za-z0-9]+)?$/) inside = 1
	}
}

function check_code(code) {
	check_call(code)
	while (match(code, /[A-Za-z_][A-Za-z0-9_]*\(\)/)) {
		if (!(substr(code, RSTART, RLENGTH - 2) in known))
			fault("no such function: " substr(code, RSTART, RLENGTH))
		code = substr(code, RSTART + RLENGTH)
	}
}

function check_paragraph(   pieces, count, i) {
	if (references) paragraph = ""
	count = split(paragraph, pieces, "`")
	for (i = 2; i <= count; i += 2) check_code(pieces[i])
	if (paragraph ~ /whalebox\.c:[0-9]|(^|[^a-z])lines? [0-9]/)
		fault("a line's number is cited: it will change")
	paragraph = ""
}

BEGIN {
	read_source()
	while ((getline line < names) > 0) known[line] = 1
	while ((getline line < help) > 0) {
		count = split(line, parts, /[^-A-Za-z0-9]+/)
		for (i = 1; i <= count; i++) helped[parts[i]] = 1
	}
}

FNR == 1 { references = 0; quote = "" }

/^ *```/ && !fenced {
	check_paragraph()
	fenced = 1
	language = $0
	sub(/^ *```/, "", language)
	fence = ""
	next
}
/^ *```/ {
	fenced = 0
	check_call(typed)
	typed = ""
	if (language == "c") check_quote()
	quote = ""
	next
}
fenced {
	fence = fence $0 "\n"
	if (language ~ /^(sh|console)$/) {
		if (!/^whalebox: there is no (option|command) /) check_call(typed)
		typed = $0
	}
	next
}

/^<!-- code: / { check_paragraph(); quote = $0; next }
/^$/           { check_paragraph(); next }
quote != ""    { fault("no C fence after: " quote); quote = "" }
/^#/           { check_paragraph(); references = /References/ }
               { if (paragraph == "") first = FNR; paragraph = paragraph $0 " " }
/^#/           { check_paragraph() }

END {
	check_paragraph()
	exit faults > 0
}
