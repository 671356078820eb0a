// Package leak finds out whether design data got where it must not be: it knows
// what a model looks like in the encodings that a leak would have, and searches
// files for any of it.
//
// Make a [Set] of a model with [Set.AddSTL] and of its program with
// [Set.AddLines], or of a model that is made for it with [Set.AddCanary], then look with
// [Set.File] and [Set.Tree]. A search that finds
// nothing proves something only if the same Set finds a planted canary.
package leak

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// window is how many bytes of a pattern the index looks at; no pattern is shorter.
const window = 8

// maxPattern is the longest pattern kept.
const maxPattern = 64

// Set is a set of byte patterns.
type Set struct {
	byKey  map[uint64][]pattern
	filter [1 << 16]uint64 // one bit for each hash of a window
}

type pattern struct {
	bytes []byte
	kind  string
}

// Hit is a pattern that was found.
type Hit struct {
	Path   string
	Offset int64
	Kind   string // which encoding
}

// NewSet makes an empty set.
func NewSet() *Set { return &Set{byKey: map[uint64][]pattern{}} }

// Len is the number of patterns.
func (s *Set) Len() int {
	n := 0
	for _, ps := range s.byKey {
		n += len(ps)
	}
	return n
}

// Add adds one pattern of at least 8 bytes. What it begins with is left out until there
// are 8 bytes with 4 different ones among them; a pattern without 5 different bytes says
// nothing and is left out altogether.
func (s *Set) Add(p []byte, kind string) {
	for len(p) >= window && different(p[:window]) < 4 {
		p = p[1:]
	}
	if len(p) < window || different(p) < 5 {
		return
	}
	p = bytes.Clone(p[:min(len(p), maxPattern)])
	k := binary.LittleEndian.Uint64(p)
	s.byKey[k] = append(s.byKey[k], pattern{p, kind})
	h := hash(k)
	s.filter[h>>6] |= 1 << (h & 63)
}

// different is how many different bytes there are.
func different(p []byte) int {
	var seen [256]bool
	n := 0
	for _, b := range p {
		if !seen[b] {
			seen[b] = true
			n++
		}
	}
	return n
}

// addAll adds a pattern in the encodings bytes travel in.
func (s *Set) addAll(p []byte, kind string) {
	s.Add(p, kind)
	for shift := range 3 { // base64 at each alignment, without the edges that neighbours share
		enc := base64.StdEncoding.EncodeToString(append(make([]byte, shift), p...))
		enc = strings.TrimRight(enc, "=")
		if len(enc) > 8+window {
			s.Add([]byte(enc[4:len(enc)-4]), kind+" in base64")
		}
	}
	s.Add(fmt.Appendf(nil, "%x", p), kind+" in hexadecimal")
}

// AddSTL adds at most limit facets of an STL file, spread over it: their corners
// as the file has them, and as 64-bit floats.
func (s *Set) AddSTL(path string, limit int) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if len(b) >= 84 && int64(len(b)) == 84+50*int64(binary.LittleEndian.Uint32(b[80:])) {
		n := (len(b) - 84) / 50
		step := max(1, n/limit)
		for i := 0; i < n; i += step {
			corners := b[84+50*i+12:][:36]
			s.addAll(corners, "facet")
			var wide []byte
			for j := range 9 {
				f := math.Float32frombits(binary.LittleEndian.Uint32(corners[4*j:]))
				wide = binary.LittleEndian.AppendUint64(wide, math.Float64bits(float64(f)))
			}
			s.addAll(wide, "facet of doubles")
		}
	} else {
		lines := bytes.Split(b, []byte("\n"))
		step := max(1, len(lines)/limit)
		for i := 0; i < len(lines); i += step {
			if l := bytes.TrimSpace(lines[i]); bytes.HasPrefix(l, []byte("vertex")) {
				s.addAll(bytes.TrimSpace(l[len("vertex"):]), "vertex")
			}
		}
	}
	if s.Len() == 0 {
		return errors.New("the model has no facet that could be told from noise")
	}
	return nil
}

// AddLines adds at most limit lines of a G-code program that extrude to a place,
// spread over it.
func (s *Set) AddLines(gcode []byte, limit int) {
	var lines [][]byte
	for l := range bytes.Lines(gcode) {
		l, _, _ = bytes.Cut(l, []byte(";"))
		l, _, _ = bytes.Cut(l, []byte("*")) // of a line with a number and its checksum
		l = bytes.TrimSpace(l)
		if i := bytes.IndexByte(l, 'X'); i >= 0 && bytes.IndexByte(l, 'Y') > i && bytes.IndexByte(l, 'E') > i && len(l)-i >= 16 {
			lines = append(lines, l[i:])
		}
	}
	step := max(1, len(lines)/limit)
	for i := 0; i < len(lines); i += step {
		s.addAll(lines[i], "line")
	}
}

// Reader searches r to its end; path is for the hits. It stops at 16 hits.
func (s *Set) Reader(r io.Reader, path string) ([]Hit, error) {
	var hits []Hit
	buf := make([]byte, 0, 1<<20)
	var base int64
	for {
		n, err := r.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		end := err != nil
		hits = s.search(buf, base, end, path, hits)
		if len(hits) >= 16 || err == io.EOF {
			return hits, nil
		}
		if err != nil {
			return hits, err
		}
		if keep := maxPattern - 1; len(buf) > keep && cap(buf)-len(buf) < cap(buf)/2 {
			base += int64(len(buf) - keep)
			buf = buf[:copy(buf, buf[len(buf)-keep:])]
		}
	}
}

// search looks for patterns that begin in buf. A hit is reported once, even if the
// same bytes are searched again.
func (s *Set) search(buf []byte, base int64, end bool, path string, hits []Hit) []Hit {
	for i := 0; i+window <= len(buf); i++ {
		k := binary.LittleEndian.Uint64(buf[i:])
		if k == 0 && i+len(zeros) <= len(buf) && bytes.Equal(buf[i:i+len(zeros)], zeros[:]) {
			i += len(zeros) - window // no pattern begins with so many zeros
			continue
		}
		h := hash(k)
		if s.filter[h>>6]&(1<<(h&63)) == 0 {
			continue
		}
		for _, p := range s.byKey[k] {
			at := base + int64(i)
			if bytes.HasPrefix(buf[i:], p.bytes) && !known(hits, at) {
				hits = append(hits, Hit{path, at, p.kind})
			}
		}
	}
	return hits
}

// zeros are passed over in one step: most of a file system and of memory is nothing else.
var zeros [256]byte

func known(hits []Hit, at int64) bool {
	for _, h := range hits {
		if h.Offset == at {
			return true
		}
	}
	return false
}

// File searches one file.
func (s *Set) File(path string) ([]Hit, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return s.Reader(f, path)
}

// Found is what Tree saw.
type Found struct {
	Files int
	Bytes int64
	Hits  []Hit
}

// Tree searches every regular file below roots that was written since a moment,
// except those in skip. It stays on the file system of each root, so that a /proc
// mounted below one is not read. Files that are gone or that may not be read are passed
// over: nobody else can have read a model into them either.
func (s *Set) Tree(roots []string, since time.Time, skip ...string) (Found, error) {
	var f Found
	seen := map[string]bool{}
	for _, p := range skip {
		if abs, err := filepath.EvalSymlinks(p); err == nil {
			seen[abs] = true
		}
	}
	for _, root := range roots {
		home, err := os.Stat(root)
		if err != nil {
			continue // nothing there that could hold anything
		}
		err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return nil
			}
			info, err := d.Info()
			if err != nil {
				return nil
			}
			if d.IsDir() && device(info) != device(home) {
				return fs.SkipDir
			}
			if !d.Type().IsRegular() || info.ModTime().Before(since) || seen[path] {
				return nil
			}
			seen[path] = true
			hits, err := s.File(path)
			if err != nil {
				return nil
			}
			f.Files++
			f.Bytes += info.Size()
			f.Hits = append(f.Hits, hits...)
			return nil
		})
		if err != nil {
			return f, fmt.Errorf("searching %s: %w", root, err)
		}
	}
	return f, nil
}

// device is the number of the file system that a file is on.
func device(fi fs.FileInfo) uint64 {
	if st, ok := fi.Sys().(*syscall.Stat_t); ok {
		return uint64(st.Dev)
	}
	return 0
}

// hash mixes a window into 22 bits.
func hash(k uint64) uint64 { return k * 0x9e3779b97f4a7c15 >> 42 }
