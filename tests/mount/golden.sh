#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A golden image that is replaced: clones that have nothing of their own begin with the new one, as they would with a commit; what stands on
# the old one is refused, named, and given up by the command that the refusal names, typed as it stands.
. "$TESTLIB"
need_fuse
need jq qemu-img qemu-io

start_daemon || fail "the daemon starts"

# golden NAME PATTERN [SIZE]: an image of that pattern in its place, by rename.
golden() {
	make_image next qcow2 "${3:-8M}" "$2"
	mv "$IMAGES/next" "$IMAGES/$1"
}
with_clones() {
	local n
	golden "$1" 1
	ctl "protect $1"
	for n in 1 2 3; do ctl "clone $1 $n-$1"; done
}
virtual_size() {
	qemu-img info -U --output=json "$MNT/$1" | jq '."virtual-size"'
}
# Types what stands in quotes behind WORDS in the refusal of COMMAND.
refused_with() {
	ctl "$1" | jq -r .error | tee "$WORK/refusal" >&2
	grep -q "$2" "$WORK/refusal"
	grep -o "'$3'" "$WORK/refusal" | head -1 | tr -d "'" >"$WORK/way"
	test -s "$WORK/way"
}
way_out() {
	ctl "$(cat "$WORK/way")" >&2
}

# In one process that has the disk open, as a QEMU has.
guest() {
	local line
	echo "$1" >&"${GUEST[1]}"
	while read -r line <&"${GUEST[0]}"; do
		[[ $line != *failed* ]] || return 1
		[[ $line != *bytes\ at* ]] || return 0
	done
	return 1
}
guest_stops() {
	eval "exec ${GUEST[1]}>&-"
	wait "$GUEST_PID"
}

clones_follow() {
	with_clones g.qcow2
	golden g.qcow2 2
	begins 1-g.qcow2 1
	guest_reads 1-g.qcow2 0 1M 2
	ends 1-g.qcow2 1
	ctl "reset 2-g.qcow2"
	guest_reads 2-g.qcow2 0 1M 2
	guest_reads 3-g.qcow2 0 1M 2
	ctl "reset g.qcow2"
	guest_reads g.qcow2 0 1M 2
}

# As rsync --inplace and cp do.
in_place() {
	make_image next qcow2 8M 3
	cat "$IMAGES/next" >"$IMAGES/g.qcow2"
	rm "$IMAGES/next"
	ctl "reset 3-g.qcow2"
	guest_reads 3-g.qcow2 0 1M 3
}

of_another_size() {
	golden g.qcow2 4 12M
	ctl "reset 1-g.qcow2"
	for name in 1-g.qcow2 2-g.qcow2 3-g.qcow2 g.qcow2; do
		same "$(virtual_size $name)" $((12 << 20))
		guest_reads $name 11M 1M 4
		same "$(status_of $name .state)" pristine
	done
	# What a clone keeps from here on stands on the new one.
	guest_write 2-g.qcow2 11M 64k 5
	ctl "commit 2-g.qcow2"
	guest_reads 2-g.qcow2 11M 64k 5
	ctl "rm 2-g.qcow2" || rm "$MNT/2-g.qcow2"
}

# What the next start throws away anyhow stands in nobody's way.
discarded() {
	begins 1-g.qcow2 1
	guest_write 1-g.qcow2 0 64k 6
	ends 1-g.qcow2 1 failed
	begins 3-g.qcow2 3
	guest_write 3-g.qcow2 0 64k 6
	kill_daemon
	golden g.qcow2 7
	start_daemon
	begins 1-g.qcow2 1
	guest_reads 1-g.qcow2 0 1M 7
	ends 1-g.qcow2 1
	begins 3-g.qcow2 3
	guest_reads 3-g.qcow2 0 1M 7
	ends 3-g.qcow2 3
}

# Nothing is given up by mistake.
not_given_up() {
	with_clones k.qcow2
	ctl "set k.qcow2 keep-revisions=3"
	guest_write k.qcow2 0 64k 2
	ctl "commit k.qcow2"
	ctl_fails EINVAL "set k.qcow2 image=new" "its image is what revertfs last saw" "layers of the disk 'k.qcow2'"
	guest_reads k.qcow2 0 64k 2
	ctl "set 1-k.qcow2 image=unchanged"
	guest_reads k.qcow2 0 64k 2
}

# More of what stands on the old content.
two_scratches() {
	with_clones t.qcow2
	guest_write 1-t.qcow2 0 64k 2
	guest_write 2-t.qcow2 0 64k 2
	golden t.qcow2 3
	refused_with "reset 1-t.qcow2" "the scratch of the disk '2-t.qcow2'" "set [^']* image=new"
	way_out
	for name in t.qcow2 1-t.qcow2 2-t.qcow2 3-t.qcow2; do guest_reads $name 0 1M 3; done
}

# A session that is to be kept and has written nothing yet.
armed_and_silent() {
	ctl "prepare $(uuid_of 1) domain=d1 $MNT/1-t.qcow2 target=vda armed=yes" >&2
	golden t.qcow2 4
	ctl_fails EBUSY "reset 2-t.qcow2" "the disk '1-t.qcow2'" || ctl_fails EBUSY "reset 2-t.qcow2" "the scratch of the disk '1-t.qcow2'"
	ends 1-t.qcow2 1
	ctl "reset 2-t.qcow2"
	guest_reads 1-t.qcow2 0 1M 4
}

# What is written to a scratch that was there when the content was taken, and empty, stands on that.
written_afterwards() {
	golden t.qcow2 5
	ctl "reset t.qcow2"
	guest_write 2-t.qcow2 0 64k 6
	ctl "commit 2-t.qcow2"
	guest_reads 2-t.qcow2 0 64k 6
	guest_reads 2-t.qcow2 64k 64k 5
	rm "$MNT/2-t.qcow2"
}

# A copy that an export asks for takes no other content under the guest that runs.
exported() {
	begins 1-t.qcow2 1
	coproc GUEST { exec qemu-io -f qcow2 "$MNT/1-t.qcow2" 2>&1; }
	guest 'read -P 5 0 1M'
	golden t.qcow2 6 12M
	ctl_fails EBUSY "export 1-t.qcow2 to=$WORK/copy.qcow2" "while a guest has the disk open"
	guest 'write -P 7 1M 64k'
	guest_stops
	ends 1-t.qcow2 1
	ctl "reset 1-t.qcow2"
	guest_reads 1-t.qcow2 0 1M 6
}

# While it is being copied to its place nobody begins with it.
half_copied() {
	make_image t.half qcow2 12M 7
	exec {copying}<>"$IMAGES/t.half"
	mv "$IMAGES/t.half" "$IMAGES/t.qcow2"
	ctl_fails EBUSY "reset t.qcow2" "is open for writing"
	exec {copying}>&-
	ctl "reset t.qcow2"
	guest_reads t.qcow2 0 1M 7
}

layers_refuse() {
	rm -f "$STATE"/lost/*
	with_clones l.qcow2
	ctl "set l.qcow2 keep-revisions=3"
	guest_write l.qcow2 0 64k 2
	ctl "commit l.qcow2"
	golden l.qcow2 3
	refused_with "reset 1-l.qcow2" "layers of the disk 'l.qcow2'" "set [^']* image=new"
	! begins 1-l.qcow2 1
	way_out
	for name in l.qcow2 1-l.qcow2 2-l.qcow2 3-l.qcow2; do guest_reads $name 0 1M 3; done
	begins 1-l.qcow2 1
	ends 1-l.qcow2 1
	# A layer that was given up is kept, and can be read.
	same "$(find "$STATE/lost" -name '*.qcow2' | wc -l)" 1
	qemu-img info -U --output=json "$(find "$STATE/lost" -name '*.qcow2')" | jq -e '.format == "qcow2"' >&2
}

clones_layers_refuse() {
	guest_write 2-l.qcow2 0 64k 4
	ctl "commit 2-l.qcow2"
	golden l.qcow2 5
	refused_with "reset l.qcow2" "layers of the disk '2-l.qcow2'" "set [^']* image=new"
	rm "$MNT/2-l.qcow2"
	ctl "reset l.qcow2"
	guest_reads 1-l.qcow2 0 1M 5
}

names_refuse() {
	with_clones n.qcow2
	ctl "snapshot n.qcow2 monday"
	golden n.qcow2 2
	refused_with "reset n.qcow2" "the snapshot 'monday' of the disk 'n.qcow2'" "set [^']* image=new"
	refused_with "reset 1-n.qcow2" "the snapshot 'monday' of the disk 'n.qcow2'" "set [^']* image=new"
	ctl "delete n.qcow2 monday"
	ctl "reset 1-n.qcow2"
	guest_reads n.qcow2 0 1M 2
	ctl "snapshot n.qcow2 \"a day\""
	golden n.qcow2 8
	refused_with "reset n.qcow2" "a day" "delete [^']*"
	! grep -q lost/ "$WORK/refusal"
	way_out
	ctl "reset n.qcow2"
	guest_reads 1-n.qcow2 0 1M 8
	ctl "snapshot n.qcow2 tuesday"
	golden n.qcow2 3
	refused_with "reset n.qcow2" tuesday "set [^']* image=new"
	way_out
	guest_reads 2-n.qcow2 0 1M 3
	ctl_fails ENOENT "revert n.qcow2 tuesday"
}

scratches_refuse() {
	with_clones s.qcow2
	guest_write 1-s.qcow2 0 64k 2
	golden s.qcow2 3
	refused_with "reset s.qcow2" "the scratch of the disk '1-s.qcow2'" "reset 1-s.qcow2"
	refused_with "commit 1-s.qcow2" "changes in the scratch" "reset [^']*"
	way_out
	grep -E "disk '1-s.qcow2': what its scratch was to keep \(.*\) is thrown away: [0-9]+ bytes" "$WORK"/daemon*.log
	guest_reads 1-s.qcow2 0 1M 3
	guest_reads s.qcow2 0 1M 3
	guest_write 1-s.qcow2 0 64k 4
	golden s.qcow2 5
	refused_with "reset 2-s.qcow2" "the scratch of the disk '1-s.qcow2'" "reset 1-s.qcow2"
	rm -f "$STATE"/lost/*
	ctl "set 2-s.qcow2 image=new"
	same "$(find "$STATE/lost" -name '*.qcow2' | wc -l)" 1
	guest_reads 1-s.qcow2 0 1M 5
}

guest_runs() {
	begins "$1" 3
	coproc GUEST { exec qemu-io -f qcow2 "$MNT/$1" 2>&1; }
	guest 'write -P 8 1M 64k'
}

# As with a commit: a guest that runs goes on reading what it began with, and takes the new image at its next start.
running_follow() {
	guest_runs 3-s.qcow2
	golden s.qcow2 6
	begins 1-s.qcow2 1
	guest_reads 1-s.qcow2 0 1M 6
	ends 1-s.qcow2 1
	guest 'read -P 5 0 1M'
	guest 'read -P 8 1M 64k'
	guest_stops
	ends 3-s.qcow2 3
	guest_reads 3-s.qcow2 0 2M 6
}

# What it wrote stands on what is gone: nobody may keep it.
running_keeps_nothing() {
	guest_runs 3-s.qcow2
	golden s.qcow2 7
	ctl "reset 1-s.qcow2"
	ctl_fails EBUSY "snapshot 3-s.qcow2 now live=yes" "its image was replaced"
	ctl_fails EBUSY "commit 3-s.qcow2 at=release" "its image was replaced"
	ctl_fails EBADMSG "arm $(uuid_of 3) 1:2:3.4 vda" "its image was replaced"
	guest_stops
	ctl_fails EBADMSG "release $(uuid_of 3) domain=d3 reason=saved vda source=$MNT/3-s.qcow2" "its image was replaced"
	ctl_fails EBUSY "commit 3-s.qcow2" "its image was replaced" "'reset 3-s.qcow2'"
	ctl "announce $(uuid_of 3)"
	ctl_fails EBUSY "prepare $(uuid_of 3) domain=d3 $MNT/3-s.qcow2 target=vda" "its image was replaced"
	begins 3-s.qcow2 3
	guest_reads 3-s.qcow2 0 2M 7
	ends 3-s.qcow2 3
	same "$(find "$STATE/lost" -name '*3-s*' | wc -l)" 1
}

# ... nor after a restart of the daemon under it.
running_restart() {
	guest_runs 3-s.qcow2
	golden s.qcow2 8
	ctl "reset 1-s.qcow2"
	guest_stops
	kill_daemon
	start_daemon
	# A copy of it would be a mixture, and is not offered.
	ctl_fails EBADMSG "release $(uuid_of 3) domain=d3 reason=saved vda source=$MNT/3-s.qcow2" "its image was replaced" " ('reset 3-s.qcow2' gives it up)"
	ctl "reset 3-s.qcow2"
	guest_reads 3-s.qcow2 0 2M 8
}

# A refused commit leaves data that stands on what is gone; nor does a restart make it good.
refused_commit_restart() {
	guest_runs 3-s.qcow2
	golden s.qcow2 9
	ctl "reset 1-s.qcow2"
	guest_stops
	ctl_fails EBUSY "release $(uuid_of 3) domain=d3 reason=shutdown vda source=$MNT/3-s.qcow2 armed=yes" "its image was replaced"
	for _ in 1 2; do
		ctl_fails EBUSY "commit 3-s.qcow2" "its image was replaced" "'reset 3-s.qcow2'"
		restart_daemon
	done
	ctl "reset 3-s.qcow2"
	guest_reads 3-s.qcow2 0 2M 9
}

armed_refuse() {
	ctl "prepare $(uuid_of 3) domain=d3 $MNT/3-s.qcow2 target=vda armed=yes" >&2
	guest_write 3-s.qcow2 0 64k 1
	golden s.qcow2 9
	refused_with "reset 1-s.qcow2" "changes in the scratch of the disk '3-s.qcow2'" "reset 3-s.qcow2"
	ctl_fails EBUSY "set s.qcow2 image=new" "3-s.qcow2"
	# The session's end keeps what it wrote, in case that the old image comes back.
	ends 3-s.qcow2 3 failed
	ctl_fails EBUSY "reset 1-s.qcow2" "layers that snapshots keep"
	ctl "set s.qcow2 image=new"
	guest_reads 1-s.qcow2 0 1M 9
}

# A guest cannot tell where the file itself is changed under it: it reads a mixture, and the others wait for its end.
running_in_place() {
	guest_runs 3-s.qcow2
	make_image next qcow2 8M 10
	cat "$IMAGES/next" >"$IMAGES/s.qcow2"
	rm "$IMAGES/next"
	ctl_fails EBUSY "reset 1-s.qcow2" "the disk '3-s.qcow2', which is in use" "stopping its domain"
	guest_stops
	ends 3-s.qcow2 3
	ctl "reset 1-s.qcow2"
	guest_reads 3-s.qcow2 0 1M 10
}

held_refuse() {
	begins 2-s.qcow2 2
	guest_write 2-s.qcow2 0 64k 9
	ends 2-s.qcow2 2 saved
	golden s.qcow2 7
	refused_with "reset 1-s.qcow2" "the saved domain 'd2'" "reset 2-s.qcow2 force=yes"
	way_out
	ctl "reset 1-s.qcow2"
	guest_reads 2-s.qcow2 0 1M 7
}

# The command that is offered has the name in quotes.
blank_in_a_name() {
	golden 'my disk.qcow2' 1
	ctl 'protect "my disk.qcow2"'
	ctl 'clone "my disk.qcow2" "my clone.qcow2"'
	ctl 'set "my disk.qcow2" keep-revisions=3'
	guest_write 'my disk.qcow2' 0 64k 2
	ctl 'commit "my disk.qcow2"'
	golden 'my disk.qcow2' 3
	refused_with 'reset "my clone.qcow2"' "layers of the disk 'my disk.qcow2'" "set [^']* image=new"
	way_out
	guest_reads 'my clone.qcow2' 0 1M 3
	guest_write 'my clone.qcow2' 0 64k 4
	golden 'my disk.qcow2' 5
	refused_with 'reset "my disk.qcow2"' "the scratch of the disk 'my clone.qcow2'" "reset [^']*"
	way_out
	guest_reads 'my clone.qcow2' 0 1M 5
	guest_write 'my clone.qcow2' 0 64k 6
	touch "$IMAGES/my disk.qcow2"
	refused_with 'commit "my clone.qcow2"' "changes in the scratch" "set [^']* image=unchanged"
	way_out
	guest_reads 'my clone.qcow2' 0 64k 6
	ctl 'commit "my clone.qcow2"'
	rm "$MNT/my clone.qcow2"
	guest_write 'my disk.qcow2' 0 64k 7
	ctl 'commit "my disk.qcow2"'
	refused_with 'unprotect "my disk.qcow2"' "not folded" "unprotect [^']* force=yes"
	way_out
}

# What the others complained of ends when one of them has taken the new content, or an administrator's word is taken.
errors_end() {
	local way name
	with_clones e.qcow2
	guest_write 3-e.qcow2 0 64k 2
	for way in "reset 3-e.qcow2" "set 2-e.qcow2 image=unchanged" "set 1-e.qcow2 image=new"; do
		[[ $way == reset* ]] || guest_write 3-e.qcow2 0 64k 2
		golden e.qcow2 3
		for name in e.qcow2 1-e.qcow2 2-e.qcow2; do ctl_fails EBUSY "reset $name" "its image was replaced"; done
		ctl_fails ENOENT "delete 2-e.qcow2 none"
		status_of 1-e.qcow2 .last_error | grep "its image was replaced" >&2
		ctl "$way"
		for name in e.qcow2 1-e.qcow2 3-e.qcow2; do same "$(status_of $name .last_error)" null; done
		[[ $way == set\ 2* ]] || status_of 2-e.qcow2 .last_error | grep none >&2
	done
}

# As with any other command that succeeds.
release_ends_error() {
	begins 1-e.qcow2 1
	ctl_fails EBUSY "reset 1-e.qcow2" "is in a session of domain"
	ends 1-e.qcow2 1
	same "$(status_of 1-e.qcow2 .last_error)" null
}

promise "clones without data begin with the golden image that took the old one's place" clones_follow
promise "... and with one that was written over the old one" in_place
promise "... and with one of another size, all of them" of_another_size
promise "data that is to be discarded stands in nobody's way" discarded
promise "two clones with changes: one command gives up both" two_scratches
promise "a session that is to be kept refuses, though it has written nothing yet" armed_and_silent
promise "what is written after a content was taken stands on it" written_afterwards
promise "an export changes nothing under a guest that runs" exported
promise "a copy that somebody still writes is not taken" half_copied
promise "for an image that was not replaced nothing is given up" not_given_up
promise "layers on the old image refuse, and the refusal's command gives them up, to lost/" layers_refuse
promise "a clone's layers refuse, and go with it" clones_layers_refuse
promise "a snapshot of the image itself refuses, and never comes to mean other bytes" names_refuse
promise "a clone's data that is kept refuses, and both ways out work" scratches_refuse
promise "a running clone reads what it began with, and follows at its next start" running_follow
promise "what a running clone wrote on the old image cannot be kept any more" running_keeps_nothing
promise "... nor after a restart" running_restart
promise "... nor after a commit that was refused, and a restart" refused_commit_restart
promise "a session that is to be committed refuses" armed_refuse
promise "a running clone refuses where the file itself was changed" running_in_place
promise "a saved clone refuses" held_refuse
promise "a name with a blank is in quotes in the command that is offered" blank_in_a_name
promise "an error of the changed image ends for all its disks when that is taken, and no other error" errors_end
promise "a release that succeeds ends the last error" release_ends_error
