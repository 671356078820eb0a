package main

import (
	"errors"
	"strings"

	"github.com/spf13/pflag"

	"platen/hal/unit"
	"platen/slicer"
	"platen/slicer/mesh"
	"platen/slicer/profile"
)

// value is a flag whose text is parsed into a setting.
type value struct {
	kind string
	text func() string
	set  func(string) error
}

func (v value) String() string {
	if v.text == nil { // pflag looks at the zero value
		return ""
	}
	return v.text()
}
func (v value) Type() string       { return v.kind }
func (v value) Set(s string) error { return v.set(s) }

// named are the settings with a flag of their own; all others are reached by -s.
var named = []struct{ flag, key string }{
	{"nozzle", "nozzle_diameter"},
	{"filament", "filament_diameter"},
	{"layer-height", "layer_height"},
	{"first-layer-height", "first_layer_height"},
	{"line-width", "line_width"},
	{"walls", "walls"},
	{"top-layers", "top_layers"},
	{"bottom-layers", "bottom_layers"},
	{"infill", "infill_density"},
	{"pattern", "infill_pattern"},
	{"outer-first", "outer_wall_first"},
	{"skirts", "skirt_loops"},
	{"skirt-gap", "skirt_distance"},
	{"prime-line", "prime_line"},
	{"outer-wall-speed", "outer_wall_speed"},
	{"inner-wall-speed", "inner_wall_speed"},
	{"skin-speed", "skin_speed"},
	{"infill-speed", "infill_speed"},
	{"first-layer-speed", "first_layer_speed"},
	{"travel-speed", "travel_speed"},
	{"lift-speed", "lift_speed"},
	{"retract-speed", "retract_speed"},
	{"acceleration", "acceleration"},
	{"retract", "retract_length"},
	{"retract-travel", "retract_min_travel"},
	{"wipe", "wipe_distance"},
	{"comb", "comb_distance"},
	{"z-hop", "z_hop"},
	{"hotend", "hot_end"},
	{"bed", "bed"},
	{"first-layer-hotend", "first_layer_hot_end"},
	{"first-layer-bed", "first_layer_bed"},
	{"fan", "fan"},
	{"fan-layer", "fan_from_layer"},
	{"min-layer-time", "min_layer_time"},
	{"copies", "copies"},
	{"spacing", "spacing"},
}

// addSettings adds -s, --profile and the named flags. They count in the order in which
// they are given, all those on one command line as one source.
func addSettings(fs *pflag.FlagSet, s *slicer.Settings) {
	src := slicer.NewSource(s, true)
	for _, n := range named {
		r, err := slicer.Lookup(n.key)
		if err != nil { // the list above is constant
			panic(err)
		}
		f := fs.VarPF(settingFlag(src, s, r), n.flag, "", r.Doc)
		if r.Switch() {
			f.NoOptDefVal = "true"
		}
	}
	fs.VarP(pairFlag(src), "set", "s", "any setting, as key=value; platen-slice settings lists them")
	fs.Var(profileFlag(s), "profile", "lay a profile over what is set so far: a .toml file, or one that comes along")
	fs.Var(volumeFlag(&s.Build), "volume", "build volume")
	fs.Var(scaleFlag(&s.Transform.Scale), "scale", "size of the model, for all axes or one by one")
	fs.Var(turnFlag(&s.Transform.Turn), "rotate", "turn about X, then Y, then Z, counter-clockwise; one angle is about Z")
}

// settingFlag is the flag of one setting.
func settingFlag(src *slicer.Source, s *slicer.Settings, r *slicer.Setting) value {
	kind := r.Unit()
	switch {
	case r.Switch():
		kind = "bool"
	case r.Count():
		kind = "count"
	case kind == "":
		kind = strings.Join(r.Choices(), "|")
	}
	return value{kind, func() string { return r.Text(s) }, func(text string) error { return plain(src.Set(r.Key, text)) }}
}

// pairFlag takes key=value.
func pairFlag(src *slicer.Source) value {
	return value{"key=value", func() string { return "" }, func(pair string) error {
		key, text, ok := strings.Cut(pair, "=")
		if !ok {
			return errors.New("write it as key=value")
		}
		return plain(src.Set(strings.TrimSpace(key), text))
	}}
}

// profileFlag takes the name of a profile.
func profileFlag(s *slicer.Settings) value {
	return value{"file|name", func() string { return "" }, func(name string) error {
		text, err := profile.Open(name)
		if err != nil {
			return err
		}
		return profile.Apply(s, name, text)
	}}
}

// plain lets an error say what is wrong only: that it is of a flag is said in front.
func plain(err error) error {
	if err == nil {
		return nil
	}
	return errors.New(strings.TrimPrefix(err.Error(), slicer.ErrSettings.Error()+": "))
}

// volumeFlag takes 220x220x250mm, a volume with a corner at the origin.
func volumeFlag(p *slicer.Volume) value {
	text := func() string {
		mm := func(l unit.Length) string { return string(l.AppendMM(nil, 3)) }
		return mm(p.Max.X-p.Min.X) + "x" + mm(p.Max.Y-p.Min.Y) + "x" + mm(p.Max.Z-p.Min.Z) + "mm"
	}
	return value{"XxYxZ", text, func(s string) error {
		size, err := several(s, lengthUnits, nil)
		if err != nil || !strings.Contains(s, "x") {
			return errors.New("write it as three lengths like 220x220x250mm")
		}
		var at [3]unit.Length
		for i, mm := range size {
			if at[i], err = unit.FromMM(mm); err != nil {
				return err
			}
		}
		*p = slicer.Volume{Max: mesh.Vertex{X: at[0], Y: at[1], Z: at[2]}}
		return nil
	}}
}
