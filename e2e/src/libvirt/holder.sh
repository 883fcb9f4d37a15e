# Process 1 of the namespaces of one private libvirt: holds its daemons and, through them, its guests. It reads commands
# from its standard input. When that ends, because the test ended in whatever way, it ends, and the kernel kills everything
# in the namespace with it. It must be bash, which reaps the processes that nobody waits for: libvirt believes that a guest
# lives on as long as its zombie does.
#
#   holder.sh FOLDER      FOLDER has etc lib cache log run
set -u
folder=$1

# libvirt has its folders compiled in; here others lie over them. A mount point that the machine lacks is made in a
# throw-away layer over its parent, so that nothing appears on the machine.
cover() { # PATH WITH
    if [ ! -d "$1" ]; then
        local parent=${1%/*} layer=$folder/layers/${1//\//_}
        mkdir -p "$layer" && mount -t tmpfs none "$layer" && mkdir "$layer/upper" "$layer/work" &&
            mount -t overlay none -o "lowerdir=$parent,upperdir=$layer/upper,workdir=$layer/work" "$parent"
        mkdir -p "$1"
    fi
    mount --bind "$2" "$1"
}

# libvirtd looks for the user that libvirt-daemon-system would make, even when it is told to use another.
know_user() {
    getent passwd libvirt-qemu > /dev/null && getent group libvirt-qemu > /dev/null && return
    local users=$folder/users
    mkdir -p "$users" && cp /etc/passwd /etc/group "$users/" &&
        echo 'libvirt-qemu:x:64055:64055::/nonexistent:/usr/sbin/nologin' >> "$users/passwd" &&
        echo 'libvirt-qemu:x:64055:' >> "$users/group" &&
        mount --bind "$users/passwd" /etc/passwd && mount --bind "$users/group" /etc/group
}

# The machine's own /run is hidden as a whole: no libvirt, systemd or D-Bus of its own can be reached by mistake.
prepare() {
    mkdir -p "$folder/hidden-run" && mount --bind "$folder/run" "$folder/hidden-run" &&
        mount -t tmpfs none /run && mkdir /run/libvirt && mount --bind "$folder/hidden-run" /run/libvirt &&
        know_user && cover /etc/libvirt "$folder/etc" && cover /var/lib/libvirt "$folder/lib" &&
        cover /var/cache/libvirt "$folder/cache" && cover /var/log/libvirt "$folder/log" &&
        { virtlogd -p "$folder/virtlogd.pid" > "$folder/virtlogd.out" 2>&1 & }
}

answer() { if "$@"; then echo done; else echo failed; fi; }

start() {
    libvirtd -p "$folder/libvirtd.pid" > "$folder/libvirtd.out" 2>&1 &
    libvirtd=$!
}

stop() {
    kill -9 "$libvirtd"
    wait "$libvirtd" 2> /dev/null
    rm -f "$folder/libvirtd.pid" /run/libvirt/libvirt-sock*
}

answer prepare
while read -r command; do
    answer "$command"
done
