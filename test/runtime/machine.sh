#!/bin/sh
# The first process of a test's machine: started in new process and mount namespaces, it makes /etc and /opt of its own
# on top of the real ones, prints the number it has outside, and ends, with all the machine's processes, when its stdin does.
set -eu
read -r pid _ </proc/self/stat # still the /proc of outside
mount -t proc proc /proc
for each in etc opt; do
  mkdir -p "$1/$each" "$1/.$each"
  mount -t overlay overlay -o "lowerdir=/$each,upperdir=$1/$each,workdir=$1/.$each" "/$each"
done
mkdir -p /etc/cni/net.d /opt/cni/bin
echo "$pid"
exec 3<&0
cat <&3 >/dev/null & # `wait` buries the orphans of the machine meanwhile
wait $!
