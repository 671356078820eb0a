package stick_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"platen/agent/intake/stick"
	"platen/agent/intake/stick/sticktest"
)

// noise is n bytes that repeat nowhere.
func noise(n int, seed uint64) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{byte(seed)})
	r.Read(b)
	return b
}

// jobFiles are a job in the root, one in a folder, and much that is none.
func jobFiles() []sticktest.File {
	return []sticktest.File{
		{Path: "holiday with a long name.jpg", Data: noise(3000, 1)},
		{Path: "job.age", Data: noise(70_001, 2)},
		{Path: "job.ticket", Data: noise(900, 3)},
		{Path: "jobs/deeper/a job with a name that takes several parts.stl.AGE", Data: noise(40_000, 4)},
		{Path: "jobs/deeper/A job with a name that takes several parts.stl.ticket", Data: noise(1200, 5)},
		{Path: "jobs/lonely.age", Data: noise(100, 6)},
		{Path: "._job.ticket", Data: noise(100, 7)},
		{Path: "._job.age", Data: noise(100, 8)},
		{Path: "jobs/firmware.bin", Data: noise(5000, 9)},
	}
}

// content is what is in the jobs of a stick, and the reason for each that cannot be read.
func content(s *stick.Stick) (text []string) {
	for _, j := range s.Jobs() {
		env, err := s.Envelope(j, 16<<10)
		if err != nil {
			text = append(text, code(err))
			continue
		}
		r, err := s.Sealed(j, j.Size)
		if err != nil {
			text = append(text, fmt.Sprintf("%x ", env[:4])+code(err))
			continue
		}
		data, err := io.ReadAll(r)
		text = append(text, fmt.Sprintf("%x %d %x%s", env[:4], len(data), data[max(0, len(data)-4):], code(err)))
	}
	return text
}

// code is the code of an error, "" of none.
func code(err error) string {
	if err == nil {
		return ""
	}
	if e, ok := errors.AsType[*stick.Error](err); ok {
		return e.Code
	}
	return "no code: " + err.Error()
}

// open opens an image.
func open(m *sticktest.Image) (*stick.Stick, error) {
	return stick.Open(context.Background(), m, m.Size, int64(m.Plan.Sector))
}

func wantJobs() []string {
	files := jobFiles()
	tail := func(i int) []byte { d := files[i].Data; return d[len(d)-4:] }
	return []string{
		fmt.Sprintf("%x 70001 %x", files[2].Data[:4], tail(1)),
		fmt.Sprintf("%x 40000 %x", files[4].Data[:4], tail(3)),
	}
}

// TestReads reads every file system in every table, with clusters and sectors of all sizes,
// in one piece and in many.
func TestReads(t *testing.T) {
	for _, fs := range []sticktest.FS{sticktest.FAT12, sticktest.FAT16, sticktest.FAT32, sticktest.ExFAT} {
		for _, table := range []sticktest.Table{sticktest.Bare, sticktest.MBR, sticktest.GPT} {
			for _, size := range []struct{ sector, cluster int }{{512, 1}, {512, 8}, {1024, 2}, {4096, 1}, {4096, 4}} {
				if testing.Short() && (size.sector == 1024 || size.cluster == 1) {
					continue
				}
				for _, scatter := range []bool{false, true} {
					p := sticktest.Plan{FS: fs, Table: table, Sector: size.sector, Cluster: size.cluster, Scatter: scatter, Files: jobFiles()}
					s, err := open(sticktest.Make(p))
					if err != nil {
						t.Errorf("%s %s %v %t: %v", fs, table, size, scatter, err)
						continue
					}
					if got := content(s); !slices.Equal(got, wantJobs()) || s.More {
						t.Errorf("%s %s %v %t: %v, want %v", fs, table, size, scatter, got, wantJobs())
					}
				}
			}
		}
	}
}

// spy notes which bytes are read.
type spy struct {
	r    io.ReaderAt
	read map[int64]bool // blocks of 512
}

func (s *spy) ReadAt(p []byte, off int64) (int, error) {
	for at := off / 512; at <= (off+int64(len(p))-1)/512; at++ {
		s.read[at] = true
	}
	return s.r.ReadAt(p, off)
}

// TestNothingElseIsOpened holds what is read of a stick against where its files lie: not a
// byte of any but tickets, until a sealed file is asked for.
func TestNothingElseIsOpened(t *testing.T) {
	for _, fs := range []sticktest.FS{sticktest.FAT12, sticktest.FAT16, sticktest.FAT32, sticktest.ExFAT} {
		m := sticktest.Make(sticktest.Plan{FS: fs, Cluster: 8, Files: jobFiles()})
		touched := func(s *spy, path string) bool {
			return slices.ContainsFunc(m.At(path).Clusters, func(c uint32) bool {
				for off := range int64(8) {
					if s.read[m.Cluster(c)/512+off] {
						return true
					}
				}
				return false
			})
		}
		watch := &spy{m, map[int64]bool{}}
		s, err := stick.Open(t.Context(), watch, m.Size, 512)
		if err != nil {
			t.Fatal(err)
		}
		for _, j := range s.Jobs() {
			if _, err := s.Envelope(j, 16<<10); err != nil {
				t.Fatal(err)
			}
		}
		for _, f := range jobFiles() {
			if want := f.Path == "job.ticket" || strings.HasPrefix(f.Path, "jobs/deeper/A job"); touched(watch, f.Path) != want {
				t.Errorf("%s: %s is read: %t", fs, f.Path, !want)
			}
		}
		j := s.Jobs()[0]
		if r, err := s.Sealed(j, j.Size-1); code(err) != "size" || r != nil || touched(watch, "job.age") {
			t.Errorf("%s: a sealed file of another size than its ticket says is read", fs)
		}
		r, err := s.Sealed(j, j.Size)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, jobFiles()[1].Data) || !touched(watch, "job.age") {
			t.Errorf("control: %s: the sealed file is not read: %v", fs, err)
		}
	}
}
