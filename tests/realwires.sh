#!/bin/sh
# realwires.sh: servers that people use, in boxes of Debian: nginx with a published
# port, fetched by curl from the host, from outside and from another box by its name;
# redis and its client on a network of their own.  Needs root, the network once, to
# fetch Debian, and some minutes: `make test-wires` installs what it takes.
. "$(dirname "$0")/wires/world.sh"

is_root || {
	echo 'realwires.sh: only root can make a root file system of Debian' >&2
	exit 125
}
LIMIT=300 PATIENCE=60

# Debian with servers, as it comes from where apt has its packages from; fetched once,
# by the network that this script's caller is in.
servers=$project/build/servers.tar
[ -e "$servers" ] || {
	mkdir "$scratch/servers" &&
	apt-get indextargets --format '$(CREATED_BY) $(REPO_URI) $(CODENAME)' \
	    'Origin: Debian' | awk '$1 == "Packages" { print $3, $2; exit }' \
	    >"$scratch/source" && read -r suite mirror <"$scratch/source" &&
	nsenter --net --target "$PPID" debootstrap --variant=minbase \
	    --include=nginx-light,redis-server,curl "$suite" "$scratch/servers" \
	    "$mirror" >"$scratch/debootstrap" 2>&1 &&
	tar -C "$scratch/servers" --numeric-owner --xattrs --format=posix \
	    -cf "$servers.new" . && mv "$servers.new" "$servers"
} || {
	tail -n 5 "$scratch/debootstrap"
	exit 1
}

it 'Debian with servers is an image' '
	box image load "$servers" servers && want_status 0 && want_out servers
'

# in_debian NAME OPTION... -- COMMAND...: a box of it, in the background.
in_debian() {
	begun=$1
	shift
	at_end "\"\$WHALEBOX\" rm -f $begun"
	box run -d --init --name "$begun" "$@"
	want_status 0
}

pages='Welcome to nginx!'
it 'nginx is fetched by curl from the host, from outside, and by name from a box' '
	in_debian web -p 8080:80 servers nginx -g "daemon off;" &&
	up() { curl -fsS http://127.0.0.1:8080/ | grep -q "$pages"; } && soon up &&
	for url in http://127.0.0.1:8080/ http://192.0.2.1:8080/; do
		run curl -fsS "$url" && want_match "$pages" || exit
	done &&
	run $there curl -fsS http://192.0.2.1:8080/ && want_match "$pages" &&
	box run --network bridge servers curl -fsS http://web/ && want_status 0 &&
	want_match "$pages" && box exec web curl -fsS http://192.0.2.1:8080/ &&
	want_match "$pages" && box exec web cat /var/log/nginx/access.log &&
	want_match "^192[.]0[.]2[.]2 .*GET / " && want_match "^10[.]88[.]0[.]3 .*GET / "
'

it 'nginx answers a thousand requests, eight at once, from outside' '
	in_debian web -p 8080:80 servers nginx -g "daemon off;" &&
	up() { curl -fsS http://127.0.0.1:8080/ | grep -q "$pages"; } && soon up &&
	run $there sh -c "seq 1000 | xargs -n 125 -P 8 sh -c '\''
	    for n; do
	        curl -sS -o /dev/null -w \"%{http_code}\n\" http://192.0.2.1:8080/
	    done'\'' sh" && want_status 0 && want_no_err &&
	same 1000 "$(grep -cx 200 out)"
'

it 'redis serves a client on a network of their own, and nobody else' '
	at_end "\"\$WHALEBOX\" network rm shop" && box network create shop &&
	want_out shop &&
	in_debian db --network shop servers redis-server --bind 0.0.0.0 \
	    --protected-mode no &&
	up() { "$WHALEBOX" exec db redis-cli ping | grep -q PONG; } && soon up &&
	box run --network shop servers redis-cli -h db set colour blue &&
	want_status 0 && want_out OK &&
	box run --network shop servers redis-cli -h db get colour && want_out blue &&
	box run --network shop servers redis-benchmark -h db -q -n 20000 -t set,get &&
	want_status 0 && want_match "SET: [0-9.]+ requests per second" &&
	address=$("$WHALEBOX" inspect db address) &&
	box run --network bridge servers timeout 3 redis-cli -h "$address" ping &&
	differ 0 "$status" && want_no_match PONG &&
	box run --network bridge servers redis-cli -h db ping && differ 0 "$status"
'

it 'nothing is left of them' '
	box image rm servers && want_status 0 && soon is_quiet &&
	ip -o link >out && want_no_match whalebox && same "" "$(leases)"
'

finish
