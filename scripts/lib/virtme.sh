# shellcheck shell=bash
# shellcheck disable=SC2154  # the options of scripts/boot, which reads this
# A guest through virtme-ng: the host's own file tree as its root, so that it can run whatever the host can.
# What virtme-ng needs is kept in the cache folder or, where it is the system's, installed when that is permitted.

virtme_version=1.42 virtiofsd_version=1.14.0 virtme_begins='uffd-conformance: the command begins'

# find_virtme INSTALL: sets $virtme (its Python environment) and $virtiofsd (a folder to have on PATH).
find_virtme() {
  virtme=$cache/virtme-ng-$virtme_version virtiofsd=''
  local debian=() fedora=() missing=() file
  # They start guests, load modules there and read a kernel's version here.
  { have udevadm && [[ -x /lib/systemd/systemd-udevd ]]; } || { debian+=(udev) && fedora+=(systemd-udev); }
  have depmod || { debian+=(kmod) && fedora+=(kmod); }
  have busybox || { debian+=(busybox-static) && fedora+=(busybox); }
  { have file || have strings; } || { debian+=(file) && fedora+=(file); }
  [[ -x $virtme/bin/python ]] || python3 -c 'import ensurepip, venv' 2>/dev/null || { debian+=(python3-venv) && fedora+=(python3); }
  find_virtiofsd
  if [[ -z $virtiofsd ]] && ! have apt-cache; then fedora+=(virtiofsd)
  elif [[ -z $virtiofsd ]]; then
    # Debian 12 and Ubuntu 22.04 have only the old one in C, which serves root alone and is refused by virtme-ng.
    if grep -q 'Candidate: [0-9]' <<<"$(LC_ALL=C apt-cache policy virtiofsd 2>/dev/null)"; then debian+=(virtiofsd)
    else
      for file in gcc:cc libcap-ng-dev:/usr/include/cap-ng.h libseccomp-dev:/usr/include/seccomp.h; do
        have "${file#*:}" || [[ -e ${file#*:} ]] || debian+=("${file%%:*}")
      done
    fi
  fi
  if [[ -z $1 ]]; then
    missing=("${debian[@]}")
    [[ -x $virtme/bin/python ]] || missing+=("virtme-ng $virtme_version (PyPI)")
    [[ -n $virtiofsd || " ${debian[*]} " == *" virtiofsd "* ]] || missing+=("virtiofsd $virtiofsd_version (crates.io)")
    ((${#missing[@]} == 0)) || die 2 "virtme-ng lacks here: $(list_of "${missing[@]}"); --install brings them"
    return
  fi
  ((${#debian[@]} + ${#fedora[@]} == 0)) || setup_install "${debian[@]}" -- "${fedora[@]}"
  [[ -x $virtme/bin/python ]] || install_virtme
  find_virtiofsd
  [[ -n $virtiofsd ]] || build_virtiofsd
}
list_of() { local list; list=$(printf '%s, ' "$@"); printf '%s\n' "${list%, }"; }

# The one in Rust says "virtiofsd 1.N.N".
find_virtiofsd() {
  local file
  for file in "$cache/virtiofsd-$virtiofsd_version/bin/virtiofsd" "$(command -v virtiofsd)" /usr/libexec/virtiofsd /usr/lib/virtiofsd/virtiofsd /usr/lib/virtiofsd; do
    if [[ -f $file && $("$file" --version 2>/dev/null) =~ ^virtiofsd\ [1-9] ]]; then virtiofsd=${file%/*}; return; fi
  done
}

# Both come into the cache whole or not at all: they are made beside their place and renamed.
install_virtme() {
  say "bringing virtme-ng $virtme_version from PyPI into $cache"
  local log
  made_in_cache
  log=$({ python3 -m venv "$work/made" && "$work/made/bin/pip" install --quiet --disable-pip-version-check "virtme-ng==$virtme_version"; } 2>&1) ||
    die 3 "virtme-ng $virtme_version could not be installed: $(tail -n 1 <<<"$log")"
  kept_in_cache "$virtme"
}
build_virtiofsd() {
  say "building virtiofsd $virtiofsd_version from crates.io into $cache (about 3 minutes)"
  have cargo || die 2 "no cargo to build virtiofsd with: install a Rust toolchain from https://rustup.rs"
  local log
  made_in_cache
  # Elsewhere than in the checkout, whose .cargo/config.toml asks for a static program.
  log=$(cd -- "$work" && CARGO_TARGET_DIR=$work/target cargo install --quiet --locked --root "$work/made" "virtiofsd@$virtiofsd_version" 2>&1) ||
    die 3 "virtiofsd $virtiofsd_version could not be built: $(grep -m 1 '^error' <<<"$log" || tail -n 1 <<<"$log")"
  kept_in_cache "$cache/virtiofsd-$virtiofsd_version"
  virtiofsd=$cache/virtiofsd-$virtiofsd_version/bin
}
made_in_cache() {
  { mkdir -p -- "$cache" && work_folder "$cache/.making"; } 2>/dev/null || die 2 "the cache folder $cache cannot be written: name another with --cache DIR"
}
kept_in_cache() {
  # Another start may have been quicker; its one is as good.
  mv -T -- "$work/made" "$1" 2>/dev/null || [[ -d $1 ]] || die 3 "$1 is in the way: remove it"
  drop_work
  work=''
}

# The guest has folders of its own in these places: what lies below is not the host's.
not_hidden() {
  local path
  for path; do
    case $(realpath -m -- "$path")/ in
      /dev/* | /proc/* | /sys/* | /run/* | /var/tmp/* | /var/cache/* | /var/log/*)
        die 2 "$path cannot be seen in a guest of virtme-ng, which has its own ${path%"${path#/*/}"}: put it elsewhere (--cache DIR, TMPDIR)" ;;
    esac
  done
}

# virtme_run SCRIPT [OPTION..]: virtme-ng in place of this subshell, with $work/guest as the guest's command.
virtme_run() {
  local options=(--disable-microvm) qemu_options=() folder word
  # The same overlays as vng's own.
  for folder in /etc /lib /home /opt /srv /usr /var /tmp; do [[ ! -d $folder ]] || options+=(--overlay-rwdir "$folder"); done
  for word in loglevel=4 $kernel_options $append; do options+=(--kopt "$word"); done
  if [[ $accelerator == tcg ]]; then options+=(--disable-kvm); qemu_options+=(-cpu "$emulated_cpu"); fi
  # shellcheck disable=SC2016  # the shell in the guest's place expands it
  printf '#!/bin/sh\nexec %s qemu-system-x86_64 "$@"\n' "$(have setpriv && printf 'setpriv --pdeathsig KILL')" >"$work/qemu" &&
    chmod +x "$work/qemu" || exit 3
  # virtiofsd's socket and the like go where this script's end removes them.
  export TMPDIR=$work PATH=$virtiofsd:$virtme/bin:$PATH
  leash "$virtme/bin/python" -c 'import sys; from virtme.commands.run import main; sys.exit(main())' \
    --kimg "$image" --mods auto --script-sh "exec bash $work/guest" --memory "$memory" --cpus "$cpus" --name uffd-conformance \
    --qemu-bin "$work/qemu" "${options[@]}" "$@" "${qemu_options[@]}"
}

# make_virtme_script suite | WORD..: what the guest runs: the suite, with the same protocol as suites/src/init.rs has, or
# a command of the host.
make_virtme_script() {
  local name
  {
    printf 'cd %q\n' "$PWD"
    # Swap space for the cases that need it, where the kernel has the means.
    cat <<'GUEST'
swap() {
  modprobe zram && echo 256M >/sys/block/zram0/disksize && mkswap /dev/zram0 && swapon /dev/zram0
} >/dev/null 2>&1
swap
GUEST
    if [[ $1 == suite ]]; then
      cat <<'GUEST'
exec 3<>/dev/ttyS1
stty raw <&3
printf '{"type":"boot","release":"%s"}\n' "$(uname -r)" >&3
for word in $(</proc/cmdline); do
  case $word in uffd-conformance.panic-at=*) export UFFD_CONFORMANCE_PANIC_AT=${word#*=} ;; esac
done
GUEST
      printf 'TERM=dumb %q' "$work/uffd-conformance"
      guest_arguments "$work/" | while IFS= read -r name; do printf ' %q' "$name"; done
      if [[ $mode == run ]]; then printf '\n'; else printf ' >&3\n'; fi
      # shellcheck disable=SC2016  # for the guest
      printf '%s\n' 'printf '\''\n{"type":"exit","status":%d,"reason":""}\n'\'' $? >&3'
    else
      while IFS= read -r name; do
        case $name in PATH | HOME | USER | LANG | LC_* | CARGO | CARGO_* | RUST* | UFFD_TEST_*) printf 'export %s=%q\n' "$name" "${!name}" ;; esac
      done < <(compgen -e)
      # There is no network in the guest.
      printf 'export CARGO_NET_OFFLINE=true\necho %q >/dev/ttyS1\nexec' "$virtme_begins"
      printf ' %q' "$@"
      printf '\n'
    fi
  } >"$work/guest" || return
  [[ $1 != suite ]] || cp -- "$record" "$work/resume.jsonl" 2>/dev/null || : >"$work/resume.jsonl"
}

# virtme_suite: a guest with the record on its second serial line, heard on standard output as from qemu_guest. All else
# goes to the console, by a pipe: QEMU would empty a file. That pipe's end keeps standard output open until all is written.
virtme_suite() {
  exec 3>&1 > >(exec cat >"$work/console") 2>&1
  virtme_run --show-boot-console --qemu-opts -chardev file,id=host,path=/proc/self/fd/3 -serial chardev:host </dev/null
}

# virtme_command WORD..: runs a command of the host in the guest; its exit status.
virtme_command() {
  local stream left ended=$SECONDS share=() target
  if [[ $1 == cargo ]]; then
    have cargo || die 2 "no cargo: install a Rust toolchain from https://rustup.rs"
    target=$(cargo metadata --no-deps --format-version 1 --offline 2>/dev/null | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')
    [[ -n $target ]] || die 2 "no Cargo.toml here or above: cargo has nothing to do"
    mkdir -p -- "$target" || exit 2
    not_hidden "$target"
    share=(--rwdir "$target")
    # Compiling is the host's work, which is ten times as quick at it.
    [[ ${2:-} != test ]] || prebuild "$@"
  fi
  not_hidden "$PWD"
  [[ $accelerator != kvm || $accel != auto ]] || kvm_runs || give_up_kvm
  make_virtme_script "$@" || die 3 "$work cannot be written: is there space?"
  exec {stream}< <(
    exec {work_lock}>&- 3>&1 > >(exec cat >&"$virtme_out") 2> >(exec cat >&2)
    # The kernel's own messages go to a serial line of their own, and to no one else.
    virtme_run "${share[@]}" --kopt console=ttyS1 --qemu-opts -chardev file,id=kernel,path="$work/console" -serial chardev:kernel </dev/null
  )
  guest=$!
  left=$((deadline - SECONDS))
  # Nothing is ever written here: it ends with the guest.
  read -r -t "$((left > 0 ? left : 1))" -u "$stream"
  if (($? > 128)); then
    show_console 10
    die 3 "the time limit of $time_limit s is over (--time-limit)"
  fi
  wait "$guest"
  status=$?
  guest=''
  ! emulator_fault_at_start || return 255
  if death=$(panic_line "$work/console"); then
    show_console 20
    die 3 "the guest died: $death"
  fi
  ((status == 255)) || remember_kvm_trouble
  ((status != 255)) || say "virtme-ng ended with 255: the command did, or the guest never came to its end ($((SECONDS - ended)) s)"
  return "$status"
}
# emulator_fault_at_start: before the command has begun nothing is lost by another try.
emulator_fault_at_start() { emulator_fault "$work/console" && ! grep -aqF "$virtme_begins" "$work/console"; }
# kvm_runs: whether a kernel says a word under KVM; without anything to run it panics within a second or two.
kvm_runs() {
  local stream
  exec {stream}< <(
    # Nothing is written to the pipe: it ends with the guest.
    exec {work_lock}>&- 3>&1 >"$work/console" 2>&1
    leash qemu-system-x86_64 -nodefaults -no-user-config -display none -no-reboot -accel kvm -cpu host -m 512 -kernel "$image" \
      -serial stdio -append "console=ttyS0 earlyprintk=serial panic=-1" </dev/null
  )
  guest=$!
  read -r -t 15 -u "$stream"
  kill -KILL "$guest" 2>/dev/null
  wait "$guest" 2>/dev/null
  guest=''
  exec {stream}<&-
  grep -aq 'Linux version' "$work/console" && return
  # shellcheck disable=SC2034  # for scripts/boot
  kvm_trouble=$(qemu_line "$work/console" || printf 'it said nothing for 15 s')
  return 1
}
prebuild() {
  local own=()
  while (($#)) && [[ $1 != -- ]]; do own+=("$1"); shift; done
  "${own[@]}" --no-run >&2 || die 3 "${own[*]} --no-run failed here, before any guest"
}
