package prusa

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// rule says what becomes of a setting that has an equivalent.
type rule func(c Config, name string) Line

// bases says what a percentage of each setting is of.
var bases = map[string]string{
	"external_perimeter_speed": "perimeter_speed", "small_perimeter_speed": "perimeter_speed",
	"solid_infill_speed": "infill_speed", "top_solid_infill_speed": "solid_infill_speed",
	"support_material_interface_speed": "support_material_speed", "gap_fill_speed": "perimeter_speed",
	"first_layer_speed": "perimeter_speed", "first_layer_infill_speed": "infill_speed",
	"first_layer_speed_over_raft": "perimeter_speed",
	"first_layer_height":          "layer_height", "first_layer_extrusion_width": "first_layer_height",
	"extrusion_width": "layer_height", "perimeter_extrusion_width": "layer_height",
	"external_perimeter_extrusion_width": "layer_height", "infill_extrusion_width": "layer_height",
	"solid_infill_extrusion_width": "layer_height", "top_infill_extrusion_width": "layer_height",
	"support_material_extrusion_width": "layer_height",
	"infill_anchor":                    "infill_extrusion_width", "infill_anchor_max": "infill_extrusion_width",
	"infill_overlap": "perimeter_extrusion_width", "support_material_xy_spacing": "external_perimeter_extrusion_width",
	"seam_gap_distance": "nozzle_diameter", "min_bead_width": "nozzle_diameter", "min_feature_size": "nozzle_diameter",
	"overhang_speed_0": "external_perimeter_speed", "overhang_speed_1": "external_perimeter_speed",
	"overhang_speed_2": "external_perimeter_speed", "overhang_speed_3": "external_perimeter_speed",
	"over_bridge_speed": "solid_infill_speed",
}

// usual is what PrusaSlicer takes for a base that a file does not say.
var usual = map[string]string{
	"layer_height": "0.3", "first_layer_height": "0.35", "nozzle_diameter": "0.4", "perimeter_speed": "60", "infill_speed": "80",
	"solid_infill_speed": "20", "support_material_speed": "60", "external_perimeter_speed": "50%", "retract_speed": "40", "gcode_resolution": "0.0125", "bridge_speed": "60",
	"travel_speed": "130", "retract_length": "2",
}

// text is the value of the first extruder, without quotation marks.
func (c Config) text(name string) string {
	v := c[name]
	if v == "" {
		v = usual[name]
	}
	if !strings.HasPrefix(v, `"`) {
		v, _, _ = strings.Cut(v, ",")
	}
	return strings.Trim(v, `" `)
}

// number is the value of a setting; percentages are of their base, at most a few
// times over.
func (c Config) number(name string) (float64, error) { return c.resolve(name, 4) }

func (c Config) resolve(name string, depth int) (float64, error) {
	text := c.text(name)
	if text == "" && strings.HasSuffix(name, "extrusion_width") {
		return c.autoWidth(name, depth)
	}
	digits, share := strings.CutSuffix(text, "%")
	v, err := strconv.ParseFloat(digits, 64)
	if err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
		return 0, fmt.Errorf("%q is not a number", text)
	}
	base, relative := bases[name]
	switch {
	case strings.HasSuffix(name, "extrusion_width") && v == 0:
		return c.autoWidth(name, depth)
	case !share:
		return v, nil
	case !relative || depth == 0:
		return 0, fmt.Errorf("%q is a share of what is not known", text)
	}
	of, err := c.resolve(base, depth-1)
	if err != nil {
		return 0, fmt.Errorf("%q of %s: %w", text, base, err)
	}
	return v / 100 * of, nil
}

// autoWidth is the width of lines that a 0 stands for: that of all lines, and if that
// is 0 as well, 1.125 times the nozzle.
func (c Config) autoWidth(name string, depth int) (float64, error) {
	if name != "extrusion_width" && depth > 0 && c["extrusion_width"] != "" {
		return c.resolve("extrusion_width", depth-1)
	}
	nozzle, err := c.resolve("nozzle_diameter", 0)
	return 1.125 * nozzle, err
}

// decimal writes a number as short as it is to six digits.
func decimal(v float64) string {
	t := strconv.FormatFloat(v, 'f', 6, 64)
	return strings.TrimSuffix(strings.TrimRight(t, "0"), ".")
}

// bad is a value that cannot be read.
func bad(err error) Line { return Line{Outcome: None, Reason: err.Error()} }

// several notes that a value of more extruders than one stands for the first.
func (c Config) several(l Line, name string) Line {
	parts := strings.Split(c[name], ",")
	if l.Outcome == Taken && !strings.HasPrefix(c[name], `"`) && len(slices.Compact(parts)) > 1 {
		l.Outcome, l.Reason = Changed, "that of the first extruder"
	}
	return l
}

// number is a rule for a number with a unit of ours, times a factor.
func number(to, unit string, factor float64) rule {
	return func(c Config, name string) Line {
		v, err := c.number(name)
		if err != nil {
			return bad(err)
		}
		l := Line{Outcome: Taken, To: []string{to + "=" + decimal(v*factor) + unit}}
		return c.several(l, name)
	}
}

func mm(to string) rule    { return number(to, "mm", 1) }
func mms(to string) rule   { return number(to, "mm/s", 1) }
func mms2(to string) rule  { return number(to, "mm/s2", 1) }
func heat(to string) rule  { return number(to, "C", 1) }
func angle(to string) rule { return number(to, "deg", 1) }
func count(to string) rule { return number(to, "", 1) }
func secs(to string) rule  { return number(to, "s", 1) }

// share is a rule for percent that stand for themselves.
func share(to string) rule {
	return func(c Config, name string) Line {
		v, err := strconv.ParseFloat(strings.TrimSuffix(c.text(name), "%"), 64)
		if err != nil {
			return bad(fmt.Errorf("%q is not a share", c.text(name)))
		}
		return c.several(Line{Outcome: Taken, To: []string{to + "=" + decimal(v) + "%"}}, name)
	}
}

// ratio is a rule for factors that are percent here.
func ratio(to string) rule { return number(to, "%", 100) }

// flag is a rule for 0 and 1.
func flag(to string) rule {
	return func(c Config, name string) Line {
		switch c.text(name) {
		case "0":
			return Line{Outcome: Taken, To: []string{to + "=false"}}
		case "1":
			return Line{Outcome: Taken, To: []string{to + "=true"}}
		}
		return bad(fmt.Errorf("%q is neither 0 nor 1", c.text(name)))
	}
}

// word is a rule for one of several words: each entry of words is theirs=ours, and
// theirs~ours if ours is only the nearest.
func word(to string, words ...string) rule {
	return func(c Config, name string) Line {
		text := c.text(name)
		for _, w := range words {
			if ours, ok := strings.CutPrefix(w, text+"="); ok {
				return Line{Outcome: Taken, To: []string{to + "=" + ours}}
			}
			if ours, ok := strings.CutPrefix(w, text+"~"); ok {
				return Line{Outcome: Changed, To: []string{to + "=" + ours}, Reason: "the nearest there is"}
			}
		}
		return Line{Outcome: None, Reason: fmt.Sprintf("%q has no equivalent", text)}
	}
}

// changed is a rule whose outcome needs a word of explanation.
func changed(r rule, reason string) rule {
	return func(c Config, name string) Line {
		l := r(c, name)
		if l.Outcome == Taken {
			l.Outcome, l.Reason = Changed, reason
		}
		return l
	}
}

// off is the reason of what says nothing.
const off = "it is off"

// unless is a rule for values other than one that means off, or that PrusaSlicer
// works out by itself.
func unless(off string, r rule, reason string) rule {
	return func(c Config, name string) Line {
		if t := c.text(name); t == off || t == off+"%" {
			return Line{Outcome: Unused, Reason: reason}
		}
		return r(c, name)
	}
}

// over is a rule for what one filament says instead of its printer: "nil" is nothing.
func over(r rule, printer string) rule {
	return func(c Config, name string) Line {
		if c.text(name) == "nil" {
			return Line{Outcome: Unused, Reason: off}
		}
		return r(Config{printer: c[name]}, printer)
	}
}

// overridden is a rule for what a printer says unless its filament does.
func overridden(r rule) rule {
	return func(c Config, name string) Line {
		if v := c.text("filament_" + name); v != "" && v != "nil" {
			return Line{Outcome: Unused, Reason: "filament_" + name + " stands before it"}
		}
		return r(c, name)
	}
}
