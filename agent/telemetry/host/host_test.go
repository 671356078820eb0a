package host

import (
	"testing"

	"platen/agent/catalog"
)

func TestHostSays(t *testing.T) {
	got, err := Source{Path: t.TempDir()}.AppendSamples(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[catalog.ID]int64{}
	for _, s := range got {
		seen[s.ID()] = s.Value()
	}
	for _, id := range []catalog.ID{catalog.HostCPU, catalog.HostMemory, catalog.HostDisk, catalog.HostUptime} {
		if _, ok := seen[id]; !ok {
			it, _ := catalog.Lookup(id)
			t.Errorf("%s is missing", it.Name)
		}
	}
	if seen[catalog.HostMemory] == 0 || seen[catalog.HostUptime] == 0 {
		t.Errorf("no memory in use or no uptime: %v", seen)
	}
}

func TestHostReportsWhatItCannotRead(t *testing.T) {
	got, err := Source{Path: "/nonexistent"}.AppendSamples(t.Context(), nil)
	if err == nil || len(got) < 3 {
		t.Errorf("%d samples, error %v; want the others and an error", len(got), err)
	}
}
