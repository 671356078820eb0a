package unit

import (
	"errors"
	"math"
	"strconv"
	"testing"

	"pgregory.net/rapid"
)

func TestAppendMM(t *testing.T) {
	for _, c := range []struct {
		l      Length
		digits int
		want   string
	}{
		{0, 3, "0"}, {Millimetre, 3, "1"}, {-Millimetre / 2, 3, "-0.5"}, {Micrometres(12345), 3, "12.345"},
		{Micrometres(12345), 2, "12.35"}, {Micrometres(-12345), 2, "-12.35"}, {Micrometres(100_010), 3, "100.01"},
		{Micrometres(-4), 2, "0"}, {1, 6, "0.000015"}, {math.MinInt32, 0, "-32768"}, {Micrometres(999_999), 0, "1000"},
	} {
		if got := string(c.l.AppendMM(nil, c.digits)); got != c.want {
			t.Errorf("%d in %d digits: %q, want %q", c.l, c.digits, got, c.want)
		}
	}
}

// TestAppendMMReadsBack holds the text of a length against strconv.
func TestAppendMMReadsBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := Length(rapid.Int32().Draw(t, "length"))
		digits := rapid.IntRange(0, 6).Draw(t, "digits")
		text := string(l.AppendMM(nil, digits))
		mm, err := strconv.ParseFloat(text, 64)
		if err != nil {
			t.Fatal(err)
		}
		if off := math.Abs(mm - l.MM()); off > 0.5*math.Pow10(-digits)+1e-9 {
			t.Fatalf("%d reads back as %s, off by %g mm", l, text, off)
		}
		if digits >= 5 {
			if back, err := FromMM(mm); err != nil || back != l {
				t.Fatalf("%d reads back as %d, %v", l, back, err)
			}
		}
	})
}

func TestDecimalsOutOfRange(t *testing.T) {
	for _, v := range []float64{math.NaN(), math.Inf(1), math.Inf(-1), 1e30, -1e30} {
		if _, err := FromMM(v); !errors.Is(err, ErrRange) {
			t.Errorf("FromMM(%g): %v", v, err)
		}
		if _, err := FromDegrees(v); !errors.Is(err, ErrRange) {
			t.Errorf("FromDegrees(%g): %v", v, err)
		}
		if _, err := FromMMPerMin(v); !errors.Is(err, ErrRange) {
			t.Errorf("FromMMPerMin(%g): %v", v, err)
		}
	}
	if l, err := FromMM(-0.5); err != nil || l != -Millimetre/2 {
		t.Errorf("control: %d, %v", l, err)
	}
}

func TestSaturates(t *testing.T) {
	if Micrometres(1e9) != math.MaxInt32 || Micrometres(-1e9) != math.MinInt32 {
		t.Error("a length beyond the type wraps around")
	}
}

// TestProductsAreExact holds the promise that a product of differences of two
// coordinates fits 53 bits.
func TestProductsAreExact(t *testing.T) {
	d := int64(2 * MaxCoordinate)
	if d*d >= 1<<53 {
		t.Errorf("%d is beyond 53 bits", d*d)
	}
}

func TestOtherUnits(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{string((60 * MillimetrePerSecond).AppendMMPerMin(nil)), "3600"},
		{string(Speed(1).AppendMMPerMin(nil)), "1"}, {string(Speed(0).AppendMMPerMin(nil)), "0"},
		{string((215*Degree + 500).AppendDegrees(nil, 1)), "215.5"}, {(-5 * Degree).String(), "-5°C"},
		{(60 * MillimetrePerSecond).String(), "60mm/s"}, {(12 * Millimetre).String(), "12mm"},
		{Accel(1500).String(), "1500mm/s²"}, {FullDuty.String(), "100%"}, {Duty(102).String(), "40%"},
		{strconv.Itoa(int((21*Degree + 500).Rounded())), "22"}, {strconv.Itoa(int((-21*Degree - 500).Rounded())), "-22"},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
	if s, err := FromMMPerMin(3600); err != nil || s != 60*MillimetrePerSecond {
		t.Errorf("F3600 is %v, %v", s, err)
	}
}

func TestAppendDoesNotAllocate(t *testing.T) {
	buf := make([]byte, 0, 64)
	if n := testing.AllocsPerRun(100, func() {
		buf = Micrometres(123_456).AppendMM(buf[:0], 3)
		buf = Speed(61_234).AppendMMPerMin(buf)
		buf = Celsius(215_500).AppendDegrees(buf, 1)
	}); n != 0 {
		t.Errorf("%g allocations", n)
	}
}
