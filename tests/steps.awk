# steps.awk: who says must() has said step().
#
# An error names the step that was taken last.  So in whalebox.c, of each must(),
# require() and die(): the function that says it has taken a step since it began,
# and since it last called a function that takes steps of its own; and that step
# names the system call, where must() has one in its parentheses.  Prints what is
# not so, and has nothing to print.  The file is read twice.
#
#	awk -f tests/steps.awk whalebox.c whalebox.c

BEGIN {
	# What a step calls otherwise than C does.
	other["getentropy"] = "getrandom"       # libc's name for it
	other["unlockpt"] = "ioctl(TIOCSPTLCK)"
	other["pwrite"] = "write"
	other["access"] = "read("               # whether it can be read
	other["write_file"] = "write"           # these are functions of our own
	other["write_all"] = "write"
	other["call_slirp"] = "connect"
	other["lock_folder"] = "fcntl"
	other["open_in_box"] = "openat2"
	other["open_log"] = "open(log)"
	other["remove_new_folder"] = "mkdir"    # it makes room for the new one
	other["remove_new_layer"] = "unlinkat"
	other["move_layer"] = "rename"
	other["drop_unneeded_layers"] = "unlinkat"
	other["ask_kernel"] = "netlink("
	other["make_input"] = "memfd_create"
	other["start_program"] = "vfork"

	# Not looked at: these are told by their callers, who have taken the step.
	split("must require die do_without_cgroup write_limits find_named", names, " ")
	for (i in names) is_told[names[i]] = 1

	# These take the step that they fail at, and leave it to who called them to
	# tell that.
	split("load_leases save_leases save_network write_hosts write_rules " \
	      "begin_rules begin_ports finish_rules " \
	      "remove_link find_named give_back list_names", names, " ")
	for (i in names) is_telling[names[i]] = 1

	# These take a step only to die, or to complain, at once: after them the
	# step is still the caller's.
	split("must require die take_step complain read_file print refuse ends " \
	      "look_at say_it_runs die_of_mount", names, " ")
	for (i in names) is_silent[names[i]] = 1
}

FNR == 1 { pass++; name = ""; statement = "" }

# Comments and preprocessor lines say nothing here.
{
	line = $0
	if (in_comment) {
		if (!sub(/^.*\*\//, "", line)) next
		in_comment = 0
	}
	gsub(/\/\*[^*]*\*\//, "", line)
	if (sub(/\/\*.*$/, "", line)) in_comment = 1
	if (line ~ /^#/ || line ~ /^[ \t]*\*/) next
}

# A function's head, at the margin, and its end.
line ~ /^[a-zA-Z].*\(/ {
	head = line
	sub(/^PRINTF\([0-9]\) /, "", head)
	sub(/\(.*/, "", head)
	sub(/.*[ *]/, "", head)
	name = head
	said = ""
	statement = ""
	next
}
line ~ /^}/ { name = ""; next }
name == "" { next }

# A statement may go over several lines: it is looked at when it is whole.
{
	statement = statement " " line
	if (line !~ /[;{}][ \t]*$/) next
	whole = statement
	statement = ""
}

pass == 1 {
	if (whole ~ /[^a-z_]step\(/) steps[name] = 1
	rest = whole
	while (match(rest, /[a-z_0-9]+\(/)) {
		calls[name, substr(rest, RSTART, RLENGTH - 1)] = 1
		rest = substr(rest, RSTART + RLENGTH)
	}
	next
}

# Who calls a function that takes steps takes steps.
FNR > 1 && !settled {
	for (more = 1; more; ) {
		more = 0
		for (pair in calls) {
			split(pair, two, SUBSEP)
			if (!(two[1] in steps) && (two[2] in steps) &&
			    !(two[2] in is_silent)) {
				steps[two[1]] = 1
				more = 1
			}
		}
	}
	settled = 1
}

name in is_told { next }

# names WHAT: the step that was taken last names it, or what it is called there.
function names_it(what,   short) {
	if (said ~ /step\([0-9]+, call,/) return 1      # the caller has named it
	if (what in other) return index(said, other[what]) > 0
	short = what
	sub(/at[0-9]?$/, "", short)
	return index(said, what) > 0 || index(said, short) > 0
}

function complain(what) {
	printf "line %d, in %s(): %s\n", FNR, name, what
}

{
	# What is said, and called, in the order of the text.
	rest = whole
	if (rest ~ /^[ \t]*if \(/) said_before = said
	if (rest ~ /^[ \t]*else/) said = said_before
	if (rest ~ /[^a-z_]step\(/) {
		said = rest
		next
	}
	while (match(rest, /[a-z_0-9]+\(/)) {
		called = substr(rest, RSTART, RLENGTH - 1)
		rest = substr(rest, RSTART + RLENGTH)
		if (called == "must" && match(rest, /^[a-z_]+\(/) &&
		    (substr(rest, 1, RLENGTH - 1) in is_telling))
			continue
		if (called == "must" || called == "require" || called == "die") {
			if (said == "")
				complain(called "() without a step")
			else if (called == "must") {
				argument = rest
				sub(/^\(\([a-z]+\)/, "", argument)
				if (match(argument, /^syscall\(SYS_[a-z_0-9]+/))
					what = substr(argument, 13, RLENGTH - 12)
				else if (match(argument, /^[a-z_0-9]+\(/))
					what = substr(argument, 1, RLENGTH - 1)
				else
					what = ""
				if (what != "" && !names_it(what))
					complain("must(" what ") after a step that does not name it")
			}
		} else if ((called in steps) && !(called in is_silent))
			is_stale = 1
	}
	if (is_stale) said = ""
	is_stale = 0
}
