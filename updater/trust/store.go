package trust

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"platen/updater"
	"platen/updater/slot"
)

// errHere reports that the disk keeps nothing more.
var errHere = errors.New("the disk does not keep it")

// store keeps verified metadata, byte for byte as received, and the floor.
type store struct{ fs slot.FS }

// replace is slot.Replace with the reason.
func (s store) replace(name string, data []byte) error {
	if err := slot.Replace(s.fs, name, data); err != nil {
		return fmt.Errorf("%w: %w", errHere, err)
	}
	return nil
}

func (s store) root(version int64) ([]byte, error) {
	return slot.ReadAll(s.fs, rootName(version), maxRoot)
}

func (s store) saveRoot(version int64, data []byte) error {
	return s.replace(rootName(version), data)
}

func rootName(version int64) string { return fmt.Sprintf("roots/%d.root.json", version) }

func (s store) load(role string, limit int64) ([]byte, error) {
	return slot.ReadAll(s.fs, role+".json", limit)
}

func (s store) save(role string, data []byte) error {
	if err := s.replace(role+".json", data); err != nil {
		return fmt.Errorf("keep %s: %w", role, err)
	}
	return nil
}

// floorFile is the contents of the file "floor".
type floorFile struct {
	Release uint64 `json:"release"`
	Unix    int64  `json:"unix"` // seconds
}

func (s store) loadFloor() (updater.Floor, error) {
	data, err := slot.ReadAll(s.fs, "floor", 4096)
	if errors.Is(err, fs.ErrNotExist) {
		return updater.Floor{}, nil
	}
	if err != nil {
		return updater.Floor{}, err
	}
	var f floorFile
	if err := json.Unmarshal(data, &f); err != nil {
		return updater.Floor{}, err
	}
	return updater.Floor{Release: f.Release, Time: time.Unix(f.Unix, 0).UTC()}, nil
}

func (s store) saveFloor(f updater.Floor) error {
	data, err := json.Marshal(floorFile{f.Release, f.Time.Unix()})
	if err != nil {
		return err
	}
	if old, err := slot.ReadAll(s.fs, "floor", 4096); err == nil && string(old) == string(data) {
		return nil
	}
	return s.replace("floor", data)
}
