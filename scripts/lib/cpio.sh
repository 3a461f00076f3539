# shellcheck shell=bash
# Writes an initramfs ("newc" cpio) to standard output: needs no cpio, no root and no staging folder,
# and the same inputs give the same bytes.

cpio_inode=0

# cpio_entry NAME MODE SIZE [MAJOR MINOR]: the header; SIZE bytes and cpio_pad SIZE must follow.
cpio_entry() {
  local length=$((${#1} + 1))
  cpio_inode=$((cpio_inode + 1))
  printf '070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%s\0' \
    "$cpio_inode" "$2" 0 0 1 0 "$3" 0 0 "${4:-0}" "${5:-0}" "$length" 0 "$1"
  cpio_pad $((110 + length))
}
cpio_pad() {
  case $(($1 % 4)) in 1) printf '\0\0\0' ;; 2) printf '\0\0' ;; 3) printf '\0' ;; esac
}
cpio_folder() { cpio_entry "$1" $((8#040755)) 0; }
cpio_device() { cpio_entry "$1" $((8#020600)) 0 "$2" "$3"; }
# cpio_file NAME MODE SOURCE
cpio_file() {
  local size
  size=$(stat -Lc %s -- "$3") || return
  cpio_entry "$1" $((8#0100000 | 8#$2)) "$size"
  cat -- "$3" || return
  cpio_pad "$size"
}
cpio_end() { cpio_inode=-1; cpio_entry 'TRAILER!!!' 0 0; }
