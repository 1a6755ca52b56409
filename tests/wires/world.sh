# shellcheck shell=sh
# world.sh: a host of the tests' own, and a place outside.  A script that begins
# with it runs in a network namespace of its own, which is the host; "outside" is
# another one, at the other end of a wire:
#
#	a box        the host                            outside
#	10.88.0.2 -- whalebox0 10.88.0.1
#	             up0 192.0.2.1 --------------------- out0 192.0.2.2
#	             127.0.0.1                           198.51.100.1
#
# Outside knows no way to 10.88.0.0/16: it can answer nobody but the host.
if [ -z "${WIRES:-}" ]; then
	WIRES=apart exec unshare --net --mount -- sh "$0" "$@"
fi
tests_folder=$(dirname "$0")
[ -e "$tests_folder/lib.sh" ] || tests_folder=$(dirname "$0")/../../tests
. "$tests_folder/lib.sh"

# Outside lasts as long as this script has the other end of the pipe.
mkfifo "$scratch/outside"
unshare --net cat <"$scratch/outside" &
outside=$!
exec 8>"$scratch/outside"
there="nsenter --net --target $outside"
outside() {
	$there "$@"
}

# The process has to be in its namespace before a wire can end there.
is_apart() {
	[ "$(readlink /proc/self/ns/net)" != "$(readlink "/proc/$outside/ns/net")" ]
}
{
	soon is_apart &&
	ip link set lo up &&
	ip link add up0 type veth peer name out0 netns "$outside" &&
	ip address add 192.0.2.1/24 dev up0 && ip link set up0 up &&
	outside ip address add 192.0.2.2/24 dev out0 &&
	outside ip address add 198.51.100.1/32 dev lo &&
	outside ip link set lo up && outside ip link set out0 up &&
	ip route add default via 192.0.2.2
} || exit 1

# The kernel takes away the wires of a box a little after the box.
is_quiet() {
	! ip -o link | grep -q ': wb'
}

# No more wires than leases: none is of a box that has ended.
is_settled() {
	[ "$(ip -o link | grep -c ': wb')" -le "$(leases | wc -l)" ]
}

# at_end COMMAND: when the test ends.
at_end() {
	last_things="$1; ${last_things:-soon is_quiet}"
	trap 'eval "$last_things" >>last 2>&1' EXIT
}

# begin NAME ARGUMENT...: a box in the background, until the test ends.
begin() {
	begun=$1
	at_end "\"\$WHALEBOX\" rm -f $1"
	shift
	box -d --name "$begun" "$@"
	want_status 0
}

value() {
	"$WHALEBOX" inspect "$1" "$2"
}

# within NAME COMMAND...: the host's command, in the network of that box.
within() {
	target=$(value "$1" pid)
	shift
	run nsenter --net --target "$target" "$@"
}

# background FILE COMMAND...: the command, which says so there when it is ready,
# until the test ends.
background() {
	background_file=$1
	shift
	: >"$background_file"           # of an earlier one
	"$@" >"$background_file" 2>&1 &
	at_end "kill $!"
	job=$!
	case " $* " in
	*" $wire "*) soon grep -q ready "$background_file" ;;
	esac
}

# What stands in the host's network: links, addresses, routes and rules.
network() {
	ip -o link | sed 's/^[0-9]*: //; s/ state .*//; s/ <.*//'
	ip -o address | sed 's/^[0-9]*: //; s/ *valid_lft.*//' |
	    grep -v ' inet6 fe80'
	ip route show table all | grep -v ' fe80\|^ff00\|^multicast'
	ip rule
	nft list ruleset 2>&1 | sed 's/ packets [0-9]* bytes [0-9]*//'
	iptables-legacy-save 2>&1 | sed -n '/^-/p'
}

# The leases that somebody has.
leases() {
	grep -rs '^10\.' "$WHALEBOX_HOME/networks" | grep '/leases:'
}

note() {
	soon is_settled && snapshot && network >network.before
}

no_change() {
	network >network.after
	diff network.before network.after
}

nothing_left() {
	unchanged && soon no_change && same "" "$(leases)"
}
