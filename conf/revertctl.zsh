#compdef revertctl
# SPDX-License-Identifier: GPL-2.0-or-later
# zsh completion of revertctl: `revertctl complete` prints the candidates. Status 10 asks for file names instead.
local out
local -a candidates
out=$(revertctl complete -- "${(@Q)words[2,CURRENT]}" 2>/dev/null)
if (( $? == 10 )); then
	[[ $words[CURRENT] != --*=* ]] || compset -P '*='
	_files
	return
fi
candidates=("${(@f)out}")
[[ -n $out ]] || return 1
if [[ $candidates[1] == *= ]]; then
	compadd -S '' -- "${candidates[@]}"
else
	compadd -- "${candidates[@]}"
fi
