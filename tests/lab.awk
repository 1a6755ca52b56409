# lab.awk: whalebox.c with the bodies of one chapter's functions taken out, for
# a student to write anew.
#
#	awk -v chapter=1 -v switch=UTS [-v only=" NAME NAME "] -f tests/lab.awk whalebox.c
#
# With only, no other functions are taken than those: a part of the lab.
#
# All else stays: comments, declarations, tables, and the calls.  A section is
# what stands between `#if WITH_<switch>` and its #endif, in no other #if; the
# tools in it ("--- Tools") stay as well.  A function begins at the left margin,
# with a line that ends in ") {", and ends with a "}" there.
#
# Where a chapter has no functions, the flag in its row is what is taken out.
# Chapter 0 has no switch, and what all other chapters stand on: of its
# functions, those with a name in `plain` are taken.

BEGIN {
	plain = " become_command wait_for_box exit_status "
	due = chapter == 0 ? split(plain, names, " ") : 1

	# To go on without these would do harm, so until they are written whalebox
	# ends where it comes to them.
	guards[4] = "make_mounts_private"
	harms[4] = "a mount could be made on the host as well"
	guards[9] = "mount_layers"
	harms[9] = "the box would be made in the folder that you are in"
	guards[13] = "fork_supervisor"
	harms[13] = "a box with -d would keep you waiting"
	guard = guards[chapter]
	if (only) {
		due = split(only, names, " ")
		if (index(only, " " guard " ") == 0) guard = ""
	}
}

skipped && /^}/ { print_todo(); skipped = 0 }
skipped         { next }

/^#if/ {
	depth++
	if (depth == 1)
		ours = chapter > 0 && $2 == "WITH_" switch && (NF == 2 || $3 ~ /^\/[*]/)
}
/^#el/    && depth == 1 { ours = 0 }
/^#endif/ && --depth == 0 { ours = 0 }

/^\/[*] (===|---) / { tools = / Tools/ }
/^\/[*]/            { said = "" }       # what its head comment says
/^(\/[*]| [*])/     { said = said $0 "\n" }

# The head of a function may have several lines.
/^[a-zA-Z_]/ { head = "" }
/^[a-zA-Z_]/ || (/^[ \t]/ && head) {
	head = head $0 " "
	code = head
	gsub(/\/[*][^*]*[*]\/ */, "", code)
	if (code ~ /\) *{ *$/ && code !~ /[=;]/ && is_taken(code)) {
		print
		note = $0               # a comment behind the head
		skipped = 1
		taken++
		head = ""
		next
	}
	if (code ~ /[;{}] *$/)
		head = ""
}

# The chapter's row in the table of chapters, which stands after all functions.
ours && !taken && /^[ \t]+\[[0-9]+\] = .*CLONE_NEW[A-Z]+/ {
	sub(/CLONE_NEW[A-Z]+/, "0 /* TODO: which flag of clone? */")
	taken++
}

{ print }

function is_taken(code) {
	name = code
	sub(/^PRINTF\([0-9]+\) */, "", name)
	sub(/\(.*/, "", name)
	type = name
	sub(/^.*[ *]/, "", name)
	sub(/[a-z_0-9]+$/, "", type)
	parameters = substr(code, index(code, name "(") + length(name))
	if (chapter == 0)
		return index(plain, " " name " ") > 0 && depth == 0
	return ours && !tools && (!only || index(only, " " name " ") > 0)
}

# A body that compiles.  What it returns says that nothing was done: that all
# failed, and that nothing is so.
function print_todo() {
	print "    /* TODO: write this function's body. */"
	if (name == guard) {
		guarded = 1
		print "    /* Until then this is the end, or else"
		print "     * " harms[chapter] ". */"
		print "    dprintf(2, \"whalebox: " name "() is still to be written\\n\");"
		print "    _exit(125);"
	} else if (type ~ /^static struct [a-z_]+ $/) {
		sub(/^static /, "", type)
		sub(/ $/, "", type)
		print "    return (" type "){ 0 };"
	} else if (type ~ /_Noreturn/)
		print "    _exit(125);"
	else if (type ~ /char \*\*$/ && match(parameters, /char \*\*[a-z_]+/))
		print "    return " substr(parameters, RSTART + 7, RLENGTH - 7) ";"
	else if (type ~ /const char \*$/ && said ~ /or NULL/)
		print "    return NULL;"
	else if (type ~ /const char \*$/)
		print "    return \"\";"
	else if (type ~ /\*$/)
		print "    return NULL;"
	else if (parameters ~ /^\(int argc, char \*\*argv\)/)
		print "    return 125;"
	else if (type ~ /(unsigned|size_t|_t) [a-z ]*$/ && type !~ /ssize_t/)
		print "    return 0;"
	else if (type !~ /void *$/ && is_question())
		print "    return 0;"
	else if (type !~ /void *$/) {
		print "    errno = ENOSYS;             /* \"Function not implemented\" */"
		print "    return -1;"
	}
}

# Is it answered by yes or no?  Its name or its comment tells.
function is_question() {
	return type !~ /enum / && (name ~ /^(is|has|can)_/ ||
	    (said note) ~ /\?|eturns[ \n*]+whether/)
}

END {
	if (taken < due || (guard && !guarded)) {
		print "lab.awk: chapter " chapter " has not all that is to be taken" > "/dev/stderr"
		exit 1
	}
}
