# shellcheck shell=bash
# completion.bash: bash completes whalebox's command lines.
#
#	. extra/completion.bash in this shell; or, for all to come, put that into
#	                        ~/.bashrc, with the file's whole path
#
# It knows no option and no command: it reads them from the --help of the very
# whalebox that is being typed, so it fits whatever was built.  A row of that is
# "-m, --memory SIZE  what it does", or "stop [-t SEC] NAME...  what it does".

# The names of capabilities, which --help leaves out.
_whalebox_capabilities='ALL CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID
	KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE
	NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO
	SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE
	SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP
	MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ
	PERFMON BPF CHECKPOINT_RESTORE'

# The functions share the locals of _whalebox(), at the end, which is the one
# that bash calls:
#	program     what is being typed: whalebox, or a path to one
#	words       the words before the cursor's, the program first
#	current     the word that ends at the cursor, or what is to be completed
#	values      how the value of each option is called: [-m]=SIZE, and
#	            [--memory]=SIZE; "" if it has none
#	longs       the long name of each letter: [-m]=--memory
#	usages      what can follow each command: [stop]=' [-t SEC] NAME...'
#	letters     the letters of each command: [stop]=' -t'
#	subwords    the second words of a command that has some: [image]=' ls load'
#	run_word    the word that can stand before options: run
#	operand     the number of the first word that is no option
#	pending     the option whose value is $current, if it is one

# Read --help.
_whalebox_read_help() {
	local line command='^  ([a-z]+)(( [^ ]+)*)  (.*)'
	local option='^  ((-[a-zA-Z]), |    )(--[a-z-]+)( ([^ ]+))?  '
	local run='^or: +whalebox ([a-z]+) '
	while IFS= read -r line; do
		if [[ $line =~ $option ]]; then
			values[${BASH_REMATCH[3]}]=${BASH_REMATCH[5]}
			[[ -n ${BASH_REMATCH[2]} ]] || continue
			values[${BASH_REMATCH[2]}]=${BASH_REMATCH[5]}
			longs[${BASH_REMATCH[2]}]=${BASH_REMATCH[3]}
		elif [[ $line =~ $run ]]; then
			run_word=${BASH_REMATCH[1]}
		elif [[ $line =~ $command ]]; then
			command_word=${BASH_REMATCH[1]}
			usages[$command_word]=${BASH_REMATCH[2]}
			[[ ! ${BASH_REMATCH[2]} =~ ^\ ([a-z]+)(.*) ]] || {
				subwords[$command_word]+=" ${BASH_REMATCH[1]}"
				usages[$command_word ${BASH_REMATCH[1]}]=${BASH_REMATCH[2]}
			}
			while [[ $line =~ [\ \[](-[a-zA-Z])(.*) ]]; do
				letters[$command_word]+=" ${BASH_REMATCH[1]}"
				line=${BASH_REMATCH[2]}
			done
		fi
	done < <("$program" --help 2>/dev/null)
}

# a:b and a=b are three words each to bash, and one to us.  What tells them from
# three with blanks between them is the line.
_whalebox_join_words() {
	local i word line=$COMP_LINE
	for ((i = 0; i <= COMP_CWORD; i++)); do
		word=${COMP_WORDS[i]}
		if [[ $i -gt 0 && $line != [[:blank:]]* &&
		      ($word == [=:]* || ${words[-1]} == *[=:]) ]]; then
			words[-1]+=$word
		else
			words+=("$word")
		fi
		line=${line#"${line%%[![:blank:]]*}"}
		line=${line#"$word"}
	done
	current=${words[-1]}
	unset 'words[-1]'
}

# Take off what bash holds to be words before the current one, $1.
_whalebox_split_replies() {
	local before=$1
	while [[ -n $before ]]; do
		[[ $before != *[=:] || $COMP_WORDBREAKS != *"${before: -1}"* ]] ||
			break
		before=${before%?}
	done
	COMPREPLY=("${COMPREPLY[@]#"$before"}")
	# A folder, or the half of a pair: there is more to come.
	[[ ${#COMPREPLY[@]} -ne 1 || ${COMPREPLY[0]} != *[/=:] ]] ||
		compopt -o nospace 2>/dev/null
}

# Offer those of the words that begin with $current.
_whalebox_offer() {
	local word
	for word; do
		[[ $word != "$current"* ]] || COMPREPLY+=("$word")
	done
}

# Offer paths below the folder $2, "" for the host's root: folders alone with -d
# as $1, files as well with -f.
_whalebox_offer_paths() {
	local path
	compopt -o filenames 2>/dev/null        # they may need quotes
	while IFS= read -r path; do
		[[ ! -d $path ]] || path=${path%/}/
		COMPREPLY+=("${path#"$2"}")
	done < <(compgen "$1" -- "$2$current")
}

# The same in the box, whose root is $2, or what a run on this line would have.
_whalebox_offer_box_paths() {
	local i rootfs=${2:-${WHALEBOX_ROOTFS:-rootfs}}
	for ((i = 1; i < ${#words[@]}; i++)); do
		case ${words[i]} in
		--rootfs) rootfs=${words[i + 1]} ;;
		--rootfs=*) rootfs=${words[i]#*=} ;;
		esac
	done
	current=${current:-/}
	[[ $current != /* ]] || _whalebox_offer_paths "$1" "${rootfs%/}"
}

# Offer names of boxes that the command $1 works on, but for those that are on
# the line already.
_whalebox_offer_boxes() {
	local name running all
	running=" $("$program" ps -q 2>/dev/null | tr '\n' ' ')"
	all=$("$program" ps -aq 2>/dev/null)
	for name in $all; do
		case $1 in
		stop | kill | exec) [[ $running == *" $name "* ]] || continue ;;
		start) [[ $running != *" $name "* ]] || continue ;;
		esac
		[[ " ${words[*]:operand} " == *" $name "* ]] ||
			_whalebox_offer "$name"
	done
}

# Offer the networks that there are, but for these.
_whalebox_offer_networks() {
	local name
	for name in $("$program" network ls 2>/dev/null | sed '1d; s/ .*//'); do
		[[ " $* " == *" $name "* ]] || _whalebox_offer "$name"
	done
}

# Offer names of images, but for those that are on the line already.
_whalebox_offer_images() {
	local name
	for name in $("$program" images -q 2>/dev/null); do
		[[ " ${words[*]:operand} " == *" $name "* ]] ||
			_whalebox_offer "$name"
	done
}

# Offer what can follow the command $1, which has second words.
_whalebox_offer_subwords() {
	local place=$((${#words[@]} - operand)) usage name
	if [[ $place -eq 0 ]]; then
		for name in ${subwords[$1]}; do
			_whalebox_offer "$name"
		done
		return
	fi
	usage=${usages[$1 ${words[operand]}]}
	if [[ $1 == network ]]; then
		[[ $usage != NAME... ]] ||
			_whalebox_offer_networks "${words[@]:operand}"
		return
	fi
	case $place$usage in
	1\ NAME* | *NAME...) _whalebox_offer_images ;;
	1\ FILE* | 2\ NAME\ FILE) _whalebox_offer_paths -f '' ;;
	esac
}

# Offer values of the option $1.
_whalebox_offer_value() {
	local before name names=$_whalebox_capabilities
	case $1=${values[$1]} in
	--image=*)
		_whalebox_offer_images ;;
	--cap-*)
		[[ $current != [a-z]* ]] || names=${names,,}
		if [[ $current == [Cc][Aa][Pp]_* ]]; then
			for name in $names; do
				_whalebox_offer "${current:0:4}$name"
			done
		else
			# shellcheck disable=SC2086  # a list of words
			_whalebox_offer $names
		fi ;;
	*=SRC:*)
		before=${current%:*}:
		case $current in
		*:*:*)
			_whalebox_offer "${before}ro" "${before}rw" ;;
		*:*)
			current=${current#*:}
			_whalebox_offer_box_paths -f
			COMPREPLY=("${COMPREPLY[@]/#/$before}") ;;
		*)
			_whalebox_offer_paths -f '' ;;
		esac ;;
	*=DST*)
		[[ $current == *:* ]] || _whalebox_offer_box_paths -d ;;
	*=FILE)
		_whalebox_offer_paths -f '' ;;
	*=NAME\[=VALUE\])
		mapfile -t COMPREPLY < <(compgen -A export -- "$current") ;;
	--rootfs=*)
		_whalebox_offer_paths -d '' ;;
	*=DIR)
		_whalebox_offer_box_paths -d ;;
	*=[a-z]*)                       # the words themselves, as in none|host
		IFS='|' read -ra names <<<"${values[$1]}"
		[[ ${names[-1]} != NAME ]] || unset 'names[-1]'
		_whalebox_offer "${names[@]}"
		[[ $1 != --network ]] || _whalebox_offer_networks "${names[@]}" ;;
	esac
}

# Go past the options from word number $1 on, and set operand and pending.
_whalebox_skip_options() {
	local word i
	for ((operand = $1; operand < ${#words[@]}; operand++)); do
		word=${words[operand]} pending=
		[[ $word == -?* ]] || return
		[[ $word != -- ]] || break
		# As in -aq; as in -m64m, the first that has a value is the last.
		for ((i = 1; i < ${#word}; i++)); do
			[[ $word != --* && -n ${values[-${word:i:1}]} ]] || continue
			[[ $i -lt $((${#word} - 1)) ]] || word=-${word:i:1}
			break
		done
		if [[ -n ${values[$word]} ]]; then
			pending=$word
			((operand++))           # its value
		fi
	done
	[[ $word != -- ]] || ((operand++))
	[[ $operand -gt ${#words[@]} ]] || pending=
}

# Offer options, or a value of one; false if it is no place for either.
_whalebox_offer_options() {
	local option
	if [[ -n $pending ]]; then
		_whalebox_offer_value "$pending"
	elif [[ $operand -lt ${#words[@]} || $current != -* ]]; then
		return 1
	elif [[ $current == --*=* ]]; then
		option=${current%%=*} current=${current#*=}
		_whalebox_offer_value "$option"
		COMPREPLY=("${COMPREPLY[@]/#/$option=}")
	else
		_whalebox_offer "${!values[@]}"
	fi
}

# Have values hold the options of the command $1 alone.  Where its usage shows
# no letters, they are options of a run, which have long names.
_whalebox_use_letters() {
	local letter usage=${usages[$1]} value
	declare -A own=()
	for letter in ${letters[$1]}; do
		value=${values[$letter]}
		[[ -z ${longs[$letter]} || $usage == *"[$letter"* ]] ||
			own[${longs[$letter]}]=$value
		[[ $usage != *"[$letter]"* ]] || value=
		[[ $usage != *"[$letter "* ]] || value=${usage#*"[$letter "}
		own[$letter]=${value%%"] "*}
	done
	values=()
	for letter in "${!own[@]}"; do
		values[$letter]=${own[$letter]}
	done
}

# Offer what can follow the command $1, which is the last operand.
_whalebox_offer_operands() {
	local usage=${usages[$1]} place
	local -a keys
	_whalebox_use_letters "$1"
	_whalebox_skip_options $((operand + 1))
	! _whalebox_offer_options || return
	place=$((${#words[@]} - operand))
	if [[ -n ${subwords[$1]} ]]; then
		_whalebox_offer_subwords "$1"
	elif [[ $usage == *IMAGE && $place -eq 1 ]]; then
		_whalebox_offer_images
	elif [[ $usage == *NAME* && ($place -eq 0 || $usage == *NAME...*) ]]; then
		_whalebox_offer_boxes "$1"
	elif [[ $usage == *KEY* && $place -eq 1 ]]; then
		mapfile -t keys < <("$program" inspect "${words[operand]}" \
		    2>/dev/null | sed 's/=.*//' | sort -u)
		_whalebox_offer "${keys[@]}"
	elif [[ $usage == *COMMAND* ]]; then
		_whalebox_offer_box_paths -f \
		    "$("$program" inspect "${words[operand]}" image 2>/dev/null)"
	fi
}

# Offer what the first operand can be: a command, or, after run, an image.
_whalebox_offer_words() {
	local word
	[[ ${#usages[@]} -gt 0 ]] || _whalebox_offer_images
	for word in "${!usages[@]}"; do
		[[ $word == *' '* ]] || _whalebox_offer "$word"
	done
}

_whalebox() {
	local program current typed operand pending command_word run_word
	local -a words=()
	local -A values=() longs=() usages=() letters=() subwords=()
	local IFS=$' \t\n'             # whatever the caller's is
	COMPREPLY=()
	_whalebox_join_words
	typed=$current program=${words[0]/#~\//$HOME/}
	_whalebox_read_help
	_whalebox_skip_options 1
	if [[ -n $run_word && ${words[operand]} == "$run_word" ]]; then
		usages=()
		_whalebox_skip_options $((operand + 1))
	elif [[ -n $run_word ]]; then
		usages[$run_word]=
	fi
	if _whalebox_offer_options; then
		:
	elif [[ $operand -lt ${#words[@]} && -v usages[${words[operand]}] ]]; then
		_whalebox_offer_operands "${words[operand]}"
	elif [[ $current == /* ]]; then
		_whalebox_offer_box_paths -f
	elif [[ $operand -eq ${#words[@]} ]]; then
		_whalebox_offer_words
	fi
	_whalebox_split_replies "$typed"
}
complete -F _whalebox whalebox
