# lab.awk: whalebox.c without one chapter's code, for a student to write anew.
#
#	awk -v chapter=1 -v switch=UTS -f tests/lab.awk whalebox.c
#
# In each `#if WITH_<switch>` block the comments at the left margin stay (the
# banner and the functions' head comments: the contract), as does what an
# #else holds; the rest becomes TODOs.  Chapter 0 has no switch: its lab is
# the program with the function exit_status() empty.

chapter == 0 {
	if (/^static int exit_status\(int /) body = found = 1
	if (body && $0 == "}") {
		print "    /* TODO: write this function's body. */"
		print "    (void)status;"
		print "    return 0;"
		body = 0
	}
	if (body < 2) print
	if (body && /{$/) body = 2
	next
}

$0 == "#if WITH_" switch { inside = found = 1; todo = 0; next }
!inside                  { print; next }

# Conditions within the block belong to the code that is taken out.
/^#if/                   { depth++; next }
/^#endif/ && depth       { depth--; next }
/^#endif/                { inside = kept = 0; next }
/^#else/ && !depth       { kept = 1; next }
kept                     { print; next }

/^\/\*/                  { comment = 1; if (todo) print "" }
comment                  { print; todo = 0; comment = !/\*\//; next }

# The first line of a function or a variable tells its name and its type.
/^[a-zA-Z]/ {
	if (todo) print ""
	sub(/ *(\/\*.*|=.*|;.*|{)$/, "")
	print "/* TODO: " $0 (/,$/ ? " ..." : "") " */"
	todo = 1
}

# Of other code, the first line's place is marked.
/[^ \t]/ && !todo {
	match($0, /^[ \t]*/)
	print substr($0, 1, RLENGTH) "/* TODO: what chapter " chapter " does here */"
	todo = 1
}

/^$/ && !todo

END {
	if (!found) {
		print "lab.awk: nothing to take out for chapter " chapter > "/dev/stderr"
		exit 1
	}
}
