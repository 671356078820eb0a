package seam

// Test begins the self-test, whose motion is the catalogue's: it names nothing of it.
type Test struct {
	Job [16]byte // random, for its receipt
}

// Tested is what a self-test has measured, before its receipt. It is of that motion alone,
// and so is as fine as the catalogue lets it leave; see hal/selftest. Longest is for whoever
// stands at the printer: which of the pings meets a report depends on when the job before ended.
type Tested struct {
	Job                 [16]byte
	Half, Most, Longest uint32 // within which pings were answered, in µs
	Noise               uint32 // of the noisiest sensor of a heater, in 1/1000 K
	Resends, Errors     uint32
	Axes                [3]TestedAxis
}

// TestedAxis is what was measured of one axis.
type TestedAxis struct {
	Sweep  uint32 // ms
	Felt   bool   // Spread and Shift are known
	Spread uint32 // µm
	Shift  int32  // µm
}

// DutyBins is how many shares a [HeaterDuty] has.
const DutyBins = 5

// Duty is how much power heaters had in the job that ends, before its receipt: no more of it
// than the shares of all its time in tenths.
type Duty struct {
	N       uint8
	Heaters [MaxHeaters]HeaterDuty
}

// HeaterDuty is one heater in a Duty.
type HeaterDuty struct {
	ID    uint8
	Hours uint8           // bucket of how long it was on: n is up to 2^(n-1) h; 0 is not known
	Share [DutyBins]uint8 // in tenths: of no power, up to a quarter, a half, three quarters, more
}

// mostHours is the last bucket of a HeaterDuty: 128 h and more.
const mostHours = 8

// HoursBucket is the number of the bucket that so many seconds fall into.
func HoursBucket(seconds uint32) uint8 {
	if seconds == 0 {
		return 0
	}
	n := uint8(1)
	for edge := uint32(3600); edge < seconds && n < mostHours; edge *= 2 {
		n++
	}
	return n
}

func (Test) kind() Kind   { return KindTest }
func (Tested) kind() Kind { return KindTested }
func (Duty) kind() Kind   { return KindDuty }

func (t Test) append(dst []byte) []byte { return append(dst, t.Job[:]...) }

func (t *Test) parse(b []byte) bool { return len(b) == copy(t.Job[:], b) && len(b) == len(t.Job) }

func (t Tested) append(dst []byte) []byte {
	dst = append(dst, t.Job[:]...)
	for _, v := range [...]uint32{t.Half, t.Most, t.Longest, t.Noise, t.Resends, t.Errors} {
		dst = le.AppendUint32(dst, v)
	}
	for _, a := range t.Axes {
		dst = append(le.AppendUint32(dst, a.Sweep), boolByte(a.Felt))
		dst = le.AppendUint32(le.AppendUint32(dst, a.Spread), uint32(a.Shift))
	}
	return dst
}

func (t *Tested) parse(b []byte) bool {
	const head, axis = 16 + 6*4, 13
	if len(b) != head+3*axis {
		return false
	}
	copy(t.Job[:], b)
	for i, v := range [...]*uint32{&t.Half, &t.Most, &t.Longest, &t.Noise, &t.Resends, &t.Errors} {
		*v = le.Uint32(b[16+4*i:])
	}
	for i := range t.Axes {
		a := b[head+axis*i:]
		if a[4] > 1 {
			return false
		}
		t.Axes[i] = TestedAxis{le.Uint32(a), a[4] == 1, le.Uint32(a[5:]), int32(le.Uint32(a[9:]))}
	}
	return true
}

func (d Duty) append(dst []byte) []byte {
	dst = append(dst, d.N)
	for _, h := range d.Heaters {
		dst = append(append(dst, h.ID, h.Hours), h.Share[:]...)
	}
	return dst
}

func (d *Duty) parse(b []byte) bool {
	const each = 2 + DutyBins
	if len(b) != 1+MaxHeaters*each || b[0] > MaxHeaters {
		return false
	}
	d.N = b[0]
	for i := range d.Heaters {
		h := &d.Heaters[i]
		h.ID, h.Hours = b[1+each*i], b[2+each*i]
		copy(h.Share[:], b[3+each*i:])
		for _, s := range h.Share {
			if s > 10 {
				return false
			}
		}
		if h.Hours > mostHours || i >= int(d.N) && *h != (HeaterDuty{}) {
			return false
		}
	}
	return true
}
