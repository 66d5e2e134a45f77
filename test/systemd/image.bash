# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2154 # shared variables
#
# Makes a disk image of a Debian with systemd, once a month, from the archive that
# test/vm finds.

suite=trixie
image_packages=(systemd systemd-sysv iproute2 curl bpftool prometheus-node-exporter rpm)

# image_path prints the path of the image. It contains the month and a checksum of
# this file, so a change of either makes a new image.
image_path() {
	local sum
	sum=$(sha256sum <"${BASH_SOURCE[0]}")
	echo "$cache_dir/systemd-$suite-$(date +%Y%m)-${sum:0:12}.ext4"
}

# build_image FILE builds the image. The file appears whole or not at all.
build_image() {
	local image=$1 tmp
	need_packages mmdebstrap e2fsprogs
	say "installing Debian $suite with ${image_packages[*]} into an image (once a month)"
	mkdir -p "$cache_dir"
	tmp=$(mktemp -d -p "$cache_dir" .systemd.XXXXXX)
	open_archive "$tmp/apt" "$suite"
	# With a machine-id, systemd does not take a boot for the first one, so it
	# applies no presets.
	# shellcheck disable=SC2016 # mmdebstrap's shell expands it
	mmdebstrap --quiet --variant=apt --include="$(IFS=, && echo "${image_packages[*]}")" \
		--customize-hook='echo 0123456789abcdef0123456789abcdef >"$1/etc/machine-id"' \
		--customize-hook='echo kernscope-vm >"$1/etc/hostname"' \
		"$suite" "$tmp/root" - <"$tmp/apt/sources.list"
	mke2fs -q -t ext4 -d "$tmp/root" "$tmp/image" 700M
	mv "$tmp/image" "$image"
	rm -rf "$tmp"
}
