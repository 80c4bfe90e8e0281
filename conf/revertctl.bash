# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# bash completion of revertctl: `revertctl complete` prints the candidates. Status 10 asks for file names instead.
_revertctl() {
	local cur=${COMP_WORDS[COMP_CWORD]} out
	out=$(revertctl complete -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
	if (($? == 10)); then
		[[ $cur != = ]] || cur=
		compopt -o filenames
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		return
	fi
	COMPREPLY=()
	[[ -z $out ]] || mapfile -t COMPREPLY <<<"$out"
	[[ ${COMPREPLY[0]-} != *= ]] || compopt -o nospace
	# Names may have blanks.
	local i
	for i in "${!COMPREPLY[@]}"; do printf -v "COMPREPLY[i]" '%q' "${COMPREPLY[i]}"; done
}
complete -F _revertctl revertctl
