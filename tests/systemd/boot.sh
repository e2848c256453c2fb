# Boot systemd as PID 1 of a machine that is made of namespaces: run by unshare(1), as root.
#
#   boot.sh STAGE KEPT…
#
# STAGE has units/, bin/, etc/ and console; what is KEPT stays visible although /tmp is covered.
# Nothing that happens in here is seen outside, but for writes below STAGE and KEPT.
set -eu
stage=$1

# Behind the covers that follow, everything kept is mounted again where it was.
mount -t tmpfs kept /mnt
number=0
for path in "$@"; do
    number=$((number + 1))
    mkdir "/mnt/$number"
    mount --rbind "$path" "/mnt/$number"
done
mount -t tmpfs -o mode=1777 tmp /tmp
number=0
for path in "$@"; do
    number=$((number + 1))
    mkdir -p "$path"
    mount --rbind "/mnt/$number" "$path"
done
mount -t tmpfs -o mode=755 run /run

# Devices that are no hardware, and a console that is a file.
mkdir /mnt/dev
for device in null zero full random urandom; do
    touch "/mnt/dev/$device"
    mount --bind "/dev/$device" "/mnt/dev/$device"
done
touch /mnt/dev/console
mount --bind "$stage/console" /mnt/dev/console
mount --rbind /mnt/dev /dev
ln -s /proc/self/fd /dev/fd

# A system manager sets kernel variables of the whole machine, unless they are read-only.
mount --bind /proc/sys /proc/sys
mount -o remount,bind,ro /proc/sys
umount -R /sys/fs/cgroup
mount -t cgroup2 cgroup2 /sys/fs/cgroup

for place in etc usr/local/bin; do
    mkdir -p "/mnt/work/$place"
    mount -t tmpfs work "/mnt/work/$place"
    mkdir "/mnt/work/$place/upper" "/mnt/work/$place/work"
    options="upperdir=/mnt/work/$place/upper,workdir=/mnt/work/$place/work"
    mount -t overlay -o "lowerdir=/$place,$options" overlay "/$place"
done
cp "$stage"/bin/* /usr/local/bin/
mkdir -p /etc/supervisord-lite
mount --bind "$stage/etc" /etc/supervisord-lite

export container=other
export SYSTEMD_UNIT_PATH="$stage/units"
export SYSTEMD_GENERATOR_PATH=/nowhere SYSTEMD_ENVIRONMENT_GENERATOR_PATH=/nowhere
exec /lib/systemd/systemd --system --unit=basic.target --show-status=no --log-target=console \
    </dev/null >>"$stage/console" 2>&1
