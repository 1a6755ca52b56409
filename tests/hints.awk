# hints.awk: prints the rows of whalebox.c's tables of hints, a line each:
# TABLE|CALL|ERROR|FIX.  What stands in a row by a name, a macro's or a text's,
# is put in its place first.

# A definition may go over several lines.
/^#define [A-Z_]+ / || /^static const char [a-z_]+\[\] = "/ { defining = $0 ~ /^#/ ? $2 : $4; text = "" }
defining {
	line = $0
	if (text == "") sub(/^#define [A-Z_]+ |^static const char [a-z_]+\[\] = /, "", line)
	is_macro = defining ~ /^[A-Z_]+$/
	is_over = is_macro ? line !~ /\\$/ : line ~ /;$/
	sub(/[\\;]$/, "", line)
	text = text line " "
	if (is_over) {
		sub(/\[.*/, "", defining)
		is_defined[defining] = 1
		definition[defining] = text
		defining = ""
	}
	next
}

/^static const struct hint [a-z_]+\[\] = \{/ {
	table = $5
	sub(/\[.*/, "", table)
	next
}
/^};/ { table = "" }
table == "" || /^#/ || /\{ 0 \}/ { next }

{
	gsub(/\/\*.*\*\//, "")
	row = row " " $0
	if (row !~ /\},?[ \t]*$/) next
	print table "|" parse(row)
	row = ""
}

# What is in quotes stays, and a word outside of them may be a name.
function parse(row,   out, word, field, n, value) {
	sub(/^[ \t]*\{/, "", row)
	n = 1
	while (row != "") {
		if (match(row, /^"([^"\\]|\\.)*"/)) {
			value[n] = value[n] substr(row, 2, RLENGTH - 2)
		} else if (match(row, /^[A-Za-z_][A-Za-z_0-9]*/)) {
			word = substr(row, 1, RLENGTH)
			if (word in is_defined) {
				row = definition[word] substr(row, RLENGTH + 1)
				continue
			}
			if (word != "fix") value[n] = value[n] word
		} else if (match(row, /^,/))
			n++
		else
			match(row, /^./)
		row = substr(row, RLENGTH + 1)
	}
	return value[1] "|" value[2] "|" value[3]
}
