# match.awk: does what was printed match what is wanted?
#
#	awk -f tests/match.awk WANTED PRINTED
#
# In WANTED, [..] stands for anything within a line, a line ... for any lines.

function line_matches(pattern, text,   pieces, count, i, at) {
	count = 0
	while ((at = index(pattern, "[..]")) > 0) {
		pieces[++count] = substr(pattern, 1, at - 1)
		pattern = substr(pattern, at + 4)
	}
	if (!count) return text == pattern
	if (substr(text, 1, length(pieces[1])) != pieces[1]) return 0
	text = substr(text, length(pieces[1]) + 1)
	for (i = 2; i <= count; i++) {
		if (!(at = index(text, pieces[i])) && pieces[i] != "") return 0
		if (pieces[i] != "")
			text = substr(text, at + length(pieces[i]))
	}
	return length(text) >= length(pattern) && \
	    substr(text, length(text) - length(pattern) + 1) == pattern
}

NR == FNR { want[++wants] = $0; next }
          { got[++gots] = $0 }

# ok[i, j]: the wanted lines from i on match the printed lines from j on.
END {
	ok[wants + 1, gots + 1] = 1
	for (i = wants + 1; i > 0; i--)
		for (j = gots + 1; j > 0; j--) {
			if (i > wants) continue
			if (want[i] == "...")
				ok[i, j] = ok[i + 1, j] || (j <= gots && ok[i, j + 1])
			else if (j <= gots)
				ok[i, j] = ok[i + 1, j + 1] && \
				    line_matches(want[i], got[j])
		}
	exit !ok[1, 1]
}
