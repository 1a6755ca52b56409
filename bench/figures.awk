# figures.awk: what a race tells.  Input: a line a round, a column a contender, in
# microseconds, as timer.c's race prints them.
#
#   awk -v names='A B C' -v base=B -f sort.awk -f figures.awk RACE
#
# prints for each contender a line of tabs: its name; the 10th, 50th and 90th
# percentile of its times; the median of its differences to BASE, round by round,
# with that median's standard error: all in milliseconds; and how much of BASE's
# median that makes, with its standard error.
#
# Times of one round are close to each other, so what slows the machine down for a
# while goes out of a difference.  The standard error of a median of n values is
# half the distance between those that are half a root of n places away from it.

# The value below which so much of the N sorted ones is: 0.5 is the median.
function quantile(v, n, part,    i) {
	i = int((n - 1) * part + 1.5)
	return v[i < 1 ? 1 : i > n ? n : i]
}

{
	for (i = 1; i <= NF; i++)
		time[i, NR] = $i
}

END {
	count = split(names, name, " ")
	for (i = 1; i <= count; i++)
		if (name[i] == base)
			b = i
	for (r = 1; r <= NR; r++)
		v[r] = time[b, r]
	sort(v, NR)
	whole = quantile(v, NR, 0.5)

	for (i = 1; i <= count; i++) {
		for (r = 1; r <= NR; r++) {
			v[r] = time[i, r]
			d[r] = time[i, r] - time[b, r]
		}
		sort(v, NR)
		sort(d, NR)
		median = quantile(d, NR, 0.5)
		away = 0.5 / sqrt(NR)
		error = (quantile(d, NR, 0.5 + away) - quantile(d, NR, 0.5 - away)) / 2
		printf "%s\t%.2f\t%.2f\t%.2f\t%.2f\t%.2f\t%.3f\t%.3f\n", name[i],
		    quantile(v, NR, 0.1) / 1000, quantile(v, NR, 0.5) / 1000,
		    quantile(v, NR, 0.9) / 1000, median / 1000, error / 1000,
		    1 + median / whole, error / whole
	}
}
