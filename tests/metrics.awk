# metrics.awk: what in a C file is too much for a reader at once.
#
# Prints each line of over 80 columns, and each function of over 40 lines of
# code; blank lines, lines of comment alone and #if lines, which the text of a
# chapter has not, do not count.  A function goes from the line at the left margin
# that ends in "{", or is followed by a "{" alone, to its "}".

# The line without its comments.
function strip(line,   out, at) {
	gsub(/\\./, "", line)
	gsub(/'"'/, "", line)
	while (line != "") {
		if (in_comment) {
			if (!(at = index(line, "*/"))) return out
			line = substr(line, at + 2)
			in_comment = 0
			continue
		}
		if (!match(line, /"[^"]*"|\/\*|\/\//)) return out line
		out = out substr(line, 1, RSTART - 1)
		at = substr(line, RSTART, 2)
		line = substr(line, RSTART + RLENGTH)
		if (at == "/*") in_comment = 1
		else if (at == "//") return out
		else out = out "\"\""
	}
	return out
}

{
	wide = $0
	while ((at = index(wide, "\t")) > 0)
		wide = substr(wide, 1, at - 1) \
		    substr("        ", 1 + (at - 1) % 8) substr(wide, at + 1)
	if (length(wide) > 80) print "line " NR " has " length(wide) " columns"

	code = strip($0)
	if (code ~ /[^ \t]/ && code !~ /^#/) codes++

	# A signature's first line; a "{" has to come before a ";".
	if (!start && code ~ /^[a-zA-Z].*\(/ && code !~ /;/) {
		start = codes
		name = code
	}
	if (start && code ~ /;[ \t]*$/ && !body) start = 0
	if (start && code ~ /{[ \t]*$/) body = 1
	if (code ~ /^}/) {
		if (start && codes - start + 1 > 40)
			print "function of " codes - start + 1 " lines: " name
		start = body = 0
	}
}
