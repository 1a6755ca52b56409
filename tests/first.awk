# first.awk: takes a step of the first hour's program out of its page.
#
#	awk -v step=N -f tests/first.awk tutorial/first/README.md
#
# Step 1 is a whole program.  The C fence of each later step takes the place of all
# that stands between must() and main(), as the page tells its reader.  step=whole
# is what the page prints as the whole, which has to be the last step.

/^<!-- code: none, / { name = $(NF - 1); next }
/^```c$/             { fenced = 1; next }
/^```$/              { if (fenced) name = ""; fenced = 0; next }
!fenced              { next }

name == 1 && /^int main/       { part = 2 }
name == 1 && part != 1         { around[part + 0] = around[part + 0] $0 "\n" }
name == 1 && part == "" && /^}/ { part = 1; next }
name == step && (step != 1 || part == 1) { middle = middle $0 "\n" }

END {
	if (step == "whole") printf "%s", middle
	else if (step == 1) printf "%s%s%s", around[0], middle, around[2]
	else printf "%s\n%s\n%s", around[0], middle, around[2]
	exit middle == ""
}
