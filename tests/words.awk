# words.awk: no chapter uses a word before the chapter that explains it.
#
#	awk -f tests/words.awk tutorial/README.md tutorial/first/README.md \
#	    tutorial/[0-9]*/README.md
#
# "capability" is found as "capabilities", too.
#
# The words are those of the first file's table "Words", with their chapters.  In that
# chapter a word stands *in italics* or **in bold** once, where it is explained.  In
# an earlier one it may only come in a paragraph that says in which chapter it will be
# explained, or a later one.  What is typed, quoted or cited is not looked at.

function plain(text) {
	text = tolower(text)
	gsub(/`[^`]*`/, "", text)
	return text
}

function check(   i, paragraph, emphasis, later, n) {
	paragraph = plain(whole)
	for (i = 1; i <= count; i++) {
		if (paragraph !~ ("(^|[^a-z])" word[i] "(s|es|d)?([^a-z]|$)")) continue
		emphasis = whole
		if (tolower(emphasis) ~ ("[*]" word[i] "(s|es|d)?[*]")) explained[i, chapter] = 1
		if (home[i] <= chapter) continue
		later = 0
		while (match(paragraph, /chapters? [0-9]+|[0-9][0-9]-[a-z]+\/readme/)) {
			n = substr(paragraph, RSTART, RLENGTH)
			gsub(/[^0-9]/, "", n)
			if (n + 0 >= home[i]) later = 1
			paragraph = substr(paragraph, RSTART + RLENGTH)
		}
		paragraph = plain(whole)
		if (later) continue
		print FILENAME ":" first ": " word[i] ", which chapter " home[i] " explains"
		faults++
	}
	whole = ""
}

FNR == 1 {
	check()
	chapter = -1
	reading = FILENAME ~ /tutorial\/README/
	if (match(FILENAME, /[0-9][0-9]-/)) chapter = substr(FILENAME, RSTART, 2) + 0
	references = fenced = 0
}

reading {
	if (/^## /) table = /^## Words/
	if (!table || !/^\| .* \|$/ || /^\| word/) next
	split($0, cell, / *\| */)
	word[++count] = tolower(cell[2])
	sub(/ty$/, "t(y|ie)", word[count])
	home[count] = cell[4] == "first" ? -1 : cell[4] + 0
	next
}

/^ *```/            { check(); fenced = !fenced; next }
/^## /              { check(); references = /References/ }
/^!\[/              { check(); picture = 1 }
/^$/                { check(); picture = 0; next }
fenced || references || picture || /^<!--/ { next }
/^\|/               { check() }
                    { if (whole == "") first = FNR; whole = whole $0 " " }

END {
	check()
	for (i = 1; i <= count; i++)
		if (!((i, home[i]) in explained)) {
			print "chapter " home[i] " never explains " word[i]
			faults++
		}
	exit faults > 0 || count == 0
}
