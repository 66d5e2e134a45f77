# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# The functions that the tests in the guest share.

passed=0 failed=()

# check NAME COMMAND... runs the command. The check passes if the command succeeds.
# Otherwise check prints the command's output.
check() {
	local name=$1 output
	shift
	if output=$("$@" 2>&1); then
		passed=$((passed + 1))
		printf 'ok    %4d s  %s\n' $SECONDS "$name"
	else
		failed+=("$name")
		printf 'FAIL  %4d s  %s: %s\n' $SECONDS "$name" "$*"
		printf '%s\n' "$output" | tail -n 40 | sed 's/^/      | /'
	fi
}

# within SECONDS COMMAND... repeats the command until it succeeds.
within() {
	local end=$((SECONDS + $1))
	shift
	until "$@"; do
		((SECONDS < end)) || return 1
		sleep 0.5
	done
}

# not COMMAND... succeeds if the command fails.
not() { ! "$@"; }

# is WANT COMMAND... succeeds if the command prints WANT.
is() {
	local got
	got=$("${@:2}")
	[[ $got == "$1" ]] || { echo "${*:2}: $got, want $1" && return 1; }
}

# property UNIT NAME prints a property of a unit. properties UNIT NAME... prints
# several on one line, in systemd's order.
property() { systemctl show --value -p "$2" "$1"; }
properties() {
	local unit=$1
	shift
	systemctl show --value "${@/#/--property=}" "$unit" | paste -sd' '
}

# active UNIT... prints the states of units on one line.
active() { systemctl is-active "$@" | paste -sd' '; }

# pid_of UNIT prints the id of a unit's main process.
pid_of() { property "$1" MainPID; }

# scrape PORT prints the metrics that a port serves.
scrape() { curl -sS --fail --max-time 60 "http://127.0.0.1:$1/metrics"; }

# scraped PORT TEXT prints the lines of the metrics that contain the text.
scraped() { scrape "$1" | grep -F -- "$2"; }

# serves PORT COLLECTOR... scrapes once, and succeeds if the port serves exactly
# these collectors and all of them work.
serves() {
	local port=$1 want got metrics
	shift
	metrics=$(scrape "$port") || return
	want=$(printf 'kernscope_collector_success{collector="%s"} 1\n' "$@" | sort)
	got=$(grep '^kernscope_collector_success{' <<<"$metrics" | sort)
	[[ $got == "$want" ]] || { printf '%s\n' "port $port:" "$got" && grep '^kernscope_collector_info' <<<"$metrics" && return 1; }
}

# humble PID succeeds if the process is not root's, has no capabilities, cannot gain
# privileges and has a seccomp filter.
humble() {
	local key value wrong=0
	while IFS=$':\t' read -r key value; do
		case $key in
		Uid) [[ $value != 0* ]] ;;
		CapEff | CapPrm | CapInh | CapAmb) [[ $value == 0000000000000000 ]] ;;
		NoNewPrivs) [[ $value == 1 ]] ;;
		Seccomp) [[ $value == 2 ]] ;;
		esac || { echo "$key: $value" && wrong=1; }
	done <"/proc/$1/status"
	return $wrong
}

# programs prints the names of kernscope's programs in the kernel. Their prefix is
# the name of a collector.
programs() {
	local prefix
	prefix=$(collectors | tr -d - | paste -sd'|')
	bpftool prog show | grep -oE "name ($prefix)_[a-z_0-9]*" || true
}

# journal UNIT prints what a unit has logged.
journal() { journalctl -q --no-pager -o cat -u "$1"; }

# logged UNIT TEXT prints the logged lines that contain the text.
logged() { journal "$1" | grep -F -- "$2"; }
