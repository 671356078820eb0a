package path

import (
	"math"
	"slices"

	"platen/slicer/geom"
)

// mostPlanned is the most items of one phase whose order is planned; where there are
// more the nearest comes next each time.
const mostPlanned = 40

// arrange puts the items of one phase in the order in which they are printed, nearest
// first from where the nozzle is, and then turns around pieces of that order as long
// as all ways between them become shorter. towards is where the nozzle goes
// afterwards; nil is anywhere.
func arrange(items []item, at geom.Point, towards *geom.Point) {
	from := at
	for i := range items {
		pick, reversed := nearestItem(items[i:], at)
		items[i], items[i+pick] = items[i+pick], items[i]
		items[i].reversed = reversed
		_, at = items[i].ends()
	}
	shorten(items, from, towards)
}

// shorten is 2-opt: from is where the nozzle is before the first item.
func shorten(items []item, from geom.Point, towards *geom.Point) {
	for range 6 {
		better := false
		for i := range items {
			before := from
			if i > 0 {
				_, before = items[i-1].ends()
			}
			for k := i; k < len(items) && !items[k].oneWay; k++ {
				first, _ := items[i].ends()
				_, last := items[k].ends()
				gain := far(before, first) - far(before, last)
				switch {
				case k+1 < len(items):
					next, _ := items[k+1].ends()
					gain += far(last, next) - far(first, next)
				case towards != nil:
					gain += far(last, *towards) - far(first, *towards)
				}
				if gain > 1 {
					turn(items[i : k+1])
					better = true
				}
			}
		}
		if !better {
			return
		}
	}
}

// turn lets items be printed the other way around, the last first.
func turn(items []item) {
	slices.Reverse(items)
	for i := range items {
		items[i].reversed = !items[i].reversed
	}
}

// ends are where an item begins and where it ends.
func (it *item) ends() (from, to geom.Point) {
	if it.reversed {
		return it.to, it.from
	}
	return it.from, it.to
}

// nearestItem is the item that begins nearest to a place, and whether it does so at
// its end.
func nearestItem(items []item, at geom.Point) (pick int, reversed bool) {
	best := int64(-1)
	for i := range items {
		it := &items[i]
		if d := distance2(at, it.from); best < 0 || d < best {
			best, pick, reversed = d, i, false
		}
		if d := distance2(at, it.to); d < best && !it.oneWay {
			best, pick, reversed = d, i, true
		}
	}
	return pick, reversed
}

func far(a, b geom.Point) float64 { return math.Sqrt(float64(distance2(a, b))) }
