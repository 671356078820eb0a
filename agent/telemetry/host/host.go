// Package host reads the data of the board the agent runs on: load, memory, disk, network,
// temperature and throttling of the processor, uptime. It is the only place that knows
// gopsutil.
package host

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/shirou/gopsutil/v3/cpu"
	"github.com/shirou/gopsutil/v3/disk"
	"github.com/shirou/gopsutil/v3/host"
	"github.com/shirou/gopsutil/v3/mem"
	"github.com/shirou/gopsutil/v3/net"

	"platen/agent/catalog"
)

// Source samples the board. It is a telemetry.Source.
type Source struct {
	// Path is a folder on the file system whose use is reported.
	Path string
	// Sys is where sysfs is, "" for /sys.
	Sys string
}

// AppendSamples appends what of the board can be read. Processor load is the mean
// since the call before.
func (s Source) AppendSamples(ctx context.Context, dst []catalog.Sample) ([]catalog.Sample, error) {
	var errs []error
	put := func(id catalog.ID, v float64, err error) {
		if err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
			it, _ := catalog.Lookup(id)
			errs = append(errs, fmt.Errorf("read %s: %w", it.Name, err))
			return
		}
		if sample, ok := catalog.Of(id, int64(math.Round(v))); ok {
			dst = append(dst, sample)
		}
	}
	load, err := cpu.PercentWithContext(ctx, 0, false)
	if err == nil && len(load) == 0 {
		err = errors.New("no processor")
	}
	put(catalog.HostCPU, append(load, 0)[0], err)

	m, err := mem.VirtualMemoryWithContext(ctx)
	if err != nil {
		m = &mem.VirtualMemoryStat{}
	}
	put(catalog.HostMemory, m.UsedPercent, err)

	d, err := disk.UsageWithContext(ctx, s.Path)
	if err != nil {
		d = &disk.UsageStat{}
	}
	put(catalog.HostDisk, d.UsedPercent, err)

	up, err := host.UptimeWithContext(ctx)
	put(catalog.HostUptime, float64(up), err)

	if t, ok := processor(ctx); ok { // many boards have no such sensor
		put(catalog.HostSoCTemp, t*1000, nil)
	}
	if slow, ok := throttled(cmp.Or(s.Sys, "/sys")); ok { // nor a place that tells
		put(catalog.HostThrottled, map[bool]float64{true: 1}[slow], nil)
	}
	var sum net.IOCountersStat
	cards, err := net.IOCountersWithContext(ctx, true)
	for _, c := range cards {
		if c.Name == "lo" {
			continue
		}
		sum.BytesRecv += c.BytesRecv
		sum.BytesSent += c.BytesSent
		sum.Errin += c.Errin + c.Errout + c.Dropin + c.Dropout
	}
	const mib = 1 << 20
	put(catalog.HostNetReceived, float64(sum.BytesRecv/mib), err)
	put(catalog.HostNetSent, float64(sum.BytesSent/mib), err)
	put(catalog.HostNetErrors, float64(sum.Errin), err)
	return dst, errors.Join(errs...)
}

// processor is the temperature of the SoC in °C: the hottest of the sensors that
// boards name after it.
func processor(ctx context.Context) (float64, bool) {
	temps, err := host.SensorsTemperaturesWithContext(ctx)
	if err != nil && len(temps) == 0 {
		return 0, false
	}
	best, found := math.Inf(-1), false
	for _, t := range temps {
		key := strings.ToLower(t.SensorKey)
		for _, name := range []string{"cpu", "soc", "coretemp_packageid0", "k10temp_tctl"} {
			if strings.HasPrefix(key, name) && t.Temperature > -50 && t.Temperature < 150 {
				best, found = max(best, t.Temperature), true
			}
		}
	}
	return best, found
}
