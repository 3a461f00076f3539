# shellcheck shell=bash
# What every script here shares: messages, the cache folder, endings.

prog=${0##*/}

# Exit statuses: 0 done, 1 a case failed, 2 bad input or something missing, 3 the work itself failed.
say() { printf '%s: %s\n' "$prog" "$*" >&2; }
die() { local status=$1; shift; say "$*"; exit "$status"; }

# The comment block under the shebang is the help text, so that the two cannot drift apart.
help_text() { sed -n '2,/^[^#]/{/^#/!q;s/^# \{0,1\}//;p}' "$0"; }

default_cache() {
  if [[ -n ${XDG_CACHE_HOME:-} ]]; then printf '%s/uffd-conformance\n' "$XDG_CACHE_HOME"
  elif [[ -n ${HOME:-} ]]; then printf '%s/.cache/uffd-conformance\n' "$HOME"
  else die 2 "neither XDG_CACHE_HOME nor HOME is set: name a cache folder with --cache DIR"
  fi
}

have() { command -v "$1" >/dev/null 2>&1; }

# need_value OPTION COUNT: an option at the end of the line has lost its value.
need_value() { (($2 >= 2)) || die 2 "$1 needs a value: see $prog --help"; }

# The value must be a whole number from MIN on.
need_number() {
  if ! [[ $2 =~ ^[0-9]{1,9}$ ]] || ((10#$2 < $3)); then die 2 "$1 takes a whole number from $3 on, not '$2'"; fi
}

is_series() { [[ $1 =~ ^[0-9]{1,3}\.[0-9]{1,3}$ ]]; }

free_mib() { df -Pm -- "$1" | awk 'NR == 2 { print $4 }'; }
