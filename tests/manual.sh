#!/bin/sh
# needs: compiler
# manual.sh: the manual page and the completion of bash know what --help knows,
# and no more.  Each comparison is made with a faulty copy as well, which it has
# to tell from the right one.
. "$(dirname "$0")/lib.sh"

page=$project/extra/whalebox.8
completion=$project/extra/completion.bash

# The rows of --help: "-m, --memory SIZE", "ps [-a] [-q]".
help_rows() {
	"$WHALEBOX" --help | sed -n 's/^  *\([^ ].*\)/\1/p' | sed 's/  .*//' | sort
}

# The options in them, and the commands: a word a line.
help_options() {
	help_rows | grep '^-' | grep -o '^-[^ ,]*\|, --[^ ]*' | sed 's/, //' | sort
}

help_commands() {
	help_rows | sed '/^-/d; s/ .*//' | sort -u
}

# The words that a command has several rows of: "ls" of "image ls".
help_words() {
	help_rows | sed -n "s/^$1 \([a-z]*\).*/\1/p" | sort
}

# section PAGE NAME: its source.
section() {
	awk -v name="$2" '/^\.S[hs] / { on = substr($0, 5) == name } on' "$1"
}

# What a page's lists of options and commands begin their entries with.
page_rows() {
	mandoc -T markdown "$1" 2>/dev/null | awk '
		/^#/ { on = $0 == "## Options" || $0 == "## Commands"; next }
		on && blank && /^\*\*/ { gsub(/[*\\]/, ""); print }
		{ blank = $0 == "" }' | sort
}

# entries PAGE SECTION MACRO: what the entries of its lists are about.
entries() {
	section "$1" "$2" | sed -n "s/^\.It $3 //p" | sed 's/ , /\n/g' | sort
}

# What mandoc has to say.  Which other pages there are depends on the machine.
faults() {
	mandoc -T lint -W all "$1" 2>/dev/null |
		grep -v 'referenced manual not found'
}

variables() {
	grep -o 'getenv("[A-Z_]*")' "$project/whalebox.c" | sed 's/.*("\(.*\)")/\1/'
	echo PATH               # execvp(3) looks at it
}

# Calls the completion as bash does for a line with the cursor at its end: words
# end at blanks, and at each = and :, which are words themselves.
cat >"$scratch/complete.bash" <<'END'
. "$1" || exit
COMP_LINE=$2 COMP_POINT=${#2} COMP_WORDS=() COMP_WORDBREAKS=$' \t\n"\'><=;|&(:'
rest=$2 word='^[[:blank:]]*([^[:blank:]=:]+|[=:]+)(.*)$'
while [[ $rest =~ $word ]]; do
	COMP_WORDS+=("${BASH_REMATCH[1]}") rest=${BASH_REMATCH[2]}
done
[[ $2 != *' ' ]] || COMP_WORDS+=('')
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
_whalebox
[[ ${#COMPREPLY[@]} -eq 0 ]] || printf '%s\n' "${COMPREPLY[@]}" | sort
END

# What is offered for the line of whalebox and these words, each on a line.
reply() {
	run bash --norc "$scratch/complete.bash" "$completion" "$WHALEBOX $1" &&
		want_status 0 && want_no_err
}

# offers LINE [WORD...]: these, and no others.
offers() {
	reply "$1" && shift || return
	want_out "$([ $# -eq 0 ] || printf '%s\n' "$@" | sort)"
}

it 'has a manual page that mandoc finds nothing in' '
	same "" "$(faults "$page")" &&
	sed "s/^\.El$/.Elephant/" "$page" >copy && differ "" "$(faults copy)"
'

it 'has every option and command of --help in the page, and no other' '
	differ "" "$(help_rows)" &&
	same "$(help_rows)" "$(page_rows "$page")" &&
	sed "s/^\.It Fl -init$/.It Fl -tini/" "$page" >copy &&
	help_rows >right && page_rows copy >wrong &&
	run diff right wrong && want_status 1 &&
	same "< --init> --tini" "$(grep "^[<>]" out | tr -d "\n")" &&
	sed "s/^\.It Cm ps .*/.It Cm ps Op Fl a/" "$page" >copy &&
	differ "$(help_rows)" "$(page_rows copy)"
'

it 'has every command in the synopsis of the page' '
	synopsis() {
		section "$1" SYNOPSIS | sed -n "s/^\.Cm \([a-z]*\).*/\1/p" | sort -u
	} && same "$(help_commands)" "$(synopsis "$page")" &&
	sed "0,/^\.Cm logs/s/^\.Cm logs/.Cm log/" "$page" >copy &&
	differ "$(help_commands)" "$(synopsis copy)"
'

it 'has every variable of the environment in the page' '
	found=$(entries "$page" ENVIRONMENT Ev) &&
	same "$(variables | sort -u)" "$found" &&
	sed "/^\.It Ev TERM/d" "$page" >copy &&
	differ "$found" "$(entries copy ENVIRONMENT Ev)"
'

it 'completes every option and command of --help, and no other' '
	reply - && same "$(help_options)" "$out" &&
	reply "" && same "$( (help_commands; echo run) | sort)" "$out" && want_line exec &&
	reply "--explain --name x " && same "$( (help_commands; echo run) | sort)" "$out" &&
	reply "run -" && same "$(help_options)" "$out" && offers "run " &&
	offers "--cpu" --cpus --cpu-shares --cpuset-cpus
'

# A whalebox that will never be has an option and a command more, and one less.
it 'completes what the whalebox at hand has' '
	"$WHALEBOX" --help | sed "s/^  ps .*/  sail [-k SEC] NAME  away/
	    s/--init /--blow HIGH|low  /" >help &&
	printf "#!/bin/sh\ncat $PWD/help\n" >whalebox && chmod +x whalebox &&
	right=$(help_options) && WHALEBOX=$PWD/whalebox &&
	reply - && differ "$right" "$out" && want_line --blow &&
	want_no_line --init && same "$(help_options)" "$out" &&
	offers s sail start stop && offers "r" rm run && offers "sail -" -k && offers p &&
	offers "--storage " overlay aufs &&
	sed "s/^	typed=/	values[--more]=; &/" "$completion" >copy &&
	completion=$PWD/copy && reply - && differ "$(help_options)" "$out" &&
	want_line --more
'

it 'completes the letters of each command' '
	for command in $(help_commands); do
		"$WHALEBOX" --help | sed -n "s/^  $command \(.*\)/\1/p" |
			grep -o "[[ ]-[a-z]" | tr -d "[ " | sort -u >letters
		reply "$command -" && grep -v "^--" out >found
		same "$(cat letters)" "$(cat found)" || exit
	done &&
	offers "rm -" -f && offers "stop -t 5 -" -t && offers "stop -t " && offers "kill -" -s && offers "logs -n " &&
	offers "exec --" --env --interactive --tty --user --workdir && offers "doctor -"
'

it 'completes values that can be counted' '
	offers "--network " none host bridge && offers "--network h" host &&
	offers "--network=h" host && offers "--network=" none host bridge &&
	offers "-p " && offers "network " create ls rm && offers "network c" create &&
	offers "network create -" && offers "network ls " &&
	offers "--userns " host && offers "--storage o" overlay &&
	offers "--name " && offers "-m " && offers "--memory=1" &&
	WHALEBOX_TEST=1 && export WHALEBOX_TEST &&
	offers "-e WHALEBOX_TE" WHALEBOX_TEST &&
	offers "exec --env=WHALEBOX_TE" WHALEBOX_TEST && offers "-e A="
'

it 'completes the capabilities that there are' '
	names=$(sed -n "/capabilities\[\] = {/,/^}/p" "$project/whalebox.c" |
	    grep -o "\"[a-z_]*\"" | tr -d "\"" | tr a-z A-Z; echo ALL) &&
	differ ALL "$names" &&
	offers "--cap-add " $names && offers "--cap-drop=" $names &&
	offers "--cap-drop CHO" CHOWN && offers "--cap-add net_r" net_raw &&
	offers "--cap-add CAP_NET_R" CAP_NET_RAW
'

it 'completes folders of the host and of the box' '
	mkdir -p top/one top/two root/srv/data root/bin &&
	touch top/three root/bin/sh &&
	offers "--rootfs top/" top/one/ top/two/ &&
	offers "--rootfs=top/o" top/one/ &&
	offers "-v top/t" top/three top/two/ &&
	offers "--rootfs root -v top:/s" /srv/ &&
	offers "--rootfs=root --volume=top:/srv/" /srv/data/ &&
	offers "-v top:/srv:" ro rw && offers "-v top:/srv:r" ro rw &&
	offers "--rootfs root -w /b" /bin/ && offers "--rootfs root -w /bin/" &&
	offers "--rootfs root /bin/" /bin/sh &&
	offers "run --rootfs root -itm 64m /b" /bin/ &&
	offers "run --rootfs root -itm64m /b" /bin/ && offers "run -dm 6" &&
	offers "--rootfs root /bin/sh -" && offers "--rootfs root /bin/sh /s" /srv/ &&
	offers "--rootfs root -e A= /b" /bin/ &&
	offers "--rootfs root --tmpfs /s" /srv/ && offers "--tmpfs /srv:s" &&
	offers "--env-file top/t" top/three top/two/ &&
	WHALEBOX_ROOTFS=$PWD/root && offers "-w /srv/" /srv/data/
'

# A shell as it is used: a terminal, Tab, and ^A to look at the line.
it 'completes what is typed' '
	printf "HISTFILE= PS1=; . %s\n" "$completion" >typed &&
	printf "%s --net\tnone --storage=o\t-v /nosuch:/pro\t\001echo got: \n" \
	    "$WHALEBOX" >>typed && echo exit >>typed &&
	run sh -c "while IFS= read -r line; do sleep 1; echo \"\$line\"; done <typed |
	    TERM=dumb script -qec \"bash --norc --noprofile -i\" /dev/null" &&
	want_match "^got: $WHALEBOX --network none --storage=overlay -v /nosuch:/proc/"
'

make_boxes() {
	"$WHALEBOX" -d --name up-1 /bin/sleep 100 &&
	"$WHALEBOX" -d --name up-2 /bin/sleep 100 &&
	"$WHALEBOX" --name down /bin/true
}

if ! make_boxes >"$scratch/boxes" 2>&1; then
	sed 's/^/# /' "$scratch/boxes"
	skip 'no box can be made here' 'boxes that are there'
	finish
fi

it 'completes the names of boxes that are there' '
	offers "rm " up-1 up-2 down && offers "inspect " up-1 up-2 down &&
	offers "logs -f " up-1 up-2 down && offers "rm u" up-1 up-2 &&
	offers "rm -f up-1 " up-2 down && offers "logs up-1 " && offers "ps "
'

it 'completes the names of boxes that a command can work on' '
	offers "stop " up-1 up-2 && offers "stop -t 3 up-2 " up-1 &&
	offers "kill -s HUP " up-1 up-2 && offers "wait " up-1 up-2 down &&
	offers "start " down && offers "start down " &&
	offers "exec " up-1 up-2 && offers "exec -e A=b -t up" up-1 up-2 &&
	offers "exec -w /et" /etc/
'

it 'completes images, and what is done with them' '
	(cd "$WHALEBOX_ROOTFS" && tar -cf - etc) | "$WHALEBOX" image load - one >last &&
	"$WHALEBOX" image tag one two:3 >last && mkdir files && touch files/x.tar &&
	offers "image " $(help_words image) && offers "image l" load ls &&
	offers "image rm " one two:3 && offers "image rm one " two:3 &&
	offers "image save o" one && offers "image save one files/" files/x.tar &&
	offers "image load files/" files/x.tar && offers "image tag one " &&
	offers "image pull " && offers "run t" two:3 && offers "run --image " one two:3 &&
	offers "commit d" down && offers "commit down " one two:3 &&
	"$WHALEBOX" image rm one two:3 >last
'

it 'completes the keys of a record, and what can be visited' '
	offers "inspect down ex" exit_code && offers "inspect up-1 det" detach &&
	offers "inspect down det" && offers "inspect down pid_" pid_start &&
	offers "inspect down pid " && WHALEBOX_ROOTFS=/nosuch &&
	offers "exec up-1 /et" /etc/ && offers "exec up-1 /bin/echo -"
'

it 'has every key of a record in the page' '
	keys=$( (echo address; "$WHALEBOX" inspect down | sed "s/=.*//") | sort) &&
	same "$keys" "$(entries "$page" FILES Cm)" &&
	sed "/^\.It Cm pid_start/d" "$page" >copy &&
	differ "$keys" "$(entries copy FILES Cm)"
'

"$WHALEBOX" rm -f up-1 up-2 down >/dev/null
it 'has scripts that say how they are used, and refuse an option they lack' '
	for script in test.sh vm.sh busybox-rootfs.sh; do
		run "$project/$script" --help && want_status 0 && want_match "$script" &&
		same "" "$(cat err)" && run "$project/$script" --helpp &&
		differ 0 "$status" && want_err "no option --helpp" || exit
	done
'

finish
