# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2154 # shared variables
#
# Bare roots of Debian: its essential packages, those of priority "required",
# and apt. Each suite's is made once a month from the archive that test/vm
# finds, and kept as an archive, so that no run can change it.

# root_archive SUITE names a root after all that goes into it.
root_archive() {
	local sum
	sum=$(sha256sum <"${BASH_SOURCE[0]}")
	echo "$bare_dir/$1-$(date +%Y%m)-${sum:0:12}.tar"
}

# build_root SUITE leaves the root in the cache, whole or not at all.
build_root() {
	need_packages mmdebstrap
	say "installing a bare Debian $1 (once a month)"
	open_archive "$job/apt-$1" "$1"
	mmdebstrap --quiet --variant=minbase "$1" "$job/$1.tar" - <"$job/apt-$1/sources.list"
	mv "$job/$1.tar" "$(root_archive "$1")"
}

# set_up_root ROOT SUITE gives a root what its owner would have set up: names,
# the certificates that this machine trusts besides Debian's, and the way to the
# archive.
set_up_root() {
	local root=$1
	cp -L /etc/resolv.conf /etc/hosts "$root/etc/"
	mkdir -p "$root/usr/local/share/ca-certificates"
	cp -rL /usr/local/share/ca-certificates/. "$root/usr/local/share/ca-certificates/"
	write_sources "$machine_keyring" "$2" >"$root/etc/apt/sources.list"
	apt-config dump | grep -E '^Acquire::[a-z]+::Proxy' >"$root/etc/apt/apt.conf.d/proxy" || true
}
