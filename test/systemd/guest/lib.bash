# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# What the tests in the guest are written with.

passed=0 failed=()

# check NAME COMMAND... runs the command, which says by its status whether the
# check passes. What it prints is shown if it does not.
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

not() { ! "$@"; }

# is WANT COMMAND... compares what the command prints.
is() {
	local got
	got=$("${@:2}")
	[[ $got == "$1" ]] || { echo "${*:2}: $got, want $1" && return 1; }
}

# property UNIT NAME prints what systemd says of a unit; properties, on one line,
# several, in systemd's order.
property() { systemctl show --value -p "$2" "$1"; }
properties() {
	local unit=$1
	shift
	systemctl show --value "${@/#/--property=}" "$unit" | paste -sd' '
}

active() { systemctl is-active "$@" | paste -sd' '; }

pid_of() { property "$1" MainPID; }

# scrape PORT prints the metrics.
scrape() { curl -sS --fail --max-time 60 "http://127.0.0.1:$1/metrics"; }

# scraped PORT TEXT prints the lines of the metrics that have the text.
scraped() { scrape "$1" | grep -F -- "$2"; }

# serves PORT COLLECTOR... scrapes once: exactly these collectors must be there
# and work.
serves() {
	local port=$1 want got metrics
	shift
	metrics=$(scrape "$port") || return
	want=$(printf 'kernscope_collector_success{collector="%s"} 1\n' "$@" | sort)
	got=$(grep '^kernscope_collector_success{' <<<"$metrics" | sort)
	[[ $got == "$want" ]] || { printf '%s\n' "port $port:" "$got" && grep '^kernscope_collector_info' <<<"$metrics" && return 1; }
}

# humble PID: the process has no user's and no system's rights any more.
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

# programs prints the names of kernscope's programs in the kernel: the prefix is
# that of a collector.
programs() {
	local prefix
	prefix=$(collectors | tr -d - | paste -sd'|')
	bpftool prog show | grep -oE "name ($prefix)_[a-z_0-9]*" || true
}

# journal UNIT prints what a unit logged.
journal() { journalctl -q --no-pager -o cat -u "$1"; }

logged() { journal "$1" | grep -F -- "$2"; }
