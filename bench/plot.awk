# plot.awk: a bar chart as an SVG.  Input: lines of tabs, a label and a value, or a
# label, a value, and two between which most of the measured are.
#
#   awk -v title='What it shows' -v unit=ms -f plot.awk FIGURES
#
# It has the colours of the tutorial's figures, and reads on white and on black.

BEGIN {
	FS = "\t"
	bar = 22                # height, with the space to the next
	left = 270              # room for the labels
	width = 720
}

function escaped(text) {
	gsub(/&/, "\\&amp;", text)
	gsub(/</, "\\&lt;", text)
	return text
}

{
	label[NR] = $1
	value[NR] = $2
	low[NR] = $3
	high[NR] = NF >= 4 ? $4 : ""
	end = high[NR] != "" && high[NR] + 0 > $2 + 0 ? high[NR] : $2
	if (end + 0 > most + 0)
		most = end
}

END {
	height = NR * bar + 50
	scale = (width - left - 90) / (most > 0 ? most : 1)
	printf "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" " \
	    "viewBox=\"0 0 %d %d\" role=\"img\" aria-labelledby=\"title\">\n", \
	    width, height, width, height
	printf "  <title id=\"title\">%s</title>\n", escaped(title)
	print "  <style>"
	print "    text { font: 13px system-ui, \"DejaVu Sans\", sans-serif; fill: #1f2328; }"
	print "    .b { font-weight: 600; } .e { text-anchor: end; }"
	print "    .back { fill: #ffffff; } .bar { fill: #3a84c9; }"
	print "    .ours { fill: #3f9355; } .line { stroke: #7d8790; stroke-width: 2; }"
	print "    @media (prefers-color-scheme: dark) {"
	print "      text { fill: #e6edf3; } .back { fill: #0d1117; }"
	print "    }"
	print "  </style>"
	printf "  <rect class=\"back\" width=\"%d\" height=\"%d\"/>\n", width, height
	printf "  <text class=\"b\" x=\"12\" y=\"24\">%s</text>\n", escaped(title)
	for (i = 1; i <= NR; i++) {
		y = 40 + (i - 1) * bar
		printf "  <text class=\"e\" x=\"%d\" y=\"%d\">%s</text>\n", left - 8, \
		    y + 14, escaped(label[i])
		printf "  <rect class=\"%s\" x=\"%d\" y=\"%d\" width=\"%.1f\" height=\"%d\"/>\n", \
		    label[i] ~ /^whalebox/ ? "ours" : "bar", left, y + 2, \
		    value[i] * scale, bar - 7
		end = value[i]
		if (high[i] != "") {
			end = high[i] + 0 > end + 0 ? high[i] : end
			printf "  <path class=\"line\" d=\"M%.1f %d H%.1f\"/>\n", \
			    left + low[i] * scale, y + 9, left + high[i] * scale
		}
		printf "  <text x=\"%.1f\" y=\"%d\">%s %s</text>\n", \
		    left + end * scale + 6, y + 14, value[i], unit
	}
	print "</svg>"
}
