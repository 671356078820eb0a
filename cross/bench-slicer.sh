#!/bin/sh
# The desk slicer beside prusa-slicer and CuraEngine, where they are installed, on the
# same models with the same layers, walls, infill, speeds and accelerations, without
# supports or skirts: CPU seconds, peak memory and time on two processors, and what
# `platen-slice check` says of each program. Prints tables, bars beside them, and
# leaves all figures in build/bench/slicer.tsv.
#
#   cross/bench-slicer.sh [MODEL.stl...]     default: the models of the bench
#
# BENCH_LONG=0 leaves out models that take a peer minutes; BENCH_LIMIT is what a run may
# take in seconds, 900 by default; BENCH_PEERS="" leaves out the others; BENCH_KEEP=1
# takes what the others cost from the last run, where their programs still are.
set -eu
cd "$(dirname "$0")/.."
dir=build/bench/slicer
mkdir -p $dir
limit=${BENCH_LIMIT:-900}
[ -x /usr/bin/time ] || { echo "bench: needs /usr/bin/time (Debian: time)" >&2; exit 0; }
CGO_ENABLED=0 go build -trimpath -o build/bench/ ./slicer/cmd/platen-slice
ours=build/bench/platen-slice

peers=
for p in ${BENCH_PEERS-prusa-slicer CuraEngine}; do
	command -v $p >/dev/null && peers="$peers $p"
done
definitions=
case $peers in
*CuraEngine*)
	cross/tools.sh fdmprinter >/dev/null 2>&1 || true
	for d in build/tools/usr/share/cura/resources/definitions /usr/share/cura/resources/definitions; do
		[ -f $d/fdmprinter.def.json ] && definitions=$d
	done
	[ -n "$definitions" ] || { echo "bench: CuraEngine is left out: it needs fdmprinter.def.json (Debian: cura)"; peers=${peers% CuraEngine}; }
	;;
esac

# The same settings for all three.
cat >$dir/prusa.ini <<-'END'
	bed_shape = 0x0,220x0,220x220,0x220
	bottom_solid_layers = 4
	brim_width = 0
	bridge_speed = 40
	cooling = 1
	default_acceleration = 1000
	elefant_foot_compensation = 0
	external_perimeter_extrusion_width = 0.45
	external_perimeter_speed = 40
	extrusion_width = 0.45
	fill_density = 20%
	fill_pattern = rectilinear
	filament_diameter = 1.75
	first_layer_extrusion_width = 0.45
	first_layer_height = 0.2
	first_layer_speed = 20
	gap_fill_speed = 40
	gcode_flavor = marlin2
	infill_extrusion_width = 0.45
	infill_speed = 80
	layer_height = 0.2
	machine_limits_usage = ignore
	max_print_height = 250
	min_print_speed = 10
	nozzle_diameter = 0.4
	perimeter_extrusion_width = 0.45
	perimeter_speed = 60
	perimeters = 2
	retract_before_travel = 1.5
	retract_length = 1.5
	retract_speed = 35
	skirts = 0
	slowdown_below_layer_time = 8
	small_perimeter_speed = 40
	solid_infill_extrusion_width = 0.45
	solid_infill_speed = 60
	start_gcode = G28
	end_gcode = M84
	support_material = 0
	top_infill_extrusion_width = 0.45
	top_solid_infill_speed = 60
	top_solid_layers = 4
	travel_speed = 150
	use_relative_e_distances = 0
END
cat >$dir/machine.def.json <<-'END'
	{ "version": 2, "name": "bench", "inherits": "fdmprinter", "metadata": { "machine_extruder_trains": { "0": "fdmextruder" } }, "overrides": {} }
END
cura="machine_width=220 machine_depth=220 machine_height=250 machine_nozzle_size=0.4 machine_start_gcode=G28 machine_end_gcode=M84
	center_object=true layer_height=0.2 layer_height_0=0.2 line_width=0.45 wall_line_width=0.45 wall_line_width_0=0.45 wall_line_width_x=0.45
	skin_line_width=0.45 infill_line_width=0.45 initial_layer_line_width_factor=100 wall_line_count=2 wall_thickness=0.9
	top_layers=4 bottom_layers=4 initial_bottom_layers=4 infill_sparse_density=20 infill_line_distance=2.25 infill_pattern=lines
	infill_overlap_mm=0.045 skin_overlap_mm=0.0225 adhesion_type=none support_enable=false
	speed_wall_0=40 speed_wall_x=60 speed_topbottom=60 speed_infill=80 speed_travel=150 speed_print=60 speed_layer_0=20 speed_print_layer_0=20
	speed_travel_layer_0=150 speed_slowdown_layers=1 acceleration_enabled=true acceleration_print=1000 acceleration_travel=1000 acceleration_wall_0=1000
	acceleration_wall_x=1000 acceleration_topbottom=1000 acceleration_infill=1000 acceleration_layer_0=1000 acceleration_print_layer_0=1000
	acceleration_travel_layer_0=1000 jerk_enabled=false retraction_enable=true retraction_amount=1.5 retraction_speed=35
	retraction_retract_speed=35 retraction_prime_speed=35 retraction_min_travel=1.5 material_diameter=1.75 cool_min_layer_time=8 cool_min_speed=10
	material_print_temperature=210 material_print_temperature_layer_0=210 material_bed_temperature=60 material_bed_temperature_layer_0=60"

command() { # slicer model output: sets the words to run
	case $1 in
	platen-slice) set -- $ours "$2" -o "$3" -s skirt_loops=0 -s prime_line=false -s overhang_walls=false ${BENCH_OURS:-} ;;
	prusa-slicer) set -- prusa-slicer --export-gcode --load $dir/prusa.ini --center 110,110 -o "$3" "$2" ;;
	CuraEngine)
		m=$2 out=$3
		set --
		for s in $cura; do set -- "$@" -s "$s"; done
		set -- env CURA_ENGINE_SEARCH_PATH="$definitions" CuraEngine slice -j $dir/machine.def.json "$@" -e0 "$@" -l "$m" -o "$out"
		;;
	esac
	run="$*"
}

value() { sed -n "s/.*\"$1\":\([-0-9.e+]*\).*/\1/p" $dir/check.json | head -1; }

measure() { # slicer model: a line of figures
	name=$(basename "$2" .stl)
	command "$1" "$2" $dir/$name.$1.gcode
	if ! timeout "$limit" /usr/bin/time -o $dir/time.txt -f '%U %S %M %e' $run >$dir/$name.$1.log 2>&1; then
		printf '%s\t%s\tfailed\n' "$name" "$1"
		return
	fi
	read -r user sys rss wall <$dir/time.txt
	cpu=$(awk "BEGIN { print $user + $sys }")
	if [ "$(awk "BEGIN { print $cpu < 0.1 }")" = 1 ]; then # too little for the clock
		/usr/bin/time -o $dir/time.txt -f '%U %S' sh -c "for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do $run; done" >/dev/null 2>&1
		cpu=$(awk '{ print ($1 + $2) / 20 }' $dir/time.txt)
	fi
	one=$wall
	if [ "$1" = platen-slice ]; then # again on one processor
		command "$1" "$2" $dir/one.gcode
		GOMAXPROCS=1 taskset -c 0 /usr/bin/time -o $dir/time.txt -f '%e' $run >/dev/null 2>&1 && read -r one <$dir/time.txt
		cmp -s $dir/one.gcode $dir/$name.$1.gcode || echo "bench: $name is not the same on one processor" >&2
	fi
	printf '%s\t%s\t%s\t%s\t%s\t%s' "$name" "$1" "$cpu" "$rss" "$wall" "$one"
	judge "$1" "$2"
}

judge() { # slicer model: the figures of what it made
	name=$(basename "$2" .stl)
	model=$2
	[ "$name" != broken ] || model=$(dirname "$2")/whole.stl
	timeout "$limit" $ours check $dir/$name.$1.gcode --model "$model" --time-acceleration 1000 -o json >$dir/check.txt 2>>$dir/$name.$1.log || true
	tr -d ' \n' <$dir/check.txt >$dir/check.json
	for k in time_s travel_mm filament_mm retractions wall_p95_um wall_max_um outside laid_twice shell_uncovered top_uncovered bottom_uncovered outline_kept air_travels; do
		printf '\t%s' "$(value $k)"
	done
	echo
}

if [ $# = 0 ]; then
	models=build/bench/models
	go run ./slicer/internal/solids/make $models $(ls ../shared/models/benchy.3mf ../shared/models/cube_gears.3mf 2>/dev/null)
	set -- $models/cube.stl $models/bracket.stl $models/thin-walls.stl $models/broken.stl
	[ ! -f $models/benchy.stl ] || set -- "$@" $models/benchy.stl $models/cube_gears.stl
	set -- "$@" $models/sphere.stl
	[ "${BENCH_LONG:-1}" = 0 ] || set -- "$@" $models/lattice.stl $models/gyroid.stl
fi
touch build/bench/slicer.tsv
mv build/bench/slicer.tsv $dir/last.tsv
for m; do
	for s in platen-slice $peers; do
		kept=
		if [ -n "${BENCH_KEEP:-}" ] && [ $s != platen-slice ]; then
			kept=$(grep "^$(basename "$m" .stl)	$s	[0-9]" $dir/last.tsv | cut -f1-6) || kept=
			[ -f $dir/$(basename "$m" .stl).$s.gcode ] || kept=
		fi
		if [ -n "$kept" ]; then
			printf '%s' "$kept"
			judge $s "$m"
		else
			measure $s "$m"
		fi >>build/bench/slicer.tsv
	done
done

# Printed solid, a part takes what it is.
: >$dir/solid.tsv
for m; do
	case $(basename "$m") in cube.stl | bracket.stl | benchy.stl)
		$ours "$m" -o $dir/solid.gcode -s skirt_loops=0 -s prime_line=false -s overhang_walls=false --infill 100% >/dev/null 2>&1 &&
			$ours check $dir/solid.gcode --model "$m" --solid --judge 0 -o json 2>/dev/null | tr -d ' \n' >$dir/check.json &&
			printf '%s\tsolid\t%s\n' "$(basename "$m" .stl)" "$(value extruded_of_model)" >>$dir/solid.tsv
		;;
	esac
done
awk -f cross/bench-slicer.awk build/bench/slicer.tsv $dir/solid.tsv
