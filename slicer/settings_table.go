package slicer

import (
	"math"
	"slices"
	"time"

	"platen/hal/unit"
	"platen/slicer/fill"
	"platen/slicer/mesh"
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
	}
}

func filamentRows() []Setting {
	return []Setting{
		length("filament_diameter", func(s *Settings) *unit.Length { return &s.Filament }, mm, 4*mm, "diameter of the filament"),
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
	}
}

func retractionRows() []Setting {
	return []Setting{
		length("retract_length", func(s *Settings) *unit.Length { return &s.Retract }, 0, 20*mm, "filament drawn back before long travel; 0 draws none back"),
		speed("retract_speed", func(s *Settings) *unit.Speed { return &s.Speeds.Retract }, mms, 2000*mms, "speed of the filament as it is drawn back"),
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
		toggle("seam_aligned", func(s *Settings) *bool { return &s.SeamAligned }, "seams above each other; else where the nozzle is"),
	}
}

func skinRows() []Setting {
	return []Setting{
		count("top_layers", func(s *Settings) *int { return &s.TopLayers }, 0, 100, "solid layers under surfaces that face up"),
		count("bottom_layers", func(s *Settings) *int { return &s.BottomLayers }, 0, 100, "solid layers above surfaces that face down"),
	}
}

func infillRows() []Setting {
	return []Setting{
		percent("infill_density", func(s *Settings) *fill.Percent { return &s.Density }, 0, 100, "share of the inside that infill covers"),
		choice("infill_pattern", func(s *Settings) *fill.Pattern { return &s.Pattern }, "arrangement of infill", "lines", "grid"),
	}
}

func supportRows() []Setting {
	return []Setting{}
}

func adhesionRows() []Setting {
	return []Setting{
		count("skirt_loops", func(s *Settings) *int { return &s.Skirts }, 0, 50, "lines around everything on the first layer"),
		length("skirt_distance", func(s *Settings) *unit.Length { return &s.SkirtGap }, 0, 50*mm, "distance of the innermost of them from the part"),
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
		v("infill_speed", func(s *Settings) *unit.Speed { return &s.Speeds.Infill }, "speed of infill"),
		v("first_layer_speed", func(s *Settings) *unit.Speed { return &s.Speeds.FirstLayer }, "speed of everything on the first layer"),
		v("travel_speed", func(s *Settings) *unit.Speed { return &s.Speeds.Travel }, "speed between lines"),
		v("lift_speed", func(s *Settings) *unit.Speed { return &s.Speeds.Lift }, "speed up and down"),
	}
}

func accelRows() []Setting {
	return []Setting{
		accel("acceleration", func(s *Settings) *unit.Accel { return &s.Accel }, 0, 100_000, "acceleration of all moves; 0 leaves the machine's own"),
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
