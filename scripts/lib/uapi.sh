# shellcheck shell=bash
# The newest userfaultfd C header, fetched from Debian into a cache. Sourced by fetch-uapi-header and generate-uapi.
#
# What may be set:
#   UFFD_DEBIAN_MIRROR   the Debian mirror (default: this system's own, else deb.debian.org)
#   UFFD_DEBIAN_KEYRING  the keyring that signatures are checked against
#   UFFD_UAPI_SUITE      the suite to take linux-libc-dev from (default: trixie-backports)
#   XDG_CACHE_HOME       where the cache lives (default: ~/.cache)

uapi_package=linux-libc-dev
uapi_suite=${UFFD_UAPI_SUITE:-trixie-backports}
uapi_keyring=${UFFD_DEBIAN_KEYRING:-/usr/share/keyrings/debian-archive-keyring.gpg}
uapi_cache_root=${XDG_CACHE_HOME:-${HOME:?neither XDG_CACHE_HOME nor HOME is set}/.cache}/uffd-conformance
uapi_cache=$uapi_cache_root/uapi-headers

# uapi_die MESSAGE..: 2 means that the work could not be done; 1 is left for a difference that was found.
uapi_die() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit 2
}

uapi_need() {
    local tool
    for tool; do
        command -v "$tool" >/dev/null || uapi_die "$tool is missing; this script needs the tools of a Debian-like system"
    done
}

uapi_mirror() {
    if [[ -n ${UFFD_DEBIAN_MIRROR:-} ]]; then
        printf '%s\n' "${UFFD_DEBIAN_MIRROR%/}"
        return
    fi
    local uri
    # Security and third-party archives do not end in /debian and do not carry the suite.
    # shellcheck disable=SC2016 # apt expands it, not the shell
    uri=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 2>/dev/null | grep -m1 -E '/debian/?$') || true
    uri=${uri:-http://deb.debian.org/debian}
    printf '%s\n' "${uri%/}"
}

# uapi_apt_root DIR: makes an apt of our own in DIR that shares nothing with the system's but the way to the network.
uapi_apt_root() {
    local root=$1
    mkdir -p "$root"/etc/{apt.conf.d,preferences.d,sources.list.d,trusted.gpg.d} \
        "$root"/state/lists/partial "$root"/cache/archives/partial
    : >"$root/status"
    printf 'deb [signed-by=%s] %s %s main\n' "$uapi_keyring" "$(uapi_mirror)" "$uapi_suite" >"$root/etc/sources.list"
    {
        # APT_CONFIG is read before everything else: with these the system's own files, hooks and lists are never reached.
        printf 'Dir::Etc "%s/etc/";\n' "$root"
        printf 'Dir::State "%s/state/";\n' "$root"
        printf 'Dir::State::status "%s/status";\n' "$root"
        printf 'Dir::Cache "%s/cache/";\n' "$root"
        printf 'Dir::Log "%s/";\n' "$root"
        # The folder belongs to the caller, so apt's own user could not write there.
        printf 'APT::Sandbox::User "root";\n'
        printf 'Acquire::Languages "none";\n'
        printf 'Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";\n'
        printf 'Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled "false";\n'
        apt-config dump | grep -E '^Acquire::(Retries|https?::)' || true
        printf 'Acquire::AllowInsecureRepositories "false";\n'
        printf 'Acquire::AllowWeakRepositories "false";\n'
        printf 'APT::Get::AllowUnauthenticated "false";\n'
    } >"$root/apt.conf"
}

# uapi_cached SERIES: prints the include folder of the newest cached header of SERIES, or fails.
uapi_cached() {
    local dir
    dir=$(find "$uapi_cache" -mindepth 1 -maxdepth 1 -type d -name "$1.*" 2>/dev/null | sort -V | tail -n 1)
    [[ -n $dir && -f $dir/usr/include/linux/userfaultfd.h ]] && printf '%s\n' "$dir/usr/include"
}

# uapi_fetch [SERIES]: prints the include folder of the newest header (of SERIES, say 7.3), after fetching it if need be.
uapi_fetch() (
    set -euo pipefail
    series=${1:-}
    uapi_need apt-get apt-cache apt-config dpkg dpkg-deb sha256sum
    [[ -r $uapi_keyring ]] ||
        uapi_die "no keyring at $uapi_keyring: install debian-archive-keyring or set UFFD_DEBIAN_KEYRING"

    root=$(mktemp -d)
    trap 'rm -rf "$root"' EXIT
    uapi_apt_root "$root"
    export APT_CONFIG=$root/apt.conf
    apt-get -q=2 -o APT::Update::Error-Mode=any update >&2 ||
        uapi_die "could not read $uapi_suite (UFFD_DEBIAN_MIRROR names another mirror, UFFD_DEBIAN_KEYRING another keyring)"

    offered=$(apt-cache madison "$uapi_package" | cut -d '|' -f 2 | tr -d ' ')
    version=
    # apt lists the newest first.
    for candidate in $offered; do
        if [[ -z $series || $candidate == "$series".* ]]; then
            version=$candidate
            break
        fi
    done
    [[ -n $version ]] ||
        uapi_die "$uapi_suite has no $uapi_package ${series:-at all}; it offers: $(tr '\n' ' ' <<<"$offered")"

    dir=$uapi_cache/$version
    if [[ ! -f $dir/usr/include/linux/userfaultfd.h ]]; then
        (cd "$root" && apt-get -q=2 download "$uapi_package=$version" >&2) ||
            uapi_die "could not fetch $uapi_package $version"
        deb=("$root"/"$uapi_package"_*.deb)
        mkdir -p "$uapi_cache"
        # Unpacked beside its place and then renamed, so that a broken run leaves no half header behind.
        new=$(mktemp -d "$uapi_cache/.new.XXXXXX")
        trap 'rm -rf "$root" "$new"' EXIT
        chmod 755 "$new"
        dpkg -x "${deb[0]}" "$new"
        [[ -f $new/usr/include/linux/userfaultfd.h ]] || uapi_die "$uapi_package $version holds no linux/userfaultfd.h"
        printf 'package %s\nversion %s\nsuite %s\nsha256 %s\n' "$uapi_package" "$version" "$uapi_suite" \
            "$(sha256sum "${deb[0]}" | cut -d ' ' -f 1)" >"$new/SOURCE"
        rm -rf "$dir"
        mv "$new" "$dir"
        printf '%s: fetched %s %s\n' "${0##*/}" "$uapi_package" "$version" >&2
    fi
    printf '%s\n' "$dir/usr/include"
)
