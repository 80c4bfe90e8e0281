#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What takes long shows how far it is, is cancelled by Ctrl-C without a trace, and can be left to itself; on a terminal too.
. "$TESTLIB"
need_fuse
need jq qemu-img qemu-io tmux zsh
top=$(dirname "$TESTS")

revertctl() {
	"$REVERTCTL" --mount "$MNT" "$@"
}

make_image vm.qcow2 qcow2 64M 0x11
start_daemon -o protect=vm.qcow2 || fail "the daemon starts"

has_job() {
	same "$(status_of vm.qcow2 '.job.kind')" "$1"
}

has_jobs() {
	same "$(status_of vm.qcow2 '.jobs | length')" "$1"
}

exports() {
	revertctl export vm.qcow2 --to copy.qcow2 >said 2>lines
	grep -q '^vm.qcow2: exported' said
	qemu-img compare -q copy.qcow2 "$IMAGES/vm.qcow2"
	jq -e '.sha256' copy.qcow2.json
	! grep -q $'\033' said lines
}
promise "an export ends with the copy, and nothing of a terminal in its words" exports

says_how_far() {
	revertctl export vm.qcow2 --to slow.raw --format=raw --rate=48M >said 2>lines
	grep -qE '^export vm.qcow2: [0-9]+%, [0-9.]+.? of 64M' lines
	! grep -q $'\r' lines
}
promise "without a terminal it says in plain lines how far it is" says_how_far

interrupted() {
	local pid status=0
	revertctl export vm.qcow2 --to big.raw --format=raw --rate=1M --detach >said
	grep -q queued said
	wait_until 10 has_job export
	# An own process group, and SIGINT not ignored, as from a terminal.
	setsid bash -c 'trap - INT; exec "$@"' - env --default-signal=INT "$REVERTCTL" --mount "$MNT" export vm.qcow2 --to gone.raw --format=raw --rate=1M >said 2>lines &
	pid=$!
	wait_until 10 has_jobs 2
	kill -INT "$pid"
	wait "$pid" || status=$?
	same "$status" 130
	grep -q 'export vm.qcow2 was cancelled; nothing is left of it' lines
	[[ ! -e gone.raw && ! -e gone.raw.json ]]
	# The other export of the disk goes on.
	same "$(status_of vm.qcow2 '[.jobs[].to] | join(" ")')" "$WORK/big.raw"
	revertctl cancel vm.qcow2
	[[ ! -e big.raw ]]
}
promise "Ctrl-C cancels that export and no other, and exits with 130" interrupted

folds() {
	revertctl set vm.qcow2 keep-revisions=4
	guest_write vm.qcow2 0 8M 0x22
	revertctl commit vm.qcow2 | grep -q committed
	revertctl set vm.qcow2 keep-revisions=0
	revertctl fold vm.qcow2 | grep -q folded
	same "$(status_of vm.qcow2 '.layers | length')" 1
	guest_write vm.qcow2 0 8M 0x33
	revertctl commit vm.qcow2 --wait --note=kept | grep -q "committed, and folded"
	image_reads vm.qcow2 qcow2 0 8M 0x33
	refuses revertctl commit vm.qcow2 --wait --at-release
}
promise "fold, and commit --wait, return when the image has it" folds

full_clone() {
	revertctl clone vm.qcow2 full.qcow2 --full 2>lines
	guest_reads full.qcow2 0 8M 0x33
	same "$(status_of full.qcow2 .template)" null
}
promise "a full clone is there when it returns" full_clone

# ---- on a terminal: what tmux shows of one with 80 columns

tm() {
	tmux -S "$WORK/tmux" -f /dev/null "$@"
}

screen() {
	tm capture-pane -p
}

on_screen() {
	screen | grep -qE -- "$1"
}

# type_and_see COMMAND PATTERN
type_and_see() {
	tm send-keys "$1" Enter
	wait_until 20 on_screen "$2" || { screen >&2; return 1; }
}

start_terminal() {
	LC_ALL=C.UTF-8 TERM=xterm tm new-session -d -x 80 -y 24 "exec bash --norc" &&
		type_and_see "PS1='ready> '; PATH=$BUILD:\$PATH; clear" '^ready>'
}

bar() {
	type_and_see "clear; revertctl --mount '$MNT' export vm.qcow2 --to '$WORK/bar.raw' --format=raw --rate=2M" \
		'^export vm.qcow2 +[0-9]+% .*(█|#|░|\.).* [0-9.]+.?/64M .* left$'
	screen >"$WORK/bar.txt"
	(($(LC_ALL=C.UTF-8 wc -L <bar.txt) < 80))
	tm send-keys C-c
	wait_until 20 on_screen 'was cancelled; nothing is left of it'
	[[ ! -e bar.raw ]]
}

narrow() {
	local width
	revertctl reset vm.qcow2 # what was cancelled is its last error
	for width in 60 40 24; do
		tm resize-window -x "$width" -y 24
		type_and_see "until [[ \$(stty size) == '24 $width' ]]; do :; done; echo resized-\$((width = $width))" "^resized-$width"
		type_and_see "clear; revertctl --mount '$MNT' status; revertctl --mount '$MNT' tree vm.qcow2; echo end-\$((width))" "^end-$width"
		screen | grep -qE '^NAME +STATE'
		screen | grep -q '^vm.qcow2 .*pristine'
		# Nothing is broken over two lines: each line begins as a row does.
		same "$(screen | grep -vE '^(NAME|vm.qcow2|full.qcow2|LAYER|●|○|\*|o |end-|ready>|$)' | grep -v 'echo end')" ""
	done
}

watches() {
	tm resize-window -x 80 -y 24
	type_and_see "clear; revertctl --mount '$MNT' status --watch" '^vm.qcow2 +pristine'
	guest_write vm.qcow2 0 1M 0x44
	wait_until 20 on_screen '^vm.qcow2 +dirty'
	tm send-keys C-c
	wait_until 20 on_screen '^ready>'
}

# completes TYPED WORDS: what the line is after a tab.
completes() {
	tm send-keys C-u
	tm send-keys C-l
	tm send-keys -l "$1"
	tm send-keys Tab
	wait_until 20 on_screen "^ready> .*$2 *\$" || { screen >&2; return 1; }
}

completes_all() {
	completes "revertctl sta" "revertctl status"
	completes "revertctl --mount $MNT tree v" "tree vm.qcow2"
	completes "revertctl --mount $MNT revert vm.qcow2 in" "revert vm.qcow2 installed"
	completes "revertctl export vm.qcow2 --comp" "export vm.qcow2 --compress"
	completes "revertctl export vm.qcow2 --format=r" "--format=raw"
	completes "revertctl export vm.qcow2 --to=$WORK/copy.qcow2.j" "copy.qcow2.json"
	completes "revertctl set vm.qcow2 durability=s" "durability=strict"
}

bash_completes() {
	tm resize-window -x 200 -y 24
	type_and_see "clear; . $top/conf/revertctl.bash; echo loaded-\$((1))" '^loaded-1'
	completes_all
	tm send-keys C-u
}

zsh_completes() {
	mkdir -p functions
	cp "$top/conf/revertctl.zsh" functions/_revertctl
	type_and_see "clear; exec zsh -f" '%|#'
	type_and_see "PS1='ready> '; fpath=($WORK/functions \$fpath); autoload -U compinit; compinit -u -d $WORK/dump; clear; echo zsh-\$((1))" '^zsh-1'
	completes_all
}

if start_terminal; then
	promise "on a terminal there is a bar, in 80 columns, that Ctrl-C ends" bar
	promise "tables fit into narrow terminals" narrow
	promise "status --watch shows what changes" watches
	ctl "snapshot vm.qcow2 installed" >ctl.out
	promise "bash completes subcommands, options, disks and snapshots" bash_completes
	promise "so does zsh" zsh_completes
else
	not_ok "tmux is a terminal"
fi
tm kill-server
