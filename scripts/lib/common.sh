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

# work_folder BASE: makes the temporary folder $work, named BASE.XXXXXX. A lock says that its script lives, so that what a
# killed one has left behind can be told apart, and is removed here. The script's own end is to call drop_work.
work_folder() {
  local left lock
  for left in "$1".??????; do
    [[ -O $left && -f $left/lock ]] || continue
    { exec {lock}<"$left/lock"; } 2>/dev/null || continue
    if flock --nonblock "$lock"; then
      remove_work "$left" && say "removed what a killed run had left behind: $left"
    fi
    exec {lock}<&-
  done
  work=$(mktemp -d -- "$1.XXXXXX" 2>/dev/null) || return
  # Its name comes last: no one is to see a lock that nobody holds yet.
  { exec {work_lock}>"$work/lock.new"; } 2>/dev/null && flock --nonblock "$work_lock" && mv -- "$work/lock.new" "$work/lock"
}
drop_work() { [[ -z ${work:-} ]] || remove_work "$work"; }
remove_work() {
  local file pid
  # virtiofsd names itself here; it outlives a guest that it has not met yet.
  for file in "$1"/virtme*.pid; do
    [[ -f $file ]] && read -r pid <"$file" && [[ $(readlink "/proc/$pid/exe") == */virtiofsd* ]] && kill -KILL "$pid"
  done 2>/dev/null
  rm -rf -- "$1"
}
