# mutants.awk: prints the faults that tests/mutants.sh makes in whalebox.c, a line
# each, fields parted by "|":
#
#	drop|LINE|K|NAME|CHAPTER|CALLS    the Kth must( of that line does nothing
#	swap|LINE|LINE|NAME|0|            these two lines change places
#
# NAME says what it is, and does not depend on where in the file that stands.
# CALLS are the system calls that may fail there, as in "mount|chdir".

BEGIN {
	# What the kernel calls otherwise than libc does.
	kernel["waitpid"] = "wait4"
	kernel["getentropy"] = "getrandom"
	kernel["gethostname"] = "uname"
	kernel["unlockpt"] = "ioctl"
	kernel["pwrite"] = "pwrite"
	kernel["sigprocmask"] = "rt_sigprocmask"
	kernel["signalfd"] = "signalfd4"
	kernel["fork"] = "fork|clone"
	kernel["remove_new_folder"] = "rmdir|unlinkat|openat"
	kernel["lock_folder"] = "fcntl"
	kernel["open_in_box"] = "openat2"
	kernel["open_log"] = "openat"
	kernel["write_file"] = "write|openat"
	kernel["write_all"] = "write"
	kernel["stat"] = "stat|newfstatat"
	kernel["fstat"] = "fstat|newfstatat"
	kernel["lstat"] = "lstat|newfstatat"
	kernel["access"] = "access|faccessat"
	split("text must syscall sizeof strlen", words, " ")
	for (i in words) no_call[words[i]] = 1
}

/^\/\* === / { chapter = $3 == "Chapter" ? $4 + 0 : /command/ ? 13 : 0 }

/^(static|TOOL|PRINTF).*\(/ {
	head = $0
	sub(/^PRINTF\([0-9]\) /, "", head)
	sub(/\(.*/, "", head)
	sub(/.*[ *]/, "", head)
	name = head
	count = 0
	before = ""
}
/^}/ { name = "" }

# The calls that a step names are those that the must() after it is about.
name != "must" && /[^a-z_]step\(/ { named = calls_in($0) }
name != "" && name != "must" && !/^[ \t]*\*/ && !/^#/ {
	rest = $0
	k = 0
	while (match(rest, /(^|[^a-z_])must\(/)) {
		rest = substr(rest, RSTART + RLENGTH)
		k++
		argument = $0
		sub(/^[ \t]*/, "", argument)
		sub(/[ \t]*\/\*.*/, "", argument)
		gsub(/\|/, "/", argument)
		own = calls_in(rest)
		printf "drop|%d|%d|%s %d: %s|%d|%s\n", NR, k, name, ++count,
		    argument, chapter, own != "" ? own : named
	}
}

# Statements of child(), but for those of a build that lacks a chapter.
name == "child" && /^#else/ { lacks = 1 }
name == "child" && /^#endif/ { lacks = 0 }
name == "child" && !lacks && /^    [a-z_]+\(.*\);/ {
	this = $1
	sub(/;.*/, "", this)
	if (before != "")
		printf "swap|%d|%d|%s after %s|0|\n", line, NR, before, this
	before = this
	line = NR
}

function calls_in(text,   found, word) {
	found = ""
	while (match(text, /SYS_[a-z0-9_]+|[a-z_0-9]+\(/)) {
		word = substr(text, RSTART, RLENGTH)
		text = substr(text, RSTART + RLENGTH)
		sub(/^SYS_/, "", word)
		sub(/\($/, "", word)
		if (word == "step" || word in no_call) continue
		found = found (found == "" ? "" : "|") \
		    (word in kernel ? kernel[word] : word)
	}
	return found
}
