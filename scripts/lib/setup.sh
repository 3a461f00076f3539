# shellcheck shell=bash
# Brings what building and testing need, where it is missing and may be installed. To be sourced.

# setup_have_static_libc: whether a program can be linked statically here.
setup_have_static_libc() {
    printf 'int main(void){return 0;}\n' | cc -static -x c -o /dev/null - 2>/dev/null
}

# setup_install PACKAGES-ON-DEBIAN -- PACKAGES-ON-FEDORA
setup_install() {
    local debian=() fedora=()
    while [ $# -gt 0 ] && [ "$1" != -- ]; do debian+=("$1"); shift; done
    shift
    fedora=("$@")
    local sudo=()
    if [ "$(id -u)" -ne 0 ]; then
        if ! command -v sudo >/dev/null; then
            echo "${0##*/}: missing: ${debian[*]} (Debian) or ${fedora[*]} (Fedora); install them as root" >&2
            exit 2
        fi
        sudo=(sudo)
    fi
    if command -v apt-get >/dev/null; then
        "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "${debian[@]}" >/dev/null ||
            { "${sudo[@]}" apt-get update -qq && "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "${debian[@]}" >/dev/null; } ||
            { echo "${0##*/}: apt-get could not install ${debian[*]}" >&2; exit 2; }
    elif command -v dnf >/dev/null; then
        "${sudo[@]}" dnf install -q -y "${fedora[@]}" >/dev/null ||
            { echo "${0##*/}: dnf could not install ${fedora[*]}" >&2; exit 2; }
    else
        echo "${0##*/}: missing: a C compiler and a static libc (${debian[*]} on Debian, ${fedora[*]} on Fedora)" >&2
        exit 2
    fi
}

# setup_build: what `cargo build` and `cargo test` need.
setup_build() {
    if ! command -v cargo >/dev/null; then
        echo "${0##*/}: no cargo: install a Rust toolchain from https://rustup.rs" >&2
        exit 2
    fi
    if ! command -v cc >/dev/null || ! setup_have_static_libc; then
        setup_install gcc libc6-dev -- gcc glibc-devel glibc-static
    fi
}

# setup_kernel_header: the newest userfaultfd.h for the test of uapi.rs; the system's own where none can be fetched.
setup_kernel_header() {
    if [ ! -f /usr/include/linux/userfaultfd.h ]; then
        setup_install linux-libc-dev -- kernel-headers
    fi
    if command -v apt-get >/dev/null; then
        "$1/fetch-uapi-header" >/dev/null || echo "${0##*/}: uapi.rs is checked against the system's own header" >&2
    fi
}
