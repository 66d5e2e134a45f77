# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2034,SC2154 # shared variables
#
# Debian's archive seen through a private apt: any suite, nothing of it
# installed, nothing of the machine's own apt changed. The archive's address is
# the one the machine's own sources name.

machine_keyring=/usr/share/keyrings/debian-archive-keyring.gpg

# open_archive DIR SUITE prepares a private apt in DIR for SUITE and its
# security updates. Everything is verified with Debian's archive keys.
open_archive() {
	local dir=$1 suite=$2 log=$1/update.log
	need "$machine_keyring"
	mkdir -p "$dir"/{lists,cache}
	apt_options=(
		-o "Dir::Etc::sourcelist=$dir/sources.list" -o Dir::Etc::sourceparts=-
		-o "Dir::State::lists=$dir/lists" -o "Dir::Cache=$dir/cache"
		-o Dir::State::status=/dev/null -o APT::Architecture=amd64
		-o APT::Sandbox::User=root -o Acquire::Retries=3
	)
	find_mirrors "$dir"

	# A suite without security updates of its own (backports) makes update
	# fail; what counts is whether the package is found afterwards.
	write_sources "$machine_keyring" "$suite" >"$dir/sources.list"
	apt-get "${apt_options[@]}" update >"$log" 2>&1 || true
	if grep -q 'is not signed' "$log"; then
		newer_keyring "$dir"
		write_sources "$dir/keyring.gpg" "$suite" >"$dir/sources.list"
		apt-get "${apt_options[@]}" update >"$log" 2>&1 || true
	fi
}

# find_mirrors DIR sets mirror and security_mirror from the machine's sources,
# by what the repositories say of themselves, or from the environment where the
# machine's sources are another distribution's.
find_mirrors() {
	mirror=${KERNSCOPE_DEBIAN_MIRROR:-$(repository Debian)}
	security_mirror=${KERNSCOPE_DEBIAN_SECURITY_MIRROR:-$(repository Debian-Security)}
	[[ -z $mirror ]] || return 0

	# Never updated, as in a fresh container: update into a private folder.
	local lists=(-o "Dir::State::lists=$1/machine")
	mkdir -p "$1/machine"
	apt-get "${lists[@]}" update >"$1/update.log" 2>&1 || true
	mirror=$(repository Debian "${lists[@]}")
	security_mirror=${security_mirror:-$(repository Debian-Security "${lists[@]}")}
	[[ -n $mirror ]] ||
		die "this machine's apt sources name no Debian archive; set KERNSCOPE_DEBIAN_MIRROR (and KERNSCOPE_DEBIAN_SECURITY_MIRROR) to the address of one"
}

# repository LABEL [APT OPTION...] prints the address of the first repository
# of Debian with this label.
repository() {
	# shellcheck disable=SC2016 # apt expands these
	apt-get "${@:2}" indextargets --format '$(ORIGIN)|$(LABEL)|$(REPO_URI)' 'Created-By: Packages' |
		awk -F'|' -v label="$1" '$1 == "Debian" && $2 == label { print $3; exit }'
}

# write_sources KEYRING SUITE... prints a sources list.
write_sources() {
	local keyring=$1 suite
	for suite in "${@:2}"; do
		echo "deb [arch=amd64 target=Packages signed-by=$keyring] $mirror $suite main"
		if [[ -n $security_mirror && $suite != *-backports ]]; then
			echo "deb [arch=amd64 target=Packages signed-by=$keyring] $security_mirror $suite-security main"
		fi
	done
}

# newer_keyring DIR leaves in DIR/keyring.gpg the newest archive keyring of those
# suites of the matrix that the machine's keyring verifies. Debian puts the next
# release's keys into the present one, so trust passes from suite to suite; a
# machine's keyring can be older than the suite it is asked about.
newer_keyring() {
	local dir=$1 suites
	say "this machine's Debian keyring is older than the suite; taking the newest one it vouches for"
	mapfile -t suites < <(rows kernels | awk '{ print $4 }' | sort -u)
	write_sources "$machine_keyring" "${suites[@]}" >"$dir/sources.list"
	apt-get "${apt_options[@]}" update >"$dir/keyring.log" 2>&1 || true
	(cd "$dir" && apt-get "${apt_options[@]}" -qq download debian-archive-keyring) ||
		die "no Debian keyring found that this machine can verify: $(complaints "$dir/keyring.log")"
	dpkg-deb -x "$dir"/debian-archive-keyring_*.deb "$dir/keyring"
	cp "$dir/keyring/usr/share/keyrings/debian-archive-keyring.gpg" "$dir/keyring.gpg"
}

# complaints LOG prints the errors and warnings of apt, of any version.
complaints() { grep -E '^(E|W|Error|Warning): ' "$1" || echo 'no errors'; }

# has_package PACKAGE [VERSION] answers by its exit status.
has_package() {
	apt-cache "${apt_options[@]}" show "$1${2:+=$2}" >/dev/null 2>&1
}

# newest_kernel SERIES prints release and version of the newest kernel 5.10, 6.1
# ... in the archive; for a series 7.x, of the newest that begins with 7.
newest_kernel() {
	local series=${1%.x} release
	release=$(apt-cache "${apt_options[@]}" pkgnames "linux-image-$series." |
		sed -En 's/^linux-image-([^-]+(-[0-9]+)?-amd64)$/\1/p' | sort -V | tail -n1)
	[[ -n $release ]] || return
	echo "$release $(apt-cache "${apt_options[@]}" show --no-all-versions "linux-image-$release" |
		sed -n 's/^Version: //p')"
}

# download_packages DIR PACKAGE=VERSION... leaves the .deb files in DIR.
download_packages() {
	(cd "$1" && apt-get "${apt_options[@]}" -qq download "${@:2}" >&2)
}
