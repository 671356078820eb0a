package slicer

import (
	"math"
	"slices"
	"time"

	"platen/hal/unit"
	"platen/slicer/fill"
	"platen/slicer/mesh"
	"platen/slicer/pipe"
)

// This is the table of settings. To add a setting, add its field to [Settings], its
// value to [Default] and one line here: Validate, profiles, flags and the reference
// page follow (go test ./slicer -run TestReference -update rewrites the page). Ranges
// that depend on another setting are for relations in settings.go.

// rows is the whole table.
func rows() []Setting {
	return slices.Concat(
		group(Printer, "Machine", machineRows()),
		group(Material, "Filament", filamentRows()),
		group(Material, "Temperatures", heatRows()),
		group(Material, "Cooling", coolingRows()),
		group(Material, "Retraction", retractionRows()),
		group(Quality, "Layers", layerRows()),
		group(Quality, "Variable layer height", heightRows()),
		group(Quality, "Walls", wallRows()),
		group(Quality, "Top and bottom", skinRows()),
		group(Quality, "Infill", infillRows()),
		group(Quality, "Support", supportRows()),
		group(Quality, "Adhesion", adhesionRows()),
		group(Quality, "Order and travel", travelRows()),
		group(Quality, "Speed", speedRows()),
		group(Quality, "Acceleration", accelRows()),
		group(Model, "Placement", modelRows()),
	)
}

const (
	mm  = unit.Millimetre
	mms = unit.MillimetrePerSecond
	deg = unit.Degree
)

func um(n int64) unit.Length { return unit.Micrometres(n) }

func machineRows() []Setting {
	most := um(511_990) // within unit.MaxCoordinate
	return []Setting{
		length("nozzle_diameter", func(s *Settings) *unit.Length { return &s.Nozzle }, um(100), 2*mm, "diameter of the nozzle's opening"),
		length("build_min_x", func(s *Settings) *unit.Length { return &s.Build.Min.X }, -most, most, "left end of where the machine prints, in its own coordinates"),
		length("build_max_x", func(s *Settings) *unit.Length { return &s.Build.Max.X }, -most, most, "right end of it"),
		length("build_min_y", func(s *Settings) *unit.Length { return &s.Build.Min.Y }, -most, most, "front end of it"),
		length("build_max_y", func(s *Settings) *unit.Length { return &s.Build.Max.Y }, -most, most, "back end of it"),
		length("build_min_z", func(s *Settings) *unit.Length { return &s.Build.Min.Z }, -most, most, "height of the bed"),
		length("build_max_z", func(s *Settings) *unit.Length { return &s.Build.Max.Z }, -most, most, "upper end of where it prints"),
		length("arc_tolerance", func(s *Settings) *unit.Length { return &s.Arcs }, 0, um(25), "how far arcs may be from the short lines that they stand for; 0 makes none, as for machines that take no G2 and G3"),
		length("sequential_radius", func(s *Settings) *unit.Length { return &s.Sequence.Radius }, 0, 200*mm, "what of the hot end is around the nozzle: copies printed one after another are that far apart"),
		length("sequential_height", func(s *Settings) *unit.Length { return &s.Sequence.Height }, 0, 500*mm, "room below the axis that carries the hot end: copies printed one after another may not be higher"),
	}
}

func filamentRows() []Setting {
	return []Setting{
		length("filament_diameter", func(s *Settings) *unit.Length { return &s.Filament }, mm, 4*mm, "diameter of the filament"),
		row(kindFlow, "max_flow", func(s *Settings) *Flow { return &s.MaxFlow }, 0, 1_000_000, "what the hot end can melt; lines that would need more are slower; 0 is no bound"),
		row(kindAdvance, "pressure_advance", func(s *Settings) *Advance { return &s.Advance }, 0, 20_000, "time by which the filament runs ahead of its motion; 0 leaves the machine's own"),
	}
}

func heatRows() []Setting {
	return []Setting{
		heat("hot_end", func(s *Settings) *unit.Celsius { return &s.HotEnd }, 150*deg, 500*deg, "temperature of the hot end"),
		heat("first_layer_hot_end", func(s *Settings) *unit.Celsius { return &s.FirstHotEnd }, 150*deg, 500*deg, "temperature of the hot end on the first layer").following("hot_end"),
		heat("bed", func(s *Settings) *unit.Celsius { return &s.Bed }, 0, 200*deg, "temperature of the bed; 0 leaves it off"),
		heat("first_layer_bed", func(s *Settings) *unit.Celsius { return &s.FirstBed }, 0, 200*deg, "temperature of the bed on the first layer").following("bed"),
	}
}

func coolingRows() []Setting {
	return []Setting{
		duty("fan", func(s *Settings) *unit.Duty { return &s.Fan }, "power of the fan"),
		count("fan_from_layer", func(s *Settings) *int { return &s.FanLayer }, 0, 1000, "layers that are printed before the fan starts"),
		span("min_layer_time", func(s *Settings) *time.Duration { return &s.MinLayerTime }, 0, 10*time.Minute, "a layer that would take less is printed slower; 0s is never"),
		speed("min_speed", func(s *Settings) *unit.Speed { return &s.Speeds.Least }, 0, 200*mms, "no line is slowed below it so that a layer takes long enough; 0 is 10mm/s"),
		duty("fan_min", func(s *Settings) *unit.Duty { return &s.Fans.Least }, "power of the fan for layers that take fan_time or longer, if it is less than that of fan"),
		span("fan_time", func(s *Settings) *time.Duration { return &s.Fans.FullTime }, 0, 10*time.Minute, "layers that take less have more fan, up to that of fan at min_layer_time; 0s gives all the same"),
		duty("bridge_fan", func(s *Settings) *unit.Duty { return &s.Fans.Bridge }, "power of the fan on bridges; 0% is that of everything else"),
		duty("overhang_25_fan", func(s *Settings) *unit.Duty { return &s.Fans.Overhang[0] }, "power of the fan on walls of which a quarter hangs over; 0% is that of everything else"),
		duty("overhang_50_fan", func(s *Settings) *unit.Duty { return &s.Fans.Overhang[1] }, "power of the fan on walls of which half hangs over; 0% is that of everything else"),
		duty("overhang_75_fan", func(s *Settings) *unit.Duty { return &s.Fans.Overhang[2] }, "power of the fan on walls of which three quarters hang over; 0% is that of everything else"),
		duty("overhang_100_fan", func(s *Settings) *unit.Duty { return &s.Fans.Overhang[3] }, "power of the fan on walls with nothing below; 0% is that of everything else"),
		duty("support_interface_fan", func(s *Settings) *unit.Duty { return &s.Fans.Support }, "power of the fan on support where it touches the part; 0% is that of everything else"),
	}
}

func retractionRows() []Setting {
	return []Setting{
		length("retract_length", func(s *Settings) *unit.Length { return &s.Retract }, 0, 20*mm, "filament drawn back before long travel; 0 draws none back"),
		speed("retract_speed", func(s *Settings) *unit.Speed { return &s.Speeds.Retract }, mms, 2000*mms, "speed of the filament as it is drawn back"),
		speed("restart_speed", func(s *Settings) *unit.Speed { return &s.Speeds.Restart }, 0, 2000*mms, "speed of the filament as it is given back; 0 is that of drawing back"),
		length("restart_extra", func(s *Settings) *unit.Length { return &s.Restart }, 0, 5*mm, "filament that is given back beyond what was drawn back"),
		length("retract_min_filament", func(s *Settings) *unit.Length { return &s.RetractApart }, 0, 100*mm, "filament that is fed at least between two retractions; 0 always draws back"),
		length("retract_min_travel", func(s *Settings) *unit.Length { return &s.RetractTravel }, 0, 500*mm, "travel below which nothing is drawn back"),
		length("wipe_distance", func(s *Settings) *unit.Length { return &s.Wipe }, 0, 20*mm, "way back along the line while filament is drawn back; 0 draws it back in place"),
		length("z_hop", func(s *Settings) *unit.Length { return &s.Hop }, 0, 10*mm, "lift of the nozzle while filament is drawn back"),
	}
}

func layerRows() []Setting {
	return []Setting{
		length("layer_height", func(s *Settings) *unit.Length { return &s.Height }, um(20), 2*mm, "height of layers, up to the nozzle's diameter"),
		length("first_layer_height", func(s *Settings) *unit.Length { return &s.FirstHeight }, um(20), 2*mm, "height of the first layer"),
		length("line_width", func(s *Settings) *unit.Length { return &s.Width }, um(50), 6*mm, "width of lines, half to three times the nozzle's diameter"),
	}
}

func wallRows() []Setting {
	return []Setting{
		count("walls", func(s *Settings) *int { return &s.Walls }, 0, 50, "lines around every contour"),
		toggle("outer_wall_first", func(s *Settings) *bool { return &s.OuterFirst }, "print the outer wall before inner walls"),
		choice("seam", func(s *Settings) *Seam { return &s.Seam }, "where outer walls begin and end: near the nozzle, above each other in corners, at the rear, or elsewhere on each layer", "nearest", "aligned", "rear", "random"),
		toggle("overhang_walls", func(s *Settings) *bool { return &s.Shell.Hangs }, "walls that hang over the layer below are found, and printed at speeds of their own"),
		toggle("thin_walls", func(s *Settings) *bool { return &s.Shell.Thin }, "one line of the right width where not even the outer wall fits"),
		toggle("gap_fill", func(s *Settings) *bool { return &s.Shell.Gaps }, "lines of the right width where no whole one fits between walls"),
		toggle("alternate_extra_wall", func(s *Settings) *bool { return &s.Shell.Extra }, "one wall more on every other layer, so that infill is held between walls"),
		toggle("spiral_vase", func(s *Settings) *bool { return &s.Shell.Spiral }, "one wall that rises all the way around, without a seam, on solid bottom layers; for a part of one contour without a hole"),
		length("xy_compensation", func(s *Settings) *unit.Length { return &s.Shell.XY }, -2*mm, 2*mm, "how far outer contours are moved out; below 0 in"),
		length("hole_compensation", func(s *Settings) *unit.Length { return &s.Shell.HoleXY }, -2*mm, 2*mm, "how far contours of holes are moved into the part, so that holes become larger; below 0 smaller"),
		length("elephant_foot_compensation", func(s *Settings) *unit.Length { return &s.Shell.Foot }, 0, 2*mm, "how far contours of the first layer are moved into the part, where it is thick enough"),
		count("elephant_foot_layers", func(s *Settings) *int { return &s.Shell.FootLayers }, 1, 20, "layers over which that becomes nothing"),
	}
}

func skinRows() []Setting {
	return []Setting{
		count("top_layers", func(s *Settings) *int { return &s.TopLayers }, 0, 100, "solid layers under surfaces that face up"),
		count("bottom_layers", func(s *Settings) *int { return &s.BottomLayers }, 0, 100, "solid layers above surfaces that face down"),
		length("top_thickness", func(s *Settings) *unit.Length { return &s.Skin.Top }, 0, 20*mm, "least thickness of solid layers under surfaces that face up, where top_layers give less; 0 leaves it to them"),
		length("bottom_thickness", func(s *Settings) *unit.Length { return &s.Skin.Bottom }, 0, 20*mm, "least thickness of solid layers above surfaces that face down, where bottom_layers give less; 0 leaves it to them"),
		choice("top_pattern", func(s *Settings) *pipe.SkinPattern { return &s.Skin.TopPattern }, "lines of surfaces that face up: each beside the last one, the same unjoined, rings, or in the order of least travel", "monotonic", "monotonic-lines", "concentric", "zigzag"),
		choice("bottom_pattern", func(s *Settings) *pipe.SkinPattern { return &s.Skin.BottomPattern }, "lines of surfaces that face down", "monotonic", "monotonic-lines", "concentric", "zigzag"),
		length("skin_removal_width", func(s *Settings) *unit.Length { return &s.Skin.Removal }, 0, 20*mm, "solid strips narrower than this are left out where the part slopes, which leaves it thinner there"),
		toggle("bridges", func(s *Settings) *bool { return &s.Skin.Bridge.On }, "what has nothing below is laid from one side to the other, in the direction that spans best"),
		percent("bridge_flow", func(s *Settings) *fill.Percent { return &s.Skin.Bridge.Flow }, 20, 200, "filament of lines over nothing, of what other lines take"),
		length("bridge_anchor", func(s *Settings) *unit.Length { return &s.Skin.Bridge.Anchor }, 0, 20*mm, "how far lines over nothing go on over what carries them"),
		angle("bridge_angle", func(s *Settings) *fill.Angle { return &s.Skin.Bridge.Angle }, 0, 180*fill.Degree, "direction of lines over nothing; 0 is the one that spans best"),
		toggle("ironing", func(s *Settings) *bool { return &s.Skin.Iron.On }, "go over surfaces that face up once more, with little filament"),
		percent("ironing_flow", func(s *Settings) *fill.Percent { return &s.Skin.Iron.Flow }, 1, 100, "filament of ironing, of what would fill the space between its lines"),
		length("ironing_spacing", func(s *Settings) *unit.Length { return &s.Skin.Iron.Spacing }, um(20), 2*mm, "distance between lines of ironing"),
		length("ironing_inset", func(s *Settings) *unit.Length { return &s.Skin.Iron.Inset }, 0, 10*mm, "distance of ironing from the edge of the surface"),
		angle("ironing_angle", func(s *Settings) *fill.Angle { return &s.Skin.Iron.Angle }, -180*fill.Degree, 180*fill.Degree, "direction of ironing, from that of the lines below"),
	}
}

func infillRows() []Setting {
	return []Setting{
		percent("infill_density", func(s *Settings) *fill.Percent { return &s.Density }, 0, 100, "share of the inside that infill covers"),
		choice("infill_pattern", func(s *Settings) *fill.Pattern { return &s.Pattern }, "arrangement of infill", "lines", "grid", "triangles", "cubic", "gyroid", "concentric"),
		angle("infill_angle", func(s *Settings) *fill.Angle { return &s.Skin.Angle }, -360*fill.Degree, 360*fill.Degree, "direction of lines of infill and of solid layers; those of one layer cross those of the next"),
		percent("infill_overlap", func(s *Settings) *fill.Percent { return &s.Skin.Overlap }, 0, 50, "how far fill reaches into the innermost wall, of the line width"),
		length("infill_anchor_max", func(s *Settings) *unit.Length { return &s.Skin.Join }, 0, 1000*mm, "longest way along the wall on which ends of infill lines are joined; 0 joins none"),
		length("infill_anchor", func(s *Settings) *unit.Length { return &s.Skin.Anchor }, 0, 100*mm, "how far ends of infill lines that are not joined go on along the wall"),
		length("solid_infill_below_size", func(s *Settings) *unit.Length { return &s.Skin.LeastArea }, 0, 100*mm, "islands of infill smaller than a square of this side are solid; 0 leaves all sparse"),
		count("infill_every_layers", func(s *Settings) *int { return &s.Skin.Combine }, 0, 100, "infill of so many layers is laid at once, as far as the nozzle's diameter allows; up to 1 is each layer by itself"),
		count("solid_infill_every_layers", func(s *Settings) *int { return &s.Skin.Every }, 0, 10_000, "one layer in so many is solid; 0 is none"),
	}
}

func supportRows() []Setting {
	return []Setting{
		choice("support", func(s *Settings) *SupportKind { return &s.Support.Kind }, "what holds up parts that would be printed into the air: nothing, upright props, or roofs on branches", "off", "grid", "tree"),
		angle("support_angle", func(s *Settings) *mesh.Angle { return &s.Support.Angle }, 0, 90*mesh.Degree, "undersides that lean more than this from upright are supported"),
		toggle("support_bed_only", func(s *Settings) *bool { return &s.Support.BedOnly }, "support stands on the bed only, never on the part"),
		length("support_z_gap", func(s *Settings) *unit.Length { return &s.Support.Gap }, 0, 5*mm, "distance of support from what is above and below it, rounded up to whole layers"),
		length("support_xy_gap", func(s *Settings) *unit.Length { return &s.Support.Aside }, 0, 10*mm, "distance of support from the sides of the part"),
		percent("support_density", func(s *Settings) *fill.Percent { return &s.Support.Density }, 1, 100, "share of upright props that their lines fill"),
		choice("support_pattern", func(s *Settings) *Pattern { return &s.Support.Pattern }, "arrangement of the lines of upright props", "lines", "grid"),
		count("support_loops", func(s *Settings) *int { return &s.Support.Loops }, 0, 20, "lines around support; branches and slim props have one at least"),
		count("support_interface_layers", func(s *Settings) *int { return &s.Support.RoofLayers }, 0, 50, "dense layers of support below what it holds up"),
		count("support_bottom_interface_layers", func(s *Settings) *int { return &s.Support.FloorLayers }, 0, 50, "dense layers of upright props above the part, where they stand on it"),
		percent("support_interface_density", func(s *Settings) *fill.Percent { return &s.Support.RoofDensity }, 1, 100, "share of dense layers that their lines fill"),
		area("support_min_area", func(s *Settings) *int { return &s.Support.Least }, 0, 10_000, "undersides of less that something at their side holds are left without support"),
		length("support_max_bridge", func(s *Settings) *unit.Length { return &s.Support.Bridge }, 0, 100*mm, "distance between two sides that needs no support between them; 0 bridges nothing"),
		length("tree_tip_diameter", func(s *Settings) *unit.Length { return &s.Support.Branch.Tip }, um(200), 10*mm, "diameter of branches at the top"),
		length("tree_branch_diameter", func(s *Settings) *unit.Length { return &s.Support.Branch.Stem }, um(200), 20*mm, "diameter that branches soon have"),
		length("tree_max_diameter", func(s *Settings) *unit.Length { return &s.Support.Branch.Most }, um(200), 50*mm, "diameter that no branch exceeds"),
		length("tree_tip_distance", func(s *Settings) *unit.Length { return &s.Support.Branch.Spread }, um(500), 20*mm, "distance between the tips of branches"),
		angle("tree_branch_angle", func(s *Settings) *mesh.Angle { return &s.Support.Branch.Lean }, 0, 60*mesh.Degree, "how much branches lean from upright at most"),
		angle("tree_branch_taper", func(s *Settings) *mesh.Angle { return &s.Support.Branch.Taper }, 0, 45*mesh.Degree, "how much the sides of branches lean as they become thicker"),
	}
}

func adhesionRows() []Setting {
	return []Setting{
		count("skirt_loops", func(s *Settings) *int { return &s.Skirts }, 0, 50, "lines around everything on the first layer"),
		length("skirt_distance", func(s *Settings) *unit.Length { return &s.SkirtGap }, 0, 50*mm, "distance of the innermost of them from the part"),
		count("skirt_layers", func(s *Settings) *int { return &s.Adhesion.SkirtLayers }, 1, 100_000, "layers that have them; as many as the part has make a shield against draught"),
		length("skirt_min_filament", func(s *Settings) *unit.Length { return &s.Adhesion.SkirtLength }, 0, 2000*mm, "there are more of them until they take that much filament"),
		choice("brim", func(s *Settings) *Brim { return &s.Adhesion.Brim }, "lines around the first layer that hold it down: none, outside, in holes, both, or patches at sharp corners", "off", "outer", "inner", "both", "ears"),
		length("brim_width", func(s *Settings) *unit.Length { return &s.Adhesion.BrimWidth }, um(200), 50*mm, "width of the brim, or radius of the patches"),
		length("brim_gap", func(s *Settings) *unit.Length { return &s.Adhesion.BrimGap }, 0, 2*mm, "distance of the brim from the part"),
		angle("brim_ear_angle", func(s *Settings) *mesh.Angle { return &s.Adhesion.EarAngle }, 0, 180*mesh.Degree, "corners sharper than that have patches"),
		count("raft_layers", func(s *Settings) *int { return &s.Adhesion.Raft.Layers }, 0, 20, "layers below the part that are wider than it; 0 is no raft"),
		length("raft_margin", func(s *Settings) *unit.Length { return &s.Adhesion.Raft.Margin }, 0, 50*mm, "by how much the raft is wider on every side"),
		length("raft_z_gap", func(s *Settings) *unit.Length { return &s.Adhesion.Raft.Gap }, 0, 2*mm, "air between the raft and the part"),
		length("raft_first_layer_height", func(s *Settings) *unit.Length { return &s.Adhesion.Raft.Base }, um(20), 2*mm, "height of the lowest layer of the raft, up to the nozzle's diameter"),
		length("raft_layer_height", func(s *Settings) *unit.Length { return &s.Adhesion.Raft.Height }, um(20), 2*mm, "height of the others, up to the nozzle's diameter"),
		length("raft_first_line_width", func(s *Settings) *unit.Length { return &s.Adhesion.Raft.Thickness }, um(50), 6*mm, "width of the lines of the raft's lowest layer"),
		toggle("prime_line", func(s *Settings) *bool { return &s.PrimeLine }, "fill the nozzle with a line at the front edge, where there is room"),
	}
}

func travelRows() []Setting {
	return []Setting{
		length("comb_distance", func(s *Settings) *unit.Length { return &s.Comb }, 0, 1000*mm, "ways through the inside of the part up to this length need no retraction; 0 is none"),
	}
}

func speedRows() []Setting {
	v := func(key string, at func(s *Settings) *unit.Speed, doc string) Setting {
		return speed(key, at, mms, 2000*mms, doc)
	}
	o := func(key string, at func(s *Settings) *unit.Speed, doc string) Setting {
		return speed(key, at, 0, 2000*mms, doc)
	}
	return []Setting{
		v("outer_wall_speed", func(s *Settings) *unit.Speed { return &s.Speeds.OuterWall }, "speed of outer walls"),
		v("inner_wall_speed", func(s *Settings) *unit.Speed { return &s.Speeds.InnerWall }, "speed of inner walls"),
		v("skin_speed", func(s *Settings) *unit.Speed { return &s.Speeds.Skin }, "speed of solid fill"),
		v("infill_speed", func(s *Settings) *unit.Speed { return &s.Speeds.Infill }, "speed of infill"),
		v("first_layer_speed", func(s *Settings) *unit.Speed { return &s.Speeds.FirstLayer }, "speed of everything on the first layer"),
		v("travel_speed", func(s *Settings) *unit.Speed { return &s.Speeds.Travel }, "speed between lines"),
		v("lift_speed", func(s *Settings) *unit.Speed { return &s.Speeds.Lift }, "speed up and down"),
		o("thin_wall_speed", func(s *Settings) *unit.Speed { return &s.Speeds.ThinWall }, "speed of single lines in thin walls and gaps; 0 is that of inner walls"),
		o("overhang_25_speed", func(s *Settings) *unit.Speed { return &s.Speeds.Overhang[0] }, "speed of walls of which a quarter hangs over; 0 slows none"),
		o("overhang_50_speed", func(s *Settings) *unit.Speed { return &s.Speeds.Overhang[1] }, "speed of walls of which half hangs over; 0 slows none"),
		o("overhang_75_speed", func(s *Settings) *unit.Speed { return &s.Speeds.Overhang[2] }, "speed of walls of which three quarters hang over; 0 slows none"),
		o("overhang_100_speed", func(s *Settings) *unit.Speed { return &s.Speeds.Overhang[3] }, "speed of walls with nothing below; 0 slows none"),
		o("top_skin_speed", func(s *Settings) *unit.Speed { return &s.Speeds.TopSkin }, "speed of the topmost solid layer; 0 is that of solid fill"),
		o("bridge_speed", func(s *Settings) *unit.Speed { return &s.Speeds.Bridge }, "speed of bridges; 0 is that of solid fill"),
		o("ironing_speed", func(s *Settings) *unit.Speed { return &s.Speeds.Ironing }, "speed of ironing; 0 is that of the topmost solid layer"),
		o("support_speed", func(s *Settings) *unit.Speed { return &s.Speeds.Support }, "speed of support; 0 is that of infill"),
		o("support_interface_speed", func(s *Settings) *unit.Speed { return &s.Speeds.SupportInterface }, "speed of support where it touches the part; 0 is that of solid fill"),
		o("raft_speed", func(s *Settings) *unit.Speed { return &s.Speeds.Raft }, "speed of the raft above its first layer; 0 is that of support"),
	}
}

func accelRows() []Setting {
	a := func(key string, at func(s *Settings) *unit.Accel, doc string) Setting {
		return accel(key, at, 0, 100_000, doc)
	}
	return []Setting{
		accel("acceleration", func(s *Settings) *unit.Accel { return &s.Accel }, 0, 100_000, "acceleration of printed lines; 0 leaves the machine's own for all"),
		a("first_layer_acceleration", func(s *Settings) *unit.Accel { return &s.Accels.FirstLayer }, "acceleration on the first layer; 0 is that of all lines"),
		a("outer_wall_acceleration", func(s *Settings) *unit.Accel { return &s.Accels.OuterWall }, "acceleration of outer walls; 0 is that of all lines"),
		a("inner_wall_acceleration", func(s *Settings) *unit.Accel { return &s.Accels.InnerWall }, "acceleration of inner walls; 0 is that of all lines"),
		a("skin_acceleration", func(s *Settings) *unit.Accel { return &s.Accels.Skin }, "acceleration of solid fill; 0 is that of all lines"),
		a("top_skin_acceleration", func(s *Settings) *unit.Accel { return &s.Accels.TopSkin }, "acceleration of the topmost solid layer; 0 is that of solid fill"),
		a("infill_acceleration", func(s *Settings) *unit.Accel { return &s.Accels.Infill }, "acceleration of infill; 0 is that of all lines"),
		a("bridge_acceleration", func(s *Settings) *unit.Accel { return &s.Accels.Bridge }, "acceleration of bridges; 0 is that of all lines"),
	}
}

func modelRows() []Setting {
	turn := func(key, axis string, k int) Setting {
		return angle(key, func(s *Settings) *mesh.Angle { return &s.Transform.Turn[k] }, -360*mesh.Degree, 360*mesh.Degree, "turn about "+axis+", counter-clockwise; X comes first, Z last")
	}
	size := func(key, axis string, k int) Setting {
		return ratio(key, func(s *Settings) *mesh.Ratio { return &s.Transform.Scale[k] }, 0, 10_000*mesh.Whole, "size along "+axis+"; 0 leaves it")
	}
	return []Setting{
		count("copies", func(s *Settings) *int { return &s.Copies }, 1, mostCopies, "copies of the model, in rows"),
		length("spacing", func(s *Settings) *unit.Length { return &s.Spacing }, 0, 200*mm, "distance between copies"),
		toggle("sequential", func(s *Settings) *bool { return &s.Sequence.On }, "print copies one after another, each to its top, from the front to the back"),
		size("scale_x", "X", 0), size("scale_y", "Y", 1), size("scale_z", "Z", 2),
		turn("rotate_x", "X", 0), turn("rotate_y", "Y", 1), turn("rotate_z", "Z", 2),
	}
}

// group says of settings where they belong.
func group(s Section, name string, rows []Setting) []Setting {
	for i := range rows {
		rows[i].Section, rows[i].Group = s, name
	}
	return rows
}

// following lets a setting take the value of another where only that is given.
func (r Setting) following(key string) Setting {
	r.follows = key
	return r
}

// The functions below make a row each: key, where the value is, its range, and what
// it means.

func length(key string, at func(*Settings) *unit.Length, lo, hi unit.Length, doc string) Setting {
	return row(kindLength, key, at, lo, hi, doc)
}

func speed(key string, at func(*Settings) *unit.Speed, lo, hi unit.Speed, doc string) Setting {
	return row(kindSpeed, key, at, lo, hi, doc)
}

func accel(key string, at func(*Settings) *unit.Accel, lo, hi unit.Accel, doc string) Setting {
	return row(kindAccel, key, at, lo, hi, doc)
}

func heat(key string, at func(*Settings) *unit.Celsius, lo, hi unit.Celsius, doc string) Setting {
	return row(kindHeat, key, at, lo, hi, doc)
}

func span(key string, at func(*Settings) *time.Duration, lo, hi time.Duration, doc string) Setting {
	return row(kindTime, key, at, lo, hi, doc)
}

func duty(key string, at func(*Settings) *unit.Duty, doc string) Setting {
	return row(kindDuty, key, at, 0, unit.FullDuty, doc)
}

func count(key string, at func(*Settings) *int, lo, hi int, doc string) Setting {
	return row(kindCount, key, at, lo, hi, doc)
}

// area is whole mm².
func area(key string, at func(*Settings) *int, lo, hi int, doc string) Setting {
	return row(kindArea, key, at, lo, hi, doc)
}

// angle is in 1/1000 degree.
func angle[T ~int32](key string, at func(*Settings) *T, lo, hi T, doc string) Setting {
	return row(kindAngle, key, at, lo, hi, doc)
}

// percent is whole percent.
func percent[T integer](key string, at func(*Settings) *T, lo, hi T, doc string) Setting {
	return row(kindPercent, key, at, lo, hi, doc)
}

// ratio is in 1/10000, and written in percent.
func ratio[T ~int32](key string, at func(*Settings) *T, lo, hi T, doc string) Setting {
	return row(kindRatio, key, at, lo, hi, doc)
}

// choice is one of words, which are in the order of the constants of T from 0.
func choice[T ~uint8](key string, at func(*Settings) *T, doc string, words ...string) Setting {
	r := row(kindChoice, key, at, 0, T(min(len(words)-1, math.MaxUint8)), doc)
	r.choices = words
	return r
}

func toggle(key string, at func(*Settings) *bool, doc string) Setting {
	return Setting{Key: key, Doc: doc, kind: kindSwitch, hi: 1,
		get: func(s *Settings) int64 {
			if *at(s) {
				return 1
			}
			return 0
		},
		set: func(s *Settings, v int64) { *at(s) = v != 0 },
	}
}

// integer is what quantities are made of.
type integer interface {
	~int | ~int32 | ~int64 | ~uint8 | ~uint16
}

func row[T integer](k kind, key string, at func(*Settings) *T, lo, hi T, doc string) Setting {
	return Setting{Key: key, Doc: doc, kind: k, lo: int64(lo), hi: int64(hi),
		get: func(s *Settings) int64 { return int64(*at(s)) },
		set: func(s *Settings, v int64) { *at(s) = T(v) },
	}
}
