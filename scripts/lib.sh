# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# Set-up that the scripts share. Sourced from the top of the repository.

# What is fetched or built once is kept here, outside the tree.
export KERNSCOPE_CACHE=${KERNSCOPE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/kernscope}

# There is no C in the Go half, so no compiler is needed. The version is
# stamped by scripts/build, so Go need not ask git for it.
export CGO_ENABLED=0
export GOFLAGS="${GOFLAGS:+$GOFLAGS }-buildvcs=false"

# The tools of file systems and modules are where not every root's PATH leads.
export PATH=$PATH:/usr/sbin:/sbin

say() { printf '\n== %s\n' "$*" >&2; }

die() {
	printf '%s: %s\n' "${0##*/}" "$*" >&2
	exit 1
}

# How this machine reaches the Internet, where it is told so.
network_settings=(GOPROXY GOSUMDB GONOSUMDB GOPRIVATE GOINSECURE http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY)

# settings NAME... prints NAME=VALUE for each of these that the environment has.
settings() {
	local name
	for name; do
		[[ ! -v $name ]] || printf '%s=%s\n' "$name" "${!name}"
	done
}

# become_root SCRIPT ARGS... runs the script, named from the top of the
# repository, again through sudo unless it is root's already. What the user chose in the environment goes along.
become_root() {
	local keep script=$1
	shift
	((EUID)) || return 0
	command -v sudo >/dev/null || die "needs root (to install packages and to load BPF programs), and there is no sudo: run it as root"
	mapfile -t keep < <(settings PATH GOFLAGS KERNSCOPE_CACHE KERNSCOPE_OUT CI "${network_settings[@]}")
	exec sudo env "${keep[@]}" "$PWD/$script" "$@"
}

# need_packages PACKAGE... installs those of Debian's packages that are missing.
need_packages() {
	local package log missing=()
	for package; do
		[[ $(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null) == installed ]] || missing+=("$package")
	done
	((${#missing[@]})) || return 0
	command -v apt-get >/dev/null || die "needs the packages ${missing[*]}, and installs packages with apt-get only: install them another way"
	((EUID == 0)) || die "needs root to install ${missing[*]}"
	say "installing ${missing[*]}"
	# A source that fails may not be one that is needed. A new machine may
	# be upgrading itself and hold the lock.
	log=$({
		apt-get update -qq
		DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
			-o DPkg::Lock::Timeout=300 "${missing[@]}"
	} 2>&1) || die "apt-get could not install ${missing[*]}:"$'\n'"$log"
}

# at_least WANT HAVE compares dotted versions.
at_least() { [[ $(printf '%s\n' "$1" "$2" | sort -V | head -n1) == "$1" ]]; }

# go_version prints the version of the go command in PATH, 1.26.0, or nothing.
# It asks outside the module: there, no version refuses or switches.
go_version() { (cd / && GOTOOLCHAIN=local go env GOVERSION 2>/dev/null) | sed -E 's/^go//; s/[ -].*//'; }

# provide_go puts a go command into PATH that is new enough for go.mod. If the
# machine's is older or missing, the distribution's fetches the right toolchain
# as a module, from the proxy and with the checksum database of any module.
provide_go() {
	local want pinned dir
	want=$(sed -n 's/^go //p' go.mod)
	pinned=$(sed -n 's/^toolchain go//p' go.mod)
	pinned=${pinned:-$want}
	dir=$KERNSCOPE_CACHE/go$pinned

	# Where Go's own archive is unpacked to; PATH under sudo lacks it.
	[[ -x /usr/local/go/bin/go ]] && PATH=$PATH:/usr/local/go/bin
	if ! at_least "$want" "$(go_version)"; then
		[[ -x $dir/bin/go ]] || fetch_go "$pinned" "$dir"
		PATH=$dir/bin:$PATH
	fi
	# The one in PATH is right: no second switching.
	export PATH GOTOOLCHAIN=local
}

# fetch_go VERSION DIR
fetch_go() {
	local version=$1 dir=$2 arch tmp unpacked file
	case $(uname -m) in
	x86_64) arch=amd64 ;;
	aarch64) arch=arm64 ;;
	*) die "knows no Go toolchain for $(uname -m)" ;;
	esac
	command -v go >/dev/null || need_packages ca-certificates golang-go
	say "fetching Go $version; this machine's is $(go_version)"
	mkdir -p "$KERNSCOPE_CACHE"
	tmp=$(mktemp -d "$KERNSCOPE_CACHE/fetch.XXXXXX")
	(cd "$tmp" && GO111MODULE=on GOWORK=off GOFLAGS=-modcacherw GOTOOLCHAIN=local GOMODCACHE=$tmp \
		go mod download "golang.org/toolchain@v0.0.1-go$version.linux-$arch") ||
		die "could not fetch Go $version: install it by hand, or set GOPROXY to a module proxy that this machine reaches"
	unpacked=$tmp/golang.org/toolchain@v0.0.1-go$version.linux-$arch
	# A module has neither execute bits nor nested go.mod files; Go restores
	# both when it switches by itself.
	chmod +x "$unpacked"/bin/* "$unpacked"/pkg/tool/*/*
	find "$unpacked" -name _go.mod | while read -r file; do cp "$file" "${file%_go.mod}go.mod"; done
	# Another script may have been faster.
	mv -T "$unpacked" "$dir" || [[ -x $dir/bin/go ]]
	rm -rf "$tmp"
}
