#!/bin/sh
# The lab guest's first process: modules, the host's root under an overlay, then the guest program in a chroot.
b=/bin/busybox
$b mount -t devtmpfs dev /dev
$b mount -t proc proc /proc
$b mount -t sysfs sys /sys

# A guest without its shares has nothing to do; powering off tells the host more than a shell nobody sees.
die() {
    echo "lab: $*" > /dev/ttyS0
    $b poweroff -f
}

while read -r name; do
    $b insmod "/modules/$name.ko" || die "insmod $name"
done < /modules/boot.list
while read -r name; do
    $b insmod "/modules/$name.ko" || die "insmod $name"
done < /modules/case.list

p9=trans=virtio,version=9p2000.L,msize=512000
$b mount -t 9p -o "$p9,ro,cache=loose" host /low || die "mount of the host's root"
$b mount -t tmpfs -o mode=755 tmpfs /up
$b mkdir /up/upper /up/work
$b mount -t overlay -o lowerdir=/low,upperdir=/up/upper,workdir=/up/work overlay /root || die "mount of the overlay"
$b mount -t proc proc /root/proc
$b mount -t sysfs sys /root/sys
$b mount -t devtmpfs dev /root/dev
$b mount -t tmpfs -o mode=755 tmpfs /root/run
$b mkdir -p /root/run/lab/job /root/run/lab/mnt /root/run/lab/modules
$b mount --bind /modules /root/run/lab/modules
# No cache: what the guest wrote before it died must be on the host.
$b mount -t 9p -o "$p9,cache=none" job /root/run/lab/job || die "mount of the job"

$b chroot /root /bin/sh /run/lab/job/start > /dev/ttyS0 2>&1
$b poweroff -f
