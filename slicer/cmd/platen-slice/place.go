package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"platen/slicer/mesh"
)

// number parses a decimal that may end in one of the given units; scale is what
// the number is multiplied with.
func number(s string, units map[string]float64) (float64, error) {
	s = strings.TrimSpace(s)
	scale := 1.0
	longest := ""
	for u, f := range units {
		if strings.HasSuffix(s, u) && len(u) > len(longest) {
			longest, scale = u, f
		}
	}
	v, err := strconv.ParseFloat(strings.TrimSpace(strings.TrimSuffix(s, longest)), 64)
	if err != nil {
		return 0, fmt.Errorf("%q is not a number with a unit", s)
	}
	return v * scale, nil
}

// lengthUnits are the units of lengths.
var lengthUnits = map[string]float64{"mm": 1, "um": 0.001, "µm": 0.001}

// several parses one value for all three axes, or three joined by x; a single one
// goes where one says.
func several(s string, units map[string]float64, one []int) (out [3]float64, err error) {
	parts := strings.Split(s, "x")
	if len(parts) != 1 && len(parts) != 3 {
		return out, fmt.Errorf("%q is neither one value nor three joined by x", s)
	}
	for i, part := range parts {
		v, err := number(part, units)
		if err != nil {
			return out, err
		}
		if len(parts) == 3 {
			out[i] = v
			continue
		}
		for _, k := range one {
			out[k] = v
		}
	}
	return out, nil
}

// scaleFlag takes 150%, 1.5, or 100%x100%x50%.
func scaleFlag(p *[3]mesh.Ratio) value {
	text := func() string {
		if *p == [3]mesh.Ratio{} {
			return "100%"
		}
		var parts [3]string
		for k, r := range p {
			parts[k] = strconv.FormatFloat(float64(r)/float64(mesh.Whole)*100, 'f', -1, 64) + "%"
		}
		return strings.Join(parts[:], "x")
	}
	return value{"factor", text, func(s string) error {
		v, err := several(s, map[string]float64{"%": 0.01}, []int{0, 1, 2})
		if err != nil {
			return err
		}
		for k, f := range v {
			r := math.Round(f * float64(mesh.Whole))
			if !(r >= 1 && r <= 10_000*float64(mesh.Whole)) {
				return fmt.Errorf("%q is not between 0.01%% and 1000000%%", s)
			}
			p[k] = mesh.Ratio(r)
		}
		return nil
	}}
}

// turnFlag takes 45, 45deg, or 90x0x45.
func turnFlag(p *[3]mesh.Angle) value {
	text := func() string {
		var parts [3]string
		for k, a := range p {
			parts[k] = strconv.FormatFloat(float64(a)/float64(mesh.Degree), 'f', -1, 64)
		}
		return strings.Join(parts[:], "x")
	}
	return value{"degrees", text, func(s string) error {
		v, err := several(s, map[string]float64{"deg": 1, "°": 1}, []int{2})
		if err != nil {
			return err
		}
		for k, a := range v {
			r := math.Round(a * float64(mesh.Degree))
			if !(math.Abs(r) <= 360*float64(mesh.Degree)) {
				return fmt.Errorf("%q is not between -360 and 360 degrees", s)
			}
			p[k] = mesh.Angle(r)
		}
		return nil
	}}
}
