package prusa

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"strconv"
	"strings"
	"sync"
)

// rules are the settings that are taken.
var rules = sync.OnceValue(func() map[string]rule {
	all := map[string]rule{}
	for _, m := range []map[string]rule{
		printerRules(), heatRules(), coolingRules(), retractionRules(), wallRules(), skinRules(), infillRules(),
		supportRules(), treeRules(), adhesionRules(), speedRules(), accelRules(),
	} {
		maps.Copy(all, m)
	}
	return all
})

func printerRules() map[string]rule {
	return map[string]rule{
		"nozzle_diameter":           mm("nozzle_diameter"),
		"filament_diameter":         mm("filament_diameter"),
		"bed_shape":                 bedShape,
		"max_print_height":          mm("build_max_z"),
		"extruder_clearance_radius": mm("sequential_radius"),
		"extruder_clearance_height": mm("sequential_height"),
		"complete_objects":          flag("sequential"),
		"duplicate_distance":        mm("spacing"),
		"arc_fitting":               arcs,
		"min_layer_height":          unless("0", changed(mm("adaptive_min_height"), ifAdaptive), off),
		"max_layer_height":          unless("0", changed(mm("adaptive_max_height"), ifAdaptive), off),
		"layer_height":              mm("layer_height"),
		"first_layer_height":        mm("first_layer_height"),
		"extrusion_width":           mm("line_width"),
	}
}

// ifAdaptive is what is different about bounds of heights.
const ifAdaptive = "if adaptive_layers is on; heights that were drawn by hand are not read"

// arcs are as near to the lines that they stand for as G-code is fine.
func arcs(c Config, name string) Line {
	if t := c.text(name); t == "disabled" || t == "" || t == "0" {
		return Line{Outcome: Taken, To: []string{"arc_tolerance=0mm"}}
	}
	v, err := c.number("gcode_resolution")
	if err != nil {
		return bad(err)
	}
	l := Line{Outcome: Taken, To: []string{"arc_tolerance=" + decimal(min(v, 0.025)) + "mm"}}
	if v > 0.025 {
		l.Outcome, l.Reason = Changed, "no arc is further off than 25 µm"
	}
	return l
}

// bedShape takes the box around a bed: 0x0,200x0,200x200,0x200.
func bedShape(c Config, name string) Line {
	var lo, hi [2]float64
	points := strings.Split(c[name], ",")
	for i, p := range points {
		x, y, _ := strings.Cut(strings.TrimSpace(p), "x")
		for k, text := range []string{x, y} {
			v, err := strconv.ParseFloat(text, 64)
			if err != nil {
				return bad(fmt.Errorf("%q is not a bed", c[name]))
			}
			if i == 0 {
				lo[k], hi[k] = v, v
			}
			lo[k], hi[k] = min(lo[k], v), max(hi[k], v)
		}
	}
	l := Line{Outcome: Taken, To: []string{
		"build_min_x=" + decimal(lo[0]) + "mm", "build_max_x=" + decimal(hi[0]) + "mm",
		"build_min_y=" + decimal(lo[1]) + "mm", "build_max_y=" + decimal(hi[1]) + "mm",
	}}
	if len(points) != 4 {
		l.Outcome, l.Reason = Changed, "the box around it"
	}
	return l
}

func heatRules() map[string]rule {
	return map[string]rule{
		"temperature":                   heat("hot_end"),
		"first_layer_temperature":       heat("first_layer_hot_end"),
		"bed_temperature":               heat("bed"),
		"first_layer_bed_temperature":   heat("first_layer_bed"),
		"max_volumetric_speed":          flow,
		"filament_max_volumetric_speed": flow,
	}
}

// flow is the smaller bound of the print's and the filament's.
func flow(c Config, name string) Line {
	least := 0.0
	for _, n := range []string{"max_volumetric_speed", "filament_max_volumetric_speed"} {
		if c[n] == "" {
			continue
		}
		v, err := c.number(n)
		if err != nil {
			return bad(err)
		}
		if v > 0 && (least == 0 || v < least) {
			least = v
		}
	}
	return c.several(Line{Outcome: Taken, To: []string{"max_flow=" + decimal(least) + "mm3/s"}}, name)
}

func retractionRules() map[string]rule {
	m := map[string]rule{
		"only_retract_when_crossing_perimeters": func(c Config, name string) Line {
			if c.text(name) == "1" {
				return Line{Outcome: Changed, To: []string{"comb_distance=1000mm"}, Reason: "ways through the inside, however long, draw nothing back"}
			}
			return Line{Outcome: Changed, To: []string{"comb_distance=0mm"}, Reason: "every long way draws back"}
		},
	}
	for name, r := range map[string]rule{
		"retract_length": mm("retract_length"), "retract_speed": mms("retract_speed"), "deretract_speed": mms("restart_speed"),
		"retract_restart_extra": mm("restart_extra"), "retract_before_travel": mm("retract_min_travel"), "retract_lift": mm("z_hop"),
		"wipe": wipe,
	} {
		m[name] = overridden(r)
		m["filament_"+name] = over(r, name)
	}
	return m
}

// wipe is as long as the nozzle gets at 0.8 times the speed of travel while filament
// is drawn back: what PrusaSlicer does.
func wipe(c Config, name string) Line {
	if c.text(name) != "1" {
		return Line{Outcome: Taken, To: []string{"wipe_distance=0mm"}}
	}
	var v [3]float64
	for i, n := range []string{"retract_length", "retract_speed", "travel_speed"} {
		var err error
		if v[i], err = c.number(n); err != nil {
			return bad(fmt.Errorf("%s: %w", n, err))
		}
	}
	if v[1] <= 0 {
		return bad(errors.New("retract_speed is 0"))
	}
	long := min(v[0]/v[1]*v[2]*0.8, 20)
	return Line{Outcome: Changed, To: []string{"wipe_distance=" + decimal(long) + "mm"}, Reason: "as long as drawing back takes"}
}

func wallRules() map[string]rule {
	return map[string]rule{
		"perimeters":                count("walls"),
		"external_perimeters_first": flag("outer_wall_first"),
		"seam_position":             word("seam", "nearest=nearest", "aligned=aligned", "rear=rear", "random=random"),
		"spiral_vase":               flag("spiral_vase"),
		"overhangs":                 flag("overhang_walls"),
		"gap_fill_enabled":          flag("gap_fill"),
		"thin_walls": func(c Config, name string) Line {
			if c.text("perimeter_generator") == "arachne" {
				return Line{Outcome: Unused, Reason: "walls of variable width print thin walls without it"}
			}
			return flag("thin_walls")(c, name)
		},
		"elefant_foot_compensation": mm("elephant_foot_compensation"),
		"xy_size_compensation": func(c Config, name string) Line {
			l := mm("xy_compensation")(c, name)
			v, err := c.number(name)
			if err == nil {
				l.To = append(l.To, "hole_compensation="+decimal(-v)+"mm")
			}
			return l
		},
	}
}

// patterns are those of solid fill.
var patterns = []string{"monotonic=monotonic", "monotoniclines=monotonic-lines", "rectilinear=zigzag", "alignedrectilinear~zigzag",
	"concentric=concentric", "hilbertcurve~monotonic", "archimedeanchords~concentric", "octagramspiral~monotonic"}

func skinRules() map[string]rule {
	return map[string]rule{
		"top_solid_layers":           count("top_layers"),
		"bottom_solid_layers":        count("bottom_layers"),
		"top_solid_min_thickness":    mm("top_thickness"),
		"bottom_solid_min_thickness": mm("bottom_thickness"),
		"top_fill_pattern":           word("top_pattern", patterns...),
		"bottom_fill_pattern":        word("bottom_pattern", patterns...),
		"bridge_angle":               angle("bridge_angle"),
		"bridge_flow_ratio":          ratio("bridge_flow"),
		"ironing":                    flag("ironing"),
		"ironing_flowrate":           share("ironing_flow"),
		"ironing_spacing":            mm("ironing_spacing"),
	}
}

func infillRules() map[string]rule {
	return map[string]rule{
		"fill_density": share("infill_density"),
		"fill_pattern": word("infill_pattern", "rectilinear=lines", "line=lines", "alignedrectilinear~lines", "zigzag=lines",
			"monotonic~lines", "monotoniclines~lines", "grid=grid", "triangles=triangles", "stars~triangles", "cubic=cubic",
			"adaptivecubic~cubic", "supportcubic~cubic", "gyroid=gyroid", "honeycomb~triangles", "3dhoneycomb~gyroid",
			"concentric=concentric", "hilbertcurve~lines", "archimedeanchords~concentric", "octagramspiral~lines", "lightning~lines"),
		"fill_angle":                angle("infill_angle"),
		"infill_overlap":            overlap,
		"infill_anchor":             mm("infill_anchor"),
		"infill_anchor_max":         mm("infill_anchor_max"),
		"solid_infill_every_layers": count("solid_infill_every_layers"),
		"infill_every_layers":       count("infill_every_layers"),
		"solid_infill_below_area": func(c Config, name string) Line {
			v, err := c.number(name)
			if err != nil || v < 0 {
				return bad(fmt.Errorf("%q is not an area", c.text(name)))
			}
			return Line{Outcome: Changed, To: []string{"solid_infill_below_size=" + decimal(math.Sqrt(v)) + "mm"}, Reason: "the side of a square of that area"}
		},
	}
}

// overlap is a share of the width of lines.
func overlap(c Config, name string) Line {
	v, err := c.number(name)
	if err != nil {
		return bad(err)
	}
	width, err := c.number("perimeter_extrusion_width")
	if err != nil || width <= 0 {
		return bad(errors.New("the width of walls is not known"))
	}
	return Line{Outcome: Taken, To: []string{"infill_overlap=" + decimal(v/width*100) + "%"}}
}

func adhesionRules() map[string]rule {
	return map[string]rule{
		"skirts":         count("skirt_loops"),
		"skirt_distance": mm("skirt_distance"),
		"skirt_height": func(c Config, name string) Line {
			if c.text("draft_shield") == "enabled" {
				return Line{Outcome: Unused, Reason: "draft_shield stands before it"}
			}
			return unless("0", count("skirt_layers"), off)(c, name)
		},
		"draft_shield": func(c Config, name string) Line {
			if c.text(name) == "enabled" {
				return Line{Outcome: Taken, To: []string{"skirt_layers=100000"}}
			}
			return Line{Outcome: Unused, Reason: off}
		},
		"min_skirt_length": mm("skirt_min_filament"),
		"brim_type": func(c Config, name string) Line {
			if v, err := c.number("brim_width"); c["brim_width"] != "" && err == nil && v == 0 {
				return Line{Outcome: Taken, To: []string{"brim=off"}}
			}
			return word("brim", "no_brim=off", "outer_only=outer", "inner_only=inner", "outer_and_inner=both")(c, name)
		},
		"brim_width": func(c Config, name string) Line {
			l := unless("0", mm("brim_width"), off)(c, name)
			if v, err := c.number(name); c["brim_type"] == "" && err == nil {
				l = Line{Outcome: Taken, To: append(l.To, map[bool]string{false: "brim=off", true: "brim=outer"}[v > 0])}
			}
			return l
		},
		"brim_separation":       mm("brim_gap"),
		"raft_layers":           count("raft_layers"),
		"raft_contact_distance": mm("raft_z_gap"),
		"raft_expansion":        mm("raft_margin"),
	}
}

func speedRules() map[string]rule {
	m := map[string]rule{
		"external_perimeter_speed":         mms("outer_wall_speed"),
		"perimeter_speed":                  mms("inner_wall_speed"),
		"solid_infill_speed":               mms("skin_speed"),
		"top_solid_infill_speed":           mms("top_skin_speed"),
		"infill_speed":                     mms("infill_speed"),
		"bridge_speed":                     mms("bridge_speed"),
		"gap_fill_speed":                   mms("thin_wall_speed"),
		"ironing_speed":                    mms("ironing_speed"),
		"support_material_speed":           mms("support_speed"),
		"support_material_interface_speed": mms("support_interface_speed"),
		"first_layer_speed":                mms("first_layer_speed"),
		"travel_speed":                     mms("travel_speed"),
		"travel_speed_z":                   unless("0", mms("lift_speed"), "up and down as along"),
		"min_print_speed":                  mms("min_speed"),
		"enable_dynamic_overhang_speeds": func(c Config, name string) Line {
			if c.text(name) == "1" {
				return Line{Outcome: Taken}
			}
			v, err := c.number("bridge_speed")
			if err != nil {
				return bad(err)
			}
			return Line{Outcome: Changed, Reason: "only what hangs over wholly is slow, as bridges are", To: []string{
				"overhang_25_speed=0mm/s", "overhang_50_speed=0mm/s", "overhang_75_speed=0mm/s", "overhang_100_speed=" + decimal(v) + "mm/s"}}
		},
	}
	for i, share := range []string{"100", "75", "50", "25"} { // theirs is the share that lies on the layer below
		m["overhang_speed_"+strconv.Itoa(i)] = when("enable_dynamic_overhang_speeds", mms("overhang_"+share+"_speed"))
	}
	return m
}

func accelRules() map[string]rule {
	return map[string]rule{
		"default_acceleration":            mms2("acceleration"),
		"first_layer_acceleration":        mms2("first_layer_acceleration"),
		"external_perimeter_acceleration": mms2("outer_wall_acceleration"),
		"perimeter_acceleration":          mms2("inner_wall_acceleration"),
		"solid_infill_acceleration":       mms2("skin_acceleration"),
		"top_solid_infill_acceleration":   mms2("top_skin_acceleration"),
		"infill_acceleration":             mms2("infill_acceleration"),
		"bridge_acceleration":             mms2("bridge_acceleration"),
	}
}
