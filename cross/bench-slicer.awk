# Tables from the figures of bench-slicer.sh: cost, then quality, then the bars.
BEGIN { FS = "\t" }
$2 == "solid" { volume[$1] = $3; next }
$3 == "failed" { print $1 ": " $2 " failed or took too long"; next }
{
	if (!($1 in seen)) { seen[$1]; order[++n] = $1 }
	for (i = 3; i <= NF; i++) v[$1, $2, i] = $i
	has[$1, $2] = 1
}
function ratio(m, p, i) { return has[m, p] && v[m, p, i] > 0 ? v[m, "platen-slice", i] / v[m, p, i] : 0 }
function least(m, i,   a, b) { # the better peer
	a = has[m, "prusa-slicer"] ? v[m, "prusa-slicer", i] : ""
	b = has[m, "CuraEngine"] ? v[m, "CuraEngine", i] : ""
	return a == "" ? b : b == "" ? a : a < b ? a : b
}
function word(ok) { return ok ? "ok" : "NOT MET" }
function bar(name, value, most) { printf "%-46s %10.3f  at most %-8g %s\n", name, value, most, word(value <= most) }
END {
	split("platen-slice CuraEngine prusa-slicer", slicers, " ")
	short["platen-slice"] = "ours"; short["CuraEngine"] = "cura"; short["prusa-slicer"] = "prusa"
	print "\nCost: CPU seconds, peak memory, seconds on all processors and on one"
	printf "%-14s %8s %8s %8s %7s %7s %8s %8s %8s %7s %7s %6s\n", "model", "ours", "cura", "prusa", "1/cura", "1/prusa", "ours MiB", "cura MiB", "prus MiB", "wall", "one", "times"
	for (k = 1; k <= n; k++) {
		m = order[k]; o = "platen-slice"
		c = ratio(m, "CuraEngine", 3); p = ratio(m, "prusa-slicer", 3)
		printf "%-14s %8.2f %8.2f %8.2f %7s %7s %8.1f %8.1f %8.1f %7.2f %7.2f %6.2f\n", m, v[m, o, 3], v[m, "CuraEngine", 3], v[m, "prusa-slicer", 3],
			(c ? sprintf("%.1f", 1 / c) : "-"), (p ? sprintf("%.1f", 1 / p) : "-"), v[m, o, 4] / 1024, v[m, "CuraEngine", 4] / 1024, v[m, "prusa-slicer", 4] / 1024,
			v[m, o, 5], v[m, o, 6], (v[m, o, 5] > 0 ? v[m, o, 6] / v[m, o, 5] : 0)
		if (c) { gc += log(c); nc++; if (c > worst) { worst = c; worstm = m } }
		if (p) { gp += log(p); np++ }
	}
	print "\nQuality: print time [min], travel [m], filament [m], retractions; outer wall p95 and max [µm]; shares in %: laid outside, laid twice, uncovered of shell, top and bottom, outline kept; travels through air"
	printf "%-14s %-6s %7s %7s %7s %6s %7s %7s %8s %7s %7s %7s %7s %8s %4s\n", "model", "", "time", "travel", "filam.", "retr.", "p95", "max", "outside", "twice", "shell", "top", "bottom", "kept", "air"
	for (k = 1; k <= n; k++) for (s = 1; s <= 3; s++) {
		m = order[k]; o = slicers[s]
		if (!has[m, o]) continue
		printf "%-14s %-6s %7.1f %7.1f %7.2f %6d %7.1f %7.0f %8.3f %7.2f %7.3f %7.3f %7.3f %8.3f %4d\n", m, short[o], v[m, o, 7] / 60, v[m, o, 8] / 1000, v[m, o, 9] / 1000, v[m, o, 10],
			v[m, o, 11], v[m, o, 12], 100 * v[m, o, 13], 100 * v[m, o, 14], 100 * v[m, o, 15], 100 * v[m, o, 16], 100 * v[m, o, 17], 100 * v[m, o, 18], v[m, o, 19]
	}
	print "\nBars"
	if (nc) bar("CPU, geometric mean, by CuraEngine's", exp(gc / nc), 0.125)
	if (np) bar("CPU, geometric mean, by PrusaSlicer's", exp(gp / np), 0.0625)
	if (nc) bar("CPU, worst model by CuraEngine's: " worstm, worst, 0.25)
	for (k = 1; k <= n; k++) {
		m = order[k]; o = "platen-slice"
		if (m != "broken") bar(m ": outer wall p95 [µm]", v[m, o, 11], 10)
		if (m != "broken") bar(m ": outside [%]", 100 * v[m, o, 13], 0.02)
		if (least(m, 15) != "") bar(m ": shell uncovered beyond the better peer [%]", 100 * (v[m, o, 15] - least(m, 15)), 0.1)
		bar(m ": top uncovered [%]", 100 * v[m, o, 16], 0.2)
		bar(m ": bottom uncovered [%]", 100 * v[m, o, 17], 0.2)
		bar(m ": travels through air", v[m, o, 19], 0)
		if (least(m, 8) != "") bar(m ": travel by the better peer's", v[m, o, 8] / least(m, 8), 1.1)
		if (least(m, 7) != "") bar(m ": print time by the better peer's", v[m, o, 7] / least(m, 7), 1.03)
		if (m in volume) bar(m ": volume off when printed solid [%]", 100 * (volume[m] > 1 ? volume[m] - 1 : 1 - volume[m]), 2)
		if (m == "benchy") bar(m ": memory [MiB]", v[m, o, 4] / 1024, 20 * 1000 * 1000 / 1048576)
		if (m == "sphere") bar(m ": memory [MiB]", v[m, o, 4] / 1024, 90 * 1000 * 1000 / 1048576)
	}
}
