#!/bin/sh
# wires.sh: what a network costs: a start on a bridge beside one without, and what
# two boxes on a bridge send to each other beside two network namespaces that are
# joined by hand. Prints a Markdown table. Needs root, and a machine with nothing
# else to do.

set -eu
umask 022

case ${1-} in
-h | --help)
	cat <<'END'
usage: bench/wires.sh [ROUNDS]

Measures starts (ROUNDS times 10 of each kind) and throughput (ROUNDS times two
seconds), 10 rounds unless told, by turns, and prints a Markdown table. Needs root,
and a machine with nothing else to do; `make` first.
END
	exit
	;;
esac

. "$(dirname "$0")/apart.sh"

rounds=${1:-10}
case $rounds in
*[!0-9]* | 0*) die "$rounds: not a number of rounds" ;;
esac

# The host is a network namespace of our own.
if [ -z "${WIRES-}" ]; then
	WIRES=apart exec unshare --net "$project/bench/wires.sh" --inside "$tmp" "$rounds"
fi
ip link set lo up

w=$project/whalebox
name=bench$$
mount -t tmpfs tmpfs "$tmp"      # as fast on one machine as on another
chmod 711 "$tmp"        # root of a user namespace has to walk through
export WHALEBOX_HOME="$tmp/home" WHALEBOX_ROOTFS="$tmp/rootfs"
"$project/busybox-rootfs.sh" "$WHALEBOX_ROOTFS"
compile timer
! command -v make >/dev/null || make -s -C "$project" build/tests/wire
cp "$project/build/tests/wire" "$WHALEBOX_ROOTFS"

# However this ends, no box stays, and no process that holds a namespace.
holders=
end_all() {
	"$w" ps -aq | xargs -r "$w" rm -f >/dev/null || true
	for holder in $holders; do
		kill "$holder" || true
	done
}
trap end_all EXIT
trap 'exit 1' HUP INT TERM

median() {
	sort -n | awk '{ t[NR] = $1 } END { print t[int((NR + 1) / 2)] }'
}

# row WHAT A B UNIT DIVISOR GOAL
row() {
	awk -v what="$1" -v a="$2" -v b="$3" -v unit="$4" -v by="$5" -v goal="$6" \
	    'BEGIN { printf "| %s | %.2f %s | %.2f %s | %.2f | %s |\n", what,
		a / by, unit, b / by, unit, a / b, goal }'
}

# ---- Starts -------------------------------------------------------------------

# begins FILE ARGUMENT...: how long it takes until the command of a box has begun,
# in microseconds. The box is removed, which is not measured.
begins() {
	file=$tmp/$1
	shift
	"$built/timer" "time" 1 "$w" -d --name "$name" "$@" /bin/sleep 1000 \
	    2>/dev/null >>"$file"
	"$w" rm -f "$name" >/dev/null
}

# ends FILE ARGUMENT...: a run of /bin/true, to its end.
ends() {
	file=$tmp/$1
	shift
	"$built/timer" "time" 1 "$w" "$@" /bin/true >>"$file"
}

# beside WHAT A B GOAL
beside() {
	row "$1" "$(median <"$tmp/$2")" "$(median <"$tmp/$3")" ms 1000 "$4"
}

# All by turns, and twice: where the network has no box as yet, and where it has.
measure_starts() {
	"$w" --network bridge /bin/true 2>/dev/null     # it tells of ip_forward
	for round in $(seq $((rounds * 5))); do
		begins alone
		begins first --network bridge
		begins published -p 8080:80
		ends run
		ends whole --network bridge
	done
	"$w" -d --name "$name-0" --network bridge /bin/sleep 1000 >/dev/null
	for round in $(seq $((rounds * 5))); do
		begins among
		begins second --network bridge
		begins second-published -p 8080:80
	done
	"$w" rm -f "$name-0" >/dev/null
	beside "a start on a bridge with boxes, beside one with no network" \
	    second among "≤ 2.5"
	beside "the same with a published port" second-published among "≤ 2.5"
	beside "the start of the first box on a bridge" first alone "≤ 2.5"
	beside "the same with a published port" published alone "≤ 2.5"
	beside "the first box on a bridge, to its end" whole run ""
}

# ---- Throughput ---------------------------------------------------------------

# hold: a namespace of its own, $held.
hold() {
	unshare --net sleep 100000 &
	held=$!
	holders="$holders $held"
	until [ "$(readlink /proc/$held/ns/net)" != "$(readlink /proc/self/ns/net)" ]
	do
		kill -0 "$held"
	done
}

# By hand: a third namespace, with a bridge and no rule, has the two joined.
join() {
	hold
	middle=$held
	nsenter --net --target "$middle" ip link add br0 type bridge
	nsenter --net --target "$middle" ip link set br0 up
	for n in 1 2; do
		hold
		nsenter --net --target "$middle" \
		    ip link add port$n type veth peer name eth0 netns "$held"
		nsenter --net --target "$middle" ip link set port$n master br0 up
		nsenter --net --target "$held" ip address add 10.77.0.$n/24 dev eth0
		nsenter --net --target "$held" ip link set eth0 up
		eval "end$n=$held"
	done
}

# between FILE TO FROM ADDRESS: bytes a second, from one process's namespace to
# another's. As all run outside of the boxes, it is the wires that are compared.
between() {
	rm -f "$tmp/drained"
	nsenter --net --target "$2" "$WHALEBOX_ROOTFS/wire" drain 5001 \
	    >"$tmp/drained" &
	until grep -qs ready "$tmp/drained"; do
		kill -0 $!
	done
	nsenter --net --target "$3" "$WHALEBOX_ROOTFS/wire" pour "$4" 5001 2
	wait $!
	tail -n 1 "$tmp/drained" >>"$tmp/$1"
}

measure_throughput() {
	join
	for box in "$name-1" "$name-2"; do
		"$w" -d --name "$box" --network bridge /bin/sleep 100000 >/dev/null
	done
	one=$("$w" inspect "$name-1" pid) two=$("$w" inspect "$name-2" pid)
	address=$("$w" inspect "$name-1" address)
	for round in $(seq "$rounds"); do
		between hand "$end1" "$end2" 10.77.0.1
		between boxes "$one" "$two" "$address"
	done
	row "TCP between two boxes, beside two namespaces joined by hand" \
	    "$(median <"$tmp/boxes")" "$(median <"$tmp/hand")" Gbit/s 125000000 \
	    "≥ 0.95"
}

cat <<END
Medians of $rounds rounds, on $(nproc) processors, Linux $(uname -r),
bridge-nf-call-iptables $(cat /proc/sys/net/bridge/bridge-nf-call-iptables 2>/dev/null || echo off).

| what | with | without | ratio | goal |
|---|---|---|---|---|
END
measure_starts
measure_throughput
