# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# What the scripts share to set a machine up. A script sources it from the top of
# the repository.

# The scripts keep here, outside the tree, what they fetch or build only once.
export KERNSCOPE_CACHE=${KERNSCOPE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/kernscope}

# The Go code has no C in it, so Go needs no compiler. scripts/build stamps the
# version, so Go need not ask git for it.
export CGO_ENABLED=0
export GOFLAGS="${GOFLAGS:+$GOFLAGS }-buildvcs=false"

# Root's PATH may lack the folders of the tools for file systems and modules.
export PATH=$PATH:/usr/sbin:/sbin

# say TEXT... prints a heading.
say() { printf '\n== %s\n' "$*" >&2; }

# die TEXT... prints an error and ends the script.
die() {
	printf '%s: %s\n' "${0##*/}" "$*" >&2
	exit 1
}

# Variables that say how this machine reaches the Internet.
network_settings=(GOPROXY GOSUMDB GONOSUMDB GOPRIVATE GOINSECURE http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY)

# settings NAME... prints NAME=VALUE for each of these variables that is set.
settings() {
	local name
	for name; do
		[[ ! -v $name ]] || printf '%s=%s\n' "$name" "${!name}"
	done
}

# become_root SCRIPT ARGS... runs the script again through sudo, unless this is
# root. The script's path is relative to the top of the repository. The new process
# gets the environment variables that the user may have set for it.
become_root() {
	local keep script=$1
	shift
	((EUID)) || return 0
	command -v sudo >/dev/null || die "needs root, to install packages and to load BPF programs, and this machine has no sudo: run it as root"
	mapfile -t keep < <(settings PATH GOFLAGS KERNSCOPE_CACHE KERNSCOPE_OUT CI "${network_settings[@]}")
	exec sudo env "${keep[@]}" "$PWD/$script" "$@"
}

# need_packages PACKAGE... installs Debian packages that are missing.
need_packages() {
	local package log missing=()
	for package; do
		[[ $(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null) == installed ]] || missing+=("$package")
	done
	((${#missing[@]})) || return 0
	command -v apt-get >/dev/null || die "needs the packages ${missing[*]}, and can install packages only with apt-get: install them by hand"
	((EUID == 0)) || die "needs root to install ${missing[*]}"
	say "installing ${missing[*]}"
	# A package source that fails may not be needed, so a failing update does not
	# end the script. A new machine may be upgrading itself and hold the lock.
	log=$({
		apt-get update -qq
		DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
			-o DPkg::Lock::Timeout=300 "${missing[@]}"
	} 2>&1) || die "apt-get could not install ${missing[*]}:"$'\n'"$log"
}

# at_least WANT HAVE succeeds if the dotted version HAVE is at least WANT.
at_least() { [[ $(printf '%s\n' "$1" "$2" | sort -V | head -n1) == "$1" ]]; }

# go_version prints the version of the go command in PATH, such as 1.26.0, or
# nothing. It runs the command outside the module: there, go neither refuses its
# version nor switches to another.
go_version() { (cd / && GOTOOLCHAIN=local go env GOVERSION 2>/dev/null) | sed -E 's/^go//; s/[ -].*//'; }

# provide_go puts a go command into PATH that is new enough for go.mod. If the
# machine's go is older or missing, the distribution's go fetches the right
# toolchain as a module, from the same proxy and with the same checksum database as
# any module.
provide_go() {
	local want pinned dir
	want=$(sed -n 's/^go //p' go.mod)
	pinned=$(sed -n 's/^toolchain go//p' go.mod)
	pinned=${pinned:-$want}
	dir=$KERNSCOPE_CACHE/go$pinned

	# Go's archive is usually unpacked here, and PATH under sudo lacks it.
	[[ -x /usr/local/go/bin/go ]] && PATH=$PATH:/usr/local/go/bin
	if ! at_least "$want" "$(go_version)"; then
		[[ -x $dir/bin/go ]] || fetch_go "$pinned" "$dir"
		PATH=$dir/bin:$PATH
	fi
	# The go command in PATH is the right one, so it must not switch to another.
	export PATH GOTOOLCHAIN=local
}

# fetch_go VERSION DIR fetches a Go toolchain into a folder.
fetch_go() {
	local version=$1 dir=$2 arch tmp unpacked file
	case $(uname -m) in
	x86_64) arch=amd64 ;;
	aarch64) arch=arm64 ;;
	*) die "has no Go toolchain for $(uname -m): install Go by hand" ;;
	esac
	command -v go >/dev/null || need_packages ca-certificates golang-go
	say "fetching Go $version; this machine has $(go_version)"
	mkdir -p "$KERNSCOPE_CACHE"
	tmp=$(mktemp -d "$KERNSCOPE_CACHE/fetch.XXXXXX")
	(cd "$tmp" && GO111MODULE=on GOWORK=off GOFLAGS=-modcacherw GOTOOLCHAIN=local GOMODCACHE=$tmp \
		go mod download "golang.org/toolchain@v0.0.1-go$version.linux-$arch") ||
		die "could not fetch Go $version: install it by hand, or set GOPROXY to a module proxy that this machine reaches"
	unpacked=$tmp/golang.org/toolchain@v0.0.1-go$version.linux-$arch
	# A module has neither execute bits nor nested go.mod files. Go restores both
	# when it switches by itself; here, the script does.
	chmod +x "$unpacked"/bin/* "$unpacked"/pkg/tool/*/*
	find "$unpacked" -name _go.mod | while read -r file; do cp "$file" "${file%_go.mod}go.mod"; done
	# Another script may have fetched it meanwhile.
	mv -T "$unpacked" "$dir" || [[ -x $dir/bin/go ]]
	rm -rf "$tmp"
}
