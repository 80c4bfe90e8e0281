#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The images directory is reached through a symbolic link, as where /var/lib/libvirt/images points to a larger disk: the
# domain starts and ends as if it were not. Nobody but root can lead a domain there, and no mount is looked into.
. "$TESTS/hook/lib.sh"

start_fake vm && start_fake hung || fail "the fakes start"
ln -s vm /srv/images
ln -s /srv/./images//. /srv/again
ln -s ../srv/vm-images /srv/real
mkdir /srv/sub && ln -s ../vm /srv/sub/up
domain_json win10 <<<'{"disks":[{"target":"vda"}]}'

# through DIRECTORY EVENT: the recorded XML, but with this directory.
through() {
	sed "s|/srv/vm/win10|$1/win10|" "$XML/${2%% *}.xml" >"$WORK/links.xml"
	# shellcheck disable=SC2086 # two words
	hook "$WORK/links.xml" win10 $2 "${3:--}"
}

found() {
	forget_lines vm
	through "$1" "prepare begin"
	silent
	[[ $(lines vm) == "prepare $UUID "*" /srv/vm/win10.qcow2 target=vda source=/srv/vm/win10.qcow2 "* ]]
	through "$1" "restore begin"
	forget_lines vm
	through "$1" "release end" shutdown
	[[ $(lines vm) == "release $UUID "*" vda armed=no source=/srv/vm/win10.qcow2"* ]]
}
promise "a directory that is a link" found /srv/images
promise "a link to a link, with odd slashes" found /srv//again
promise "a link that climbs" found /srv/sub/up

to_the_image() {
	refuses through /srv/real "prepare begin"
	says "disk 'vda' uses the real image '/srv/vm-images/win10.qcow2', which would not be protected: set its source to '/srv/vm/win10.qcow2'"
}
promise "a link to the images themselves is named with the path to use" to_the_image

not_found() {
	forget_lines vm
	refuses through "$1" "prepare begin"
	says "is in no revertfs mount"
	same "$(lines vm)" ""
}
ln -s vm /srv/users && chown -h 1234 /srv/users
promise "a link that is not root's is not followed" not_found /srv/users
ln -s loop /srv/loop
promise "a link in a circle" not_found /srv/loop
ln -s /nowhere /srv/dangling
promise "a link to nothing" not_found /srv/dangling
ln -s "$(printf '%04000d' 0)" /srv/long
too_long() {
	forget_lines vm
	refuses through "/srv/long/$(printf '%04000d' 0)" "prepare begin"
	same "$(lines vm)" ""
}
promise "a link to what is too long for a path" too_long

climbing() {
	refuses through /srv/images/../vm "prepare begin"
	says "needs a source that is an absolute path, without '..'"
}
promise "a path that climbs by itself is refused as ever" climbing

# A daemon that hangs: whoever looks for links in its mount would hang, too.
ln -s hung /srv/lame
stop_fake hung
hangs() {
	sed "s|/srv/vm/win10|/srv/lame/sub/win10|" "$XML/prepare.xml" >"$WORK/links.xml"
	HOOK_OPTIONS="--deadline 1" refuses hook "$WORK/links.xml" win10 prepare begin
	says "did not answer" # asked, by a child that was given up: so it was found
}
promise "behind a link nothing is looked at in a mount whose daemon hangs" hangs
