package sim

// check is step 3 of gc_execute_line: errors, and values made absolute and metric.
func (g *grbl) check(b *grblBlock, jog bool) int {
	c := &g.gc
	if b.axis == 0 && b.anyAxis() {
		b.axis = axisMotion
	}
	if b.seen['N'] && b.value['N'] > 1e7 {
		return 27
	}
	scale := 1.0
	if b.modal.inches == 1 {
		scale = 25.4
	}
	b.feed = b.value['F'] * scale
	switch {
	case jog && !b.seen['F']:
		return 22
	case jog:
	case b.modal.inverse == 1:
		b.feed = b.value['F']
		if b.axis == axisMotion && b.modal.motion != 80 && b.modal.motion != 0 && !b.seen['F'] {
			return 22
		}
	case c.modal.inverse == 0 && !b.seen['F']:
		b.feed = c.feed
	}
	used := "NFXYZST"
	if jog {
		used = "NFXYZ"
	}
	if b.action == 4 {
		if !b.seen['P'] {
			return 28
		}
		used += "P"
	}
	if b.axis == axisTool && b.length == 43 && (!b.seen['Z'] || b.seen['X'] || b.seen['Y']) {
		return 37
	}
	status, more := g.target(b, scale)
	if status != 0 {
		return status
	}
	arc, status := g.checkMotion(b, scale)
	if status != 0 {
		return status
	}
	used += more + arc
	for w := byte('A'); w <= 'Z'; w++ {
		known := b.axis != 0 || w < 'X'
		if b.seen[w] && !(known && contains(used, w)) {
			return 36
		}
	}
	return 0
}

func contains(s string, c byte) bool {
	for i := range len(s) {
		if s[i] == c {
			return true
		}
	}
	return false
}

// target works out where a block goes, and the words that takes.
func (g *grbl) target(b *grblBlock, scale float64) (status int, used string) {
	c := &g.gc
	var v [3]float64
	for i, w := range []byte("XYZ") {
		v[i] = b.value[w] * scale
	}
	system := c.systems[b.modal.system]
	b.to = c.at
	switch b.action {
	case 10:
		return g.checkG10(b, v)
	case 92:
		if !b.anyAxis() {
			return 26, ""
		}
		b.to = c.shift
		for i, w := range []byte("XYZ") {
			if b.seen[w] {
				b.to[i] = c.at[i] - system[i] - v[i]
				if i == 2 {
					b.to[i] -= c.tool
				}
			}
		}
		return 0, ""
	}
	for i, w := range []byte("XYZ") {
		switch {
		case !b.seen[w]:
			continue
		case b.axis == axisTool, b.action == 53:
			b.to[i] = v[i]
		case b.modal.relative == 1:
			b.to[i] += v[i]
		default:
			b.to[i] = v[i] + system[i] + c.shift[i]
			if i == 2 {
				b.to[i] += c.tool
			}
		}
	}
	if b.action == 53 && b.modal.motion > 1 {
		return 30, ""
	}
	return 0, ""
}

func (g *grbl) checkG10(b *grblBlock, v [3]float64) (status int, used string) {
	c := &g.gc
	switch {
	case !b.anyAxis():
		return 26, ""
	case !b.seen['P'] && !b.seen['L']:
		return 28, ""
	case b.value['P'] > 6:
		return 29, ""
	case b.value['L'] != 2 && b.value['L'] != 20, b.value['L'] == 2 && b.seen['R']:
		return 20, ""
	}
	n := int(b.value['P']) - 1
	if n < 0 {
		n = b.modal.system
	}
	b.to = c.systems[n]
	for i, w := range []byte("XYZ") {
		if !b.seen[w] {
			continue
		}
		b.to[i] = v[i]
		if b.value['L'] == 20 {
			b.to[i] = c.at[i] - c.shift[i] - v[i]
			if i == 2 {
				b.to[i] -= c.tool
			}
		}
	}
	b.radius = float64(n)
	return 0, "PL"
}

// checkMotion checks what the motion mode needs, and says what words it uses.
func (g *grbl) checkMotion(b *grblBlock, scale float64) (used string, status int) {
	switch {
	case b.modal.motion == 80:
		if b.anyAxis() {
			return "", 31
		}
	case b.axis != axisMotion || b.modal.motion == 0:
	case b.feed == 0:
		return "", 22
	case b.modal.motion == 2 || b.modal.motion == 3:
		return g.checkArc(b, scale)
	case b.modal.motion > 100:
		if !b.anyAxis() {
			return "", 26
		}
		if b.to == g.gc.at {
			return "", 33
		}
	}
	return "", 0
}
