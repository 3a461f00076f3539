# shellcheck shell=bash
# shellcheck disable=SC2154  # the options of scripts/boot, which reads this
# One guest: what it is made of, how it is started and watched, and how it ended.

# find_qemu INSTALL
find_qemu() {
  have qemu-system-x86_64 && return
  if [[ -n $1 ]]; then
    setup_install qemu-system-x86 -- qemu-system-x86-core
    have qemu-system-x86_64 && return
  fi
  die 2 "no QEMU: install qemu-system-x86 (or give --install)"
}

# find_kernel KERNEL CACHE: sets $image and $modules (a folder, or nothing).
find_kernel() {
  local line
  modules=''
  if [[ -f $1 ]]; then
    image=$1
  elif is_series "$1"; then
    line=$("$here/fetch-kernel" --cache "$2" "$1") || exit
    image=${line#* }
    image=/${image#*/}
    modules=$2/kernels/$1-cloud-amd64/guest-modules
  else
    die 2 "$1 is neither a file nor a series as in 6.12"
  fi
  # A bzImage says so at this place of its header; QEMU would start anything.
  [[ $(head -c 518 -- "$image" 2>/dev/null | tail -c 4 | tr '\0' .) == HdrS ]] ||
    die 2 "$1 is not a kernel image for x86-64: a bzImage is meant, as in arch/x86/boot/bzImage (not vmlinux)"
}

# find_binary FILE: sets $binary.
find_binary() {
  binary=$1
  if [[ -z $binary ]]; then
    local root=${here%/*}
    if have cargo; then
      (cd -- "$root" && cargo build --release --quiet --package uffd-conformance) ||
        die 3 "uffd-conformance does not build; name a built one with --binary FILE"
    fi
    binary=$(cd -- "$root" && find "${CARGO_TARGET_DIR:-$root/target}" -maxdepth 3 -path '*/release/uffd-conformance' -type f -printf '%T@ %p\n' 2>/dev/null | sort -rn | head -n 1 | cut -d' ' -f2-)
    [[ -n $binary ]] || die 2 "no uffd-conformance: cargo build --release, or name one with --binary FILE"
  fi
  [[ -f $binary && -r $binary ]] || die 2 "$binary is not a file that can be read"
  # A dynamically linked program names its loader within its first pages.
  if [[ $(head -c 4 -- "$binary" | tail -c 3) != ELF ]] || head -c 4096 -- "$binary" | grep -aq '/ld-linux\|/ld-musl'; then
    die 2 "$binary is not a statically linked program: it could not run in a guest that holds nothing else"
  fi
}

# choose_accel WANTED: sets $accelerator, and says why it is not KVM.
choose_accel() {
  accelerator=kvm
  [[ $1 == kvm ]] && return
  if [[ $1 == auto ]]; then
    if [[ ! -e /dev/kvm ]]; then kvm_trouble="there is no /dev/kvm"
    elif [[ ! -w /dev/kvm ]]; then kvm_trouble="/dev/kvm is not writable for this user"
    elif [[ $(uname -m) != x86_64 ]]; then kvm_trouble="this machine is not an x86-64 one"
    elif kvm_trouble=$(remembered_kvm_trouble); then kvm_trouble="KVM did not work here when tried: $kvm_trouble; --accel kvm tries again"
    else return
    fi
    say "software emulation (TCG), for $kvm_trouble"
  fi
  accelerator=tcg
}
# A KVM that opens but does not run a guest costs seconds to find out: once a boot of this machine is enough.
kvm_memory() { printf '%s/kvm-does-not-work\n' "$cache"; }
remembered_kvm_trouble() {
  local boot trouble
  { read -r boot && read -r trouble; } 2>/dev/null <"$(kvm_memory)" && [[ $boot == "$(</proc/sys/kernel/random/boot_id)" ]] && printf '%s\n' "$trouble"
}
give_up_kvm() {
  say "KVM does not work here ($kvm_trouble): going on with software emulation (TCG)"
  accelerator=tcg kvm_gave_up=1
}
# Only when software emulation runs what KVM did not is KVM to blame.
remember_kvm_trouble() {
  [[ -n ${kvm_gave_up:-} ]] || return
  kvm_gave_up=''
  { mkdir -p -- "$cache" && printf '%s\n%s\n' "$(</proc/sys/kernel/random/boot_id)" "$kvm_trouble" >"$(kvm_memory)"; } 2>/dev/null
}

# guest_arguments FOLDER: the arguments of the program in the guest, one a line; FOLDER is where it finds the record so far.
guest_arguments() {
  local -a lines=("${args[@]}")
  if [[ $mode == run ]]; then
    lines=(run --record /dev/ttyS1)
    [[ ! -s $record ]] || lines+=(--resume "$1resume.jsonl" --resume-log "$1resume.log")
    if [[ -z $one_at_a_time ]]; then lines+=("${args[@]:1}"); else lines+=(--jobs 1 "${args_but_jobs[@]:1}"); fi
  fi
  printf '%s\n' "${lines[@]}"
}

# make_initramfs FILE: the program as /init, its arguments, modules, and the record so far.
make_initramfs() {
  local module
  guest_arguments / >"$work/args" || return
  {
    cpio_folder dev && cpio_device dev/console 5 1 && cpio_file init 755 "$binary" &&
      cpio_file uffd-conformance.args 644 "$work/args" || return
    if [[ $mode == run && -s $record ]]; then
      cpio_file resume.jsonl 644 "$record" && cpio_file resume.log 644 "$work/resume.log" || return
    fi
    if [[ -n $modules ]]; then
      cpio_folder modules
      for module in "$modules"/*.ko; do
        [[ ! -e $module ]] || cpio_file "modules/${module##*/}" 644 "$module" || return
      done
    fi
    cpio_end
  } >"$1"
}

# leash COMMAND..: runs it in place of this subshell; it must not outlive the script, not even one that is killed.
leash() { if have setpriv; then exec setpriv --pdeathsig KILL "$@"; else exec "$@"; fi; }

# Without -cx16 QEMU 7.2's software emulation sometimes corrupts a guest (cmpxchg16b). The others cost it much time and
# the suite nothing: clearing pages byte by byte (erms, fsrm), closing user memory (smap, smep), wide registers.
emulated_cpu=max,-cx16,-erms,-fsrm,-smap,-smep,-avx,-avx2,-xsave
# no_timer_check: a busy machine emulates the timer so late that the kernel gives it up, and panics.
# init_on_alloc=0: an allocator that clears every page would hide that userfaultfd forgot to.
kernel_options='oops=panic no_timer_check init_on_alloc=0'

# qemu_guest: QEMU in place of this subshell. The record (the guest's second serial line) and QEMU's own messages go to
# standard output, the first serial line to $work/console.
qemu_guest() {
  local cpu=$emulated_cpu accel_option=tcg,thread=multi
  if [[ $accelerator == kvm ]]; then cpu=host accel_option=kvm; fi
  # shellcheck disable=SC2086  # $append holds several words
  leash qemu-system-x86_64 -name "uffd-conformance" -nodefaults -no-user-config -display none -no-reboot \
    -accel "$accel_option" -cpu "$cpu" -smp "$cpus" -m "$memory" -kernel "$image" -initrd "$work/initramfs" \
    -chardev file,id=console,path=/proc/self/fd/4 -serial chardev:console \
    -chardev file,id=host,path=/proc/self/fd/3 -serial chardev:host \
    -device isa-debug-exit,iobase=0x501,iosize=2 \
    -append "console=ttyS0 quiet panic=-1 $kernel_options uffd-conformance.exit-port=0x501$append" \
    </dev/null 3>&1 4>"$work/console" 2>&1
}

# boot_guest: one guest from start to end. Sets
#   ending        whole | refused | died | not-up | no-kvm | emulator | limit
#   exit_status   the command's (whole, refused), exit_reason why it is not the command's own
#   death         what is known of the end (died, not-up); kvm_trouble (no-kvm)
#   guest_starts  how many cases it started
boot_guest() {
  local stream line got patience left up='' ended='' said='' held='' started=${EPOCHREALTIME//[!0-9]/}
  local kvm_patience=10
  [[ -z $virtme_ng ]] || kvm_patience=30
  ending=died death='' exit_status=3 exit_reason='' guest_starts=0
  if [[ -n $virtme_ng ]]; then make_virtme_script suite || die 3 "$work cannot be written: is there space?"; fi
  # One pipe for all that is heard of a guest; its end is the guest's end.
  exec {stream}< <(exec {work_lock}>&-; if [[ -n $virtme_ng ]]; then virtme_suite; else qemu_guest; fi)
  guest=$!
  while :; do
    patience=$stall
    # A guest under a working KVM is up in two seconds or so, virtme-ng's in some more.
    # Software emulation on a busy machine has taken over a minute.
    if [[ -z $up ]]; then
      if [[ $accelerator == kvm ]]; then patience=$((stall < kvm_patience ? stall : kvm_patience)); else patience=$((stall > 120 ? stall : 120)); fi
    fi
    [[ -z $exit_reason$said ]] || patience=10
    left=$((deadline - SECONDS))
    if ((left <= 0)); then ending=limit; break; fi
    IFS= read -r -t $((patience < left ? patience : left)) -u "$stream" line
    got=$?
    if ((got > 128)); then
      if ((patience > left)); then ending=limit; break; fi
      death="it said nothing for $patience s"
      break
    fi
    line=${line%$'\r'}
    case $line in
      '{"type":"boot"'*)
        up=1
        say "kernel $(field release "$line"), up after $(seconds_since "$started") s under ${accelerator^^}${virtme_ng:+, by virtme-ng}"
        remember_kvm_trouble
        ;;
      '{"type":"exit"'*)
        said=1 exit_status=$(number_field status "$line") exit_reason=$(field reason "$line")
        ;;
      'KVM internal error'* | 'KVM: entry failed'* | *'failed to initialize kvm'* | *'Could not access KVM'*)
        kvm_trouble=$line ending=no-kvm
        break
        ;;
      qemu-system-x86_64:*) death=${death:-$line} ;;
      *)
        if [[ $mode == output ]]; then
          # The empty line before the last one belongs to the protocol, not to the output.
          if [[ -z $line ]]; then
            ((got != 0)) || held+=$'\n'
          else
            printf '%s%s\n' "$held" "$line"
            held=''
          fi
        elif ((got == 0)); then
          record_line
        fi
        ;;
    esac
    ((got == 0)) || break
  done
  kill -KILL "$guest" 2>/dev/null
  wait "$guest" 2>/dev/null
  guest=''
  exec {stream}<&-
  [[ $ending == died ]] || return
  if [[ -n $ended || ($mode == output && -n $said) ]]; then
    # The run is whole; a guest that died while switching off has said its counts.
    [[ -n $said ]] || exit_status=$ended
    ending=whole
    if [[ -n $exit_reason ]]; then say "$exit_reason"; fi
  elif [[ -n $said ]]; then
    # The command ended without a whole record. What it says of its arguments is on the console.
    if [[ $exit_status == 3 && -n $exit_reason && $guest_starts -gt 0 ]]; then death=$exit_reason; return; fi
    ending=refused
    [[ -n $exit_reason ]] || exit_reason="uffd-conformance ended with status $exit_status and no whole record"
  elif [[ $accelerator == kvm && -z $up ]] && ! grep -aq '^\[ *[0-9]*\.' "$work/console"; then
    kvm_trouble=${death:-$(qemu_line "$work/console" || printf 'QEMU ended without a word from the guest')} ending=no-kvm
  else
    [[ -n $up ]] || ending=not-up
    death=$(panic_line "$work/console" || qemu_line "$work/console" || printf '%s' "${death:-QEMU ended${up:+ in the middle of the run}}")
    [[ -n $up || -s $work/console ]] || death+=" without a word from the guest (has it too little memory?)"
    if emulator_fault "$work/console" && [[ $mode == run || -z $up ]]; then ending=emulator; fi
  fi
}

# record_line: one line of the record, kept at once. Uses boot_guest's own $line, $ended, $guest_starts.
record_line() {
  case $line in
    '{"type":"start"'*) guest_starts=$((guest_starts + 1)) ;;
    '{"type":"end"'*)
      ended=0
      (($(number_field fail "$line") == 0)) || ended=1
      (($(number_field error "$line") == 0)) || ended=3
      ;;
    '{"type":"case"'*) [[ -z $verbose ]] || say "$(field verdict "$line") $(field case "$line")" ;;
    '{"type":'*) ;;
    *) return ;;
  esac
  printf '%s\n' "$line" >>"$record" || die 3 "the record $record cannot be written: is there space?"
}

# field NAME LINE: a string of a JSON line, for names and the like, which hold no quotes.
field() { sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p" <<<"$2"; }
number_field() {
  local value
  value=$(sed -n "s/.*\"$1\":\([0-9]\{1,9\}\).*/\1/p" <<<"$2")
  printf '%s\n' "${value:-0}"
}
seconds_since() {
  local micros=$((${EPOCHREALTIME//[!0-9]/} - $1))
  printf '%d.%d\n' $((micros / 1000000)) $((micros / 100000 % 10))
}

# open_starts RECORD: the cases that started and have no verdict, one a line.
open_starts() {
  awk 'function name() { return match($0, /"case":"[^"]*"/) ? substr($0, RSTART + 8, RLENGTH - 9) : "" }
    /^{"type":"start"/ { open[name()] } /^{"type":"case"/ { delete open[name()] } END { for (one in open) print one }' "$1"
}
# drop_open_starts RECORD: takes these out of the record, so that they run again.
drop_open_starts() {
  awk 'function name() { return match($0, /"case":"[^"]*"/) ? substr($0, RSTART, RLENGTH) : "" }
    NR == FNR { if (/^{"type":"case"/) ended[name()]; next }
    !/^{"type":"start"/ || name() in ended' "$1" "$1" >"$work/record" && cat -- "$work/record" >"$1"
}

# console_text CONSOLE [LINES]: its end as a person would have seen it, without control characters.
console_text() {
  tail -n "${2:-120}" -- "$1" 2>/dev/null | LC_ALL=C sed 's/\r*$//; s/.*\r//; s/\x1b\[[0-9;]*[A-Za-z]//g; s/\t/ /g; s/[^ -~]//g; /^$/d'
}
# console_line CONSOLE REGEX: the first line of it that matches. From a string: a grep that ends early would break a pipe.
console_line() {
  local text
  text=$(console_text "$1" 1000)
  LC_ALL=C grep -Em1 -- "$2" <<<"$text"
}
panic_line() {
  local found
  found=$(console_line "$1" 'Kernel panic - not syncing|BUG: |Oops') || return
  # Without the time stamp, and what another CPU has said before it on the same line.
  [[ ! $found =~ .*\[\ *[0-9]+\.[0-9]+\]\ *(.*) ]] || found=${BASH_REMATCH[1]}
  [[ -n $found ]] && printf '%s\n' "$found"
}
# emulator_fault CONSOLE: software emulation now and then runs a breakpoint that the kernel has already taken out of its own
# code again (bugzilla.redhat.com 2216496; one boot in 30 here). No kernel that patches itself on real processors does.
emulator_fault() { [[ $accelerator == tcg ]] && console_line "$1" 'int3: 0000 ' >/dev/null; }
# qemu_line CONSOLE: what QEMU, or virtme-ng, had to say there.
qemu_line() { console_line "$1" '^(qemu-system-x86_64|virtme-run|virtme-ng-init|error): '; }
# resume_log REASON CONSOLE: what the dead guest's kernel said at its end, for the case that was running.
resume_log() {
  printf 'the guest died: %s\n' "$1"
  console_text "$2"
}
show_console() { console_text "$work/console" "$1" | sed 's/^/  | /' >&2; }
