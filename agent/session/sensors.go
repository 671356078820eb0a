package session

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"time"

	"platen/agent/seam"
	"platen/boards"
	"platen/hal"
	"platen/hal/sensor/gpio"
	"platen/hal/sensor/hwmon"
	"platen/hal/sensor/iio"
	"platen/hal/sensor/w1"
	"platen/hal/unit"
	"platen/hal/watch"
)

// box has the sensors of the board that are not the controller's. It opens all of them
// before the session is confined, and samples them until it is closed.
type box struct {
	sensors []boards.Sensor
	log     *slog.Logger
	fast    []source   // answer at once
	slow    []source   // measure while they are asked
	power   *gpio.Hold // of the heaters' supply
	run     *gpio.Hold // of the controller's reset line
	quit    chan struct{}
	wg      sync.WaitGroup

	mu     sync.Mutex
	values [boards.MaxSensors]reading
	missed uint16 // as last logged
}

// source is a reader of some of the sensors.
type source interface {
	hal.Sensor
	io.Closer
}

// reading is the newest value of one sensor.
type reading struct {
	value int64
	at    time.Time
}

// How often sensors are read, and how long a value stands for the present.
const (
	fastPeriod = 500 * time.Millisecond
	slowPeriod = 2 * time.Second
	fastFresh  = 3 * time.Second
	slowFresh  = 20 * time.Second
)

// openBox opens the sensors of a board. One that is not there is missing and nothing
// else; an error is a board file that makes no sense.
func openBox(cfg Config) (*box, error) {
	b := &box{sensors: cfg.Board.Sensors, log: cfg.Logger, quit: make(chan struct{})}
	var hw []hwmon.Channel
	var adc []iio.Channel
	for _, s := range b.sensors {
		switch s.Kind {
		case "hwmon":
			hw = append(hw, hwmon.Channel{Name: s.Name, Chip: s.At, Input: s.Read})
		case "iio":
			adc = append(adc, iio.Channel{Name: s.Name, Device: s.At, Input: s.Read, Thermistor: s.Thermistor})
		case "w1":
			r, err := w1.Open(cfg.sys(), []w1.Channel{{Name: s.Name, ID: s.At}})
			if err != nil {
				return nil, err
			}
			b.slow = append(b.slow, r)
		case "gpio":
			if err := b.pin(cfg.dev(), s); err != nil {
				b.log.Warn("a pin cannot be used", "sensor", s.Name, "error", err.Error())
			}
		}
	}
	h, err := hwmon.Open(cfg.sys(), hw)
	if err != nil {
		return nil, err
	}
	a, err := iio.Open(cfg.sys(), adc)
	if err != nil {
		return nil, err
	}
	b.fast = append(b.fast, h, a)
	if len(b.sensors) > 0 {
		b.sample(b.fast, false)
		b.wg.Go(func() { b.loop(b.fast, false, fastPeriod) })
		b.wg.Go(func() { b.loop(b.slow, true, slowPeriod) })
	}
	return b, nil
}

// pin requests the pin of a gpio sensor and puts it to its use.
func (b *box) pin(dev string, s boards.Sensor) error {
	chip, err := gpio.OpenChip(dev, s.At)
	if err != nil {
		return err
	}
	defer chip.Close()
	line, err := chip.Request(s.Pin)
	if err != nil {
		return err
	}
	var src source
	switch s.Role {
	case boards.RolePower:
		b.power = gpio.NewHold(line)
		return nil
	case boards.RoleRun:
		b.run = gpio.NewHold(line)
		return b.run.Set(true)
	case boards.RoleFan:
		src, err = gpio.NewTach(s.Name, line, s.Pulses, nil)
	default:
		src, err = gpio.NewContact(s.Name, line)
	}
	if err != nil {
		return err
	}
	b.fast = append(b.fast, src)
	return nil
}

func (b *box) loop(sources []source, slow bool, period time.Duration) {
	if len(sources) == 0 {
		return
	}
	tick := time.NewTicker(period)
	defer tick.Stop()
	for {
		b.sample(sources, slow)
		select {
		case <-b.quit:
			return
		case <-tick.C:
		}
	}
}

// sample reads sources, which are all the slow or all the fast ones, once and keeps what
// they say. What they do not say is missing from then on.
func (b *box) sample(sources []source, slow bool) {
	var buf [boards.MaxSensors]hal.Sample
	got := buf[:0]
	for _, s := range sources {
		got, _ = s.AppendSamples(context.Background(), got)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, s := range b.sensors {
		if (s.Kind == "w1") != slow {
			continue
		}
		b.values[i] = reading{}
		if n := slices.IndexFunc(got, func(x hal.Sample) bool { return x.Name == s.Name }); n >= 0 {
			b.values[i] = reading{got[n].Value, got[n].At}
		}
	}
}

// fresh is the value of sensor i if it stands for the present.
func (b *box) fresh(i int, now time.Time) (int64, bool) {
	most := fastFresh
	if b.sensors[i].Kind == "w1" {
		most = slowFresh
	}
	r := b.values[i]
	return r.value, !r.at.IsZero() && now.Sub(r.at) < most
}

// read is what the supervision is told.
func (b *box) read() watch.Box {
	b.mu.Lock()
	defer b.mu.Unlock()
	var w watch.Box
	now, fans := time.Now(), 0
	for i := range b.sensors {
		v, ok := b.fresh(i, now)
		switch b.sensors[i].Role {
		case boards.RoleAmbient:
			w.Ambient, w.HasAmbient = unit.Celsius(v), ok
		case boards.RoleFilament:
			w.Filament = contact(v, ok)
		case boards.RoleDoor:
			w.Door = contact(v, ok)
		case boards.RoleFan:
			w.Fans[fans] = watch.Tach{RPM: int32(min(v, 1_000_000)), Known: ok}
			fans++
		}
	}
	return w
}

// opened reports whether there is a door that is not known to be shut.
func (b *box) opened() bool {
	return b != nil && b.read().Door != watch.Good &&
		slices.ContainsFunc(b.sensors, func(s boards.Sensor) bool { return s.Role == boards.RoleDoor })
}

// tell adds to a status what sensors of the box say that are no fan's.
func (b *box) tell(st *seam.Status) {
	w := b.read()
	if w.HasAmbient {
		st.Ambient = int32(w.Ambient)
	}
	codes := map[watch.Contact]uint8{watch.Good: 1, watch.Bad: 2}
	st.Filament, st.Door = codes[w.Filament], codes[w.Door]
}

func contact(v int64, ok bool) watch.Contact {
	switch {
	case !ok:
		return watch.Unknown
	case v == 1:
		return watch.Good
	}
	return watch.Bad
}

// fans are the fans of the board in the order in which read tells of them.
func (b *box) fans() []watch.Fan {
	var fans []watch.Fan
	for _, s := range b.sensors {
		if s.Role == boards.RoleFan {
			fans = append(fans, s.Fan)
		}
	}
	return fans
}

// missing has a bit for each sensor that cannot be read now. A change is logged.
func (b *box) missing() uint16 {
	b.mu.Lock()
	defer b.mu.Unlock()
	var set uint16
	now := time.Now()
	for i, s := range b.sensors {
		_, ok := b.fresh(i, now)
		switch s.Role {
		case boards.RolePower:
			ok = b.power != nil
		case boards.RoleRun:
			ok = b.run != nil
		}
		if !ok {
			set |= 1 << i
		}
	}
	if set != b.missed {
		b.missed = set
		b.log.Warn("sensors are missing, or back", "missing", fmt.Sprintf("%#x", set))
	}
	return set
}

// supply switches the power of the heaters, on boards where it can be.
func (b *box) supply(on bool) {
	if b == nil || b.power == nil {
		return
	}
	if err := b.power.Set(on); err != nil {
		b.log.Error("the heaters' supply does not obey", "on", on)
	}
}

// cut makes the machine safe by the board's own means, whatever the controller does.
func (b *box) cut() {
	b.supply(false)
	if b.run == nil {
		return
	}
	if err := b.run.Set(false); err != nil {
		b.log.Error("the controller's reset line does not obey")
	}
}

// close ends sampling and lets go of everything; the supply goes off, and a controller
// whose reset line is held is reset.
func (b *box) close() {
	close(b.quit)
	for _, h := range [...]*gpio.Hold{b.power, b.run} {
		if h != nil {
			h.Close()
		}
	}
	b.wg.Wait()
	for _, s := range slices.Concat(b.fast, b.slow) {
		s.Close()
	}
}
