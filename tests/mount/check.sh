#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Whatever keeps a domain from starting can be known before: `check`, which doctor asks, is refused with the very errno and sentence of
# the `prepare` that comes next, and changes nothing: no image is protected, no content taken, no announcement used up.
. "$TESTLIB"
need_fuse
need jq qemu-img qemu-io

mine=11111111-2222-3333-4444-555555555555 other=66666666-7777-8888-9999-aaaaaaaaaaaa

make_image a.img raw 4M 1
make_image new.img raw 4M 1
make_image odd.img qcow2 4M
start_daemon || fail "the daemon starts"
ctl 'protect a.img' >/dev/null && ctl 'set a.img keep-revisions=9' >/dev/null || fail "the image can be protected"

# What lies in the state directory, but for what is made ahead, and what the status says.
all_there_is() {
	find "$STATE" -type f ! -name '*.template*' -exec sha256sum {} + | sort
	stat -c '%n %Y' "$IMAGES"/*
	status '.disks | map(del(.last_error, .image_trouble, .layers[].bytes))'
}

# same_refusal ERRNO TEXT WORDS...: of check and of prepare.
same_refusal() {
	local errno=$1 text=$2 before checked
	shift 2
	before=$(all_there_is)
	ctl_fails "$errno" "check $*" "$text"
	diff <(echo "$before") <(all_there_is) >&2
	checked=$(ctl "check $*" | jq -r .error)
	[[ $(ctl "prepare $*" | jq -r .error) == "$checked" ]]
}

in_use() {
	ctl "prepare $other domain=o a.img target=vda"
	exec {guest}<>"$MNT/a.img"
	same_refusal EBUSY "in use by domain 'o'" "$mine domain=m a.img target=vda"
	ctl "check $other domain=o a.img target=vda" # its own disk
	exec {guest}>&-
	ctl "release $other reason=shutdown"
}

held() {
	ctl "prepare $other domain=o a.img target=vda"
	guest_write a.img 0 64k 2
	ctl "release $other reason=saved"
	same_refusal EBUSY "held for the saved domain" "$mine domain=m a.img target=vda"
	ctl "check $other domain=o saved=yes a.img target=vda"
	ctl 'reset a.img force=yes'
	same_refusal ENOENT "needs is gone" "$other domain=o saved=yes a.img target=vda"
}

announced_stays() {
	ctl "prepare $other domain=o a.img target=vda"
	guest_write a.img 0 64k 2
	ctl "release $other reason=saved"
	ctl "announce $other"
	ctl "check $other domain=o a.img target=vda"
	[[ $(ctl "prepare $other domain=o a.img target=vda" | jq -r '.disks[].action') == resumed ]]
	ctl "release $other reason=shutdown"
	ctl 'reset a.img force=yes'
}

open_for_writing() {
	exec {writer}<>"$MNT/a.img"
	same_refusal EBUSY 'open for writing' "$mine domain=m a.img target=vda"
	exec {writer}>&-
	ctl 'reset a.img'
}

# Nothing depends on it: the next prepare takes the new content, and only that.
changed_image() {
	local before
	qemu_io -f raw -c 'write -q -P 7 0 4M' "$IMAGES/a.img"
	before=$(all_there_is)
	ctl "check $mine domain=m a.img target=vda"
	same "$(all_there_is)" "$before"
	ctl 'reset a.img'
	guest_reads a.img 0 4M 7
	guest_write a.img 0 64k 3
	ctl 'commit a.img'
	touch -d 2001-01-01 "$IMAGES/a.img"
	same_refusal EBUSY 'set a.img image=unchanged' "$mine domain=m a.img target=vda"
	ctl 'set a.img image=unchanged'
	ctl "check $mine domain=m a.img target=vda"
}

other_states_image() {
	stop_daemon
	mv "$STATE" "$STATE.first"
	start_daemon
	same_refusal EBUSY 'are in another state directory' "$mine domain=m a.img target=vda"
	stop_daemon
	rm -rf "$STATE"
	mv "$STATE.first" "$STATE"
	start_daemon
}

image_is_gone() {
	mv "$IMAGES/a.img" "$WORK/away"
	same_refusal ENOENT 'cannot be reached' "$mine domain=m a.img target=vda"
	mv "$WORK/away" "$IMAGES/a.img"
	ctl "check $mine domain=m a.img target=vda"
}

# Of images that are no disks yet.
not_protected_yet() {
	same_refusal ENOENT 'cannot be opened' "$mine domain=m none.img target=vda"
	same_refusal EINVAL 'is no qcow2' "$mine domain=m new.img target=vda format=qcow2"
	ln "$IMAGES/odd.img" "$IMAGES/second.img"
	same_refusal EINVAL 'has 2 links' "$mine domain=m odd.img target=vda"
	rm "$IMAGES/second.img"
	qemu-img create -q -f qcow2 -b "$IMAGES/new.img" -F raw "$IMAGES/based.img"
	same_refusal EINVAL 'has a backing file' "$mine domain=m based.img target=vda"
	ctl "check $mine domain=m new.img target=vda odd.img target=vdb"
	same "$(status '.disks | length')" 1
}

too_deep() {
	restart_daemon
	ctl 'set a.img keep-revisions=9'
	for i in 1 2 3 4 5; do
		guest_write a.img 0 64k "$i"
		ctl 'commit a.img'
	done
	stop_daemon
	start_daemon -o max-layers=2
	same_refusal EBUSY 'no session that is to be committed begins' "$mine domain=m a.img target=vda armed=yes"
	ctl "check $mine domain=m a.img target=vda"
}

nonsense() {
	ctl_fails ENOENT "check $mine"
	ctl_fails EINVAL "check domain=m"
	ctl_fails EINVAL 'check a.img target=vda'
}

promise "check says that a disk is in use by another domain; of its own running domain it says nothing" in_use
promise "it says that the disk is held, and that a saved guest's layer is gone" held
promise "an announced restore stays announced" announced_stays
promise "it says that somebody writes the disk" open_for_writing
promise "it says that a changed image is needed as it was, and takes no new content" changed_image
promise "it says that an image has another state directory's commits" other_states_image
promise "it says that the image is gone" image_is_gone
promise "it says that an image cannot be protected, and protects none" not_protected_yet
promise "it says that too many layers are not folded" too_deep
promise "nonsense is refused" nonsense
