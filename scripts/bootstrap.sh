#!/usr/bin/env bash
# Makes a checkout able to run: sourced by the other scripts. It needs bash, npm and any Node from 20 on, and says what it
# does before it does it. All messages go to standard error.

sluice_root=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.." && pwd)

sluice_say() { printf '%s\n' "$*" >&2; }

# npm_packages_current: are the installed packages those of package-lock.json?
npm_packages_current() {
  [ -x "$sluice_root/node_modules/.bin/node" ] || return 1
  "$sluice_root/node_modules/.bin/node" -e '
    const { readFileSync } = require("node:fs");
    const read = (path) => JSON.parse(readFileSync(path, "utf8")).packages;
    const root = process.argv[1];
    const installed = read(root + "/node_modules/.package-lock.json");
    for (const [path, wanted] of Object.entries(read(root + "/package-lock.json"))) {
      if (path === "") continue;
      const found = installed[path];
      // Packages for other machines are in the lock and never installed here.
      if (found === undefined ? !wanted.optional : found.version !== wanted.version) process.exit(1);
    }' "$sluice_root" 2>/dev/null
}

# need_npm_packages: installs the npm packages, with the Node that is pinned among them, unless they are there.
need_npm_packages() {
  npm_packages_current && return 0
  if ! command -v npm >/dev/null; then
    sluice_say "npm is not installed. Install Node 20 or newer with npm (Debian: apt-get install nodejs npm), then try again."
    return 1
  fi
  # Two scripts that start together install once: the second waits here and finds it done.
  (
    flock 9
    npm_packages_current && exit 0
    if [ -d "$sluice_root/node_modules" ]; then
      sluice_say "The installed npm packages are not those of package-lock.json: installing them again (npm ci)."
    else
      sluice_say "Installing the npm packages, with the Node 24 that Sluice runs on (npm ci; about 400 MB in node_modules)."
    fi
    cd "$sluice_root" && npm ci --no-audit --no-fund --loglevel=error >&2
  ) 9<"$sluice_root/package-lock.json" || {
    sluice_say "npm ci failed; its messages are above. Is the registry reachable (npm ping), and is there room on the disk?"
    return 1
  }
  if [ ! -x "$sluice_root/node_modules/.bin/node" ]; then
    sluice_say "There is no pinned Node for this machine ($(uname -sm)); Sluice runs on Linux x86_64 and aarch64."
    return 1
  fi
}

# need_build: makes build/ from src/ when something in it is newer. The program also runs from src/ as it is, but Node then
# carries a compiler along and holds hundreds of modules: 40 MB and 100 ms more for every agent and every command.
need_build() {
  local stamp=$sluice_root/build/.done
  (
    flock 9
    [ -e "$stamp" ] && [ -z "$(find "$sluice_root/src" "$sluice_root/public" "$sluice_root"/scripts/b{uild.ts,ootstrap.sh} "$sluice_root/package-lock.json" -newer "$stamp" -print -quit)" ] && exit 0
    "$sluice_root/node_modules/.bin/node" "$sluice_root/scripts/build.ts" >&2 &&
      write_launcher "$sluice_root/build/sluice" "$sluice_root/node_modules/.bin/node" "$sluice_root/build/main.js" && touch "$stamp"
  ) 9<"$sluice_root/scripts/build.ts" || {
    sluice_say "The sources could not be built; the reason is above."
    return 1
  }
}

# write_launcher FILE NODE MAIN: the command, as it lies in a PATH. An agent stays small, for its box has better uses for the
# memory: one heap of the C library for all threads, its larger blocks given back as soon as they are free, a young generation
# of 1 MB, an old one that grows by a third between collections, and no second compiler. Together that saves it 30 MB. (test-server/agent-runtime.ts runs agents the same way.)
# A hub holds thousands of connections, each a few kilobytes that live long: a larger young generation would only be kept beside
# them, and an old one that grew to several times what lives would be most of its memory; below 64 MB all of it is looked through too
# often for that to be worth it (a sixteenth of the time of a transfer of many files). Routers and commands move bytes (and holders,
# src/agent/remote/holders.ts): their garbage is buffers, which a small young generation frees before V8 looks through the whole heap for
# them (it counts buffers to the heap, which may grow to three times its size before), and one thread with less work in all than several
# that wake each other for it. A command sets how its heap may grow only once it moves bytes (src/main.ts): with that flag, as with
# --no-opt, V8 takes nothing of the code that Node brings compiled, and 30 ms go into compiling it again.
write_launcher() {
  mkdir -p "$(dirname "$1")"
  cat >"$1" <<LAUNCHER
#!/bin/sh
[ "\${1:-}" != hub ] || exec $2 --max-semi-space-size=8 --initial-old-space-size=64 --heap-growing-percent=20 $3 "\$@"
[ "\${1:-}" != router ] || exec $2 --single-threaded-gc --max-semi-space-size=1 --heap-growing-percent=200 $3 "\$@"
[ "\${1:-}" = agent ] || exec $2 --single-threaded-gc --max-semi-space-size=1 $3 "\$@"
export MALLOC_ARENA_MAX=1 MALLOC_MMAP_THRESHOLD_=32768
exec $2 --max-semi-space-size=1 --heap-growing-percent=30 --no-opt $3 "\$@"
LAUNCHER
  chmod 755 "$1"
}

# What a package is for, in the words of someone who is asked to install it.
debian_purpose() {
  case $1 in
    ffmpeg) echo "runs the streams" ;;
    procps) echo "ps, for looking at processes in tests" ;;
    supervisor) echo "a process supervisor to measure beside ours" ;;
    openssh-server | openssh-client) echo "ssh, to measure remote sessions beside it" ;;
    python3) echo "stands in for a slow link in measurements" ;;
    nginx-light | libnginx-mod-rtmp) echo "an RTMP server that tests break on purpose" ;;
    iproute2 | nftables) echo "networks of their own that tests cut" ;;
    systemd-container) echo "boots a throw-away machine with a real systemd, for tests that root runs" ;;
    redis-server) echo "the store of several hubs, which tests freeze and kill" ;;
    openssl) echo "makes certificates for tests" ;;
    git | tmux | vim-tiny) echo "programs that tests run on boxes far away" ;;
    btrfs-progs) echo "a file system whose copies share their bytes, for a test of them" ;;
    curl) echo "asks the agent's socket in tests" ;;
    dpkg) echo "writes the Debian package" ;;
    chromium) echo "a real browser for the tests of the pages" ;;
    docker.io | podman | runc) echo "container engines that tests start for themselves and end" ;;
    *) echo "needed here" ;;
  esac
}

# Is it there, from a package or put there by hand?
debian_has() {
  case $1 in
    libnginx-mod-rtmp) [ -e /usr/lib/nginx/modules/ngx_rtmp_module.so ] && return 0 ;;
    nginx-light) [ -x /usr/sbin/nginx ] && return 0 ;;
    iproute2) [ -x /sbin/ip ] || [ -x /usr/sbin/ip ] && return 0 ;;
    nftables) [ -x /usr/sbin/nft ] && return 0 ;;
    systemd-container) command -v systemd-nspawn >/dev/null && return 0 ;;
    procps) command -v ps >/dev/null && return 0 ;;
    openssh-server) [ -x /usr/sbin/sshd ] && return 0 ;;
    openssh-client) command -v ssh >/dev/null && return 0 ;;
    supervisor) command -v supervisord >/dev/null && return 0 ;;
    docker.io) [ -x /usr/sbin/dockerd ] || command -v dockerd >/dev/null && return 0 ;;
    runc) [ -x /usr/sbin/runc ] && return 0 ;;
    btrfs-progs) [ -x /sbin/mkfs.btrfs ] || [ -x /usr/sbin/mkfs.btrfs ] && return 0 ;;
    vim-tiny) command -v vim >/dev/null && return 0 ;;
    *) command -v "$1" >/dev/null && return 0 ;;
  esac
  [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# need_debian PKG…: installs what is missing of these Debian packages, with sudo when not root, after saying so.
need_debian() {
  local package missing=() as_root=()
  for package in "$@"; do debian_has "$package" || missing+=("$package"); done
  [ ${#missing[@]} -gt 0 ] || return 0
  sluice_say "Missing on this machine:"
  for package in "${missing[@]}"; do sluice_say "  $package ($(debian_purpose "$package"))"; done
  if ! command -v apt-get >/dev/null; then
    sluice_say "This is neither Debian nor Ubuntu: install them with this system's own package manager, then try again."
    return 1
  fi
  if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null; then
      sluice_say "Installing needs root, and there is no sudo. As root: apt-get install --no-install-recommends ${missing[*]}"
      return 1
    fi
    as_root=(sudo)
    # Without a terminal nobody can type a password.
    [ -t 0 ] || as_root+=(-n)
  fi
  # RUNLEVEL=1 keeps a freshly installed nginx from being started as a service.
  as_root+=(env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1)
  sluice_say "Installing with: ${as_root[*]} apt-get install --yes --no-install-recommends ${missing[*]}"
  if "${as_root[@]}" apt-get update -qq >&2 &&
    "${as_root[@]}" apt-get install -qq --yes --no-install-recommends -o DPkg::Lock::Timeout=120 "${missing[@]}" >&2; then
    return 0
  fi
  sluice_say "apt-get failed; its messages are above."
  return 1
}

if [ "${BASH_SOURCE[0]}" = "$0" ]; then
  case ${1:-} in
    -h | --help)
      cat <<'TEXT'
usage: scripts/bootstrap.sh [PACKAGE…]

Installs the npm packages of this checkout (with the Node 24 that is pinned among them) and the named Debian packages,
as far as they are missing. The other scripts do this by themselves; they source this file.
TEXT
      ;;
    *) need_npm_packages && need_debian "$@" ;;
  esac
fi
