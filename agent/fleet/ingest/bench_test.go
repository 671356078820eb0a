package ingest

import (
	"os"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"
)

// BenchmarkFrames is the fleet's side from a frame to its line on the disk, with many printers
// that each send one frame after the other: verified, stored, synced. frames/cpu-s is what one
// core does in a second of its own time. B/frame is by how much the heap has grown for each frame,
// after a first round in which every printer was heard: nothing, if memory is flat, but for the
// bounded memory of each chain (see verify.BenchmarkKnown). PLATEN_PRINTERS is how many
// printers.
func BenchmarkFrames(b *testing.B) {
	printers := 1000
	if n, err := strconv.Atoi(os.Getenv("PLATEN_PRINTERS")); err == nil {
		printers = n
	}
	h := newHouse(b, printers)
	round := func(n int) [][]byte {
		frames := make([][]byte, n)
		for i := range frames {
			frames[i] = h.printers[i%printers].frame(message(time.Unix(1_800_000_000, 0)))
		}
		return frames
	}
	h.all(b, round(printers))
	frames := round(b.N)
	heapBefore, before := heap(), cpu(b)
	b.ResetTimer()
	h.all(b, frames)
	b.StopTimer()
	b.ReportMetric(float64(b.N)/(cpu(b)-before).Seconds(), "frames/cpu-s")
	b.ReportMetric(float64(int64(heap())-int64(heapBefore))/float64(b.N), "B/frame")
	b.ReportMetric(float64(printers), "printers")
	runtime.KeepAlive(frames)
}

// all has the frames judged by as many as a broker has clients that send at once.
func (h *house) all(b *testing.B, frames [][]byte) {
	const clients = 256
	var wg sync.WaitGroup
	for c := range clients {
		wg.Go(func() {
			for i := range frames {
				p := h.printers[i%len(h.printers)]
				if i%len(h.printers)%clients != c { // the frames of a printer stay in order
					continue
				}
				if err := h.in.Frame(p.record.Printer, frames[i]); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// cpu is the time that this process has computed.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
