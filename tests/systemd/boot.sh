# Boot systemd as PID 1 of a machine that is made of namespaces: boot.sh STAGE KEPT…
#
# STAGE has bin/, etc/, units/ and the file console. What is KEPT stays visible although /tmp and
# /run are covered. Nothing that happens in here is seen outside, but for writes below STAGE and KEPT.
set -eu
stage=$1
shift

# Whatever a cover would hide is put aside, and mounted again on top of it.
mount -t tmpfs aside /media
number=0
for path in "$@"; do
    number=$((number + 1))
    mkdir "/media/$number"
    mount --rbind "$path" "/media/$number"
done
mount -t tmpfs -o mode=1777 tmp /tmp
mount -t tmpfs -o mode=755 run /run
number=0
for path in "$@"; do
    number=$((number + 1))
    mkdir -p "$path"
    mount --move "/media/$number" "$path"
done

# Devices without hardware, and a console that is a file.
mkdir /media/dev
for device in null zero full random urandom; do
    touch "/media/dev/$device"
    mount --bind "/dev/$device" "/media/dev/$device"
done
touch /media/dev/console
mount --bind "$stage/console" /media/dev/console
ln -s /proc/self/fd /media/dev/fd
mount --rbind /media/dev /dev

# A system manager would set kernel variables, which the whole machine outside shares.
mount --bind /proc/sys /proc/sys
mount -o remount,bind,ro /proc/sys
umount -R /sys/fs/cgroup 2>/dev/null || :
mount -t cgroup2 cgroup2 /sys/fs/cgroup

for place in etc usr/local/bin; do
    changes="/media/changes/$place"
    mkdir -p "$changes/upper" "$changes/work"
    mount -t overlay -o "lowerdir=/$place,upperdir=$changes/upper,workdir=$changes/work" \
        overlay "/$place"
done
cp "$stage"/bin/* /usr/local/bin/
mkdir -p /etc/supervisord-lite
mount --bind "$stage/etc" /etc/supervisord-lite

export container=other SYSTEMD_UNIT_PATH="$stage/units"
export SYSTEMD_GENERATOR_PATH=/nowhere SYSTEMD_ENVIRONMENT_GENERATOR_PATH=/nowhere
exec /lib/systemd/systemd --system --unit=basic.target --show-status=no --log-target=console
