# shellcheck shell=bash disable=SC2154
#
# What etc/quickstart and tests/run have in common: get what is missing, copy
# the tree, build.  Sourced by bash; the caller sets `top` to the tree.

say() {
	printf '%s: %s\n' "${0##*/}" "$*" >&2
}

die() {
	say "$*"
	exit 1
}

# Servers live in /usr/sbin, which is not in everybody's PATH.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

# --- Packages ---------------------------------------------------------------

# The libraries, as configure.ac names them to those who lack them.
library_packages() {
	sed -n 's/.*NEED_HINT(\[[^]]*\], \[\([^]]*\)\]).*/\1/p' \
		"$top/configure.ac" | tr ' ' '\n' | sort -u
}

# Prints those of the arguments that are not there.  An argument is a Debian
# package, or COMMAND=PACKAGE when the command may come from elsewhere.
missing() {
	local want
	for want; do
		case $want in
		*=*) command -v "${want%%=*}" >/dev/null || echo "${want#*=}" ;;
		*) [ "$(dpkg-query -W -f '${db:Status-Status}' "$want" 2>/dev/null)" \
			= installed ] || echo "$want" ;;
		esac
	done
}

# Runs as root.  No package may start a server, neither now nor at the next
# boot: policy-rc.d says so while apt-get runs, and is put back afterwards.
apt_install() (
	policy=/usr/sbin/policy-rc.d
	mark='by tusfcgi, while apt-get runs'
	new='' saved=''
	exec 9</usr/sbin && flock 9
	for service in nginx lighttpd apache2; do
		[ -e "/etc/init.d/$service" ] || new="$new $service"
	done
	if [ -e $policy ] && ! grep -q "$mark" $policy; then
		saved=$(mktemp $policy.XXXXXX) && cp -p $policy "$saved"
	fi
	trap 'if [ "$saved" ]; then mv "$saved" $policy; else rm -f $policy; fi' EXIT
	trap 'exit 130' INT TERM HUP
	rm -f $policy
	printf '#!/bin/sh\n# %s\nexit 101\n' "$mark" >$policy
	chmod 755 $policy
	export DEBIAN_FRONTEND=noninteractive
	set -- -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 \
		install --no-install-recommends "$@"
	# A container that dies meanwhile is thrown away: no need to sync.
	[ -d /run/systemd/system ] || set -- -o DPkg::Options::=--force-unsafe-io "$@"
	set -- apt-get -qq -y "$@"
	if ! "$@" </dev/null >/dev/null 2>&1 9<&-; then
		apt-get -qq -o DPkg::Lock::Timeout=300 update 9<&- || return 1
		"$@" </dev/null >/dev/null 9<&- || return 1
	fi
	for service in $new; do
		[ -e "/etc/init.d/$service" ] || continue
		update-rc.d "$service" disable >/dev/null 2>&1
		echo "$service is installed, but not started and not enabled:" \
			"systemctl enable --now $service does that." >&2
	done
)

# need WHAT...: see missing().  Installs it, or says how and gives up.
need() {
	local packages root=()
	packages=$(missing "$@" | sort -u | tr '\n' ' ')
	[ "$packages" ] || return 0
	if ! command -v apt-get >/dev/null; then
		die "these are missing, by their Debian names: $packages"
	fi
	if [ "$(id -u)" != 0 ]; then
		if [ "${may_install-yes}" = yes ] && command -v sudo >/dev/null &&
			{ sudo -n true 2>/dev/null || [ -t 0 ]; }; then
			root=(sudo)
		else
			may_install=no
		fi
	fi
	[ "${may_install-yes}" = yes ] ||
		die "something is missing.  As root: apt-get install $packages"
	say "installing $packages"
	"${root[@]}" bash -c "$(declare -f apt_install); apt_install $packages" ||
		die "apt-get could not install $packages"
}

# want WHAT...: the same, but life goes on without.
want() {
	(need "$@") || say "going on without"
}

build_needs() {
	echo cc=gcc libc6-dev make=make autoconf=autoconf automake=automake \
		pkg-config=pkg-config
	library_packages
}

# --- The tree ---------------------------------------------------------------

# copy_tree TO: the sources as they are now, without what a build leaves.
copy_tree() {
	mkdir -p "$1"
	if [ "$(git -C "$top" rev-parse --show-toplevel 2>/dev/null)" = "$top" ]; then
		git -C "$top" ls-files -z --cached --others --exclude-standard |
			tar -C "$top" --null -T - --ignore-failed-read -cf - 2>/dev/null
	else
		sed 's|^/|./|; s|/$||' "$top/.gitignore" |
			tar -C "$top" --exclude=./.git -X - -cf - .
	fi | tar -C "$1" --no-same-owner -xf -
}

# build FROM IN OPTION...: out of tree, quick when nothing has changed.  Says
# nothing unless it fails.
build() {
	local from=$1 in=$2 log=$2/build.log
	shift 2
	mkdir -p "$in"
	(
		set -e
		cd "$from"
		if [ ! configure -nt configure.ac ] || [ ! configure -nt Makefile.am ]; then
			autoreconf -i
		fi
		cd "$in"
		if [ ! -e config.status ] || [ "$(cat options 2>/dev/null)" != "$*" ]; then
			"$from/configure" "$@"
			echo "$*" >options
		fi
		make -j"$(nproc)"
	) >"$log" 2>&1 && return
	tail -n 40 "$log" >&2
	return 1
}
