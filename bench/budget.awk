# budget.awk: where the time of a start goes.  Input: what timer.c's steps prints of
# whalebox --explain; before that, with file=1, the chapters' titles, a line each,
# "N: TITLE".  A step lasts until the next one is told, by whichever process.
#
#   awk -f sort.awk -f budget.awk file=1 TITLES file=2 STEPS
#
# prints for each chapter a line: its number and title, a tab, and the median of
# what its steps take together, in milliseconds; and lines for what is before the
# first step, for the clone, which is several chapters' work, and for what comes
# after the child's last step.

file == 1 {
	split($0, part, ": ")
	title[part[1] + 0] = part[1] ": " part[2]
	if (part[1] + 0 > last)
		last = part[1] + 0
	next
}

# MICROSECONDS <tab> [ N parent] CALL, or "end"
{
	split($0, part, "\t")
	now = part[1]
	if (step != "")
		sum[step, run] += now - before
	before = now
	if (part[2] == "end") {
		step = ""
		next
	}
	if (step == "") {
		run++
		sum["begin", run] = now
	}
	step = substr(part[2], 2, 2) + 0
	if (part[2] ~ /clone3\(/)
		step = "clone"
	if (part[2] ~ /execve\(/)
		step = "command"
}

function row(step, words,    r, v) {
	for (r = 1; r <= run; r++)
		v[r] = sum[step, r] + 0
	sort(v, run)
	printf "%s\t%.3f\n", words, v[int((run + 1) / 2)] / 1000
}

END {
	row("begin", "spawned, until main()")
	row("clone", "clone3: the namespaces are made")
	for (n = 0; n <= last; n++)
		if (n in title)
			row(n, title[n])
	row("command", "execve, the command, the end of the box")
}
