# tap.awk: makes one TAP stream of many, numbers its tests and sums them up.
#
# The last line it reads has to be "# end".  Scripts that are due are named by
# "# due FILE", and those that run by "# WHERE runs FILE".

function fail(title) {
	print "not ok " (++count) " - " title
	failed++
}

# Other streams' plans and sums.
/^1\.\.[0-9]+$/ || /^[0-9]+ passed, [0-9]+ failed$/ || /^# [0-9]+ skipped$/ { next }

/^# end$/           { ended = 1; next }
/^# due /           { due[$3] = 1; next }
/^# .* runs [^ ]*$/ { ran[$NF] = 1 }

/^ok /              { if (/ # SKIP /) skipped++; else passed++ }
/^not ok /          { failed++ }
/^(not )?ok /       { sub(/ok ([0-9]+ )?/, "ok " (++count) " ") }
                    { print; fflush() }

END {
	if (!ended) fail("the tests run to their end")
	for (file in due)
		if (!(file in ran)) fail(file " runs somewhere")
	print "1.." count + 0
	if (skipped) print "# " skipped " skipped"
	print passed + 0 " passed, " failed + 0 " failed"
	exit !passed || failed > 0
}
