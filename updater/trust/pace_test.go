package trust

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"platen/updater"
)

// unranged is a server that ignores ranges and sends 64 KiB in each second.
type unranged []byte

func (u unranged) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(&slowly{r.Context(), bytes.NewReader(u)})}, nil
}

type slowly struct {
	ctx context.Context
	of  io.Reader
}

func (s *slowly) Read(p []byte) (int, error) {
	select {
	case <-s.ctx.Done():
		return 0, s.ctx.Err()
	case <-time.After(time.Second / 8):
	}
	return s.of.Read(p[:min(len(p), paceBytes/8)])
}

// TestResumeWithoutRanges: a server that ignores ranges sends what is there already once
// more. That may take longer than a stall, as long as it comes in time.
func TestResumeWithoutRanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		data := bytes.Repeat([]byte("0123456789abcde\n"), 1<<16)
		f, err := newFetcher("http://localhost/", &http.Client{Transport: unranged(data)})
		if err != nil {
			t.Fatal(err)
		}
		at := int64(len(data)) - 1000 // sixteen seconds away
		for stall, want := range map[time.Duration]string{10 * time.Second: "", time.Second / 2: "slow"} {
			p := newPace(t.Context(), stall)
			defer p.stop()
			body, err := p.open(f, "x", at)
			if want != "" {
				if updater.Code(err) != want {
					t.Errorf("in %v: %v", stall, err)
				}
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(body); err != nil || !bytes.Equal(got, data[at:]) {
				t.Errorf("%d bytes: %v", len(got), err)
			}
		}
		p := newPace(t.Context(), time.Minute)
		defer p.stop()
		if _, err := p.open(f, "x", int64(len(data))+1); updater.Code(err) != "truncated" {
			t.Errorf("of too short a file: %v", err)
		}
	})
}
