# metrics.awk: how a C file measures up.
#
# A line is a comment line if it holds a part of a comment, and a code line if
# it holds something else; it can be both.  A function goes from the line at
# the left margin that ends in "{", or is followed by a "{" alone, to its "}".
# Prints: lines, comment lines per code line, and each line that is too long
# (80 columns) and each function that is (40 lines).

# The line without its comments; sets has_comment.
function strip(line,   out, at) {
	has_comment = in_comment
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
		if (at == "/*") { in_comment = has_comment = 1 }
		else if (at == "//") { has_comment = 1; return out }
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
	if (has_comment) comments++
	if (code ~ /[^ \t]/) codes++

	# A signature's first line; a "{" has to come before a ";".
	if (!start && code ~ /^[a-zA-Z].*\(/ && code !~ /;/) {
		start = NR
		name = code
	}
	if (start && code ~ /;[ \t]*$/ && !body) start = 0
	if (start && code ~ /{[ \t]*$/) body = 1
	if (code ~ /^}/) {
		if (start && NR - start + 1 > 40)
			print "function of " NR - start + 1 " lines: " name
		start = body = 0
	}
}

END { printf "%d lines, %.2f comments\n", NR, comments / codes }
