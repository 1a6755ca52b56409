#!/bin/sh
# needs: compiler
# book.sh: what the book says about itself is true.
. "$(dirname "$0")/lib.sh"

plan=tutorial/README.md

it 'explains each word before it uses it' '
	cd "$project" &&
	run_awk() { awk -f tests/words.awk "$@"; } &&
	run_awk $plan tutorial/first/README.md tutorial/[0-9]*/README.md &&
	sed "s/^| relay | \(.*\) | 12 |$/| relay | \1 | 13 |/" $plan >"$scratch/README.md" &&
	mkdir -p "$scratch/tutorial" && mv "$scratch/README.md" "$scratch/tutorial" &&
	{ run_awk "$scratch/tutorial/README.md" tutorial/[0-9]*/README.md >"$scratch/found" || :; } &&
	grep -q "12-tty.*relay, which chapter 13" "$scratch/found"
'

# links FILE...: each link to a file that is not there.
links() {
	for file; do
		grep -o "](\([^)]*\))" "$file" | sed "s/^](//; s/)$//; s/#.*//" |
		    grep -v "^http" | while read -r link; do
			[ -z "$link" ] || [ -e "$(dirname "$file")/$link" ] ||
				echo "$file: there is no $link"
		done
	done
}

it 'has no link that leads nowhere' '
	same "" "$(cd "$project" && links README.md tutorial/*.md tutorial/*/*.md)" &&
	echo "[here](there.md)" >page.md && same "page.md: there is no there.md" "$(links page.md)"
'

# Within a fifth and three minutes of what tests/times.awk says.
it 'tells how long each chapter takes' '
	cd "$project" &&
	sed -n "s/^|.*](\(.*README.md\)) .* | \([0-9]*\) + \([0-9]*\) |$/\1 \2 \3/p" $plan >"$scratch/told" &&
	same "$(ls tutorial/*/README.md | wc -l)" "$(wc -l <"$scratch/told")" &&
	while read -r page reading trying; do
		set -- $(awk -f tests/times.awk "tutorial/$page") &&
		[ $((5 * reading)) -ge $((4 * $1 - 15)) ] && [ $((5 * reading)) -le $((6 * $1 + 15)) ] &&
		[ $((5 * trying)) -ge $((4 * $2 - 15)) ] && [ $((5 * trying)) -le $((6 * $2 + 15)) ] ||
			echo "$page: $reading + $trying, and not $1 + $2"
	done <"$scratch/told" >"$scratch/wrong" && same "" "$(cat "$scratch/wrong")"
'

it 'has a plan for lessons whose minutes add up' '
	awk -F " *[|] *" "
		/^[|] session / { on = 1; next }
		!/^[|]/         { on = 0 }
		on && \$2 ~ /^([0-9]+|all)\$/ {
			rows++
			if (\$4 + \$5 + \$6 + \$7 != \$8) print \"session \" \$2 \": \" \$8
			for (i = 4; i <= 9; i++) {
				if (\$2 == \"all\" && \$i != sum[i]) print \"column \" i \": \" \$i
				sum[i] += \$i
			}
		}
		END { if (rows < 8) print \"no plan\" }
	" "$project/$plan" >found && same "" "$(cat found)"
'

finish
