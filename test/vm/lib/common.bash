# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2034,SC2154 # shared variables
#
# What every script of this folder needs: messages, the cache, the list of
# kernels, and a word about missing tools.

vm_dir=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
cache_dir=${KERNSCOPE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/kernscope}/vm
PATH=$PATH:/usr/sbin:/sbin # modprobe and depmod, which not every PATH has

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }

# die ends the script with the status that no test has.
die() {
	say "$*"
	exit 125
}

# rows FILE prints a table of this folder without its comments.
rows() { grep -Ev '^(#|$)' "$vm_dir/$1"; }

# names FILE prints the first column of a table of this folder, one a line.
names() { rows "$1" | awk '{ print $1 }'; }

# find_machine NAME sets machine_kernel and machine_modules, an array.
find_machine() {
	local modules
	read -r _ machine_kernel modules \
		< <(rows machines | awk -v name="$1" '$1 == name') ||
		die "no machine $1; there are: $(names machines | paste -sd' ')"
	machine_modules=()
	[[ $modules == - ]] || IFS=, read -ra machine_modules <<<"$modules"
}

# find_kernel NAME sets kernel_release, kernel_version and kernel_suite.
find_kernel() {
	read -r _ kernel_release kernel_version kernel_suite \
		< <(rows kernels | awk -v name="$1" '$1 == name') ||
		die "no kernel $1; there are: $(names kernels | paste -sd' ')"
}

# missing_packages [TOOL...] prints the packages of those of these tools, or of
# all, that this machine lacks.
missing_packages() {
	local tool package
	while read -r tool package; do
		[[ $# == 0 || " $* " == *" $tool "* ]] || continue
		has_tool "$tool" || echo "$package"
	done < <(rows tools && rows ../../internal/kerneltest/tools) | sort -u
}

# has_tool TOOL takes a path as well.
has_tool() {
	case $1 in
	/*) [[ -r $1 ]] ;;
	# The initramfs holds no libraries, so this must be the static one.
	busybox) type -P "$1" >/dev/null && ! ldd "$(type -P "$1")" >/dev/null 2>&1 ;;
	*) type -P "$1" >/dev/null ;;
	esac
}

# need TOOL... ends the script, naming the remedy, when a tool is missing.
need() {
	local packages
	packages=$(missing_packages "$@" | paste -sd' ')
	[[ -z $packages ]] || die "missing tools; run: apt-get install --no-install-recommends $packages"
}
