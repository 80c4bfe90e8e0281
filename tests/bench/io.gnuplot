# SPDX-License-Identifier: GPL-2.0-or-later
# The ratios of io.sh, one panel for each mode: data.CACHE.DEPTH has a workload a line, then median, least and largest of each of
# the n contenders.
set terminal svg size 1200,1000 dynamic font "sans,13" background "white"
set output out
set multiplot layout 2,2 title "A guest's I/O: times as fast as the same overlay opened directly (log scale; whiskers: all rounds)"
set style data histograms
set style histogram errorbars gap 1.5
set errorbars 0.5 lc rgb "#555555"
set style fill solid 0.85 noborder
set logscale y
set yrange [0.05:50]
set grid ytics lc rgb "#dddddd"
set xtics scale 0
set key top left horizontal samplen 1
do for [mode in "none.1 none.16 writeback.1 writeback.16"] {
	at = strstrt(mode, ".")
	set title "cache=" . mode[1:at - 1] . ", " . mode[at + 1:*] . " at a time"
	plot for [i = 1:n] data . "." . mode using 3 * i - 1:3 * i:3 * i + 1:xtic(1) title word(titles, i), 1 lc rgb "black" notitle with lines
}
unset multiplot
