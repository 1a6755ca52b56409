# console.awk: makes of each console fence in FILE.md a session to run.
#
#	awk -v dir=DIR -f tests/console.awk FILE.md
#
# Writes for the fence K: DIR/K.sh, a script which prints each command, as the
# fence shows it, before it runs it; DIR/K.want, the fence; and DIR/K.as, who
# is to run it.  Prints the number of fences.

function quote(text) {
	gsub(/'/, "'\\''", text)
	return "'" text "'"
}

# A function that prints a command and leaves $? alone.
function define_shown() {
	return "shown_() { status_=$?; printf '%s\\n' \"$1\"; return $status_; }\n"
}

# The command on the host so far is complete, and so is what its box is given.
function end_command() {
	if (command == "") return
	printf "shown_ %s\n", quote(shown) > script
	if (box == "") print command > script
	else
		printf "{ %s\n} <<'BOX_'\n%s%sBOX_\n", command, define_shown(), \
		    box > script
	print "ended_" > script
	command = box = ""
}

/^```console/ {
	inside = 1
	kind = ""
	script = dir "/" (++count) ".sh"
	wanted = dir "/" count ".want"
	printf "%s", define_shown() > script
	print "ended_() { status_=$?; [ $status_ -eq 0 ] ||" \
	    " echo \"[$status_]\"; return $status_; }" > script
	printf "" > wanted
	print as > (dir "/" count ".as")
	as = ""
	next
}

inside && /^```/ {
	end_command()
	close(script); close(wanted); close(dir "/" count ".as")
	inside = 0
	next
}

inside { print > wanted }

inside && /^\$ / {
	end_command()
	shown = $0
	command = substr($0, 3)
	kind = "host"
	next
}

inside && /^\/ # / {
	box = box "shown_ " quote($0) "\n" substr($0, 5) "\n"
	kind = "box"
	next
}

# A long command goes on after "> ".
inside && /^> / && kind == "host" {
	shown = shown "\n" $0
	command = command "\n" substr($0, 3)
	next
}

inside { kind = "output"; next }

/^<!-- as: / { as = $3 }

END { print count + 0 }
