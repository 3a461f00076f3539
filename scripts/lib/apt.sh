# shellcheck shell=bash
# A private apt root: its own sources, lists and cache, so that Debian's kernels can be
# fetched, with signatures verified, without touching the system (and without root).
# The script that reads this sets $keyring, $mirror and $security_mirror.
: "${keyring:=}" "${mirror:=}" "${security_mirror:=}" "${apt_log:=}"

apt_need() {
  local missing=()
  { have apt-get && have apt-cache; } || missing+=("apt-get (package apt)")
  have dpkg-deb || missing+=("dpkg-deb (package dpkg)")
  have xz || missing+=("xz (package xz-utils)")
  have sha256sum || missing+=("sha256sum (package coreutils)")
  [[ -r $keyring ]] || missing+=("the Debian archive keyring $keyring (package debian-archive-keyring, or --keyring FILE)")
  ((${#missing[@]} == 0)) && return
  local list
  list=$(printf '%s, ' "${missing[@]}")
  die 2 "to fetch Debian's kernels this system lacks: ${list%, }"
}

# The mirror that the system itself uses for Debian, by the label its release files carry.
apt_system_mirror() {
  local label=$1 fallback=$2 found
  # shellcheck disable=SC2016  # apt expands these names, not the shell
  found=$(apt-get indextargets --format '$(LABEL) $(REPO_URI)' 2>/dev/null |
    awk -v label="$label" '$1 == label && $2 ~ /^(https?|file|copy|ftp|mirror):/ { print $2; exit }')
  printf '%s\n' "${found:-$fallback}"
}

# apt_open ROOT ARCH: lay out an empty private root. Uses $keyring.
apt_open() {
  local root=$1 arch=$2
  mkdir -p -- "$root"/{lists/partial,archives/partial,empty,keys} || return
  cp -- "$keyring" "$root/keys/keyring.${keyring##*.}" || return
  # Proxy and login settings of the system stay; hooks, pins, keys and laxness do not.
  cat >"$root/apt.conf" <<CONF || return
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear APT::Architectures;
#clear APT::Default-Release;
APT::Architecture "$arch";
APT::Architectures { "$arch"; };
APT::Sandbox::User "root";
APT::Get::AllowUnauthenticated "false";
Acquire::AllowInsecureRepositories "false";
Acquire::AllowWeakRepositories "false";
Acquire::AllowDowngradeToInsecureRepositories "false";
Acquire::Languages "none";
Acquire::Retries "2";
Dir::Etc::sourcelist "$root/sources.list";
Dir::Etc::sourceparts "$root/empty";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "$root/empty";
Dir::Etc::trusted "/dev/null";
Dir::Etc::trustedparts "$root/keys";
Dir::State "$root";
Dir::State::lists "$root/lists";
Dir::State::status "/dev/null";
Dir::Cache "$root";
Dir::Cache::archives "$root/archives";
CONF
}

# apt_update ROOT SUITE..: fetch the indexes of these suites. Uses $mirror and $security_mirror.
# A suite that the mirror does not have is left out; anything else that fails ends the script with one line.
apt_update() {
  local root=$1 suite uri
  shift
  for suite; do
    uri=$mirror
    [[ $suite == *-security ]] && uri=$security_mirror
    [[ $uri == none ]] && continue
    # Only the package index: the rest (translations, AppStream) is most of the bytes.
    printf 'deb [target=Packages] %s %s main\n' "$uri" "$suite"
  done >"$root/sources.list" || return
  # The log stays out of the cache, which may be full; apt-get 2.6 waits for ever when it fills up under an index.
  local log reason
  log=$(LC_ALL=C timeout --foreground 600 apt-get -q -c "$root/apt.conf" update 2>&1)
  (($? != 124)) || return 28
  ! apt_lacked_space "$log" || return 28
  reason=$(grep -Em1 "^[EW]: .*(is not signed|NO_PUBKEY|EXPKEYSIG|BADSIG|signatures? (couldn't|were invalid))" <<<"$log")
  [[ -z $reason ]] || die 2 "refused: ${reason#[EW]: } (checked against $keyring)"
  # Old suites move to an archive and new ones are not there yet: their absence is no failure.
  # Whatever else failed is one, also where apt-get itself ends with 0.
  # apt-get's closing lines leave some of these out, its running log does not.
  reason=$(awk '/^Err:/ { what = $2 " " $3; getline; if (!/404 +Not Found|File not found|does not have a Release file/) { print what ":" $0; exit } }' <<<"$log")
  [[ -n $reason ]] || reason=$(grep '^E: ' <<<"$log" | grep -Ev 'does not have a Release file|404 +Not Found|File not found|index files failed' | head -n 1)
  [[ -z $reason ]] || die 3 "the package indexes of Debian could not be fetched: ${reason#E: }"
}
apt_lacked_space() { grep -q 'No space left\|enough free space' <<<"$1"; }

# apt_kernels ROOT FLAVOUR: every kernel on offer, one a line:
#   series  release  version  MiB  packages, comma-separated
# Up to 6.18 linux-image-* holds everything; from 6.19 on it is empty, and linux-binary-* (the image),
# linux-modules-* and linux-base-* (the configuration) share the work.
apt_kernels() {
  apt-cache -c "$1/apt.conf" dumpavail 2>/dev/null | awk -v flavour="$2" '
    function flush(kind, release) {
      if (package ~ "^linux-(image|binary|modules|base)-[0-9].*-" flavour "$") {
        match(package, /^linux-[a-z]+-/)
        kind = substr(package, 7, RLENGTH - 7); release = substr(package, RLENGTH + 1)
        mib[kind, release] = int((size / 1024 + installed) / 1024) + 1
        # A linux-image-* that depends on another package for its kernel holds none itself.
        if (kind == "binary" || kind == "image" && depends !~ /linux-(image|binary)-[0-9]/) {
          split(version, part, /[.~+-]/)
          kernels++; kinds[kernels] = kind; releases[kernels] = release
          heads[kernels] = part[1] "." part[2] " " release " " version
        }
      }
      package = version = depends = ""; size = installed = 0
    }
    /^Package: / { package = $2 } /^Version: / { version = $2 } /^Depends: / { depends = $0 }
    /^Size: / { size = $2 } /^Installed-Size: / { installed = $2 }
    /^$/ { flush() }
    END {
      flush()
      for (i = 1; i <= kernels; i++) {
        release = releases[i]; sum = mib[kinds[i], release]; packages = "linux-" kinds[i] "-" release
        if (kinds[i] == "binary") {
          for (k = 1; k <= 2; k++) {
            kind = k == 1 ? "modules" : "base"
            if ((kind, release) in mib) { packages = packages ",linux-" kind "-" release; sum += mib[kind, release] }
          }
        }
        print heads[i], sum, packages
      }
    }'
}

# apt_newest SERIES: of such lines on standard input, the series' newest.
apt_newest() {
  local series release version mib packages best='' best_version=''
  while read -r series release version mib packages; do
    [[ $series == "$1" ]] || continue
    if [[ -z $best ]] || dpkg --compare-versions "$version" gt "$best_version"; then
      best="$series $release $version $mib $packages" best_version=$version
    fi
  done
  [[ -n $best ]] && printf '%s\n' "$best"
}

# apt_download ROOT PACKAGE=VERSION..: verified packages into ROOT/archives; sets $apt_log.
apt_download() {
  local root=$1
  shift
  apt_log=$(cd -- "$root/archives" && LC_ALL=C apt-get -qq -c "$root/apt.conf" download "$@" 2>&1)
}
