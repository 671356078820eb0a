package agent

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"platen/agent/evidence"
)

// measure has the TPM remember what the agent runs with: configuration, board file and the
// image in the controller. It comes before anything acts on them, and again when the
// controller has another image.
func (a *Agent) measure(ctx context.Context) error {
	image, err := a.controllerImage(ctx)
	if err != nil {
		return fmt.Errorf("looking which firmware the controller has: %w", err)
	}
	said, err := readSays(journal(a.cfg))
	if err != nil {
		said = says{Foreign: true}
	}
	if err := a.tpm.ExtendSettings(ctx, evidence.Settings{Config: a.cfg.Sum, Board: a.board.Sum, Controller: said.image(image)}); err != nil {
		return err
	}
	a.foreign = said.image([32]byte{})
	return nil
}

// controllerImage is the digest of the confirmed image, as the journal of whoever flashed the
// controller has it; zero if it was not flashed by us or is not confirmed. The journal is read
// by the service command, as everything else about the controller is.
func (a *Agent) controllerImage(ctx context.Context) (image [32]byte, err error) {
	dir := journal(a.cfg)
	if _, err := os.Stat(filepath.Join(dir, "controller")); errors.Is(err, fs.ErrNotExist) {
		return image, nil
	}
	c := controller{args: []string{"--board", a.cfg.Board, "--state", dir}}
	out, failed := c.run(ctx, "status", "-o", "json")
	var r struct {
		SHA256  string `json:"sha256"`
		Pending bool   `json:"pending"`
	}
	if err := json.Unmarshal(out, &r); err != nil { // it says so of one that is not confirmed, too
		return image, errors.Join(failed, err)
	}
	if r.Pending || r.SHA256 == "" {
		return image, nil
	}
	if n, err := hex.Decode(image[:], []byte(r.SHA256)); err != nil || n != len(image) {
		return [32]byte{}, errors.New("its journal holds no digest")
	}
	return image, nil
}
