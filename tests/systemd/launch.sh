# Start a machine in a cgroup of its own: launch.sh CGROUP STAGE KEPT… (see boot.sh)
#
# Kill this process with SIGKILL, and everything in the machine is killed with it.
set -eu
cgroup=$1
shift
join='mount -t cgroup2 cgroup2 /media; mkdir "/media/$1"; echo "$2" >"/media/$1/cgroup.procs"'
unshare --mount sh -euc "$join" sh "$cgroup" $$
exec unshare --mount --pid --fork --kill-child --mount-proc --uts --ipc --cgroup \
    --propagation private sh "$(dirname "$0")/boot.sh" "$@"
