package prusa

import (
	"fmt"
	"strconv"
)

func coolingRules() map[string]rule {
	m := map[string]rule{
		"cooling":                   func(Config, string) Line { return Line{Outcome: Unused, Reason: "max_fan_speed goes by it"} },
		"fan_always_on":             func(Config, string) Line { return Line{Outcome: Unused, Reason: "min_fan_speed goes by it"} },
		"max_fan_speed":             fan,
		"min_fan_speed":             fanMin,
		"fan_below_layer_time":      cooled(secs("fan_time"), "fan_time=0s"),
		"slowdown_below_layer_time": cooled(secs("min_layer_time"), "min_layer_time=0s"),
		"disable_fan_first_layers":  count("fan_from_layer"),
		"bridge_fan_speed":          share("bridge_fan"),
		"enable_dynamic_fan_speeds": func(Config, string) Line { return Line{Outcome: Unused, Reason: "overhang_fan_speed goes by it"} },
	}
	for i, part := range []string{"100", "75", "50", "25"} {
		m["overhang_fan_speed_"+strconv.Itoa(i)] = when("enable_dynamic_fan_speeds", share("overhang_"+part+"_fan"))
	}
	return m
}

// uncooled reports whether layers are printed without more fan and time for small ones.
func (c Config) uncooled() bool { return c["cooling"] != "" && c.text("cooling") == "0" }

// fan is the most power that the fan has.
func fan(c Config, name string) Line {
	switch {
	case !c.uncooled():
		return share("fan")(c, name)
	case c.text("fan_always_on") == "1" && c["min_fan_speed"] != "":
		return share("fan")(Config{name: c["min_fan_speed"]}, name)
	}
	return Line{Outcome: Changed, To: []string{"fan=0%"}, Reason: "cooling is off"}
}

// fanMin is the power that it has on layers that take long.
func fanMin(c Config, name string) Line {
	switch {
	case c.uncooled():
		return Line{Outcome: Unused, Reason: "max_fan_speed has it"}
	case c.text("fan_always_on") == "1":
		return share("fan_min")(c, name)
	}
	return Line{Outcome: Changed, To: []string{"fan_min=0%"}, Reason: "the fan is off on layers that take long"}
}

// cooled is a rule for what counts only if cooling is on.
func cooled(r rule, otherwise string) rule {
	return func(c Config, name string) Line {
		if c.uncooled() {
			return Line{Outcome: Changed, To: []string{otherwise}, Reason: "cooling is off"}
		}
		return r(c, name)
	}
}

// when is a rule for what counts only if another setting is on.
func when(on string, r rule) rule {
	return func(c Config, name string) Line {
		if c.text(on) != "1" {
			return Line{Outcome: Unused, Reason: on + " is off"}
		}
		return r(c, name)
	}
}

func supportRules() map[string]rule {
	return map[string]rule{
		"support_material": func(c Config, name string) Line {
			if c.text(name) != "1" {
				return Line{Outcome: Taken, To: []string{"support=off"}}
			}
			return word("support", "grid=grid", "=grid", "snug~grid", "tree=tree", "organic=tree")(c, "support_material_style")
		},
		"support_material_style": func(Config, string) Line { return Line{Outcome: Unused, Reason: "support_material goes by it"} },
		"support_material_auto": func(c Config, name string) Line {
			if c.text(name) == "1" || c.text("support_material") != "1" {
				return Line{Outcome: Unused, Reason: off}
			}
			return Line{Outcome: None, Reason: "support that was painted is not read: parts that need it are found"}
		},
		"support_material_threshold": unless("0", func(c Config, name string) Line {
			v, err := c.number(name)
			if err != nil {
				return bad(err)
			}
			return Line{Outcome: Taken, To: []string{"support_angle=" + decimal(90-v) + "deg"}}
		}, "PrusaSlicer finds an angle of its own"),
		"support_material_buildplate_only":         flag("support_bed_only"),
		"support_material_contact_distance":        mm("support_z_gap"),
		"support_material_xy_spacing":              mm("support_xy_gap"),
		"support_material_spacing":                 density("support_density"),
		"support_material_interface_spacing":       density("support_interface_density"),
		"support_material_pattern":                 word("support_pattern", "rectilinear=lines", "rectilinear-grid=grid", "honeycomb~grid"),
		"support_material_interface_layers":        count("support_interface_layers"),
		"support_material_bottom_interface_layers": bottomInterface,
		"support_material_with_sheath":             sheath,
		"dont_support_bridges": func(c Config, name string) Line {
			if c.text(name) == "0" {
				return Line{Outcome: Taken, To: []string{"support_max_bridge=0mm"}}
			}
			return Line{Outcome: Changed, To: []string{"support_max_bridge=10mm"}, Reason: "bridges of up to 10 mm"}
		},
	}
}

// density is the share that lines fill between which there is a space.
func density(to string) rule {
	return func(c Config, name string) Line {
		space, err := c.number(name)
		if err != nil {
			return bad(err)
		}
		width, err := c.number("support_material_extrusion_width")
		if err != nil || width <= 0 || space < 0 {
			return bad(fmt.Errorf("%q is not a space between lines", c.text(name)))
		}
		share := max(1, width/(width+space)*100)
		return Line{Outcome: Changed, To: []string{to + "=" + strconv.Itoa(int(share+0.5)) + "%"}, Reason: "the share that such lines fill"}
	}
}

// bottomInterface is the number of dense layers on the part; -1 is as many as below it.
func bottomInterface(c Config, name string) Line {
	if c.text(name) == "-1" {
		return count("support_bottom_interface_layers")(Config{name: c.text("support_material_interface_layers")}, name)
	}
	return count("support_bottom_interface_layers")(c, name)
}

func sheath(c Config, name string) Line {
	switch c.text(name) {
	case "0":
		return Line{Outcome: Taken, To: []string{"support_loops=0"}}
	case "1":
		return Line{Outcome: Taken, To: []string{"support_loops=1"}}
	}
	return bad(fmt.Errorf("%q is neither 0 nor 1", c.text(name)))
}

func treeRules() map[string]rule {
	return map[string]rule{
		"support_tree_angle":                 angle("tree_branch_angle"),
		"support_tree_branch_diameter":       mm("tree_branch_diameter"),
		"support_tree_branch_diameter_angle": angle("tree_branch_taper"),
		"support_tree_tip_diameter":          mm("tree_tip_diameter"),
		"support_tree_branch_distance":       changed(mm("tree_tip_distance"), "the distance of their tips"),
	}
}
