# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2034,SC2154 # shared variables
#
# The initramfs: a static busybox, guest/init, the modules that reach the host's
# file system, and those that udev would load, which is not there. Who boots
# something else sets these two.

guest_init=$vm_dir/guest/init
boot_modules=(virtio_pci virtio_console 9pnet_virtio 9p overlay configfs sd_mod)

# initramfs_path DIR names the initramfs of the kernel in DIR after all that
# goes into it, so a change makes a new one.
initramfs_path() {
	local sum
	sum=$({
		echo "${boot_modules[@]}"
		cat "$guest_init" "$vm_dir/lib/initramfs.bash" "$(type -P busybox)"
	} | sha256sum)
	echo "$1/initramfs-${sum:0:12}"
}

# build_initramfs DIR RELEASE makes the initramfs of the kernel in DIR. Half-made
# things are in $tmp, the caller's, on the same file system.
build_initramfs() {
	local dir=$1 release=$2 file name
	mkdir -p "$tmp"/initroot/{bin,dev,proc,sys,host,upper,below,new,modules}
	cp "$(type -P busybox)" "$tmp/initroot/bin/busybox"
	install -m 0755 "$guest_init" "$tmp/initroot/init"

	# What is built into this kernel prints "builtin" and needs no file.
	for name in "${boot_modules[@]}"; do
		modprobe -C /dev/null -d "$dir" -S "$release" --show-depends "$name"
	done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }' >"$tmp/modules"
	while read -r file; do
		name=${file##*/}
		name=${name%%.ko*}
		unpack_module "$file" >"$tmp/initroot/modules/$name.ko"
		echo "$name.ko" >>"$tmp/initroot/modules/order"
	done <"$tmp/modules"

	(cd "$tmp/initroot" && find . | busybox cpio -o -H newc) >"$tmp/initramfs" 2>/dev/null
	mv "$tmp/initramfs" "$(initramfs_path "$dir")"
}

# unpack_module FILE prints a module uncompressed.
unpack_module() {
	case $1 in
	*.ko) cat "$1" ;;
	*.ko.xz) xz -dc "$1" ;;
	*.ko.zst) zstd -dcq "$1" ;;
	*) die "module $1: unknown compression" ;;
	esac
}
